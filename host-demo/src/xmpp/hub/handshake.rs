//! Managing subscriptions (RFC 6121 section 3), both sides at once: where user and contact are of the same server, a stanza
//! that changes both rosters is one transaction. Of a component only the user's side is kept.
//!
//! A [`Draft`] collects what a stanza does to rosters and whom it is told to. Nothing leaves before it is committed.

use std::{collections::BTreeMap, sync::Arc, time::Instant};

use jid::BareJid;
use minidom::Element;

use super::{
    ConnectedResource, Hub,
    roster::MAX_ITEMS,
    stanza::{Condition, element, ns, serialise, set},
    subscription::{Request, State, inbound, outbound},
};
use crate::store::{
    RosterChange,
    roster::{Item, Roster},
};

/// The most requests that may wait for one user besides the listed contacts; further ones are ignored.
const MAX_WAITING: usize = 1_000;

/// A change of rosters that is not made yet. The locks of all users in it are held while it lives.
pub(super) struct Draft<'a> {
    hub: &'a Hub,
    items: BTreeMap<(BareJid, BareJid), Item>,
    deliveries: Vec<Delivery>,
}

/// What is sent once the change is on the disk.
enum Delivery {
    /// To all interested resources: an item of the roster as it is now, or `None` for a removed one.
    Push { owner: BareJid, contact: BareJid, item: Option<Item> },
    /// A request, to all available resources.
    Request { to: BareJid, stanza: Element },
    /// News about a subscription, to all interested resources.
    News { to: BareJid, stanza: Element },
    /// The present presence.
    Show { of: BareJid, to: BareJid },
    /// The end of presence.
    Hide { of: BareJid, to: BareJid },
    /// To a component, which keeps its own books.
    Away { to: BareJid, stanza: Element },
}

impl Hub {
    /// Takes a presence stanza that manages a subscription.
    pub(super) async fn subscription(
        &self,
        from: &ConnectedResource,
        request: Request,
        contact: &BareJid,
        stanza: &Element,
    ) -> Result<(), Condition> {
        let user = from.user();
        // Users are implicitly subscribed to their own presence (section 4.2.2).
        if contact == user {
            return Err(Condition::NotAllowed);
        }
        if request == Request::Subscribe && !self.requests.admit(user, Instant::now()) {
            return Err(Condition::TooOften);
        }
        let mut stanza = stanza.clone();
        set(&mut stanza, "from", user.as_str());
        set(&mut stanza, "to", contact.as_str());
        let _held = self.locks.hold([user, contact]).await;
        let mut draft = Draft::new(self);
        draft.send(request, user, contact, stanza)?;
        draft.commit().await
    }

    /// Takes a presence stanza by which an address at a component manages a subscription with a user.
    pub(super) async fn subscription_from_component(
        &self,
        from: &BareJid,
        request: Request,
        user: &BareJid,
        stanza: &Element,
    ) -> Result<(), Condition> {
        if request == Request::Subscribe && !self.requests.admit(from, Instant::now()) {
            return Err(Condition::TooOften);
        }
        let mut stanza = stanza.clone();
        set(&mut stanza, "from", from.as_str());
        set(&mut stanza, "to", user.as_str());
        let _held = self.locks.hold([user]).await;
        let mut draft = Draft::new(self);
        draft.arrive(request, user, from, stanza)?;
        draft.commit().await
    }

    /// `versions` are those of the rosters after the change.
    fn deliver(&self, delivery: Delivery, versions: &mut Versions) {
        match delivery {
            Delivery::Push { owner, contact, item } => {
                let version = versions.of_push(&owner, &contact);
                self.push(&owner, &contact, item.as_ref(), version);
            }
            Delivery::Request { to, stanza } => send_all(&self.registry.available(&to), &stanza),
            Delivery::News { to, stanza } => send_all(&self.registry.interested(&to), &stanza),
            Delivery::Show { of, to } => self.show_presence(&of, &to),
            Delivery::Hide { of, to } => self.hide_presence(&of, &to),
            Delivery::Away { to, stanza } => self.post_presence_away(&to, &stanza),
        }
    }
}

impl<'a> Draft<'a> {
    pub fn new(hub: &'a Hub) -> Draft<'a> {
        Draft { hub, items: BTreeMap::new(), deliveries: Vec::new() }
    }

    /// An item as this draft leaves it.
    pub fn item(&self, owner: &BareJid, contact: &BareJid) -> Result<Item, Condition> {
        match self.items.get(&(owner.clone(), contact.clone())) {
            Some(item) => Ok(item.clone()),
            None => Ok(self.hub.store.roster(owner)?.items.get(contact).cloned().unwrap_or_default()),
        }
    }

    /// Changes an item, with a roster push if its owner sees the change.
    pub fn put(&mut self, owner: &BareJid, contact: &BareJid, item: Item) -> Result<(), Condition> {
        let before = self.item(owner, contact)?;
        if item.listed && !before.listed && listed(&*self.hub.store.roster(owner)?) >= MAX_ITEMS {
            return Err(Condition::ResourceConstraint);
        }
        if visible(&before) != visible(&item) {
            let item = item.listed.then(|| item.clone());
            self.deliveries.push(Delivery::Push { owner: owner.clone(), contact: contact.clone(), item });
        }
        if before != item {
            self.items.insert((owner.clone(), contact.clone()), item);
        }
        Ok(())
    }

    /// The user's side: `user` sends `request` to `contact`.
    fn send(&mut self, request: Request, user: &BareJid, contact: &BareJid, stanza: Element) -> Result<(), Condition> {
        let before = self.item(user, contact)?;
        let state = State::of(&before);
        let row = outbound(request, state);
        let mut item = before.clone();
        row.next.write(&mut item, None);
        match request {
            Request::Subscribe => item.listed = true,
            Request::Subscribed if row.passes => item.listed = true,
            // Section 3.4.2: kept here, not routed.
            Request::Subscribed if state.takes_pre_approval() => (item.listed, item.approved) = (true, true),
            Request::Unsubscribed => item.approved = false,
            Request::Subscribed | Request::Unsubscribe => {}
        }
        self.put(user, contact, item)?;
        if row.passes {
            self.arrive(request, contact, user, stanza)?;
        }
        match request {
            Request::Subscribed if row.passes => self.show(user, contact),
            Request::Unsubscribed if before.from => self.hide(user, contact),
            _ => {}
        }
        Ok(())
    }

    /// The contact's side: `request` of `sender` arrives at `owner`. Of an unknown user nothing is heard (section 8.5.1).
    /// Nor of one who blocks the sender (XEP-0191 section 3.3): a request is dropped, and of what ends or answers one only
    /// the effect stays, so that the two rosters agree.
    pub fn arrive(
        &mut self,
        request: Request,
        owner: &BareJid,
        sender: &BareJid,
        stanza: Element,
    ) -> Result<(), Condition> {
        if !self.hub.serves(owner) {
            self.deliveries.push(Delivery::Away { to: owner.clone(), stanza });
            return Ok(());
        }
        if !self.hub.store.account_exists(owner.as_str()) {
            return Ok(());
        }
        let parted = self.hub.are_parted(owner, sender);
        if parted && request == Request::Subscribe {
            return Ok(());
        }
        let before = self.item(owner, sender)?;
        let state = State::of(&before);
        if request == Request::Subscribe && (before.from || before.approved) {
            return self.approve(owner, sender, before);
        }
        if request == Request::Subscribe && !before.listed && self.has_too_many_waiting(owner)? {
            return Ok(());
        }
        let row = inbound(request, state);
        let mut item = before.clone();
        row.next.write(&mut item, Some(&String::from(&stanza)));
        if row.passes && !parted {
            // Section 3.1.6: the stanza goes out before the push that it explains.
            let to = owner.clone();
            self.deliveries.push(match request {
                Request::Subscribe => Delivery::Request { to, stanza },
                _ => Delivery::News { to, stanza },
            });
        }
        self.put(owner, sender, item)?;
        if request == Request::Unsubscribe && before.from {
            self.hide(owner, sender);
        }
        Ok(())
    }

    /// Answers a request in the name of an owner who approved it before (sections 3.1.3 and 3.4.2).
    fn approve(&mut self, owner: &BareJid, sender: &BareJid, mut item: Item) -> Result<(), Condition> {
        let asked = inbound(Request::Subscribe, State::of(&item)).next;
        outbound(Request::Subscribed, asked).next.write(&mut item, None);
        self.put(owner, sender, item)?;
        self.arrive(Request::Subscribed, sender, owner, notice(Request::Subscribed, owner, sender))?;
        self.show(owner, sender);
        Ok(())
    }

    /// Tells a contact's presence no more.
    pub fn hide(&mut self, of: &BareJid, to: &BareJid) {
        self.deliveries.push(Delivery::Hide { of: of.clone(), to: to.clone() });
    }

    fn show(&mut self, of: &BareJid, to: &BareJid) {
        self.deliveries.push(Delivery::Show { of: of.clone(), to: to.clone() });
    }

    fn has_too_many_waiting(&self, owner: &BareJid) -> Result<bool, Condition> {
        let roster = self.hub.store.roster(owner)?;
        Ok(roster.items.len() - listed(&roster) >= MAX_WAITING)
    }

    /// Makes the change durable, then sends what it leads to. If it can't be stored nothing is changed or sent.
    pub async fn commit(self) -> Result<(), Condition> {
        let mut versions = Versions::of(&self.deliveries);
        if !self.items.is_empty() {
            let changes = self.items.into_iter().map(|((user, contact), item)| {
                let seen = versions.0.contains_key(&(user.clone(), contact.clone()));
                let item = (item != Item::default()).then_some(item);
                RosterChange { user, contact, item, seen }
            });
            let changes: Vec<_> = changes.collect();
            let made = self.hub.store.change_rosters(changes.clone()).await?;
            versions.set(&changes, &made);
        }
        for delivery in self.deliveries {
            self.hub.deliver(delivery, &mut versions);
        }
        Ok(())
    }
}

/// Of each item that is pushed, the pushes that are left and the version after the last of them.
struct Versions(BTreeMap<(BareJid, BareJid), (i64, i64)>);

impl Versions {
    fn of(deliveries: &[Delivery]) -> Versions {
        let mut versions = BTreeMap::new();
        for delivery in deliveries {
            if let Delivery::Push { owner, contact, .. } = delivery {
                versions.entry((owner.clone(), contact.clone())).or_insert((0, 0)).0 += 1;
            }
        }
        Versions(versions)
    }

    fn set(&mut self, changes: &[RosterChange], made: &[i64]) {
        for (change, version) in changes.iter().zip(made) {
            if let Some(entry) = self.0.get_mut(&(change.user.clone(), change.contact.clone())) {
                entry.1 = *version;
            }
        }
    }

    /// The version of the next push of an item. Only the last one has that of the roster: who misses it asks again. A push
    /// before it has the number below, which the store leaves out.
    fn of_push(&mut self, owner: &BareJid, contact: &BareJid) -> i64 {
        let Some((left, version)) = self.0.get_mut(&(owner.clone(), contact.clone())) else { return 0 };
        *left -= 1;
        if *left > 0 { *version - 1 } else { *version }
    }
}

/// A stanza that manages a subscription, written by the server.
pub(super) fn notice(request: Request, from: &BareJid, to: &BareJid) -> Element {
    element("presence", ns::CLIENT, [("type", request.name()), ("from", from.as_str()), ("to", to.as_str())])
}

fn send_all(resources: &[Arc<ConnectedResource>], stanza: &Element) {
    let stanza = serialise(stanza);
    for resource in resources {
        resource.post(stanza.clone());
    }
}

/// What a roster push would show of an item.
fn visible(item: &Item) -> Item {
    if item.listed { Item { request: None, ..item.clone() } } else { Item::default() }
}

fn listed(roster: &Roster) -> usize {
    roster.items.values().filter(|item| item.listed).count()
}
