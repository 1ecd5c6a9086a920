//! A long poll: a request with `wait` and `If-None-Match` that is answered when its answer is a new one, or by 304 at the end.

use std::{
    iter,
    net::IpAddr,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use plugin_api::{Jid, Responder, Response, Timer};

use super::{Told, Watcher, round::Round, seats::Seat};
use crate::{answer::Format, kept::Kept, settings::Settings, shown::Shown};

/// The longest wait, in seconds, whatever is asked for.
const LONGEST: u64 = 60;
/// The host takes no answer after a minute: the longest wait ends before.
const END: Duration = Duration::from_secs(57);

/// Reads the parameter `wait`, a number of seconds. `None`: there is no wait.
pub fn read_wait(wait: Option<&str>) -> Option<Duration> {
    let seconds = wait?.parse().ok().filter(|seconds| *seconds > 0)?;
    Some(Duration::from_secs(LONGEST.min(seconds)).min(END))
}

/// What a request asks for, kept to be asked again.
pub struct Asked {
    /// The request.
    pub kept: Kept,
    /// The type of the answer.
    pub format: Format,
    /// The field on which the answer depends as well.
    pub vary: Option<&'static str>,
}

/// A request that would rather wait than hear that there is nothing new.
pub struct Wish {
    /// Its client's address, if its requests are counted.
    pub client: Option<IpAddr>,
    /// What it asks.
    pub asked: Asked,
    /// For how long it would wait.
    pub wait: Duration,
}

impl Asked {
    /// The answer for what may be shown at this moment.
    fn answer(&self, shown: &Shown<'_>, settings: &Settings) -> Response {
        let response = self.kept.question(self.format, settings).answer(shown, settings);
        self.vary.into_iter().fold(response, |response, field| response.header("Vary", field))
    }
}

/// One request.
pub struct Poll {
    seat: Option<Seat>,
    asked: Asked,
    /// That there is nothing new, for when nothing else is known at the end.
    unchanged: Response,
    held: Mutex<Held>,
}

struct Held {
    responder: Option<Responder>,
    /// Held for its end.
    timer: Option<Timer>,
}

impl Poll {
    /// A request that waits if it has a seat, and would be answered by `unchanged` if it did not wait.
    pub fn new(seat: Option<Seat>, asked: Asked, unchanged: Response, responder: Responder) -> Poll {
        let held = Mutex::new(Held { responder: Some(responder), timer: None });
        Poll { seat, asked, unchanged, held }
    }

    /// Whether it may wait.
    pub fn has_seat(&self) -> bool {
        self.seat.is_some()
    }

    /// The user it is about.
    pub fn users(&self) -> impl Iterator<Item = &Jid> {
        iter::once(&self.asked.kept.user).flatten()
    }

    /// Keeps the timer for as long as it waits.
    pub fn keep(&self, timer: Timer) {
        self.held().timer = Some(timer);
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers, if there is a new answer or if the wait is `over`.
    fn answer(&self, round: &Round<'_>, over: bool) -> Told {
        let mut held = self.held();
        let Kept { user, requester, .. } = &self.asked.kept;
        let answer = |shown: &Shown<'_>| self.asked.answer(shown, &round.settings);
        let response = round.look(user.as_ref(), requester, answer).unwrap_or_else(|| self.unchanged.clone());
        if !over && response.status() == 304 {
            return Told::Nothing;
        }
        if let Some(responder) = held.responder.take() {
            responder.send(response);
        }
        Told::All
    }
}

impl Watcher for Poll {
    fn look(&self, _user: Option<&str>, round: &Round<'_>) -> Told {
        self.answer(round, false)
    }

    fn beat(&self) -> Told {
        Told::Nothing
    }

    fn end(&self, round: &Round<'_>) {
        self.answer(round, true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_of_some_seconds_and_a_minute_at_most() {
        assert_eq!(read_wait(Some("30")), Some(Duration::from_secs(30)));
        assert_eq!(read_wait(Some("1")), Some(Duration::from_secs(1)));
        assert_eq!(read_wait(Some("60")), Some(END), "answered in time");
        assert_eq!(read_wait(Some("3600")), Some(END));
        for wait in [None, Some(""), Some("0"), Some("-1"), Some("1.5"), Some("30s"), Some(" 3")] {
            assert_eq!(read_wait(wait), None, "{wait:?}");
        }
    }
}
