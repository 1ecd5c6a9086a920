//! Settings by name (`presence.visibility`) and what plugins declared about them, so that a value can be checked while
//! the plugin is not running.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use rusqlite::{Connection, OptionalExtension};
use serde::{Deserialize, Serialize};

use super::{Store, StoreError};
use crate::address::dns_name;

/// All settings at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// The values that were set, by full name (`presence.visibility`).
    pub values: BTreeMap<String, String>,
    /// What each plugin declared, by its id.
    pub schemas: BTreeMap<String, Vec<SettingSchema>>,
    /// The version of each plugin's settings, by its id.
    pub versions: BTreeMap<String, u32>,
    /// What the settings of plugins were before their last migrations, oldest first.
    pub before: BTreeMap<String, Vec<PluginSettings>>,
}

/// The values that were set for one plugin, by their names below its id, and the version of its settings that they are of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginSettings {
    /// 0: no version of the plugin was in service yet.
    pub version: u32,
    /// The values.
    pub values: BTreeMap<String, String>,
}

/// A change of a plugin's settings from one version to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingsChange {
    /// What they must be for the change to be made.
    pub from: PluginSettings,
    /// What they become.
    pub to: PluginSettings,
}

/// How many migrations of a plugin's settings can be taken back: more versions than that are not on probation at a time.
const KEPT: usize = 4;

impl SettingsChange {
    /// What there is to go back to after it, if that is what there was before it.
    fn earlier(&self, mut earlier: Vec<PluginSettings>) -> Vec<PluginSettings> {
        let goes_back = self.to.version < self.from.version;
        earlier.retain(|settings| settings.version < self.from.version.min(self.to.version));
        if !goes_back {
            earlier.push(self.from.clone());
            earlier.drain(..earlier.len().saturating_sub(KEPT));
        }
        earlier
    }
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
    /// IP addresses separated by commas; empty for none.
    Addresses,
}

impl Settings {
    /// What holds for a setting: the value that was set if its declaration takes it, otherwise the declared default. Of a
    /// setting that nobody declared: the value that was set.
    pub fn effective(&self, name: &str) -> Option<&str> {
        let set = self.values.get(name).map(String::as_str);
        match self.schema(name) {
            Some(schema) => Some(set.filter(|value| schema.kind.check(value).is_ok()).unwrap_or(&schema.default)),
            None => set,
        }
    }

    /// Checks a value before it is set. `Ok(None)`: the plugin has not said yet what it takes.
    ///
    /// # Errors
    /// What is wrong and what would be right, for the administrator.
    pub fn check(&self, name: &str, value: &str) -> Result<Option<String>, String> {
        match self.schema(name) {
            Some(schema) => schema.kind.check(value).map(Some),
            None => self.must_be_undeclared(name).map(|()| None),
        }
    }

    /// Fails for a name that a plugin known here did not declare, naming those that it did.
    ///
    /// # Errors
    /// As for [`Settings::check`].
    pub fn must_be_undeclared(&self, name: &str) -> Result<(), String> {
        let Some((plugin, schemas)) = self.schemas.iter().find(|(id, _)| below(name, id).is_some()) else {
            return Ok(());
        };
        let names: Vec<_> = schemas.iter().map(|schema| format!("{plugin}.{}", schema.name)).collect();
        match names.as_slice() {
            [] => Err(format!("plugin {plugin} has no settings")),
            _ => Err(format!("plugin {plugin} has no such setting: it has {}", names.join(", "))),
        }
    }

    /// The declaration of a setting, by full name.
    pub fn schema(&self, name: &str) -> Option<&SettingSchema> {
        self.schemas.iter().find_map(|(plugin, schemas)| {
            let below = below(name, plugin)?;
            schemas.iter().find(|schema| schema.name == below)
        })
    }

    /// The values that were set for a plugin.
    pub fn of_plugin(&self, plugin: &str) -> PluginSettings {
        let values = self.values.iter().filter_map(|(name, value)| Some((below(name, plugin)?.into(), value.clone())));
        PluginSettings { version: self.versions.get(plugin).copied().unwrap_or_default(), values: values.collect() }
    }

    fn change(&mut self, plugin: &str, change: SettingsChange, schemas: Vec<SettingSchema>) {
        self.values.retain(|name, _| below(name, plugin).is_none());
        self.values.extend(change.to.values.iter().map(|(name, value)| (format!("{plugin}.{name}"), value.clone())));
        self.schemas.insert(plugin.into(), schemas);
        self.versions.insert(plugin.into(), change.to.version);
        let earlier = change.earlier(self.before.remove(plugin).unwrap_or_default());
        self.before.insert(plugin.into(), earlier);
    }

    /// Every declared setting with its full name, in the order of plugins and of their declarations.
    pub fn declared(&self) -> impl Iterator<Item = (String, &SettingSchema)> {
        self.schemas.iter().flat_map(|(plugin, schemas)| {
            schemas.iter().map(move |schema| (format!("{plugin}.{}", schema.name), schema))
        })
    }
}

impl SettingKind {
    /// What values it takes, in words.
    pub fn takes(&self) -> String {
        match self {
            SettingKind::Text => "one line of text".into(),
            SettingKind::Choice { values } => format!("one of {}", values.join(", ")),
            SettingKind::Integer { min, max } => format!("a whole number from {min} to {max}"),
            SettingKind::Boolean => "true or false".into(),
            SettingKind::Hosts => "host names, separated by commas".into(),
            SettingKind::Addresses => "IP addresses, separated by commas".into(),
        }
    }

    /// Checks a value and gives it back in its plain form: white space around it, and the case of a host name or of a
    /// boolean, say nothing.
    ///
    /// # Errors
    /// What would be right.
    pub fn check(&self, value: &str) -> Result<String, String> {
        let value = value.trim();
        let plain = match self {
            SettingKind::Text => (!value.chars().any(char::is_control)).then(|| value.to_owned()),
            SettingKind::Choice { values } => values.iter().find(|known| *known == value).cloned(),
            SettingKind::Integer { min, max } => {
                let number = value.parse::<i64>().ok().filter(|number| (*min..=*max).contains(number));
                number.map(|number| number.to_string())
            }
            SettingKind::Boolean => {
                Some(value.to_ascii_lowercase()).filter(|word| matches!(word.as_str(), "true" | "false"))
            }
            SettingKind::Hosts => return list(value, host),
            SettingKind::Addresses => return list(value, ip_address),
        };
        plain.ok_or_else(|| format!("expected {}", self.takes()))
    }
}

/// A value as it is repeated to whoever set it: in quotes, and no longer than a line.
pub fn quoted(value: &str) -> String {
    let mut characters = value.chars();
    let beginning: String = characters.by_ref().take(LONGEST_QUOTE).collect();
    let rest = if characters.next().is_some() { "..." } else { "" };
    format!("{beginning:?}{rest}")
}

/// How many characters of a value are repeated.
const LONGEST_QUOTE: usize = 80;

/// The entries of a list in their plain form. Empty ones say nothing.
fn list(value: &str, entry: impl Fn(&str) -> Result<String, String>) -> Result<String, String> {
    let entries = value.split(',').map(str::trim).filter(|text| !text.is_empty()).map(entry);
    Ok(entries.collect::<Result<Vec<_>, _>>()?.join(","))
}

/// What a full name says below the id of its plugin; `None` for a name of another plugin.
fn below<'a>(name: &'a str, plugin: &str) -> Option<&'a str> {
    name.strip_prefix(plugin)?.strip_prefix('.')
}

/// One IP address of a list. An IPv4 address that is written as one of IPv6 is that IPv4 address.
fn ip_address(text: &str) -> Result<String, String> {
    let wrong = |_| {
        format!(
            "{} is no IP address: expected addresses separated by commas, such as 192.0.2.7,2001:db8::1",
            quoted(text)
        )
    };
    text.parse::<IpAddr>().map(|address| address.to_canonical().to_string()).map_err(wrong)
}

/// One host name of a list (RFC 1123 section 2.1), in lower case, as the DNS has it, and without the dot of the root.
fn host(text: &str) -> Result<String, String> {
    let host = dns_name(text.strip_suffix('.').unwrap_or(text)).to_ascii_lowercase();
    let label = |label: &str| {
        label.len() <= 63
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !(label.is_empty() || label.starts_with('-') || label.ends_with('-'))
    };
    if host.len() <= 253 && host.split('.').all(label) {
        Ok(host)
    } else {
        Err(format!(
            "{} is no host name: expected names separated by commas, such as www.example.com,example.org",
            quoted(text)
        ))
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

    /// Keeps what a plugin declared, in place of what it declared before. `version` is that of its settings, noted if none was.
    ///
    /// # Errors
    /// The database failed.
    pub async fn set_setting_schemas(
        &self,
        plugin: &str,
        version: u32,
        schemas: Vec<SettingSchema>,
    ) -> Result<(), StoreError> {
        let row = (plugin.to_owned(), schemas);
        let work = move |db: &Connection| {
            let json = serde_json::json!(row.1).to_string();
            let upsert = "INSERT INTO setting_schemas (plugin, schema, version) VALUES (?1, ?2, ?3)
                          ON CONFLICT (plugin) DO UPDATE SET schema = excluded.schema";
            db.execute(upsert, (&row.0, json, version))?;
            Ok(row)
        };
        self.change_settings(work, move |settings, (plugin, schemas)| {
            settings.versions.entry(plugin.clone()).or_insert(version);
            settings.schemas.insert(plugin, schemas);
        })
        .await
    }

    /// Changes the settings of a plugin from one version to another: values, declarations and number in one transaction. What they were is
    /// kept beside them. `false`: they are not what they should be, somebody set one meanwhile; nothing was changed.
    ///
    /// # Errors
    /// The database failed; nothing was changed.
    pub async fn change_plugin_settings(
        &self,
        plugin: &str,
        change: SettingsChange,
        schemas: Vec<SettingSchema>,
    ) -> Result<bool, StoreError> {
        let row = (plugin.to_owned(), change, schemas);
        let work = move |db: &Connection| match read_plugin(db, &row.0)? == row.1.from {
            true => write_plugin(db, &row.0, &row.1, &row.2).map(|()| Some(row)),
            false => Ok(None),
        };
        let publish = |memory: &super::memory::Memory, row: &Option<(String, SettingsChange, Vec<SettingSchema>)>| {
            if let Some((plugin, change, schemas)) = row.clone() {
                let mut settings = Settings::clone(&memory.settings.load());
                settings.change(&plugin, change, schemas);
                memory.settings.store(Arc::new(settings));
            }
        };
        Ok(self.inner.writer.change(work, publish).await?.is_some())
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
    let mut settings = Settings { values, ..Settings::default() };
    let mut query = db.prepare("SELECT plugin, schema, version, before FROM setting_schemas")?;
    let mut rows = query.query([])?;
    while let Some(row) = rows.next()? {
        let plugin: String = row.get(0)?;
        let unreadable = |cause| StoreError::unreadable(format!("setting_schemas, {plugin}"), cause);
        let declared = serde_json::from_str(&row.get::<_, String>(1)?).map_err(unreadable)?;
        let before: Option<String> = row.get(3)?;
        if before.is_some() {
            settings.before.insert(plugin.clone(), read_before(&plugin, before)?);
        }
        settings.versions.insert(plugin.clone(), row.get(2)?);
        settings.schemas.insert(plugin, declared);
    }
    Ok(settings)
}

fn read_before(plugin: &str, text: Option<String>) -> Result<Vec<PluginSettings>, StoreError> {
    let Some(text) = text else { return Ok(Vec::new()) };
    serde_json::from_str(&text).map_err(|cause| StoreError::unreadable(format!("setting_schemas, {plugin}"), cause))
}

/// The settings of one plugin as stored. Its id holds no character that LIKE or GLOB would take for another.
fn read_plugin(db: &Connection, plugin: &str) -> Result<PluginSettings, StoreError> {
    let mut version = db.prepare_cached("SELECT version FROM setting_schemas WHERE plugin = ?1")?;
    let version = version.query_row([plugin], |row| row.get(0)).optional()?.unwrap_or_default();
    let mut values = db.prepare_cached("SELECT name, value FROM settings WHERE name GLOB ?1 || '.*'")?;
    let below = |name: String| name[plugin.len() + 1..].to_owned();
    let values = values.query_map([plugin], |row| Ok((below(row.get(0)?), row.get(1)?)))?;
    Ok(PluginSettings { version, values: values.collect::<Result<_, _>>()? })
}

fn write_plugin(
    db: &Connection,
    plugin: &str,
    change: &SettingsChange,
    schemas: &[SettingSchema],
) -> Result<(), StoreError> {
    db.execute("DELETE FROM settings WHERE name GLOB ?1 || '.*'", [plugin])?;
    let mut insert = db.prepare_cached("INSERT INTO settings (name, value) VALUES (?1 || '.' || ?2, ?3)")?;
    for (name, value) in &change.to.values {
        insert.execute((plugin, name, value))?;
    }
    let schemas = serde_json::json!(schemas).to_string();
    let mut earlier = db.prepare_cached("SELECT before FROM setting_schemas WHERE plugin = ?1")?;
    let earlier = earlier.query_row([plugin], |row| row.get(0)).optional()?.flatten();
    let earlier = read_before(plugin, earlier)?;
    let before = serde_json::json!(change.earlier(earlier)).to_string();
    let replace = "INSERT OR REPLACE INTO setting_schemas (plugin, schema, version, before) VALUES (?1, ?2, ?3, ?4)";
    db.execute(replace, (plugin, schemas, change.to.version, before))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn declared(name: &str, kind: SettingKind, default: &str) -> SettingSchema {
        SettingSchema { name: name.into(), kind, default: default.into(), label: String::new(), help: String::new() }
    }

    fn presence() -> Settings {
        let visibility = SettingKind::Choice { values: vec!["anyone".into(), "subscribed".into()] };
        let schemas = vec![declared("visibility", visibility, "subscribed"), declared("hosts", SettingKind::Hosts, "")];
        Settings { schemas: BTreeMap::from([("presence".into(), schemas)]), ..Settings::default() }
    }

    #[test]
    fn a_value_is_checked_by_its_kind() {
        let cases = [
            (SettingKind::Text, " Away today ", Some("Away today")),
            (SettingKind::Text, "a\nb", None),
            (SettingKind::Integer { min: 1, max: 9 }, "+7", Some("7")),
            (SettingKind::Integer { min: 1, max: 9 }, "10", None),
            (SettingKind::Boolean, "True", Some("true")),
            (SettingKind::Boolean, "yes", None),
            (SettingKind::Hosts, "WWW.example.com, a.org ,", Some("www.example.com,a.org")),
            (SettingKind::Hosts, "a.org., Müller.Example", Some("a.org,xn--mller-kva.example")),
            (SettingKind::Hosts, "a.org..", None),
            (SettingKind::Hosts, ".", None),
            (SettingKind::Hosts, "mü ller.example", None),
            (SettingKind::Hosts, "http://a.org", None),
            (SettingKind::Hosts, "-a.org", None),
            (
                SettingKind::Addresses,
                " 192.0.2.1,, ::FFFF:192.0.2.2, 2001:DB8:0::1 ",
                Some("192.0.2.1,192.0.2.2,2001:db8::1"),
            ),
            (SettingKind::Addresses, " , ", Some("")),
            (SettingKind::Addresses, "10.0.0.0/8", None),
            (SettingKind::Addresses, "192.0.2.1, x", None),
            (SettingKind::Addresses, "*", None),
            (SettingKind::Addresses, "127.0.0.1:80", None),
            (SettingKind::Addresses, "[::1]", None),
        ];
        for (kind, value, expected) in cases {
            assert_eq!(kind.check(value).ok().as_deref(), expected, "{kind:?} {value:?}");
        }
    }

    #[test]
    fn a_wrong_value_is_repeated_in_part() {
        let long = "x".repeat(100_000);
        for kind in [SettingKind::Addresses, SettingKind::Hosts] {
            let reason = kind.check(&long).unwrap_err();
            assert!(
                reason.starts_with("\"xxx") && reason.contains("x\"... is no ") && reason.len() < 300,
                "{kind:?}: {reason}"
            );
        }
        assert_eq!((quoted("short"), quoted("\n")), ("\"short\"".into(), "\"\\n\"".into()));
    }

    #[test]
    fn an_undeclared_name_of_a_known_plugin_is_refused_with_the_names_it_has() {
        let settings = presence();
        let refused = settings.check("presence.visible", "anyone").unwrap_err();
        assert!(refused.contains("presence.visibility, presence.hosts"), "{refused}");
        assert_eq!(settings.check("presence2.visible", "anyone"), Ok(None));
        assert_eq!(settings.check("presence.visibility", "anyone"), Ok(Some("anyone".into())));
    }

    #[test]
    fn a_stored_value_that_is_no_longer_taken_gives_way_to_the_default() {
        let mut settings = presence();
        assert_eq!(settings.effective("presence.visibility"), Some("subscribed"));
        settings.values.insert("presence.visibility".into(), "anyone".into());
        assert_eq!(settings.effective("presence.visibility"), Some("anyone"));
        settings.values.insert("presence.visibility".into(), "everyone".into());
        assert_eq!(settings.effective("presence.visibility"), Some("subscribed"));
        assert_eq!(settings.effective("other.thing"), None);
    }

    fn of(version: u32, values: &[(&str, &str)]) -> PluginSettings {
        let values = values.iter().map(|(name, value)| ((*name).into(), (*value).into()));
        PluginSettings { version, values: values.collect() }
    }

    async fn with_settings(folder: &std::path::Path) -> Store {
        let store = Store::open(folder).unwrap();
        store.set_setting("lamp.tone", "warm").await.unwrap();
        store.set_setting("lamp2.tone", "cold").await.unwrap();
        store.set_setting_schemas("lamp", 1, vec![declared("tone", SettingKind::Text, "")]).await.unwrap();
        store
    }

    #[tokio::test]
    async fn a_plugins_settings_change_whole_and_back() {
        let folder = tempfile::tempdir().unwrap();
        let store = with_settings(folder.path()).await;
        let (old, new) = (of(1, &[("tone", "warm")]), of(2, &[("hue", "warm"), ("dim", "true")]));
        assert_eq!(store.settings().of_plugin("lamp"), old);
        let schemas = vec![declared("hue", SettingKind::Text, "")];
        let change = SettingsChange { from: old.clone(), to: new.clone() };
        assert!(store.change_plugin_settings("lamp", change, schemas.clone()).await.unwrap());
        // What is held in memory and what is read at the next start are the same.
        let in_memory = store.settings();
        store.close();
        let store = Store::open(folder.path()).unwrap();
        assert_eq!(*store.settings(), *in_memory);
        assert_eq!((store.settings().of_plugin("lamp"), &store.settings().schemas["lamp"]), (new.clone(), &schemas));
        assert_eq!(store.settings().before["lamp"], std::slice::from_ref(&old));
        assert_eq!(store.setting("lamp2.tone").as_deref(), Some("cold"));

        // A version that is published again does not lower or raise the number.
        store.set_setting_schemas("lamp", 1, schemas.clone()).await.unwrap();
        assert_eq!(store.settings().versions["lamp"], 2);
        let back = SettingsChange { from: new, to: old.clone() };
        assert!(store.change_plugin_settings("lamp", back, schemas).await.unwrap());
        assert_eq!((store.settings().of_plugin("lamp"), store.settings().before["lamp"].len()), (old, 0));
    }

    #[test]
    fn what_there_is_to_go_back_to_is_older_and_not_endless() {
        let change = |from, to| SettingsChange { from: of(from, &[]), to: of(to, &[]) };
        let versions = |earlier: &[PluginSettings]| earlier.iter().map(|settings| settings.version).collect::<Vec<_>>();
        let earlier = (1..=5).fold(Vec::new(), |earlier, from| change(from, from + 1).earlier(earlier));
        assert_eq!(versions(&earlier), [2, 3, 4, 5]);
        assert_eq!(versions(&change(6, 3).earlier(earlier)), [2]);
    }

    #[tokio::test]
    async fn a_setting_that_was_set_meanwhile_stops_the_change() {
        let folder = tempfile::tempdir().unwrap();
        let store = with_settings(folder.path()).await;
        let change = SettingsChange { from: store.settings().of_plugin("lamp"), to: of(2, &[]) };
        store.set_setting("lamp.tone", "white").await.unwrap();
        let before = store.settings();
        assert!(!store.change_plugin_settings("lamp", change, Vec::new()).await.unwrap());
        assert_eq!(*store.settings(), *before);
        store.close();
        assert_eq!(*Store::open(folder.path()).unwrap().settings(), *before);
    }
}
