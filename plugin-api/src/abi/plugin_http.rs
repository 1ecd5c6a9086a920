//! `plugin.http/1`: the routes of a plugin.

use abi_stable::{
    StableAbi,
    std_types::{RSlice, RStr},
};

use super::{
    root::Table,
    wire::{Field, Status},
};

/// Where a route runs.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, StableAbi)]
pub struct ExecutionCode(pub u8);

impl ExecutionCode {
    /// On a thread that the host made for this generation: the handler may block.
    pub const THREAD: ExecutionCode = ExecutionCode(0);
    /// On the HTTP worker itself: the handler must not block.
    pub const INLINE: ExecutionCode = ExecutionCode(1);
}

/// One route.
#[repr(C)]
#[derive(Clone, Copy, StableAbi)]
pub struct RouteView<'a> {
    /// The methods, separated by spaces: `GET HEAD`. `*`: whatever method there is.
    pub methods: RStr<'a>,
    /// The path below the plugin's mount, with actix syntax: `/users/{jid}`, `/files/{tail:.*}`.
    /// Without control characters; at most 1,024 bytes.
    pub pattern: RStr<'a>,
    /// The longest request body in bytes; the host answers 413 to a longer one, unless [`ANY_LENGTH`](RouteView::ANY_LENGTH) is added.
    pub body_limit: u32,
    /// How long a handler on a thread may run, in milliseconds, before its client is answered 503 without it; 0 for the host's own
    /// measure, 5 s.
    pub patience: u32,
    /// Where it runs.
    pub execution: ExecutionCode,
}

impl RouteView<'_> {
    /// A bit of `body_limit`: a longer body is handed over, too, as far as it was read. That is nothing of one whose `Content-Length` says how long
    /// it is, and one byte beyond the limit of any other. Who does not know this bit takes it for a larger limit.
    pub const ANY_LENGTH: u32 = 1 << 31;
}

/// A part of the path that a pattern named.
#[repr(C)]
#[derive(Clone, Copy, StableAbi)]
pub struct ParameterView<'a> {
    /// Its name in the pattern.
    pub name: RStr<'a>,
    /// Its text, percent-decoded.
    pub value: RStr<'a>,
}

/// A request, lent for the length of `handle`.
#[repr(C)]
#[derive(Clone, Copy, StableAbi)]
pub struct RequestView<'a> {
    /// The method.
    pub method: RStr<'a>,
    /// The whole path as sent.
    pub path: RStr<'a>,
    /// The query as sent, without the `?`; empty when none.
    pub query: RStr<'a>,
    /// The header fields, in order.
    pub fields: RSlice<'a, Field<'a>>,
    /// The path parameters, in the pattern's order.
    pub parameters: RSlice<'a, ParameterView<'a>>,
    /// The body.
    pub body: RSlice<'a, u8>,
    /// The address of the client, `192.0.2.1` or `2001:db8::1`; empty when unknown.
    pub peer: RStr<'a>,
}

/// The functions of `plugin.http/1`.
#[repr(C)]
#[derive(StableAbi)]
#[sabi(kind(Prefix(prefix_ref = PluginHttpRef, prefix_fields = PluginHttpPrefix)))]
#[sabi(missing_field(panic))]
pub struct PluginHttp {
    /// All routes; they do not change after `start`.
    ///
    /// - Called: after `start`. Threads: any. Owned: lives until `stop`.
    pub routes: extern "C" fn() -> RSlice<'static, RouteView<'static>>,
    /// Handles a request that matched the route of this index. It is answered through `host.http/1` by its token, before
    /// or after `handle` returns. `FAILED`: the handler panicked, and the
    /// funnel abandoned the request; `OK` otherwise.
    ///
    /// - Called: from `start`'s return to `stop`. Threads: several at once; those that the route asked for. Owned: the request
    ///   is lent for the call.
    pub handle: extern "C" fn(route: u32, request: &RequestView<'_>, token: u64) -> Status,
    /// A stream that answered `FULL` has room again, or nobody reads it any more and it is closed; or nobody waits any more for the answer to
    /// a request, because its client is gone or it took too long.
    ///
    /// - Called: once after each `FULL`, once when the reader of an open stream is gone, and once when a request is given up that was not answered.
    ///   Threads: any of the host's; must not block. Owned: nothing.
    #[sabi(last_prefix_field)]
    pub writable: extern "C" fn(token: u64),
}

impl Table for PluginHttpRef {
    const ID: &'static str = "plugin.http/1";
}
