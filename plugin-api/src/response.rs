//! A response, and the ways to give it: at once, later, or as a stream.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    ops::Deref,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use abi_stable::std_types::RSlice;
use parking_lot::RwLock;

use crate::{Error, Host, Lent, abi::wire::Status, lent::MANY};

/// A response with a whole body, or the head of a streamed one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    status: u16,
    fields: Vec<(Cow<'static, str>, Cow<'static, str>)>,
    body: Body,
}

/// The bytes of a response.
#[derive(Clone, Debug)]
pub enum Body {
    /// Part of the library.
    Static(&'static [u8]),
    /// Its own.
    Own(Vec<u8>),
    /// Kept by others as well.
    Shared(Arc<[u8]>),
}

impl Deref for Body {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Body::Static(bytes) => bytes,
            Body::Own(bytes) => bytes,
            Body::Shared(bytes) => bytes,
        }
    }
}

impl PartialEq for Body {
    fn eq(&self, other: &Body) -> bool {
        **self == **other
    }
}

impl Eq for Body {}

impl From<&'static [u8]> for Body {
    fn from(bytes: &'static [u8]) -> Body {
        Body::Static(bytes)
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Body {
        Body::Own(bytes)
    }
}

impl From<Arc<[u8]>> for Body {
    fn from(bytes: Arc<[u8]>) -> Body {
        Body::Shared(bytes)
    }
}

impl Response {
    /// An empty response of this status code.
    pub fn new(status: u16) -> Response {
        Response { status, fields: Vec::with_capacity(MANY), body: Body::Static(&[]) }
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

    /// Adds the name of a request's field on which the answer depends (RFC 9110 section 12.5.5). All of them stand in one line: there are caches
    /// that read no more.
    pub fn vary(mut self, field: &'static str) -> Response {
        match self.fields.iter_mut().find(|(name, _)| name.eq_ignore_ascii_case("Vary")) {
            Some((_, fields)) => *fields = format!("{fields}, {field}").into(),
            None => self.fields.push(("Vary".into(), field.into())),
        }
        self
    }

    /// Sets the body.
    pub fn body(self, body: impl Into<Body>) -> Response {
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

    /// The same as what is lent.
    fn lend(&self) -> Lent<'_> {
        let mut lent = Lent::new(self.status, &self.body);
        for (name, value) in self.headers() {
            lent.header(name, value);
        }
        lent
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
    /// A closure waits for its client to be gone.
    is_watched: bool,
}

impl Responder {
    pub(crate) fn new(token: u64, host: Host) -> Responder {
        Responder { token, host, is_watched: false }
    }

    /// Answers. `false`: the client is gone, or the answer came too late.
    pub fn send(self, response: Response) -> bool {
        self.lend(&response.lend())
    }

    /// Answers with what belongs to somebody else, who has it back when this returns. `false`: as of [`send`](Responder::send).
    pub fn lend(self, response: &Lent<'_>) -> bool {
        let tables = self.host.tables();
        tables.http.respond()(tables.context, self.disarm(), &response.head(), response.body()) == Status::OK
    }

    /// Answers with a head whose body follows in chunks. The head's own body is the first chunk. `None`: the client is gone.
    pub fn stream(self, head: Response) -> Option<Stream> {
        let (host, token) = (self.host, self.disarm());
        let tables = host.tables();
        if tables.http.open()(tables.context, token, &head.lend().head()) != Status::OK {
            return None;
        }
        let stream = Stream { token, host };
        if !head.body.is_empty() {
            stream.write(&head.body);
        }
        Some(stream)
    }

    /// Calls `gone`, once and perhaps at once, if nobody waits for the answer any more: the client is gone, or has shut down its side of the
    /// connection, or the host has given the request up. It must not block. The closure is dropped when the request is answered or this
    /// responder is dropped, and when the plugin is stopped.
    pub fn on_gone(&mut self, gone: impl Fn() + Send + Sync + 'static) {
        self.is_watched = true;
        let called = AtomicBool::new(false);
        let once: Arc<Writable> = Arc::new(move || {
            if !called.swap(true, Ordering::Relaxed) {
                gone();
            }
        });
        let former = WRITABLE.write().insert(self.token, once.clone());
        drop(former);
        let tables = self.host.tables();
        // It may have been gone before anybody was there to hear of it. A host that can't say so does not tell of it at all.
        let status = tables.http.is_waiting().map(|is_waiting| is_waiting(tables.context, self.token));
        if status.is_some_and(|status| status != Status::OK) {
            once();
        }
    }

    /// Gives up: the client gets 500 without detail, the log gets `reason`.
    pub fn fail(self, reason: &str) {
        let host = self.host;
        abandon(host, self.disarm(), reason);
    }

    fn disarm(self) -> u64 {
        self.forget_watch();
        let token = self.token;
        std::mem::forget(self);
        token
    }

    fn forget_watch(&self) {
        if self.is_watched {
            forget(self.token);
        }
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        self.forget_watch();
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
            _ => {
                forget(self.token);
                Written::Closed
            }
        }
    }

    /// Calls `ready` now, and again whenever there is room after a [`Written::Full`] and once when nobody reads any more, which
    /// [`write`](Stream::write) then says. It must not block. The closure may own this stream: it is dropped when the stream is
    /// finished, when a write answers [`Written::Closed`], and when the plugin is stopped.
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
        forget(self.token);
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        forget(self.token);
        // After `finish` the token is closed, and this does nothing.
        abandon(self.host, self.token, "the plugin dropped the stream");
    }
}

fn forget(token: u64) {
    let ready = WRITABLE.write().remove(&token);
    // Without the lock: what it owns may come back here.
    drop(ready);
}

/// Drops what streams and requests left behind: the plugin is stopped.
pub(crate) fn forget_all() {
    let left = std::mem::take(&mut *WRITABLE.write());
    // Without the lock, as above.
    drop(left);
}

/// Passes on that a stream has room, or that nobody waits for an answer.
pub(crate) fn writable(token: u64) {
    let ready = WRITABLE.read().get(&token).cloned();
    if let Some(ready) = ready {
        ready();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Weak,
        atomic::{AtomicU64, AtomicUsize},
        mpsc,
    };

    use super::*;
    use crate::host::tests::{IS_CLOSED, host};

    /// A stream of its own token: all tests share one table of closures.
    fn stream(bits: u64) -> Arc<Stream> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Arc::new(Stream { token: NEXT.fetch_add(1, Ordering::SeqCst) | bits, host: host() })
    }

    #[test]
    fn what_an_answer_depends_on_stands_in_one_line() {
        let response = Response::new(200).vary("Authorization").header("X", "y").vary("Accept");
        let fields: Vec<_> = response.headers().collect();
        assert_eq!(fields, [("Vary", "Authorization, Accept"), ("X", "y")]);
    }

    /// A request that is watched, and how often it was said that its client is gone.
    fn watched(bits: u64) -> (Responder, Arc<AtomicUsize>) {
        let (mut responder, calls) = (Responder::new(stream(bits).token, host()), Arc::new(AtomicUsize::new(0)));
        let counted = calls.clone();
        responder.on_gone(move || {
            counted.fetch_add(1, Ordering::SeqCst);
        });
        (responder, calls)
    }

    #[test]
    fn a_client_that_is_gone_is_told_of_once() {
        let (responder, calls) = watched(0);
        assert_eq!(calls.load(Ordering::SeqCst), 0);
        writable(responder.token);
        writable(responder.token);
        assert_eq!(calls.load(Ordering::SeqCst), 1);
        let (_gone_before, calls) = watched(IS_CLOSED);
        assert_eq!(calls.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn who_is_answered_is_not_watched_any_more() {
        let ends: [fn(Responder); 4] = [
            |responder| assert!(!responder.send(Response::new(204)), "the host of these tests takes none"),
            |responder| drop(responder.stream(Response::new(200))),
            |responder| responder.fail("for a reason"),
            drop,
        ];
        for end in ends {
            let (responder, calls) = watched(0);
            let token = responder.token;
            end(responder);
            writable(token);
            assert_eq!((calls.load(Ordering::SeqCst), Arc::strong_count(&calls)), (0, 1));
        }
    }

    #[test]
    fn room_that_came_before_the_closure_is_told_of() {
        let (stream, calls) = (stream(0), Arc::new(AtomicUsize::new(0)));
        assert_eq!(stream.write(b"x"), Written::Full);
        writable(stream.token);
        let counted = calls.clone();
        stream.on_writable(move || {
            counted.fetch_add(1, Ordering::SeqCst);
        });
        assert_eq!(calls.load(Ordering::SeqCst), 1);
        writable(stream.token);
        assert_eq!(calls.load(Ordering::SeqCst), 2);
    }

    #[test]
    fn a_closure_that_owns_another_stream_is_dropped_without_the_lock() {
        let (done, ended) = mpsc::channel();
        std::thread::spawn(move || {
            for end in [|outer: Arc<Stream>| drop(outer), |outer: Arc<Stream>| outer.on_writable(|| ())] {
                let (outer, inner) = (stream(0), stream(0));
                inner.on_writable(|| ());
                outer.on_writable(move || assert_eq!(inner.write(b"x"), Written::Full));
                end(outer);
            }
            done.send(()).unwrap();
        });
        ended.recv_timeout(Duration::from_secs(30)).expect("a dropped stream waits for its own lock");
    }

    /// Gives a stream to its own closure, and says what is left of it then.
    fn owned_by_itself(bits: u64, ready: fn(&Stream)) -> (u64, Weak<Stream>) {
        let stream = stream(bits);
        let (token, left, own) = (stream.token, Arc::downgrade(&stream), stream.clone());
        stream.on_writable(move || ready(&own));
        (token, left)
    }

    #[test]
    fn a_closure_that_owns_its_own_stream_does_not_keep_it() {
        let (_, closed) = owned_by_itself(IS_CLOSED, |stream| assert_eq!(stream.write(b"x"), Written::Closed));
        assert!(closed.upgrade().is_none(), "kept although nobody reads");
        let (_, finished) = owned_by_itself(0, Stream::finish);
        assert!(finished.upgrade().is_none(), "kept although it is finished");
        let (token, open) = owned_by_itself(0, |stream| assert_eq!(stream.write(b"x"), Written::Full));
        assert!(open.upgrade().is_some());
        forget(token);
        assert!(open.upgrade().is_none(), "kept by something else");
    }
}
