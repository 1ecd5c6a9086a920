//! Who asks for many whom nobody may see is answered more slowly, so that names can't be tried by the thousand.
//!
//! What counts is the refusal, which every answer shows, and not its reason: an unknown user and a hidden one count alike, and a text that is
//! no address waits as long, and so time tells no more than the answer does. A client may ask for [`MOST_NAMES`] of them in a minute, again and
//! again; each further one has it wait. Clients are told apart as by [`clients`](crate::clients), and loopback waits as little.
//!
//! An inline handler runs on one thread from its beginning to its end: what is refused meanwhile is collected there.

use std::{
    cell::RefCell,
    collections::hash_map::RandomState,
    hash::BuildHasher,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use crate::clients::Clients;

/// So many names may be refused in a minute before it takes longer.
pub const MOST_NAMES: usize = 20;
const MINUTE: Duration = Duration::from_secs(60);
/// How long the answer about one more name takes.
pub const PAUSE: Duration = Duration::from_secs(1);
/// The same for an answer about many.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// How many answers may wait for one client, and for all.
const MOST_WAITING: [usize; 2] = [20, 2_000];

/// A JID that there was nothing to see of; `None`: there was none to look for.
pub type Name = Option<String>;

thread_local! {
    /// Who is refused while a handler runs that is watched.
    static REFUSED: RefCell<Option<Vec<Name>>> = const { RefCell::new(None) };
}

/// Notes that there was nothing to see of `user`.
pub fn refused(user: Option<&str>) {
    REFUSED.with_borrow_mut(|refused| {
        if let Some(refused) = refused {
            refused.push(user.map(str::to_owned));
        }
    });
}

/// Runs a handler, and says who was refused meanwhile.
pub fn watched<R>(handler: impl FnOnce() -> R) -> (R, Vec<Name>) {
    REFUSED.set(Some(Vec::new()));
    let result = handler();
    (result, REFUSED.take().unwrap_or_default())
}

/// Who was refused what.
#[derive(Clone, Default)]
pub struct Pace(Arc<Inner>);

#[derive(Default)]
struct Inner {
    hasher: RandomState,
    clients: Mutex<Refusals>,
}

#[derive(Default)]
struct Refusals {
    of: Clients<Guesses>,
    waiting: usize,
}

/// What one client was refused since a moment.
#[derive(Default)]
struct Guesses {
    since: Option<Instant>,
    /// Hashes: names are long.
    names: Vec<u32>,
    waiting: usize,
}

/// A place among the answers that wait.
pub struct Waiting {
    pace: Pace,
    client: IpAddr,
    /// How long.
    pub pause: Duration,
}

/// Too many answers wait for this client already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooMany;

impl Pace {
    /// Counts the names that this client was refused. `None`: the answer need not wait.
    pub fn count(&self, client: IpAddr, names: &[Name], now: Instant) -> Result<Option<Waiting>, TooMany> {
        if names.is_empty() || client.is_loopback() {
            return Ok(None);
        }
        let names = names.iter().map(|name| name.as_ref().map(|name| self.0.hasher.hash_one(name) as u32));
        let mut clients = self.clients();
        let everybody = clients.waiting;
        let guesses = clients.of.entry(client);
        let pause = guesses.pause(names, now);
        if pause.is_zero() {
            return Ok(None);
        }
        if guesses.waiting >= MOST_WAITING[0] || everybody >= MOST_WAITING[1] {
            return Err(TooMany);
        }
        guesses.waiting += 1;
        clients.waiting += 1;
        drop(clients);
        Ok(Some(Waiting { pace: self.clone(), client, pause }))
    }

    fn clients(&self) -> std::sync::MutexGuard<'_, Refusals> {
        self.0.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut clients = self.pace.clients();
        clients.waiting -= 1;
        // It may have been forgotten meanwhile.
        if let Some(guesses) = clients.of.known(self.client) {
            guesses.waiting = guesses.waiting.saturating_sub(1);
        }
    }
}

impl Guesses {
    fn pause(&mut self, names: impl Iterator<Item = Option<u32>>, now: Instant) -> Duration {
        if self.since.is_none_or(|since| now.duration_since(since) >= MINUTE) {
            self.since = Some(now);
            self.names.clear();
        }
        let mut further = 0;
        for name in names {
            match name {
                Some(name) if self.names.contains(&name) => {}
                Some(name) if self.names.len() < MOST_NAMES => self.names.push(name),
                None if self.names.len() < MOST_NAMES => {}
                _ => further += 1,
            }
        }
        (PAUSE * further).min(LONGEST_PAUSE)
    }
}

/// Row H10.
#[cfg(test)]
mod tests {
    use super::*;

    fn names(numbers: std::ops::Range<usize>) -> Vec<Name> {
        numbers.map(|number| Some(format!("user{number}@x"))).collect()
    }

    fn pause(pace: &Pace, client: &str, numbers: std::ops::Range<usize>, now: Instant) -> Duration {
        let waiting = pace.count(client.parse().unwrap(), &names(numbers), now).unwrap();
        waiting.map_or(Duration::ZERO, |waiting| waiting.pause)
    }

    #[test]
    fn twenty_names_a_minute_are_free_as_often_as_they_are_asked_for() {
        let (pace, start) = (Pace::default(), Instant::now());
        for round in 0..3 {
            let now = start + Duration::from_secs(round);
            (0..20).for_each(|name| assert_eq!(pause(&pace, "192.0.2.1", name..name + 1, now), Duration::ZERO));
        }
        assert_eq!(pause(&pace, "192.0.2.1", 20..21, start), PAUSE);
        assert_eq!(pause(&pace, "192.0.2.1", 20..21, start), PAUSE, "it is one of many");
        assert_eq!(pause(&pace, "192.0.2.1", 3..4, start), Duration::ZERO);
        let nothing = |client: &str| pace.count(client.parse().unwrap(), &[None], start).unwrap().is_some();
        assert!(nothing("192.0.2.1") && !nothing("192.0.2.2"), "what is no address waits as long");
        assert_eq!(pause(&pace, "192.0.2.1", 10..500, start), LONGEST_PAUSE);
        assert_eq!(pause(&pace, "192.0.2.2", 20..21, start), Duration::ZERO, "another client");
        assert_eq!(pause(&pace, "127.0.0.1", 0..500, start), Duration::ZERO);
        assert_eq!(pause(&pace, "192.0.2.1", 20..40, start + MINUTE), Duration::ZERO, "another minute");
    }

    #[test]
    fn only_so_many_answers_wait() {
        let (pace, now) = (Pace::default(), Instant::now());
        let client = "2001:db8::1".parse().unwrap();
        let waiting: Vec<_> = (0..MOST_WAITING[0]).map(|_| pace.count(client, &names(0..21), now).unwrap()).collect();
        assert!(waiting.iter().skip(1).all(Option::is_some));
        drop(waiting);
        let mut waiting: Vec<_> =
            (0..MOST_WAITING[0]).map(|n| pace.count(client, &names(n + 30..n + 31), now)).collect();
        assert!(pace.count(client, &names(60..61), now).is_err());
        assert!(pace.count("2001:db8:0:1::1".parse().unwrap(), &names(60..61), now).is_ok());
        waiting.pop();
        assert!(pace.count(client, &names(60..61), now).is_ok_and(|waiting| waiting.is_some()));
    }

    #[test]
    fn only_who_is_watched_is_noted() {
        refused(Some("ann@x"));
        let ((), names) = watched(|| [Some("bob@x"), None].into_iter().for_each(refused));
        refused(Some("eve@x"));
        assert_eq!(names, [Some("bob@x".to_owned()), None]);
        assert_eq!(watched(|| ()).1, []);
    }
}
