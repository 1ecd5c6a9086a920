//! Who asks for many whom nobody may see is answered more slowly, so that names can't be tried by the thousand.
//!
//! What counts is the refusal, which every answer shows, and not its reason: an unknown user and a hidden one count alike, and a text that is
//! no address waits as long, and so time tells no more than the answer does. A client may ask for [`MOST_NAMES`] of them in a minute. Each
//! further one costs a second: its answer waits as long, but no answer longer than [`LONGEST_PAUSE`], and what is left is owed. Who owes
//! [`MOST_OWED`], or has too many answers wait, may ask about nobody until less is: that is decided before anybody is looked up, or else it would
//! tell who was found. A name that a client was refused within the last hour costs nothing: pages ask again and
//! again. Clients are told apart as by [`clients`](crate::clients), and loopback waits as little.
//!
//! An inline handler runs on one thread from its beginning to its end: what is refused meanwhile is collected there.

use std::{
    cell::RefCell,
    cmp::Reverse,
    collections::hash_map::RandomState,
    hash::BuildHasher,
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use crate::clients::{Clients, network};

/// So many names may be refused in a minute before it takes longer.
pub const MOST_NAMES: u16 = 20;
/// How long the answer about one more name takes.
const PAUSE: Duration = Duration::from_secs(1);
/// The longest that an answer waits.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// What a client may owe.
const MOST_OWED: Duration = Duration::from_secs(600);
/// How many answers may wait for one client, and for all.
const MOST_WAITING: [u16; 2] = [20, 2_000];
/// In seconds.
const MINUTE: u32 = 60;
/// How many names are remembered, for all clients together: a mebibyte of them.
const REMEMBERED: usize = 1 << 17;
const WAYS: usize = 4;
/// For how many minutes a name is.
const MEMORY: u16 = 60;

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
#[derive(Clone)]
pub struct Pace(Arc<Inner>);

struct Inner {
    start: Instant,
    hasher: RandomState,
    /// Until when anybody owes anything, in milliseconds since the start. Where nobody does, nobody has to be looked up.
    owed_until: AtomicU64,
    refusals: Mutex<Refusals>,
}

#[derive(Default)]
struct Refusals {
    of: Clients<Guesses>,
    known: Known,
    waiting: u16,
}

/// What one client was refused. Times are since the start.
#[derive(Clone, Copy, Default)]
struct Guesses {
    /// Until when its answers would wait if each waited as long as it costs, in milliseconds.
    owed_until: u64,
    /// Since when the names are counted, in seconds.
    since: u32,
    /// How many cost nothing.
    names: u16,
    /// How many answers wait.
    waiting: u16,
}

/// The names that clients were refused lately, as hashes of both, in sets of [`WAYS`]. A set that is full forgets its oldest.
struct Known(Box<[u64]>);

/// A place among the answers that wait.
pub struct Waiting {
    pace: Pace,
    client: IpAddr,
    /// How long.
    pub pause: Duration,
}

/// Too many answers wait for this client already, or it owes too much. It is to ask again after so long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooMany(pub Duration);

impl Default for Pace {
    fn default() -> Pace {
        Pace(Arc::new(Inner {
            start: Instant::now(),
            hasher: RandomState::new(),
            owed_until: AtomicU64::new(0),
            refusals: Mutex::default(),
        }))
    }
}

impl Pace {
    /// Whether this client may ask about anybody now.
    ///
    /// # Errors
    /// It may not.
    pub fn admit(&self, client: IpAddr, now: Instant) -> Result<(), TooMany> {
        let now = self.since_start(now);
        if client.is_loopback() || millisecond(now) >= self.0.owed_until.load(Ordering::Relaxed) {
            return Ok(());
        }
        self.refusals().of.known(client).map_or(Ok(()), |guesses| guesses.admit(now))
    }

    /// Counts the names that this client, which was [admitted](Pace::admit), is to be refused. `None`: the answer need not wait.
    ///
    /// # Errors
    /// It has asked too much meanwhile, or too many answers wait for others. None of the names is counted.
    pub fn count(&self, client: IpAddr, names: &[Name], now: Instant) -> Result<Option<Waiting>, TooMany> {
        if names.is_empty() || client.is_loopback() {
            return Ok(None);
        }
        let now = self.since_start(now);
        let hash = |name: &String| self.0.hasher.hash_one((network(client), name));
        let mut refusals = self.refusals();
        let Refusals { of, known, waiting } = &mut *refusals;
        let mut fresh: Vec<u64> = names.iter().flatten().map(hash).filter(|hash| !known.recalls(*hash, now)).collect();
        fresh.sort_unstable();
        fresh.dedup();
        let guesses = of.entry(client);
        let (after, pause) = guesses.after(fresh.len(), names.iter().any(Option::is_none), now);
        let is_to_wait = !pause.is_zero();
        if is_to_wait {
            guesses.admit(now)?;
            if *waiting >= MOST_WAITING[1] {
                return Err(TooMany(PAUSE));
            }
            *waiting += 1;
        }
        *guesses = Guesses { waiting: guesses.waiting + u16::from(is_to_wait), ..after };
        self.0.owed_until.fetch_max(after.owed_until, Ordering::Relaxed);
        // Now, and not when the answer is given: a browser that opens a page many times over asks for all of it at once.
        fresh.into_iter().for_each(|hash| known.note(hash, now));
        drop(refusals);
        Ok(is_to_wait.then(|| Waiting { pace: self.clone(), client, pause }))
    }

    fn since_start(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.0.start)
    }

    fn refusals(&self) -> MutexGuard<'_, Refusals> {
        self.0.refusals.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut refusals = self.pace.refusals();
        refusals.waiting -= 1;
        // It may have been forgotten meanwhile.
        if let Some(guesses) = refusals.of.known(self.client) {
            guesses.waiting = guesses.waiting.saturating_sub(1);
        }
    }
}

impl Guesses {
    fn admit(&self, now: Duration) -> Result<(), TooMany> {
        match self.owed(now).checked_sub(MOST_OWED) {
            Some(too_much) => Err(TooMany(too_much)),
            None if self.waiting >= MOST_WAITING[0] => Err(TooMany(PAUSE)),
            None => Ok(()),
        }
    }

    fn owed(&self, now: Duration) -> Duration {
        Duration::from_millis(self.owed_until.saturating_sub(millisecond(now)))
    }

    /// What it is after so many names that are new, and perhaps texts that are none, and how long their answer waits.
    fn after(mut self, fresh: usize, has_texts: bool, now: Duration) -> (Guesses, Duration) {
        let second = now.as_secs() as u32;
        // Another thread may have come later and counted first.
        if second.saturating_sub(self.since) >= MINUTE {
            (self.since, self.names) = (second, 0);
        }
        let free = fresh.min(usize::from(MOST_NAMES - self.names));
        self.names += free as u16;
        let costly = fresh - free + usize::from(has_texts && self.names == MOST_NAMES);
        if costly == 0 {
            return (self, Duration::ZERO);
        }
        let owed = self.owed(now) + PAUSE * costly as u32;
        self.owed_until = millisecond(now) + owed.as_millis() as u64;
        (self, owed.min(LONGEST_PAUSE))
    }
}

impl Default for Known {
    fn default() -> Known {
        Known(vec![0; REMEMBERED].into())
    }
}

impl Known {
    /// Whether a name was refused within [`MEMORY`]; then it is remembered anew.
    fn recalls(&mut self, hash: u64, now: Duration) -> bool {
        let same = self.set(hash).iter_mut().find(|noted| tag(**noted) == tag(hash) && age(**noted, now) < MEMORY);
        same.map(|noted| *noted = note(hash, now)).is_some()
    }

    /// Remembers a name in place of the one of its set that was refused longest ago.
    fn note(&mut self, hash: u64, now: Duration) {
        let oldest = self.set(hash).iter_mut().min_by_key(|noted| (**noted != 0, Reverse(age(**noted, now))));
        oldest.into_iter().for_each(|noted| *noted = note(hash, now));
    }

    fn set(&mut self, hash: u64) -> &mut [u64] {
        let sets = self.0.as_chunks_mut::<WAYS>().0;
        &mut sets[hash as usize % (REMEMBERED / WAYS)]
    }
}

/// A name as it is remembered: most of its hash, and the minute.
fn note(hash: u64, now: Duration) -> u64 {
    tag(hash) << u16::BITS | u64::from(minute(now))
}

fn tag(noted: u64) -> u64 {
    noted >> u16::BITS
}

fn age(noted: u64, now: Duration) -> u16 {
    minute(now).wrapping_sub(noted as u16)
}

fn millisecond(now: Duration) -> u64 {
    now.as_millis() as u64
}

fn minute(now: Duration) -> u16 {
    (now.as_secs() / 60) as u16
}

/// Row H10.
#[cfg(test)]
mod tests {
    use super::*;

    fn names(numbers: std::ops::Range<usize>) -> Vec<Name> {
        numbers.map(|number| Some(format!("user{number}@x"))).collect()
    }

    /// How long the answer waits.
    fn ask(pace: &Pace, client: &str, names: &[Name], after: u64) -> Result<u64, TooMany> {
        let (client, now) = (client.parse().unwrap(), pace.0.start + Duration::from_secs(after));
        pace.admit(client, now)?;
        let waiting = pace.count(client, names, now)?;
        Ok(waiting.map_or(0, |waiting| waiting.pause.as_secs()))
    }

    #[test]
    fn twenty_names_a_minute_are_free_and_each_as_often_as_it_is_asked_for() {
        let pace = Pace::default();
        let pause = |client: &str, numbers, after| ask(&pace, client, &names(numbers), after).unwrap();
        for round in 0..3 {
            (0..20).for_each(|name| assert_eq!(pause("192.0.2.1", name..name + 1, round), 0));
        }
        assert_eq!(pause("192.0.2.1", 20..21, 3), 1);
        assert_eq!(pause("192.0.2.1", 0..21, 4), 0, "they are known");
        let text = |client: &str| ask(&pace, client, &[None], 4).unwrap();
        assert_eq!((text("192.0.2.1"), text("192.0.2.2")), (1, 0), "what is no address waits as long");
        assert_eq!(pause("192.0.2.2", 20..21, 4), 0, "another client");
        assert_eq!(pause("127.0.0.1", 0..500, 4), 0);
        assert_eq!(pause("192.0.2.1", 21..41, 60), 0, "another minute");
        assert_eq!(pause("192.0.2.1", 0..21, 66 * 60), 1, "they were forgotten: 21 are new");
    }

    #[test]
    fn a_name_is_forgotten_an_hour_after_it_was_refused_last() {
        let mut known = Known::default();
        for start in [0, 10, 65_530, 65_536, 100_000] {
            let at = |minute: u64| Duration::from_secs((start + minute) * 60);
            let hash = 0x1234_5678_9ABC_DEF0 ^ start << 32;
            assert!(!known.recalls(hash, at(0)));
            known.note(hash, at(0));
            assert!([0, 59, 118].into_iter().all(|minute| known.recalls(hash, at(minute))), "{start}");
            assert!(!known.recalls(hash ^ 1 << 40, at(118)) && !known.recalls(hash, at(178)), "{start}");
        }
    }

    #[test]
    fn a_set_forgets_its_oldest() {
        let mut known = Known::default();
        let hash = |number: u64| number << 32 | 7;
        (1..=5).for_each(|number| known.note(hash(number), Duration::from_secs(60 * number)));
        let now = Duration::from_secs(300);
        assert_eq!([1, 2, 3, 4, 5].map(|number| known.recalls(hash(number), now)), [false, true, true, true, true]);
    }

    #[test]
    fn what_was_not_waited_for_is_owed() {
        let pace = Pace::default();
        let ask = |numbers, after| ask(&pace, "192.0.2.1", &names(numbers), after);
        assert_eq!(ask(0..500, 0), Ok(5));
        assert_eq!(ask(500..501, 5), Ok(5), "476 s are owed with it");
        assert_eq!(ask(501..1_001, 5), Ok(5), "976 s");
        for asked in [1_001..1_002, 0..1, 0..0] {
            assert_eq!(ask(asked, 5), Err(TooMany(Duration::from_secs(376))), "whoever is asked for");
        }
        assert_eq!(ask(0..1, 380), Err(TooMany(Duration::from_secs(1))));
        assert_eq!(ask(0..1_001, 382), Ok(0), "they are known");
        assert_eq!(ask(1_001..1_021, 382), Ok(0), "another minute, and nothing was counted meanwhile");
        assert_eq!(ask(1_021..1_022, 382), Ok(5));
        // Who waits for each answer owes nothing.
        for number in 0..1_000 {
            assert!(ask(2_000 + number..2_001 + number, 2_000 + number as u64).unwrap() <= 1, "{number}");
        }
    }

    #[test]
    fn only_so_many_answers_wait() {
        let (pace, now) = (Pace::default(), Instant::now());
        let client = "2001:db8::1".parse().unwrap();
        let one_more = |number: usize| pace.count(client, &names(number..number + 1), now);
        (0..20).for_each(|number| assert!(one_more(number).unwrap().is_none()));
        let mut waiting: Vec<_> = (20..40).map(one_more).collect();
        assert!(waiting.iter().all(|waiting| matches!(waiting, Ok(Some(_)))));
        assert_eq!((pace.admit(client, now), one_more(60).err()), (Err(TooMany(PAUSE)), Some(TooMany(PAUSE))));
        let other = "2001:db8:0:1::1".parse().unwrap();
        assert!(pace.admit(other, now).is_ok() && pace.count(other, &names(60..61), now).is_ok());
        waiting.pop();
        assert!(pace.admit(client, now).is_ok());
        assert!(matches!(one_more(60), Ok(Some(_))), "it was not counted before");
    }

    #[test]
    fn what_is_asked_for_many_times_at_once_costs_once() {
        let (pace, names) = (Pace::default(), names(0..50));
        let ask = || pace.count("192.0.2.1".parse().unwrap(), &names, pace.0.start).unwrap();
        let (first, second) = (ask(), ask());
        assert_eq!((first.map(|waiting| waiting.pause), second.is_none()), (Some(LONGEST_PAUSE), true));
    }

    #[test]
    fn a_thread_that_comes_late_counts_in_the_minute_of_the_others() {
        let pace = Pace::default();
        assert_eq!(ask(&pace, "192.0.2.1", &names(0..20), 60), Ok(0));
        assert_eq!(ask(&pace, "192.0.2.1", &names(20..21), 59), Ok(1));
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
