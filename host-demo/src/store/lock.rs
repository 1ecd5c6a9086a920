//! One host to a state folder: an advisory lock that the kernel releases however the process ends.

use std::{
    fmt,
    fs::{DirBuilder, File, OpenOptions},
    io::{self, Read, Seek, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use rustix::fs::{FlockOperation, flock};

use super::StoreError;

/// The right to use a state folder. Dropping it releases the folder.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// Why the folder could not be locked.
#[derive(Debug)]
pub enum LockError {
    /// Another process has it.
    Held {
        /// The lock file.
        path: PathBuf,
        /// The process, where it had written its id already.
        pid: Option<u32>,
    },
    /// The lock file can't be made or locked.
    Folder(StoreError),
}

impl Lock {
    /// Takes `folder`, making it (0700) if need be.
    ///
    /// # Errors
    /// [`LockError::Held`] at once, without waiting, if another process has it.
    pub fn take(folder: &Path) -> Result<Lock, LockError> {
        make_folder(folder).map_err(LockError::Folder)?;
        let path = folder.join("host.lock");
        let failed = |cause| LockError::Folder(StoreError::folder(&path)(cause));
        // Not truncated on opening: until the lock is ours the text is the holder's.
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(failed)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => return Err(LockError::Held { pid: holder(&mut file), path }),
            Err(cause) => return Err(failed(cause.into())),
        }
        write_pid(&mut file).map_err(failed)?;
        Ok(Lock { _file: file })
    }
}

impl fmt::Display for LockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LockError::Held { path, pid: Some(pid) } => {
                write!(
                    f,
                    "state: {}: held by process {pid}: end that one first, or choose another --state folder",
                    path.display()
                )
            }
            LockError::Held { path, pid: None } => {
                write!(
                    f,
                    "state: {}: held by another process: end that one first, or choose another --state folder",
                    path.display()
                )
            }
            LockError::Folder(cause) => cause.fmt(f),
        }
    }
}

impl std::error::Error for LockError {}

/// Makes the state folder, readable by its owner only. One that exists keeps the mode its administrator gave it.
pub(super) fn make_folder(folder: &Path) -> Result<(), StoreError> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(StoreError::folder(folder))
}

fn write_pid(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())
}

fn holder(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_taker_learns_the_pid_of_the_first() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("deep/state");
        let first = Lock::take(&state).unwrap();
        match Lock::take(&state) {
            Err(LockError::Held { pid, .. }) => assert_eq!(pid, Some(std::process::id())),
            other => panic!("{other:?}"),
        }
        drop(first);
        Lock::take(&state).unwrap();
    }
}
