//! `host.roster/1`: addresses, accounts, and who may see whom.

use abi_stable::{
    StableAbi,
    std_types::{RStr, RString},
};

use super::{
    root::{HostContext, Table},
    wire::Status,
};

/// The parts of a JID within its normalised text, as byte offsets.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, StableAbi)]
pub struct JidParts {
    /// Where the domainpart begins: 0 without a localpart, else one behind the `@`.
    pub domain: u32,
    /// Where the bare JID ends: the length of the text, or the place of the `/`.
    pub bare: u32,
    /// 1 if the domain is the one this server serves, else 0.
    pub local: u32,
}

/// What a user's account and roster say about a viewer: a set of flags. A plugin passes over those that it does not know.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, StableAbi)]
pub struct RelationFlags(pub u32);

impl RelationFlags {
    /// The user has an account on this server.
    pub const ACCOUNT: RelationFlags = RelationFlags(1);
    /// The viewer holds a subscription to the user's presence (`from` or `both`).
    pub const FROM: RelationFlags = RelationFlags(2);
    /// The user holds a subscription to the viewer's presence (`to` or `both`).
    pub const TO: RelationFlags = RelationFlags(4);
    /// The user blocks the viewer (XEP-0191).
    pub const BLOCKED: RelationFlags = RelationFlags(8);

    /// Whether all of `flags` are in this set.
    pub fn has(self, flags: RelationFlags) -> bool {
        self.0 & flags.0 == flags.0
    }

    /// This set, with `flags` if `set` says so.
    pub fn with(self, flags: RelationFlags, set: bool) -> RelationFlags {
        if set { RelationFlags(self.0 | flags.0) } else { self }
    }
}

/// The functions of `host.roster/1`.
#[repr(C)]
#[derive(StableAbi)]
#[sabi(kind(Prefix(prefix_ref = HostRosterRef, prefix_fields = HostRosterPrefix)))]
#[sabi(missing_field(panic))]
pub struct HostRoster {
    /// Appends the domain that this server serves.
    ///
    /// - Called: at any time. Threads: any; never blocks. Owned: `out` stays the caller's.
    pub domain: extern "C" fn(HostContext, out: &mut RString) -> Status,
    /// Normalises an address (RFC 7622) and appends it to `out`, which must be empty. `INVALID`: it is none.
    ///
    /// - Called: at any time. Threads: any; never blocks. Owned: `out` and `parts` stay the caller's.
    pub parse_jid: extern "C" fn(HostContext, text: RStr<'_>, out: &mut RString, parts: &mut JidParts) -> Status,
    /// What `user` lets `viewer` see, both bare JIDs; an empty viewer is a stranger.
    ///
    /// - Called: at any time. Threads: any; does not block, but where rosters are too many to be in memory from the start: there it may read the disk. Owned: `out` stays the caller's.
    #[sabi(last_prefix_field)]
    pub relation: extern "C" fn(HostContext, user: RStr<'_>, viewer: RStr<'_>, out: &mut RelationFlags) -> Status,
}

impl Table for HostRosterRef {
    const ID: &'static str = "host.roster/1";
}
