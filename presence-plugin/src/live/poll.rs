//! A long poll: a request with `wait` and `If-None-Match` that is answered when its answer is a new one, or by 304 at the end.

use std::{
    iter,
    net::IpAddr,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use plugin_api::{Jid, Responder, Response, Timer};

use super::{Told, Watcher, round::Round, seats::Seat};
use crate::{
    answer::{Format, Question},
    cache::Audience,
    kept::Kept,
    query::{Parameters, whole},
    settings::Settings,
    shown::Shown,
    v1::problem::Problem,
    xml::Parties,
};

/// The longest wait, in seconds, whatever is asked for.
const LONGEST: u16 = 60;
/// The host takes no answer after a minute: the longest wait ends before.
const END: Duration = Duration::from_secs(57);

/// Reads the parameter `wait`, a number of seconds. `None`: there is no wait.
pub fn read_wait(wait: Option<&str>) -> Option<Duration> {
    let seconds = whole(wait?).filter(|seconds| *seconds > 0)?;
    Some(Duration::from_secs(seconds.min(LONGEST.into())).min(END))
}

/// Looks at the parameter `wait` where its bounds are kept: everywhere but at `/status`, whose requests may bring anything.
///
/// # Errors
/// It is out of its bounds, which the problem names.
pub fn check_wait(parameters: &Parameters<'_>) -> Result<(), Problem> {
    let is_within = |wait: &str| whole(wait).is_some_and(|seconds| (1..=LONGEST.into()).contains(&seconds));
    match parameters.first("wait") {
        Some(wait) if !is_within(&wait) => Err(Problem::whole_number("wait", 1, LONGEST)),
        _ => Ok(()),
    }
}

/// What a request asks for, kept to be asked again.
pub struct Asked {
    /// The request.
    pub kept: Kept,
    /// The unlisted address by which it asks, if it does: no answer names the user.
    pub unlisted: Option<Box<str>>,
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
        let question = self.kept.question(self.format, settings);
        let question = match self.unlisted {
            None => question,
            Some(_) => {
                let recipient = self.kept.recipient(Audience::Nobody);
                Question { parties: Parties::default(), recipient, ..question }
            }
        };
        let response = question.answer(shown, settings);
        self.vary.into_iter().fold(response, |response, field| response.vary(field))
    }
}

/// One request.
pub struct Poll {
    _seat: Seat,
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
    /// A request that waits in this seat, and would be answered by `unchanged` if it did not wait.
    pub fn new(seat: Seat, asked: Asked, unchanged: Response, responder: Responder) -> Poll {
        let held = Mutex::new(Held { responder: Some(responder), timer: None });
        Poll { _seat: seat, asked, unchanged, held }
    }

    /// Answers by this response, unless it is answered.
    pub fn send(&self, response: Response) {
        if let Some(responder) = self.held().responder.take() {
            responder.send(response);
        }
    }

    /// Has `leave` called once its client is gone.
    pub fn on_gone(&self, leave: impl Fn() + Send + Sync + 'static) {
        if let Some(responder) = &mut self.held().responder {
            responder.on_gone(leave);
        }
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
        let response = match &self.asked.unlisted {
            None => round.look(user.as_ref(), requester, answer),
            Some(id) => round.look_at(id, answer),
        };
        let response = response.unwrap_or_else(|| self.unchanged.clone());
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
        for wait in
            [None, Some(""), Some("0"), Some("-1"), Some("1.5"), Some("30s"), Some(" 3"), Some("+2"), Some("02")]
        {
            assert_eq!(read_wait(wait), None, "{wait:?}");
        }
    }

    #[test]
    fn the_bounds_of_a_wait_are_named() {
        let check = |query: &str| check_wait(&Parameters::new(query, b""));
        for query in ["", "x=61", "wait=1", "wait=60"] {
            assert_eq!(check(query), Ok(()), "{query}");
        }
        let bound = Problem::parameter("wait", "wait is a whole number from 1 to 60, in digits only");
        for wait in ["", "0", "61", "99999999999", "99999999999999999999999", "-1", "%2B2", "02", "1.5", "30s", "%FF"] {
            assert_eq!(check(&format!("wait={wait}")).as_ref(), Err(&bound), "{wait}");
        }
    }
}
