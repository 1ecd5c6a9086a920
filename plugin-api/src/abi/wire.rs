//! Types shared by several interfaces.

use abi_stable::{
    StableAbi,
    std_types::{RSlice, RStr},
};

/// How a call ended.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, StableAbi)]
pub struct Status(pub u8);

impl Status {
    /// Done.
    pub const OK: Status = Status(0);
    /// An argument is not what the function takes.
    pub const INVALID: Status = Status(1);
    /// There is no such thing.
    pub const UNKNOWN: Status = Status(2);
    /// The generation has been stopped, or the request has been answered, or its client is gone.
    pub const CLOSED: Status = Status(3);
    /// The queue has no room now.
    pub const FULL: Status = Status(4);
    /// The host failed; its log says why.
    pub const FAILED: Status = Status(5);
}

/// A header field (RFC 9110 section 5).
#[repr(C)]
#[derive(Clone, Copy, StableAbi)]
pub struct Field<'a> {
    /// The name; compared without regard to case.
    pub name: RStr<'a>,
    /// The value, without surrounding white space; any bytes but CR, LF and NUL.
    pub value: RSlice<'a, u8>,
}
