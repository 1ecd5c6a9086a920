//! `host.component/1`: an XMPP address of the plugin's own (XEP-0114 in spirit: a component, but of this process).

use abi_stable::{
    StableAbi,
    std_types::{RStr, RString},
};

use super::{
    root::{HostContext, Table},
    wire::Status,
};

/// The functions of `host.component/1`. What others send to the address comes by `plugin.component/1`.
#[repr(C)]
#[derive(StableAbi)]
#[sabi(kind(Prefix(prefix_ref = HostComponentRef, prefix_fields = HostComponentPrefix)))]
#[sabi(missing_field(panic))]
pub struct HostComponent {
    /// Appends the address, `<plugin id>.<domain>`, to `out`. It is the same for all versions of the plugin.
    ///
    /// - Called: at any time. Threads: any; never blocks. Owned: `out` stays the caller's.
    pub address: extern "C" fn(HostContext, out: &mut RString) -> Status,
    /// Sends one stanza, as XML text whose default namespace is `jabber:client`. It has a `to`, and a `from` that is the address
    /// or one at it (`bot@<address>/1`). Stanzas leave in the order of the calls. What becomes of one that is not delivered comes back as
    /// an error stanza. `INVALID`: it is no such stanza; `FULL`: too many wait to be sent.
    ///
    /// - Called: at any time; in a trial it goes nowhere. Threads: any; never blocks. Owned: the host copies.
    #[sabi(last_prefix_field)]
    pub send: extern "C" fn(HostContext, stanza: RStr<'_>) -> Status,
}

impl Table for HostComponentRef {
    const ID: &'static str = "host.component/1";
}
