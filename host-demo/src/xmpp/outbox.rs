//! What waits to be written to a session: a queue with a bound in stanzas and in bytes.
//!
//! Any thread may post. A client that does not read fills its outbox, which then closes with a stream error: a slow
//! reader loses its own session and nobody else's. What a client is owed because it asked for it (its roster, the presence of
//! its contacts) has a bound of its own, as wide as the largest roster: it comes all at once, before the client could read.

use std::{collections::VecDeque, sync::Arc};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::error::StreamError;
use crate::plugin::stanzas::{Handed, MAX_STANZAS as MAX_OFFERED};

/// The most stanzas that may wait for one session.
pub const MAX_STANZAS: usize = 256;
/// The most bytes that may wait for one session.
pub const MAX_BYTES: usize = 1 << 20;
/// The most bytes that may wait of what a client asked for.
const MAX_OWED: usize = 32 << 20;

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
    /// Fetch some of the messages that waited for the user, and write them.
    HandOut,
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
    stanzas: VecDeque<Queued>,
    /// How many of them nobody asked for, and their bytes.
    unasked: usize,
    bytes: usize,
    /// The bytes of what the client asked for.
    owed: usize,
    /// Messages that waited for the user are due.
    hand_out: bool,
    /// Whether something was written from the queue since they became due.
    wrote: bool,
    closed: Option<Option<StreamError>>,
}

struct Queued {
    stanza: Bytes,
    /// Whose broadcast presence it is, if it is one.
    presence_of: Option<u64>,
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
        self.queue(Queued { stanza, presence_of: None }, Queue::take_room)
    }

    /// As [`Outbox::post`], for an available presence that a resource, told by a number of its own, shows to everybody. An
    /// older one that waits is out of date and makes way: however often somebody changes, a client that reads slowly has
    /// one presence to read.
    pub fn post_presence(&self, stanza: Bytes, resource: u64) -> bool {
        self.queue(Queued { stanza, presence_of: Some(resource) }, |queue, length| {
            queue.forget_presence_of(resource);
            queue.take_room(length)
        })
    }

    /// As [`Outbox::post`], for a component: one that has no room is refused, and the component keeps its stream, which carries the
    /// traffic of many.
    pub fn offer(&self, stanza: Bytes) -> Handed {
        let mut queue = self.0.queue.lock();
        if queue.closed.is_some() {
            return Handed::Gone;
        }
        if queue.unasked >= MAX_OFFERED || queue.bytes + stanza.len() > MAX_BYTES {
            return Handed::Full;
        }
        (queue.unasked, queue.bytes) = (queue.unasked + 1, queue.bytes + stanza.len());
        queue.stanzas.push_back(Queued { stanza, presence_of: None });
        drop(queue);
        self.0.posted.notify_one();
        Handed::Over
    }

    /// As [`Outbox::post`], for whole stanzas that the client asked for.
    pub fn post_owed(&self, stanzas: Bytes) -> bool {
        self.queue(Queued { stanza: stanzas, presence_of: None }, |queue, length| {
            queue.owed += length;
            queue.owed <= MAX_OWED
        })
    }

    /// Queues a stanza, if there is room for so many bytes.
    fn queue(&self, queued: Queued, has_room: impl FnOnce(&mut Queue, usize) -> bool) -> bool {
        let mut queue = self.0.queue.lock();
        if queue.closed.is_some() {
            return false;
        }
        let fits = has_room(&mut queue, queued.stanza.len());
        if fits {
            queue.stanzas.push_back(queued);
        } else {
            queue.stanzas.clear();
            queue.closed = Some(Some(StreamError::ResourceConstraint));
        }
        drop(queue);
        self.0.posted.notify_one();
        fits
    }

    /// Asks for messages that waited for the user to be handed out. They don't pass through the queue, which is bounded: the
    /// stream fetches some whenever it has written the ones before, in turns with what is queued.
    pub fn hand_out(&self) {
        let mut queue = self.0.queue.lock();
        // What is queued by now goes first.
        (queue.hand_out, queue.wrote) = (true, false);
        drop(queue);
        self.0.posted.notify_one();
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

    /// Whether something waits that the client asked for.
    pub fn owes(&self) -> bool {
        self.0.queue.lock().owed > 0
    }

    /// What [`Outgoing::next`] would return, without waiting for it.
    #[cfg(any(test, fuzzing))]
    pub fn next_now(&mut self) -> Option<Next> {
        self.0.queue.lock().take()
    }

    /// Waits until the queue overflows.
    pub async fn overfilled(&self) {
        loop {
            let posted = self.0.posted.notified();
            if self.0.queue.lock().closed == Some(Some(StreamError::ResourceConstraint)) {
                return;
            }
            posted.await;
        }
    }
}

impl Queue {
    /// `false`: there is no room for one more stanza of so many bytes.
    fn take_room(&mut self, length: usize) -> bool {
        (self.unasked, self.bytes) = (self.unasked + 1, self.bytes + length);
        self.unasked <= MAX_STANZAS && self.bytes <= MAX_BYTES
    }

    fn forget_presence_of(&mut self, resource: u64) {
        let older = self.stanzas.iter().position(|queued| queued.presence_of == Some(resource));
        if let Some(older) = older.and_then(|at| self.stanzas.remove(at)) {
            (self.unasked, self.bytes) = (self.unasked - 1, self.bytes - older.stanza.len());
        }
    }

    fn take(&mut self) -> Option<Next> {
        let hand_out = self.hand_out && self.closed.is_none();
        let its_turn = hand_out && self.wrote;
        if !self.stanzas.is_empty() && !its_turn {
            (self.unasked, self.bytes, self.owed, self.wrote) = (0, 0, 0, true);
            return Some(Next::Write(self.stanzas.drain(..).map(|queued| queued.stanza).collect()));
        }
        if hand_out {
            self.hand_out = false;
            return Some(Next::HandOut);
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
    async fn messages_that_waited_take_turns_with_what_is_queued() {
        let (outbox, mut outgoing) = outbox();
        outbox.post("a".into());
        outbox.hand_out();
        assert_eq!(outgoing.next().await, Next::Write(vec!["a".into()]));
        outbox.post("b".into());
        assert_eq!(outgoing.next().await, Next::HandOut);
        outbox.hand_out();
        assert_eq!(outgoing.next().await, Next::Write(vec!["b".into()]), "what was queued by then goes first");
        outbox.post("c".into());
        assert_eq!(outgoing.next().await, Next::HandOut);
        assert_eq!(outgoing.next().await, Next::Write(vec!["c".into()]));
        outbox.hand_out();
        outbox.close(None);
        assert_eq!(outgoing.next().await, Next::Close(None), "they wait for the next session");
    }

    #[tokio::test]
    async fn of_a_resource_only_the_latest_presence_waits() {
        let (outbox, mut outgoing) = outbox();
        for number in 0..10 * MAX_STANZAS {
            assert!(outbox.post_presence(format!("a{number}").into(), 1));
            assert!(number > 0 || outbox.post("b".into()));
        }
        assert!(outbox.post_presence("c".into(), 2));
        let latest = format!("a{}", 10 * MAX_STANZAS - 1);
        assert_eq!(outgoing.next().await, Next::Write(vec!["b".into(), latest.into(), "c".into()]));
        assert!(outbox.post_presence("d".into(), 1));
        assert_eq!(outgoing.next().await, Next::Write(vec!["d".into()]));
    }

    #[tokio::test]
    async fn what_was_asked_for_takes_no_room_from_the_rest() {
        let (outbox, mut outgoing) = outbox();
        for _ in 0..MAX_OWED / MAX_BYTES {
            assert!(outbox.post_owed(vec![b' '; MAX_BYTES].into()));
        }
        assert!(outbox.post("<presence/>".into()));
        assert!(outgoing.owes());
        let Next::Write(stanzas) = outgoing.next().await else { panic!("nothing to write") };
        assert_eq!(stanzas.len(), MAX_OWED / MAX_BYTES + 1);
        assert!(!outgoing.owes());
        assert!(outbox.post_owed(vec![b' '; MAX_OWED].into()), "written, it counts no more");
        assert!(!outbox.post_owed("<presence/>".into()));
    }

    #[tokio::test]
    async fn a_session_that_does_not_read_is_closed() {
        let (outbox, mut outgoing) = outbox();
        for _ in 0..MAX_STANZAS {
            assert!(outbox.post("<presence/>".into()));
        }
        assert!(!outbox.post("<presence/>".into()));
        outgoing.overfilled().await;
        assert_eq!(outgoing.next().await, Next::Close(Some(StreamError::ResourceConstraint)));
    }
}
