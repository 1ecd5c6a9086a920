//! A request, borrowed from the host for the length of a handler's call.

use std::fmt;

use crate::{Error, Result, abi::plugin_http::RequestView};

/// A request that matched one of the plugin's routes.
#[derive(Clone, Copy)]
pub struct Request<'a>(&'a RequestView<'a>);

impl<'a> Request<'a> {
    pub(crate) fn new(view: &'a RequestView<'a>) -> Request<'a> {
        Request(view)
    }

    /// The method: `GET`.
    pub fn method(self) -> &'a str {
        self.0.method.as_str()
    }

    /// The whole path as sent, the plugin's mount included.
    pub fn path(self) -> &'a str {
        self.0.path.as_str()
    }

    /// The query as sent, without the `?`; empty when there is none.
    pub fn query(self) -> &'a str {
        self.0.query.as_str()
    }

    /// The first header field of this name, whatever its case, if its value is text.
    pub fn header(self, name: &str) -> Option<&'a str> {
        self.headers()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .and_then(|(_, value)| std::str::from_utf8(value).ok())
    }

    /// All header fields, in order.
    pub fn headers(self) -> impl Iterator<Item = (&'a str, &'a [u8])> {
        self.0.fields.as_slice().iter().map(|field| (field.name.as_str(), field.value.as_slice()))
    }

    /// The part of the path that the route's pattern calls `{name}`, percent-decoded.
    pub fn path_parameter(self, name: &str) -> Result<&'a str> {
        let mut parameters = self.0.parameters.as_slice().iter();
        let parameter = parameters.find(|parameter| parameter.name.as_str() == name);
        parameter
            .map(|parameter| parameter.value.as_str())
            .ok_or_else(|| Error::new(format!("the route's pattern has no {{{name}}}")))
    }

    /// The body.
    pub fn body(self) -> &'a [u8] {
        self.0.body.as_slice()
    }

    /// The address of the client; empty when unknown.
    pub fn peer(self) -> &'a str {
        self.0.peer.as_str()
    }
}

/// Method and path: a query may hold what no log should.
impl fmt::Debug for Request<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} {}", self.method(), self.path())
    }
}
