//! How fast a client may send (RFC 6120 section 13.12): a budget in bytes that fills up again with time.
//!
//! Who spends more than there is waits: the stream stops reading, and the client's own socket makes it slow down.

use std::time::Duration;

use tokio::time::Instant;

use super::xml::Limits;

/// The bytes a second that a client may send for ever.
const RATE: u64 = 10_000;
/// The bytes that it may send at once: the largest stanza, and a login's worth of others.
const BURST: u64 = Limits::SESSION.bytes as u64 + (64 << 10);

/// The budget of one stream, kept as the time at which it is full again.
pub struct Allowance {
    full_at: Instant,
}

impl Allowance {
    /// A full budget.
    pub fn new(now: Instant) -> Allowance {
        Allowance { full_at: now }
    }

    /// Spends what was read.
    pub fn spend(&mut self, bytes: usize, now: Instant) {
        self.full_at = self.full_at.max(now) + time_for(bytes as u64);
    }

    /// Until when nothing may be read; `None`: there is budget left.
    pub fn pause(&self, now: Instant) -> Option<Instant> {
        let resume = self.full_at.checked_sub(time_for(BURST))?;
        (resume > now).then_some(resume)
    }
}

fn time_for(bytes: u64) -> Duration {
    Duration::from_micros(bytes * 1_000_000 / RATE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_what_is_over_it_waits() {
        let start = Instant::now();
        let mut allowance = Allowance::new(start);
        allowance.spend(BURST as usize, start);
        assert_eq!(allowance.pause(start), None);
        allowance.spend(RATE as usize, start);
        let second = Duration::from_secs(1);
        assert_eq!(allowance.pause(start), Some(start + second));
        assert_eq!(allowance.pause(start + second), None);
    }

    #[test]
    fn an_idle_client_saves_up_no_more_than_the_burst() {
        let start = Instant::now();
        let mut allowance = Allowance::new(start);
        let later = start + Duration::from_secs(3600);
        allowance.spend((BURST + RATE) as usize, later);
        assert!(allowance.pause(later).is_some());
    }
}
