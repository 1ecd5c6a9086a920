//! Timers: closures that the host has called later.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering},
};

use parking_lot::Mutex;

use crate::Host;

type Due = Box<dyn FnOnce() + Send>;

static NEXT: AtomicU64 = AtomicU64::new(1);
static DUE: Mutex<BTreeMap<u64, Due>> = Mutex::new(BTreeMap::new());

/// A timer that runs. Dropping it cancels it; one whose closure is being called at this moment is not waited for.
#[must_use = "a timer that is dropped is cancelled"]
pub struct Timer {
    number: u64,
    host: Host,
}

impl Timer {
    /// Lets it come to its time, though nobody holds it any more.
    pub fn detach(self) {
        std::mem::forget(self);
    }

    pub(crate) fn number(&self) -> u64 {
        self.number
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        // The closure is dropped without the lock: what it owns may come back here.
        let due = DUE.lock().remove(&self.number);
        if due.is_some() {
            self.host.cancel(self.number);
        }
    }
}

pub(crate) fn add(host: Host, due: impl FnOnce() + Send + 'static) -> Timer {
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    DUE.lock().insert(number, Box::new(due));
    Timer { number, host }
}

/// Calls the closure of a timer. One that was cancelled meanwhile has none.
pub(crate) fn tell(timer: u64) {
    let due = DUE.lock().remove(&timer);
    if let Some(due) = due {
        due();
    }
}

/// Drops what timers left behind: the plugin is stopped.
pub(crate) fn forget_all() {
    let left = std::mem::take(&mut *DUE.lock());
    // Without the lock: what they own may come back here.
    drop(left);
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering},
            mpsc,
        },
        time::Duration,
    };

    use super::*;
    use crate::host::tests::host;

    #[test]
    fn a_timer_calls_once_and_a_dropped_one_never() {
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = || {
            let calls = calls.clone();
            move || {
                calls.fetch_add(1, Ordering::SeqCst);
            }
        };
        let (kept, dropped) = (add(host(), counted()), add(host(), counted()));
        let number = dropped.number();
        drop(dropped);
        [kept.number(), kept.number(), number].into_iter().for_each(tell);
        assert_eq!(calls.load(Ordering::SeqCst), 1);
        assert_eq!(Arc::strong_count(&calls), 1, "a closure is kept");
    }

    #[test]
    fn a_closure_that_owns_timers_is_called_and_dropped_without_the_lock() {
        let (done, ended) = mpsc::channel();
        std::thread::spawn(move || {
            for end in [|timer: Timer| drop(timer), |timer: Timer| tell(timer.number())] {
                let inner = add(host(), || ());
                let number = inner.number();
                end(add(host(), move || drop(inner)));
                assert!(!DUE.lock().contains_key(&number));
            }
            done.send(()).unwrap();
        });
        ended.recv_timeout(Duration::from_secs(30)).expect("a dropped timer waits for its own lock");
    }
}
