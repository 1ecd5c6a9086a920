//! Connections for reading: in WAL mode a reader waits for nobody and nobody waits for it.

use std::path::PathBuf;

use parking_lot::Mutex;
use rusqlite::Connection;

use super::{StoreError, schema};

/// How many idle connections are kept.
const KEPT: usize = 4;

/// A small pool. A reader that finds it empty opens a connection of its own.
pub(super) struct Readers {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
}

impl Readers {
    pub(super) fn new(path: PathBuf) -> Self {
        Readers { path, idle: Mutex::new(Vec::with_capacity(KEPT)) }
    }

    /// Runs one short read. A connection that failed is not used again.
    pub(super) fn read<T>(&self, read: impl FnOnce(&Connection) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let idle = self.idle.lock().pop();
        let db = match idle {
            Some(db) => db,
            None => schema::reading(&self.path)?,
        };
        let value = read(&db)?;
        let mut idle = self.idle.lock();
        if idle.len() < KEPT {
            idle.push(db);
        }
        Ok(value)
    }

    /// Closes the idle connections.
    pub(super) fn clear(&self) {
        self.idle.lock().clear();
    }
}
