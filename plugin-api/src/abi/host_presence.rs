//! `host.presence/1`: who is available.

use abi_stable::{
    StableAbi,
    std_types::{RSlice, RStr},
};

use super::{
    root::{HostContext, Table},
    visitor::PresenceVisitor,
    wire::Status,
};

/// The availability of a resource (RFC 6121 section 4.7.2.1).
#[repr(transparent)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, StableAbi)]
pub struct ShowCode(pub u8);

impl ShowCode {
    /// No `<show/>`.
    pub const AVAILABLE: ShowCode = ShowCode(0);
    /// `chat`
    pub const CHAT: ShowCode = ShowCode(1);
    /// `away`
    pub const AWAY: ShowCode = ShowCode(2);
    /// `xa`
    pub const XA: ShowCode = ShowCode(3);
    /// `dnd`
    pub const DND: ShowCode = ShowCode(4);
}

/// One available resource.
#[repr(C)]
#[derive(Clone, Copy, StableAbi)]
pub struct ResourceView<'a> {
    /// The resourcepart.
    pub name: RStr<'a>,
    /// The text of `<status/>` as sent; empty when none.
    pub status: RStr<'a>,
    /// When this presence was received.
    pub since: u64,
    /// Its availability.
    pub show: ShowCode,
    /// Its priority.
    pub priority: i8,
}

/// All that is known of a user's presence.
#[repr(C)]
#[derive(Clone, Copy, StableAbi)]
pub struct PresenceView<'a> {
    /// The available resources, oldest presence first; none: offline.
    pub resources: RSlice<'a, ResourceView<'a>>,
    /// The text of the last unavailable stanza; empty when it had none.
    pub last_status: RStr<'a>,
    /// When the last resource went away; 0 when not known.
    pub last_since: u64,
}

/// The functions of `host.presence/1`.
#[repr(C)]
#[derive(StableAbi)]
#[sabi(kind(Prefix(prefix_ref = HostPresenceRef, prefix_fields = HostPresencePrefix)))]
#[sabi(missing_field(panic))]
pub struct HostPresence {
    /// Shows the presence of `user`, a bare JID, to the visitor, exactly once if the answer is `OK`. An unknown user is
    /// shown as one who never came online.
    ///
    /// - Called: at any time. Threads: any; never blocks. Owned: the view lives for the visit.
    pub read: extern "C" fn(HostContext, user: RStr<'_>, visitor: PresenceVisitor<'_>) -> Status,
    /// From now on tells `plugin.presence/1` of changes of `user`'s presence; an empty `user` means everybody. `subscription`
    /// is the plugin's own number, to be used once.
    ///
    /// - Called: at any time. Threads: any; never blocks. Owned: nothing is kept of `user` but a copy.
    pub subscribe: extern "C" fn(HostContext, user: RStr<'_>, subscription: u64) -> Status,
    /// Ends a subscription. A change that is being told at this moment may still arrive.
    ///
    /// - Called: at any time. Threads: any; never blocks. Owned: nothing.
    #[sabi(last_prefix_field)]
    pub unsubscribe: extern "C" fn(HostContext, subscription: u64) -> Status,
}

impl Table for HostPresenceRef {
    const ID: &'static str = "host.presence/1";
}
