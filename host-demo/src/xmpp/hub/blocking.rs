//! The blocking command (XEP-0191): the list of a user, and what it keeps apart.
//!
//! Between a user and whom the user blocks nothing is delivered, in either direction, and the user looks offline: what
//! comes from a blocked JID is answered as if no resource were there, or not at all. Blocking is polite (section 4): the
//! subscriptions stay.

use jid::Jid;
use minidom::Element;

use super::{
    ConnectedResource, Hub,
    stanza::{Condition, Stanza, element, ns, result, set},
};
use crate::{address, store::BlocklistChange};

/// The most JIDs that a user may block.
const MAX_BLOCKED: usize = 1_000;
/// The most bytes of these JIDs. The list is one stanza, which must fit an outbox even if all of it has to be escaped.
const MAX_BYTES: usize = 128 << 10;

impl Hub {
    /// Answers a request for the blocklist; from now on the resource is sent its changes (section 3.2).
    pub(super) async fn blocklist_get(&self, from: &ConnectedResource, request: &Element) {
        // Under the lock: a push that is not in this answer comes after it.
        let _held = self.locks.hold([from.user()]).await;
        let list = self.store.blocklist(from.user());
        from.follow_blocklist();
        from.send(&result(request, Some(with_items("blocklist", list.iter()))));
    }

    /// Makes the change that a client asks for, shows and hides presence by it, and pushes it (sections 3.3 to 3.5).
    pub(super) async fn blocklist_set(&self, from: &ConnectedResource, command: &Element) -> Result<(), Condition> {
        let change = parse(command)?;
        let user = from.user();
        let _held = self.locks.hold([user]).await;
        let before = self.store.blocklist(user);
        let after = before.with(&change);
        let bytes = || after.iter().map(str::len).sum::<usize>();
        if matches!(change, BlocklistChange::Block(_)) && (after.len() > MAX_BLOCKED || bytes() > MAX_BYTES) {
            return Err(Condition::ResourceConstraint);
        }
        self.store.change_blocklist(user, change.clone()).await?;
        self.renew_audience(user);
        self.renew_view(user, &before);
        self.push_blocking(from, &change);
        Ok(())
    }

    /// Refuses what a user sends to whom the user blocks (section 3.3). Nobody can block the server itself: it is whom a
    /// client asks whether it can unblock.
    pub(super) fn refuse_blocked(&self, from: &ConnectedResource, stanza: &Stanza) -> Result<(), Condition> {
        match &stanza.to {
            Some(to) if !self.is_self(to) && self.store.blocks(from.jid().as_str(), to.as_str()) => {
                Err(Condition::Blocked)
            }
            _ => Ok(()),
        }
    }

    /// Whether the user of one address blocks the other.
    pub(super) fn blocks(&self, one: &Jid, other: &Jid) -> bool {
        self.store.blocks(one.as_str(), other.as_str())
    }

    /// Whether one of two addresses is blocked by the user of the other.
    pub(super) fn are_parted(&self, one: &Jid, other: &Jid) -> bool {
        let (one, other) = (one.as_str(), other.as_str());
        self.store.blocks(one, other) || self.store.blocks(other, one)
    }

    fn push_blocking(&self, from: &ConnectedResource, change: &BlocklistChange) {
        let mut push = element("iq", ns::CLIENT, [("type", "set"), ("id", &self.next_push())]);
        push.append_child(describe(change));
        for resource in self.registry.blocklist_followers(from.user()) {
            set(&mut push, "to", resource.jid().as_str());
            resource.send(&push);
        }
    }
}

/// Reads a `<block/>` or `<unblock/>`.
fn parse(command: &Element) -> Result<BlocklistChange, Condition> {
    let items = command.children().filter(|child| child.is("item", ns::BLOCKING));
    let jids = items.map(|item| {
        let jid = item.attr("jid").ok_or(Condition::BadRequest)?;
        address::jid(jid).map_err(|_| Condition::JidMalformed)
    });
    let jids: Vec<_> = jids.collect::<Result<_, _>>()?;
    match (command.name(), jids.is_empty()) {
        ("unblock", true) => Ok(BlocklistChange::UnblockAll),
        ("unblock", false) => Ok(BlocklistChange::Unblock(jids)),
        (_, true) => Err(Condition::BadRequest),
        (_, false) => Ok(BlocklistChange::Block(jids)),
    }
}

/// The command that asks for a change.
fn describe(change: &BlocklistChange) -> Element {
    match change {
        BlocklistChange::Block(jids) => with_items("block", jids.iter().map(Jid::as_str)),
        BlocklistChange::Unblock(jids) => with_items("unblock", jids.iter().map(Jid::as_str)),
        BlocklistChange::UnblockAll => with_items("unblock", []),
    }
}

fn with_items<'a>(name: &str, jids: impl IntoIterator<Item = &'a str>) -> Element {
    let mut described = Element::bare(name, ns::BLOCKING);
    for jid in jids {
        described.append_child(element("item", ns::BLOCKING, [("jid", jid)]));
    }
    described
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(command: &str, items: &str) -> Result<BlocklistChange, Condition> {
        super::parse(&format!("<{command} xmlns='urn:xmpp:blocking'>{items}</{command}>").parse().unwrap())
    }

    #[test]
    fn only_unblocking_may_name_nobody() {
        assert_eq!(parse("block", ""), Err(Condition::BadRequest));
        assert_eq!(parse("block", "<item xmlns='other' jid='bob@here'/>"), Err(Condition::BadRequest));
        assert_eq!(parse("unblock", ""), Ok(BlocklistChange::UnblockAll));
    }

    #[test]
    fn each_item_needs_a_jid() {
        for command in ["block", "unblock"] {
            assert_eq!(parse(command, "<item jid='bob@here'/><item/>"), Err(Condition::BadRequest));
            // The DNS has no room for the last.
            let long = format!("bob@{}.example", "é".repeat(64));
            for jid in ["", "@here", "bob@", "bob@here/", "b b@here", &long] {
                let items = format!("<item jid='bob@here'/><item jid='{jid}'/>");
                assert_eq!(parse(command, &items), Err(Condition::JidMalformed), "{jid:?}");
            }
        }
    }

    #[test]
    fn a_change_is_described_as_it_is_asked_for() {
        let items = "<item jid='Bob@Here/Phone'/><item jid='There'/>";
        for (command, items, jids) in [
            ("block", items, &["bob@here/Phone", "there"][..]),
            ("unblock", items, &["bob@here/Phone", "there"]),
            ("unblock", "", &[]),
        ] {
            let described = describe(&parse(command, items).unwrap());
            assert_eq!(described, with_items(command, jids.iter().copied()));
        }
    }
}
