//! Databases that are no good: refused, named, and left as they are.

use super::*;

/// Opens a folder after `damage` was done to its database, which must be refused and left as it is.
fn refused(damage: impl FnOnce(&Path)) -> StoreError {
    let folder = tempfile::tempdir().unwrap();
    let path = schema::path(folder.path());
    drop(Store::open(folder.path()).unwrap());
    damage(&path);
    let before = fs::read(&path).unwrap();
    let error = Store::open(folder.path()).err().expect("it must be refused");
    assert_eq!(fs::read(&path).unwrap(), before, "the file was touched");
    assert!(error.to_string().contains(path.parent().unwrap().to_str().unwrap()), "{error}");
    error
}

#[test]
fn a_file_that_is_not_ours_is_refused() {
    assert!(matches!(refused(|path| fs::write(path, "").unwrap()), StoreError::Foreign { .. }));
    assert!(matches!(refused(|path| fs::write(path, [b'x'; 4096]).unwrap()), StoreError::Foreign { .. }));
    let other = |path: &Path| {
        fs::remove_file(path).unwrap();
        Connection::open(path).unwrap().execute_batch("CREATE TABLE t (c)").unwrap();
    };
    assert!(matches!(refused(other), StoreError::Foreign { .. }));
}

#[test]
fn a_newer_schema_is_refused() {
    let newer = |path: &Path| Connection::open(path).unwrap().pragma_update(None, "user_version", 99).unwrap();
    assert!(matches!(refused(newer), StoreError::Newer { found: 99, known, .. } if known < 99));
}

#[test]
fn a_damaged_file_is_refused() {
    let flip = |path: &Path| {
        let mut bytes = fs::read(path).unwrap();
        // The page type of the second page: a table's root.
        bytes[4096] ^= 0xff;
        fs::write(path, bytes).unwrap();
    };
    assert!(matches!(refused(flip), StoreError::Corrupt { .. }));
    let cut = |path: &Path| {
        let bytes = fs::read(path).unwrap();
        fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
    };
    assert!(matches!(refused(cut), StoreError::Corrupt { .. }));
}

#[tokio::test]
async fn a_log_that_was_taken_away_is_missed() {
    let folder = tempfile::tempdir().unwrap();
    let store = with_users(folder.path(), &["ann@x"]).await;
    let copy = killed(folder.path());
    drop(store);
    fs::remove_file(copy.path().join("state.db-wal")).unwrap();
    assert!(matches!(Store::open(copy.path()), Err(StoreError::LogMissing { .. })));
    fs::remove_file(copy.path().join("state.db-in-use")).unwrap();
    Store::open(copy.path()).unwrap();
}
