//! `host.timers/1`: being called later, without a thread that waits.

use abi_stable::StableAbi;

use super::{
    root::{HostContext, Table},
    wire::Status,
};

/// The functions of `host.timers/1`.
#[repr(C)]
#[derive(StableAbi)]
#[sabi(kind(Prefix(prefix_ref = HostTimersRef, prefix_fields = HostTimersPrefix)))]
#[sabi(missing_field(panic))]
pub struct HostTimers {
    /// Tells `plugin.timers/1`, once, when so many milliseconds have passed, and never before; more than a year is a year. `timer` is
    /// the plugin's own number, to be used once. `FULL`: 10,000 wait already.
    ///
    /// - Called: at any time; one set in `start` is told after it. Threads: any; never blocks. Owned: nothing.
    pub set: extern "C" fn(HostContext, timer: u64, milliseconds: u64) -> Status,
    /// Forgets a timer. `UNKNOWN`: it is being told or has been, or never was.
    ///
    /// - Called: at any time. Threads: any; never blocks. Owned: nothing.
    #[sabi(last_prefix_field)]
    pub cancel: extern "C" fn(HostContext, timer: u64) -> Status,
}

impl Table for HostTimersRef {
    const ID: &'static str = "host.timers/1";
}
