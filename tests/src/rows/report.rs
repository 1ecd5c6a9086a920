//! What a row says of itself, in one line.

use std::{fmt, time::Duration};

use crate::{host::Census, http::load::Tally};

/// What was done, how often, and what it cost.
#[derive(Debug, Default)]
pub struct Report {
    done: String,
    requests: Option<(u64, u64)>,
    census: Option<(Census, Census)>,
    notes: Vec<String>,
}

impl Report {
    /// A row of which this was done.
    pub fn new(done: impl Into<String>) -> Report {
        Report { done: done.into(), ..Report::default() }
    }

    /// How many requests there were meanwhile, and how many of them went wrong.
    pub fn requests(mut self, tally: &Tally) -> Report {
        self.requests = Some((tally.requests(), tally.failures()));
        self
    }

    /// What the host took of the system before and after.
    pub fn census(mut self, before: Census, after: Census) -> Report {
        self.census = Some((before, after));
        self
    }

    /// Something else worth knowing.
    pub fn note(mut self, note: impl Into<String>) -> Report {
        self.notes.push(note.into());
        self
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.done)?;
        if let Some((all, bad)) = self.requests {
            write!(f, "; {bad} bad of {all} requests")?;
        }
        if let Some((before, after)) = self.census {
            write!(f, "; before {before}; after {after}")?;
        }
        self.notes.iter().try_for_each(|note| write!(f, "; {note}"))
    }
}

/// How long something took, each time.
#[derive(Debug, Default)]
pub struct Times(Vec<Duration>);

impl Times {
    /// Adds one.
    pub fn push(&mut self, took: Duration) {
        self.0.push(took);
    }

    /// Within which time this share of them was done.
    pub fn within(&self, share: f64) -> Duration {
        let mut sorted = self.0.clone();
        sorted.sort();
        let wanted = (sorted.len() as f64 * share).ceil() as usize;
        sorted.get(wanted.max(1) - 1).copied().unwrap_or_default()
    }
}

impl fmt::Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [half, most, all] = [0.5, 0.99, 1.0].map(|share| self.within(share).as_millis());
        write!(f, "p50 {half} ms, p99 {most} ms, most {all} ms")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_of_times() {
        let mut times = Times::default();
        assert_eq!(times.within(0.99), Duration::ZERO);
        (1..=100).rev().for_each(|number| times.push(Duration::from_millis(number)));
        assert_eq!(times.to_string(), "p50 50 ms, p99 99 ms, most 100 ms");
    }
}
