//! Folders that plugins have left behind.

use std::{
    fs::{self, Permissions},
    io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

/// Deletes a folder with all that is in it. One that is not there is deleted already.
///
/// # Errors
/// Something in it belongs to somebody else.
pub fn delete_folder(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Ok(()) => Ok(()),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(_) => {
            make_writable(folder.to_owned())?;
            fs::remove_dir_all(folder)
        }
    }
}

/// A plugin may have closed folders of its own to writing, and then nothing in them can be deleted.
fn make_writable(folder: PathBuf) -> io::Result<()> {
    let mut folders = vec![folder];
    while let Some(folder) = folders.pop() {
        fs::set_permissions(&folder, Permissions::from_mode(0o700))?;
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
            }
        }
    }
    Ok(())
}
