//! `host.data/1`: a folder of the plugin's own.

use abi_stable::{StableAbi, std_types::RVec};

use super::{
    root::{HostContext, Table},
    wire::Status,
};

/// The functions of `host.data/1`.
#[repr(C)]
#[derive(StableAbi)]
#[sabi(kind(Prefix(prefix_ref = HostDataRef, prefix_fields = HostDataPrefix)))]
#[sabi(missing_field(panic))]
pub struct HostData {
    /// Appends the path (bytes as the operating system has them) of a folder that belongs to this plugin's id, made when
    /// missing. It survives upgrades, restarts and undeployment.
    ///
    /// - Called: at any time. Threads: any; touches the disk. Owned: `out` stays the caller's.
    #[sabi(last_prefix_field)]
    pub directory: extern "C" fn(HostContext, out: &mut RVec<u8>) -> Status,
}

impl Table for HostDataRef {
    const ID: &'static str = "host.data/1";
}
