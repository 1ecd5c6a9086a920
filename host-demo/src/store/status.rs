//! The goodbyes of users: the unavailable stanza with which they left (RFC 6121 section 4.3.2), and its text, the last
//! status. Written behind, because a crowd that leaves at once must not wait for the disk; at most a second of it is lost
//! when the process is killed.

use std::{collections::HashMap, mem, sync::Arc};

use jid::BareJid;
use parking_lot::Mutex;
use rusqlite::{Connection, OptionalExtension, Row};

use super::{Store, StoreError};

/// How a user left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Goodbye {
    /// The text of the stanza's status, if it had one.
    pub status: Option<String>,
    /// The stanza, serialised, its `from` the full JID of the resource.
    pub stanza: String,
    /// When, in milliseconds since the Unix epoch.
    pub at: i64,
}

/// Goodbyes by user, `None` to clear.
pub(super) type Batch = HashMap<Box<str>, Option<Goodbye>>;

/// The goodbyes that wait for the writer, and those that it is about to write: until they are in the database they are
/// read here.
#[derive(Default)]
pub(super) struct Goodbyes(Mutex<(Batch, Arc<Batch>)>);

impl Goodbyes {
    /// Adds one; the newest of a user wins. Returns whether it is the first that waits.
    fn add(&self, user: &str, goodbye: Option<Goodbye>) -> bool {
        let (waiting, _) = &mut *self.0.lock();
        waiting.insert(user.into(), goodbye);
        waiting.len() == 1
    }

    /// What is not in the database yet; `None`: ask there.
    fn of(&self, user: &str) -> Option<Option<Goodbye>> {
        let (waiting, leaving) = &*self.0.lock();
        waiting.get(user).or_else(|| leaving.get(user)).cloned()
    }

    /// Drops what waits for a user who is gone.
    pub(super) fn forget(&self, user: &str) {
        self.0.lock().0.remove(user);
    }

    /// Takes all that wait, to be written.
    pub(super) fn take(&self) -> Arc<Batch> {
        let (waiting, leaving) = &mut *self.0.lock();
        *leaving = Arc::new(mem::take(waiting));
        leaving.clone()
    }

    /// What was taken is in the database.
    pub(super) fn written(&self) {
        self.0.lock().1 = Arc::default();
    }

    /// Puts back what could not be written, except where something newer waits by now. Returns whether any waits.
    pub(super) fn put_back(&self) -> bool {
        let (waiting, leaving) = &mut *self.0.lock();
        for (user, goodbye) in mem::take(leaving).iter() {
            waiting.entry(user.clone()).or_insert_with(|| goodbye.clone());
        }
        !waiting.is_empty()
    }
}

impl Store {
    /// Notes how a user left, or, with `None`, that the user is back. Returns at once; on the disk within a second.
    pub fn record_goodbye(&self, user: &BareJid, goodbye: Option<Goodbye>) {
        if self.account_exists(user.as_str()) && self.inner.memory.goodbyes.add(user.as_str(), goodbye) {
            self.inner.writer.status_waiting();
        }
    }

    /// How these users left, of whom it is known.
    ///
    /// # Errors
    /// The database failed.
    pub fn goodbyes(&self, users: &[&BareJid]) -> Result<Vec<Goodbye>, StoreError> {
        let mut found = Vec::new();
        if users.is_empty() {
            return Ok(found);
        }
        self.inner.readers.read(|db| {
            let mut query = db.prepare_cached(
                "SELECT status, stanza, at FROM last_statuses WHERE user = ?1 AND stanza IS NOT NULL",
            )?;
            for user in users {
                let stored = |row: &Row<'_>| {
                    let status: String = row.get(0)?;
                    let status = Some(status).filter(|status| !status.is_empty());
                    Ok(Goodbye { status, stanza: row.get(1)?, at: row.get(2)? })
                };
                let waiting = self.inner.memory.goodbyes.of(user.as_str());
                found.extend(match waiting {
                    Some(goodbye) => goodbye,
                    None => query.query_row([user.as_str()], stored).optional()?,
                });
            }
            Ok(found)
        })
    }

    /// How users left, as stored, for those who left a text or of whom it is known when: user, text and time.
    ///
    /// # Errors
    /// The database failed.
    pub fn last_statuses(&self) -> Result<Vec<(String, String, i64)>, StoreError> {
        self.inner.readers.read(|db| {
            let mut query = db.prepare_cached("SELECT user, status, at FROM last_statuses ORDER BY user")?;
            let rows = query.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }
}

/// Writes a batch. A user whose account is gone is passed over.
pub(super) fn write(db: &Connection, batch: &Batch) -> Result<(), StoreError> {
    let mut set = db.prepare_cached(
        "INSERT OR REPLACE INTO last_statuses (user, status, stanza, at)
         SELECT user, ?2, ?3, ?4 FROM accounts WHERE user = ?1",
    )?;
    let mut clear = db.prepare_cached("DELETE FROM last_statuses WHERE user = ?1")?;
    for (user, goodbye) in batch {
        match goodbye {
            Some(Goodbye { status, stanza, at }) => {
                set.execute((user, status.as_deref().unwrap_or_default(), stanza, at))?
            }
            None => clear.execute([user])?,
        };
    }
    Ok(())
}
