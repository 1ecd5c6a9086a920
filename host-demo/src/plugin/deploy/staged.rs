//! A copy that has its name: what is judged, loaded, and kept.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use super::{digest::Digest, folder::signature_text, refusal::Refusal, stage::FOLDER, vouch::SIGNATURE_SUFFIX};

/// A copy that may be loaded: 0500, never written to again. Its signature lies beside it, so that it can be judged again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StagedFile {
    path: PathBuf,
    digest: Digest,
}

impl StagedFile {
    /// The copy at this path.
    pub(super) fn at(path: PathBuf, digest: Digest) -> StagedFile {
        StagedFile { path, digest }
    }

    /// The copy that an earlier run recorded.
    pub fn recorded(state: &Path, relative: &str, digest: Digest) -> StagedFile {
        StagedFile { path: state.join(relative), digest }
    }

    /// The content, if it is still what it was.
    ///
    /// # Errors
    /// It is gone or altered.
    pub fn verified_bytes(&self) -> Result<Vec<u8>, Refusal> {
        let bytes = fs::read(&self.path)
            .map_err(|cause| Refusal::Unreadable(format!("the kept copy {}: {cause}", self.path.display())))?;
        if Digest::of(&bytes) != self.digest {
            return Err(self.altered());
        }
        Ok(bytes)
    }

    pub(super) fn altered(&self) -> Refusal {
        Refusal::Damaged(format!("the kept copy {} was altered", self.path.display()))
    }

    /// The text of its signature, if it has one.
    ///
    /// # Errors
    /// It can't be read.
    pub fn signature(&self) -> Result<Option<String>, Refusal> {
        match File::open(signature_of(&self.path)) {
            Ok(file) => signature_text(file).map(Some),
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(cause) => Err(Refusal::Signature(cause.to_string())),
        }
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The hash of its content.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Its path relative to the state folder, as it is recorded.
    pub fn relative(&self) -> String {
        let name = self.path.file_name().unwrap_or_default();
        Path::new(FOLDER).join(name).display().to_string()
    }

    /// Sees to it that the content survives a loss of power.
    ///
    /// # Errors
    /// The disk failed.
    pub fn sync(&self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()?;
        match File::open(signature_of(&self.path)) {
            Ok(signature) => signature.sync_all()?,
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => {}
            Err(cause) => return Err(cause),
        }
        File::open(self.path.parent().unwrap_or(Path::new("/")))?.sync_all()
    }

    /// Deletes the file. A library that is mapped from it stays mapped.
    pub fn delete(&self) {
        for path in [&self.path, &signature_of(&self.path)] {
            if let Err(cause) = fs::remove_file(path)
                && cause.kind() != io::ErrorKind::NotFound
            {
                log::warn!("{} can't be deleted: {cause}", path.display());
            }
        }
    }
}

/// Whether a path is that of a staged copy, here or under another state folder.
pub fn is_staged(path: &Path) -> bool {
    path.parent().is_some_and(|folder| folder.ends_with(FOLDER)) && number_of(path).is_some()
}

/// Where the signature of a copy lies.
pub(super) fn signature_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(SIGNATURE_SUFFIX);
    name.into()
}

/// The hash in `presence-<sha256>-7.so`.
pub fn digest_of(name: &Path) -> Option<Digest> {
    Digest::parse(name.file_stem()?.to_str()?.rsplit('-').nth(1)?)
}

/// The number in `7.part` and `presence-<sha256>-7.so`.
pub(super) fn number_of(name: &Path) -> Option<u64> {
    name.file_stem()?.to_str()?.rsplit('-').next()?.parse().ok()
}
