//! One asynchronous lock per user, for as long as somebody needs it.
//!
//! A change of rosters is computed, committed and delivered under the locks of its users, so that pushes and stanzas
//! leave in the order of the commits. Other users are not held up: there is no lock for all.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Weak},
};

use jid::BareJid;
use parking_lot::Mutex;
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};

/// The locks in use, by user.
#[derive(Default)]
pub(super) struct Locks(Mutex<HashMap<BareJid, Weak<AsyncMutex<()>>>>);

/// The locks of some users; dropping it releases them.
pub(super) struct Held {
    _guards: Vec<OwnedMutexGuard<()>>,
}

impl Locks {
    /// Waits for the locks of all these users. Taken in the order of the JIDs: two that want the same pair can't wait
    /// for each other.
    pub async fn hold(&self, users: impl IntoIterator<Item = &BareJid>) -> Held {
        let mut guards = Vec::new();
        for user in users.into_iter().collect::<BTreeSet<_>>() {
            guards.push(self.lock_of(user).lock_owned().await);
        }
        Held { _guards: guards }
    }

    /// Forgets the users whose locks nobody holds.
    pub fn sweep(&self) {
        self.0.lock().retain(|_, lock| lock.strong_count() > 0);
    }

    fn lock_of(&self, user: &BareJid) -> Arc<AsyncMutex<()>> {
        let mut locks = self.0.lock();
        if let Some(lock) = locks.get(user).and_then(Weak::upgrade) {
            return lock;
        }
        // Room for a new one is made from those that nobody holds: the map stays as large as the crowd was.
        if locks.len() == locks.capacity() {
            locks.retain(|_, lock| lock.strong_count() > 0);
        }
        let lock = Arc::new(AsyncMutex::new(()));
        locks.insert(user.clone(), Arc::downgrade(&lock));
        lock
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn users() -> [BareJid; 2] {
        ["ann@here", "bob@here"].map(|jid| BareJid::new(jid).unwrap())
    }

    #[tokio::test]
    async fn a_lock_is_shared_while_it_is_held_and_gone_afterwards() {
        let (locks, [ann, bob]) = (Locks::default(), users());
        let held = locks.hold([&ann, &ann]).await;
        assert!(locks.lock_of(&ann).try_lock().is_err());
        assert!(locks.lock_of(&bob).try_lock().is_ok());
        drop(held);
        assert!(locks.lock_of(&ann).try_lock().is_ok());
    }

    #[tokio::test]
    async fn only_locks_that_somebody_holds_stay() {
        let (locks, [ann, bob]) = (Locks::default(), users());
        let _held = locks.hold([&ann]).await;
        drop(locks.hold([&bob]).await);
        locks.sweep();
        assert_eq!(locks.0.lock().keys().collect::<Vec<_>>(), [&ann]);
    }

    #[tokio::test]
    async fn opposite_pairs_do_not_wait_for_each_other() {
        let (locks, [ann, bob]) = (Arc::new(Locks::default()), users());
        let one = async {
            for _ in 0..100 {
                let _held = locks.hold([&ann, &bob]).await;
                tokio::task::yield_now().await;
            }
        };
        let other = async {
            for _ in 0..100 {
                let _held = locks.hold([&bob, &ann]).await;
                tokio::task::yield_now().await;
            }
        };
        let both = async { tokio::join!(one, other) };
        tokio::time::timeout(std::time::Duration::from_secs(10), both).await.expect("no deadlock");
    }

    #[tokio::test]
    async fn locks_that_nobody_holds_are_swept() {
        let locks = Locks::default();
        for number in 0..10_000 {
            drop(locks.hold([&BareJid::new(&format!("u{number}@here")).unwrap()]).await);
        }
        assert!(locks.0.lock().len() < 100);
    }
}
