//! `plugin.timers/1`: is told when timers that were set by `host.timers/1` are due.

use abi_stable::StableAbi;

use super::root::Table;

/// The functions of `plugin.timers/1`.
#[repr(C)]
#[derive(StableAbi)]
#[sabi(kind(Prefix(prefix_ref = PluginTimersRef, prefix_fields = PluginTimersPrefix)))]
#[sabi(missing_field(panic))]
pub struct PluginTimers {
    /// The time of this timer has come.
    ///
    /// - Called: between `start` and `stop`, once a timer, in the order in which they are due. Threads: that of `plugin.presence/1 changed`,
    ///   in turn with it: what takes long here keeps others waiting. Owned: nothing.
    #[sabi(last_prefix_field)]
    pub due: extern "C" fn(timer: u64),
}

impl Table for PluginTimersRef {
    const ID: &'static str = "plugin.timers/1";
}
