//! The calls of one generation: how many are not finished, and how those went that are. Counted on every request, so each thread counts on
//! a line of its own. Every version that ended keeps its lines.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use tokio::sync::Notify;

use super::{exchange::Answer, generation::CallError};
use crate::lines::LINES;

/// The calls of one generation.
#[derive(Default)]
pub struct Calls {
    lines: [Line; LINES],
    closed: AtomicBool,
    none: Notify,
}

#[derive(Default)]
#[repr(align(64))]
struct Line {
    open: AtomicUsize,
    requests: AtomicU64,
    failures: AtomicU64,
}

/// On which line a call is counted: it ends where it began, whatever thread it ends on.
#[derive(Clone, Copy, Debug)]
pub struct Place(usize);

/// How finished calls went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// The requests that the plugin had to answer.
    pub requests: u64,
    /// Those of them that failed by its own doing.
    pub failures: u64,
}

impl Place {
    /// All there are.
    pub fn all() -> [Place; LINES] {
        std::array::from_fn(Place)
    }
}

impl Calls {
    /// Counts a call that begins. To be ended at the same place, whatever becomes of it.
    pub fn begin(&self, place: Place) {
        self.lines[place.0].open.fetch_add(1, Ordering::SeqCst);
    }

    /// Counts its end.
    pub fn end(&self, place: Place) {
        self.lines[place.0].open.fetch_sub(1, Ordering::SeqCst);
        // Nobody waits before.
        if self.is_closed() && self.open() == 0 {
            self.none.notify_waiters();
        }
    }

    /// How many have begun and not ended. While calls come and go it is about right; once they are closed, 0 is final but for those that
    /// begin, find it closed and end.
    pub fn open(&self) -> usize {
        self.lines.iter().map(|line| line.open.load(Ordering::SeqCst)).sum()
    }

    /// From now on, who begins a call is to end it at once.
    pub fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
    }

    /// Whether they are closed. A call that begins looks at it behind [`begin`](Calls::begin): whoever closes and then counts either finds
    /// that call, or is found by it.
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    /// Waits until none is open. To be asked once they are closed.
    pub async fn ended(&self) {
        loop {
            let none = self.none.notified();
            tokio::pin!(none);
            none.as_mut().enable();
            if self.open() == 0 {
                return;
            }
            none.await;
        }
    }

    /// Counts how a call went. One that found all threads busy never reached the plugin.
    pub fn count(&self, place: Place, result: &Result<Answer, CallError>) {
        let failed = match result {
            Ok(answer) => answer.status.is_server_error(),
            Err(CallError::Abandoned(_) | CallError::TimedOut) => true,
            Err(CallError::Busy) => return,
        };
        self.lines[place.0].requests.fetch_add(1, Ordering::Relaxed);
        if failed {
            self.lines[place.0].failures.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// What was counted so far. The two numbers may be a few requests apart.
    pub fn tally(&self) -> Tally {
        let sum = |of: fn(&Line) -> &AtomicU64| self.lines.iter().map(|line| of(line).load(Ordering::Relaxed)).sum();
        let failures: u64 = sum(|line| &line.failures);
        Tally { requests: failures.max(sum(|line| &line.requests)), failures }
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use actix_web::http::StatusCode;

    use super::{super::exchange::Body, *};
    use crate::lines::line_of_this_thread;

    fn begun(calls: &Calls) -> Place {
        let place = Place(line_of_this_thread());
        calls.begin(place);
        place
    }

    #[test]
    fn what_the_plugin_did_itself_counts() {
        let calls = Calls::default();
        let place = begun(&calls);
        let answer = |status| Ok(Answer { status, fields: Vec::new(), body: Body::Whole(Default::default()) });
        for good in [StatusCode::OK, StatusCode::NOT_FOUND, StatusCode::FOUND] {
            calls.count(place, &answer(good));
        }
        calls.count(place, &Err(CallError::Busy));
        assert_eq!(calls.tally(), Tally { requests: 3, failures: 0 });
        calls.count(place, &answer(StatusCode::INTERNAL_SERVER_ERROR));
        calls.count(place, &Err(CallError::Abandoned("the handler panicked".into())));
        calls.count(place, &Err(CallError::TimedOut));
        assert_eq!(calls.tally(), Tally { requests: 6, failures: 3 });
    }

    #[test]
    fn a_call_is_one_less_wherever_it_ends() {
        let calls = Arc::new(Calls::default());
        let (there, moved) = (begun(&calls), calls.clone());
        let here = std::thread::spawn(move || {
            moved.end(there);
            begun(&moved)
        });
        let here = here.join().unwrap();
        assert_eq!(calls.open(), 1);
        calls.end(here);
        assert_eq!(calls.open(), 0);
    }

    /// Threads begin and end calls while they are closed: who got in is waited for, and nobody waits for ever.
    #[tokio::test]
    async fn who_got_in_is_waited_for() {
        for _ in 0..200 {
            let (calls, inside) = (Arc::new(Calls::default()), Arc::new(AtomicUsize::new(0)));
            let visitors: Vec<_> = (0..4)
                .map(|_| {
                    let (calls, inside) = (calls.clone(), inside.clone());
                    std::thread::spawn(move || {
                        let mut open = true;
                        while open {
                            let place = begun(&calls);
                            open = !calls.is_closed();
                            inside.fetch_add(usize::from(open), Ordering::SeqCst);
                            std::thread::yield_now();
                            inside.fetch_sub(usize::from(open), Ordering::SeqCst);
                            calls.end(place);
                        }
                    })
                })
                .collect();
            calls.close();
            tokio::time::timeout(Duration::from_secs(30), calls.ended()).await.expect("the last one says so");
            assert_eq!(inside.load(Ordering::SeqCst), 0);
            visitors.into_iter().for_each(|visitor| visitor.join().unwrap());
        }
    }
}
