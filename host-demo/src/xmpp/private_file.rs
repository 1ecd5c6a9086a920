//! Files of the state folder that nobody else may read: the key of the certificate, the secret of the decoys.

use std::{
    fmt, fs,
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

/// A private file that could not be read or written.
#[derive(Debug)]
pub struct PrivateFileError {
    path: PathBuf,
    attempt: &'static str,
    cause: io::Error,
}

impl fmt::Display for PrivateFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "can't {} {}: {}; check owner, permissions and free space of its folder",
            self.attempt,
            self.path.display(),
            self.cause
        )
    }
}

impl std::error::Error for PrivateFileError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.cause)
    }
}

/// What the file holds, or, if there is none, what `make` gives, which it then holds.
pub fn read_or_create(path: &Path, make: impl FnOnce() -> Vec<u8>) -> Result<Vec<u8>, PrivateFileError> {
    match fs::read(path) {
        Ok(bytes) => Ok(bytes),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let bytes = make();
            write(path, &bytes)?;
            Ok(bytes)
        }
        Err(cause) => Err(PrivateFileError { path: path.to_owned(), attempt: "read", cause }),
    }
}

/// Writes the file with mode 0600 from its first moment, whole or not at all. Makes its folder (0700) when missing.
pub fn write(path: &Path, bytes: &[u8]) -> Result<(), PrivateFileError> {
    write_atomically(path, bytes).map_err(|cause| PrivateFileError { path: path.to_owned(), attempt: "write", cause })
}

fn write_atomically(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let unfinished = path.with_added_extension("new");
    // Left over from a start that was interrupted: its mode and owner are not to be trusted.
    match fs::remove_file(&unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unfinished)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&unfinished, path)?;
    fs::File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_private_file_is_made_once_and_for_the_owner_only() {
        let state = tempfile::tempdir().unwrap();
        let path = state.path().join("deep/secret");
        assert_eq!(read_or_create(&path, || b"one".to_vec()).unwrap(), b"one");
        assert_eq!(read_or_create(&path, || b"two".to_vec()).unwrap(), b"one");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let files = fs::read_dir(path.parent().unwrap()).unwrap().count();
        assert_eq!(files, 1, "nothing unfinished is left behind");
    }

    #[test]
    fn an_error_names_the_file() {
        let state = tempfile::tempdir().unwrap();
        let error = read_or_create(state.path(), Vec::new).unwrap_err();
        assert!(error.to_string().contains(&state.path().display().to_string()), "{error}");
    }
}
