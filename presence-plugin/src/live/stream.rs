//! A stream of server-sent events (WHATWG HTML, section 9.2): first what is shown of each user, then each change.
//!
//! A client that comes back says by `Last-Event-ID` what it has, and is not told of that again. One that does not read is cut
//! when the host holds 64 KiB for it; it may come back, and hears the truth then.

use std::sync::{
    Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use plugin_api::{Jid, Stream, Written};

use super::{
    Told, Watcher,
    event::{self, Tag},
    round::{Round, Whom},
    seats::Seat,
};
use crate::users::Requester;

/// What a client waits before it comes back after its connection broke, in milliseconds.
const RETRY: u64 = 2_000;
/// The same at an upgrade, when all come back: each at its own moment within this time.
const RETRY_AT_END: u64 = 2_000;

/// One stream. There may be thousands: for nobody in particular, a requester takes no room.
pub struct EventStream {
    number: u64,
    _seat: Seat,
    requester: Option<Box<Requester>>,
    state: Mutex<State>,
}

/// What is under way to its client.
pub struct State {
    stream: Option<Stream>,
    watched: Box<[Watched]>,
}

/// A user that it is about.
struct Watched {
    whom: Whom,
    /// What its client was told last.
    told: Option<Tag>,
}

/// A stream that is about to be opened: changes wait for it.
pub struct Opening<'s> {
    watcher: &'s EventStream,
    state: MutexGuard<'s, State>,
}

impl EventStream {
    /// A stream about these users, for a client that has what `held`, the id of an event, says.
    pub fn new(number: u64, seat: Seat, requester: Requester, users: Vec<Whom>, held: Option<&str>) -> EventStream {
        let tags = Tag::read_all(held, users.len());
        let watched = users.into_iter().zip(tags).map(|(whom, told)| Watched { whom, told }).collect();
        let requester = (!requester.is_nobody()).then(|| Box::new(requester));
        EventStream { number, _seat: seat, requester, state: Mutex::new(State { stream: None, watched }) }
    }

    /// Begins to open it.
    pub fn begin(&self) -> Opening<'_> {
        Opening { watcher: self, state: self.state() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends events for what is shown otherwise than was told. Answers whether there was any.
    fn news(&self, state: &mut State, user: Option<&str>, round: &Round<'_>, out: &mut Vec<u8>) -> bool {
        let mut documents = Vec::new();
        for Watched { whom, told } in &mut state.watched {
            if user.is_some_and(|user| whom.user().map(Jid::bare) != Some(user)) {
                continue;
            }
            let Some((tag, document)) = round.document(whom, self.requester.as_deref()) else { continue };
            if *told != Some(tag) {
                *told = Some(tag);
                documents.push(document);
            }
        }
        event::write(out, &documents, state.watched.iter().filter_map(|watched| watched.told));
        !documents.is_empty()
    }
}

impl Opening<'_> {
    /// The users it is about.
    pub fn users(&self) -> impl Iterator<Item = &Jid> {
        self.state.watched.iter().filter_map(|watched| watched.whom.user())
    }

    /// Opens it: its client is told what it does not have. `leave` is called once nobody reads any more.
    pub fn go(mut self, stream: Stream, round: &Round<'_>, leave: impl Fn() + Send + Sync + 'static) -> Told {
        // A block without data is no event; a client that hears a comment knows that it is connected.
        let mut text = format!("retry: {RETRY}\n\n:\n\n").into_bytes();
        self.watcher.news(&mut self.state, None, round, &mut text);
        let told = write(&stream, &text);
        let is_first = AtomicBool::new(true);
        stream.on_writable(move || {
            // The first call is none of the host's. Any other one tells that the client is gone: no stream that was full is kept.
            if !is_first.swap(false, Ordering::Relaxed) {
                leave();
            }
        });
        self.state.stream = Some(stream);
        told
    }
}

impl Watcher for EventStream {
    fn look(&self, user: Option<&str>, round: &Round<'_>) -> Told {
        let (mut state, mut text) = (self.state(), Vec::new());
        if !self.news(&mut state, user, round, &mut text) {
            return Told::Nothing;
        }
        state.stream.as_ref().map_or(Told::All, |stream| write(stream, &text))
    }

    fn beat(&self) -> Told {
        self.state().stream.as_ref().map_or(Told::All, |stream| write(stream, b":\n\n"))
    }

    fn end(&self, _round: &Round<'_>) {
        let stream = self.state().stream.take();
        end(stream, self.number);
    }
}

/// Tells a client when to come back, and ends its stream in order.
pub fn end(stream: Option<Stream>, number: u64) {
    if let Some(stream) = stream {
        stream.write(format!("retry: {}\n\n", staggered(number)).as_bytes());
        stream.finish();
    }
}

/// When the client of this stream should come back at an upgrade: the multiples of the golden ratio are spread evenly.
fn staggered(number: u64) -> u64 {
    let fraction = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
    (fraction * RETRY_AT_END) >> 32
}

fn write(stream: &Stream, text: &[u8]) -> Told {
    match stream.write(text) {
        Written::Queued => Told::News,
        Written::Full | Written::Closed => Told::All,
    }
}
