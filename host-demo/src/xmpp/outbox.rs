//! What waits to be written to a session: a queue with a bound in stanzas and in bytes.
//!
//! Any thread may post. A client that does not read fills its outbox, which then closes with a stream error: a slow
//! reader loses its own session and nobody else's. What a client is owed because it asked for it (its roster, the presence of
//! its contacts) has a bound of its own, as wide as the largest roster: it comes all at once, before the client could read.
//!
//! What somebody sent comes back when it can't be written, to be delivered otherwise. A client may acknowledge what it has
//! handled (XEP-0198): then all that it did not acknowledge is kept, to be written again on its next connection or to come back.

#[cfg(test)]
mod acknowledging;
mod queue;

use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use parking_lot::Mutex;
use tokio::sync::Notify;

use self::queue::{Acknowledged, Queue, Queued, What};
pub use self::queue::{Returned, Share, TooHigh};
use super::error::StreamError;
use crate::plugin::stanzas::{Handed, MAX_STANZAS as MAX_OFFERED};

/// The most stanzas that may wait for one session.
pub const MAX_STANZAS: usize = 256;
/// The most bytes that may wait for one session; also, about, that may be on their way without being acknowledged.
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

/// Makes the two ends of a session's queue.
pub fn outbox() -> (Outbox, Outgoing) {
    let shared = Arc::new(Shared::default());
    (Outbox(shared.clone()), Outgoing(shared))
}

impl Outbox {
    /// Queues one serialised stanza. `false`: the session is closed, or this stanza overfilled its queue and closed it
    /// with `<resource-constraint/>`; the stanza will not be delivered.
    pub fn post(&self, stanza: Bytes) -> bool {
        self.queue(Queued::one(stanza, What::Plain), Queue::take_room)
    }

    /// As [`Outbox::post`], for what somebody sent and would miss: it comes back if it can't be delivered. With a share, only if
    /// no other session delivers it.
    pub fn post_returnable(&self, stanza: Bytes, share: Option<Share>) -> bool {
        self.queue(Queued::one(stanza, What::Returnable { since: Timestamp::now(), share }), Queue::take_room)
    }

    /// As [`Outbox::post`], for a presence.
    pub fn post_any_presence(&self, stanza: Bytes) -> bool {
        self.queue(Queued::one(stanza, What::Presence), Queue::take_room)
    }

    /// As [`Outbox::post`], for an available presence that a resource, told by a number of its own, shows to everybody. An
    /// older one that waits is out of date and makes way: however often somebody changes, a client that reads slowly has
    /// one presence to read.
    pub fn post_presence(&self, stanza: Bytes, resource: u64) -> bool {
        self.queue(Queued::one(stanza, What::PresenceOf(resource)), |queue, length| {
            queue.forget_presence_of(resource);
            queue.take_room(length)
        })
    }

    /// As [`Outbox::post`], for a component: one that has no room is refused, and the component keeps its stream, which carries the
    /// traffic of many. `returnable`: somebody would miss it.
    pub fn offer(&self, stanza: Bytes, returnable: bool) -> Handed {
        let mut queue = self.0.queue.lock();
        if queue.closed.is_some() {
            return Handed::Gone;
        }
        if !queue.has_room(MAX_OFFERED, stanza.len()) {
            return Handed::Full;
        }
        let what = if returnable { What::Returnable { since: Timestamp::now(), share: None } } else { What::Plain };
        queue.push(Queued::one(stanza, what), |queue, length| {
            queue.take_room(length);
            true
        });
        drop(queue);
        self.0.posted.notify_one();
        Handed::Over
    }

    /// As [`Outbox::post`], for `count` whole stanzas that the client asked for.
    pub fn post_owed(&self, stanzas: Bytes, count: u32) -> bool {
        self.queue(Queued { stanzas, count, what: What::Plain }, Queue::take_owed)
    }

    /// As [`Outbox::post_returnable`], in the midst of what the client asked for.
    pub fn post_returnable_owed(&self, stanza: Bytes, share: Option<Share>) -> bool {
        self.queue(Queued::one(stanza, What::Returnable { since: Timestamp::now(), share }), Queue::take_owed)
    }

    /// Queues stanzas, if there is room for so many bytes.
    fn queue(&self, queued: Queued, has_room: impl FnOnce(&mut Queue, usize) -> bool) -> bool {
        let fits = self.0.queue.lock().push(queued, has_room);
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

    /// Ends the session at once: nothing more can be written.
    pub fn break_off(&self, error: StreamError) {
        self.0.queue.lock().break_off(error);
        self.0.posted.notify_one();
    }

    /// Whether nothing can be posted any more.
    pub fn is_closed(&self) -> bool {
        self.0.queue.lock().closed.is_some()
    }

    /// Whether what is queued won't be written any more.
    pub fn is_broken(&self) -> bool {
        self.0.queue.lock().broken
    }

    /// Whether messages that wait in the store were written and not acknowledged yet.
    pub fn awaits_stored(&self) -> bool {
        self.0.queue.lock().awaits_stored()
    }

    /// Takes out, in order, what was sent to the session and did not arrive.
    pub fn take_back(&self) -> Vec<Returned> {
        self.0.queue.lock().take_back()
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

    /// The first pieces of what was to be written are.
    pub fn written(&self, pieces: usize) {
        self.0.queue.lock().written(pieces);
    }

    /// Whether something waits to be written that the client asked for.
    pub fn owes(&self) -> bool {
        self.0.queue.lock().owes()
    }

    /// What [`Outgoing::next`] would return, without waiting for it.
    #[cfg(any(test, fuzzing))]
    pub fn next_now(&mut self) -> Option<Next> {
        self.0.queue.lock().take()
    }

    /// Waits until the session is over: nothing can be posted any more.
    pub async fn closed(&self) {
        self.until(|queue| queue.closed.is_some()).await;
    }

    /// Waits until the queue overflows.
    pub async fn overfilled(&self) {
        self.until(|queue| queue.broken).await;
    }

    async fn until(&self, holds: impl Fn(&Queue) -> bool) {
        loop {
            let posted = self.0.posted.notified();
            if holds(&self.0.queue.lock()) {
                return;
            }
            posted.await;
        }
    }
}

/// Client state indication (XEP-0352).
impl Outgoing {
    /// Whether somebody looks at the client. If nobody does, presence waits until there is something else to write, or until
    /// there is much of it.
    pub fn set_active(&self, active: bool) {
        self.0.queue.lock().inactive = !active;
    }
}

/// Acknowledgements (XEP-0198).
impl Outgoing {
    /// From now on the client acknowledges what is written.
    pub fn begin_acknowledging(&self) {
        let mut queue = self.0.queue.lock();
        queue.acknowledged.get_or_insert_with(Acknowledged::default);
    }

    /// Whether the client acknowledges what is written.
    pub fn is_acknowledged(&self) -> bool {
        self.0.queue.lock().acknowledged.is_some()
    }

    /// The client has handled so many stanzas. Returns the numbers of those among them that waited in the store.
    ///
    /// # Errors
    /// It was not sent so many.
    pub fn acknowledge(&self, handled: u32) -> Result<Vec<i64>, TooHigh> {
        let stored = self.0.queue.lock().acknowledge(handled);
        // There may be room to write again.
        self.0.posted.notify_one();
        stored
    }

    /// Answers a request for an acknowledgement. It is no stanza, and is not counted.
    pub fn answer(&self, answer: String) {
        self.0.queue.lock().answer(answer.into());
    }

    /// Messages that wait in the store are about to be written: each with the numbers of those that are done with it. Returns
    /// what is to be written behind them.
    pub fn note_stored(&self, messages: impl IntoIterator<Item = (Bytes, Vec<i64>)>) -> Option<Bytes> {
        let mut queue = self.0.queue.lock();
        messages.into_iter().for_each(|(stanza, numbers)| queue.keep_stored(stanza, numbers));
        queue.request()
    }

    /// The client is on a new connection: what it did not acknowledge is written again.
    pub fn resend(&self) {
        self.0.queue.lock().resend();
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
    async fn presence_waits_while_nobody_looks() {
        let (outbox, mut outgoing) = outbox();
        outgoing.set_active(false);
        outbox.post_presence("away".into(), 1);
        outbox.post_any_presence("gone".into());
        assert_eq!(outgoing.next_now(), None);
        outbox.post("message".into());
        assert_eq!(outgoing.next_now(), Some(Next::Write(vec!["away".into(), "gone".into(), "message".into()])));
        outbox.post_presence("back".into(), 1);
        assert_eq!(outgoing.next_now(), None);
        outgoing.set_active(true);
        assert_eq!(outgoing.next_now(), Some(Next::Write(vec!["back".into()])));
    }

    #[tokio::test]
    async fn a_crowd_does_not_overfill_a_client_that_nobody_looks_at() {
        let (outbox, mut outgoing) = outbox();
        outgoing.set_active(false);
        let mut written = 0;
        for resource in 0..10 * MAX_STANZAS {
            assert!(outbox.post_presence("presence".into(), resource as u64));
            if let Some(Next::Write(stanzas)) = outgoing.next_now() {
                written += stanzas.len();
            }
        }
        assert!(written > 9 * MAX_STANZAS);
    }

    #[tokio::test]
    async fn what_was_asked_for_takes_no_room_from_the_rest() {
        let (outbox, mut outgoing) = outbox();
        for _ in 0..MAX_OWED / MAX_BYTES {
            assert!(outbox.post_owed(vec![b' '; MAX_BYTES].into(), 1));
        }
        assert!(outbox.post("<presence/>".into()));
        assert!(outgoing.owes());
        let Next::Write(stanzas) = outgoing.next().await else { panic!("nothing to write") };
        assert_eq!(stanzas.len(), MAX_OWED / MAX_BYTES + 1);
        assert!(!outgoing.owes());
        assert!(outbox.post_owed(vec![b' '; MAX_OWED].into(), 1), "written, it counts no more");
        assert!(!outbox.post_owed("<presence/>".into(), 1));
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
