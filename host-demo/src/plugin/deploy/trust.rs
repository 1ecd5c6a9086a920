//! Whose word counts: a plugin runs with this server's rights, so nobody but this server's user and root may be able to
//! change its file or the folders on the way to it.

use std::{
    io,
    os::fd::{AsFd, AsRawFd, OwnedFd},
    path::{Path, PathBuf},
};

use rustix::fs::{Mode, OFlags};

use super::{refusal::Refusal, stamp::Stamp};

/// Write permission of the group and of everybody.
const WRITABLE_BY_OTHERS: u32 = 0o022;
/// Only owners may rename and delete what is in the folder.
const STICKY: u32 = 0o1000;

/// The rule about owners and modes.
#[derive(Clone, Copy, Debug)]
pub struct Trust {
    me: u32,
    off: bool,
}

impl Trust {
    /// Trusts the user of this process and root.
    pub fn for_this_process() -> Trust {
        Trust { me: rustix::process::geteuid().as_raw(), off: false }
    }

    /// Takes files from everybody. The administrator asked for it.
    pub fn everybody() -> Trust {
        log::warn!(
            "plugins are taken from any owner and with any mode: others on this machine can run code as this server"
        );
        Trust { off: true, ..Trust::for_this_process() }
    }

    /// Judges a file by its stamp.
    pub fn file(&self, path: &Path, stamp: &Stamp) -> Result<(), Refusal> {
        self.judge(path, stamp, false)
    }

    /// Judges an open folder and those above it, from one descriptor to the next: a path could lead elsewhere by now.
    pub fn folder(&self, path: &Path, folder: impl AsFd) -> Result<(), Refusal> {
        let unreadable = |cause: io::Error| Refusal::Unreadable(format!("a folder above {}: {cause}", path.display()));
        let mut below = Stamp::of(&folder).map_err(unreadable)?;
        self.judge(path, &below, false)?;
        let mut above = parent(folder).map_err(unreadable)?;
        loop {
            let stamp = Stamp::of(&above).map_err(unreadable)?;
            // The root is its own parent.
            if stamp.is_of_same_place(&below) {
                return Ok(());
            }
            self.judge(&place_of(&above, path), &stamp, true)?;
            below = stamp;
            above = parent(above).map_err(unreadable)?;
        }
    }

    fn judge(&self, path: &Path, stamp: &Stamp, sticky_counts: bool) -> Result<(), Refusal> {
        if self.off {
            return Ok(());
        }
        let place = || path.display().to_string();
        if stamp.uid != self.me && stamp.uid != 0 {
            return Err(Refusal::Owner { place: place(), uid: stamp.uid });
        }
        let protected = sticky_counts && stamp.mode & STICKY != 0;
        if stamp.mode & WRITABLE_BY_OTHERS != 0 && !protected {
            return Err(Refusal::Writable { place: place(), mode: stamp.mode & 0o7777 });
        }
        Ok(())
    }
}

fn parent(folder: impl AsFd) -> io::Result<OwnedFd> {
    // Enough to ask about it and to go on from it, without the right to list it.
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(folder, "..", flags, Mode::empty())?)
}

/// Where a folder above `path` is, for people.
fn place_of(folder: &OwnedFd, path: &Path) -> PathBuf {
    let link = format!("/proc/self/fd/{}", folder.as_raw_fd());
    std::fs::read_link(link).unwrap_or_else(|_| path.join(".."))
}

#[cfg(test)]
mod tests {
    use std::{
        fs::{self, File, Permissions},
        os::unix::fs::PermissionsExt,
    };

    use super::*;

    fn with_mode(path: &Path, mode: u32) -> Stamp {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        Stamp::of(File::open(path).unwrap()).unwrap()
    }

    #[test]
    fn a_file_that_others_can_write_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x.so");
        fs::write(&path, b"").unwrap();
        let trust = Trust::for_this_process();
        for (mode, good) in [(0o644, true), (0o755, true), (0o664, false), (0o646, false), (0o777, false)] {
            assert_eq!(trust.file(&path, &with_mode(&path, mode)).is_ok(), good, "{mode:o}");
        }
    }

    #[test]
    fn a_foreign_owner_is_refused_root_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x.so");
        fs::write(&path, b"").unwrap();
        let stamp = with_mode(&path, 0o644);
        let nobody = Trust { me: 65_534, off: false };
        let owned_by = |uid| {
            let mut other = stamp;
            other.uid = uid;
            other
        };
        assert!(nobody.file(&path, &owned_by(0)).is_ok());
        assert_eq!(
            nobody.file(&path, &owned_by(1_000)),
            Err(Refusal::Owner { place: path.display().to_string(), uid: 1_000 })
        );
        assert!(Trust { off: true, ..nobody }.file(&path, &owned_by(1_000)).is_ok());
    }

    #[test]
    fn parents_may_be_sticky_the_folder_itself_may_not() {
        let directory = tempfile::tempdir().unwrap();
        let (parent, folder) = (directory.path().join("parent"), directory.path().join("parent/plugins"));
        fs::create_dir_all(&folder).unwrap();
        let trust = Trust::for_this_process();
        let judge = || trust.folder(&folder, File::open(&folder).unwrap());
        assert_eq!(judge(), Ok(()));
        with_mode(&parent, 0o1777);
        assert_eq!(judge(), Ok(()));
        with_mode(&parent, 0o777);
        let place = parent.canonicalize().unwrap().display().to_string();
        assert_eq!(judge(), Err(Refusal::Writable { place, mode: 0o777 }));
        with_mode(&parent, 0o755);
        with_mode(&folder, 0o1777);
        assert!(matches!(judge(), Err(Refusal::Writable { mode: 0o1777, .. })));
    }

    #[test]
    fn the_folder_that_is_open_is_judged_not_another_in_its_place() {
        let directory = tempfile::tempdir().unwrap();
        let (loose, safe) = (directory.path().join("loose"), directory.path().join("safe"));
        for parent in [&loose, &safe] {
            fs::create_dir_all(parent.join("plugins")).unwrap();
        }
        with_mode(&loose, 0o777);
        let open = File::open(loose.join("plugins")).unwrap();
        fs::rename(&loose, directory.path().join("aside")).unwrap();
        fs::rename(&safe, &loose).unwrap();
        let judged = Trust::for_this_process().folder(&loose.join("plugins"), open);
        assert!(matches!(judged, Err(Refusal::Writable { place, .. }) if place.ends_with("/aside")));
    }
}
