//! XML that users keep on the server for themselves (XEP-0049) and for others (XEP-0054), by name.

use jid::BareJid;
use rusqlite::{Connection, OptionalExtension};

use super::{Store, StoreError, accounts::must_exist};

/// The most documents of one user.
pub const MAX_DOCUMENTS: i64 = 64;
/// The most bytes of them, names included.
pub const MAX_BYTES: i64 = 512 << 10;

impl Store {
    /// A document of a user. A short read.
    ///
    /// # Errors
    /// The database failed.
    pub fn document(&self, user: &BareJid, name: &str) -> Result<Option<String>, StoreError> {
        self.inner.readers.read(|db| {
            let mut query = db.prepare_cached("SELECT content FROM documents WHERE user = ?1 AND name = ?2")?;
            Ok(query.query_row([user.as_str(), name], |row| row.get(0)).optional()?)
        })
    }

    /// Stores documents of a user, by name, in the place of older ones: all of them or, if that would be too much for one
    /// user (`false`), none. Durable when it returns.
    ///
    /// # Errors
    /// [`StoreError::UnknownAccount`], or the database failed.
    pub async fn store_documents(&self, user: &BareJid, documents: Vec<(String, String)>) -> Result<bool, StoreError> {
        let user = user.clone();
        let work = move |db: &Connection| {
            must_exist(db, &user)?;
            let stored = fits(db, &user, &documents)?;
            if stored {
                let put = "INSERT OR REPLACE INTO documents (user, name, content) VALUES (?1, ?2, ?3)";
                let mut put = db.prepare_cached(put)?;
                for (name, content) in &documents {
                    put.execute([user.as_str(), name, content])?;
                }
            }
            Ok(stored)
        };
        self.inner.writer.change(work, |_, _| {}).await
    }
}

/// Whether a user may have these documents beside the others.
fn fits(db: &Connection, user: &BareJid, documents: &[(String, String)]) -> Result<bool, StoreError> {
    let mut query = db.prepare_cached("SELECT name, octet_length(content) FROM documents WHERE user = ?1")?;
    let (mut count, mut bytes) = (0, 0);
    let mut rows = query.query([user.as_str()])?;
    while let Some(row) = rows.next()? {
        let (name, length): (String, i64) = (row.get(0)?, row.get(1)?);
        if !documents.iter().any(|(replaced, _)| *replaced == name) {
            count += 1;
            bytes += name.len() as i64 + length;
        }
    }
    let more: usize = documents.iter().map(|(name, content)| name.len() + content.len()).sum();
    Ok(count + documents.len() as i64 <= MAX_DOCUMENTS && bytes + more as i64 <= MAX_BYTES)
}
