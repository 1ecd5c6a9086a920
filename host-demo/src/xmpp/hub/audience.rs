//! Who sees a presence: the contacts who are subscribed to it (RFC 6121 section 4.2.2), unless user or contact blocks the
//! other (XEP-0191 section 3). Whoever begins or ceases to see a presence is told at that moment.

use std::{collections::BTreeSet, mem, sync::Arc};

use jid::{BareJid, Jid};
use minidom::Element;

use super::{ConnectedResource, Hub, presence::unavailable, registry::Broadcast, stanza::serialise_to};
use crate::store::{Blocklist, roster::Roster};

/// To whom a user shows presence, by the lists of one moment.
#[derive(Clone, PartialEq)]
pub(super) struct Audience {
    owner: BareJid,
    roster: Arc<Roster>,
    blocklist: Arc<Blocklist>,
}

/// Who may see a presence: a resource here, or an address of a component.
#[derive(Clone, Copy)]
pub(super) struct Viewer<'a> {
    pub jid: &'a Jid,
    /// Its bare JID.
    pub user: &'a BareJid,
}

impl Audience {
    /// The user and the contacts who are subscribed, those among them who are blocked too.
    pub fn members(&self) -> impl Iterator<Item = &BareJid> {
        let contacts = self.roster.items.iter().filter(|(_, item)| item.from);
        contacts.map(|(contact, _)| contact).chain([&self.owner])
    }

    /// Whether a viewer may see the presence: each of the user's own resources may (RFC 6121 section 4.2.2).
    pub fn includes(&self, viewer: Viewer<'_>) -> bool {
        let is_subscriber = || self.roster.items.get(viewer.user).is_some_and(|item| item.from);
        *viewer.user == self.owner || (is_subscriber() && !self.blocklist.blocks(viewer.jid.as_str()))
    }
}

impl Hub {
    /// To whom a user shows presence now.
    pub(super) fn audience(&self, user: &BareJid) -> Audience {
        Audience { owner: user.clone(), roster: self.known_roster(user), blocklist: self.store.blocklist(user) }
    }

    /// Shows one resource to a viewer, if it may see it. Asked under the lock: a subscription that ends meanwhile hides
    /// what is shown here. `send` addresses what it is given.
    pub(super) fn show(&self, resource: &ConnectedResource, to: Viewer<'_>, send: &dyn Fn(&Element)) {
        let presence = resource.presence.lock();
        let current = presence.current.as_ref().filter(|_| !self.blocks(to.jid, resource.jid()));
        if let Some(current) = current.filter(|_| self.audience(resource.user()).includes(to)) {
            send(&current.stanza);
        }
    }

    /// Shows the presence of all resources of a user to a contact who was just approved (RFC 6121 section 3.1.5).
    pub(super) fn show_presence(&self, of: &BareJid, to: &BareJid) {
        self.for_each_broadcast(of, |resource, current, audience| {
            self.send_presence(resource, to, &current.stanza, |viewer| audience.includes(viewer));
        });
    }

    /// Hides all resources of a user from a contact whose subscription just ended (RFC 6121 sections 3.2.2 and 3.3.3).
    pub(super) fn hide_presence(&self, of: &BareJid, to: &BareJid) {
        self.for_each_broadcast(of, |resource, current, _| {
            let goodbye = unavailable(resource.jid());
            self.send_presence(resource, to, &goodbye, |viewer| current.audience.includes(viewer));
        });
    }

    /// Tells of the broadcasts of a user, each under its lock, after which they hold for the audience of now.
    fn for_each_broadcast(&self, user: &BareJid, tell: impl Fn(&ConnectedResource, &Broadcast, &Audience)) {
        let audience = self.audience(user);
        for resource in self.registry.available(user) {
            if let Some(current) = &mut resource.presence.lock().current {
                tell(&resource, current, &audience);
                current.audience = audience.clone();
            }
        }
    }

    /// Shows and hides the presence of a user whose blocklist has changed.
    pub(super) fn renew_audience(&self, user: &BareJid) {
        let audience = self.audience(user);
        for resource in self.registry.connected(user) {
            let mut presence = resource.presence.lock();
            let mut leaving = BTreeSet::new();
            if let Some(current) = &mut presence.current {
                let last = mem::replace(&mut current.audience, audience.clone());
                for (jid, user) in audience.members().flat_map(|member| self.viewers_of(member)) {
                    let viewer = Viewer { jid: &jid, user };
                    match (last.includes(viewer), audience.includes(viewer)) {
                        (true, false) => drop(leaving.insert(jid)),
                        (false, true) => self.send_presence(&resource, &jid, &current.stanza, |_| true),
                        (true, true) | (false, false) => {}
                    }
                }
            }
            leaving.extend(self.take_back(&resource, &mut presence.directed));
            let goodbye = unavailable(resource.jid());
            leaving.iter().for_each(|jid| self.send_presence(&resource, jid, &goodbye, |_| true));
        }
    }

    /// The available resources of a member of an audience, or its address at a component.
    fn viewers_of<'a>(&self, member: &'a BareJid) -> Vec<(Jid, &'a BareJid)> {
        if !self.serves(member) {
            return vec![(member.clone().into(), member)];
        }
        let resources = self.registry.available(member);
        resources.iter().map(|resource| (resource.jid().clone().into(), member)).collect()
    }

    /// Shows and hides to a user, whose blocklist was `before`, the presence of contacts.
    pub(super) fn renew_view(&self, user: &BareJid, before: &Blocklist) {
        let (now, roster) = (self.store.blocklist(user), self.known_roster(user));
        let contacts = roster.items.iter().filter(|(_, item)| item.to).map(|(contact, _)| contact);
        let (here, away): (Vec<_>, Vec<_>) = contacts.partition(|contact| self.serves(contact));
        let shown_again = |contact: &&&BareJid| before.blocks(contact.as_str()) && !now.blocks(contact.as_str());
        for contact in away.iter().filter(shown_again) {
            self.registry.available(user).iter().for_each(|viewer| self.ask_for_presence(viewer, contact));
        }
        for resource in here.into_iter().flat_map(|contact| self.registry.available(contact)) {
            let jid = resource.jid();
            let (hidden, hides) = (before.blocks(jid.as_str()), now.blocks(jid.as_str()));
            let presence = resource.presence.lock();
            let Some(current) = presence.current.as_ref().filter(|_| hidden != hides) else { continue };
            let news = if hides { &unavailable(jid) } else { &current.stanza };
            for viewer in
                self.registry.available(user).iter().filter(|viewer| current.audience.includes(viewer.viewer()))
            {
                viewer.post(serialise_to(news, viewer.jid()));
            }
        }
    }

    /// Drops directed presence that went to whom the user blocks now. Returns who has to see its end.
    fn take_back(&self, resource: &ConnectedResource, directed: &mut BTreeSet<Jid>) -> Vec<Jid> {
        let blocks = |jid: &Jid| self.blocks(resource.jid(), jid);
        let mut leaving = Vec::new();
        for jid in mem::take(directed) {
            if !self.serves(&jid) && blocks(&jid) {
                leaving.push(jid);
                continue;
            }
            let (blocked, others): (Vec<_>, Vec<_>) =
                self.registry.addressed(&jid).into_iter().partition(|viewer| blocks(viewer.jid()));
            if blocked.is_empty() && !blocks(&jid) {
                directed.insert(jid);
                continue;
            }
            // Of an account with one blocked resource, the others are still to see the end.
            directed.extend(others.iter().map(|viewer| viewer.jid().clone().into()));
            leaving.extend(blocked.into_iter().map(|viewer| viewer.jid().clone().into()));
        }
        leaving
    }
}

impl ConnectedResource {
    pub fn viewer(&self) -> Viewer<'_> {
        Viewer { jid: self.jid(), user: self.user() }
    }
}
