//! Messages that wait for a user who is offline (XEP-0160).
//!
//! They are taken out only after they were handed over: a crash in between delivers one twice rather than not at all.

use std::collections::BTreeSet;

use bytes::Bytes;
use jid::BareJid;
use rusqlite::{Connection, ErrorCode};

use super::{Store, StoreError};

/// The most messages that wait for one user.
pub const MAX_MESSAGES: i64 = 1_000;
/// The most bytes of them.
pub const MAX_BYTES: i64 = 4 << 20;

/// A message as it was stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OfflineMessage {
    /// Its number: messages that were stored later have higher ones.
    pub id: i64,
    /// The serialised stanza.
    pub stanza: Bytes,
}

impl Store {
    /// Stores a message for `user`. Durable when it returns; `false`: too many wait already, and nothing was stored.
    ///
    /// # Errors
    /// [`StoreError::UnknownAccount`], or the database failed.
    pub async fn store_offline_message(&self, user: &BareJid, stanza: Bytes) -> Result<bool, StoreError> {
        let user = user.clone();
        let work = move |db: &Connection| {
            let stored = has_room(db, user.as_str(), stanza.len())?;
            if stored {
                insert(db, user.as_str(), &stanza)?;
            }
            Ok((user, stored))
        };
        let stored = self.inner.writer.change(work, |memory, (user, stored)| {
            if *stored {
                memory.waiting.pin().insert(user.as_str().into());
            }
        });
        stored.await.map(|(_, stored)| stored)
    }

    /// Whether messages wait for a user. Costs no I/O and no lock.
    pub fn has_offline_messages(&self, user: &BareJid) -> bool {
        self.inner.memory.waiting.pin().contains(user.as_str())
    }

    /// The first messages that wait for a user, in the order in which they were stored: at least one, if any waits, and
    /// no more than fit into `bytes`. A short read.
    ///
    /// # Errors
    /// The database failed.
    pub fn offline_messages(&self, user: &BareJid, bytes: usize) -> Result<Vec<OfflineMessage>, StoreError> {
        self.inner.readers.read(|db| {
            let sql = "SELECT id, stanza FROM offline_messages WHERE user = ?1 ORDER BY id";
            let mut query = db.prepare_cached(sql)?;
            let mut rows = query.query([user.as_str()])?;
            let (mut messages, mut size) = (Vec::new(), 0);
            while let Some(row) = rows.next()? {
                let stanza = Bytes::copy_from_slice(row.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?);
                size += stanza.len();
                if !messages.is_empty() && size > bytes {
                    break;
                }
                messages.push(OfflineMessage { id: row.get(0)?, stanza });
            }
            Ok(messages)
        })
    }

    /// Takes out messages of a user that were handed over.
    ///
    /// # Errors
    /// The database failed: they wait on.
    pub async fn remove_offline_messages(&self, user: &BareJid, ids: Vec<i64>) -> Result<(), StoreError> {
        let user = user.clone();
        let work = move |db: &Connection| {
            let mut delete = db.prepare_cached("DELETE FROM offline_messages WHERE user = ?1 AND id = ?2")?;
            for id in ids {
                delete.execute((user.as_str(), id))?;
            }
            let more =
                db.prepare_cached("SELECT 1 FROM offline_messages WHERE user = ?1 LIMIT 1")?.exists([user.as_str()])?;
            Ok((user, more))
        };
        let removed = self.inner.writer.change(work, |memory, (user, more)| {
            if !more {
                memory.waiting.pin().remove(user.as_str());
            }
        });
        removed.await.map(drop)
    }
}

/// The users for whom messages wait.
pub(super) fn read_waiting(db: &Connection) -> Result<BTreeSet<Box<str>>, StoreError> {
    let mut query = db.prepare("SELECT DISTINCT user FROM offline_messages")?;
    let users = query.query_map([], |row| row.get(0))?;
    Ok(users.collect::<Result<_, _>>()?)
}

fn has_room(db: &Connection, user: &str, more: usize) -> Result<bool, StoreError> {
    // The length of a blob is known without reading it.
    let sql = "SELECT count(*), ifnull(sum(length(stanza)), 0) FROM offline_messages WHERE user = ?1";
    let (count, bytes): (i64, i64) = db.prepare_cached(sql)?.query_row([user], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(count < MAX_MESSAGES && bytes + more as i64 <= MAX_BYTES)
}

fn insert(db: &Connection, user: &str, stanza: &[u8]) -> Result<(), StoreError> {
    let mut insert = db.prepare_cached("INSERT INTO offline_messages (user, stanza) VALUES (?1, ?2)")?;
    match insert.execute((user, stanza)) {
        Ok(_) => Ok(()),
        // The one constraint that can be broken: the account is gone.
        Err(cause) if cause.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => {
            Err(StoreError::UnknownAccount(user.into()))
        }
        Err(cause) => Err(cause.into()),
    }
}
