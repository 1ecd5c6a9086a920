//! What the state folder says of itself: the domain that it serves, and the password of the console.

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

impl Store {
    /// The domain whose accounts these are; `None` until it was served or got its first account.
    ///
    /// # Errors
    /// The database failed.
    pub fn domain(&self) -> Result<Option<String>, StoreError> {
        self.inner.readers.read(|db| value(db, DOMAIN))
    }

    /// Notes the domain whose accounts these are.
    ///
    /// # Errors
    /// The database failed.
    pub async fn set_domain(&self, domain: &str) -> Result<(), StoreError> {
        self.set_value(DOMAIN, domain.to_owned()).await
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
        self.set_value(ADMIN_PASSWORD, serde_json::json!(password).to_string()).await
    }

    async fn set_value(&self, name: &'static str, value: String) -> Result<(), StoreError> {
        self.write(move |db| {
            db.execute("INSERT OR REPLACE INTO about (name, value) VALUES (?1, ?2)", (name, value))?;
            Ok(())
        })
        .await
    }
}

fn value(db: &Connection, name: &str) -> Result<Option<String>, StoreError> {
    let mut query = db.prepare_cached("SELECT value FROM about WHERE name = ?1")?;
    Ok(query.query_row([name], |row| row.get(0)).optional()?)
}
