//! How often a user may ask for what costs others something: a subscription, which is stored for somebody else and shown at each
//! login there; a new password, which is hashed.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use jid::BareJid;
use parking_lot::Mutex;

/// The most requests at once.
pub(super) const BURST: u32 = 20;
/// After this time there is room for one more: 20 a minute.
pub(super) const PAUSE: Duration = Duration::from_secs(3);

/// Who has asked of late.
#[derive(Default)]
pub(super) struct Requests(Mutex<HashMap<BareJid, Instant>>);

impl Requests {
    /// Counts a request of `user`. `false`: it is one too many for now, and does not count.
    pub fn admit(&self, user: &BareJid, now: Instant) -> bool {
        let mut forgiven = self.0.lock();
        // Room for a new one is made from those whose requests are all forgiven: the map stays as large as the crowd was.
        if forgiven.len() == forgiven.capacity() {
            forgiven.retain(|_, at| *at > now);
        }
        let at = forgiven.get(user).copied().unwrap_or(now).max(now) + PAUSE;
        let admitted = at <= now + PAUSE * BURST;
        if admitted {
            forgiven.insert(user.clone(), at);
        }
        admitted
    }

    /// Forgets a user whose account is gone.
    pub fn forget(&self, user: &BareJid) {
        self.0.lock().remove(user);
    }

    /// Forgets all requests: for tests that would wait.
    #[cfg(test)]
    pub fn forgive(&self) {
        self.0.lock().clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twenty_at_once_then_one_every_three_seconds() {
        let [ann, bob] = ["ann@here", "bob@here"].map(|jid| BareJid::new(jid).unwrap());
        let (requests, start) = (Requests::default(), Instant::now());
        for _ in 0..BURST {
            assert!(requests.admit(&ann, start));
        }
        assert!(!requests.admit(&ann, start));
        assert!(requests.admit(&bob, start));
        requests.forget(&bob);
        assert!((0..BURST).all(|_| requests.admit(&bob, start)));
        assert!(requests.admit(&ann, start + PAUSE));
        assert!(!requests.admit(&ann, start + PAUSE));
        let later = start + PAUSE * (BURST + 1);
        assert!((0..BURST).all(|_| requests.admit(&ann, later)));
    }

    #[test]
    fn who_asked_long_ago_is_forgotten() {
        let (requests, start) = (Requests::default(), Instant::now());
        for number in 0..10_000 {
            let user = BareJid::new(&format!("u{number}@here")).unwrap();
            assert!(requests.admit(&user, start + PAUSE * number));
        }
        assert!(requests.0.lock().capacity() < 10);
    }
}
