//! The last status of users: the text of the unavailable stanza with which they left. Written behind, because a crowd
//! that leaves at once must not wait for the disk; at most a second of it is lost when the process is killed.

use std::collections::HashMap;

use jid::BareJid;
use parking_lot::Mutex;
use rusqlite::Connection;

use super::{Store, StoreError};

/// Statuses by user, `None` to clear.
pub(super) type Batch = HashMap<Box<str>, Option<String>>;

/// The statuses that wait for the writer.
#[derive(Default)]
pub(super) struct Statuses(Mutex<Batch>);

impl Statuses {
    /// Adds one; the newest of a user wins. Returns whether it is the first that waits.
    fn add(&self, user: &str, status: Option<&str>) -> bool {
        let mut waiting = self.0.lock();
        waiting.insert(user.into(), status.map(String::from));
        waiting.len() == 1
    }

    /// Drops what waits for a user who is gone.
    pub(super) fn forget(&self, user: &str) {
        self.0.lock().remove(user);
    }

    /// Takes all that wait.
    pub(super) fn take(&self) -> Batch {
        std::mem::take(&mut self.0.lock())
    }

    /// Puts back what could not be written, except where something newer waits by now. Returns whether any waits.
    pub(super) fn put_back(&self, batch: Batch) -> bool {
        let mut waiting = self.0.lock();
        for (user, status) in batch {
            waiting.entry(user).or_insert(status);
        }
        !waiting.is_empty()
    }
}

impl Store {
    /// Notes the last status of a user, or that there is none any more. Returns at once; on the disk within a second.
    pub fn record_last_status(&self, user: &BareJid, status: Option<&str>) {
        if self.account_exists(user.as_str()) && self.inner.memory.statuses.add(user.as_str(), status) {
            self.inner.writer.status_waiting();
        }
    }

    /// The last statuses as stored: user and text.
    ///
    /// # Errors
    /// The database failed.
    pub fn last_statuses(&self) -> Result<Vec<(String, String)>, StoreError> {
        self.inner.readers.read(|db| {
            let mut query = db.prepare_cached("SELECT user, status FROM last_statuses ORDER BY user")?;
            let rows = query.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }
}

/// Writes a batch. A user whose account is gone is passed over.
pub(super) fn write(db: &Connection, batch: &Batch) -> Result<(), StoreError> {
    let mut set = db.prepare_cached(
        "INSERT OR REPLACE INTO last_statuses (user, status) SELECT user, ?2 FROM accounts WHERE user = ?1",
    )?;
    let mut clear = db.prepare_cached("DELETE FROM last_statuses WHERE user = ?1")?;
    for (user, status) in batch {
        match status {
            Some(status) => set.execute((user, status))?,
            None => clear.execute([user])?,
        };
    }
    Ok(())
}
