//! The copies that are run. What is verified is what is loaded: a file is copied into `state/staging`, which only this
//! server's user can enter, hashed while it is copied, and judged and loaded from there. A name is never used twice,
//! because the dynamic loader gives back the old library for a path that it knows.

use std::{
    fs::{self, DirBuilder, DirEntry, File, OpenOptions, Permissions},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use rustix::fs::{Mode, OFlags};

use super::{
    digest::{Digest, Hasher},
    refusal::Refusal,
    rubbish::delete_folder,
    staged::{StagedFile, number_of, signature_of},
    stamp::Stamp,
    trust::Trust,
    vouch::SIGNATURE_SUFFIX,
};

/// The folder within the state folder.
pub const FOLDER: &str = "staging";
const PART: &str = "part";

/// The folder of copies.
#[derive(Debug)]
pub struct Staging {
    folder: PathBuf,
    next: AtomicU64,
}

/// A copy without a name of its own yet. Dropping it deletes it.
#[derive(Debug)]
pub struct Part {
    path: PathBuf,
    number: u64,
    digest: Digest,
    /// The text of the signature that lay beside the file.
    pub signature: Option<String>,
}

impl Staging {
    /// Opens the folder, making it if there is none, and deletes what an earlier run left behind, except `keep`: the
    /// paths, relative to the state folder, of the last good versions. What can't be deleted is logged and stays.
    ///
    /// # Errors
    /// The folder, which is named, can't be made or read.
    pub fn open(state: &Path, keep: &[String]) -> io::Result<Staging> {
        let folder = state.join(FOLDER);
        match Staging::clear(&folder, keep) {
            Ok(last) => Ok(Staging { folder, next: AtomicU64::new(last + 1) }),
            Err(cause) => Err(io::Error::new(cause.kind(), format!("{}: {cause}", folder.display()))),
        }
    }

    /// Answers the last number that was used.
    fn clear(folder: &Path, keep: &[String]) -> io::Result<u64> {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        fs::set_permissions(folder, Permissions::from_mode(0o700))?;
        let mut last = 0;
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let name = entry.file_name();
            if let Some(number) = number_of(Path::new(&name)) {
                last = last.max(number);
            }
            let owner = name.to_string_lossy();
            let owner = owner.strip_suffix(SIGNATURE_SUFFIX).unwrap_or(&owner);
            if keep.iter().any(|kept| Path::new(kept) == Path::new(FOLDER).join(owner)) {
                continue;
            }
            if let Err(cause) = delete(&entry) {
                log::warn!("{} can't be deleted: {cause}", entry.path().display());
            }
        }
        Ok(last)
    }

    /// Whether nobody else can put something else in the place of a copy between its judgement and its use.
    ///
    /// # Errors
    /// The folder or one above it can be changed by others, or is a link.
    pub fn judge(&self, trust: &Trust) -> Result<(), Refusal> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let folder = rustix::fs::open(&self.folder, flags, Mode::empty()).map_err(|cause| staging(cause.into()))?;
        trust.folder(&self.folder, folder)
    }

    /// A copy of a kept copy that the dynamic loader has seen: it gives back the old library for its path, and for another
    /// link to the same file too.
    ///
    /// # Errors
    /// It can't be copied, or is not what it was.
    pub fn duplicate(&self, kept: &StagedFile, id: &str) -> Result<StagedFile, Refusal> {
        let file = File::open(kept.path()).map_err(unreadable)?;
        let stamp = Stamp::of(&file).map_err(unreadable)?;
        match self.copy(&file, &stamp, stamp.size) {
            Ok(mut part) if part.digest == kept.digest() => {
                part.signature = kept.signature()?;
                part.name(id)
            }
            Ok(_) | Err(NotCopied::Changed) => Err(kept.altered()),
            Err(NotCopied::Refused(refusal)) => Err(refusal),
        }
    }

    /// Copies a file, hashing it on the way. `stamp` is the file's before the copy.
    ///
    /// # Errors
    /// [`Copied::Changed`] if the file did not stay as it was; a refusal if it is too large or can't be copied.
    pub fn copy(&self, file: &File, stamp: &Stamp, limit: u64) -> Result<Part, NotCopied> {
        if stamp.size > limit {
            return Err(Refusal::TooLarge { size: stamp.size, limit }.into());
        }
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let path = self.folder.join(format!("{number}.{PART}"));
        let mut part = Part { path, number, digest: Digest::default(), signature: None };
        let mut target = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&part.path)?;
        // One byte more than there should be tells a file that grows.
        part.digest = hash_and_copy(&mut file.take(stamp.size + 1), &mut target)?;
        if Stamp::of(file).map_err(unreadable)? != *stamp {
            return Err(NotCopied::Changed);
        }
        Ok(part)
    }
}

/// Why there is no copy.
#[derive(Debug)]
pub enum NotCopied {
    /// The file changed under the copy: wait until it settles again.
    Changed,
    /// It is not taken.
    Refused(Refusal),
}

impl From<Refusal> for NotCopied {
    fn from(refusal: Refusal) -> NotCopied {
        NotCopied::Refused(refusal)
    }
}

impl From<io::Error> for NotCopied {
    fn from(cause: io::Error) -> NotCopied {
        NotCopied::Refused(Refusal::Staging(cause.to_string()))
    }
}

impl Part {
    /// The hash of the content.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The content, as it will be loaded.
    ///
    /// # Errors
    /// The copy can't be read.
    pub fn bytes(&self) -> Result<Vec<u8>, Refusal> {
        fs::read(&self.path).map_err(staging)
    }

    /// Gives the copy its name and takes the right to write to it from everybody.
    ///
    /// # Errors
    /// The system refused.
    pub fn name(self, id: &str) -> Result<StagedFile, Refusal> {
        let path = self.path.with_file_name(format!("{id}-{}-{}.so", self.digest, self.number));
        if let Err(cause) = self.move_to(&path) {
            // Nobody comes back for it: the next copy has another name. It may not be there.
            let _ = fs::remove_file(signature_of(&path));
            return Err(staging(cause));
        }
        Ok(StagedFile::at(path, self.digest))
    }

    fn move_to(&self, path: &Path) -> io::Result<()> {
        if let Some(signature) = &self.signature {
            let mut file = OpenOptions::new();
            let mut file = file.write(true).create_new(true).mode(0o400).open(signature_of(path))?;
            file.write_all(signature.as_bytes())?;
        }
        fs::set_permissions(&self.path, Permissions::from_mode(0o500))?;
        fs::rename(&self.path, path)
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        // Renamed, or never made: nothing to delete.
        let _ = fs::remove_file(&self.path);
    }
}

/// Deletes a file, or the folder that a trial was given for its data.
fn delete(entry: &DirEntry) -> io::Result<()> {
    if entry.file_type()?.is_dir() { delete_folder(&entry.path()) } else { fs::remove_file(entry.path()) }
}

fn hash_and_copy(from: &mut impl Read, to: &mut File) -> Result<Digest, NotCopied> {
    let mut hash = Hasher::default();
    let mut buffer = vec![0; 64 << 10];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok(hash.finish()),
            Ok(length) => {
                hash.update(&buffer[..length]);
                to.write_all(&buffer[..length])?;
            }
            Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
            Err(cause) => return Err(unreadable(cause).into()),
        }
    }
}

fn staging(cause: io::Error) -> Refusal {
    Refusal::Staging(cause.to_string())
}

fn unreadable(cause: io::Error) -> Refusal {
    Refusal::Unreadable(cause.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Scene {
        state: tempfile::TempDir,
        staging: Staging,
        source: PathBuf,
    }

    impl Scene {
        fn new(content: &[u8]) -> Scene {
            let state = tempfile::tempdir().unwrap();
            let source = state.path().join("x.so");
            fs::write(&source, content).unwrap();
            Scene { staging: Staging::open(state.path(), &[]).unwrap(), state, source }
        }

        fn copy(&self, limit: u64) -> Result<Part, NotCopied> {
            let file = File::open(&self.source).unwrap();
            self.staging.copy(&file, &Stamp::of(&file).unwrap(), limit)
        }

        fn names(&self) -> Vec<String> {
            let entries = fs::read_dir(self.state.path().join(FOLDER)).unwrap();
            let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
            names.sort();
            names
        }
    }

    #[test]
    fn a_copy_is_named_by_content_and_closed_to_writing() {
        let scene = Scene::new(b"abc");
        let staged = scene.copy(100).unwrap().name("hello").unwrap();
        // The example of FIPS 180-2, appendix B.1.
        let hash = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(scene.names(), [format!("hello-{hash}-1.so")]);
        assert_eq!(staged.relative(), format!("staging/hello-{hash}-1.so"));
        assert_eq!(fs::metadata(staged.path()).unwrap().permissions().mode() & 0o7777, 0o500);
        let folder = fs::metadata(scene.state.path().join(FOLDER)).unwrap();
        assert_eq!(folder.permissions().mode() & 0o7777, 0o700);
    }

    #[test]
    fn the_same_content_gets_another_name_each_time() {
        let scene = Scene::new(b"abc");
        let first = scene.copy(100).unwrap().name("hello").unwrap();
        let second = scene.copy(100).unwrap().name("hello").unwrap();
        assert_eq!(first.digest(), second.digest());
        assert_ne!(first.path(), second.path());
    }

    #[test]
    fn a_file_over_the_limit_is_not_read() {
        let scene = Scene::new(b"");
        File::options().write(true).open(&scene.source).unwrap().set_len(10 << 30).unwrap();
        let refused = scene.copy(DEFAULT).unwrap_err();
        assert!(matches!(refused, NotCopied::Refused(Refusal::TooLarge { size, .. }) if size == 10 << 30));
        assert_eq!(scene.names(), [""; 0]);
    }

    const DEFAULT: u64 = super::super::check::DEFAULT_LIMIT;

    #[test]
    fn a_file_that_changes_meanwhile_is_not_taken() {
        let scene = Scene::new(b"abc");
        let file = File::open(&scene.source).unwrap();
        let before = Stamp::of(&file).unwrap();
        fs::write(&scene.source, b"abcdef").unwrap();
        assert!(matches!(scene.staging.copy(&file, &before, 100), Err(NotCopied::Changed)));
        assert_eq!(scene.names(), [""; 0]);
    }

    #[test]
    fn a_start_deletes_what_is_not_the_last_good() {
        let scene = Scene::new(b"abc");
        let kept = scene.copy(100).unwrap().name("kept").unwrap();
        scene.copy(100).unwrap().name("former").unwrap();
        std::mem::forget(scene.copy(100).unwrap());
        assert_eq!(scene.names().len(), 3);
        let again = Staging::open(scene.state.path(), &[kept.relative()]).unwrap();
        assert_eq!(scene.names().len(), 1);
        let recorded = StagedFile::recorded(scene.state.path(), &kept.relative(), kept.digest());
        assert_eq!(recorded, kept);
        assert_eq!(recorded.verified_bytes(), Ok(b"abc".to_vec()));
        assert_eq!(again.next.into_inner(), 4);
    }

    #[test]
    fn a_duplicate_is_another_file_with_the_same_content() {
        let scene = Scene::new(b"abc");
        let kept = scene.copy(100).unwrap().name("kept").unwrap();
        let again = scene.staging.duplicate(&kept, "kept").unwrap();
        assert_eq!((again.verified_bytes(), again.digest()), (kept.verified_bytes(), kept.digest()));
        assert_ne!(again.path(), kept.path());
        fs::remove_file(kept.path()).unwrap();
        fs::write(kept.path(), b"abd").unwrap();
        assert!(matches!(scene.staging.duplicate(&kept, "kept"), Err(Refusal::Damaged(_))));
    }

    #[test]
    fn a_signature_stays_with_its_copy() {
        let scene = Scene::new(b"abc");
        let signed = |text: &str| {
            let mut part = scene.copy(100).unwrap();
            part.signature = Some(text.into());
            part.name("x").unwrap()
        };
        let (kept, former) = (signed("one"), signed("two"));
        assert_eq!((kept.signature(), former.signature()), (Ok(Some("one".into())), Ok(Some("two".into()))));
        kept.sync().unwrap();
        former.delete();
        assert_eq!(scene.names().len(), 2);
        signed("three");
        let again = scene.staging.duplicate(&kept, "x").unwrap();
        assert_eq!(again.signature(), kept.signature());
        Staging::open(scene.state.path(), &[kept.relative()]).unwrap();
        assert_eq!((scene.names().len(), kept.signature()), (2, Ok(Some("one".into()))));
        assert_eq!(scene.copy(100).unwrap().name("x").unwrap().signature(), Ok(None));
    }

    #[test]
    fn a_copy_that_gets_no_name_leaves_no_signature() {
        let scene = Scene::new(b"abc");
        let mut part = scene.copy(100).unwrap();
        part.signature = Some("one".into());
        let taken = format!("x-{}-{}.so", part.digest, part.number);
        fs::create_dir(scene.state.path().join(FOLDER).join(&taken)).unwrap();
        assert!(matches!(part.name("x"), Err(Refusal::Staging(_))));
        assert_eq!(scene.names(), [taken]);
    }

    #[test]
    fn a_folder_that_can_not_be_made_is_named() {
        let state = tempfile::tempdir().unwrap();
        let folder = state.path().join(FOLDER);
        fs::write(&folder, b"").unwrap();
        let refused = Staging::open(state.path(), &[]).unwrap_err().to_string();
        assert!(refused.starts_with(&folder.display().to_string()), "{refused}");
    }

    #[test]
    fn copies_lie_where_nobody_else_can_change_them() {
        let scene = Scene::new(b"abc");
        let trust = Trust::for_this_process();
        assert_eq!(scene.staging.judge(&trust), Ok(()));
        fs::set_permissions(scene.state.path(), Permissions::from_mode(0o777)).unwrap();
        assert!(matches!(scene.staging.judge(&trust), Err(Refusal::Writable { mode: 0o777, .. })));
        fs::set_permissions(scene.state.path(), Permissions::from_mode(0o700)).unwrap();
        let folder = scene.state.path().join(FOLDER);
        fs::rename(&folder, scene.state.path().join("elsewhere")).unwrap();
        std::os::unix::fs::symlink("elsewhere", &folder).unwrap();
        assert!(matches!(scene.staging.judge(&trust), Err(Refusal::Staging(_))));
    }

    #[test]
    fn an_altered_copy_is_not_served() {
        let scene = Scene::new(b"abc");
        let kept = scene.copy(100).unwrap().name("kept").unwrap();
        fs::set_permissions(kept.path(), Permissions::from_mode(0o700)).unwrap();
        fs::write(kept.path(), b"abd").unwrap();
        assert!(matches!(kept.verified_bytes(), Err(Refusal::Damaged(_))));
    }
}
