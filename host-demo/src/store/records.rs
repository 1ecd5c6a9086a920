//! The records of plugins: small values by key, all held in memory, each perhaps with a user with whose account it goes.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use plugin_api::abi::host_records::{LONGEST_KEY, LONGEST_VALUE, MOST_BYTES};
use rusqlite::Connection;

use super::{Store, StoreError, memory::Map, waiting::block_on};
use crate::stamps::Stamps;

/// A change of one record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordChange {
    /// Its key.
    pub key: Box<str>,
    /// What it is from now on; `None`: it is removed, if it is there.
    pub record: Option<Record>,
}

/// What is kept under a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The value.
    pub value: Box<[u8]>,
    /// The user, a bare JID, with whose account it goes.
    pub owner: Option<Box<str>>,
}

/// The records of all plugins, by the plugin's id.
#[derive(Default)]
pub(super) struct Records(Map<Arc<OfPlugin>>);

#[derive(Default)]
struct OfPlugin {
    by_key: Map<Arc<Record>>,
    /// What keys and values take.
    bytes: AtomicU64,
    /// What those take that are on their way to the disk.
    on_the_way: AtomicU64,
}

/// Room for a change, taken until the change is made or has failed.
struct Reserved {
    records: Arc<OfPlugin>,
    bytes: u64,
}

impl Store {
    /// Shows a record of a plugin. Costs no I/O and no lock.
    pub fn with_record<R>(&self, plugin: &str, key: &str, read: impl FnOnce(Option<&[u8]>) -> R) -> R {
        let plugins = self.inner.memory.records.0.pin();
        let Some(records) = plugins.get(plugin) else { return read(None) };
        read(records.by_key.pin().get(key).map(|record| &*record.value))
    }

    /// What the records of each plugin take, keys included, sorted by the plugin's id. Costs no I/O.
    pub fn records_sizes(&self) -> Vec<(String, u64)> {
        let plugins = self.inner.memory.records.0.pin();
        let sizes = plugins.iter().map(|(plugin, records)| (plugin.to_string(), records.bytes.load(Ordering::Acquire)));
        let mut sizes: Vec<_> = sizes.collect();
        sizes.sort_unstable();
        sizes
    }

    /// The records of a plugin whose keys begin with `prefix`, in the order of their keys.
    ///
    /// # Errors
    /// The database failed.
    pub fn records(&self, plugin: &str, prefix: &str) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        self.inner.readers.read(|db| {
            // By the index up to the first key that is no longer below the prefix. Text is compared byte by byte.
            let sql = "SELECT key, value FROM plugin_records WHERE plugin = ?1 AND key >= ?2 ORDER BY key";
            let mut query = db.prepare_cached(sql)?;
            let mut rows = query.query((plugin, prefix))?;
            let mut records = Vec::new();
            while let Some(row) = rows.next()? {
                let key: String = row.get(0)?;
                if !key.starts_with(prefix) {
                    break;
                }
                records.push((key, row.get(1)?));
            }
            Ok(records)
        })
    }

    /// As [`change_records`](Store::change_records), for a thread that may wait.
    ///
    /// # Errors
    /// The same.
    pub fn change_records_blocking(&self, plugin: &str, changes: Vec<RecordChange>) -> Result<(), StoreError> {
        block_on(self.change_records(plugin, changes))
    }

    /// Makes all changes of records of a plugin, in their order, or none. Durable and visible when it returns; a reader may see the first
    /// before the last.
    ///
    /// # Errors
    /// [`StoreError::RecordSize`], [`StoreError::RecordsFull`], [`StoreError::UnknownAccount`] for an owner without one, or the database failed.
    pub async fn change_records(&self, plugin: &str, changes: Vec<RecordChange>) -> Result<(), StoreError> {
        if !changes.iter().all(has_good_size) {
            return Err(StoreError::RecordSize);
        }
        let records = self.inner.memory.records.of(plugin);
        let room = records.reserve(&changes).ok_or_else(|| StoreError::RecordsFull(plugin.into()))?;
        let plugin = plugin.to_owned();
        let work = move |db: &Connection| {
            changes.iter().try_for_each(|change| write(db, &plugin, change))?;
            Ok(changes)
        };
        self.inner
            .writer
            .change(work, move |memory, changes| room.records.apply(changes, &memory.stamps))
            .await
            .map(drop)
    }
}

impl Records {
    /// Puts what the database holds in place of what is here. Nothing is cleared first: no reader misses what was there all the time.
    pub(super) fn load(&self, db: &Connection, stamps: &Stamps) -> Result<(), StoreError> {
        let mut found = BTreeSet::new();
        let mut query = db.prepare("SELECT plugin, key, owner, value FROM plugin_records")?;
        let mut rows = query.query([])?;
        while let Some(row) = rows.next()? {
            let (plugin, key): (Box<str>, Box<str>) = (row.get(0)?, row.get(1)?);
            let record = Record { owner: row.get(2)?, value: row.get::<_, Vec<u8>>(3)?.into() };
            self.of(&plugin).apply(&[RecordChange { key: key.clone(), record: Some(record) }], stamps);
            found.insert((plugin, key));
        }
        let is_gone = |plugin: &str, key: &str| !found.contains(&(plugin.into(), key.into()));
        self.remove(|plugin, key, _| is_gone(plugin, key), stamps);
        Ok(())
    }

    /// Removes the records that belong to this user.
    pub(super) fn forget(&self, owner: &str, stamps: &Stamps) {
        self.remove(|_, _, record| record.owner.as_deref() == Some(owner), stamps);
    }

    fn remove(&self, is_gone: impl Fn(&str, &str, &Record) -> bool, stamps: &Stamps) {
        for (plugin, records) in &self.0.pin() {
            let keys = records.by_key.pin();
            let gone = keys.iter().filter(|(key, record)| is_gone(plugin, key, record));
            let removed = |key: &str| RecordChange { key: key.into(), record: None };
            records.apply(&gone.map(|(key, _)| removed(key)).collect::<Vec<_>>(), stamps);
        }
    }

    fn of(&self, plugin: &str) -> Arc<OfPlugin> {
        self.0.pin().get_or_insert_with(plugin.into(), Arc::default).clone()
    }
}

impl OfPlugin {
    /// Takes room for what the changes add. Whoever only removes or shortens gets through even when all is taken.
    fn reserve(self: &Arc<Self>, changes: &[RecordChange]) -> Option<Reserved> {
        let room = Reserved { records: self.clone(), bytes: self.growth(changes) };
        let on_the_way = self.on_the_way.fetch_add(room.bytes, Ordering::AcqRel) + room.bytes;
        let fits = room.bytes == 0 || self.bytes.load(Ordering::Acquire) + on_the_way <= MOST_BYTES;
        fits.then_some(room)
    }

    fn growth(&self, changes: &[RecordChange]) -> u64 {
        let known = self.by_key.pin();
        let grows = |change: &RecordChange| {
            let before = known.get(&change.key).map_or(0, |record| size(&change.key, record));
            let after = change.record.as_ref().map_or(0, |record| size(&change.key, record));
            after.saturating_sub(before)
        };
        changes.iter().map(grows).sum()
    }

    /// Only the writer thread comes here, and the load before it is started.
    fn apply(&self, changes: &[RecordChange], stamps: &Stamps) {
        let known = self.by_key.pin();
        for RecordChange { key, record } in changes {
            let before = match record {
                Some(record) => {
                    self.bytes.fetch_add(size(key, record), Ordering::AcqRel);
                    known.insert(key.clone(), Arc::new(record.clone()))
                }
                None => known.remove(key),
            };
            let freed = before.map_or(0, |record| size(key, record));
            self.bytes.fetch_sub(freed, Ordering::AcqRel);
            let owners = [before.map(|record| &**record), record.as_ref()].into_iter().flatten();
            owners.filter_map(|record| record.owner.as_deref()).for_each(|owner| stamps.advance(owner));
        }
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.records.on_the_way.fetch_sub(self.bytes, Ordering::AcqRel);
    }
}

fn size(key: &str, record: &Record) -> u64 {
    (key.len() + record.value.len()) as u64
}

fn has_good_size(change: &RecordChange) -> bool {
    let value = change.record.as_ref().map_or(0, |record| record.value.len());
    (1..=LONGEST_KEY).contains(&change.key.len()) && value <= LONGEST_VALUE
}

fn write(db: &Connection, plugin: &str, RecordChange { key, record }: &RecordChange) -> Result<(), StoreError> {
    let Some(Record { value, owner }) = record else {
        db.prepare_cached("DELETE FROM plugin_records WHERE plugin = ?1 AND key = ?2")?.execute((plugin, &**key))?;
        return Ok(());
    };
    if let Some(owner) = owner {
        let mut account = db.prepare_cached("SELECT 1 FROM accounts WHERE user = ?1")?;
        if !account.exists([&**owner])? {
            return Err(StoreError::UnknownAccount(owner.to_string()));
        }
    }
    let put = "INSERT OR REPLACE INTO plugin_records (plugin, key, owner, value) VALUES (?1, ?2, ?3, ?4)";
    db.prepare_cached(put)?.execute((plugin, &**key, owner.as_deref(), &**value))?;
    Ok(())
}
