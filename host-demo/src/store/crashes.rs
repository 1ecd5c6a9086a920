//! The crashes of this server that plugins caused, as the next start learns of them.

use std::time::Duration;

use jiff::Timestamp;

use super::{Store, StoreError};

/// How long they are kept: thirty days.
const KEPT: i64 = 30 * 24 * 60 * 60 * 1_000;

/// A crash, and the file that caused it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crash {
    /// The SHA-256 of the file, in lower-case hexadecimal.
    pub sha256: String,
    /// The id of the plugin.
    pub plugin: String,
    /// Its version.
    pub version: String,
    /// Of what the process died.
    pub how: String,
    /// When, in milliseconds since the Unix epoch.
    pub at: i64,
}

impl Store {
    /// How many crashes of the last thirty days each plugin has caused, sorted by plugin.
    ///
    /// # Errors
    /// The database failed.
    pub fn crashes(&self) -> Result<Vec<(String, u64)>, StoreError> {
        let since = Timestamp::now().as_millisecond() - KEPT;
        self.inner.readers.read(|db| {
            let count = "SELECT plugin, count(*) FROM crashes WHERE at > ?1 GROUP BY plugin ORDER BY plugin";
            let mut query = db.prepare_cached(count)?;
            let rows = query.query_map([since], |row| Ok((row.get(0)?, row.get::<_, i64>(1)?.unsigned_abs())))?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    /// Notes a crash, once. Returns how many the same file has caused within `period` up to then.
    ///
    /// # Errors
    /// The database failed.
    pub async fn record_crash(&self, crash: &Crash, period: Duration) -> Result<usize, StoreError> {
        let Crash { sha256, plugin, version, how, at } = crash.clone();
        let since = at.saturating_sub_unsigned(period.as_millis() as u64);
        self.write(move |db| {
            let insert = "INSERT OR IGNORE INTO crashes (at, sha256, plugin, version, how) VALUES (?1, ?2, ?3, ?4, ?5)";
            db.execute(insert, (at, &sha256, plugin, version, how))?;
            db.execute("DELETE FROM crashes WHERE at < ?1", [at - KEPT])?;
            let count = "SELECT count(*) FROM crashes WHERE sha256 = ?1 AND at > ?2";
            let count: i64 = db.query_row(count, (sha256, since), |row| row.get(0))?;
            Ok(usize::try_from(count).unwrap_or(0))
        })
        .await
    }
}
