//! A copy of the database, taken while it is in use or not (SQLite's online backup, a snapshot in WAL mode).

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use rusqlite::{
    Connection,
    backup::{Backup as Copying, StepResult},
};

use super::{StoreError, roster, schema};

/// The pages that are copied between two tellings of how far it is.
const STEP: i32 = 1_000;

/// What a backup holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backup {
    /// The accounts in it.
    pub accounts: u64,
    /// Its size.
    pub bytes: u64,
}

/// Copies the database of a state folder, as it is at this moment, into a new file that only its owner can read. What is
/// changed meanwhile is not in it. `progress` hears the percentage that is done. The file is there whole or, after a crash,
/// empty.
///
/// # Errors
/// There is no sound database, the file is there already, or it can't be written: then none is left.
pub fn backup(folder: &Path, file: &Path, progress: impl FnMut(u32)) -> Result<Backup, StoreError> {
    let path = schema::path(folder);
    let source = schema::source(&path)?;
    let failed = |cause: io::Error| StoreError::Backup { file: file.into(), detail: cause.to_string() };
    // Whoever comes second finds the name taken.
    reserve(file).map_err(|cause| match cause.kind() {
        ErrorKind::AlreadyExists => StoreError::Backup {
            file: file.into(),
            detail: "it is there already: name another file, or move that one away".into(),
        },
        _ => failed(cause),
    })?;
    let part = part(file);
    let made = copy(&source, &part, &path, progress).and_then(|backup| {
        finish(&part, file).map_err(failed)?;
        Ok(backup)
    });
    made.inspect_err(|_| {
        for left in [part.as_path(), file] {
            // What can't be removed either is told by the failure itself.
            let _ = fs::remove_file(left);
        }
    })
}

fn reserve(file: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(file)
}

/// Where the copy grows: beside the file, so that one rename completes it.
fn part(file: &Path) -> PathBuf {
    let mut name = OsString::from(file);
    name.push(".part");
    name.into()
}

fn copy(source: &Connection, part: &Path, path: &Path, progress: impl FnMut(u32)) -> Result<Backup, StoreError> {
    let failed = |cause: &dyn std::fmt::Display| StoreError::Backup { file: part.into(), detail: cause.to_string() };
    match fs::remove_file(part) {
        Err(cause) if cause.kind() != ErrorKind::NotFound => return Err(failed(&cause)),
        _ => reserve(part).map_err(|cause| failed(&cause))?,
    };
    let mut copy = Connection::open(part).map_err(|cause| failed(&cause))?;
    copy_pages(source, &mut copy, progress).map_err(|cause| failed(&cause))?;
    // One file, without a log beside it.
    copy.pragma_update_and_check(None, "journal_mode", "delete", |_| Ok(())).map_err(|cause| failed(&cause))?;
    schema::check(path, &copy)?;
    roster::forget_versions(&copy).map_err(|cause| failed(&cause))?;
    let accounts: i64 = copy.query_row("SELECT count(*) FROM accounts", [], |row| row.get(0))?;
    copy.close().map_err(|(_, cause)| failed(&cause))?;
    let bytes = fs::metadata(part).map_err(|cause| failed(&cause))?.len();
    Ok(Backup { accounts: accounts.unsigned_abs(), bytes })
}

fn copy_pages(source: &Connection, copy: &mut Connection, mut progress: impl FnMut(u32)) -> rusqlite::Result<()> {
    // Without a transaction of its own each change of the source would begin the copy anew.
    source.execute_batch("BEGIN")?;
    source.query_row("SELECT 1 FROM sqlite_schema", [], |_| Ok(()))?;
    let copying = Copying::new(source, copy)?;
    while copying.step(STEP)? != StepResult::Done {
        let pages = copying.progress();
        let done = i64::from(pages.pagecount - pages.remaining) * 100 / i64::from(pages.pagecount.max(1));
        progress(done as u32);
    }
    Ok(())
}

/// Puts the copy on the disk, then in its place.
fn finish(part: &Path, file: &Path) -> io::Result<()> {
    File::open(part)?.sync_all()?;
    fs::rename(part, file)?;
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}
