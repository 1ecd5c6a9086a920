//! Records of plugins: durable, bounded, and gone with their owners.

use super::*;

fn put(key: &str, value: &[u8], owner: Option<&str>) -> RecordChange {
    let record = Record { value: value.into(), owner: owner.map(Box::from) };
    RecordChange { key: key.into(), record: Some(record) }
}

fn removed(key: &str) -> RecordChange {
    RecordChange { key: key.into(), record: None }
}

fn read(store: &Store, key: &str) -> Option<Vec<u8>> {
    store.with_record("lamp", key, |value| value.map(<[u8]>::to_vec))
}

fn keys(store: &Store, prefix: &str) -> Vec<String> {
    store.records("lamp", prefix).unwrap().into_iter().map(|(key, _)| key).collect()
}

#[tokio::test]
async fn what_was_acknowledged_survives_a_kill_and_is_in_a_backup() {
    let folder = tempfile::tempdir().unwrap();
    let store = with_users(folder.path(), &["ann@x"]).await;
    let changes =
        vec![put("a/1", b"one", Some("ann@x")), put("a/2", b"", None), put("a/1", b"won", None), put("b", b"\0", None)];
    store.change_records("lamp", changes).await.unwrap();
    store
        .change_records("lamp", vec![removed("b"), removed("never there"), put("a\u{10FFFF}", b"", None)])
        .await
        .unwrap();
    store.change_records("lamp2", vec![put("a/1", b"another's", None)]).await.unwrap();
    let copy = killed(folder.path());
    let saved = copy.path().join("saved");
    fs::create_dir(&saved).unwrap();
    backup(copy.path(), &saved.join("state.db"), |_| {}).unwrap();
    for store in [store, Store::open(copy.path()).unwrap(), Store::open(&saved).unwrap()] {
        assert_eq!(
            (read(&store, "a/1"), read(&store, "a/2"), read(&store, "b")),
            (Some(b"won".into()), Some(vec![]), None)
        );
        assert_eq!(keys(&store, "a/"), ["a/1", "a/2"]);
        assert_eq!(keys(&store, ""), ["a/1", "a/2", "a\u{10FFFF}"]);
        assert_eq!(keys(&store, "c"), [""; 0]);
        let sizes = [("lamp".to_owned(), 6 + 3 + 5), ("lamp2".to_owned(), 3 + 9)];
        assert_eq!(store.records_sizes(), sizes, "of what is there, however it came to be");
    }
}

#[tokio::test]
async fn a_change_is_made_whole_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let store = with_users(folder.path(), &["ann@x"]).await;
    store.change_records("lamp", vec![put("a", b"1", None)]).await.unwrap();
    let size = store.records_sizes();
    let unknown = store.change_records("lamp", vec![put("a", b"2", None), put("b", b"", Some("tim@x"))]).await;
    assert_eq!(store.records_sizes(), size);
    assert!(matches!(unknown, Err(StoreError::UnknownAccount(user)) if user == "tim@x"));
    for bad in [put("", b"", None), put(&"k".repeat(257), b"", None), put("big", &[0; 65_537], None)] {
        let refused = store.change_records("lamp", vec![put("a", b"2", None), bad]).await;
        assert!(matches!(refused, Err(StoreError::RecordSize)), "{refused:?}");
    }
    assert_eq!((read(&store, "a").as_deref(), keys(&store, "")), (Some(&b"1"[..]), vec!["a".to_owned()]));
    store.change_records("lamp", vec![put(&"k".repeat(256), &[0; 65_536], Some("ann@x"))]).await.unwrap();
}

#[tokio::test]
async fn records_go_with_the_account_that_owns_them() {
    let folder = tempfile::tempdir().unwrap();
    let store = with_users(folder.path(), &["ann@x", "bob@x"]).await;
    let changes = vec![put("ann", b"", Some("ann@x")), put("bob", b"", Some("bob@x")), put("all", b"", None)];
    store.change_records("lamp", changes).await.unwrap();
    store.remove_account(&jid("ann@x")).await.unwrap();
    store.add_account(&jid("ann@x"), &credentials(2)).await.unwrap();
    assert_eq!((read(&store, "ann"), keys(&store, "")), (None, vec!["all".to_owned(), "bob".to_owned()]));
    let after = Store::open(killed(folder.path()).path()).unwrap();
    assert_eq!((read(&after, "ann"), read(&after, "bob")), (None, Some(vec![])));
}

#[tokio::test]
async fn a_plugin_has_its_room_and_no_more_and_can_always_remove() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let large = vec![0; 65_536];
    let many = |from: usize, to: usize| (from..to).map(|at| put(&format!("{at:04}"), &large, None)).collect::<Vec<_>>();
    store.change_records("lamp", many(0, 1_000)).await.unwrap();
    let full = store.change_records("lamp", many(1_000, 1_100)).await;
    assert!(matches!(full, Err(StoreError::RecordsFull(id)) if id == "lamp"));
    assert_eq!(keys(&store, "1"), [""; 0], "nothing of it was kept");
    store.change_records("lamp2", many(0, 100)).await.unwrap();
    // One in place of another takes no room, and what is removed gives it back.
    store.change_records("lamp", many(0, 1_000)).await.unwrap();
    store.change_records("lamp", (0..100).map(|at| removed(&format!("{at:04}"))).collect()).await.unwrap();
    store.change_records("lamp", many(1_000, 1_100)).await.unwrap();
    assert!(store.change_records("lamp", many(1_100, 1_200)).await.is_err());
}

#[test]
fn a_thread_without_a_runtime_waits_for_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    store.change_records_blocking("lamp", vec![put("a", b"1", None)]).unwrap();
    assert_eq!(read(&Store::open(killed(folder.path()).path()).unwrap(), "a").as_deref(), Some(&b"1"[..]));
}

#[tokio::test]
async fn a_thread_of_a_runtime_may_wait_too() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    // More than the budget that a task of tokio's has between two pauses.
    for round in 0..300 {
        store.change_records_blocking("lamp", vec![put("a", &[round as u8], None)]).unwrap();
    }
    assert_eq!(read(&store, "a").as_deref(), Some(&[43][..]));
}
