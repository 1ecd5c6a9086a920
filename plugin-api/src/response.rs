//! A response, and the ways to give it: at once, later, or as a stream.

use std::{borrow::Cow, collections::BTreeMap, sync::Arc, time::Duration};

use abi_stable::std_types::RSlice;
use parking_lot::RwLock;

use crate::{
    Error, Host,
    abi::{
        host_http::ResponseHead,
        wire::{Field, Status},
    },
};

/// A response with a whole body, or the head of a streamed one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    status: u16,
    fields: Vec<(Cow<'static, str>, Cow<'static, str>)>,
    body: Cow<'static, [u8]>,
}

impl Response {
    /// An empty response of this status code.
    pub fn new(status: u16) -> Response {
        Response { status, fields: Vec::new(), body: Cow::Borrowed(&[]) }
    }

    /// 200 with plain text.
    pub fn text(text: impl Into<String>) -> Response {
        Response::new(200).header("Content-Type", "text/plain; charset=utf-8").body(text.into().into_bytes())
    }

    /// 200 with a page of HTML.
    pub fn html(page: impl Into<String>) -> Response {
        Response::new(200).header("Content-Type", "text/html; charset=utf-8").body(page.into().into_bytes())
    }

    /// Adds a header field. `Content-Length`, `Connection`, `Date` and `Transfer-Encoding` are the host's.
    pub fn header(mut self, name: impl Into<Cow<'static, str>>, value: impl Into<Cow<'static, str>>) -> Response {
        self.fields.push((name.into(), value.into()));
        self
    }

    /// Sets the body.
    pub fn body(self, body: impl Into<Cow<'static, [u8]>>) -> Response {
        Response { body: body.into(), ..self }
    }

    /// The status code.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The header fields, in the order they were added.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.fields.iter().map(|(name, value)| (&**name, &**value))
    }

    /// The body's bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.body
    }

    fn with_head<R>(&self, give: impl FnOnce(&ResponseHead<'_>) -> R) -> R {
        let fields: Vec<Field<'_>> = self
            .fields
            .iter()
            .map(|(name, value)| Field { name: (&**name).into(), value: RSlice::from_slice(value.as_bytes()) })
            .collect();
        give(&ResponseHead { fields: RSlice::from_slice(&fields), status: self.status })
    }
}

impl From<Error> for Response {
    fn from(error: Error) -> Response {
        Response { status: error.status(), ..Response::text(format!("{}\n", error.client_message())) }
    }
}

/// The right to answer one request, once, from any thread. Dropped unused, the client gets 500.
pub struct Responder {
    token: u64,
    host: Host,
}

impl Responder {
    pub(crate) fn new(token: u64, host: Host) -> Responder {
        Responder { token, host }
    }

    /// Answers. `false`: the client is gone, or the answer came too late.
    pub fn send(self, response: Response) -> bool {
        let tables = self.host.tables();
        let token = self.disarm();
        let body = RSlice::from_slice(&response.body);
        response.with_head(|head| tables.http.respond()(tables.context, token, head, body)) == Status::OK
    }

    /// Answers with a head whose body follows in chunks. The head's own body is the first chunk. `None`: the client is gone.
    pub fn stream(self, head: Response) -> Option<Stream> {
        let (host, token) = (self.host, self.disarm());
        let tables = host.tables();
        if head.with_head(|head| tables.http.open()(tables.context, token, head)) != Status::OK {
            return None;
        }
        let stream = Stream { token, host };
        if !head.body.is_empty() {
            stream.write(&head.body);
        }
        Some(stream)
    }

    /// Gives up: the client gets 500 without detail, the log gets `reason`.
    pub fn fail(self, reason: &str) {
        let host = self.host;
        abandon(host, self.disarm(), reason);
    }

    fn disarm(self) -> u64 {
        let token = self.token;
        std::mem::forget(self);
        token
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        abandon(self.host, self.token, "the handler dropped the request without an answer");
    }
}

fn abandon(host: Host, token: u64, reason: &str) {
    let tables = host.tables();
    tables.http.abandon()(tables.context, token, reason.into());
}

/// What became of a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// It will be sent.
    Queued,
    /// Too much waits for this client; the chunk was not taken.
    Full,
    /// The client is gone, or the host cut the stream.
    Closed,
}

type Writable = dyn Fn() + Send + Sync;

static WRITABLE: RwLock<BTreeMap<u64, Arc<Writable>>> = RwLock::new(BTreeMap::new());

/// The body of an answer in the making. Dropped without [`finish`](Stream::finish), the connection is cut, so that the
/// client can tell.
pub struct Stream {
    token: u64,
    host: Host,
}

impl Stream {
    /// Sends a chunk, or says at once that there is no room.
    pub fn write(&self, chunk: &[u8]) -> Written {
        self.write_within(chunk, 0)
    }

    /// Sends a chunk, waiting for room for so long. Not for inline routes.
    pub fn write_waiting(&self, chunk: &[u8], patience: Duration) -> Written {
        self.write_within(chunk, u32::try_from(patience.as_millis()).unwrap_or(u32::MAX).max(1))
    }

    fn write_within(&self, chunk: &[u8], wait: u32) -> Written {
        let tables = self.host.tables();
        match tables.http.write()(tables.context, self.token, RSlice::from_slice(chunk), wait) {
            Status::OK => Written::Queued,
            Status::FULL => Written::Full,
            _ => Written::Closed,
        }
    }

    /// Calls `ready` now, and again whenever there is room after a [`Written::Full`] and once when nobody reads any more, which
    /// [`write`](Stream::write) then says. It must not block. A closure that owns this stream keeps it for ever: give it a
    /// [`Weak`](std::sync::Weak).
    pub fn on_writable(&self, ready: impl Fn() + Send + Sync + 'static) {
        let ready: Arc<Writable> = Arc::new(ready);
        let former = WRITABLE.write().insert(self.token, ready.clone());
        drop(former);
        // There may have been room before anybody was there to hear of it.
        ready();
    }

    /// Ends the body in order. Nothing can be written after it.
    pub fn finish(&self) {
        let tables = self.host.tables();
        tables.http.finish()(tables.context, self.token);
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // The closure is dropped without the lock: what it owns may come back here.
        let ready = WRITABLE.write().remove(&self.token);
        drop(ready);
        // After `finish` the token is closed, and this does nothing.
        abandon(self.host, self.token, "the plugin dropped the stream");
    }
}

/// Passes on that a stream has room.
pub(crate) fn writable(token: u64) {
    let ready = WRITABLE.read().get(&token).cloned();
    if let Some(ready) = ready {
        ready();
    }
}
