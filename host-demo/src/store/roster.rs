//! The roster of a user (RFC 6121 section 2) as stored.

use std::collections::BTreeMap;

use jid::BareJid;

/// The contacts of one user, by bare JID. A value never changes: a change makes a new one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Roster {
    /// The contacts, with those only known by a pending request.
    pub items: BTreeMap<BareJid, Item>,
}

/// What a user keeps about one contact.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Item {
    /// The user's own name for the contact.
    pub name: Option<String>,
    /// The groups that the user put the contact in.
    pub groups: Vec<String>,
    /// The contact's presence goes to the user (`to` or `both`).
    pub to: bool,
    /// The user's presence goes to the contact (`from` or `both`).
    pub from: bool,
    /// The user asked for the contact's presence and waits ("pending out").
    pub ask: bool,
    /// The user approved the contact before being asked (RFC 6121 section 3.4).
    pub approved: bool,
    /// The contact's request that waits for the user ("pending in"): the whole stanza, serialised.
    pub request: Option<String>,
    /// Whether the user sees the contact: `false` for one known only by its pending request or a pre-approval.
    pub listed: bool,
}
