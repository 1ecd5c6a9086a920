//! What the state folder says of itself: the domain that it serves, and the password of the console.

use std::fmt;

use rusqlite::{Connection, OptionalExtension};
use serde::{Deserialize, Serialize};

use super::{Store, StoreError};

const DOMAIN: &str = "domain";
const ADMIN_PASSWORD: &str = "admin-password";

/// A password as kept for the console: PBKDF2-HMAC-SHA-256 (RFC 8018 section 5.2).
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PasswordHash {
    /// The salt.
    pub salt: Vec<u8>,
    /// The iteration count.
    pub iterations: u32,
    /// The derived key.
    pub hash: Vec<u8>,
}

/// The hash never reaches a log, where it could be tried against guesses.
impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PasswordHash").field("iterations", &self.iterations).finish_non_exhaustive()
    }
}

impl Store {
    /// The domain whose accounts these are; `None` until it was served or got its first account.
    ///
    /// # Errors
    /// The database failed.
    pub fn domain(&self) -> Result<Option<String>, StoreError> {
        self.inner.readers.read(|db| value(db, DOMAIN))
    }

    /// Notes the domain whose accounts these are. Another one is taken only as long as there is no account.
    ///
    /// # Errors
    /// [`StoreError::OtherDomain`], or the database failed.
    pub async fn claim_domain(&self, domain: &str) -> Result<(), StoreError> {
        let asked = domain.to_owned();
        self.write(move |db| {
            let held = value(db, DOMAIN)?.filter(|held| *held != asked);
            match held {
                Some(held) if has_accounts(db)? => Err(StoreError::OtherDomain { held, asked }),
                _ => set(db, DOMAIN, &asked),
            }
        })
        .await
    }

    /// The password of the console; `None` until one was set.
    ///
    /// # Errors
    /// The database failed.
    pub fn admin_password(&self) -> Result<Option<PasswordHash>, StoreError> {
        let Some(json) = self.inner.readers.read(|db| value(db, ADMIN_PASSWORD))? else { return Ok(None) };
        serde_json::from_str(&json).map(Some).map_err(|cause| StoreError::unreadable("about, admin-password", cause))
    }

    /// Sets the password of the console.
    ///
    /// # Errors
    /// The database failed.
    pub async fn set_admin_password(&self, password: &PasswordHash) -> Result<(), StoreError> {
        let json = serde_json::json!(password).to_string();
        self.write(move |db| set(db, ADMIN_PASSWORD, &json)).await
    }
}

fn set(db: &Connection, name: &str, value: &str) -> Result<(), StoreError> {
    db.execute("INSERT OR REPLACE INTO about (name, value) VALUES (?1, ?2)", (name, value))?;
    Ok(())
}

fn has_accounts(db: &Connection) -> Result<bool, StoreError> {
    Ok(db.prepare_cached("SELECT 1 FROM accounts LIMIT 1")?.exists([])?)
}

fn value(db: &Connection, name: &str) -> Result<Option<String>, StoreError> {
    let mut query = db.prepare_cached("SELECT value FROM about WHERE name = ?1")?;
    Ok(query.query_row([name], |row| row.get(0)).optional()?)
}
