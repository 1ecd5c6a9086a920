//! What is held in memory: read without I/O and without locks, changed only after a commit, by the writer thread.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use arc_swap::ArcSwap;
use foldhash::fast::RandomState;
use jid::BareJid;
use parking_lot::Mutex;
use rusqlite::Connection;

use super::{
    StoreError, accounts,
    blocking::{self, Blocklist},
    offline,
    records::Records,
    roster::{self, Roster, RosterChange},
    settings::{self, Settings},
    status::Goodbyes,
};
use crate::{inline::Inline, stamps::Stamps};

/// Something by a text, mostly about users by their JIDs. The hash is keyed at random; one for cryptography would cost as much as all else of a
/// look.
pub(super) type Map<T> = papaya::HashMap<Box<str>, T, RandomState>;

/// A JID that is looked up for every request: it lies in the entry of its table, and not behind it.
type Address = Inline<30>;

/// The part of the database that is needed faster than a disk can answer.
#[derive(Default)]
pub(super) struct Memory {
    /// Every account, by the text of its JID.
    pub(super) accounts: papaya::HashMap<Address, BareJid, RandomState>,
    /// Every blocklist that is not empty, by the text of its owner's JID.
    pub(super) blocklists: Map<Arc<Blocklist>>,
    /// Every user for whom messages wait, by the text of the JID.
    pub(super) waiting: papaya::HashSet<Box<str>, RandomState>,
    /// The rosters: of all accounts, once they are read.
    pub(super) rosters: Rosters,
    /// What plugins have kept.
    pub(super) records: Records,
    /// What moves on when an account comes or goes, or a record that goes with it changes.
    pub(super) stamps: Arc<Stamps>,
    /// All settings and what plugins declared about them.
    pub(super) settings: ArcSwap<Settings>,
    /// The goodbyes that wait to be written.
    pub(super) goodbyes: Goodbyes,
    /// Why the last commit failed, if it did.
    pub(super) trouble: Mutex<Option<String>>,
}

impl Memory {
    /// Reads all of it again.
    pub(super) fn load(&self, db: &Connection) -> Result<(), StoreError> {
        let accounts = accounts::read_all(db)?;
        let blocklists = blocking::read_all(db)?;
        let waiting = offline::read_waiting(db)?;
        self.settings.store(Arc::new(settings::read_all(db)?));
        self.rosters.forget_all();
        self.records.load(db, &self.stamps)?;
        let known = self.accounts.pin();
        known.retain(|_, user| accounts.binary_search(user).is_ok());
        // Just before a map grows each look into it takes many steps: it has room for everybody from the start.
        known.reserve(accounts.len().saturating_sub(known.len()));
        self.rosters.by_user.pin().reserve(accounts.len());
        let has_few_contacts = roster::count(db)? <= MOST_AT_ONCE;
        for user in accounts {
            if has_few_contacts && let Err(cause) = self.rosters.of(user.as_str(), || roster::read(db, user.as_str())) {
                // It is told to whoever asks for it, too.
                log::error!("the roster of {user}: {cause}");
            }
            known.insert(user.as_str().as_bytes().into(), user);
        }
        // Never cleared first: nobody gets through meanwhile.
        let known = self.blocklists.pin();
        known.retain(|user, _| blocklists.contains_key(user));
        known.reserve(blocklists.len().saturating_sub(known.len()));
        for (user, list) in blocklists {
            known.insert(user, Arc::new(list));
        }
        let known = self.waiting.pin();
        known.retain(|user| waiting.contains(user));
        known.reserve(waiting.len().saturating_sub(known.len()));
        for user in waiting {
            known.insert(user);
        }
        self.stamps.advance_all();
        Ok(())
    }

    /// The accounts whose rosters are not here.
    pub(super) fn without_roster(&self) -> Vec<BareJid> {
        let (accounts, rosters) = (self.accounts.pin(), self.rosters.by_user.pin());
        accounts.values().filter(|user| !rosters.contains_key(user.as_str())).cloned().collect()
    }
}

/// Rosters that a reader fills in and the writer corrects.
///
/// A reader must not put a roster that it read before a commit in place of the one published after it. So each
/// publication counts, and a reader keeps what it read only if nothing was published meanwhile.
#[derive(Default)]
pub(super) struct Rosters {
    by_user: Map<Arc<Roster>>,
    published: AtomicU64,
    publishing: Mutex<()>,
    /// That of whoever has none.
    empty: Arc<Roster>,
}

/// So many contacts, of all rosters together, are read before the server is ready. Where there are more, their rosters are read by a thread while
/// it serves, or as they are asked for.
const MOST_AT_ONCE: i64 = 250_000;

impl Rosters {
    /// The roster of `user`, if it is here.
    pub(super) fn known(&self, user: &str) -> Option<Arc<Roster>> {
        self.by_user.pin().get(user).cloned()
    }

    /// The roster of whoever has none.
    pub(super) fn empty(&self) -> Arc<Roster> {
        self.empty.clone()
    }

    /// The roster of `user`, read by `read` if it is not here.
    pub(super) fn of(
        &self,
        user: &str,
        read: impl FnOnce() -> Result<Roster, StoreError>,
    ) -> Result<Arc<Roster>, StoreError> {
        if let Some(known) = self.known(user) {
            return Ok(known);
        }
        let before = self.published.load(Ordering::Acquire);
        let roster = Arc::new(read()?);
        let _publishing = self.publishing.lock();
        if self.published.load(Ordering::Acquire) == before {
            self.by_user.pin().insert(user.into(), roster.clone());
        }
        Ok(roster)
    }

    /// Begins the roster of a new account.
    pub(super) fn begin(&self, user: &BareJid) {
        self.correct(|rosters| {
            rosters.pin().insert(user.as_str().into(), self.empty());
        });
    }

    /// Replaces the rosters that are here by changed ones.
    pub(super) fn publish(&self, changes: &[RosterChange], versions: &[i64]) {
        self.correct(|rosters| {
            for (change, version) in changes.iter().zip(versions) {
                let rosters = rosters.pin();
                if let Some(old) = rosters.get(change.user.as_str()) {
                    let mut new = Roster::clone(old);
                    change.apply(&mut new, *version);
                    rosters.insert(change.user.as_str().into(), Arc::new(new));
                }
            }
        });
    }

    /// Drops the rosters of these users: the next reader reads them again.
    pub(super) fn forget<'a>(&self, users: impl IntoIterator<Item = &'a BareJid>) {
        self.correct(|rosters| {
            for user in users {
                rosters.pin().remove(user.as_str());
            }
        });
    }

    fn forget_all(&self) {
        self.correct(|rosters| rosters.pin().clear());
    }

    fn correct(&self, correct: impl FnOnce(&Map<Arc<Roster>>)) {
        let _publishing = self.publishing.lock();
        self.published.fetch_add(1, Ordering::AcqRel);
        correct(&self.by_user);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::roster::Item;

    fn bob_added() -> RosterChange {
        let jid = |text: &str| BareJid::new(text).unwrap();
        let item = Some(Item { from: true, ..Item::default() });
        RosterChange { user: jid("ann@x"), contact: jid("bob@x"), item, seen: false }
    }

    #[test]
    fn a_reader_overtaken_by_a_commit_does_not_keep_what_it_read() {
        let rosters = Rosters::default();
        let late = rosters.of("ann@x", || {
            rosters.publish(&[bob_added()], &[0]);
            Ok(Roster::default())
        });
        assert!(late.unwrap().items.is_empty());
        let now = rosters.of("ann@x", || {
            let mut roster = Roster::default();
            bob_added().apply(&mut roster, 0);
            Ok(roster)
        });
        assert_eq!(now.unwrap().items.len(), 1);
    }

    #[test]
    fn a_publication_changes_the_roster_that_is_here() {
        let rosters = Rosters::default();
        rosters.of("ann@x", || Ok(Roster::default())).unwrap();
        rosters.publish(&[bob_added()], &[0]);
        let roster = rosters.of("ann@x", || panic!("it is here")).unwrap();
        assert!(roster.items[&bob_added().contact].from);
    }
}
