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
    /// Whether the domain is the one this server serves.
    pub local: bool,
}

/// What a user's account and roster say about a viewer.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, StableAbi)]
pub struct RelationView {
    /// The user has an account on this server.
    pub account: bool,
    /// The viewer holds a subscription to the user's presence (`from` or `both`).
    pub from: bool,
    /// The user holds a subscription to the viewer's presence (`to` or `both`).
    pub to: bool,
    /// The user blocks the viewer (XEP-0191).
    pub blocked: bool,
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
    /// - Called: at any time. Threads: any; reads the disk the first time a user is asked for. Owned: `out` stays the caller's.
    #[sabi(last_prefix_field)]
    pub relation: extern "C" fn(HostContext, user: RStr<'_>, viewer: RStr<'_>, out: &mut RelationView) -> Status,
}

impl Table for HostRosterRef {
    const ID: &'static str = "host.roster/1";
}
