//! How often something is told that changes all the time: at once, and then once in a while, with what holds by then.

use std::time::{Duration, Instant};

/// When something was told, and whether it will be.
#[derive(Debug, Default)]
pub struct Turns {
    told: Option<Instant>,
    is_waiting: bool,
}

/// When a change is to be told.
#[derive(Debug, PartialEq, Eq)]
pub enum Turn {
    /// At once.
    Now,
    /// When so much time has passed.
    After(Duration),
    /// Not for its own sake: all will be told soon, or nobody is there.
    No,
}

impl Turns {
    /// Notes a change. It is told once in `pause` at most.
    pub fn hear(&mut self, now: Instant, pause: Duration) -> Turn {
        if self.is_waiting {
            return Turn::No;
        }
        let rest = self.told.map_or(Duration::ZERO, |told| (told + pause).saturating_duration_since(now));
        if rest.is_zero() {
            return Turn::Now;
        }
        self.is_waiting = true;
        Turn::After(rest)
    }

    /// Notes that it will not be told when it was to be.
    pub fn forgo(&mut self) {
        self.is_waiting = false;
    }

    /// Notes that it is told now.
    pub fn tell(&mut self, now: Instant) {
        *self = Turns { told: Some(now), is_waiting: false };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_of_changes_is_told_at_its_beginning_and_at_its_end() {
        let (mut turns, now, pause) = (Turns::default(), Instant::now(), Duration::from_millis(100));
        let after = |milliseconds| now + Duration::from_millis(milliseconds);
        assert_eq!(turns.hear(now, pause), Turn::Now);
        turns.tell(now);
        assert_eq!(turns.hear(after(30), pause), Turn::After(Duration::from_millis(70)));
        assert_eq!(turns.hear(after(60), pause), Turn::No, "it will be told");
        turns.tell(after(101));
        assert_eq!(turns.hear(after(201), pause), Turn::Now);
    }
}
