//! One host to a state folder: an advisory lock that the kernel releases however the process ends.

use std::{
    fmt,
    fs::{DirBuilder, File, OpenOptions},
    io::{self, Read, Seek, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use rustix::{
    fs::{FlockOperation, flock},
    process::{Pid, test_kill_process},
};

use super::StoreError;

/// How long the lock of a dead process is waited for. A child that it was making at its death has the lock too, until
/// it runs a program of its own: a trial of a plugin, for example.
const AFTERMATH: Duration = Duration::from_secs(5);

/// The right to use a state folder. Dropping it releases the folder.
#[derive(Debug)]
pub struct Lock {
    file: File,
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
    /// [`LockError::Held`] if another process has it: at once, unless that has just died.
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
        if !lock(&mut file).map_err(failed)? {
            return Err(LockError::Held { pid: holder(&mut file), path });
        }
        write_pid(&mut file).map_err(failed)?;
        Ok(Lock { file })
    }
}

impl Drop for Lock {
    /// Closing the file would release the folder only once no other descriptor of it is left, and each child of this process has one
    /// until it runs a program of its own: see flock(2).
    fn drop(&mut self) {
        // Should it fail, the close that follows does what it can.
        let _ = flock(&self.file, FlockOperation::Unlock);
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

/// Answers whether the lock is ours now.
fn lock(file: &mut File) -> io::Result<bool> {
    let deadline = Instant::now() + AFTERMATH;
    loop {
        match flock(&*file, FlockOperation::NonBlockingLockExclusive) {
            Err(rustix::io::Errno::WOULDBLOCK) => {}
            outcome => return Ok(outcome.map(|()| true)?),
        }
        if holder(file).is_none_or(is_alive) || Instant::now() > deadline {
            return Ok(false);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn is_alive(process: u32) -> bool {
    let process = i32::try_from(process).ok().and_then(Pid::from_raw);
    process.is_some_and(|process| test_kill_process(process) != Err(rustix::io::Errno::SRCH))
}

fn write_pid(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())
}

fn holder(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.rewind().ok()?;
    file.read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use std::fs;

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

    #[test]
    fn a_dropped_lock_is_free_although_a_child_has_its_file_still() {
        let folder = tempfile::tempdir().unwrap();
        let first = Lock::take(folder.path()).unwrap();
        // What a child has between its making and its program.
        let inherited = first.file.try_clone().unwrap();
        drop(first);
        Lock::take(folder.path()).unwrap();
        drop(inherited);
    }

    #[test]
    fn what_a_dead_process_has_left_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let mut dead = std::process::Command::new("true").spawn().unwrap();
        dead.wait().unwrap();
        let path = folder.path().join("host.lock");
        fs::write(&path, dead.id().to_string()).unwrap();
        let left = File::open(&path).unwrap();
        flock(&left, FlockOperation::LockExclusive).unwrap();
        let release = std::thread::spawn(move || {
            // So that it is found held first. Released before, it is taken all the same.
            std::thread::sleep(Duration::from_millis(100));
            drop(left);
        });
        Lock::take(folder.path()).unwrap();
        release.join().unwrap();
    }
}
