//! Presence that moves: clients are told of changes instead of asking again.
//!
//! # Layout
//! Whoever waits is a [`Watcher`]: an event [`stream`], which is told of each change as an [`event`], or a long [`poll`], which is answered
//! by the first one. Each has one of the [`seats`], and is in the [`crowd`], where the host has one subscription for each user who is
//! watched, however many watch. [`Live`] hears of a change and has each watcher of that user look, in one [`round`], at what it may be
//! shown, as a request would: one who may see no more is shown that, and not why. Nothing is remembered of what was told but a hash: the
//! event after a missed one is the truth.
//!
//! Components can't be subscribed to: one that is watched is asked once a [`BEAT`], for all its watchers ([`probe`](crate::probe)).
//!
//! What else decides on who may see, settings, rosters and blocklists, is not told of by the host. So each watcher also looks once a
//! [`BEAT`], when streams that were told nothing get a comment. No thread waits: all of this runs when the host calls.
//!
//! [`turns`] is how often what changes all the time is told. [`widget`] is the script by which pages make use of the streams.

mod crowd;
mod event;
mod http;
mod poll;
mod round;
mod seats;
mod stream;
mod turns;
mod widget;

use std::{
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use arc_swap::Guard;
use plugin_api::prelude::*;

use self::{
    crowd::Crowd,
    http::{LONGEST_ASKED, refuse_long_poll, refuse_poll},
    poll::{Poll, Wish},
    round::{Round, Whom},
    seats::{Refused, Seats},
    stream::EventStream,
    turns::{Turn, Turns},
};
pub use self::{
    http::{Awaited, mount},
    poll::check_wait,
    seats::Bounds,
};
use crate::{
    pace,
    probe::{self, Probes, Watch},
    send,
    settings::InForce,
    users::{Requester, Users},
};

/// The most users that one stream tells of.
const MOST_USERS: usize = 50;
/// How many seconds a client hears nothing, at most, and a watcher does not look.
const BEAT: u64 = 20;
/// The time between two times that all look, whatever changes.
const PAUSE: Duration = Duration::from_secs(1);
/// The beat comes in [`BEAT`] parts, each for its share of the watchers.
const PART: Duration = Duration::from_secs(1);

/// All who wait for changes. Clones are the same.
#[derive(Clone)]
pub struct Live(Arc<Shared>);

/// What the host's calls find.
struct Shared {
    host: Host,
    users: Arc<Users>,
    settings: Arc<InForce>,
    probes: Arc<Probes>,
    seats: Arc<Seats>,
    /// The seats of polls: neither they nor streams are in the way of the others.
    polls: Arc<Seats>,
    crowd: Mutex<Crowd<Source, Arc<dyn Watcher>>>,
    again: Mutex<Turns>,
    next: AtomicU64,
}

/// Where news of somebody come from: held for its end.
enum Source {
    User { _changes: Subscription },
    Component { _answers: Watch },
}

/// Somebody who waits. Its functions may be called on several threads, and look one after the other.
trait Watcher: Send + Sync {
    /// Looks at what may be shown of `user`, or of all its users, and tells its client what is new.
    fn look(&self, user: Option<&str>, round: &Round<'_>) -> Told;
    /// Has its client hear something, for want of news.
    fn beat(&self) -> Told;
    /// Sends its client away in order: it may come back at once.
    fn end(&self, round: &Round<'_>);
}

/// What a watcher has told its client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    /// There was nothing to tell.
    Nothing,
    /// There was, and the client goes on waiting.
    News,
    /// All there is: the client is answered, gone, or does not read.
    All,
}

/// Whom a request to be told of changes comes from.
struct Visit {
    /// Its client's address, if its requests are counted.
    client: Option<IpAddr>,
    /// In whose name it asks.
    requester: Requester,
}

impl Live {
    /// Nobody waits yet.
    pub fn new(host: Host, users: Arc<Users>, settings: Arc<InForce>, probes: Arc<Probes>) -> Live {
        let (seats, polls) = (Arc::default(), Arc::default());
        let (crowd, again, next) = (Mutex::default(), Mutex::default(), AtomicU64::new(0));
        Live(Arc::new(Shared { host, users, settings, probes, seats, polls, crowd, again, next }))
    }

    /// Opens a stream of events about these users; `held` is the id of the last event that the client has. The head is `head`, or what
    /// `refuse` makes of the reason why there is no stream.
    fn stream(
        &self,
        visit: Visit,
        users: Vec<Whom>,
        held: Option<&str>,
        responder: Responder,
        head: Response,
        refuse: impl Fn(Refused) -> Response,
    ) {
        let count = u32::try_from(users.len()).unwrap_or(u32::MAX);
        let seat = match self.0.seats.take(visit.client, count, self.0.settings.read().seats) {
            Ok(seat) => seat,
            Err(reason) => return send(responder, refuse(reason)),
        };
        let number = self.0.number();
        let stream = Arc::new(EventStream::new(number, seat, visit.requester, users, held));
        let opening = stream.begin();
        match self.0.join(number, stream.clone(), opening.users()) {
            Ok(()) => {}
            // Clients take an error for the end, and the end of a stream for a reason to come back.
            Err(Refused::Over) => return stream::end(responder.stream(head), number),
            Err(reason) => return send(responder, refuse(reason)),
        }
        let is_open = match responder.stream(head) {
            Some(answer) => opening.go(answer, &self.0.round(), self.0.leaving(number)) != Told::All,
            None => false,
        };
        if !is_open {
            self.0.leave(number);
        }
    }

    /// Whom of these users there is nothing to see of: what a stream of them would tell at its beginning.
    fn refused(&self, visit: &Visit, users: &[Whom]) -> Vec<pace::Name> {
        let round = self.0.round();
        let look = || users.iter().for_each(|whom| drop(round.document(whom, Some(&visit.requester))));
        pace::watched(look).1
    }

    /// Sends an answer, unless that is a 304 and the request would rather wait for another one: then it is answered as soon as there is
    /// one, or by a 304 at the end. One that finds no place, or is too long to be kept, is told so: after a 304 at once it would ask again
    /// at once.
    pub fn send_or_poll(&self, response: Response, wish: Option<Wish>, responder: Responder) {
        match wish {
            Some(wish) if response.status() == 304 => self.poll(wish, response, responder),
            _ => send(responder, response),
        }
    }

    fn poll(&self, Wish { client, asked, wait }: Wish, unchanged: Response, responder: Responder) {
        let interface = asked.kept.interface;
        if asked.kept.length() > LONGEST_ASKED {
            return send(responder, refuse_long_poll(interface));
        }
        let seat = match self.0.polls.take(client, 1, self.0.settings.read().seats) {
            Ok(seat) => seat,
            Err(reason) => return send(responder, refuse_poll(reason, interface)),
        };
        let (number, round) = (self.0.number(), self.0.round());
        let poll = Arc::new(Poll::new(seat, asked, unchanged, responder));
        match self.0.join(number, poll.clone(), poll.users()) {
            Ok(()) => poll.on_gone(self.0.leaving(number)),
            // Who comes back at once waits at the next version.
            Err(Refused::Over) => return poll.end(&round),
            Err(reason) => return poll.send(refuse_poll(reason, interface)),
        }
        match self.0.after(wait, move |shared| shared.end(number)) {
            Ok(timer) if poll.look(None, &round) == Told::Nothing => return poll.keep(timer),
            Ok(_) => {}
            Err(_) => poll.send(refuse_poll(Refused::Full, interface)),
        }
        self.0.leave(number);
    }

    /// Has all watchers look: what decides on who may see has changed.
    pub fn look_again(&self) {
        let mut again = self.0.again.lock().unwrap_or_else(PoisonError::into_inner);
        let delay = match again.hear(Instant::now(), PAUSE) {
            Turn::Now => Duration::ZERO,
            Turn::After(rest) => rest,
            Turn::No => return,
        };
        again.tell(Instant::now() + delay);
        if !detach(self.0.after(delay, |shared| shared.tell_all())) {
            again.forgo();
        }
    }

    /// Has those who watch this user look, as at a change of presence.
    pub fn look_again_at(&self, user: &str) {
        self.0.hear(user);
    }

    /// Sends everybody away, and lets nobody in any more.
    pub fn end(&self) {
        let everybody = self.0.crowd().end();
        let round = self.0.round();
        for (number, watcher) in everybody {
            watcher.end(&round);
            self.0.leave(number);
        }
    }
}

impl Shared {
    fn crowd(&self) -> MutexGuard<'_, Crowd<Source, Arc<dyn Watcher>>> {
        self.crowd.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn number(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    fn round(&self) -> Round<'_> {
        Round::new(&self.users, &self.probes, Guard::into_inner(self.settings.read()))
    }

    fn join<'u>(
        self: &Arc<Self>,
        number: u64,
        watcher: Arc<dyn Watcher>,
        users: impl Iterator<Item = &'u Jid>,
    ) -> Result<(), Refused> {
        let users: Vec<&Jid> = users.filter(|user| user.is_local() || probe::is_component(user)).collect();
        let subscribe = |name: &str| self.source(users.iter().find(|user| user.bare() == name)?);
        let joined = self.crowd().join(number, watcher, users.iter().map(|user| user.bare()), subscribe);
        // The lock is free again: what was left behind can be dropped.
        joined.map_err(|(reason, _left)| reason)?;
        for component in users.into_iter().filter(|user| probe::is_component(user)) {
            // What it said last may be as old as a beat. The answer is heard by its watch.
            self.probes.ask(component, |_| ());
        }
        self.keep_beating();
        Ok(())
    }

    /// Has the changes of somebody be told. `None`: the plugin has been stopped.
    fn source(self: &Arc<Self>, user: &Jid) -> Option<Source> {
        let live = Arc::downgrade(self);
        if probe::is_component(user) {
            let component = user.bare().to_owned();
            let changed = move || with(&live, |shared| shared.hear(&component));
            return Some(Source::Component { _answers: self.probes.watch(user, changed) });
        }
        let changed = self.host.subscribe(Some(user), move |change| with(&live, |shared| shared.hear(change.user)));
        changed.ok().map(|changes| Source::User { _changes: changes })
    }

    /// Begins the beat, if there is somebody and none.
    fn keep_beating(self: &Arc<Self>) {
        let begins = self.crowd().begin_beat();
        if begins {
            self.beat_later(0);
        }
    }

    fn leave(&self, number: u64) {
        let left = self.crowd().leave(number);
        drop(left);
    }

    /// What lets a watcher go whose client is gone.
    fn leaving(self: &Arc<Self>, number: u64) -> impl Fn() + Send + Sync + 'static {
        let live = Arc::downgrade(self);
        move || with(&live, |shared| shared.leave(number))
    }

    /// The presence of `user` has changed.
    fn hear(self: &Arc<Self>, user: &str) {
        let now = Instant::now();
        let turn = self.crowd().hear(user, now);
        match turn {
            Turn::Now => self.tell_of(user),
            Turn::After(rest) => {
                let named = user.to_owned();
                if !detach(self.after(rest, move |shared| shared.tell_of(&named))) {
                    self.crowd().forgo(user);
                }
            }
            Turn::No => return,
        }
        // It has ended if there was no timer for it.
        self.keep_beating();
    }

    fn tell_of(&self, user: &str) {
        let audience = self.crowd().audience(user, Instant::now());
        self.tell(audience, Some(user));
    }

    fn tell_all(&self) {
        let everybody = self.crowd().part(0, 1);
        self.tell(everybody, None);
    }

    fn tell(&self, watchers: Vec<(u64, Arc<dyn Watcher>)>, user: Option<&str>) {
        let round = self.round();
        for (number, watcher) in watchers {
            if watcher.look(user, &round) == Told::All {
                self.leave(number);
            }
        }
    }

    fn beat_later(self: &Arc<Self>, part: u64) {
        if !detach(self.after(PART, move |shared| shared.beat(part))) {
            self.crowd().stop_beat();
        }
    }

    fn beat(self: &Arc<Self>, part: u64) {
        self.probes.ask_watched(part, BEAT);
        let watchers = self.crowd().part(part, BEAT);
        let round = self.round();
        for (number, watcher) in watchers {
            let told = match watcher.look(None, &round) {
                Told::Nothing => watcher.beat(),
                told => told,
            };
            if told == Told::All {
                self.leave(number);
            }
        }
        let goes_on = self.crowd().goes_on();
        if goes_on {
            self.beat_later(part + 1);
        }
    }

    /// The time of a watcher is over.
    fn end(&self, number: u64) {
        let watcher = self.crowd().member(number);
        if let Some(watcher) = watcher {
            watcher.end(&self.round());
            self.leave(number);
        }
    }

    /// Does something later, unless the plugin has been stopped by then.
    fn after(self: &Arc<Self>, delay: Duration, act: impl FnOnce(&Arc<Shared>) + Send + 'static) -> Result<Timer> {
        let live = Arc::downgrade(self);
        self.host.after(delay, move || with(&live, act))
    }
}

/// Does something while there is somebody to do it for.
fn with<R>(live: &Weak<Shared>, act: impl FnOnce(&Arc<Shared>) -> R) {
    if let Some(shared) = live.upgrade() {
        act(&shared);
    }
}

/// Leaves a timer to itself. Answers whether there is one: the plugin may have been stopped, or there are too many.
fn detach(timer: Result<Timer>) -> bool {
    match timer {
        Ok(timer) => {
            timer.detach();
            true
        }
        Err(error) => {
            log::debug!("no timer: {error}");
            false
        }
    }
}
