//! Waiting for an event, with a deadline: no test sleeps for luck.

use std::{
    thread,
    time::{Duration, Instant},
};

/// How often a condition is looked at that nobody announces.
const PERIOD: Duration = Duration::from_millis(15);

/// Calls `event` until it returns something, and returns that. Panics if nothing came in time: `what` says what was
/// waited for.
#[track_caller]
pub fn until<T>(limit: Duration, what: &str, mut event: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(value) = event() {
            return value;
        }
        assert!(Instant::now() < deadline, "{what}: not within {limit:?}");
        thread::sleep(PERIOD);
    }
}
