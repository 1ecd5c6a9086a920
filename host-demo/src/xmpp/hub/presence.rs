//! Presence (RFC 6121 section 4): broadcast, directed, probed and withdrawn.

use std::{collections::BTreeSet, mem, sync::Arc};

use jid::{BareJid, Jid};
use minidom::Element;

use super::{
    ConnectedResource, Hub,
    audience::{Audience, Viewer},
    availability::{Availability, status},
    registry::{Broadcast, Presence},
    stanza::{Condition, Stanza, element, ns, serialise, serialise_to},
    subscription::Request,
};
use crate::{
    presence::Resource,
    store::{Goodbye, roster::Roster},
};

/// The largest presence stanza that is kept or sent to others. What a client says of itself is small; whatever is large
/// here would be multiplied by the contacts of the user and by their logins.
const MAX_PRESENCE: usize = 16 << 10;
/// The most addresses that one session may send directed presence to.
const MAX_DIRECTED: usize = 1_000;

impl Hub {
    /// Takes a presence stanza of a session.
    pub(super) async fn presence(&self, from: &Arc<ConnectedResource>, stanza: &Stanza) -> Result<(), Condition> {
        let presence = &stanza.element;
        let Some(to) = &stanza.to else {
            return match stanza.kind_attribute() {
                None => self.broadcast_available(from, presence),
                Some("unavailable") => self.broadcast_unavailable(from, presence),
                Some("error") => Ok(()),
                Some(_) => Err(Condition::BadRequest),
            };
        };
        let (is_away, kind) = (!self.serves(to), stanza.kind_attribute());
        // A subscription can be ended whatever became of the contact's server.
        if is_away && !self.is_component(to) && !matches!(kind, Some("unsubscribe" | "unsubscribed")) {
            return Err(Condition::RemoteServerNotFound);
        }
        within_limit(presence)?;
        match kind {
            None | Some("unavailable") => self.direct(from, to, presence),
            Some("probe" | "error") if is_away => self.post_away(to, presence),
            Some("probe") => {
                let send = |stanza: &Element| from.post_to(stanza);
                self.probe(from.viewer(), to, &send)
            }
            Some("error") => {
                // To the resource whose presence it answers; an account has no use for it.
                if to.is_full() {
                    self.send_presence(from, to, presence, |_| true);
                }
                Ok(())
            }
            Some(kind) => {
                let request = Request::parse(kind).ok_or(Condition::BadRequest)?;
                self.subscription(from, request, &to.to_bare(), presence).await
            }
        }
    }

    /// Initial and subsequent presence (sections 4.2 and 4.4).
    fn broadcast_available(&self, from: &Arc<ConnectedResource>, stanza: &Element) -> Result<(), Condition> {
        let availability = Availability::parse(stanza)?;
        within_limit(stanza)?;
        // Read once before anything changes, so that a failure changes nothing; then again, from memory, once the
        // resource is available: a subscription approved in between shows either here or where it was approved.
        self.store.roster(from.user())?;
        let mut presence = from.presence.lock();
        if presence.ended {
            return Ok(());
        }
        let takes_messages = availability.priority >= 0;
        let took_messages = from.takes_messages();
        from.set_priority(Some(availability.priority));
        let audience = self.audience(from.user());
        let current = Broadcast { stanza: stanza.clone(), audience: audience.clone() };
        let last = presence.current.replace(current);
        let initial = last.is_none();
        presence.was_available = true;
        self.publish(from, availability, initial);
        for member in audience.members() {
            self.send_presence(from, member, stanza, |viewer| audience.includes(viewer));
        }
        if let Some(last) = last.filter(|last| last.audience != audience) {
            self.hide_from_former(from, &last.audience, &audience);
        }
        drop(presence);
        if initial {
            from.gather(|| self.greet(from));
        }
        if takes_messages && !took_messages {
            self.hand_out(from.user());
        }
        Ok(())
    }

    /// A client that says goodbye (section 4.5), or something more after it.
    fn broadcast_unavailable(&self, from: &Arc<ConnectedResource>, stanza: &Element) -> Result<(), Condition> {
        within_limit(stanza)?;
        let mut presence = from.presence.lock();
        if presence.ended {
            return Ok(());
        }
        if presence.was_available && presence.current.is_none() {
            self.reword_goodbye(from, stanza);
        }
        self.withdraw(from, &mut presence, stanza);
        Ok(())
    }

    /// Ends a session, for whatever reason and however often: the server says goodbye for a client that did not
    /// (section 4.5.2).
    pub(super) fn end(&self, resource: &Arc<ConnectedResource>) {
        self.registry.disconnect(resource);
        let mut presence = resource.presence.lock();
        if !mem::replace(&mut presence.ended, true) {
            let goodbye = unavailable(resource.jid());
            self.withdraw(resource, &mut presence, &goodbye);
            drop(presence);
            self.leave_hand_out(resource);
        }
    }

    fn withdraw(&self, from: &ConnectedResource, presence: &mut Presence, goodbye: &Element) {
        let mut told = BTreeSet::new();
        let mut tell = |to: &Jid, saw: &dyn Fn(Viewer<'_>) -> bool| {
            self.send_presence(from, to, goodbye, |viewer| saw(viewer) && told.insert(viewer.jid.clone()));
        };
        if let Some(Broadcast { audience: last, .. }) = presence.current.take() {
            let now = self.audience(from.user());
            self.unpublish(from, goodbye);
            for member in now.members().chain(last.members()).collect::<BTreeSet<_>>() {
                tell(member, &|viewer| now.includes(viewer) || last.includes(viewer));
            }
            from.set_priority(None);
        }
        // Section 4.6.3: whoever was told of the presence is told of its end, once.
        for jid in mem::take(&mut presence.directed) {
            tell(&jid, &|viewer| !self.blocks(from.jid(), viewer.jid));
        }
    }

    /// Whoever saw the last broadcast and sees this one no more sees its end.
    fn hide_from_former(&self, from: &ConnectedResource, last: &Audience, now: &Audience) {
        let goodbye = unavailable(from.jid());
        for member in last.members() {
            self.send_presence(from, member, &goodbye, |viewer| last.includes(viewer) && !now.includes(viewer));
        }
    }

    /// Sends a presence to where it is addressed, or nowhere without an error (sections 8.5.2.1.2 and 8.5.3.2.2): to those
    /// resources that `may_see` it and whose users don't block the sender, or to a component that may.
    pub(super) fn send_presence(
        &self,
        from: &ConnectedResource,
        to: &Jid,
        stanza: &Element,
        mut may_see: impl FnMut(Viewer<'_>) -> bool,
    ) {
        if !self.serves(to) {
            if may_see(Viewer { jid: to, user: &to.to_bare() }) {
                self.post_presence_away(to, stanza);
            }
            return;
        }
        let mut viewers = self.registry.addressed(to);
        viewers.retain(|viewer| may_see(viewer.viewer()) && !self.blocks(viewer.jid(), from.jid()));
        if !viewers.is_empty() {
            let is_broadcast = stanza.attr("type").is_none() && stanza.attr("to").is_none();
            let stanza = serialise_to(stanza, to);
            for viewer in &viewers {
                match is_broadcast {
                    true => viewer.post_presence(stanza.clone(), from),
                    false => viewer.post_any_presence(stanza.clone()),
                };
            }
        }
    }

    /// What a new available resource has to know: its user's other resources, the contacts' presence, and the requests
    /// that wait for the user (sections 4.2.2, 4.3 and 3.1.3).
    fn greet(&self, newcomer: &Arc<ConnectedResource>) {
        let send = |stanza: &Element| newcomer.post_to(stanza);
        let others = self.registry.available(newcomer.user());
        for other in others.iter().filter(|other| !Arc::ptr_eq(other, newcomer)) {
            self.show(other, newcomer.viewer(), &send);
        }
        let roster = self.known_roster(newcomer.user());
        let mut absent = Vec::new();
        for (contact, _) in roster.items.iter().filter(|(_, item)| item.to) {
            if !self.serves(contact) {
                self.ask_for_presence(newcomer, contact);
                continue;
            }
            let resources = self.registry.available(contact);
            if resources.is_empty() && !self.are_parted(newcomer.jid(), contact) {
                absent.push(contact);
            }
            for resource in resources {
                self.show(&resource, newcomer.viewer(), &send);
            }
        }
        self.show_goodbyes(&absent, newcomer.viewer(), &send);
        for (contact, item) in &roster.items {
            if let Some(request) = item.request.clone().filter(|_| !self.are_parted(newcomer.user(), contact)) {
                newcomer.post(request.into());
            }
        }
    }

    /// Directed presence (section 4.6).
    fn direct(&self, from: &ConnectedResource, to: &Jid, stanza: &Element) -> Result<(), Condition> {
        let mut presence = from.presence.lock();
        if presence.ended || self.is_self(to) {
            return Ok(());
        }
        if stanza.attr("type").is_some() {
            presence.directed.remove(to);
        } else if presence.directed.len() < MAX_DIRECTED || presence.directed.contains(to) {
            presence.directed.insert(to.clone());
        } else {
            return Err(Condition::ResourceConstraint);
        }
        if !self.serves(to) {
            return self.post_away(to, stanza);
        }
        // Of an account that is not blocked, one resource may be.
        self.send_presence(from, to, stanza, |viewer| !self.blocks(from.jid(), viewer.jid));
        Ok(())
    }

    /// Writes a presence into the table that plugins read, unless nobody may know of it.
    fn publish(&self, from: &ConnectedResource, availability: Availability, initial: bool) {
        if from.is_anonymous() {
            return;
        }
        let resource = Resource {
            name: from.jid().resource().as_str(),
            show: availability.show,
            priority: availability.priority,
            status: &availability.status,
            since: now_in_milliseconds().try_into().unwrap_or_default(),
        };
        self.presence.set(from.user().as_str(), resource);
        if initial {
            self.store.record_goodbye(from.user(), None);
        }
    }

    /// Takes a presence out of the table; what its client said last stays.
    fn unpublish(&self, from: &ConnectedResource, goodbye: &Element) {
        if from.is_anonymous() {
            return;
        }
        let status = status(goodbye);
        let (words, at) = (status.as_deref().unwrap_or_default(), now_in_milliseconds());
        self.presence.clear(from.user().as_str(), from.jid().resource(), words, at.try_into().unwrap_or_default());
        let goodbye = Goodbye { status, stanza: String::from(goodbye), at };
        self.store.record_goodbye(from.user(), Some(goodbye));
    }

    /// Another goodbye of a session that has left. Nobody is told, for nobody sees it any more, but whoever asks later hears of the last one
    /// (section 4.3.2): its words, and that the user is gone for as long as before.
    fn reword_goodbye(&self, from: &ConnectedResource, goodbye: &Element) {
        if from.is_anonymous() {
            return;
        }
        let status = status(goodbye);
        let words = status.as_deref().unwrap_or_default();
        if let Some(since) = self.presence.reword(from.user().as_str(), words) {
            let (stanza, at) = (String::from(goodbye), since.try_into().unwrap_or_default());
            self.store.record_goodbye(from.user(), Some(Goodbye { status, stanza, at }));
        }
    }

    /// The roster of a user, empty if it can't be read. That of a user with an available resource has been read before
    /// and is in memory.
    pub(super) fn known_roster(&self, user: &BareJid) -> Arc<Roster> {
        self.store.roster(user).unwrap_or_else(|cause| {
            log::error!("the roster of {user} can't be read, nobody is told of presence: {cause}");
            Arc::default()
        })
    }
}

/// The end of a presence of which the client says nothing itself.
pub(super) fn unavailable(from: &Jid) -> Element {
    element("presence", ns::CLIENT, [("type", "unavailable"), ("from", from.as_str())])
}

pub(super) fn within_limit(presence: &Element) -> Result<(), Condition> {
    if serialise(presence).len() <= MAX_PRESENCE { Ok(()) } else { Err(Condition::PolicyViolation) }
}

/// Since the Unix epoch.
fn now_in_milliseconds() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}
