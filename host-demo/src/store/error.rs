//! What can go wrong with the state folder, told to the administrator.

use std::{fmt, io, path::PathBuf, sync::Arc};

/// Why the store refused or failed.
#[derive(Clone, Debug)]
pub enum StoreError {
    /// The state folder or a file in it can't be made or read.
    Folder {
        /// The folder or file.
        path: PathBuf,
        /// What the system said.
        cause: Arc<io::Error>,
    },
    /// The file is damaged.
    Corrupt {
        /// The database file.
        path: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
    /// The file is not one of ours.
    Foreign {
        /// The file.
        path: PathBuf,
        /// What it is instead.
        detail: String,
    },
    /// A newer release wrote the file.
    Newer {
        /// The database file.
        path: PathBuf,
        /// The schema it has.
        found: i32,
        /// The newest schema known here.
        known: i32,
    },
    /// The last run did not end cleanly and the log with its last changes is gone.
    LogMissing {
        /// Where the log should be.
        path: PathBuf,
        /// The file that says that the last run did not end cleanly.
        marker: PathBuf,
    },
    /// The accounts in the folder belong to another domain.
    OtherDomain {
        /// The domain of the accounts.
        held: String,
        /// The domain that was asked for.
        asked: String,
    },
    /// The account is there already.
    AlreadyExists(String),
    /// No such account.
    UnknownAccount(String),
    /// No such plugin on record.
    UnknownPlugin(String),
    /// A plugin's record without a key, or with a key or value that is too long.
    RecordSize,
    /// The records of a plugin take all the room that they may take.
    RecordsFull(String),
    /// A stored value that this release can't read.
    Unreadable {
        /// The table and row.
        row: String,
        /// What is wrong with it.
        detail: String,
    },
    /// The log can't be emptied after a failure, because somebody reads it.
    LogInUse(PathBuf),
    /// A backup could not be made.
    Backup {
        /// The file that it should be in.
        file: PathBuf,
        /// Why not.
        detail: String,
    },
    /// The database failed: nothing of the request was kept.
    Database(Arc<rusqlite::Error>),
    /// The store was closed: the host is ending.
    Closed,
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StoreError::Folder { path, cause } => write!(f, "state: {}: {cause}", path.display()),
            StoreError::Corrupt { path, detail } => write!(
                f,
                "state: {} is damaged ({detail}): restore it from a backup, or move the state folder away to start empty",
                path.display()
            ),
            StoreError::Foreign { path, detail } => {
                write!(f, "state: {} {detail}: it is left untouched; choose another --state folder", path.display())
            }
            StoreError::Newer { path, found, known } => write!(
                f,
                "state: {} has schema {found}, this release knows up to {known}: run the newer release again",
                path.display()
            ),
            StoreError::LogMissing { path, marker } => write!(
                f,
                "state: {} is missing, and with it the last changes of a run that did not end cleanly: put it back, or \
                 delete {} to go on without them",
                path.display(),
                marker.display()
            ),
            StoreError::OtherDomain { held, asked } => write!(
                f,
                "domain {asked}: the accounts in the state folder are of {held}: serve {held}, or choose another --state \
                 folder"
            ),
            StoreError::AlreadyExists(user) => write!(f, "account {user}: there already"),
            StoreError::UnknownAccount(user) => write!(f, "account {user}: not on this server"),
            StoreError::UnknownPlugin(id) => write!(f, "plugin {id}: not known here"),
            StoreError::RecordSize => f.write_str("a record has a key of 1 to 256 bytes and a value of at most 64 KiB"),
            StoreError::RecordsFull(id) => write!(f, "plugin {id}: its records would take more than 64 MiB"),
            StoreError::Unreadable { row, detail } => write!(f, "state: {row}: unreadable: {detail}"),
            StoreError::LogInUse(path) => {
                write!(f, "state: {}: the log can't be emptied while it is read: nothing was changed", path.display())
            }
            StoreError::Backup { file, detail } => write!(f, "backup: {}: {detail}", file.display()),
            StoreError::Database(cause) => write!(f, "state: the database failed, nothing was changed: {cause}"),
            StoreError::Closed => f.write_str("state: the store is closed, the host is ending"),
        }
    }
}

impl std::error::Error for StoreError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            StoreError::Folder { cause, .. } => Some(cause.as_ref()),
            StoreError::Database(cause) => Some(cause.as_ref()),
            _ => None,
        }
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(cause: rusqlite::Error) -> Self {
        StoreError::Database(Arc::new(cause))
    }
}

impl StoreError {
    pub(super) fn folder(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> StoreError {
        let path = path.into();
        move |cause| StoreError::Folder { path, cause: Arc::new(cause) }
    }

    /// Whether the disk or the file failed, rather than the one change that met it.
    pub(super) fn is_of_the_disk(&self) -> bool {
        use rusqlite::ErrorCode::{DatabaseCorrupt, DiskFull, NotADatabase, OutOfMemory, ReadOnly, SystemIoFailure};
        let StoreError::Database(cause) = self else { return false };
        matches!(
            cause.sqlite_error_code(),
            Some(DatabaseCorrupt | DiskFull | NotADatabase | OutOfMemory | ReadOnly | SystemIoFailure)
        )
    }

    /// Whether something was not written that the system may take for written from now on.
    pub(super) fn is_of_writing(&self) -> bool {
        let StoreError::Database(cause) = self else { return false };
        cause.sqlite_error_code() == Some(rusqlite::ErrorCode::SystemIoFailure)
    }

    pub(super) fn unreadable(row: impl Into<String>, detail: impl fmt::Display) -> StoreError {
        StoreError::Unreadable { row: row.into(), detail: detail.to_string() }
    }
}
