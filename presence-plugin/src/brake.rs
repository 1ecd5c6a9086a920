//! Answers that wait, because their clients were refused too many names ([`pace`](crate::pace)): held by a timer and no thread.

use std::{
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use plugin_api::{Host, Responder, Response};

use crate::pace::{Name, Pace, TooMany};

/// Counts what clients are refused, and holds what is to wait. Clones count together.
#[derive(Clone)]
pub struct Brake {
    host: Host,
    pace: Pace,
}

impl Brake {
    /// Nobody was refused anything yet.
    pub fn new(host: Host) -> Brake {
        Brake { host, pace: Pace::default() }
    }

    /// Whether a client may ask about anybody now.
    ///
    /// # Errors
    /// It was refused too many names. What it is to wait for is returned.
    pub fn admit(&self, client: IpAddr) -> Result<(), Duration> {
        self.pace.admit(client, Instant::now()).map_err(|TooMany(wait)| wait)
    }

    /// Keeps what a client is to be given, with the names that it refuses, for a moment if the client was refused too often: then `give` gives it,
    /// or `too_many` makes an answer, if it can't be kept. `None`: the request is seen to. Who has no address, as the host itself, never waits.
    pub fn in_time<T: Send + 'static>(
        &self,
        client: Option<IpAddr>,
        (what, refused): (T, Vec<Name>),
        too_many: fn(Duration) -> Response,
        responder: Responder,
        give: impl FnOnce(Responder, T) + Send + 'static,
    ) -> Option<(T, Responder)> {
        match client.map_or(Ok(None), |client| self.pace.count(client, &refused, Instant::now())) {
            Ok(None) => return Some((what, responder)),
            Err(TooMany(wait)) => drop(responder.send(too_many(wait))),
            Ok(Some(waiting)) => self.hold(waiting.pause, move |is_later| {
                if is_later {
                    give(responder, what);
                } else {
                    responder.send(too_many(waiting.pause));
                }
                drop(waiting);
            }),
        }
        None
    }

    /// Does something later, or now if there is no timer for it. `false`: it is now.
    fn hold(&self, pause: Duration, act: impl FnOnce(bool) + Send + 'static) {
        let act = Arc::new(Mutex::new(Some(act)));
        let take = |act: &Mutex<Option<_>>| act.lock().unwrap_or_else(PoisonError::into_inner).take();
        let later = act.clone();
        let timer = self.host.after(pause, move || {
            if let Some(act) = take(&later) {
                act(true);
            }
        });
        match timer {
            Ok(timer) => timer.detach(),
            Err(_) => drop(take(&act).map(|act| act(false))),
        }
    }
}
