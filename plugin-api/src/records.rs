//! What a plugin has the server keep.

use abi_stable::std_types::{RSlice, RVec};

use crate::{
    Error, Host, Jid, Result,
    abi::{
        host_records::{ChangeCode, HostRecordsRef, RecordChangeView},
        visitor::RecordVisitor,
        wire::Status,
    },
    host::refused,
};

/// A change of one record of this plugin.
///
/// ```
/// use plugin_api::RecordChange;
///
/// let changes = [RecordChange::put("seen/alice@example.com", "1"), RecordChange::remove("seen/bob@example.com")];
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordChange {
    key: String,
    value: Option<Vec<u8>>,
    owner: String,
}

impl RecordChange {
    /// Makes a record or replaces it. A key has 1 to 256 bytes, a value up to 64 KiB.
    pub fn put(key: impl Into<String>, value: impl Into<Vec<u8>>) -> RecordChange {
        RecordChange { key: key.into(), value: Some(value.into()), owner: String::new() }
    }

    /// Removes a record, if there is one.
    pub fn remove(key: impl Into<String>) -> RecordChange {
        RecordChange { key: key.into(), value: None, owner: String::new() }
    }

    /// Has the record go when the account of this user of the server is removed.
    pub fn owned_by(self, user: &Jid) -> RecordChange {
        RecordChange { owner: user.bare().to_owned(), ..self }
    }

    fn view(&self) -> RecordChangeView<'_> {
        RecordChangeView {
            key: self.key.as_str().into(),
            value: self.value.as_deref().unwrap_or_default().into(),
            owner: self.owner.as_str().into(),
            code: if self.value.is_some() { ChangeCode::PUT } else { ChangeCode::REMOVE },
        }
    }
}

/// Records: small values by key that the server keeps for the plugin. They survive upgrades, restarts and undeployment, all generations
/// of the plugin share them, and a backup of the server holds them. All of a plugin's take 64 MiB at most.
impl Host {
    /// The value of a record. `None`: there is no such record. Touches no disk.
    pub fn record(self, key: &str) -> Result<Option<Vec<u8>>> {
        self.with_record(key, |value| value.map(<[u8]>::to_vec))
    }

    /// Lends the value of a record to `read`, without a copy. Touches no disk and holds no lock, so that an inline handler may call it.
    pub fn with_record<R>(self, key: &str, read: impl FnOnce(Option<&[u8]>) -> R) -> Result<R> {
        let table = self.records_table()?;
        let (mut read, mut result) = (Some(read), None);
        let status = RecordVisitor::lend(
            |value| result = read.take().map(|read| read(value)),
            |visitor| table.read()(self.tables().context, key.into(), visitor),
        );
        done(status)?;
        result.ok_or_else(|| Error::new("the host did not show the record it read"))
    }

    /// All records whose keys begin with `prefix`, in the order of their keys. Reads the disk.
    pub fn records(self, prefix: &str) -> Result<Vec<(String, Vec<u8>)>> {
        let mut records = RVec::new();
        done(self.records_table()?.list()(self.tables().context, prefix.into(), &mut records))?;
        Ok(records.into_iter().map(|record| (record.key.into(), record.value.into())).collect())
    }

    /// Makes all of these changes, in their order, or none. They are on the disk when it returns, so it waits for one: not from an
    /// inline handler. Meanwhile a reader may see the first of them before the last.
    pub fn change_records(self, changes: &[RecordChange]) -> Result<()> {
        let views: Vec<RecordChangeView<'_>> = changes.iter().map(RecordChange::view).collect();
        done(self.records_table()?.change()(self.tables().context, RSlice::from_slice(&views)))
    }

    fn records_table(self) -> Result<HostRecordsRef> {
        self.need(self.tables().records)
    }
}

fn done(status: Status) -> Result<()> {
    match status {
        Status::OK => Ok(()),
        Status::INVALID => Err(Error::new("a record has a key of 1 to 256 bytes and a value of at most 64 KiB")),
        Status::UNKNOWN => Err(Error::new("the owner of a record has no account on this server")),
        Status::FULL => Err(Error::new("the records of this plugin would take more than 64 MiB")),
        other => Err(refused(other)),
    }
}
