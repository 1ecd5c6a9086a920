//! Requests that wait for a plugin's answer, each known to the plugin by a token.
//!
//! A token names a place in a slab and the sequence number of the request that holds it, so that a stale one finds nothing. The answer lies in
//! that place until the future that waits fetches it; a streamed body travels by a buffer ([`stream_body`](super::stream_body)).

use std::{
    future::poll_fn,
    mem,
    sync::Arc,
    task::{Poll, Waker},
    time::Duration,
};

use actix_web::http::{
    StatusCode,
    header::{HeaderName, HeaderValue},
};
use bytes::Bytes;
use parking_lot::Mutex;
use slab::Slab;

use super::stream_body::{Buffer, End, StreamBody, Written, wake};
use crate::lines::{LINES, line_of_this_thread};

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

/// A call that comes too late, or with a token that never was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed;

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
    /// For its answer. The future that does, once it has looked in vain.
    Waiting(Option<Waker>),
    /// For the answer to be fetched.
    Answered(Result<Answer, Abandoned>),
    /// For the end of the body. The answer, as long as it has not been fetched.
    Streaming(Arc<Buffer>, Option<Answer>),
}

/// Waits for the answer of one request. Dropped, it closes the token.
pub struct Pending<'a> {
    exchanges: &'a Exchanges,
    token: u64,
    is_over: bool,
}

impl Exchanges {
    /// Opens an exchange.
    pub fn begin(&self) -> Pending<'_> {
        let shard = line_of_this_thread();
        let mut entries = self.shards[shard].0.lock();
        entries.sequence = entries.sequence.wrapping_add(1);
        let sequence = entries.sequence;
        let index = entries.slab.insert(Entry { sequence, state: State::Waiting(None) });
        Pending { exchanges: self, token: token(shard, index, sequence), is_over: false }
    }

    /// Answers whole.
    pub fn respond(&self, token: u64, answer: Answer) -> Result<(), Closed> {
        let waiting = self.with(token, |state| state.answer(Ok(answer)))?;
        wake(waiting);
        Ok(())
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
        let waiting = self.with(token, |state| {
            let State::Waiting(waiting) = state else { return Err(Closed) };
            let (waiting, buffer) = (waiting.take(), Arc::new(Buffer::new(ready)));
            let body = Body::Stream(StreamBody(buffer.clone()));
            *state = State::Streaming(buffer, Some(Answer { status, fields, body }));
            Ok(waiting)
        })?;
        wake(waiting);
        Ok(())
    }

    /// Queues a chunk of an open stream, waiting for room for up to `wait`, but never on a thread that empties streams itself.
    pub fn write(&self, token: u64, chunk: Bytes, wait: Duration) -> Result<Written, Closed> {
        let buffer = self.with(token, |state| match state {
            State::Streaming(buffer, _) => Ok(buffer.clone()),
            State::Waiting(_) | State::Answered(_) => Err(Closed),
        })?;
        buffer.write(chunk, wait)
    }

    /// Ends a stream in order.
    pub fn finish(&self, token: u64) -> Result<(), Closed> {
        self.end(token, End::Finished)
    }

    /// Gives a request up, or cuts its stream.
    pub fn abandon(&self, token: u64, reason: &str) -> Result<(), Closed> {
        match self.with(token, |state| state.answer(Err(Abandoned(reason.into())))) {
            Ok(waiting) => wake(waiting),
            Err(Closed) => self.end(token, End::Cut)?,
        }
        Ok(())
    }

    /// Whether a request waits for its answer.
    pub fn is_waiting(&self, token: u64) -> bool {
        self.with(token, |state| Ok(matches!(state, State::Waiting(_)))) == Ok(true)
    }

    /// Gives up all that is left. Answers how many there were.
    pub fn abandon_all(&self, reason: &str) -> usize {
        let tokens: Vec<u64> = (0..LINES).flat_map(|shard| self.tokens(shard)).collect();
        let abandoned = tokens.into_iter().filter(|token| self.abandon(*token, reason).is_ok()).count();
        self.shards.iter().for_each(|shard| shard.0.lock().slab.shrink_to_fit());
        abandoned
    }

    fn tokens(&self, shard: usize) -> Vec<u64> {
        self.shards[shard].0.lock().slab.iter().map(|(index, entry)| token(shard, index, entry.sequence)).collect()
    }

    /// Ends a stream. Its head may not have been fetched.
    fn end(&self, token: u64, end: End) -> Result<(), Closed> {
        let (shard, index, sequence) = place(token);
        let mut entries = self.shards[shard].0.lock();
        let entry = entries.slab.get_mut(index).filter(|entry| entry.sequence == sequence).ok_or(Closed)?;
        let State::Streaming(buffer, head) = &mut entry.state else { return Err(Closed) };
        let buffer = buffer.clone();
        match head.take() {
            Some(head) => entry.state = State::Answered(Ok(head)),
            None => drop(entries.slab.remove(index)),
        }
        drop(entries);
        buffer.end(end);
        Ok(())
    }

    /// Takes the answer out, if it is there, or notes who waits for it.
    fn fetch(&self, token: u64, waiting: Option<&Waker>) -> Poll<Result<Answer, Abandoned>> {
        let (shard, index, sequence) = place(token);
        let mut entries = self.shards[shard].0.lock();
        let entry = entries.slab.get_mut(index).filter(|entry| entry.sequence == sequence);
        match entry.map(|entry| &mut entry.state) {
            Some(State::Waiting(known)) => {
                let former = mem::replace(known, waiting.cloned());
                // In this order: a waker is foreign code, and is dropped without the lock.
                drop(entries);
                drop(former);
                Poll::Pending
            }
            Some(State::Answered(answer)) => {
                let answer = mem::replace(answer, Err(Abandoned(String::new())));
                entries.slab.remove(index);
                Poll::Ready(answer)
            }
            Some(State::Streaming(_, head)) if head.is_some() => Poll::Ready(head.take().ok_or_else(fetched)),
            Some(State::Streaming(..)) | None => Poll::Ready(Err(fetched())),
        }
    }

    fn with<R>(&self, token: u64, act: impl FnOnce(&mut State) -> Result<R, Closed>) -> Result<R, Closed> {
        let (shard, index, sequence) = place(token);
        let mut entries = self.shards[shard].0.lock();
        let entry = entries.slab.get_mut(index).filter(|entry| entry.sequence == sequence).ok_or(Closed)?;
        act(&mut entry.state)
    }

    fn take(&self, token: u64) -> Option<State> {
        let (shard, index, sequence) = place(token);
        let slab = &mut self.shards[shard].0.lock().slab;
        slab.get(index).filter(|entry| entry.sequence == sequence)?;
        Some(slab.remove(index).state)
    }
}

impl State {
    /// Gives the answer, and says who waits for it.
    fn answer(&mut self, answer: Result<Answer, Abandoned>) -> Result<Option<Waker>, Closed> {
        let State::Waiting(waiting) = self else { return Err(Closed) };
        let waiting = waiting.take();
        *self = State::Answered(answer);
        Ok(waiting)
    }
}

fn token(shard: usize, index: usize, sequence: u32) -> u64 {
    ((index * LINES + shard) as u64) << 32 | u64::from(sequence)
}

fn place(token: u64) -> (usize, usize, u32) {
    let place = (token >> 32) as usize;
    (place % LINES, place / LINES, token as u32)
}

fn fetched() -> Abandoned {
    Abandoned("the answer was fetched before".into())
}

impl Pending<'_> {
    /// What the plugin knows this request by.
    pub fn token(&self) -> u64 {
        self.token
    }

    /// The answer, if it has been given.
    pub fn answered(&mut self) -> Option<Result<Answer, Abandoned>> {
        match self.fetch(None) {
            Poll::Ready(answer) => Some(answer),
            Poll::Pending => None,
        }
    }

    /// Waits for the answer. Cancel-safe.
    pub async fn answer(&mut self) -> Result<Answer, Abandoned> {
        poll_fn(|cx| self.fetch(Some(cx.waker()))).await
    }

    fn fetch(&mut self, waiting: Option<&Waker>) -> Poll<Result<Answer, Abandoned>> {
        let answer = self.exchanges.fetch(self.token, waiting);
        self.is_over = answer.is_ready();
        answer
    }

    /// Closes the token. Answers whether the plugin has left the request without an answer, so that nothing else tells it.
    pub fn close(&mut self) -> bool {
        if mem::replace(&mut self.is_over, true) {
            return false;
        }
        // Nobody will fetch what is there by now. It is dropped without the lock: the plugin hears of the end of a stream.
        matches!(self.exchanges.take(self.token), Some(State::Waiting(_)))
    }
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        self.close();
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicU32, Ordering},
        task::Context,
    };

    use super::{
        super::stream_body::{Cut, STREAM_BUFFER, on_worker},
        *,
    };

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
    fn a_request_waits_until_it_is_answered_or_closed() {
        let exchanges = Exchanges::default();
        let (mut pending, mut answered) = (exchanges.begin(), exchanges.begin());
        assert!(exchanges.is_waiting(pending.token()));
        assert_eq!((pending.close(), pending.close()), (true, false), "the plugin is told once");
        exchanges.respond(answered.token(), answer("a")).unwrap();
        assert!(!answered.close(), "it knows what it has answered");
        assert!(!exchanges.is_waiting(pending.token()) && !exchanges.is_waiting(answered.token()));
        assert!(is_empty(&exchanges));
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

    fn is_empty(exchanges: &Exchanges) -> bool {
        exchanges.shards.iter().all(|shard| shard.0.lock().slab.is_empty())
    }

    #[test]
    fn a_head_that_nobody_fetches_leaves_nothing_behind() {
        let (exchanges, told) = (Exchanges::default(), Arc::new(AtomicU32::new(0)));
        let (pending, count) = (exchanges.begin(), told.clone());
        let token = pending.token();
        let tell = move || {
            count.fetch_add(1, Ordering::SeqCst);
        };
        assert_eq!(exchanges.open(token, StatusCode::OK, Vec::new(), tell), Ok(()));
        drop(pending);
        assert_eq!(told.load(Ordering::SeqCst), 1);
        assert_eq!(exchanges.write(token, "x".into(), Duration::ZERO), Err(Closed));
        assert_eq!(exchanges.open(token, StatusCode::OK, Vec::new(), || ()), Err(Closed));
        assert!(is_empty(&exchanges));
    }

    /// A handler may be done with its stream before anybody looks.
    #[test]
    fn a_stream_that_has_ended_is_fetched_all_the_same() {
        for (is_finished, end) in [(true, None), (false, Some(Err(Cut)))] {
            let exchanges = Exchanges::default();
            let mut pending = exchanges.begin();
            let token = pending.token();
            exchanges.open(token, StatusCode::ACCEPTED, Vec::new(), || ()).unwrap();
            assert_eq!(exchanges.write(token, "x".into(), Duration::ZERO), Ok(Written::Queued));
            let ended = if is_finished { exchanges.finish(token) } else { exchanges.abandon(token, "no more") };
            assert_eq!((ended, exchanges.finish(token)), (Ok(()), Err(Closed)));
            let Some(Ok(Answer { status, body: Body::Stream(body), .. })) = pending.answered() else {
                panic!("no stream")
            };
            assert_eq!((status, next(&body)), (StatusCode::ACCEPTED, Poll::Ready(Some(Ok("x".into())))));
            assert_eq!(next(&body), Poll::Ready(end));
            assert!(is_empty(&exchanges));
        }
    }

    #[tokio::test]
    async fn who_waits_is_woken_by_an_answer_and_by_the_end_of_all() {
        let exchanges = Arc::new(Exchanges::default());
        let wait = || {
            let (exchanges, (told, token)) = (exchanges.clone(), tokio::sync::oneshot::channel());
            let waiting = tokio::spawn(async move {
                let mut pending = exchanges.begin();
                told.send(pending.token()).unwrap();
                tokio::time::timeout(Duration::from_secs(30), pending.answer()).await.expect("it is woken")
            });
            (waiting, token)
        };
        let ((answered, one), (given_up, other)) = (wait(), wait());
        let (one, other) = (one.await.unwrap(), other.await.unwrap());
        assert_eq!(exchanges.respond(one, answer("a")), Ok(()));
        assert_eq!(exchanges.abandon_all("the end"), 1, "what is answered is not given up");
        assert_eq!(exchanges.respond(other, answer("b")), Err(Closed));
        assert!(answered.await.unwrap().is_ok());
        assert_eq!(given_up.await.unwrap().err(), Some(Abandoned("the end".into())));
        assert!(is_empty(&exchanges));
    }

    #[test]
    fn what_is_left_is_given_up() {
        let exchanges = Exchanges::default();
        let mut pending = exchanges.begin();
        assert_eq!(exchanges.abandon_all("drained"), 1);
        assert_eq!(pending.answered().map(|answer| answer.unwrap_err()), Some(Abandoned("drained".into())));
    }
}
