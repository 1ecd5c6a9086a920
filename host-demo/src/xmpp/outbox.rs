//! What waits to be written to a session: a queue with a bound in stanzas and in bytes.
//!
//! Any thread may post. A client that does not read fills its outbox, which then closes with a stream error: a slow
//! reader loses its own session and nobody else's.

use std::{collections::VecDeque, sync::Arc};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::error::StreamError;

/// The most stanzas that may wait for one session.
pub const MAX_STANZAS: usize = 256;
/// The most bytes that may wait for one session.
pub const MAX_BYTES: usize = 1 << 20;

/// The posting end; clones post to the same session.
#[derive(Clone)]
pub struct Outbox(Arc<Shared>);

/// The reading end, held by the stream that writes to the socket.
pub struct Outgoing(Arc<Shared>);

/// What the stream does next.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// Write these serialised stanzas.
    Write(Vec<Bytes>),
    /// Close the stream, with this error or, for `None`, in order.
    Close(Option<StreamError>),
}

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    posted: Notify,
}

#[derive(Default)]
struct Queue {
    stanzas: VecDeque<Bytes>,
    bytes: usize,
    closed: Option<Option<StreamError>>,
}

/// Makes the two ends of a session's queue.
pub fn outbox() -> (Outbox, Outgoing) {
    let shared = Arc::new(Shared::default());
    (Outbox(shared.clone()), Outgoing(shared))
}

impl Outbox {
    /// Queues one serialised stanza. `false`: the session is closed, or this stanza overfilled its queue and closed it
    /// with `<resource-constraint/>`; the stanza will not be delivered.
    pub fn post(&self, stanza: Bytes) -> bool {
        let mut queue = self.0.queue.lock();
        if queue.closed.is_some() {
            return false;
        }
        if queue.stanzas.len() >= MAX_STANZAS || queue.bytes + stanza.len() > MAX_BYTES {
            queue.stanzas.clear();
            queue.closed = Some(Some(StreamError::ResourceConstraint));
        } else {
            queue.bytes += stanza.len();
            queue.stanzas.push_back(stanza);
        }
        let open = queue.closed.is_none();
        drop(queue);
        self.0.posted.notify_one();
        open
    }

    /// Ends the session after what is queued has been written. The first call decides the error.
    pub fn close(&self, error: Option<StreamError>) {
        self.0.queue.lock().closed.get_or_insert(error);
        self.0.posted.notify_one();
    }
}

impl Outgoing {
    /// Waits for something to do. Cancel-safe: nothing is taken before it is returned.
    pub async fn next(&mut self) -> Next {
        loop {
            if let Some(next) = self.0.queue.lock().take() {
                return next;
            }
            self.0.posted.notified().await;
        }
    }
}

impl Queue {
    fn take(&mut self) -> Option<Next> {
        if !self.stanzas.is_empty() {
            self.bytes = 0;
            return Some(Next::Write(self.stanzas.drain(..).collect()));
        }
        self.closed.map(Next::Close)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_was_posted_is_written_before_the_stream_closes() {
        let (outbox, mut outgoing) = outbox();
        assert!(outbox.post("a".into()));
        outbox.close(None);
        assert!(!outbox.post("b".into()));
        assert_eq!(outgoing.next().await, Next::Write(vec!["a".into()]));
        assert_eq!(outgoing.next().await, Next::Close(None));
    }

    #[tokio::test]
    async fn a_session_that_does_not_read_is_closed() {
        let (outbox, mut outgoing) = outbox();
        for _ in 0..MAX_STANZAS {
            assert!(outbox.post("<presence/>".into()));
        }
        assert!(!outbox.post("<presence/>".into()));
        assert_eq!(outgoing.next().await, Next::Close(Some(StreamError::ResourceConstraint)));
    }
}
