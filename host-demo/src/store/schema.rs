//! The database file: how it is made, opened, checked and upgraded.
//!
//! A new file gets its tables under another name and is renamed when complete, so `state.db` is whole or absent, and an
//! empty one is never a half-made one of ours. A file that is damaged, foreign or newer than this release is refused
//! and left untouched.

use std::{
    fs::{self, File, OpenOptions},
    io::Read,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::{Connection, OpenFlags, config::DbConfig};

use super::StoreError;

/// How long another connection is waited for.
const BUSY: Duration = Duration::from_secs(5);

/// Marks our files in the header of the database ("hdpr").
const APPLICATION_ID: i32 = 0x6864_7072;

/// What takes the schema from one version to the next; its number is the count of the steps taken. Steps that were
/// released never change: a change of the schema is a new step.
const STEPS: [&str; 8] = [
    "
    CREATE TABLE about (
        name TEXT PRIMARY KEY,
        value TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE accounts (
        user TEXT PRIMARY KEY
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE keys (
        user TEXT NOT NULL REFERENCES accounts ON DELETE CASCADE,
        mechanism TEXT NOT NULL,
        salt BLOB NOT NULL,
        iterations INTEGER NOT NULL,
        stored_key BLOB NOT NULL,
        server_key BLOB NOT NULL,
        PRIMARY KEY (user, mechanism)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE roster_items (
        user TEXT NOT NULL REFERENCES accounts ON DELETE CASCADE,
        contact TEXT NOT NULL,
        name TEXT,
        group_names TEXT NOT NULL,
        sub_to INTEGER NOT NULL,
        sub_from INTEGER NOT NULL,
        ask INTEGER NOT NULL,
        approved INTEGER NOT NULL,
        request TEXT,
        listed INTEGER NOT NULL,
        PRIMARY KEY (user, contact)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX roster_items_by_contact ON roster_items (contact);
    CREATE TABLE blocked_jids (
        user TEXT NOT NULL REFERENCES accounts ON DELETE CASCADE,
        jid TEXT NOT NULL,
        PRIMARY KEY (user, jid)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE last_statuses (
        user TEXT PRIMARY KEY REFERENCES accounts ON DELETE CASCADE,
        status TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE settings (
        name TEXT PRIMARY KEY,
        value TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE setting_schemas (
        plugin TEXT PRIMARY KEY,
        schema TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE plugins (
        id TEXT PRIMARY KEY,
        disabled INTEGER NOT NULL DEFAULT 0,
        record TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE quarantine (
        sha256 TEXT PRIMARY KEY,
        plugin TEXT NOT NULL,
        reason TEXT NOT NULL,
        since INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
",
    "
    CREATE TABLE last_versions (
        plugin TEXT PRIMARY KEY,
        version TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;
",
    // Which version of a plugin's settings the values are of, and what they were before the last migrations.
    "
    ALTER TABLE setting_schemas ADD COLUMN version INTEGER NOT NULL DEFAULT 1;
    ALTER TABLE setting_schemas ADD COLUMN before TEXT;
",
    "
    CREATE TABLE crashes (
        at INTEGER NOT NULL,
        sha256 TEXT NOT NULL,
        plugin TEXT NOT NULL,
        version TEXT NOT NULL,
        how TEXT NOT NULL,
        PRIMARY KEY (at, sha256)
    ) STRICT, WITHOUT ROWID;
",
    // Numbers are never used twice: one that is taken out late must not take a newer message with it.
    "
    CREATE TABLE offline_messages (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        user TEXT NOT NULL REFERENCES accounts ON DELETE CASCADE,
        stanza BLOB NOT NULL
    ) STRICT;
    CREATE INDEX offline_messages_by_user ON offline_messages (user);
",
    // The whole of the last unavailable stanza, with its time in milliseconds; and the versions of rosters.
    "
    ALTER TABLE last_statuses ADD COLUMN stanza TEXT;
    ALTER TABLE last_statuses ADD COLUMN at INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE roster_items ADD COLUMN version INTEGER NOT NULL DEFAULT 0;
    CREATE TABLE roster_versions (
        user TEXT PRIMARY KEY REFERENCES accounts ON DELETE CASCADE,
        version INTEGER NOT NULL,
        whole_before INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
",
    // What plugins keep. A value may take sixteen pages, hence the numbered rows.
    "
    CREATE TABLE plugin_records (
        plugin TEXT NOT NULL,
        key TEXT NOT NULL,
        owner TEXT REFERENCES accounts ON DELETE CASCADE,
        value BLOB NOT NULL,
        PRIMARY KEY (plugin, key)
    ) STRICT;
    CREATE INDEX plugin_records_by_owner ON plugin_records (owner);
",
    // What users keep on the server. A document may take many pages, hence the numbered rows.
    "
    CREATE TABLE documents (
        user TEXT NOT NULL REFERENCES accounts ON DELETE CASCADE,
        name TEXT NOT NULL,
        content TEXT NOT NULL,
        PRIMARY KEY (user, name)
    ) STRICT;
",
];

/// Where the database of a state folder is.
pub(super) fn path(folder: &Path) -> PathBuf {
    folder.join("state.db")
}

/// A file that is there while the database is in use. Found at the start, it says that the last run did not end
/// cleanly, so that its write-ahead log must be there too.
pub(super) fn marker(path: &Path) -> PathBuf {
    path.with_extension("db-in-use")
}

/// Opens the database, made if there is none, for writing. The caller holds the only connection and the folder's lock.
pub(super) fn open(path: &Path) -> Result<Connection, StoreError> {
    match File::open(path) {
        Ok(file) => check_file(path, file)?,
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => create(path)?,
        Err(cause) => return Err(StoreError::folder(path)(cause)),
    }
    let mut db = writing(path).map_err(|cause| refused(path, cause))?;
    check(path, &db)?;
    // This writes even where there is no step to take, so the log exists before the marker promises it.
    upgrade(&mut db)?;
    File::create(marker(path)).map_err(StoreError::folder(path))?;
    Ok(db)
}

/// Opens the database for the writer thread.
pub(super) fn writing(path: &Path) -> rusqlite::Result<Connection> {
    let db = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    db.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(()))?;
    db.pragma_update(None, "synchronous", "full")?;
    db.pragma_update(None, "foreign_keys", true)?;
    db.pragma_update(None, "trusted_schema", false)?;
    // What is deleted is overwritten: a message that was delivered, an account that was removed.
    db.pragma_update_and_check(None, "secure_delete", true, |_| Ok(()))?;
    db.pragma_update(None, "wal_autocheckpoint", 1000)?;
    db.pragma_update(None, "journal_size_limit", 4 << 20)?;
    Ok(db)
}

/// Empties the log into the database, so that it holds nothing of what was deleted. `false`: a reader is in the way.
pub(super) fn empty_log(db: &Connection) -> rusqlite::Result<bool> {
    db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0).map(|busy: bool| !busy))
}

/// As [`empty_log`], without waiting for readers: a backup may take its time, and changes must not wait for it.
pub(super) fn try_to_empty_log(db: &Connection) -> rusqlite::Result<bool> {
    db.busy_timeout(Duration::ZERO)?;
    let emptied = empty_log(db);
    db.busy_timeout(BUSY)?;
    match emptied {
        Err(cause) if cause.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseBusy) => Ok(false),
        emptied => emptied,
    }
}

/// Opens the database for reading only.
pub(super) fn reading(path: &Path) -> rusqlite::Result<Connection> {
    connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY)
}

/// Opens the database, whoever uses it, to be copied.
pub(super) fn source(path: &Path) -> Result<Connection, StoreError> {
    check_file(path, File::open(path).map_err(StoreError::folder(path))?)?;
    reading(path).map_err(|cause| refused(path, cause))
}

/// Ends the use of the database: empties the log into it, drops the marker, and only then lets the engine remove the
/// log. Killed or failing on the way, it leaves the log or a file that needs none.
///
/// # Errors
/// The log could not be emptied. It stays, with the marker, and is used at the next start.
pub(super) fn close(path: &Path, db: Connection) -> Result<(), StoreError> {
    if empty_log(&db)? {
        let marker = marker(path);
        fs::remove_file(&marker).map_err(StoreError::folder(&marker))?;
        keep_log(&db, false)?;
    }
    db.close().map_err(|(_, cause)| cause.into())
}

fn connect(path: &Path, access: OpenFlags) -> rusqlite::Result<Connection> {
    let db = Connection::open_with_flags(path, access | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    db.busy_timeout(BUSY)?;
    keep_log(&db, true)?;
    Ok(db)
}

/// Left alone, the last connection to be closed removes the log: after a failure it would be missed at the next start.
fn keep_log(db: &Connection, keep: bool) -> rusqlite::Result<()> {
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, keep).map(drop)
}

/// What can be told from the first bytes, before the database engine may touch the file.
fn check_file(path: &Path, mut file: File) -> Result<(), StoreError> {
    let foreign = |detail: &str| Err(StoreError::Foreign { path: path.into(), detail: detail.into() });
    let mut header = [0; 100];
    match file.read_exact(&mut header) {
        Err(cause) if cause.kind() == std::io::ErrorKind::UnexpectedEof => {
            return foreign("is too short to be a database");
        }
        other => other.map_err(StoreError::folder(path))?,
    }
    if !header.starts_with(b"SQLite format 3\0") {
        return foreign("is no SQLite database");
    }
    // The application id, big-endian, at offset 68 (SQLite file format, section 1.3).
    if header[68..72] != APPLICATION_ID.to_be_bytes() {
        return foreign("is the database of another program");
    }
    let log = path.with_extension("db-wal");
    if marker(path).exists() && !log.exists() {
        return Err(StoreError::LogMissing { path: log, marker: marker(path) });
    }
    Ok(())
}

fn create(path: &Path) -> Result<(), StoreError> {
    let new = path.with_extension("db-new");
    let failed = |cause| StoreError::folder(&new)(cause);
    for leftover in [&new, &path.with_extension("db-new-journal")] {
        match fs::remove_file(leftover) {
            Err(cause) if cause.kind() != std::io::ErrorKind::NotFound => return Err(failed(cause)),
            _ => {}
        }
    }
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new).map_err(failed)?;
    let mut db = Connection::open(&new)?;
    db.pragma_update(None, "application_id", APPLICATION_ID)?;
    upgrade(&mut db)?;
    db.close().map_err(|(_, cause)| cause)?;
    fs::rename(&new, path).map_err(StoreError::folder(path))?;
    let folder = path.parent().unwrap_or(Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(StoreError::folder(folder))
}

/// Whether this is a sound database of a schema that is known here. `path` is what an error names.
pub(super) fn check(path: &Path, db: &Connection) -> Result<(), StoreError> {
    let found = version(db).map_err(|cause| refused(path, cause))?;
    let known = STEPS.len() as i32;
    if found > known {
        return Err(StoreError::Newer { path: path.into(), found, known });
    }
    if found < 1 {
        return Err(StoreError::Corrupt { path: path.into(), detail: format!("schema {found}") });
    }
    let verdict: String =
        db.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).map_err(|cause| refused(path, cause))?;
    match verdict.as_str() {
        "ok" => Ok(()),
        detail => Err(StoreError::Corrupt { path: path.into(), detail: detail.into() }),
    }
}

/// Takes the steps that the file has not seen, in one transaction.
fn upgrade(db: &mut Connection) -> rusqlite::Result<()> {
    let seen = version(db)?.max(0) as usize;
    let change = db.transaction()?;
    for step in STEPS.iter().skip(seen) {
        change.execute_batch(step)?;
    }
    change.pragma_update(None, "user_version", STEPS.len() as i32)?;
    change.commit()
}

fn version(db: &Connection) -> rusqlite::Result<i32> {
    db.pragma_query_value(None, "user_version", |row| row.get(0))
}

/// Damage found by the engine is told as such; anything else stays the failure that it is.
fn refused(path: &Path, cause: rusqlite::Error) -> StoreError {
    use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
    match cause.sqlite_error_code() {
        Some(DatabaseCorrupt | NotADatabase) => StoreError::Corrupt { path: path.into(), detail: cause.to_string() },
        _ => cause.into(),
    }
}
