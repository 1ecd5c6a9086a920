//! `host.http/1`: answering requests. Offered to every plugin, needed or not.
//!
//! A request is known by a token. It is answered once: whole, or as a stream. A token that was answered, whose client is gone
//! or that never existed gets [`Status::CLOSED`].

use abi_stable::{
    StableAbi,
    std_types::{RSlice, RStr},
};

use super::{
    root::{HostContext, Table},
    wire::{Field, Status},
};

/// The head of a response.
#[repr(C)]
#[derive(Clone, Copy, StableAbi)]
pub struct ResponseHead<'a> {
    /// The fields. `Content-Length`, `Connection`, `Date` and `Transfer-Encoding` are the host's.
    pub fields: RSlice<'a, Field<'a>>,
    /// The status code, 200 to 599.
    pub status: u16,
}

/// The functions of `host.http/1`.
#[repr(C)]
#[derive(StableAbi)]
#[sabi(kind(Prefix(prefix_ref = HostHttpRef, prefix_fields = HostHttpPrefix)))]
#[sabi(missing_field(panic))]
pub struct HostHttp {
    /// Answers with a whole body. `INVALID`: the head is malformed; the request is then answered 500.
    ///
    /// - Called: within `handle` or later. Threads: any; never blocks. Owned: the host copies.
    pub respond: extern "C" fn(HostContext, token: u64, head: &ResponseHead<'_>, body: RSlice<'_, u8>) -> Status,
    /// Answers with a head; the body follows by `write`.
    ///
    /// - Called: within `handle` or later. Threads: any; never blocks. Owned: the host copies.
    pub open: extern "C" fn(HostContext, token: u64, head: &ResponseHead<'_>) -> Status,
    /// Queues a chunk of an open stream. `FULL`: more than 64 KiB would wait for the client, in all that the host holds; nothing was queued, and
    /// `plugin.http/1 writable` will tell when there is room. With `wait` > 0 the call blocks for up to so many milliseconds
    /// instead.
    ///
    /// - Called: after `open`. Threads: any; with `wait` never one of the host's HTTP workers. Owned: the host copies.
    pub write: extern "C" fn(HostContext, token: u64, chunk: RSlice<'_, u8>, wait: u32) -> Status,
    /// Ends an open stream in order.
    ///
    /// - Called: after `open`. Threads: any; never blocks. Owned: nothing.
    pub finish: extern "C" fn(HostContext, token: u64) -> Status,
    /// Gives a request up: 500 without detail if it is not answered yet, a cut connection if its stream is open.
    ///
    /// - Called: at any time. Threads: any; never blocks. Owned: nothing.
    #[sabi(last_prefix_field)]
    pub abandon: extern "C" fn(HostContext, token: u64, reason: RStr<'_>) -> Status,
    /// Whether a request waits for its answer: `OK`, or `CLOSED` once it is answered, or its client is gone. Until then `plugin.http/1 writable`
    /// has told of a client that is gone, or will.
    ///
    /// - Called: at any time. Threads: any; never blocks. Owned: nothing.
    #[sabi(missing_field(option))]
    pub is_waiting: extern "C" fn(HostContext, token: u64) -> Status,
}

impl Table for HostHttpRef {
    const ID: &'static str = "host.http/1";
}
