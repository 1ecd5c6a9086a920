//! A request, borrowed from the host for the length of a handler's call.

use std::{borrow::Cow, fmt};

use crate::{Error, Result, abi::plugin_http::RequestView};

/// A request that matched one of the plugin's routes. Written for a log (`{:?}`) it is the method and the route's pattern: what stands in a path may
/// be a secret, or somebody's address.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    view: &'a RequestView<'a>,
    pattern: &'a str,
}

impl<'a> Request<'a> {
    pub(crate) fn new(view: &'a RequestView<'a>, pattern: &'a str) -> Request<'a> {
        Request { view, pattern }
    }

    /// The method: `GET`.
    pub fn method(self) -> &'a str {
        self.view.method.as_str()
    }

    /// The whole path as sent, the plugin's mount included.
    pub fn path(self) -> &'a str {
        self.view.path.as_str()
    }

    /// The query as sent, without the `?`; empty when there is none.
    pub fn query(self) -> &'a str {
        self.view.query.as_str()
    }

    /// The first header field of this name, whatever its case, if its value is text.
    pub fn header(self, name: &str) -> Option<&'a str> {
        self.headers()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .and_then(|(_, value)| std::str::from_utf8(value).ok())
    }

    /// All lines of a header field whose value is a list, as the one list that they are (RFC 9110 section 5.3). Lines that are no text are
    /// left out. `None`: there is no such field.
    pub fn list(self, name: &str) -> Option<Cow<'a, str>> {
        let lines = self.headers().filter(|(known, _)| known.eq_ignore_ascii_case(name));
        let mut lines = lines.filter_map(|(_, value)| std::str::from_utf8(value).ok());
        let first = Cow::Borrowed(lines.next()?);
        Some(lines.fold(first, |list, line| list + ", " + line))
    }

    /// All header fields, in order.
    pub fn headers(self) -> impl Iterator<Item = (&'a str, &'a [u8])> {
        self.view.fields.as_slice().iter().map(|field| (field.name.as_str(), field.value.as_slice()))
    }

    /// The part of the path that the route's pattern calls `{name}`, percent-decoded.
    pub fn path_parameter(self, name: &str) -> Result<&'a str> {
        let mut parameters = self.view.parameters.as_slice().iter();
        let parameter = parameters.find(|parameter| parameter.name.as_str() == name);
        parameter
            .map(|parameter| parameter.value.as_str())
            .ok_or_else(|| Error::new(format!("the route's pattern has no {{{name}}}")))
    }

    /// The body.
    pub fn body(self) -> &'a [u8] {
        self.view.body.as_slice()
    }

    /// Whether the body that was sent has more bytes than `limit`, the limit of a route of [`any_length`](crate::Route::any_length).
    pub fn body_exceeds(self, limit: usize) -> bool {
        let announced = self.header("Content-Length").and_then(|length| length.parse::<u64>().ok());
        self.body().len() > limit || announced.is_some_and(|announced| announced > limit as u64)
    }

    /// The address of the client; empty when unknown.
    pub fn peer(self) -> &'a str {
        self.view.peer.as_str()
    }
}

impl fmt::Debug for Request<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} {}", self.method(), self.pattern)
    }
}

#[cfg(test)]
mod tests {
    use abi_stable::std_types::RSlice;

    use super::*;
    use crate::abi::wire::Field;

    fn field(name: &'static str, value: &'static [u8]) -> Field<'static> {
        Field { name: name.into(), value: value.into() }
    }

    fn view<'a>(fields: &'a [Field<'a>], body: &'a [u8]) -> RequestView<'a> {
        RequestView {
            method: "GET".into(),
            path: "/".into(),
            query: "".into(),
            fields: RSlice::from_slice(fields),
            parameters: RSlice::EMPTY,
            body: RSlice::from_slice(body),
            peer: "".into(),
        }
    }

    #[test]
    fn a_body_is_too_long_by_what_came_or_by_what_was_announced() {
        let exceeds = |fields: &[Field<'_>], body| Request::new(&view(fields, body), "/").body_exceeds(4);
        assert!(!exceeds(&[], b"1234") && exceeds(&[], b"12345"));
        let announced = |length| exceeds(&[field("content-length", length)], b"");
        assert!(!announced(b"4") && announced(b"5") && announced(b"1099511627776"));
    }

    #[test]
    fn the_lines_of_a_list_are_one_list() {
        let fields = [field("A", b"1, 2"), field("B", b"x"), field("a", b"3"), field("a", b"\xFF"), field("a", b"4")];
        let view = view(&fields, b"");
        let request = Request::new(&view, "/");
        assert_eq!(request.list("a").as_deref(), Some("1, 2, 3, 4"));
        assert!(matches!(request.list("b"), Some(Cow::Borrowed("x"))));
        assert_eq!(request.list("c"), None);
    }
}
