//! What survives a restart: accounts, rosters, blocklists, offline messages, what clients keep, last status, settings, what is known of
//! plugins and what they have kept, in SQLite.
//!
//! # Layout
//! Changes go to one [`writer`] thread, which commits them in groups and answers when they are on the disk. Reads of
//! what is needed often come from [`memory`]; the others are short reads on a connection of [`readers`]. Each kind of
//! data has a module with its types, its methods on [`Store`] and its SQL.
//!
//! Assumed: one process to a state folder, which holds its [`Lock`] before it opens the store.

mod about;
mod accounts;
mod backup;
mod blocking;
mod crashes;
mod documents;
mod error;
mod lock;
mod memory;
mod offline;
mod plugins;
mod readers;
mod records;
pub mod roster;
mod schema;
mod settings;
mod status;
mod waiting;
mod writer;

use std::{
    io,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use jid::BareJid;

pub use self::{
    about::PasswordHash,
    accounts::{Credentials, Keys},
    backup::backup,
    blocking::{Blocklist, BlocklistChange},
    crashes::Crash,
    error::StoreError,
    lock::{Lock, LockError},
    offline::OfflineMessage,
    plugins::{PluginRecord, Quarantined},
    records::{Record, RecordChange},
    roster::RosterChange,
    settings::{PluginSettings, SettingKind, SettingSchema, Settings, SettingsChange, quoted},
    status::Goodbye,
};
use self::{memory::Memory, readers::Readers, writer::Writer};

/// The state of the server. Clones are the same store.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    memory: Arc<Memory>,
    readers: Readers,
    writer: Writer,
    is_closed: AtomicBool,
}

impl Store {
    /// Opens the store of a state folder, making folder (0700) and database if there are none.
    ///
    /// # Errors
    /// A database that is damaged, foreign or newer than this release is refused and left untouched.
    pub fn open(folder: &Path) -> Result<Store, StoreError> {
        lock::make_folder(folder)?;
        let path = schema::path(folder);
        let db = schema::open(&path)?;
        let memory = Arc::new(Memory::default());
        memory.load(&db)?;
        let writer = Writer::start(path.clone(), db, memory.clone()).map_err(StoreError::folder(folder))?;
        let inner = Arc::new(Inner { memory, readers: Readers::new(path), writer, is_closed: AtomicBool::new(false) });
        Inner::read_rosters(&inner).map_err(StoreError::folder(folder))?;
        Ok(Store { inner })
    }

    /// Why the last change could not be committed; `None` when it was.
    pub fn trouble(&self) -> Option<String> {
        self.inner.memory.trouble.lock().clone()
    }

    /// Writes what waits, empties the log into the database and ends the writer; later changes fail with
    /// [`StoreError::Closed`]. Blocks until done. Dropping the last clone does the same.
    pub fn close(&self) {
        self.inner.close();
    }
}

impl Inner {
    /// Has a thread read the rosters that are not in memory yet, if there are any.
    fn read_rosters(inner: &Arc<Inner>) -> io::Result<()> {
        let missing = inner.memory.without_roster();
        if missing.is_empty() {
            return Ok(());
        }
        let inner = Arc::downgrade(inner);
        let read = move || missing.iter().all(|user| inner.upgrade().is_some_and(|inner| inner.reads_roster(user)));
        thread::Builder::new().name("store-rosters".into()).spawn(read).map(drop)
    }

    /// Reads a roster into memory. Answers whether to go on.
    fn reads_roster(&self, user: &BareJid) -> bool {
        // Once more where a change came in between. What can't be read is told to whoever asks for it.
        let is_done = |_| self.roster_of(user.as_str()).is_err() || self.memory.rosters.known(user.as_str()).is_some();
        (0..3).any(is_done);
        !self.is_closed.load(Ordering::Relaxed)
    }

    fn close(&self) {
        self.is_closed.store(true, Ordering::Relaxed);
        // Readers first: the last connection to be closed must be the one that may remove the log.
        self.readers.clear();
        self.writer.close();
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.close();
    }
}

#[cfg(test)]
mod tests;
