//! How a version answers: two numbers a generation, counted on every request.

use std::sync::atomic::{AtomicU64, Ordering};

use super::{exchange::Answer, generation::CallError};

/// The requests of one generation.
#[derive(Debug, Default)]
pub struct Health {
    requests: AtomicU64,
    failures: AtomicU64,
}

/// What was counted so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// The requests that the plugin had to answer.
    pub requests: u64,
    /// Those of them that failed by its own doing.
    pub failures: u64,
}

impl Health {
    /// Counts one request. One that found all threads busy never reached the plugin.
    pub fn count(&self, result: &Result<Answer, CallError>) {
        let failed = match result {
            Ok(answer) => answer.status.is_server_error(),
            Err(CallError::Abandoned(_) | CallError::TimedOut) => true,
            Err(CallError::Busy) => return,
        };
        self.requests.fetch_add(1, Ordering::Relaxed);
        if failed {
            self.failures.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// What was counted so far. The two numbers may be a request apart.
    pub fn tally(&self) -> Tally {
        let failures = self.failures.load(Ordering::Relaxed);
        Tally { requests: self.requests.load(Ordering::Relaxed).max(failures), failures }
    }
}

#[cfg(test)]
mod tests {
    use actix_web::http::StatusCode;

    use super::{super::exchange::Body, *};

    #[test]
    fn what_the_plugin_did_itself_counts() {
        let health = Health::default();
        let answer = |status| Ok(Answer { status, fields: Vec::new(), body: Body::Whole(Default::default()) });
        for good in [StatusCode::OK, StatusCode::NOT_FOUND, StatusCode::FOUND] {
            health.count(&answer(good));
        }
        health.count(&Err(CallError::Busy));
        assert_eq!(health.tally(), Tally { requests: 3, failures: 0 });
        health.count(&answer(StatusCode::INTERNAL_SERVER_ERROR));
        health.count(&Err(CallError::Abandoned("the handler panicked".into())));
        health.count(&Err(CallError::TimedOut));
        assert_eq!(health.tally(), Tally { requests: 6, failures: 3 });
    }
}
