//! A response that is lent for the call that sends it.

use abi_stable::std_types::RSlice;
use smallvec::SmallVec;

use crate::abi::{host_http::ResponseHead, wire::Field};

/// More fields than most responses have: there is room for so many from the beginning.
pub(crate) const MANY: usize = 8;

/// A response that owns nothing of what it says: for one that is there already, kept to be given often, and for whoever counts the
/// allocations of an answer. Sent by [`Responder::lend`](crate::Responder::lend), it is copied by the host and by nobody else.
///
/// ```
/// # use plugin_api::{Lent, Responder};
/// struct Kept {
///     tag: String,
///     text: Vec<u8>,
/// }
///
/// fn give(kept: &Kept, responder: Responder) {
///     let mut response = Lent::new(200, &kept.text);
///     response.header("Content-Type", "text/plain; charset=utf-8").header("ETag", &kept.tag);
///     responder.lend(&response);
/// }
/// ```
pub struct Lent<'a> {
    status: u16,
    fields: SmallVec<[Field<'a>; MANY]>,
    body: &'a [u8],
}

impl<'a> Lent<'a> {
    /// A response of this status code, with this body and no header fields.
    pub fn new(status: u16, body: &'a [u8]) -> Lent<'a> {
        Lent { status, fields: SmallVec::new(), body }
    }

    /// Adds a header field. `Content-Length`, `Connection`, `Date` and `Transfer-Encoding` are the host's.
    pub fn header(&mut self, name: &'a str, value: &'a str) -> &mut Lent<'a> {
        self.fields.push(Field { name: name.into(), value: RSlice::from_slice(value.as_bytes()) });
        self
    }

    /// All but the body, as it crosses the boundary.
    pub(crate) fn head(&self) -> ResponseHead<'_> {
        ResponseHead { fields: RSlice::from_slice(&self.fields), status: self.status }
    }

    /// The body, as it does.
    pub(crate) fn body(&self) -> RSlice<'_, u8> {
        RSlice::from_slice(self.body)
    }
}
