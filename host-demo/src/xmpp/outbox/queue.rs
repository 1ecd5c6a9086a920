//! The queue of an outbox: what waits, and what was written but may be lost.

use std::{
    collections::VecDeque,
    mem,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
};

use bytes::Bytes;
use jiff::Timestamp;

use super::{MAX_BYTES, MAX_OWED, MAX_STANZAS, Next};
use crate::xmpp::error::StreamError;

/// Asks a client how many stanzas it has handled (XEP-0198 section 4).
const REQUEST: &[u8] = b"<r xmlns='urn:xmpp:sm:3'/>";

#[derive(Default)]
pub(super) struct Queue {
    stanzas: VecDeque<Queued>,
    /// Taken to be written. They stay until they are written or, if the client acknowledges, acknowledged.
    sent: VecDeque<Queued>,
    /// How many of the stanzas nobody asked for, and their bytes.
    unasked: usize,
    bytes: usize,
    /// The bytes of what the client asked for.
    owed: usize,
    /// Messages that waited for the user are due.
    pub hand_out: bool,
    /// Whether something was written from the queue since they became due.
    pub wrote: bool,
    pub closed: Option<Option<StreamError>>,
    /// Nothing more is written: the queue overflowed, or the connection is gone.
    pub broken: bool,
    pub acknowledged: Option<Acknowledged>,
    /// Nobody looks at the client now: presence may wait for something that may not.
    pub inactive: bool,
}

/// How far a client that acknowledges has got.
#[derive(Default)]
pub(super) struct Acknowledged {
    /// The stanzas it has handled, modulo 2^32 (XEP-0198 section 4).
    handled: u32,
    /// How many of these were in what is first in `sent`.
    of_first: u32,
    /// It was asked and has not answered.
    asked: bool,
    /// It has answered for a part of what it was sent, and is to be asked for the rest.
    ask_again: bool,
    /// The bytes in `sent`.
    bytes: usize,
}

/// Some stanzas that go together.
pub(super) struct Queued {
    pub stanzas: Bytes,
    pub count: u32,
    pub what: What,
}

/// What becomes of queued stanzas other than to be written.
pub(super) enum What {
    /// It is gone when it can't be written.
    Plain,
    /// An answer to the client's request for an acknowledgement. It is no stanza, and is for this connection alone.
    Answer,
    /// A presence: it may wait while nobody looks.
    Presence,
    /// The broadcast presence of this resource, which may wait too: a later one takes its place.
    PresenceOf(u64),
    /// It comes back when it can't be written.
    Returnable { since: Timestamp, share: Option<Share> },
    /// Messages that wait in the store, under these numbers, until they are acknowledged.
    Stored(Vec<i64>),
}

/// A message of which several sessions are sent a copy: it comes back only if all are lost.
#[derive(Clone)]
pub struct Share(Arc<AtomicBool>);

/// A stanza that could not be delivered to a session.
pub struct Returned {
    /// The serialised stanza.
    pub stanza: Bytes,
    /// When it was posted.
    pub since: Timestamp,
}

/// A client has acknowledged more than it was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooHigh {
    /// How many stanzas it was sent.
    pub sent: u32,
}

impl Share {
    /// A message of which no copy was sent yet.
    pub fn new() -> Share {
        Share(Arc::new(AtomicBool::new(false)))
    }

    /// Gives up one copy. `true`: it was the last, and none was delivered.
    pub fn lose(self) -> bool {
        Arc::into_inner(self.0).is_some_and(|delivered| !delivered.into_inner())
    }
}

impl Queue {
    /// Queues stanzas. `false`: there is no room for so many bytes, or the session is over.
    pub fn push(&mut self, queued: Queued, has_room: impl FnOnce(&mut Queue, usize) -> bool) -> bool {
        if self.closed.is_some() {
            return false;
        }
        let fits = has_room(self, queued.stanzas.len());
        if fits {
            self.stanzas.push_back(queued);
        } else {
            self.break_off(StreamError::ResourceConstraint);
        }
        fits
    }

    /// Nothing more is written but, if nothing else was said before, why.
    pub fn break_off(&mut self, error: StreamError) {
        self.broken = true;
        self.closed.get_or_insert(Some(error));
    }

    /// `false`: there is no room for one more stanza of so many bytes.
    pub fn take_room(&mut self, length: usize) -> bool {
        (self.unasked, self.bytes) = (self.unasked + 1, self.bytes + length);
        self.unasked <= MAX_STANZAS && self.bytes <= MAX_BYTES
    }

    /// Whether one more stanza of so many bytes fits beside fewer than `stanzas` others.
    pub fn has_room(&self, stanzas: usize, length: usize) -> bool {
        self.unasked < stanzas && self.bytes + length <= MAX_BYTES
    }

    /// `false`: there is no room for so many bytes that the client asked for.
    pub fn take_owed(&mut self, length: usize) -> bool {
        self.owed += length;
        self.owed <= MAX_OWED
    }

    pub fn forget_presence_of(&mut self, resource: u64) {
        let is_older = |queued: &Queued| matches!(queued.what, What::PresenceOf(of) if of == resource);
        let older = self.stanzas.iter().position(is_older);
        if let Some(older) = older.and_then(|at| self.stanzas.remove(at)) {
            (self.unasked, self.bytes) = (self.unasked - 1, self.bytes - older.stanzas.len());
        }
    }

    /// Answers a request for an acknowledgement.
    pub fn answer(&mut self, answer: Bytes) {
        if self.closed.is_none() {
            self.stanzas.push_back(Queued { stanzas: answer, count: 0, what: What::Answer });
        }
    }

    /// Whether something that the client asked for waits to be written, and can be: otherwise only an acknowledgement helps,
    /// which has to be read.
    pub fn owes(&self) -> bool {
        self.owed > 0 && self.has_window()
    }

    pub fn take(&mut self) -> Option<Next> {
        if self.broken {
            return self.closed.map(Next::Close);
        }
        let hand_out = self.hand_out && self.closed.is_none();
        let its_turn = hand_out && self.wrote;
        if !self.stanzas.is_empty() && !its_turn && self.has_window() && !self.holds_back() {
            return Some(Next::Write(self.take_stanzas()));
        }
        let unnumbered = self.take_unnumbered();
        if !unnumbered.is_empty() {
            return Some(Next::Write(unnumbered));
        }
        if hand_out && self.has_window() {
            self.hand_out = false;
            return Some(Next::HandOut);
        }
        self.closed.map(Next::Close)
    }

    /// Whether all that is queued may wait, and is little enough to leave room.
    fn holds_back(&self) -> bool {
        let may_wait = |queued: &Queued| matches!(queued.what, What::Presence | What::PresenceOf(_));
        let is_little = self.stanzas.len() < MAX_STANZAS / 2 && self.bytes < MAX_BYTES / 2;
        self.inactive && self.closed.is_none() && is_little && self.stanzas.iter().all(may_wait)
    }

    fn take_stanzas(&mut self) -> Vec<Bytes> {
        (self.unasked, self.bytes, self.owed, self.wrote) = (0, 0, 0, true);
        let mut taken: Vec<_> = self.stanzas.iter().map(|queued| queued.stanzas.clone()).collect();
        let stanzas = mem::take(&mut self.stanzas);
        stanzas.into_iter().for_each(|queued| self.keep_sent(queued));
        taken.extend(self.request());
        taken
    }

    /// What does not count and may be written at any time: answers, and the request for what a client has yet to acknowledge.
    fn take_unnumbered(&mut self) -> Vec<Bytes> {
        let mut taken = Vec::new();
        self.stanzas.retain(|queued| {
            let is_answer = queued.is_answer();
            taken.extend(is_answer.then(|| queued.stanzas.clone()));
            !is_answer
        });
        let ask_again = self.acknowledged.as_ref().is_some_and(|acknowledged| acknowledged.ask_again);
        if ask_again && self.closed.is_none() {
            taken.extend(self.request());
        }
        taken
    }

    /// Whether more may be written before the client acknowledges.
    fn has_window(&self) -> bool {
        self.acknowledged.as_ref().is_none_or(|acknowledged| acknowledged.bytes <= MAX_BYTES)
    }

    fn keep_sent(&mut self, queued: Queued) {
        if queued.is_answer() {
            return;
        }
        if let Some(acknowledged) = &mut self.acknowledged {
            acknowledged.bytes += queued.stanzas.len();
        }
        self.sent.push_back(queued);
    }

    /// Notes messages that wait in the store as sent.
    pub fn keep_stored(&mut self, stanzas: Bytes, numbers: Vec<i64>) {
        self.keep_sent(Queued { stanzas, count: 1, what: What::Stored(numbers) });
    }

    /// Whether messages that wait in the store are among what was sent.
    pub fn awaits_stored(&self) -> bool {
        self.sent.iter().any(|queued| matches!(queued.what, What::Stored(_)))
    }

    /// What asks the client for an acknowledgement, if it owes one and was not asked yet.
    pub fn request(&mut self) -> Option<Bytes> {
        let acknowledged = self.acknowledged.as_mut().filter(|_| !self.sent.is_empty())?;
        acknowledged.ask_again = false;
        (!mem::replace(&mut acknowledged.asked, true)).then_some(Bytes::from_static(REQUEST))
    }

    /// The first of what was taken was written. It stays, if the client is to acknowledge it.
    pub fn written(&mut self, pieces: usize) {
        if self.acknowledged.is_none() {
            for queued in self.sent.drain(..pieces.min(self.sent.len())) {
                queued.was_delivered();
            }
        }
    }

    /// The client has handled so many stanzas. Returns the numbers of those among them that waited in the store.
    pub fn acknowledge(&mut self, handled: u32) -> Result<Vec<i64>, TooHigh> {
        let Some(acknowledged) = &mut self.acknowledged else { return Ok(Vec::new()) };
        let news = handled.wrapping_sub(acknowledged.handled);
        let outstanding = self.sent.iter().map(|queued| queued.count).sum::<u32>() - acknowledged.of_first;
        if news > outstanding {
            return Err(TooHigh { sent: acknowledged.handled.wrapping_add(outstanding) });
        }
        (acknowledged.handled, acknowledged.asked) = (handled, false);
        let mut credit = news + mem::take(&mut acknowledged.of_first);
        let mut stored = Vec::new();
        while let Some(queued) = self.sent.pop_front_if(|queued| queued.count <= credit) {
            credit -= queued.count;
            acknowledged.bytes -= queued.stanzas.len();
            stored.extend(queued.was_delivered());
        }
        acknowledged.of_first = credit;
        // One that has got no further is asked already for what it was sent since.
        acknowledged.ask_again = (acknowledged.ask_again || news > 0) && !self.sent.is_empty();
        Ok(stored)
    }

    /// What was sent and not acknowledged waits again, before everything else. What waits in the store is read from there.
    pub fn resend(&mut self) {
        self.stanzas.retain(|queued| !queued.is_answer());
        for queued in mem::take(&mut self.sent).into_iter().rev() {
            match queued.what {
                What::Stored(_) => {}
                // It takes no room that a later one could give back.
                What::PresenceOf(_) => self.stanzas.push_front(Queued { what: What::Presence, ..queued }),
                _ => self.stanzas.push_front(queued),
            }
        }
        if let Some(acknowledged) = &mut self.acknowledged {
            let handled = acknowledged.handled;
            *acknowledged = Acknowledged { handled, ..Acknowledged::default() };
        }
    }

    /// Takes out all that the client did not get, and keeps what of it comes back, in order.
    pub fn take_back(&mut self) -> Vec<Returned> {
        let lost = mem::take(&mut self.sent).into_iter().chain(mem::take(&mut self.stanzas));
        lost.filter_map(Queued::returned).collect()
    }
}

impl Queued {
    /// One stanza.
    pub fn one(stanza: Bytes, what: What) -> Queued {
        Queued { stanzas: stanza, count: 1, what }
    }

    fn is_answer(&self) -> bool {
        matches!(self.what, What::Answer)
    }

    /// Returns the numbers of messages that waited in the store.
    fn was_delivered(self) -> Vec<i64> {
        match self.what {
            What::Stored(numbers) => return numbers,
            What::Returnable { share: Some(Share(delivered)), .. } => delivered.store(true, SeqCst),
            What::Returnable { share: None, .. }
            | What::Plain
            | What::Answer
            | What::Presence
            | What::PresenceOf(_) => {}
        }
        Vec::new()
    }

    fn returned(self) -> Option<Returned> {
        let What::Returnable { since, share } = self.what else { return None };
        share.is_none_or(Share::lose).then_some(Returned { stanza: self.stanzas, since })
    }
}
