//! `host.records/1`: small durable records of the plugin, which the host holds in memory. All generations of a plugin share them, and they survive
//! its undeployment.

use abi_stable::{
    StableAbi,
    std_types::{RSlice, RStr, RString, RVec},
};

use super::{
    root::{HostContext, Table},
    visitor::RecordVisitor,
    wire::Status,
};

/// The longest key, in bytes.
pub const LONGEST_KEY: usize = 256;
/// The longest value, in bytes.
pub const LONGEST_VALUE: usize = 64 << 10;
/// The most that the keys and values of one plugin take together, in bytes.
pub const MOST_BYTES: u64 = 64 << 20;

/// What becomes of a record.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, StableAbi)]
pub struct ChangeCode(pub u8);

impl ChangeCode {
    /// It is made, or replaced with its owner.
    pub const PUT: ChangeCode = ChangeCode(0);
    /// It is removed; one that is not there is passed over.
    pub const REMOVE: ChangeCode = ChangeCode(1);
}

/// A change of one record.
#[repr(C)]
#[derive(Clone, Copy, StableAbi)]
pub struct RecordChangeView<'a> {
    /// Its key: 1 to [`LONGEST_KEY`] bytes.
    pub key: RStr<'a>,
    /// Its value: up to [`LONGEST_VALUE`] bytes. Of a removal, empty.
    pub value: RSlice<'a, u8>,
    /// The bare JID of the user with whose account it is to go; empty: it goes with nobody.
    pub owner: RStr<'a>,
    /// What becomes of it.
    pub code: ChangeCode,
}

/// A record, given away.
#[repr(C)]
#[derive(Clone, Debug, PartialEq, Eq, StableAbi)]
pub struct StoredRecord {
    /// Its key.
    pub key: RString,
    /// Its value.
    pub value: RVec<u8>,
}

/// The functions of `host.records/1`.
#[repr(C)]
#[derive(StableAbi)]
#[sabi(kind(Prefix(prefix_ref = HostRecordsRef, prefix_fields = HostRecordsPrefix)))]
#[sabi(missing_field(panic))]
pub struct HostRecords {
    /// Shows the value of a record to the visitor, exactly once if the answer is `OK`; that there is none, too.
    ///
    /// - Called: at any time. Threads: any; never blocks, and holds no lock during the visit. Owned: the value lives for the visit.
    pub read: extern "C" fn(HostContext, key: RStr<'_>, visitor: RecordVisitor<'_>) -> Status,
    /// Appends all records whose keys begin with `prefix`, in the order of their keys.
    ///
    /// - Called: at any time. Threads: any; reads the disk. Owned: `out` stays the caller's.
    pub list: extern "C" fn(HostContext, prefix: RStr<'_>, out: &mut RVec<StoredRecord>) -> Status,
    /// Makes all of these changes, in their order, or none: they are on the disk when it returns. A reader may see the first of them before
    /// the last. `INVALID`: a key or a value is too long, or a key is empty; `UNKNOWN`: an owner has no account here; `FULL`: the records would
    /// take more than [`MOST_BYTES`].
    ///
    /// - Called: at any time. Threads: any that may wait for a disk. Owned: the host copies.
    #[sabi(last_prefix_field)]
    pub change: extern "C" fn(HostContext, changes: RSlice<'_, RecordChangeView<'_>>) -> Status,
}

impl Table for HostRecordsRef {
    const ID: &'static str = "host.records/1";
}
