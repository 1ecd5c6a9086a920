//! Slows down guessing: too many failures for one account from one address, and no more tries for a while.
//!
//! The address is part of the key, so that a guesser never locks the user out of their own account.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    time::{Duration, Instant},
};

use parking_lot::Mutex;

/// The failures after which no password is looked at any more.
const FAILURES: u32 = 10;
/// The time, from the first failure, after which they are forgotten.
const WINDOW: Duration = Duration::from_secs(15 * 60);
/// The most pairs remembered; the oldest makes room.
const PAIRS: usize = 16_384;

/// Counts the failures of each account and address.
#[derive(Default)]
pub struct Throttle {
    failures: Mutex<HashMap<Pair, Failures>>,
}

/// An account, as a bare JID, and the network that tries it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pair {
    account: Box<str>,
    network: IpAddr,
}

impl Pair {
    /// The pair for a try from `address`. Of IPv6 the first 64 bits count: the rest is the client's to choose.
    pub fn new(account: &str, address: IpAddr) -> Pair {
        let network = match address.to_canonical() {
            IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
            v4 => v4,
        };
        Pair { account: account.into(), network }
    }
}

struct Failures {
    first: Instant,
    count: u32,
}

impl Throttle {
    /// Whether this pair has no try left.
    pub fn is_exhausted(&self, pair: &Pair) -> bool {
        self.is_exhausted_at(pair, Instant::now())
    }

    /// Takes one of the pair's tries, before the password is looked at, so that tries made at once are all counted.
    /// `false`: none is left.
    pub fn take(&self, pair: &Pair) -> bool {
        self.take_at(pair, Instant::now())
    }

    /// Forgets the failures of a pair that proved to know the password.
    pub fn forgive(&self, pair: &Pair) {
        self.failures.lock().remove(pair);
    }

    /// Forgets all failures for an account that is gone.
    pub fn forget(&self, account: &str) {
        self.failures.lock().retain(|pair, _| *pair.account != *account);
    }

    fn is_exhausted_at(&self, pair: &Pair, now: Instant) -> bool {
        self.failures.lock().get(pair).is_some_and(|failures| failures.in_force(now) && failures.count >= FAILURES)
    }

    fn take_at(&self, pair: &Pair, now: Instant) -> bool {
        let mut table = self.failures.lock();
        match table.get_mut(pair) {
            Some(failures) if failures.in_force(now) && failures.count >= FAILURES => false,
            Some(failures) if failures.in_force(now) => {
                failures.count += 1;
                if failures.count == FAILURES {
                    log::warn!(
                        "no more logins as {} from {} for a while: {FAILURES} tries failed",
                        pair.account,
                        pair.network
                    );
                }
                true
            }
            _ => {
                make_room(&mut table, now);
                table.insert(pair.clone(), Failures { first: now, count: 1 });
                true
            }
        }
    }
}

impl Failures {
    fn in_force(&self, now: Instant) -> bool {
        now.duration_since(self.first) < WINDOW
    }
}

/// Keeps the table within its bound: what is over goes first, then the oldest half, so that the cost of it is spread
/// over many insertions.
fn make_room(table: &mut HashMap<Pair, Failures>, now: Instant) {
    if table.len() < PAIRS {
        return;
    }
    table.retain(|_, failures| failures.in_force(now));
    if table.len() >= PAIRS {
        let mut ages: Vec<Instant> = table.values().map(|failures| failures.first).collect();
        let (_, middle, _) = ages.select_nth_unstable(PAIRS / 2);
        let middle = *middle;
        table.retain(|_, failures| failures.first > middle);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(account: &str, address: &str) -> Pair {
        Pair::new(account, address.parse().unwrap())
    }

    #[test]
    fn ten_failures_are_all_for_one_account_and_network() {
        let throttle = Throttle::default();
        let now = Instant::now();
        let guesser = pair("ann@x", "2001:db8::1");
        for _ in 0..10 {
            assert!(throttle.take_at(&guesser, now));
        }
        assert!(!throttle.take_at(&guesser, now));
        assert!(throttle.is_exhausted_at(&pair("ann@x", "2001:db8::ffff:2"), now), "the same network");
        assert!(!throttle.is_exhausted_at(&pair("ann@x", "2001:db8:0:1::1"), now), "another network");
        assert!(!throttle.is_exhausted_at(&pair("bob@x", "2001:db8::1"), now), "another account");
        assert!(throttle.take_at(&guesser, now + WINDOW), "failures are forgotten");
    }

    #[test]
    fn a_success_clears_the_failures() {
        let throttle = Throttle::default();
        let user = pair("ann@x", "127.0.0.1");
        for _ in 0..100 {
            assert!(throttle.take(&user));
            throttle.forgive(&user);
        }
    }

    #[test]
    fn the_table_stays_within_its_bound_and_keeps_the_newest() {
        let throttle = Throttle::default();
        let start = Instant::now();
        for i in 0..PAIRS as u64 + 10 {
            throttle.take_at(&pair(&format!("u{i}@x"), "127.0.0.1"), start + Duration::from_millis(i));
        }
        let table = throttle.failures.lock();
        assert!(table.len() <= PAIRS);
        assert!(table.contains_key(&pair(&format!("u{}@x", PAIRS - 1), "127.0.0.1")));
        assert!(!table.contains_key(&pair("u0@x", "127.0.0.1")));
    }
}
