//! `host.stamps/1`: whether what was read of a user would be read again.

use abi_stable::{StableAbi, std_types::RStr};

use super::{
    root::{HostContext, Table},
    wire::Status,
};

/// The functions of `host.stamps/1`.
#[repr(C)]
#[derive(StableAbi)]
#[sabi(kind(Prefix(prefix_ref = HostStampsRef, prefix_fields = HostStampsPrefix)))]
#[sabi(missing_field(panic))]
pub struct HostStamps {
    /// Gives the stamp of `user`, a bare JID, whether there is such a user or not. It is another, and higher, after each change of what the other
    /// tables tell of that user to whom no viewer is named: the presence, whether there is an account, the records of this plugin that go with the
    /// account. It may be another without one.
    ///
    /// - Called: at any time. Threads: any; never blocks. Owned: nothing.
    #[sabi(last_prefix_field)]
    pub stamp: extern "C" fn(HostContext, user: RStr<'_>, out: &mut u64) -> Status,
}

impl Table for HostStampsRef {
    const ID: &'static str = "host.stamps/1";
}
