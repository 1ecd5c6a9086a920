//! `host.log/1`: the host's log. Offered to every plugin, needed or not.

use abi_stable::{StableAbi, std_types::RStr};

use super::root::{HostContext, Table};

/// The functions of `host.log/1`. Levels are those of the `log` crate: 0 off, 1 error, 2 warn, 3 info, 4 debug, 5 trace.
#[repr(C)]
#[derive(StableAbi)]
#[sabi(kind(Prefix(prefix_ref = HostLogRef, prefix_fields = HostLogPrefix)))]
#[sabi(missing_field(panic))]
pub struct HostLog {
    /// The most detailed level that the host writes; changes come by `plugin.life/1`.
    ///
    /// - Called: at any time. Threads: any; never blocks. Owned: nothing.
    pub max_level: extern "C" fn(HostContext) -> u8,
    /// Writes one record.
    ///
    /// - Called: at any time, after the stop too. Threads: any. Owned: the host copies.
    #[sabi(last_prefix_field)]
    pub log: extern "C" fn(HostContext, level: u8, target: RStr<'_>, message: RStr<'_>),
}

impl Table for HostLogRef {
    const ID: &'static str = "host.log/1";
}
