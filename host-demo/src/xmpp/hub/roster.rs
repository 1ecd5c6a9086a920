//! Managing the roster (RFC 6121 section 2).

use std::{collections::BTreeSet, sync::Arc};

use jid::BareJid;
use minidom::Element;

use super::{
    ConnectedResource, Hub,
    handshake::{Draft, notice},
    stanza::{Condition, element, ns, result, set},
    subscription::Request,
};
use crate::{
    address,
    store::roster::{Item, Roster},
};

/// The most contacts that a user may list.
pub(super) const MAX_ITEMS: usize = 1_000;
/// The most groups of one contact.
const MAX_GROUPS: usize = 16;
/// The most bytes of a contact's or a group's name.
const MAX_NAME: usize = 1_023;

/// What a roster set asks for: exactly one item (section 2.1.5).
#[derive(Debug, PartialEq, Eq)]
enum RosterSet {
    Update { contact: BareJid, name: Option<String>, groups: Vec<String> },
    Remove { contact: BareJid },
}

impl Hub {
    /// Answers a roster get; from now on the resource is interested in pushes (section 2.2). `query` may name the version
    /// that the client has (section 2.6.2).
    pub(super) async fn roster_get(
        &self,
        from: &ConnectedResource,
        request: &Element,
        query: &Element,
    ) -> Result<(), Condition> {
        // Under the lock: a push that is not in this answer comes after it.
        let _held = self.locks.hold([from.user()]).await;
        let roster = self.store.roster(from.user())?;
        from.become_interested();
        match query.attr("ver").and_then(|version| known_version(&roster, version)) {
            Some(version) => {
                from.send(&result(request, None));
                from.gather(|| self.push_since(from, &roster, version));
            }
            None => {
                let whole = result(request, Some(whole(&roster, query.attr("ver").is_some())));
                from.gather(|| {
                    from.send(&whole);
                });
            }
        }
        Ok(())
    }

    /// Sends what has changed since a version, as the pushes that the client has missed (section 2.6.3).
    fn push_since(&self, to: &ConnectedResource, roster: &Roster, version: i64) {
        let mut changed: Vec<_> =
            roster.items.iter().filter(|(_, item)| item.listed && item.version > version).collect();
        changed.sort_by_key(|(_, item)| item.version);
        for (contact, item) in changed {
            to.send(&self.push_stanza(contact, Some(item), item.version, to));
        }
    }

    /// Makes the change that a roster set asks for (sections 2.3 to 2.5).
    pub(super) async fn roster_set(&self, from: &Arc<ConnectedResource>, query: &Element) -> Result<(), Condition> {
        let change = RosterSet::parse(query)?;
        let (RosterSet::Update { contact, .. } | RosterSet::Remove { contact }) = &change;
        if contact == from.user() {
            return Err(Condition::NotAllowed);
        }
        // An update is the owner's alone: were the contact held too, whoever has the same one would wait for each other's commit.
        let other_side = matches!(change, RosterSet::Remove { .. }).then_some(contact);
        let _held = self.locks.hold(other_side.into_iter().chain([from.user()])).await;
        let mut draft = Draft::new(self);
        match change {
            RosterSet::Update { contact, name, groups } => {
                let item = draft.item(from.user(), &contact)?;
                draft.put(from.user(), &contact, Item { name, groups, listed: true, ..item })?;
            }
            RosterSet::Remove { contact } => remove(&mut draft, from.user(), &contact)?,
        }
        draft.commit().await
    }

    /// Sends a roster push to the interested resources of `owner` (section 2.1.6). `None`: the item is gone.
    pub(super) fn push(&self, owner: &BareJid, contact: &BareJid, item: Option<&Item>, version: i64) {
        for resource in self.registry.interested(owner) {
            resource.send(&self.push_stanza(contact, item, version, &resource));
        }
    }

    fn push_stanza(&self, contact: &BareJid, item: Option<&Item>, version: i64, to: &ConnectedResource) -> Element {
        let mut query = element("query", ns::ROSTER, [("ver", &version.to_string())]);
        query.append_child(describe(contact, item));
        let attributes = [("type", "set"), ("id", &self.next_push()), ("to", to.jid().as_str())];
        let mut push = element("iq", ns::CLIENT, attributes);
        push.append_child(query);
        push
    }

    /// Pushes an item that was changed elsewhere, as it is stored now.
    pub(super) async fn push_current(&self, owner: &BareJid, contact: &BareJid) {
        let _held = self.locks.hold([owner]).await;
        match self.store.roster(owner) {
            Ok(roster) => {
                if let Some(item) = roster.items.get(contact).filter(|item| item.listed) {
                    self.push(owner, contact, Some(item), item.version);
                }
            }
            Err(cause) => log::error!("{owner} is not told that {contact} was removed: {cause}"),
        }
    }
}

/// A version that the client may name: one since which nothing was removed.
fn known_version(roster: &Roster, version: &str) -> Option<i64> {
    let version = version.parse().ok()?;
    (roster.whole_before..=roster.version).contains(&version).then_some(version)
}

/// All that the user sees, with the version for a client that knows of versions.
fn whole(roster: &Roster, with_version: bool) -> Element {
    let mut query = Element::bare("query", ns::ROSTER);
    if with_version {
        set(&mut query, "ver", &roster.version.to_string());
    }
    for (contact, item) in roster.items.iter().filter(|(_, item)| item.listed) {
        query.append_child(describe(contact, Some(item)));
    }
    query
}

/// Section 2.5: with the item go the subscriptions, in both directions.
fn remove(draft: &mut Draft<'_>, user: &BareJid, contact: &BareJid) -> Result<(), Condition> {
    let item = draft.item(user, contact)?;
    if !item.listed {
        return Err(Condition::ItemNotFound);
    }
    draft.put(user, contact, Item::default())?;
    if item.to || item.ask {
        draft.arrive(Request::Unsubscribe, contact, user, notice(Request::Unsubscribe, user, contact))?;
    }
    if item.from || item.request.is_some() {
        draft.arrive(Request::Unsubscribed, contact, user, notice(Request::Unsubscribed, user, contact))?;
    }
    if item.from {
        draft.hide(user, contact);
    }
    Ok(())
}

impl RosterSet {
    /// Checks a `<query/>` by the rules of section 2.3.3.
    fn parse(query: &Element) -> Result<RosterSet, Condition> {
        let mut items = query.children().filter(|child| child.is("item", ns::ROSTER));
        let (Some(item), None) = (items.next(), items.next()) else { return Err(Condition::BadRequest) };
        let jid = item.attr("jid").ok_or(Condition::BadRequest)?;
        let contact = address::jid(jid).map_err(|_| Condition::JidMalformed)?.into_bare();
        if item.attr("subscription") == Some("remove") {
            return Ok(RosterSet::Remove { contact });
        }
        let name = item.attr("name").filter(|name| !name.is_empty());
        if name.is_some_and(|name| name.len() > MAX_NAME) {
            return Err(Condition::NotAcceptable);
        }
        Ok(RosterSet::Update { contact, name: name.map(str::to_owned), groups: groups(item)? })
    }
}

fn groups(item: &Element) -> Result<Vec<String>, Condition> {
    let groups = item.children().filter(|child| child.is("group", ns::ROSTER));
    let groups: Vec<_> = groups.map(Element::text).take(MAX_GROUPS + 1).collect();
    let is_name = |group: &String| (1..=MAX_NAME).contains(&group.len());
    if groups.len() > MAX_GROUPS || !groups.iter().all(is_name) {
        return Err(Condition::NotAcceptable);
    }
    if groups.iter().collect::<BTreeSet<_>>().len() < groups.len() {
        return Err(Condition::BadRequest);
    }
    Ok(groups)
}

/// The `<item/>` that describes a contact (section 2.1.2). `None`: the contact was removed.
fn describe(contact: &BareJid, item: Option<&Item>) -> Element {
    let mut described = element("item", ns::ROSTER, [("jid", contact.as_str())]);
    let Some(item) = item else {
        set(&mut described, "subscription", "remove");
        return described;
    };
    let subscription = match (item.to, item.from) {
        (true, true) => "both",
        (true, false) => "to",
        (false, true) => "from",
        (false, false) => "none",
    };
    set(&mut described, "subscription", subscription);
    if let Some(name) = &item.name {
        set(&mut described, "name", name);
    }
    if item.ask {
        set(&mut described, "ask", "subscribe");
    }
    if item.approved {
        set(&mut described, "approved", "true");
    }
    for group in &item.groups {
        let mut element = Element::bare("group", ns::ROSTER);
        element.append_text(group.as_str());
        described.append_child(element);
    }
    described
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(items: &str) -> Result<RosterSet, Condition> {
        RosterSet::parse(&format!("<query xmlns='jabber:iq:roster'>{items}</query>").parse().unwrap())
    }

    fn with_groups(groups: impl Iterator<Item = String>) -> Result<RosterSet, Condition> {
        let groups: String = groups.map(|group| format!("<group>{group}</group>")).collect();
        parse(&format!("<item jid='bob@here'>{groups}</item>"))
    }

    #[test]
    fn a_set_has_exactly_one_item_with_a_jid() {
        assert_eq!(parse(""), Err(Condition::BadRequest));
        assert_eq!(parse("<item jid='a@here'/><item jid='b@here'/>"), Err(Condition::BadRequest));
        assert_eq!(parse("<item name='Bob'/>"), Err(Condition::BadRequest));
        assert_eq!(parse("<item jid='@here'/>"), Err(Condition::JidMalformed));
    }

    #[test]
    fn names_have_at_most_1_023_bytes() {
        let named = |name: String| parse(&format!("<item jid='bob@here' name='{name}'/>"));
        assert!(named("é".repeat(511)).is_ok());
        assert_eq!(named("é".repeat(512)), Err(Condition::NotAcceptable));
    }

    #[test]
    fn groups_are_at_most_16_and_not_empty_or_double() {
        assert!(with_groups((0..16).map(|number| number.to_string())).is_ok());
        assert_eq!(with_groups((0..17).map(|number| number.to_string())), Err(Condition::NotAcceptable));
        assert_eq!(with_groups([String::new()].into_iter()), Err(Condition::NotAcceptable));
        assert_eq!(with_groups(["x".repeat(1_024)].into_iter()), Err(Condition::NotAcceptable));
        assert_eq!(with_groups(["a", "a"].map(String::from).into_iter()), Err(Condition::BadRequest));
    }

    #[test]
    fn a_version_is_known_back_to_the_last_removal() {
        let roster = Roster { version: 9, whole_before: 5, ..Roster::default() };
        for (version, known) in [("5", Some(5)), ("9", Some(9)), ("4", None), ("10", None), ("", None), ("x", None)] {
            assert_eq!(known_version(&roster, version), known, "{version:?}");
        }
    }

    #[test]
    fn an_item_shows_its_subscription_ask_and_approval() {
        let bob = BareJid::new("bob@here").unwrap();
        let item = Item { from: true, ask: true, approved: true, listed: true, ..Item::default() };
        let shown = describe(&bob, Some(&item));
        let attributes = ["jid", "subscription", "ask", "approved"].map(|name| shown.attr(name).unwrap());
        assert_eq!(attributes, ["bob@here", "from", "subscribe", "true"]);
        assert_eq!(describe(&bob, None).attr("subscription"), Some("remove"));
    }
}
