//! Accounts and what proves their passwords (RFC 5802, RFC 7677): stored keys, from which no password can be read.

use std::{fmt, sync::Arc};

use jid::BareJid;
use rusqlite::{Connection, ErrorCode, OptionalExtension};
use serde::{Deserialize, Serialize};

use super::{Store, StoreError, roster};
use crate::stamps::Stamps;

/// What the server keeps of a password.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credentials {
    /// The keys for SCRAM-SHA-1.
    pub scram_sha_1: Keys,
    /// The keys for SCRAM-SHA-256.
    pub scram_sha_256: Keys,
}

/// The keys of one SCRAM mechanism (RFC 5802 section 3).
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keys {
    /// The salt of the password.
    pub salt: Vec<u8>,
    /// The iteration count.
    pub iterations: u32,
    /// `StoredKey`: against it a client's proof is checked.
    pub stored_key: Vec<u8>,
    /// `ServerKey`: with it the server proves that it knows the user.
    pub server_key: Vec<u8>,
}

/// Keys never reach a log: whoever has `ServerKey` can pose as this server.
impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").field("iterations", &self.iterations).finish_non_exhaustive()
    }
}

impl Store {
    /// Whether there is an account. `user` is a bare JID in normalised text form. Costs no I/O and no lock.
    pub fn account_exists(&self, user: &str) -> bool {
        self.inner.memory.accounts.pin().contains_key(user.as_bytes())
    }

    /// What moves on with each change of what is held of a user: the account and the records that go with it. There are stamps of whoever
    /// has no account, too.
    pub fn stamps(&self) -> Arc<Stamps> {
        self.inner.memory.stamps.clone()
    }

    /// All accounts, sorted.
    pub fn accounts(&self) -> Vec<BareJid> {
        let mut users: Vec<_> = self.inner.memory.accounts.pin().values().cloned().collect();
        users.sort();
        users
    }

    /// What proves the password of `user`; `None` for an unknown one. A short read, for whom it is in vain too: a login must
    /// not show in its time who has an account.
    ///
    /// # Errors
    /// The database failed.
    pub fn credentials(&self, user: &str) -> Result<Option<Credentials>, StoreError> {
        self.inner.readers.read(|db| {
            let sha_1 = read_keys(db, user, "SCRAM-SHA-1")?;
            let sha_256 = read_keys(db, user, "SCRAM-SHA-256")?;
            Ok(sha_1.zip(sha_256).map(|(scram_sha_1, scram_sha_256)| Credentials { scram_sha_1, scram_sha_256 }))
        })
    }

    /// Adds an account.
    ///
    /// # Errors
    /// [`StoreError::AlreadyExists`], or the database failed.
    pub async fn add_account(&self, user: &BareJid, credentials: &Credentials) -> Result<(), StoreError> {
        let (added, credentials, published) = (user.clone(), credentials.clone(), user.clone());
        let work = move |db: &Connection| insert(db, &added, &credentials);
        self.inner
            .writer
            .change(work, move |memory, ()| {
                memory.rosters.begin(&published);
                memory.accounts.pin().insert(published.as_str().as_bytes().into(), published.clone());
                memory.stamps.advance(published.as_str());
            })
            .await
    }

    /// Gives an account a new password.
    ///
    /// # Errors
    /// [`StoreError::UnknownAccount`], or the database failed.
    pub async fn set_credentials(&self, user: &BareJid, credentials: &Credentials) -> Result<(), StoreError> {
        let (user, credentials) = (user.clone(), credentials.clone());
        let work = move |db: &Connection| {
            must_exist(db, &user)?;
            write_keys(db, &user, &credentials)
        };
        self.inner.writer.change(work, |_, ()| {}).await
    }

    /// Removes an account with its roster, blocklist, documents, offline messages, last status and what plugins keep of it, in one
    /// transaction with what others keep about it: in their rosters the contact stays with its name and groups but without any
    /// subscription, request or pre-approval, so that a later owner of the name inherits nothing; a contact known only by its request goes.
    /// Who blocks the user still blocks the name.
    ///
    /// Returns the users whose rosters changed thereby, to be told by a roster push.
    ///
    /// # Errors
    /// [`StoreError::UnknownAccount`], or the database failed.
    pub async fn remove_account(&self, user: &BareJid) -> Result<Vec<BareJid>, StoreError> {
        let (removed, published) = (user.clone(), user.clone());
        let work = move |db: &Connection| {
            must_exist(db, &removed)?;
            let owners = forget_contact(db, &removed)?;
            db.execute("DELETE FROM accounts WHERE user = ?1", [removed.as_str()])?;
            Ok(owners)
        };
        let removal = self.inner.writer.change(work, move |memory, owners: &Vec<BareJid>| {
            memory.accounts.pin().remove(published.as_str().as_bytes());
            memory.blocklists.pin().remove(published.as_str());
            memory.waiting.pin().remove(published.as_str());
            memory.records.forget(published.as_str(), &memory.stamps);
            memory.stamps.advance(published.as_str());
            memory.goodbyes.forget(published.as_str());
            memory.rosters.forget(owners.iter().chain([&published]));
        });
        let owners = removal.await?;
        // Nobody who asks is to wait for the disk; what can't be read is told to whoever asks.
        owners.iter().for_each(|owner| drop(self.roster(owner)));
        // The tables are overwritten where they lie, but the log still holds what was there.
        self.inner.writer.empty_log().await;
        Ok(owners)
    }
}

/// All accounts, sorted.
pub(super) fn read_all(db: &Connection) -> Result<Vec<BareJid>, StoreError> {
    let mut query = db.prepare("SELECT user FROM accounts")?;
    let mut users = Vec::new();
    for user in query.query_map([], |row| row.get::<_, String>(0))? {
        users.push(parse("accounts", &user?)?);
    }
    users.sort();
    Ok(users)
}

/// A JID as stored in `table`.
pub(super) fn parse(table: &str, text: &str) -> Result<BareJid, StoreError> {
    BareJid::new(text).map_err(|cause| StoreError::unreadable(format!("{table}, {text:?}"), cause))
}

fn insert(db: &Connection, user: &BareJid, credentials: &Credentials) -> Result<(), StoreError> {
    db.execute("INSERT INTO accounts (user) VALUES (?1)", [user.as_str()]).map_err(|cause| {
        match cause.sqlite_error_code() {
            Some(ErrorCode::ConstraintViolation) => StoreError::AlreadyExists(user.to_string()),
            _ => cause.into(),
        }
    })?;
    write_keys(db, user, credentials)
}

pub(super) fn must_exist(db: &Connection, user: &BareJid) -> Result<(), StoreError> {
    let found = db.prepare_cached("SELECT 1 FROM accounts WHERE user = ?1")?.exists([user.as_str()])?;
    if found { Ok(()) } else { Err(StoreError::UnknownAccount(user.to_string())) }
}

fn write_keys(db: &Connection, user: &BareJid, credentials: &Credentials) -> Result<(), StoreError> {
    let mut insert = db.prepare_cached(
        "INSERT OR REPLACE INTO keys (user, mechanism, salt, iterations, stored_key, server_key)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?;
    for (mechanism, keys) in [("SCRAM-SHA-1", &credentials.scram_sha_1), ("SCRAM-SHA-256", &credentials.scram_sha_256)]
    {
        insert.execute((user.as_str(), mechanism, &keys.salt, keys.iterations, &keys.stored_key, &keys.server_key))?;
    }
    Ok(())
}

fn read_keys(db: &Connection, user: &str, mechanism: &str) -> Result<Option<Keys>, StoreError> {
    let mut query = db.prepare_cached(
        "SELECT salt, iterations, stored_key, server_key FROM keys WHERE user = ?1 AND mechanism = ?2",
    )?;
    let keys = query.query_row((user, mechanism), |row| {
        Ok(Keys { salt: row.get(0)?, iterations: row.get(1)?, stored_key: row.get(2)?, server_key: row.get(3)? })
    });
    Ok(keys.optional()?)
}

fn forget_contact(db: &Connection, contact: &BareJid) -> Result<Vec<BareJid>, StoreError> {
    let mut query = db.prepare_cached("SELECT user FROM roster_items WHERE contact = ?1 ORDER BY user")?;
    let mut owners = Vec::new();
    for owner in query.query_map([contact.as_str()], |row| row.get::<_, String>(0))? {
        owners.push(parse("roster_items", &owner?)?);
    }
    db.execute("DELETE FROM roster_items WHERE contact = ?1 AND NOT listed", [contact.as_str()])?;
    let mut part = db.prepare_cached(
        "UPDATE roster_items SET sub_to = 0, sub_from = 0, ask = 0, approved = 0, request = NULL, version = ?3
         WHERE user = ?1 AND contact = ?2",
    )?;
    for owner in &owners {
        part.execute((owner.as_str(), contact.as_str(), roster::next_version(db, owner.as_str(), false)?))?;
    }
    Ok(owners)
}
