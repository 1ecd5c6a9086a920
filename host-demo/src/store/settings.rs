//! Settings by name (`presence.visibility`) and what plugins declared about them, so that a value can be checked while
//! the plugin is not running.

use std::{collections::BTreeMap, sync::Arc};

use rusqlite::Connection;
use serde::{Deserialize, Serialize};

use super::{Store, StoreError};

/// All settings at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// The values that were set, by full name (`presence.visibility`).
    pub values: BTreeMap<String, String>,
    /// What each plugin declared, by its id.
    pub schemas: BTreeMap<String, Vec<SettingSchema>>,
}

/// One setting as its plugin declared it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettingSchema {
    /// The name below the plugin's id: `visibility`.
    pub name: String,
    /// What values it takes.
    pub kind: SettingKind,
    /// The value while none is set.
    pub default: String,
    /// A short title for forms.
    pub label: String,
    /// A sentence of help.
    pub help: String,
}

/// What values a setting takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum SettingKind {
    /// One line of text.
    Text,
    /// One of these words.
    Choice {
        /// The words.
        values: Vec<String>,
    },
    /// A whole number within bounds.
    Integer {
        /// The smallest.
        min: i64,
        /// The largest.
        max: i64,
    },
    /// `true` or `false`.
    Boolean,
    /// Host names separated by commas; empty for any.
    Hosts,
}

impl Settings {
    /// The declaration of a setting, by full name.
    pub fn schema(&self, name: &str) -> Option<&SettingSchema> {
        self.declared().find(|(full, _)| full == name).map(|(_, schema)| schema)
    }

    /// Every declared setting with its full name, in the order of plugins and of their declarations.
    pub fn declared(&self) -> impl Iterator<Item = (String, &SettingSchema)> {
        self.schemas.iter().flat_map(|(plugin, schemas)| {
            schemas.iter().map(move |schema| (format!("{plugin}.{}", schema.name), schema))
        })
    }

    /// The plugin that a full name belongs to, if it declared its settings here.
    pub fn plugin_of(&self, name: &str) -> Option<&str> {
        self.schemas
            .keys()
            .map(String::as_str)
            .find(|id| name.strip_prefix(id).is_some_and(|rest| rest.starts_with('.')))
    }
}

impl Store {
    /// All settings at this moment. Costs no I/O.
    pub fn settings(&self) -> Arc<Settings> {
        self.inner.memory.settings.load_full()
    }

    /// The value of a setting, if one was set. Costs no I/O.
    pub fn setting(&self, name: &str) -> Option<String> {
        self.inner.memory.settings.load().values.get(name).cloned()
    }

    /// Sets a value. It is the caller who checks it.
    ///
    /// # Errors
    /// The database failed.
    pub async fn set_setting(&self, name: &str, value: &str) -> Result<(), StoreError> {
        let row = (name.to_owned(), value.to_owned());
        let work = move |db: &Connection| {
            db.execute("INSERT OR REPLACE INTO settings (name, value) VALUES (?1, ?2)", (&row.0, &row.1))?;
            Ok(row)
        };
        self.change_settings(work, |settings, (name, value)| {
            settings.values.insert(name, value);
        })
        .await
    }

    /// Takes back a value: the declared default holds again.
    ///
    /// # Errors
    /// The database failed.
    pub async fn clear_setting(&self, name: &str) -> Result<(), StoreError> {
        let name = name.to_owned();
        let work = move |db: &Connection| {
            db.execute("DELETE FROM settings WHERE name = ?1", [&name])?;
            Ok(name)
        };
        self.change_settings(work, |settings, name| {
            settings.values.remove(&name);
        })
        .await
    }

    /// Keeps what a plugin declared, in place of what it declared before.
    ///
    /// # Errors
    /// The database failed.
    pub async fn set_setting_schemas(&self, plugin: &str, schemas: Vec<SettingSchema>) -> Result<(), StoreError> {
        let row = (plugin.to_owned(), schemas);
        let work = move |db: &Connection| {
            let json = serde_json::json!(row.1).to_string();
            db.execute("INSERT OR REPLACE INTO setting_schemas (plugin, schema) VALUES (?1, ?2)", (&row.0, json))?;
            Ok(row)
        };
        self.change_settings(work, |settings, (plugin, schemas)| {
            settings.schemas.insert(plugin, schemas);
        })
        .await
    }

    async fn change_settings<T: Clone + Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
        apply: impl FnOnce(&mut Settings, T) + Send + 'static,
    ) -> Result<(), StoreError> {
        let publish = move |memory: &super::memory::Memory, row: &T| {
            let mut settings = Settings::clone(&memory.settings.load());
            apply(&mut settings, row.clone());
            memory.settings.store(Arc::new(settings));
        };
        self.inner.writer.change(work, publish).await.map(drop)
    }
}

/// All settings as stored.
pub(super) fn read_all(db: &Connection) -> Result<Settings, StoreError> {
    let mut values = db.prepare("SELECT name, value FROM settings")?;
    let values = values.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<_, _>>()?;
    let mut query = db.prepare("SELECT plugin, schema FROM setting_schemas")?;
    let mut rows = query.query([])?;
    let mut schemas = BTreeMap::new();
    while let Some(row) = rows.next()? {
        let plugin: String = row.get(0)?;
        let declared = serde_json::from_str(&row.get::<_, String>(1)?)
            .map_err(|cause| StoreError::unreadable(format!("setting_schemas, {plugin}"), cause))?;
        schemas.insert(plugin, declared);
    }
    Ok(Settings { values, schemas })
}
