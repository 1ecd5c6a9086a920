//! The end of a version: its requests finish, its streams are sent away, what is left is cut, and the plugin is stopped.
//! Its code stays mapped; see [`budget`](super::budget).

use std::{sync::Arc, time::Duration};

use super::{
    desk::Retirement,
    status::{Actor, State, Subject},
    within::{Overdue, telling, within},
};
use crate::plugin::generation::Generation;

/// How long requests and streams have to come to their end.
pub const DRAIN_LIMIT: Duration = Duration::from_secs(30);
/// The same when this server ends: the administrator waits.
pub const SHUTDOWN_DRAIN_LIMIT: Duration = Duration::from_secs(10);
/// How long the plugin's own code has to hear that it ends, and to end.
const STOP_LIMIT: Duration = Duration::from_secs(10);

/// How often the log says that requests and streams are not at their end.
const TELL: Duration = Duration::from_secs(5);

/// A version that is no longer in the route table.
pub struct Retiree {
    /// The version.
    pub generation: Arc<Generation>,
    /// How the log calls it.
    pub subject: Subject,
    /// Who sent it away.
    pub actor: Actor,
    /// How long its requests have.
    pub drain_limit: Duration,
}

impl Retiree {
    /// Goes the whole way, and tells the desk of each step.
    pub async fn retire(self, desk: Retirement) {
        self.subject.step(State::Active, State::Draining, self.actor);
        self.drain().await;
        stop(&self.generation).await;
        self.subject.step(State::Draining, State::Stopped, self.actor);
        desk.step(State::Stopped).await;
        self.subject.step(State::Stopped, State::Retired, self.actor);
        desk.step(State::Retired).await;
    }

    async fn drain(&self) {
        self.generation.close();
        send_streams_away(&self.generation).await;
        let drained = tokio::time::timeout(self.drain_limit, self.generation.drained());
        if telling(TELL, |seconds| self.tell(seconds), drained).await.is_err() {
            let cut = self.generation.cut();
            log::warn!("{}: {cut} requests cut after {} s", self.subject, self.drain_limit.as_secs());
        }
    }

    fn tell(&self, seconds: u64) {
        let (left, limit) = (self.generation.in_flight(), self.drain_limit.as_secs());
        self.subject
            .stays(&format!("{left} requests and streams not at their end after {seconds} s, cut after {limit} s"));
    }
}

/// Has a plugin send its streams' clients away.
pub async fn send_streams_away(generation: &Arc<Generation>) {
    let told = generation.clone();
    if let Err(overdue) = within("plugin-drain", STOP_LIMIT, move || told.drain(), |()| {}).await {
        complain(generation, "sending its streams away", &overdue);
    }
}

/// Ends a started plugin: its threads joined, its callbacks closed.
pub async fn stop(generation: &Arc<Generation>) {
    stop_within(STOP_LIMIT, generation).await;
}

async fn stop_within(limit: Duration, generation: &Arc<Generation>) {
    let stopped = generation.clone();
    match within("plugin-stop", limit, move || stopped.stop(), |_| {}).await {
        Ok(0) => {}
        Ok(busy) => complain(generation, "stopping", &Overdue::Failed(format!("{busy} of its handlers still run"))),
        Err(overdue) => {
            generation.disown();
            complain(generation, "stopping", &overdue);
        }
    }
}

fn complain(generation: &Generation, doing: &str, overdue: &Overdue) {
    let manifest = generation.manifest();
    let trouble = match overdue {
        Overdue::Limit => format!("did not return within {} s", STOP_LIMIT.as_secs()),
        Overdue::Failed(cause) => cause.clone(),
    };
    log::warn!("plugin {} {}: {doing}: {trouble}; its memory is lost", manifest.id, manifest.version);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::generation::JOB_PATIENCE;
    use crate::plugin::generation::tests::{SCRIPTS, STOP_HANGS, generation, is_stopped};

    /// Row P26: what is cut and what does not even notice that is gone after 31 s, and nothing is cut before 30 s.
    #[test]
    fn a_handler_that_ignores_everything_is_given_up_in_time() {
        assert_eq!(DRAIN_LIMIT, Duration::from_secs(30));
        assert!(DRAIN_LIMIT + JOB_PATIENCE < Duration::from_secs(31));
    }

    #[tokio::test]
    async fn a_plugin_whose_stop_hangs_is_disowned() {
        let generation = generation::<STOP_HANGS>();
        stop_within(Duration::from_millis(1), &generation).await;
        assert!(is_stopped(&generation));
        SCRIPTS[STOP_HANGS].stop.open();
    }
}
