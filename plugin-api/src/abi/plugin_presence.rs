//! `plugin.presence/1`: receives the changes that were subscribed to by `host.presence/1`.

use abi_stable::{StableAbi, std_types::RStr};

use super::root::Table;

/// The functions of `plugin.presence/1`.
#[repr(C)]
#[derive(StableAbi)]
#[sabi(kind(Prefix(prefix_ref = PluginPresenceRef, prefix_fields = PluginPresencePrefix)))]
#[sabi(missing_field(panic))]
pub struct PluginPresence {
    /// The presence of `user` changed; read it to learn to what. Changes of one user that come faster than they are told
    /// are told once: `lost` is how many were left out.
    ///
    /// - Called: between `start` and `stop`, in the order of the changes of each user. Threads: one at a time, made by the host
    ///   for this generation. Owned: `user` is lent for the call.
    #[sabi(last_prefix_field)]
    pub changed: extern "C" fn(subscription: u64, user: RStr<'_>, lost: u32),
}

impl Table for PluginPresenceRef {
    const ID: &'static str = "plugin.presence/1";
}
