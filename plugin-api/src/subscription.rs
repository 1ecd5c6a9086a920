//! Subscriptions to changes of presence.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use parking_lot::RwLock;

use crate::Host;

type Told = dyn Fn(&Change<'_>) + Send + Sync;

static NEXT: AtomicU64 = AtomicU64::new(1);
static TOLD: RwLock<BTreeMap<u64, Arc<Told>>> = RwLock::new(BTreeMap::new());

/// A change of somebody's presence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change<'a> {
    /// The bare JID of the user whose presence changed.
    pub user: &'a str,
    /// How many changes of this user were left out since the last one told.
    pub lost: u32,
}

/// A running subscription. Dropping it ends it.
pub struct Subscription {
    number: u64,
    host: Host,
}

impl Subscription {
    pub(crate) fn number(&self) -> u64 {
        self.number
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        // The closure is dropped without the lock: what it owns may come back here.
        let told = TOLD.write().remove(&self.number);
        drop(told);
        self.host.unsubscribe(self.number);
    }
}

pub(crate) fn add(host: Host, told: impl Fn(&Change<'_>) + Send + Sync + 'static) -> Subscription {
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    TOLD.write().insert(number, Arc::new(told));
    Subscription { number, host }
}

/// Passes a change on. A subscription that ended meanwhile has nobody left to tell.
pub(crate) fn tell(subscription: u64, change: &Change<'_>) {
    let told = TOLD.read().get(&subscription).cloned();
    if let Some(told) = told {
        told(change);
    }
}

/// Drops what subscriptions left behind: the plugin is stopped.
pub(crate) fn forget_all() {
    let left = std::mem::take(&mut *TOLD.write());
    // Without the lock: what they own may come back here.
    drop(left);
}

#[cfg(test)]
mod tests {
    use std::{sync::mpsc, time::Duration};

    use super::*;
    use crate::host::tests::host;

    #[test]
    fn a_closure_that_owns_another_subscription_is_dropped_without_the_lock() {
        let (done, ended) = mpsc::channel();
        std::thread::spawn(move || {
            let inner = add(host(), |_| ());
            let number = inner.number();
            let outer = add(host(), move |_| assert!(inner.number() > 0));
            drop(outer);
            assert!(!TOLD.read().contains_key(&number));
            done.send(()).unwrap();
        });
        ended.recv_timeout(Duration::from_secs(30)).expect("a dropped subscription waits for its own lock");
    }
}
