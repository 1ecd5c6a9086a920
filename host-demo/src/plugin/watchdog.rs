//! Whether inline handlers come back. One that blocks keeps all that is served on its HTTP worker, and nobody else would say so.
//!
//! A call costs no look at the clock. Each worker shows what it runs in its [`Station`], on a cache line of its own; the watchdog, a
//! thread, looks at all of them every 50 ms, and knows a call that it saw before by its number.

use std::{
    cell::Cell,
    collections::{BTreeMap, HashMap},
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering, fence},
    },
    thread,
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use super::mark::Mark;

/// How long an inline handler may take.
const LIMIT: Duration = Duration::from_millis(100);
/// How often workers are looked at.
const PERIOD: Duration = Duration::from_millis(50);
/// One that takes as long is told of, however often it has been told of before.
const HANGS: Duration = Duration::from_secs(10);

/// The stations of all threads that have run inline handlers: the workers, which live as long as the process.
static STATIONS: Mutex<Vec<&'static Station>> = Mutex::new(Vec::new());

thread_local! {
    static STATION: Cell<Option<&'static Station>> = const { Cell::new(None) };
}

/// What a worker runs. Written by that worker alone.
#[derive(Default)]
#[repr(align(64))]
struct Station {
    /// The number of the call: odd while it is under way.
    call: AtomicU64,
    mark: AtomicUsize,
    route: AtomicUsize,
}

/// A call that is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Sight {
    call: u64,
    handler: Handler,
}

/// A route of a version, by the number of its mark and its index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Handler {
    mark: usize,
    route: usize,
}

/// Runs an inline handler where the watchdog sees it.
pub fn seen<R>(mark: &'static Mark, route: usize, handler: impl FnOnce() -> R) -> R {
    let station = STATION.get().unwrap_or_else(Station::of_this_thread);
    let _ends = station.begin(Handler { mark: mark.number(), route });
    handler()
}

impl Station {
    #[cold]
    fn of_this_thread() -> &'static Station {
        let station = Box::leak(Box::default());
        STATIONS.lock().push(station);
        STATION.set(Some(station));
        station
    }

    /// Whoever sees an odd number on both sides of the rest has seen one call whole.
    fn begin(&self, handler: Handler) -> Ends<'_> {
        fence(Ordering::Release);
        self.mark.store(handler.mark, Ordering::Relaxed);
        self.route.store(handler.route, Ordering::Relaxed);
        let call = self.call.load(Ordering::Relaxed) + 1;
        self.call.store(call, Ordering::Release);
        Ends(self, call + 1)
    }

    fn look(&self) -> Option<Sight> {
        let call = self.call.load(Ordering::Acquire);
        let mark = self.mark.load(Ordering::Relaxed);
        let route = self.route.load(Ordering::Relaxed);
        fence(Ordering::Acquire);
        let is_whole = call % 2 == 1 && self.call.load(Ordering::Relaxed) == call;
        is_whole.then_some(Sight { call, handler: Handler { mark, route } })
    }
}

/// Ends a call when it is dropped.
struct Ends<'a>(&'a Station, u64);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.call.store(self.1, Ordering::Relaxed);
    }
}

/// The thread that looks. Dropped, it ends.
pub struct Watchdog(Arc<Mutex<BTreeMap<String, u64>>>);

impl Watchdog {
    /// Begins to look.
    ///
    /// # Errors
    /// The system has no thread left.
    pub fn start() -> io::Result<Watchdog> {
        let stalls = Arc::new(Mutex::new(BTreeMap::new()));
        let seen = Arc::downgrade(&stalls);
        let watch = move || {
            let (mut ledger, mut last) = (Ledger::default(), Instant::now());
            while let Some(stalls) = seen.upgrade() {
                let sights: Vec<_> = STATIONS.lock().iter().map(|station| station.look()).collect();
                let now = Instant::now();
                for event in ledger.look(&sights, now - last) {
                    event.tell(&mut stalls.lock());
                }
                drop(stalls);
                last = now;
                thread::sleep(PERIOD);
            }
        };
        thread::Builder::new().name("watchdog".into()).spawn(watch)?;
        Ok(Watchdog(stalls))
    }

    /// How many inline calls took more than 100 ms since the start, by plugin.
    pub fn stalls(&self) -> Vec<(String, u64)> {
        self.0.lock().iter().map(|(plugin, count)| (plugin.clone(), *count)).collect()
    }
}

/// What is worth a line or a count.
#[derive(Debug, PartialEq, Eq)]
struct Event {
    handler: Handler,
    kind: Kind,
    /// How long the call takes, or took.
    after: Duration,
}

#[derive(Debug, PartialEq, Eq)]
enum Kind {
    /// It has passed the limit, as the so-manieth of its handler.
    Passed(u64),
    /// It still does not return.
    Hangs,
    /// It returned, and was told of before.
    Returned,
}

impl Event {
    fn tell(&self, stalls: &mut BTreeMap<String, u64>) {
        let Some(mark) = Mark::numbered(self.handler.mark) else { return };
        if let Kind::Passed(_) = self.kind {
            *stalls.entry(mark.plugin().to_owned()).or_default() += 1;
        }
        let (name, route, after) = (mark.name(), mark.route(self.handler.route), self.after.as_millis());
        match self.kind {
            Kind::Passed(count) if !is_told(count) => {}
            Kind::Passed(count) => log::warn!(
                "plugin {name}: its inline handler of {route} has not returned after {after} ms{}; its HTTP worker serves nobody \
                 else meanwhile: a handler that may block must not be .inline()",
                if count > 1 { format!(", for the {count}th time") } else { String::new() }
            ),
            Kind::Hangs => {
                log::warn!("plugin {name}: its inline handler of {route} has still not returned, {after} ms")
            }
            Kind::Returned => log::info!("plugin {name}: its inline handler of {route} returned after {after} ms"),
        }
    }
}

/// A handler that is slow for each request is told of the 1st, 10th, 100th time and so on.
fn is_told(count: u64) -> bool {
    10_u64.checked_pow(count.ilog10()) == Some(count)
}

/// What was seen so far.
#[derive(Default)]
struct Ledger {
    stations: Vec<Option<Watched>>,
    counts: HashMap<Handler, u64>,
}

/// A call that was seen before.
struct Watched {
    sight: Sight,
    /// Since it was first seen.
    elapsed: Duration,
    /// When it is told of, or counted, next.
    next: Duration,
    was_told: bool,
}

impl Ledger {
    /// Takes in a look at all stations, `passed` after the one before. Where this process stood still, no handler is to blame: a look counts as
    /// two periods at most.
    fn look(&mut self, sights: &[Option<Sight>], passed: Duration) -> Vec<Event> {
        let passed = passed.min(2 * PERIOD);
        self.stations.resize_with(sights.len(), || None);
        let Ledger { stations, counts } = self;
        stations.iter_mut().zip(sights).filter_map(|(station, sight)| look(station, *sight, passed, counts)).collect()
    }
}

fn look(
    station: &mut Option<Watched>,
    sight: Option<Sight>,
    passed: Duration,
    counts: &mut HashMap<Handler, u64>,
) -> Option<Event> {
    if let Some(watched) = station.as_mut() {
        watched.elapsed += passed;
        if Some(watched.sight) == sight {
            return watched.go_on(counts);
        }
    }
    let fresh = sight.map(|sight| Watched { sight, elapsed: Duration::ZERO, next: LIMIT, was_told: false });
    let former = std::mem::replace(station, fresh)?;
    former.was_told.then_some(Event { handler: former.sight.handler, kind: Kind::Returned, after: former.elapsed })
}

impl Watched {
    /// It has not returned since the last look.
    fn go_on(&mut self, counts: &mut HashMap<Handler, u64>) -> Option<Event> {
        if self.elapsed < self.next {
            return None;
        }
        let handler = self.sight.handler;
        let kind = if self.next == LIMIT {
            let count = counts.entry(handler).or_default();
            *count += 1;
            self.was_told = is_told(*count);
            Kind::Passed(*count)
        } else {
            self.was_told |= self.elapsed >= HANGS;
            Kind::Hangs
        };
        self.next *= 10;
        (self.was_told || matches!(kind, Kind::Passed(_))).then_some(Event { handler, kind, after: self.elapsed })
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use plugin_api::manifest::Manifest;

    use super::*;

    const HANDLER: Handler = Handler { mark: 7, route: 3 };

    fn sight(call: u64) -> [Option<Sight>; 1] {
        [Some(Sight { call, handler: HANDLER })]
    }

    /// Looks at the same for as long, and answers what came of it.
    fn look_for(ledger: &mut Ledger, sights: &[Option<Sight>], time: Duration) -> Vec<Event> {
        let looks = time.as_millis() / PERIOD.as_millis();
        (0..looks).flat_map(|_| ledger.look(sights, PERIOD)).collect()
    }

    fn event(kind: Kind, milliseconds: u64) -> Event {
        Event { handler: HANDLER, kind, after: Duration::from_millis(milliseconds) }
    }

    #[test]
    fn a_call_that_hangs_is_told_of_at_growing_intervals_and_when_it_returns() {
        let mut ledger = Ledger::default();
        let told = look_for(&mut ledger, &sight(1), Duration::from_millis(20_050));
        assert_eq!(told, [event(Kind::Passed(1), 100), event(Kind::Hangs, 1_000), event(Kind::Hangs, 10_000)]);
        assert_eq!(ledger.look(&[None], PERIOD), [event(Kind::Returned, 20_050)]);
        assert_eq!(ledger.look(&[None], PERIOD), []);
    }

    #[test]
    fn calls_that_come_and_go_are_none_that_hang() {
        let mut ledger = Ledger::default();
        assert!((0..1_000).all(|call| ledger.look(&sight(2 * call + 1), PERIOD).is_empty()));
    }

    #[test]
    fn a_handler_that_is_always_slow_is_counted_each_time_and_told_of_now_and_then() {
        let mut ledger = Ledger::default();
        let slow = |call: u64| look_for(&mut ledger, &sight(2 * call + 1), Duration::from_millis(1_200));
        let events: Vec<_> = (0..100).flat_map(slow).collect();
        let counted = events.iter().filter(|event| matches!(event.kind, Kind::Passed(_))).count();
        let told: Vec<_> =
            events.iter().filter(|event| event.kind == Kind::Returned).map(|event| event.after).collect();
        // The last one has not returned yet.
        assert_eq!((counted, told.len()), (100, 2), "{told:?}");
        assert_eq!([1, 9, 10, 11, 100, 1_000, 1_001].map(is_told), [true, false, true, false, true, true, false]);
    }

    #[test]
    fn a_process_that_stood_still_blames_nobody() {
        let mut ledger = Ledger::default();
        ledger.look(&sight(1), PERIOD);
        assert_eq!(ledger.look(&sight(1), Duration::from_secs(60)), [event(Kind::Passed(1), 100)]);
    }

    #[test]
    fn a_station_shows_the_call_that_is_under_way() {
        let manifest = Manifest::parse(b"id=a\nversion=1.2.3\nabi=0.1\ntarget=t\n").unwrap();
        let mark = Mark::new(&manifest, Path::new("/state/staging/a-00-7.so"));
        let own = || STATION.get().unwrap().look();
        let handlers = [2, 5].map(|route| seen(mark, route, own).expect("it is under way").handler);
        assert_eq!(handlers, [2, 5].map(|route| Handler { mark: mark.number(), route }));
        assert_eq!(own(), None);
        assert_eq!(Mark::numbered(mark.number()).map(Mark::name), Some("a 1.2.3"));
    }
}
