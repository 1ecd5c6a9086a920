//! The first seconds of a version in service. One that took over from an earlier version is on probation: its requests
//! and its self-test show whether it can do its work, and if not, the earlier version comes back.
//!
//! Only a version that passed is recorded as the last good one. Until then the record and the copy of the earlier
//! version stay, so that whatever happens meanwhile (a kill, a restart, a third version) finds the one that was proven.
//! A version that has nothing before it is looked at too, but serves on.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{sync::mpsc, task::AbortHandle};

use super::{
    books::Serving,
    desk::Message,
    journey::Origin,
    refusal::Refusal,
    registry::Registry,
    status::{Actor, State},
    travel::{Refused, Travel},
    within::{Overdue, within},
};
use crate::plugin::{calls::Tally, generation::Generation};

/// How long a version is on probation, if the configuration does not say otherwise.
pub const DEFAULT_WINDOW: Duration = Duration::from_secs(10);
/// How often its requests are looked at meanwhile.
const LOOKS: u32 = 10;
/// Behind which look it is asked for a second self-test: early enough to be answered within the window.
const SECOND_SELF_TEST: u32 = 7;
/// How long a self-test may take.
const SELF_TEST_LIMIT: Duration = Duration::from_secs(3);
/// Fewer failures say nothing of a share: five among less than a hundred requests happen to a version that fails one in
/// a hundred, which is tolerated, in one of three hundred windows; three would in one of twelve.
const FEW: u64 = 5;

/// What was wrong with a version in its first seconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Misconduct {
    /// Too many requests failed by its own doing.
    Requests {
        /// How many failed.
        failures: u64,
        /// How many there were.
        requests: u64,
        /// In its first seconds: how many.
        within: Duration,
    },
    /// Its self-test failed, for this reason.
    SelfTest(String),
}

/// A version that is being looked at. Dropped, it is looked at no more.
pub struct Observation(AbortHandle);

impl Observation {
    /// Looks at a version that has just come into service for `window`, and tells what came of it.
    pub fn begin(generation: Arc<Generation>, window: Duration, messages: mpsc::Sender<Message>) -> Observation {
        let observed = async move {
            let (id, number) = (generation.manifest().id.clone(), generation.number());
            let result = observe(&generation, window).await;
            // A server that ends does not care.
            let _ = messages.send(Message::Probation { id, number, result }).await;
        };
        Observation(tokio::spawn(observed).abort_handle())
    }
}

impl Drop for Observation {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn observe(generation: &Arc<Generation>, window: Duration) -> Result<(), Misconduct> {
    let begun = Instant::now();
    self_test(generation).await?;
    for look in 1..=LOOKS {
        let elapsed = window * look / LOOKS;
        tokio::time::sleep_until((begun + elapsed).into()).await;
        judge(generation.tally(), elapsed, window)?;
        if look == SECOND_SELF_TEST {
            self_test(generation).await?;
        }
    }
    Ok(())
}

async fn self_test(generation: &Arc<Generation>) -> Result<(), Misconduct> {
    let asked = generation.clone();
    let answer = within("plugin-self-test", SELF_TEST_LIMIT, move || asked.self_test(), |_| {}).await;
    match answer {
        Ok(result) => result.map_err(Misconduct::SelfTest),
        Err(Overdue::Limit) => Err(Misconduct::SelfTest(format!("no answer within {} s", SELF_TEST_LIMIT.as_secs()))),
        // Ours, not the plugin's.
        Err(Overdue::Failed(cause)) => {
            log::warn!("plugin {}: its self-test is left out: {cause}", generation.manifest().id);
            Ok(())
        }
    }
}

/// Whether so many failures are too many: at the end of the window more than one request in twenty, before it only what
/// can hardly be made good, more than half.
fn judge(Tally { requests, failures }: Tally, elapsed: Duration, window: Duration) -> Result<(), Misconduct> {
    let one_in = if elapsed < window { 2 } else { 20 };
    match failures >= FEW && failures * one_in > requests {
        true => Err(Misconduct::Requests { failures, requests, within: elapsed }),
        false => Ok(()),
    }
}

impl fmt::Display for Misconduct {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Misconduct::Requests { failures, requests, within } => {
                write!(f, "failed {failures} of {requests} requests in its first {} s", within.as_secs_f32())
            }
            Misconduct::SelfTest(reason) => write!(f, "failed its self-test: {reason}"),
        }
    }
}

impl Registry {
    /// Begins to look at a version that has just come into service, unless it was the last good one before.
    pub(super) fn put_on_probation(&mut self, id: &str) {
        let window = *self.limits.health_window.lock();
        let good = self.books.fallback(id).map(|kept| kept.staged.digest());
        let Some(serving) = self.books.serving_mut(id) else { return };
        let digest = serving.staged.digest();
        serving.is_proven = window.is_zero() || good.is_none_or(|good| good == digest);
        if !window.is_zero() && good != Some(digest) {
            serving.observation = Some(Observation::begin(serving.generation.clone(), window, self.messages.clone()));
        }
    }

    /// What the looking at a version showed. Nothing is left to do where it is out of service by now.
    pub(super) async fn probation_over(&mut self, id: &str, number: u64, result: Result<(), Misconduct>) {
        let serving = self.books.serving_mut(id).filter(|serving| serving.generation.number() == number);
        let Some(serving) = serving else { return };
        serving.observation = None;
        let subject = serving.subject();
        match result {
            Ok(()) if serving.is_proven => {}
            Ok(()) => {
                serving.is_proven = true;
                subject.stays("passed its first seconds in service, now the last good version");
                self.record(id).await;
            }
            Err(misconduct) => {
                log::warn!("{subject}: {misconduct}");
                serving.misconduct = Some(misconduct);
                self.go_back(id);
            }
        }
    }

    /// Sets the last good version on its way back, in the place of the one in service.
    fn go_back(&mut self, id: &str) {
        if self.books.is_returning(id) || self.ending.is_some() {
            return;
        }
        let good = self.books.fallback(id).map(|kept| kept.staged.digest());
        let Some(plugin) = self.books.plugins.get_mut(id) else { return };
        let (Some(serving), Some(kept)) = (&plugin.serving, &mut plugin.good.last) else { return };
        if good.is_none_or(|good| good == serving.staged.digest()) {
            return log::warn!("{}: serves on, there is no earlier version to go back to", serving.subject());
        }
        let file = serving.file.clone();
        let origin = Origin::Kept { staged: kept.staged.clone(), mapped: std::mem::replace(&mut kept.mapped, true) };
        self.set_out(origin, Travel { kept: Some(id.to_owned()), ..Travel::new(file, Actor::Health) });
    }

    /// The last good version serves again: what it replaced is refused until somebody wants it tried once more.
    pub(super) async fn condemn(&mut self, id: &str, serving: &Serving) {
        let Some(misconduct) = serving.misconduct.clone() else { return };
        let (digest, refusal) = (serving.staged.digest(), Refusal::Misconduct(misconduct));
        serving.subject().refused(State::Active, &refusal, Actor::Health);
        self.counters.count_refusal();
        self.quarantine(id, digest, &refusal).await;
        if let Some(file) = self.books.files.get_mut(&serving.file) {
            file.refused = Some(Refused::served(serving, refusal));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_secs(10);

    fn judged(failures: u64, requests: u64, seconds: u64) -> Result<(), String> {
        judge(Tally { requests, failures }, Duration::from_secs(seconds), WINDOW).map_err(|cause| cause.to_string())
    }

    #[test]
    fn at_the_end_more_than_one_in_twenty_is_too_many() {
        assert_eq!(judged(5, 100, 10), Ok(()));
        assert_eq!(judged(5, 99, 10), Err("failed 5 of 99 requests in its first 10 s".into()));
        assert_eq!(judged(4, 4, 10), Ok(()));
        assert_eq!(judged(0, 0, 10), Ok(()));
    }

    #[test]
    fn before_the_end_only_what_is_beyond_hope() {
        assert_eq!(judged(30, 60, 3), Ok(()));
        assert_eq!(judged(31, 60, 3), Err("failed 31 of 60 requests in its first 3 s".into()));
    }

    #[test]
    fn a_window_may_be_short() {
        let judged = judge(Tally { requests: 5, failures: 5 }, WINDOW / 20, WINDOW / 20);
        assert_eq!(judged.unwrap_err().to_string(), "failed 5 of 5 requests in its first 0.5 s");
    }
}
