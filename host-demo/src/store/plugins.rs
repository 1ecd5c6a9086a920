//! What is known of plugins across restarts: the last good version of each, which are disabled, and the files that are
//! not to be tried again.

use std::collections::BTreeMap;

use rusqlite::Connection;
use serde::{Deserialize, Serialize};

use super::{Store, StoreError};

/// A plugin as it was last seen: its last good version, or what became of the only file it ever had.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginRecord {
    /// Its id: by this it is known, whatever its file is called.
    pub id: String,
    /// Its version.
    pub version: String,
    /// The name of its file in the plugins folder.
    pub file: String,
    /// The SHA-256 of the file, in lower-case hexadecimal.
    pub sha256: String,
    /// The staged copy, relative to the state folder; empty if there is none.
    pub staged: String,
    /// The number of this generation.
    pub generation: u64,
    /// When it got into its state, in milliseconds since the Unix epoch.
    pub since: i64,
    /// Its state: `active`, `refused`...
    pub state: String,
    /// Why it is in that state, where there is something to say.
    pub reason: Option<String>,
    /// The full patterns of its routes.
    pub routes: Vec<String>,
    /// How many earlier generations are still mapped.
    pub retired: u64,
    /// Its name for people.
    pub name: String,
    /// What it does.
    pub description: String,
    /// Who wrote it.
    pub author: String,
    /// Under which licence.
    pub licence: String,
    /// The good version before this one, if there was one. It knows of none before itself.
    #[serde(default)]
    pub previous: Option<Box<PluginRecord>>,
    /// Whether the administrator switched it off. Set by [`Store::disable_plugin`] only: [`Store::save_plugin`] leaves
    /// it as it is.
    #[serde(skip)]
    pub disabled: bool,
}

impl PluginRecord {
    /// The staged copies that it names, relative to the state folder.
    pub fn copies(&self) -> impl Iterator<Item = &str> {
        let versions = std::iter::once(self).chain(self.previous.as_deref());
        versions.map(|version| version.staged.as_str()).filter(|staged| !staged.is_empty())
    }
}

/// A file that must not be tried again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quarantined {
    /// The SHA-256 of the file, in lower-case hexadecimal.
    pub sha256: String,
    /// The id of the plugin that it is, or claims to be.
    pub plugin: String,
    /// What it did.
    pub reason: String,
    /// When, in milliseconds since the Unix epoch.
    pub since: i64,
}

impl Store {
    /// The plugins on record, sorted by id.
    ///
    /// # Errors
    /// The database failed.
    pub fn plugins(&self) -> Result<Vec<PluginRecord>, StoreError> {
        self.inner.readers.read(|db| {
            let mut query = db.prepare_cached("SELECT id, disabled, record FROM plugins ORDER BY id")?;
            let mut rows = query.query([])?;
            let mut plugins = Vec::new();
            while let Some(row) = rows.next()? {
                let id: String = row.get(0)?;
                let record: PluginRecord = serde_json::from_str(&row.get::<_, String>(2)?)
                    .map_err(|cause| StoreError::unreadable(format!("plugins, {id}"), cause))?;
                plugins.push(PluginRecord { disabled: row.get(1)?, ..record });
            }
            Ok(plugins)
        })
    }

    /// Keeps a record in place of the earlier one with its id.
    ///
    /// # Errors
    /// The database failed.
    pub async fn save_plugin(&self, record: &PluginRecord) -> Result<(), StoreError> {
        let (id, json) = (record.id.clone(), serde_json::json!(record).to_string());
        self.write(move |db| {
            let upsert = "INSERT INTO plugins (id, record) VALUES (?1, ?2)
                          ON CONFLICT (id) DO UPDATE SET record = excluded.record";
            db.execute(upsert, (id, json))?;
            Ok(())
        })
        .await
    }

    /// Forgets a plugin. Its settings stay, and the version that it had if it was in service.
    ///
    /// # Errors
    /// [`StoreError::UnknownPlugin`], or the database failed.
    pub async fn remove_plugin(&self, id: &str) -> Result<(), StoreError> {
        let id = id.to_owned();
        self.write(move |db| {
            let note = "INSERT OR REPLACE INTO last_versions (plugin, version)
                        SELECT id, record ->> 'version' FROM plugins WHERE id = ?1 AND record ->> 'state' = 'active'";
            db.execute(note, [&id])?;
            let changed = db.execute("DELETE FROM plugins WHERE id = ?1", [&id])?;
            known(changed, id)
        })
        .await
    }

    /// By id: the versions that plugins had when they were removed.
    ///
    /// # Errors
    /// The database failed.
    pub fn last_versions(&self) -> Result<BTreeMap<String, String>, StoreError> {
        self.inner.readers.read(|db| {
            let mut query = db.prepare_cached("SELECT plugin, version FROM last_versions")?;
            let rows = query.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    /// Notes that the administrator switched a plugin off, or on again.
    ///
    /// # Errors
    /// [`StoreError::UnknownPlugin`], or the database failed.
    pub async fn disable_plugin(&self, id: &str, disabled: bool) -> Result<(), StoreError> {
        let id = id.to_owned();
        self.write(move |db| {
            let changed = db.execute("UPDATE plugins SET disabled = ?2 WHERE id = ?1", (&id, disabled))?;
            known(changed, id)
        })
        .await
    }

    /// The files that must not be tried again.
    ///
    /// # Errors
    /// The database failed.
    pub fn quarantined(&self) -> Result<Vec<Quarantined>, StoreError> {
        self.inner.readers.read(|db| {
            let mut query = db.prepare_cached("SELECT sha256, plugin, reason, since FROM quarantine ORDER BY since")?;
            let rows = query.query_map([], |row| {
                Ok(Quarantined { sha256: row.get(0)?, plugin: row.get(1)?, reason: row.get(2)?, since: row.get(3)? })
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    /// Notes that a file must not be tried again.
    ///
    /// # Errors
    /// The database failed.
    pub async fn quarantine(&self, file: &Quarantined) -> Result<(), StoreError> {
        let file = file.clone();
        self.write(move |db| {
            let insert = "INSERT OR REPLACE INTO quarantine (sha256, plugin, reason, since) VALUES (?1, ?2, ?3, ?4)";
            db.execute(insert, (file.sha256, file.plugin, file.reason, file.since))?;
            Ok(())
        })
        .await
    }

    /// Gives the files of a plugin another chance, their crashes forgotten. Returns how many were in quarantine.
    ///
    /// # Errors
    /// The database failed.
    pub async fn release(&self, plugin: &str) -> Result<usize, StoreError> {
        let plugin = plugin.to_owned();
        self.write(move |db| {
            db.execute("DELETE FROM crashes WHERE plugin = ?1", [&plugin])?;
            Ok(db.execute("DELETE FROM quarantine WHERE plugin = ?1", [plugin])?)
        })
        .await
    }

    /// A change of what is not held in memory.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.inner.writer.change(work, |_, _| {}).await
    }
}

fn known(changed: usize, id: String) -> Result<(), StoreError> {
    if changed > 0 { Ok(()) } else { Err(StoreError::UnknownPlugin(id)) }
}
