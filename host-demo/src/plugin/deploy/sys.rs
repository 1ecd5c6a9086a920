//! What no safe crate asks of the C library: who writes to a file, how many thread keys are left, and to keep no memory for later.
//!
//! All `unsafe` of the way of a file is in this module.

use std::{fs::File, os::fd::AsRawFd};

/// fcntl(2)'s command that chooses the signal of a lease; the libc crate does not name it.
const F_SETSIG: libc::c_int = 10;

/// Whether somebody has a file open for writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writers {
    /// Nobody: proven by the kernel.
    None,
    /// At least one process.
    Some,
    /// The kernel does not say: another user's file, or a file system without leases.
    Unknown,
}

/// Asks the kernel for a read lease, which it grants only while nobody has the file open for writing, and gives it back
/// at once. `file` must be open for reading only. See fcntl(2), "Leases".
pub fn writers(file: &File) -> Writers {
    let fd = file.as_raw_fd();
    // A writer that comes while we hold the lease makes the kernel signal us: SIGIO by default, which would end the
    // process. SIGURG is ignored by default, and nobody here uses it.
    // SAFETY: F_SETSIG takes an integer and touches no memory of ours; `fd` is open as long as `file` is borrowed.
    if unsafe { libc::fcntl(fd, F_SETSIG, libc::SIGURG) } != 0 {
        return Writers::Unknown;
    }
    // SAFETY: F_SETLEASE takes an integer and touches no memory of ours; `fd` is open.
    if unsafe { libc::fcntl(fd, libc::F_SETLEASE, libc::F_RDLCK) } == 0 {
        // SAFETY: as above. Should it fail, closing the file gives the lease back too.
        unsafe { libc::fcntl(fd, libc::F_SETLEASE, libc::F_UNLCK) };
        return Writers::None;
    }
    match std::io::Error::last_os_error().raw_os_error() {
        Some(libc::EAGAIN) => Writers::Some,
        _ => Writers::Unknown,
    }
}

/// From which size on a block of memory has pages of its own.
#[cfg(target_env = "gnu")]
const LARGE: libc::c_int = 256 << 10;

/// Has the C library give large blocks back to the system when they are freed. Left to itself, glibc learns from the first plugin file
/// that was read into memory to take blocks of that size from its heaps, of which each thread may have one, and keeps them.
pub fn give_back_large_blocks() {
    // SAFETY: mallopt takes two integers, and changes only from where later blocks are taken.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE)
    };
}

/// Counts the free thread keys of this process, up to `wanted`, by making and deleting them. A process has 1,024; each
/// mapped library that uses thread-local destructors keeps some, and glibc ends a process that runs out.
pub fn free_thread_keys(wanted: usize) -> usize {
    let mut keys = Vec::with_capacity(wanted);
    while keys.len() < wanted {
        let mut key: libc::pthread_key_t = 0;
        // SAFETY: `key` is a valid place to write to; no destructor is registered, so nothing is ever called.
        if unsafe { libc::pthread_key_create(&mut key, None) } != 0 {
            break;
        }
        keys.push(key);
    }
    for &key in &keys {
        // SAFETY: this function made `key` above, told nobody of it, and deletes it once.
        unsafe { libc::pthread_key_delete(key) };
    }
    keys.len()
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;

    use super::*;

    #[test]
    fn a_writer_is_seen_until_it_closes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.so");
        let writer = OpenOptions::new().create_new(true).write(true).open(&path).unwrap();
        assert_eq!(writers(&File::open(&path).unwrap()), Writers::Some);
        drop(writer);
        assert_eq!(writers(&File::open(&path).unwrap()), Writers::None);
    }

    #[test]
    fn the_lease_is_given_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.so");
        std::fs::write(&path, b"x").unwrap();
        let reader = File::open(&path).unwrap();
        assert_eq!(writers(&reader), Writers::None);
        // With the lease still held this open would wait for lease-break-time, 45 s.
        let started = std::time::Instant::now();
        OpenOptions::new().write(true).open(&path).unwrap();
        assert!(started.elapsed().as_secs() < 5);
    }

    #[test]
    fn keys_are_counted_and_given_back() {
        let first = free_thread_keys(2_000);
        assert!((64..=1_024).contains(&first), "{first}");
        assert!(free_thread_keys(64) == 64);
    }
}
