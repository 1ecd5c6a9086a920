//! What a plugin may ask of the server.

use std::{collections::BTreeMap, io, path::PathBuf, sync::Arc};

use parking_lot::Mutex;

use super::settings::StoredSettings;
use crate::{presence::Source, stamps::Stamps, store::RecordChange};

/// The server behind a generation. The real one is made of the store and the presence table; the probe has an empty one.
/// All functions may be called from any thread and, but for those that say so, never block.
pub trait Services: Send + Sync + 'static {
    /// The domain that this server serves.
    fn domain(&self) -> &str;
    /// Where presence is read.
    fn presence(&self) -> &dyn Source;
    /// The stamp of what there is to read of `user` for a stranger: presence, account, and records that go with it. To be taken before they are read:
    /// it is higher after each change of them.
    fn stamp(&self, user: &str) -> u64;
    /// What `user` lets `viewer` see, both normalised bare JIDs; an empty viewer is a stranger. Reads the disk only
    /// for a user whose roster is not in memory yet, soon after a start.
    ///
    /// # Errors
    /// The disk could not be read; the text is for the log.
    fn relation(&self, user: &str, viewer: &str) -> Result<Relation, String>;
    /// What the administrator set for a setting, by its full name (`presence.visibility`).
    fn setting(&self, name: &str) -> Option<String>;
    /// All that is stored of the settings of the plugin with this id.
    fn stored_settings(&self, plugin: &str) -> StoredSettings;
    /// Shows a record of the plugin with this id, or that there is none, once.
    fn read_record(&self, plugin: &str, key: &str, read: &mut dyn FnMut(Option<&[u8]>));
    /// The records of a plugin whose keys begin with `prefix`, in the order of their keys. Reads the disk.
    ///
    /// # Errors
    /// The disk could not be read.
    fn records(&self, plugin: &str, prefix: &str) -> Result<Vec<(String, Vec<u8>)>, RecordError>;
    /// Makes all changes of a plugin's records, or none. Waits until they are on the disk.
    ///
    /// # Errors
    /// None was made.
    fn change_records(&self, plugin: &str, changes: Vec<RecordChange>) -> Result<(), RecordError>;
    /// The folder of the plugin with this id, made when missing. Touches the disk.
    ///
    /// # Errors
    /// It could not be made.
    fn data_directory(&self, plugin: &str) -> io::Result<PathBuf>;
    /// Sends a stanza from the address of the plugin with this id.
    ///
    /// # Errors
    /// It is not sent.
    fn send(&self, plugin: &str, stanza: &str) -> Result<(), SendError>;
}

/// The XMPP address of the plugin with this id.
pub fn address(plugin: &str, domain: &str) -> String {
    format!("{plugin}.{domain}")
}

/// Why a plugin's stanza is not sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SendError {
    /// It is no stanza that this plugin may send, for this reason.
    Refused(String),
    /// Too many wait to be sent.
    Full,
}

/// What an account and its roster say about a viewer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Relation {
    /// The user has an account here.
    pub account: bool,
    /// The viewer holds a subscription to the user's presence.
    pub from: bool,
    /// The user holds a subscription to the viewer's presence.
    pub to: bool,
    /// The user blocks the viewer (XEP-0191).
    pub blocked: bool,
}

/// Why records of a plugin could not be read or changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecordError {
    /// A key or value has no good size.
    Size,
    /// They would take more room than a plugin has.
    Full,
    /// The owner of one has no account here.
    UnknownOwner,
    /// The disk failed; the text is for the log.
    Failed(String),
}

/// A server without users, for a plugin on trial.
#[derive(Default)]
pub struct Nobody {
    presence: crate::presence::Table,
    records: Mutex<BTreeMap<Box<str>, Box<[u8]>>>,
    stamps: Stamps,
    folder: PathBuf,
}

impl Nobody {
    /// A server that keeps plugins' data below `folder`.
    pub fn new(folder: PathBuf) -> Arc<Nobody> {
        Arc::new(Nobody { folder, ..Nobody::default() })
    }
}

impl Services for Nobody {
    fn domain(&self) -> &str {
        "localhost"
    }

    fn presence(&self) -> &dyn Source {
        &self.presence
    }

    fn stamp(&self, user: &str) -> u64 {
        self.stamps.of(user)
    }

    fn relation(&self, _user: &str, _viewer: &str) -> Result<Relation, String> {
        Ok(Relation::default())
    }

    fn setting(&self, _name: &str) -> Option<String> {
        None
    }

    fn stored_settings(&self, _plugin: &str) -> StoredSettings {
        StoredSettings::default()
    }

    fn read_record(&self, _plugin: &str, key: &str, read: &mut dyn FnMut(Option<&[u8]>)) {
        let value = self.records.lock().get(key).cloned();
        read(value.as_deref());
    }

    fn records(&self, _plugin: &str, prefix: &str) -> Result<Vec<(String, Vec<u8>)>, RecordError> {
        let records = self.records.lock();
        let below = records.iter().filter(|(key, _)| key.starts_with(prefix));
        Ok(below.map(|(key, value)| (key.to_string(), value.to_vec())).collect())
    }

    fn change_records(&self, _plugin: &str, changes: Vec<RecordChange>) -> Result<(), RecordError> {
        let mut records = self.records.lock();
        for RecordChange { key, record } in changes {
            match record {
                Some(record) => records.insert(key, record.value),
                None => records.remove(&key),
            };
        }
        self.stamps.advance_all();
        Ok(())
    }

    fn data_directory(&self, plugin: &str) -> io::Result<PathBuf> {
        let folder = self.folder.join(plugin);
        std::fs::create_dir_all(&folder)?;
        Ok(folder)
    }

    fn send(&self, _plugin: &str, _stanza: &str) -> Result<(), SendError> {
        Ok(())
    }
}
