//! The body of a plugin's answer that comes in chunks: a buffer with a bound between whoever writes and the connection that reads.

use std::{
    cell::Cell,
    collections::VecDeque,
    mem,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use bytes::Bytes;
use parking_lot::{Condvar, Mutex, MutexGuard};

use super::exchange::Closed;

/// The most bytes of a stream that may wait for its client, together with [`ON_THE_WAY`].
const STREAM_LIMIT: usize = 64 * 1024;
/// The most bytes of a stream that whoever sends it may have taken from here and not sent yet.
pub const ON_THE_WAY: usize = 8 * 1024;
/// The most bytes of a stream that may wait here.
pub(super) const STREAM_BUFFER: usize = STREAM_LIMIT - ON_THE_WAY;

/// The plugin or the host cut a stream before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut;

/// What became of a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// It waits for the client.
    Queued,
    /// There is no room.
    Full,
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
pub(super) struct Buffer {
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

/// How a stream ended.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// In order.
    Finished,
    /// Before its end.
    Cut,
}

impl Buffer {
    /// Nothing waits yet. `ready` is called once after each [`Full`](Written::Full), when there is room again, and once when nobody reads
    /// any more.
    pub(super) fn new(ready: impl Fn() + Send + Sync + 'static) -> Buffer {
        Buffer { inner: Mutex::default(), room: Condvar::new(), ready: Box::new(ready) }
    }

    /// Queues a chunk, waiting for room for up to `wait`, but never on a thread that empties streams itself.
    pub(super) fn write(&self, chunk: Bytes, wait: Duration) -> Result<Written, Closed> {
        let wait = if ON_WORKER.get() { Duration::ZERO } else { wait };
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
        wake_reader(chunks);
        Ok(Written::Queued)
    }

    /// Notes the end of the body; of two the first counts.
    pub(super) fn end(&self, end: End) {
        let mut chunks = self.inner.lock();
        chunks.end.get_or_insert(end);
        self.room.notify_all();
        wake_reader(chunks);
    }
}

/// What a chunk takes of the buffer: small ones take more than their bytes.
fn cost(chunk: &Bytes) -> usize {
    chunk.len() + 64
}

/// Wakes the reader without the lock: a waker is foreign code, and may come back here.
fn wake_reader(mut chunks: MutexGuard<'_, Chunks>) {
    let reader = chunks.reader.take();
    drop(chunks);
    wake(reader);
}

/// Wakes whoever waits, if anybody does.
pub(super) fn wake(waiting: Option<Waker>) {
    if let Some(waiting) = waiting {
        waiting.wake();
    }
}

/// The reading end of a stream. Dropped, it closes the stream for the plugin.
pub struct StreamBody(pub(super) Arc<Buffer>);

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
            if mem::take(&mut chunks.full) {
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
    use super::*;

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
            let buffer = Arc::new(Buffer::new(|| ()));
            let body = StreamBody(buffer.clone());
            let wait = || {
                let waker = Waker::from(Arc::new(ComesBack(buffer.clone())));
                assert_eq!(body.poll_chunk(&mut Context::from_waker(&waker)), Poll::Pending);
            };
            wait();
            wait();
            buffer.write("x".into(), Duration::ZERO).unwrap();
            assert!(body.poll_chunk(&mut Context::from_waker(Waker::noop())).is_ready());
            wait();
            buffer.end(End::Finished);
            done.send(()).unwrap();
        });
        ended.recv_timeout(Duration::from_secs(30)).expect("the stream waits for its own lock");
    }
}
