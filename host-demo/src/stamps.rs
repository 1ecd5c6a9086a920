//! Stamps of users: numbers by which whoever has read something of a user knows later that it would read the same again.
//!
//! A reader takes the stamp before it reads. A writer makes its change visible and then moves the stamp on, before anybody is told that the change
//! is made. So what was read under a stamp that still holds is what is there.

use std::{
    hash::BuildHasher,
    sync::atomic::{AtomicU64, Ordering},
};

use foldhash::fast::RandomState;

/// So many users have a stamp of their own, if chance is kind; beyond that some share one, and what is known of the one is read again when
/// the other changes. That one of those who share it has changed, though not which, could be told by the time it takes. 8 KiB of numbers
/// stay in the processor's cache where the users' own entries do not.
const PLACES: usize = 1024;

/// The stamps of all users there may be.
pub struct Stamps {
    numbers: [AtomicU64; PLACES],
    hasher: RandomState,
}

impl Default for Stamps {
    fn default() -> Stamps {
        Stamps { numbers: [const { AtomicU64::new(0) }; PLACES], hasher: RandomState::default() }
    }
}

impl Stamps {
    /// The stamp of a user by the normalised bare JID. It only grows.
    pub fn of(&self, user: &str) -> u64 {
        self.place(user).load(Ordering::Acquire)
    }

    /// Something about this user is another from now on.
    pub fn advance(&self, user: &str) {
        self.place(user).fetch_add(1, Ordering::Release);
    }

    /// Something about everybody may be another from now on.
    pub fn advance_all(&self) {
        for number in &self.numbers {
            number.fetch_add(1, Ordering::Release);
        }
    }

    fn place(&self, user: &str) -> &AtomicU64 {
        &self.numbers[self.hasher.hash_one(user) as usize % PLACES]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_of_one_is_one_of_few() {
        let stamps = Stamps::default();
        let users: Vec<String> = (0..100).map(|number| format!("u{number}@x")).collect();
        let before: Vec<u64> = users.iter().map(|user| stamps.of(user)).collect();
        stamps.advance("u7@x");
        let changed = users.iter().zip(&before).filter(|(user, before)| stamps.of(user) > **before).count();
        assert!(stamps.of("u7@x") > before[7] && changed < 10, "{changed}");
        stamps.advance_all();
        assert!(users.iter().zip(&before).all(|(user, before)| stamps.of(user) > *before));
    }
}
