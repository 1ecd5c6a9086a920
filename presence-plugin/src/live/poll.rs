//! A long poll: a request with `wait` and `If-None-Match` that is answered when its answer is a new one, or by 304 at the end.

use std::{
    iter,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use plugin_api::{Jid, Responder, Response, Timer};

use super::{Told, Visit, Watcher, round::Round, seats::Seat};
use crate::{
    answer::{Format, Question},
    cache::Audience,
    query::Parameters,
    settings::Settings,
    shown::Shown,
    users::Requester,
    xml::Parties,
};

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
    /// The user it is about, if that is an address.
    pub user: Option<Jid>,
    /// The type of the answer.
    pub format: Format,
    /// The query as sent.
    pub query: Box<str>,
    /// The tags that the client has.
    pub if_none_match: Box<str>,
    /// Whether the answer becomes a page of its own.
    pub navigation: bool,
    /// The field on which the answer depends as well.
    pub vary: Option<&'static str>,
}

impl Asked {
    /// The answer for what may be shown at this moment.
    fn answer(&self, requester: &Requester, shown: &Shown<'_>, settings: &Settings) -> Response {
        let question = Question {
            parameters: Parameters::new(&self.query, &[]),
            format: self.format,
            parties: Parties { user: self.user.as_ref().map(Jid::bare), requester: requester.claim() },
            audience: Audience::of(settings, requester),
            if_none_match: Some(&self.if_none_match),
            navigation: self.navigation,
        };
        let response = question.answer(shown, settings);
        self.vary.into_iter().fold(response, |response, field| response.header("Vary", field))
    }
}

/// One request.
pub struct Poll {
    seat: Option<Seat>,
    requester: Requester,
    asked: Asked,
    held: Mutex<Held>,
}

struct Held {
    responder: Option<Responder>,
    /// Held for its end.
    timer: Option<Timer>,
}

impl Poll {
    /// A request that waits if it has a seat.
    pub fn new(seat: Option<Seat>, visit: Visit, asked: Asked, responder: Responder) -> Poll {
        let held = Mutex::new(Held { responder: Some(responder), timer: None });
        Poll { seat, requester: visit.requester, asked, held }
    }

    /// Whether it may wait.
    pub fn has_seat(&self) -> bool {
        self.seat.is_some()
    }

    /// The user it is about.
    pub fn users(&self) -> impl Iterator<Item = &Jid> {
        iter::once(&self.asked.user).flatten()
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
        let answer = |shown: &Shown<'_>| self.asked.answer(&self.requester, shown, &round.settings);
        let response = round.users.look(&round.settings, self.asked.user.as_ref(), &self.requester, answer);
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
