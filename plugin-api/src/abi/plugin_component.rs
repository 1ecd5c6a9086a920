//! `plugin.component/1`: receives what is sent to the address that `host.component/1` gives.

use abi_stable::{StableAbi, std_types::RStr};

use super::root::Table;

/// The functions of `plugin.component/1`.
#[repr(C)]
#[derive(StableAbi)]
#[sabi(kind(Prefix(prefix_ref = PluginComponentRef, prefix_fields = PluginComponentPrefix)))]
#[sabi(missing_field(panic))]
pub struct PluginComponent {
    /// A stanza arrived for the plugin's address, or for one at it: XML text in the namespace `jabber:client`, with `from` and `to`
    /// normalised. It goes to the version that is in service when it arrives; one that is replaced is still given what
    /// arrived before, within the time that it has to come to its end.
    ///
    /// - Called: from the moment at which the plugin comes into service to `stop`, one stanza after the other, in their order.
    ///   Threads: one made by the host for this, which the plugin may block. Owned: `stanza` is lent for the call.
    #[sabi(last_prefix_field)]
    pub stanza: extern "C" fn(stanza: RStr<'_>),
}

impl Table for PluginComponentRef {
    const ID: &'static str = "plugin.component/1";
}
