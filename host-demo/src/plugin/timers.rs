//! The timers of one generation: which waits, and which is due. The thread that tells of changes of presence tells of them too
//! ([`changes`](super::changes)).

use std::{
    collections::{BTreeSet, HashMap},
    time::{Duration, Instant},
};

/// The most timers of one generation that may wait.
pub const MOST: usize = 10_000;
/// The longest delay: far beyond the life of a generation, and no moment that a clock can't tell.
const LONGEST: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// Timers by their numbers and by their times.
#[derive(Default)]
pub struct Timers {
    due: BTreeSet<(Instant, u64)>,
    by_number: HashMap<u64, Instant>,
}

/// So many wait already.
#[derive(Debug, PartialEq, Eq)]
pub struct Full;

impl Timers {
    /// Sets a timer; one that has this number already is set anew. Answers whether it is the next one.
    ///
    /// # Errors
    /// There are too many.
    pub fn set(&mut self, timer: u64, now: Instant, delay: Duration) -> Result<bool, Full> {
        self.cancel(timer);
        if self.by_number.len() >= MOST {
            return Err(Full);
        }
        let at = now + delay.min(LONGEST);
        self.by_number.insert(timer, at);
        self.due.insert((at, timer));
        Ok(self.due.first() == Some(&(at, timer)))
    }

    /// Forgets a timer. `false`: there is none of this number.
    pub fn cancel(&mut self, timer: u64) -> bool {
        let Some(at) = self.by_number.remove(&timer) else { return false };
        self.due.remove(&(at, timer))
    }

    /// When the next one is due.
    pub fn next(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| *at)
    }

    /// Takes the one that has been due for longest.
    pub fn take_due(&mut self, now: Instant) -> Option<u64> {
        let (_, timer) = *self.due.first().filter(|(at, _)| *at <= now)?;
        self.cancel(timer);
        Some(timer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timers_are_due_in_the_order_of_their_times_and_never_early() {
        let (mut timers, now) = (Timers::default(), Instant::now());
        let after = |milliseconds| now + Duration::from_millis(milliseconds);
        assert_eq!(timers.set(1, now, Duration::from_millis(30)), Ok(true));
        assert_eq!(timers.set(2, now, Duration::from_millis(40)), Ok(false));
        assert_eq!(timers.set(3, now, Duration::from_millis(20)), Ok(true));
        assert_eq!(timers.next(), Some(after(20)));
        assert_eq!(timers.take_due(after(19)), None);
        let due: Vec<_> = std::iter::from_fn(|| timers.take_due(after(30))).collect();
        assert_eq!(due, [3, 1]);
        assert!(timers.cancel(2) && !timers.cancel(2) && !timers.cancel(1));
        assert!(timers.next().is_none() && timers.by_number.is_empty());
    }

    #[test]
    fn they_are_bounded_in_number_and_in_time() {
        let (mut timers, now) = (Timers::default(), Instant::now());
        for timer in 0..MOST as u64 {
            assert!(timers.set(timer, now, Duration::MAX).is_ok());
        }
        assert_eq!(timers.set(u64::MAX, now, Duration::ZERO), Err(Full));
        assert_eq!(timers.set(7, now, Duration::ZERO), Ok(true), "it takes its own place");
        assert_eq!(timers.take_due(now), Some(7));
        assert_eq!(timers.set(u64::MAX, now, Duration::ZERO), Ok(true));
    }
}
