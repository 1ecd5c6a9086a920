//! `plugin.life/1`: what happens to a plugin after its start.

use abi_stable::{
    StableAbi,
    std_types::{RResult, RString},
};

use super::root::Table;

/// The functions of `plugin.life/1`. A panic in any of them but `self_test` is logged and has no other effect.
#[repr(C)]
#[derive(StableAbi)]
#[sabi(kind(Prefix(prefix_ref = PluginLifeRef, prefix_fields = PluginLifePrefix)))]
#[sabi(missing_field(panic))]
pub struct PluginLife {
    /// The administrator changed a setting. The change counts as made when this returns.
    ///
    /// - Called: between `start` and `stop`. Threads: one of the host's; be brief. Owned: nothing.
    pub settings_changed: extern "C" fn(),
    /// The host writes other levels than before (numbers as in `host.log/1`).
    ///
    /// - Called: between `start` and `stop`. Threads: any. Owned: nothing.
    pub log_level_changed: extern "C" fn(level: u8),
    /// The bytes that the plugin's library has allocated and not freed.
    ///
    /// - Called: between `start` and the end of the process. Threads: any; never blocks. Owned: nothing.
    pub memory: extern "C" fn() -> u64,
    /// Whether the plugin can do its work. The error is for the administrator; a panic is one too.
    ///
    /// - Called: between `start` and `drain`, twice while a version that replaced another is on probation. Threads: one made by the
    ///   host for this call, which the plugin may block for 3 s. Owned: the error is the host's.
    pub self_test: extern "C" fn() -> RResult<(), RString>,
    /// A newer version serves, or the plugin is being removed: no new request will come. Or the server ends: on connections that are open some
    /// may still come. Streams should tell their clients to come back, and end. Those left after 30 s are cut; at the server's end after 5 s.
    ///
    /// - Called: once, before `stop`. Threads: one of the host's. Owned: nothing.
    pub drain: extern "C" fn(),
    /// The end: the plugin joins its threads and is dropped. The library stays mapped.
    ///
    /// - Called: once, when nothing of this plugin runs any more. Threads: one of the host's, which may block. Owned: nothing.
    #[sabi(last_prefix_field)]
    pub stop: extern "C" fn(),
}

impl Table for PluginLifeRef {
    const ID: &'static str = "plugin.life/1";
}
