//! Requests that wait for a plugin's answer, each known to the plugin by a token.
//!
//! A token names a place in a slab and the sequence number of the request that holds it, so that a stale one finds nothing. The answer
//! travels by a oneshot channel to the future that waits for it; a streamed body by a buffer with a bound.

use std::{
    cell::Cell,
    collections::VecDeque,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use actix_web::http::{
    StatusCode,
    header::{HeaderName, HeaderValue},
};
use bytes::Bytes;
use parking_lot::{Condvar, Mutex, MutexGuard};
use slab::Slab;
use tokio::sync::oneshot;

use super::calls::{LINES, line_of_this_thread};

/// The most bytes of a stream that may wait for its client, together with [`ON_THE_WAY`].
const STREAM_LIMIT: usize = 64 * 1024;
/// The most bytes of a stream that whoever sends it may have taken from here and not sent yet.
pub const ON_THE_WAY: usize = 8 * 1024;
/// The most bytes of a stream that may wait here.
const STREAM_BUFFER: usize = STREAM_LIMIT - ON_THE_WAY;

/// A plugin's answer to a request.
#[derive(Debug)]
pub struct Answer {
    /// The status code.
    pub status: StatusCode,
    /// The header fields.
    pub fields: Vec<(HeaderName, HeaderValue)>,
    /// The body.
    pub body: Body,
}

/// The body of an answer.
#[derive(Debug)]
pub enum Body {
    /// All of it.
    Whole(Bytes),
    /// It comes in chunks.
    Stream(StreamBody),
}

/// Why there is no answer: the handler gave up, for this reason.
#[derive(Debug, PartialEq, Eq)]
pub struct Abandoned(pub String);

/// The plugin or the host cut a stream before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut;

/// A call that comes too late, or with a token that never was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed;

/// What became of a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// It waits for the client.
    Queued,
    /// There is no room.
    Full,
}

/// The requests of one generation that are not answered in full.
#[derive(Default)]
pub struct Exchanges {
    shards: [Shard; LINES],
}

/// The exchanges that were opened by one thread, or by few.
#[derive(Default)]
#[repr(align(64))]
struct Shard(Mutex<Entries>);

#[derive(Default)]
struct Entries {
    slab: Slab<Entry>,
    sequence: u32,
}

struct Entry {
    sequence: u32,
    state: State,
}

enum State {
    Waiting(oneshot::Sender<Result<Answer, Abandoned>>),
    Streaming(Arc<Buffer>),
}

/// Waits for the answer of one request. Dropped, it closes the token.
pub struct Pending<'a> {
    exchanges: &'a Exchanges,
    token: u64,
    answer: oneshot::Receiver<Result<Answer, Abandoned>>,
}

impl Exchanges {
    /// Opens an exchange.
    pub fn begin(&self) -> Pending<'_> {
        let (sender, answer) = oneshot::channel();
        let shard = line_of_this_thread();
        let mut entries = self.shards[shard].0.lock();
        entries.sequence = entries.sequence.wrapping_add(1);
        let sequence = entries.sequence;
        let place = entries.slab.insert(Entry { sequence, state: State::Waiting(sender) }) * LINES + shard;
        Pending { exchanges: self, token: (place as u64) << 32 | u64::from(sequence), answer }
    }

    /// Answers whole.
    pub fn respond(&self, token: u64, answer: Answer) -> Result<(), Closed> {
        let State::Waiting(sender) = self.take(token, |state| matches!(state, State::Waiting(_)))? else {
            return Err(Closed);
        };
        sender.send(Ok(answer)).map_err(|_| Closed)
    }

    /// Answers with a head, whose body follows. `ready` is called once after each `Full`, when there is room again, and once when
    /// nobody reads the body any more.
    pub fn open(
        &self,
        token: u64,
        status: StatusCode,
        fields: Vec<(HeaderName, HeaderValue)>,
        ready: impl Fn() + Send + Sync + 'static,
    ) -> Result<(), Closed> {
        let buffer = Arc::new(Buffer::new(ready));
        let sender = self.with(token, |state| match state {
            State::Waiting(_) => match std::mem::replace(state, State::Streaming(buffer.clone())) {
                State::Waiting(sender) => Ok(sender),
                State::Streaming(_) => Err(Closed),
            },
            State::Streaming(_) => Err(Closed),
        })?;
        let body = Body::Stream(StreamBody(buffer));
        sender.send(Ok(Answer { status, fields, body })).map_err(|_| {
            // Whoever waited left after the exchange became a stream, and could not close it any more.
            drop(self.take(token, |_| true));
            Closed
        })
    }

    /// Queues a chunk of an open stream, waiting for room for up to `wait`, but never on a thread that empties streams itself.
    pub fn write(&self, token: u64, chunk: Bytes, wait: Duration) -> Result<Written, Closed> {
        let buffer = self.with(token, |state| match state {
            State::Streaming(buffer) => Ok(buffer.clone()),
            State::Waiting(_) => Err(Closed),
        })?;
        buffer.write(chunk, if ON_WORKER.get() { Duration::ZERO } else { wait })
    }

    /// Ends a stream in order.
    pub fn finish(&self, token: u64) -> Result<(), Closed> {
        match self.take(token, |state| matches!(state, State::Streaming(_)))? {
            State::Streaming(buffer) => buffer.end(End::Finished),
            State::Waiting(_) => return Err(Closed),
        }
        Ok(())
    }

    /// Gives a request up, or cuts its stream.
    pub fn abandon(&self, token: u64, reason: &str) -> Result<(), Closed> {
        match self.take(token, |_| true)? {
            State::Streaming(buffer) => buffer.end(End::Cut),
            State::Waiting(sender) => sender.send(Err(Abandoned(reason.into()))).map_err(|_| Closed)?,
        }
        Ok(())
    }

    /// Gives up all that is left. Answers how many there were.
    pub fn abandon_all(&self, reason: &str) -> usize {
        let left: Vec<Entry> =
            self.shards.iter().flat_map(|shard| std::mem::take(&mut shard.0.lock().slab)).map(|(_, e)| e).collect();
        let count = left.len();
        for entry in left {
            match entry.state {
                State::Streaming(buffer) => buffer.end(End::Cut),
                // Whoever waited is gone if this fails.
                State::Waiting(sender) => drop(sender.send(Err(Abandoned(reason.into())))),
            }
        }
        count
    }

    fn with<R>(&self, token: u64, act: impl FnOnce(&mut State) -> Result<R, Closed>) -> Result<R, Closed> {
        let (shard, index, sequence) = place(token);
        let mut entries = self.shards[shard].0.lock();
        let entry = entries.slab.get_mut(index).filter(|entry| entry.sequence == sequence).ok_or(Closed)?;
        act(&mut entry.state)
    }

    fn take(&self, token: u64, fits: impl FnOnce(&State) -> bool) -> Result<State, Closed> {
        let (shard, index, sequence) = place(token);
        let slab = &mut self.shards[shard].0.lock().slab;
        slab.get(index).filter(|entry| entry.sequence == sequence && fits(&entry.state)).ok_or(Closed)?;
        Ok(slab.remove(index).state)
    }
}

fn place(token: u64) -> (usize, usize, u32) {
    let place = (token >> 32) as usize;
    (place % LINES, place / LINES, token as u32)
}

impl Pending<'_> {
    /// What the plugin knows this request by.
    pub fn token(&self) -> u64 {
        self.token
    }

    /// The answer, if it has been given.
    pub fn answered(&mut self) -> Option<Result<Answer, Abandoned>> {
        self.answer.try_recv().ok()
    }

    /// Waits for the answer. Cancel-safe.
    pub async fn answer(&mut self) -> Result<Answer, Abandoned> {
        (&mut self.answer).await.unwrap_or_else(|_| Err(Abandoned("the generation has been stopped".into())))
    }
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        // An answer given already closed the token, or made it the token of a stream, which goes on.
        let _ = self.exchanges.take(self.token, |state| matches!(state, State::Waiting(_)));
    }
}

thread_local! {
    /// Whether this thread is an HTTP worker that is lent to a plugin.
    static ON_WORKER: Cell<bool> = const { Cell::new(false) };
}

/// Lends an HTTP worker to a plugin: meanwhile it may not wait for room in a stream, which it might be the one to make.
pub fn on_worker<R>(call: impl FnOnce() -> R) -> R {
    let before = ON_WORKER.replace(true);
    let result = call();
    ON_WORKER.set(before);
    result
}

/// The chunks of a stream that wait for its client.
struct Buffer {
    inner: Mutex<Chunks>,
    room: Condvar,
    ready: Box<dyn Fn() + Send + Sync>,
}

#[derive(Default)]
struct Chunks {
    queue: VecDeque<Bytes>,
    bytes: usize,
    end: Option<End>,
    reader: Option<Waker>,
    /// The plugin was told that there is no room, and waits to hear of some.
    full: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Finished,
    Cut,
}

impl Buffer {
    fn new(ready: impl Fn() + Send + Sync + 'static) -> Buffer {
        Buffer { inner: Mutex::default(), room: Condvar::new(), ready: Box::new(ready) }
    }

    fn write(&self, chunk: Bytes, wait: Duration) -> Result<Written, Closed> {
        let deadline = Instant::now() + wait;
        let mut chunks = self.inner.lock();
        // A chunk larger than the buffer passes when nothing else waits.
        while chunks.end.is_none() && chunks.bytes > 0 && chunks.bytes + cost(&chunk) > STREAM_BUFFER {
            if wait.is_zero() || self.room.wait_until(&mut chunks, deadline).timed_out() {
                chunks.full = true;
                return Ok(Written::Full);
            }
        }
        if chunks.end.is_some() {
            return Err(Closed);
        }
        // An empty chunk would end the body in the chunked coding of HTTP/1.1.
        if !chunk.is_empty() {
            chunks.bytes += cost(&chunk);
            chunks.queue.push_back(chunk);
        }
        wake(chunks);
        Ok(Written::Queued)
    }

    fn end(&self, end: End) {
        let mut chunks = self.inner.lock();
        chunks.end.get_or_insert(end);
        self.room.notify_all();
        wake(chunks);
    }
}

/// What a chunk takes of the buffer: small ones take more than their bytes.
fn cost(chunk: &Bytes) -> usize {
    chunk.len() + 64
}

/// Wakes the reader without the lock: a waker is foreign code, and may come back here.
fn wake(mut chunks: MutexGuard<'_, Chunks>) {
    let reader = chunks.reader.take();
    drop(chunks);
    if let Some(reader) = reader {
        reader.wake();
    }
}

/// The reading end of a stream. Dropped, it closes the stream for the plugin.
pub struct StreamBody(Arc<Buffer>);

impl StreamBody {
    /// The next chunk; `None` is the end.
    pub fn poll_chunk(&self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Cut>>> {
        let mut chunks = self.0.inner.lock();
        if let Some(chunk) = chunks.queue.pop_front() {
            chunks.bytes -= cost(&chunk);
            if chunks.queue.is_empty() {
                // Thousands of streams may wait for their next chunk for hours.
                chunks.queue = VecDeque::new();
            }
            self.0.room.notify_all();
            if std::mem::take(&mut chunks.full) {
                drop(chunks);
                (self.0.ready)();
            }
            return Poll::Ready(Some(Ok(chunk)));
        }
        match chunks.end {
            Some(End::Finished) => Poll::Ready(None),
            Some(End::Cut) => Poll::Ready(Some(Err(Cut))),
            None => {
                let former = chunks.reader.replace(cx.waker().clone());
                // In this order: it is dropped without the lock.
                drop(chunks);
                drop(former);
                Poll::Pending
            }
        }
    }
}

impl Drop for StreamBody {
    fn drop(&mut self) {
        let mut chunks = self.0.inner.lock();
        chunks.queue.clear();
        let is_news = chunks.end.is_none();
        drop(chunks);
        self.0.end(End::Cut);
        if is_news {
            (self.0.ready)();
        }
    }
}

impl std::fmt::Debug for StreamBody {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("StreamBody")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    fn answer(text: &'static str) -> Answer {
        Answer { status: StatusCode::OK, fields: Vec::new(), body: Body::Whole(Bytes::from_static(text.as_bytes())) }
    }

    fn next(body: &StreamBody) -> Poll<Option<Result<Bytes, Cut>>> {
        body.poll_chunk(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn a_request_is_answered_once() {
        let exchanges = Exchanges::default();
        let mut pending = exchanges.begin();
        assert!(pending.answered().is_none());
        assert_eq!(exchanges.respond(pending.token(), answer("a")), Ok(()));
        assert_eq!(exchanges.respond(pending.token(), answer("b")), Err(Closed));
        assert!(pending.answered().is_some());
    }

    #[test]
    fn a_stale_token_finds_nothing_though_its_place_is_taken_again() {
        let exchanges = Exchanges::default();
        let tokens: Vec<u64> = (0..LINES).map(|_| exchanges.begin().token()).collect();
        let later: Vec<_> = (0..LINES).map(|_| exchanges.begin()).collect();
        for token in tokens {
            assert_eq!(exchanges.respond(token, answer("late")), Err(Closed));
        }
        assert_eq!(exchanges.respond(u64::MAX, answer("never was")), Err(Closed));
        drop(later);
    }

    #[test]
    fn a_stream_is_bounded_and_tells_when_there_is_room() {
        let readies = Arc::new(AtomicU32::new(0));
        let exchanges = Exchanges::default();
        let (token, body) = open(&exchanges, &readies);
        let half = Bytes::from(vec![b'x'; STREAM_BUFFER / 2 + 1]);
        assert_eq!(exchanges.write(token, half.clone(), Duration::ZERO), Ok(Written::Queued));
        assert_eq!(exchanges.write(token, half.clone(), Duration::ZERO), Ok(Written::Full));
        assert_eq!(next(&body), Poll::Ready(Some(Ok(half.clone()))));
        assert_eq!(readies.load(Ordering::SeqCst), 1);
        assert_eq!(exchanges.write(token, half.clone(), Duration::ZERO), Ok(Written::Queued));
        assert_eq!(exchanges.finish(token), Ok(()));
        assert_eq!(next(&body), Poll::Ready(Some(Ok(half))));
        assert_eq!(next(&body), Poll::Ready(None));
        drop(body);
        assert_eq!(readies.load(Ordering::SeqCst), 1, "a stream that was finished has nothing to hear");
    }

    #[test]
    fn small_chunks_are_bounded_too() {
        let exchanges = Exchanges::default();
        let (token, _body) = open(&exchanges, &Arc::default());
        let written = (0..STREAM_BUFFER)
            .take_while(|_| exchanges.write(token, "x".into(), Duration::ZERO) == Ok(Written::Queued));
        assert_eq!(written.count(), STREAM_BUFFER / 65);
    }

    #[test]
    fn a_worker_that_is_lent_does_not_wait_for_itself() {
        let exchanges = Exchanges::default();
        let (token, _body) = open(&exchanges, &Arc::default());
        let whole = Bytes::from(vec![b'x'; STREAM_BUFFER]);
        let write = || exchanges.write(token, whole.clone(), Duration::from_secs(3600));
        assert_eq!(on_worker(|| (write(), write())), (Ok(Written::Queued), Ok(Written::Full)));
    }

    #[test]
    fn a_dropped_body_closes_the_stream_and_says_so() {
        let readies = Arc::new(AtomicU32::new(0));
        let exchanges = Exchanges::default();
        let (token, body) = open(&exchanges, &readies);
        drop(body);
        assert_eq!(readies.load(Ordering::SeqCst), 1);
        assert_eq!(exchanges.write(token, "x".into(), Duration::ZERO), Err(Closed));
    }

    fn open(exchanges: &Exchanges, readies: &Arc<AtomicU32>) -> (u64, StreamBody) {
        let (mut pending, readies) = (exchanges.begin(), readies.clone());
        let count = move || {
            readies.fetch_add(1, Ordering::SeqCst);
        };
        exchanges.open(pending.token(), StatusCode::OK, Vec::new(), count).unwrap();
        let Some(Ok(Answer { body: Body::Stream(body), .. })) = pending.answered() else { panic!("no stream") };
        (pending.token(), body)
    }

    #[test]
    fn an_open_that_nobody_waits_for_leaves_nothing_behind() {
        let exchanges = Exchanges::default();
        let mut pending = exchanges.begin();
        // Whoever waited leaves while the plugin opens its stream.
        pending.answer.close();
        assert_eq!(exchanges.open(pending.token(), StatusCode::OK, Vec::new(), || ()), Err(Closed));
        assert!(exchanges.shards.iter().all(|shard| shard.0.lock().slab.is_empty()));
    }

    /// A waker that comes back to the stream, as that of the last task of a runtime may.
    struct ComesBack(Arc<Buffer>);

    impl std::task::Wake for ComesBack {
        fn wake(self: Arc<Self>) {}
    }

    impl Drop for ComesBack {
        fn drop(&mut self) {
            drop(self.0.inner.lock());
        }
    }

    #[test]
    fn a_reader_is_woken_and_replaced_without_the_lock() {
        let (done, ended) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let exchanges = Exchanges::default();
            let (token, body) = open(&exchanges, &Arc::default());
            let wait = || {
                let waker = Waker::from(Arc::new(ComesBack(body.0.clone())));
                assert_eq!(body.poll_chunk(&mut Context::from_waker(&waker)), Poll::Pending);
            };
            wait();
            wait();
            exchanges.write(token, "x".into(), Duration::ZERO).unwrap();
            assert!(next(&body).is_ready());
            wait();
            exchanges.finish(token).unwrap();
            done.send(()).unwrap();
        });
        ended.recv_timeout(Duration::from_secs(30)).expect("the stream waits for its own lock");
    }

    #[test]
    fn what_is_left_is_given_up() {
        let exchanges = Exchanges::default();
        let mut pending = exchanges.begin();
        assert_eq!(exchanges.abandon_all("drained"), 1);
        assert_eq!(pending.answered().map(|answer| answer.unwrap_err()), Some(Abandoned("drained".into())));
    }
}
