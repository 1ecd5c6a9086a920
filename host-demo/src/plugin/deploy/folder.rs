//! The drop folder, seen from outside: names and stamps of what lies in it, never a blocking open.
//!
//! Everything is asked relative to one descriptor of the folder, so that a folder swapped in between can't mix two
//! folders into one view.

use std::{
    collections::BTreeMap,
    ffi::{CStr, OsStr, OsString},
    fmt,
    fs::File,
    io::{self, Read},
    os::{fd::OwnedFd, unix::ffi::OsStrExt},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{AtFlags, CWD, Dir, Mode, OFlags, StatxFlags},
    io::Errno,
};

use super::{
    refusal::{Kind, Refusal},
    stamp::{Stamp, Stamps},
    trust::Trust,
    vouch::{SIGNATURE_LIMIT, SIGNATURE_SUFFIX},
};

/// The longest file name that is taken. File systems allow 255 bytes, and notes have longer names than their files.
const LONGEST_NAME: usize = 200;
/// How the name of a note on a refused file ends: `presence.so.rejected.txt`. See [`notice`](super::notice).
pub const NOTE_SUFFIX: &str = ".so.rejected.txt";
/// How the name of a note begins until it is written.
pub const NOTE_IN_THE_MAKING: &str = ".host-demo-note-";

/// The name of a file in the drop folder that may be a plugin: it ends in `.so`, is no hidden file, is printable UTF-8.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileName(String);

impl FileName {
    /// Takes a name, or says why it can't be a plugin's.
    pub fn parse(name: &OsStr) -> Result<FileName, &'static str> {
        let Some(text) = name.to_str() else { return Err("its name is not UTF-8") };
        if text.chars().any(char::is_control) {
            return Err("its name holds a control character");
        }
        if text.starts_with('.') {
            return Err("it is a hidden file");
        }
        if !text.ends_with(".so") {
            return Err("its name does not end in .so");
        }
        if text.len() > LONGEST_NAME || text.contains('/') {
            return Err("its name is longer than 200 bytes");
        }
        Ok(FileName(text.to_owned()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name of its signature.
    pub fn signature(&self) -> String {
        format!("{}{SIGNATURE_SUFFIX}", self.0)
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A file that may be read, and the signature beside it.
#[derive(Debug)]
pub struct Opened {
    /// The file.
    pub file: File,
    /// As the two were when they were opened.
    pub stamps: Stamps,
    signature: Option<Result<File, Refusal>>,
}

impl Opened {
    /// The text of the signature, if there is one.
    ///
    /// # Errors
    /// What lies there is no such text.
    pub fn signature(&mut self) -> Result<Option<String>, Refusal> {
        let unusable = |cause: String| Refusal::Signature(cause);
        match self.signature.take() {
            None => Ok(None),
            Some(Err(Refusal::NotAFile(kind))) => Err(unusable(format!("it is {kind}"))),
            Some(Err(refusal)) => Err(unusable(refusal.to_string())),
            Some(Ok(file)) => signature_text(file).map(Some),
        }
    }
}

/// Reads a signature, which is small.
///
/// # Errors
/// It is no text, or larger than any signature.
pub fn signature_text(file: File) -> Result<String, Refusal> {
    let mut text = String::new();
    let unusable = |cause: String| Refusal::Signature(cause);
    file.take(SIGNATURE_LIMIT + 1).read_to_string(&mut text).map_err(|cause| unusable(cause.to_string()))?;
    match text.len() as u64 > SIGNATURE_LIMIT {
        true => Err(unusable(format!("it is larger than {SIGNATURE_LIMIT} bytes"))),
        false => Ok(text),
    }
}

/// Which folder it was: another one mounted, moved or made in its place has another identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    device: (u32, u32),
    inode: u64,
    /// An inode number may be used again; with its time of birth it is unique, where the file system keeps one.
    born: Option<(i64, u32)>,
}

/// What a look at the folder showed.
#[derive(Clone, Debug)]
pub enum View {
    /// The folder is there.
    Open(Contents),
    /// The folder is missing or unreadable, and why. Says nothing about the files.
    Closed(String),
}

/// What lies in the folder.
#[derive(Clone, Debug)]
pub struct Contents {
    /// Which folder it is.
    pub identity: Identity,
    /// What may be a plugin by its name. It may still be a directory or a pipe: see [`Stamp::odd_kind`].
    pub files: BTreeMap<FileName, Stamps>,
    /// What can't be a plugin by its name, and why; what is expected beside plugins is left out.
    pub skipped: Vec<(OsString, &'static str)>,
    /// Whether nobody else can change what lies here.
    pub safety: Result<(), Refusal>,
}

/// The drop folder. Nothing in it is ever opened for writing, and nothing in it is ever opened by the dynamic loader.
#[derive(Clone, Debug)]
pub struct DropFolder {
    path: PathBuf,
    trust: Trust,
}

impl DropFolder {
    /// The folder at `path`, which need not exist yet.
    pub fn new(path: impl Into<PathBuf>, trust: Trust) -> DropFolder {
        DropFolder { path: path.into(), trust }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Looks at the folder. Opens no file.
    pub fn look(&self) -> View {
        let looked = self.open_folder().and_then(|folder| {
            let identity = identity(&folder)?;
            let (files, skipped) = list(&folder)?;
            Ok(Contents { identity, files, skipped, safety: self.trust.folder(&self.path, &folder) })
        });
        match looked {
            Ok(contents) => View::Open(contents),
            Err(cause) => View::Closed(format!("{}: {cause}", self.path.display())),
        }
    }

    /// Opens a file for reading, if it is a regular one that only trusted users can change, and the signature beside it,
    /// whoever can change that: it speaks for itself or not at all.
    /// A pipe or a link that took its place since the last look does not block and is not followed.
    pub fn open(&self, name: &FileName) -> Result<Opened, Refusal> {
        let folder = self.open_folder().map_err(|cause| Refusal::Unreadable(cause.to_string()))?;
        self.trust.folder(&self.path, &folder)?;
        let (file, stamp) = open_at(&folder, name.as_str())?;
        self.trust.file(&self.path.join(name.as_str()), &stamp)?;
        let (signature, its_stamp) = match stamp_at(&folder, &name.signature()) {
            Err(Errno::NOENT) => (None, None),
            Err(cause) => (Some(Err(Refusal::Unreadable(cause.to_string()))), None),
            Ok(stamp) => (Some(open_at(&folder, &name.signature()).map(|(file, _)| file)), Some(stamp)),
        };
        Ok(Opened { file, stamps: Stamps { file: stamp, signature: its_stamp }, signature })
    }

    /// Opens a file and its signature for a question about them, without judging whom they belong to. What can't be opened is
    /// left out.
    pub fn peek(&self, name: &FileName) -> Vec<File> {
        let Ok(folder) = self.open_folder() else { return Vec::new() };
        let names = [name.as_str(), &name.signature()];
        names.into_iter().filter_map(|name| open_at(&folder, name).ok()).map(|(file, _)| file).collect()
    }

    /// A descriptor of the folder that is there now, and which one it is.
    ///
    /// # Errors
    /// The folder is missing or unreadable.
    pub fn handle(&self) -> io::Result<(OwnedFd, Identity)> {
        let folder = self.open_folder()?;
        let identity = identity(&folder)?;
        Ok((folder, identity))
    }

    fn open_folder(&self) -> io::Result<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(rustix::fs::openat(CWD, &self.path, flags, Mode::empty())?)
    }
}

fn stamp_at(folder: &OwnedFd, name: &str) -> Result<Stamp, Errno> {
    rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW).map(|stat| Stamp::from(&stat))
}

fn open_at(folder: &OwnedFd, name: &str) -> Result<(File, Stamp), Refusal> {
    let unreadable = |cause: Errno| Refusal::Unreadable(cause.to_string());
    // Asked before it is opened, because opening a device can have effects of its own.
    if let Some(kind) = stamp_at(folder, name).map_err(unreadable)?.odd_kind() {
        return Err(Refusal::NotAFile(kind));
    }
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = match rustix::fs::openat(folder, name, flags, Mode::empty()) {
        Ok(file) => File::from(file),
        Err(Errno::LOOP) => return Err(Refusal::NotAFile(Kind::Link)),
        Err(cause) => return Err(unreadable(cause)),
    };
    let stamp = Stamp::of(&file).map_err(|cause| Refusal::Unreadable(cause.to_string()))?;
    match stamp.odd_kind() {
        Some(kind) => Err(Refusal::NotAFile(kind)),
        None => Ok((file, stamp)),
    }
}

fn identity(folder: &OwnedFd) -> io::Result<Identity> {
    let wanted = StatxFlags::INO | StatxFlags::BTIME;
    let about = rustix::fs::statx(folder, c"", AtFlags::EMPTY_PATH, wanted)?;
    let has_birth = about.stx_mask & StatxFlags::BTIME.bits() != 0;
    Ok(Identity {
        device: (about.stx_dev_major, about.stx_dev_minor),
        inode: about.stx_ino,
        born: has_birth.then_some((about.stx_btime.tv_sec, about.stx_btime.tv_nsec)),
    })
}

type Names = (BTreeMap<FileName, Stamps>, Vec<(OsString, &'static str)>);

fn list(folder: &OwnedFd) -> io::Result<Names> {
    let mut files = BTreeMap::new();
    let mut skipped = Vec::new();
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        let name = os_str(entry.file_name());
        if name == "." || name == ".." {
            continue;
        }
        match FileName::parse(name) {
            Err(_) if is_expected(name) => {}
            Err(why) => skipped.push((name.to_owned(), why)),
            Ok(file) => match stamps(folder, &file) {
                Ok(stamps) => drop(files.insert(file, stamps)),
                // Gone between the listing and the question.
                Err(Errno::NOENT) => {}
                Err(cause) => return Err(cause.into()),
            },
        }
    }
    Ok((files, skipped))
}

fn stamps(folder: &OwnedFd, name: &FileName) -> Result<Stamps, Errno> {
    let signature = match stamp_at(folder, &name.signature()) {
        Err(Errno::NOENT) => None,
        other => Some(other?),
    };
    Ok(Stamps { file: stamp_at(folder, name.as_str())?, signature })
}

/// What lies beside plugins without being one: their signatures, and our notes.
fn is_expected(name: &OsStr) -> bool {
    let name = name.as_bytes();
    name.ends_with(b".so.minisig")
        || name.ends_with(NOTE_SUFFIX.as_bytes())
        || name.starts_with(NOTE_IN_THE_MAKING.as_bytes())
}

fn os_str(name: &CStr) -> &OsStr {
    OsStr::from_bytes(name.to_bytes())
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        os::unix::fs::symlink,
        time::{Duration, Instant},
    };

    use rustix::fs::{FileType, mknodat};

    use super::*;

    fn folder() -> (tempfile::TempDir, DropFolder) {
        let directory = tempfile::tempdir().unwrap();
        let folder = DropFolder::new(directory.path(), Trust::for_this_process());
        (directory, folder)
    }

    fn name(text: &str) -> FileName {
        FileName::parse(OsStr::new(text)).unwrap()
    }

    fn contents(folder: &DropFolder) -> Contents {
        match folder.look() {
            View::Open(contents) => contents,
            View::Closed(why) => panic!("{why}"),
        }
    }

    fn make_pipe(path: &Path) {
        mknodat(CWD, path, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
    }

    #[test]
    fn names_that_can_be_plugins() {
        for good in ["presence.so", "presence (1).so", "PRÄSENZ-2.so", "a.b.so"] {
            assert!(FileName::parse(OsStr::new(good)).is_ok(), "{good}");
        }
        let long = format!("{}.so", "x".repeat(252));
        for bad in [".presence.so", "presence.so.tmp", "presence.so~", "presence.so\n.so", "README.md", &long] {
            assert!(FileName::parse(OsStr::new(bad)).is_err(), "{bad:?}");
        }
        assert!(FileName::parse(OsStr::from_bytes(b"\xff.so")).is_err());
    }

    #[test]
    fn odd_entries_are_told_apart_and_never_block() {
        let (directory, folder) = folder();
        let at = |name: &str| directory.path().join(name);
        fs::create_dir(at("directory.so")).unwrap();
        symlink("/nowhere", at("link.so")).unwrap();
        make_pipe(&at("pipe.so"));
        let _socket = std::os::unix::net::UnixListener::bind(at("socket.so")).unwrap();
        fs::write(at("x.so.tmp"), b"").unwrap();
        fs::write(at("x.so.rejected.txt"), b"").unwrap();
        fs::write(at("x.so.minisig"), b"").unwrap();

        let started = Instant::now();
        let seen = contents(&folder);
        let refusal = |file: &str| folder.open(&name(file)).unwrap_err();
        assert_eq!(refusal("directory.so"), Refusal::NotAFile(Kind::Directory));
        assert_eq!(refusal("link.so"), Refusal::NotAFile(Kind::Link));
        assert_eq!(refusal("pipe.so"), Refusal::NotAFile(Kind::Pipe));
        assert_eq!(refusal("socket.so"), Refusal::NotAFile(Kind::Socket));
        assert!(started.elapsed() < Duration::from_secs(10));
        assert_eq!(seen.files.len(), 4);
        assert_eq!(seen.skipped, [(OsString::from("x.so.tmp"), "its name does not end in .so")]);
    }

    #[test]
    fn a_missing_folder_is_closed_not_empty() {
        let (directory, _) = folder();
        let missing = DropFolder::new(directory.path().join("plugins"), Trust::for_this_process());
        assert!(matches!(missing.look(), View::Closed(why) if why.contains("plugins: No such file")));
    }

    #[test]
    fn a_folder_made_anew_has_another_identity() {
        let (directory, _) = folder();
        let path = directory.path().join("plugins");
        let folder = DropFolder::new(&path, Trust::for_this_process());
        fs::create_dir(&path).unwrap();
        let first = contents(&folder).identity;
        assert_eq!(contents(&folder).identity, first);
        fs::remove_dir(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert_ne!(contents(&folder).identity, first);
    }

    #[test]
    fn a_stamp_changes_with_content_and_mode() {
        let (directory, folder) = folder();
        let path = directory.path().join("x.so");
        fs::write(&path, b"one").unwrap();
        let first = contents(&folder).files[&name("x.so")];
        assert_eq!(folder.open(&name("x.so")).unwrap().stamps, first);
        fs::write(&path, b"longer").unwrap();
        assert_ne!(contents(&folder).files[&name("x.so")].file, first.file);
    }

    #[test]
    fn a_signature_is_read_with_its_file() {
        let (directory, folder) = folder();
        let (path, signature) = (directory.path().join("x.so"), directory.path().join("x.so.minisig"));
        fs::write(&path, b"one").unwrap();
        let unsigned = contents(&folder).files[&name("x.so")];
        assert_eq!(folder.open(&name("x.so")).unwrap().signature(), Ok(None));

        fs::write(&signature, b"signed").unwrap();
        let signed = contents(&folder).files[&name("x.so")];
        assert_ne!(signed, unsigned);
        let mut opened = folder.open(&name("x.so")).unwrap();
        assert_eq!((opened.stamps, opened.signature()), (signed, Ok(Some("signed".into()))));

        fs::remove_file(&signature).unwrap();
        make_pipe(&signature);
        let refused = folder.open(&name("x.so")).unwrap().signature().unwrap_err();
        assert_eq!(refused, Refusal::Signature("it is a named pipe".into()));
        fs::remove_file(&signature).unwrap();
        fs::write(&signature, vec![b'x'; SIGNATURE_LIMIT as usize + 1]).unwrap();
        assert!(matches!(folder.open(&name("x.so")).unwrap().signature(), Err(Refusal::Signature(_))));
    }
}
