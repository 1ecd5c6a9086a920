//! What tells from outside that a file changed.

use std::{io, os::fd::AsFd};

use rustix::fs::{FileType, Stat};

use super::refusal::Kind;

/// What changes when a file changes. Content can change without its time, time without content: only a hash of the
/// bytes tells two versions apart; two equal stamps a moment apart tell that nobody wrote in between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    device: u64,
    inode: u64,
    /// Type and permission bits.
    pub mode: u32,
    /// The owner.
    pub uid: u32,
    /// The size in bytes.
    pub size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    /// The stamp of an open file.
    pub fn of(file: impl AsFd) -> io::Result<Stamp> {
        Ok(Stamp::from(&rustix::fs::fstat(file)?))
    }

    /// Whether both are of one file or folder.
    pub fn is_of_same_place(&self, other: &Stamp) -> bool {
        (self.device, self.inode) == (other.device, other.inode)
    }

    /// What it is, if it is no regular file.
    pub fn odd_kind(&self) -> Option<Kind> {
        match FileType::from_raw_mode(self.mode) {
            FileType::RegularFile => None,
            FileType::Symlink => Some(Kind::Link),
            FileType::Directory => Some(Kind::Directory),
            FileType::Fifo => Some(Kind::Pipe),
            FileType::Socket => Some(Kind::Socket),
            _ => Some(Kind::Device),
        }
    }
}

// The width and sign of these fields differ from one architecture to the next.
#[allow(clippy::unnecessary_cast)]
impl From<&Stat> for Stamp {
    fn from(stat: &Stat) -> Stamp {
        Stamp {
            device: stat.st_dev as u64,
            inode: stat.st_ino as u64,
            mode: stat.st_mode as u32,
            uid: stat.st_uid as u32,
            size: stat.st_size.max(0) as u64,
            modified: (stat.st_mtime as i64, stat.st_mtime_nsec as i64),
            changed: (stat.st_ctime as i64, stat.st_ctime_nsec as i64),
        }
    }
}

/// The stamps of a file and of the signature beside it: the two are read as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamps {
    /// Of the file.
    pub file: Stamp,
    /// Of what lies under the name of its signature.
    pub signature: Option<Stamp>,
}
