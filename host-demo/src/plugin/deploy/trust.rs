//! Whose word counts: a plugin runs with this server's rights, so nobody but this server's user and root may be able to
//! change its file or the folders on the way to it.

use std::{os::fd::AsFd, path::Path};

use super::{folder::Stamp, refusal::Refusal};

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

    /// Judges an open folder, and by their path the folders above it.
    pub fn folder(&self, path: &Path, folder: impl AsFd) -> Result<(), Refusal> {
        let unreadable = |cause: std::io::Error| Refusal::Unreadable(cause.to_string());
        self.judge(path, &Stamp::of(folder).map_err(unreadable)?, false)?;
        let real = path.canonicalize().map_err(unreadable)?;
        for parent in real.ancestors().skip(1) {
            let stat = rustix::fs::stat(parent).map_err(|cause| unreadable(cause.into()))?;
            self.judge(parent, &Stamp::from(&stat), true)?;
        }
        Ok(())
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
        assert!(matches!(judge(), Err(Refusal::Writable { mode: 0o777, .. })));
        with_mode(&parent, 0o755);
        with_mode(&folder, 0o1777);
        assert!(matches!(judge(), Err(Refusal::Writable { mode: 0o1777, .. })));
    }
}
