//! Who sees a presence: the contacts who are subscribed to it (RFC 6121 section 4.2.2), unless user or contact blocks the
//! other (XEP-0191 section 3). Whoever begins or ceases to see a presence is told at that moment.

use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
    sync::Arc,
};

use jid::{BareJid, FullJid, Jid};
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

impl Audience {
    /// The user and the contacts who are subscribed, those among them who are blocked too.
    pub fn members(&self) -> impl Iterator<Item = &BareJid> {
        let contacts = self.roster.items.iter().filter(|(_, item)| item.from);
        contacts.map(|(contact, _)| contact).chain([&self.owner])
    }

    /// Whether a resource of a member may see the presence: each of the user's own may (RFC 6121 section 4.2.2).
    pub fn includes(&self, viewer: &ConnectedResource) -> bool {
        let is_subscriber = || self.roster.items.get(viewer.user()).is_some_and(|item| item.from);
        *viewer.user() == self.owner || (is_subscriber() && !self.blocklist.blocks(viewer.jid().as_str()))
    }
}

impl Hub {
    /// To whom a user shows presence now.
    pub(super) fn audience(&self, user: &BareJid) -> Audience {
        Audience { owner: user.clone(), roster: self.known_roster(user), blocklist: self.store.blocklist(user) }
    }

    /// Shows one resource to another, if it may see it. Asked under the lock: a subscription that ends meanwhile hides
    /// what is shown here.
    pub(super) fn show(&self, resource: &ConnectedResource, to: &ConnectedResource) {
        let presence = resource.presence.lock();
        if let Some(current) = presence.current.as_ref().filter(|_| self.audience(resource.user()).includes(to)) {
            self.tell(to, resource, &current.stanza);
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
            let mut leaving = BTreeMap::new();
            if let Some(current) = &mut presence.current {
                let last = mem::replace(&mut current.audience, audience.clone());
                for viewer in audience.members().flat_map(|member| self.registry.available(member)) {
                    match (last.includes(&viewer), audience.includes(&viewer)) {
                        (true, false) => drop(leaving.insert(viewer.jid().clone(), viewer)),
                        (false, true) => self.tell(&viewer, &resource, &current.stanza),
                        (true, true) | (false, false) => {}
                    }
                }
            }
            leaving.extend(self.take_back(&resource, &mut presence.directed));
            for viewer in leaving.values() {
                self.tell(viewer, &resource, &unavailable(resource.jid()));
            }
        }
    }

    /// Shows and hides to a user, whose blocklist was `before`, the presence of contacts.
    pub(super) fn renew_view(&self, user: &BareJid, before: &Blocklist) {
        let (now, roster) = (self.store.blocklist(user), self.known_roster(user));
        let contacts = roster.items.iter().filter(|(_, item)| item.to).map(|(contact, _)| contact);
        for resource in contacts.flat_map(|contact| self.registry.available(contact)) {
            let jid = resource.jid();
            let (hidden, hides) = (before.blocks(jid.as_str()), now.blocks(jid.as_str()));
            let presence = resource.presence.lock();
            let Some(current) = presence.current.as_ref().filter(|_| hidden != hides) else { continue };
            let news = if hides { &unavailable(jid) } else { &current.stanza };
            for viewer in self.registry.available(user).iter().filter(|viewer| current.audience.includes(viewer)) {
                viewer.post(serialise_to(news, viewer.jid()));
            }
        }
    }

    /// Drops directed presence that went to whom the user blocks now. Returns who has to see its end.
    fn take_back(
        &self,
        resource: &ConnectedResource,
        directed: &mut BTreeSet<Jid>,
    ) -> Vec<(FullJid, Arc<ConnectedResource>)> {
        let blocks = |jid: &Jid| self.store.blocks(resource.jid().as_str(), jid.as_str());
        let mut leaving = Vec::new();
        for jid in mem::take(directed) {
            let (blocked, others): (Vec<_>, Vec<_>) =
                self.registry.addressed(&jid).into_iter().partition(|viewer| blocks(viewer.jid()));
            if blocked.is_empty() && !blocks(&jid) {
                directed.insert(jid);
                continue;
            }
            // Of an account with one blocked resource, the others are still to see the end.
            directed.extend(others.iter().map(|viewer| viewer.jid().clone().into()));
            leaving.extend(blocked.into_iter().map(|viewer| (viewer.jid().clone(), viewer)));
        }
        leaving
    }

    /// Sends the presence of `resource` to a viewer, unless its user blocks it.
    fn tell(&self, viewer: &ConnectedResource, resource: &ConnectedResource, presence: &Element) {
        if !self.blocks(viewer, resource) {
            viewer.post(serialise_to(presence, viewer.jid()));
        }
    }
}
