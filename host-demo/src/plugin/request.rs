//! A request on its way into a plugin: borrowed from HTTP for an inline route, owned for one on a thread.

use std::{borrow::Cow, iter::zip};

use abi_stable::std_types::RSlice;
use actix_web::http::header::HeaderMap;
use plugin_api::abi::{
    plugin_http::{ParameterView, RequestView},
    wire::Field,
};
use smallvec::SmallVec;

/// More fields than most requests have: so many are shown without memory of their own.
const MANY: usize = 16;
/// The same for the named parts of a path.
const FEW: usize = 2;

/// A request, borrowed.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// The method.
    pub method: &'a str,
    /// The path as sent.
    pub path: &'a str,
    /// The query as sent, without the `?`.
    pub query: &'a str,
    /// The header fields.
    pub headers: &'a HeaderMap,
    /// The names of the named parts of the path.
    pub names: &'a [String],
    /// Their values, percent-decoded.
    pub values: &'a [Cow<'a, str>],
    /// The body.
    pub body: &'a [u8],
    /// The client's address; empty when unknown.
    pub peer: &'a str,
}

/// A request that goes to another thread.
pub struct OwnedRequest {
    method: String,
    path: String,
    query: String,
    headers: HeaderMap,
    names: Vec<String>,
    values: Vec<Cow<'static, str>>,
    body: Vec<u8>,
    peer: String,
}

impl Request<'_> {
    /// Copies it.
    pub fn detach(self) -> OwnedRequest {
        OwnedRequest {
            method: self.method.into(),
            path: self.path.into(),
            query: self.query.into(),
            headers: self.headers.clone(),
            names: self.names.to_vec(),
            values: self.values.iter().map(|value| Cow::Owned(value.to_string())).collect(),
            body: self.body.to_vec(),
            peer: self.peer.into(),
        }
    }

    /// Shows it in the form that crosses the boundary.
    pub fn with_view<R>(&self, show: impl FnOnce(&RequestView<'_>) -> R) -> R {
        // Not collected: that would move all the room there is for them.
        let mut fields = SmallVec::<[Field<'_>; MANY]>::new();
        fields.extend(
            self.headers
                .iter()
                .map(|(name, value)| Field { name: name.as_str().into(), value: RSlice::from_slice(value.as_bytes()) }),
        );
        let mut parameters = SmallVec::<[ParameterView<'_>; FEW]>::new();
        parameters.extend(
            zip(self.names, self.values)
                .map(|(name, value)| ParameterView { name: name.as_str().into(), value: (&**value).into() }),
        );
        show(&RequestView {
            method: self.method.into(),
            path: self.path.into(),
            query: self.query.into(),
            fields: RSlice::from_slice(&fields),
            parameters: RSlice::from_slice(&parameters),
            body: RSlice::from_slice(self.body),
            peer: self.peer.into(),
        })
    }
}

impl OwnedRequest {
    /// Lends it.
    pub fn borrow(&self) -> Request<'_> {
        Request {
            method: &self.method,
            path: &self.path,
            query: &self.query,
            headers: &self.headers,
            names: &self.names,
            values: &self.values,
            body: &self.body,
            peer: &self.peer,
        }
    }
}
