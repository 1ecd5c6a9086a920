//! The store as its callers see it: what is acknowledged stays, what is damaged is refused.

mod damage;
mod documents;
mod records;

use std::{
    fs,
    time::{Duration, Instant},
};

use jid::BareJid;
use rusqlite::Connection;
use tempfile::TempDir;

use super::{roster::Item, *};

fn jid(text: &str) -> BareJid {
    BareJid::new(text).unwrap()
}

fn credentials(seed: u8) -> Credentials {
    let keys = |size: usize| Keys {
        salt: vec![seed; 16],
        iterations: 4096,
        stored_key: vec![seed.wrapping_add(1); size],
        server_key: vec![seed.wrapping_add(2); size],
    };
    Credentials { scram_sha_1: keys(20), scram_sha_256: keys(32) }
}

fn goodbye(status: &str) -> Goodbye {
    Goodbye { status: Some(status.into()), stanza: format!("<presence>{status}</presence>"), at: 7 }
}

fn change(user: &str, contact: &str, item: Item) -> RosterChange {
    RosterChange { user: jid(user), contact: jid(contact), item: Some(item), seen: false }
}

fn both() -> Item {
    Item { to: true, from: true, listed: true, ..Item::default() }
}

fn block(jids: &[&str]) -> BlocklistChange {
    BlocklistChange::Block(jids.iter().map(|jid| jid.parse().unwrap()).collect())
}

async fn with_users(folder: &Path, users: &[&str]) -> Store {
    let store = Store::open(folder).unwrap();
    for user in users {
        store.add_account(&jid(user), &credentials(7)).await.unwrap();
    }
    store
}

/// The state folder as a `kill -9` at this moment would leave it.
fn killed(folder: &Path) -> TempDir {
    let copy = tempfile::tempdir().unwrap();
    for file in fs::read_dir(folder).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), copy.path().join(file.file_name())).unwrap();
    }
    copy
}

#[tokio::test]
async fn everything_is_there_after_a_clean_end() {
    let folder = tempfile::tempdir().unwrap();
    let store = with_users(folder.path(), &["ann@x", "bob@x"]).await;
    let item = Item { name: Some("Bob".into()), groups: vec!["a".into(), "b \"c\"".into()], ..both() };
    store.change_rosters(vec![change("ann@x", "bob@x", item.clone())]).await.unwrap();
    store.change_blocklist(&jid("ann@x"), block(&["eve@x/phone", "y"])).await.unwrap();
    store.record_goodbye(&jid("ann@x"), Some(goodbye("gone")));
    store.set_setting("presence.visibility", "anyone").await.unwrap();
    store.claim_domain("x").await.unwrap();
    let record =
        PluginRecord { id: "presence".into(), routes: vec!["/plugins/presence/status".into()], ..Default::default() };
    store.save_plugin(&record).await.unwrap();
    drop(store);

    let files: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().file_name()).collect();
    assert_eq!(files, ["state.db"], "log and marker are gone");
    let store = Store::open(folder.path()).unwrap();
    assert_eq!(store.accounts(), [jid("ann@x"), jid("bob@x")]);
    assert_eq!(store.credentials("bob@x").unwrap(), Some(credentials(7)));
    assert_eq!(store.roster_of("ann@x").unwrap().items[&jid("bob@x")], item);
    assert_eq!(store.blocklist(&jid("ann@x")).iter().collect::<Vec<_>>(), ["eve@x/phone", "y"]);
    assert_eq!(store.last_statuses().unwrap(), [("ann@x".into(), "gone".into(), goodbye("gone").at)]);
    assert_eq!(store.setting("presence.visibility").as_deref(), Some("anyone"));
    assert_eq!(store.domain().unwrap().as_deref(), Some("x"));
    assert_eq!(store.plugins().unwrap(), [record]);
}

#[tokio::test]
async fn what_was_acknowledged_survives_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let store = with_users(folder.path(), &["ann@x", "bob@x"]).await;
    store.change_rosters(vec![change("ann@x", "bob@x", both()), change("bob@x", "ann@x", both())]).await.unwrap();
    let copy = killed(folder.path());
    let after = Store::open(copy.path()).unwrap();
    assert_eq!(after.accounts(), store.accounts());
    assert_eq!(after.roster_of("bob@x").unwrap(), store.roster_of("bob@x").unwrap());
}

#[tokio::test]
async fn a_last_status_is_on_the_disk_within_a_second() {
    let folder = tempfile::tempdir().unwrap();
    let store = with_users(folder.path(), &["ann@x"]).await;
    store.record_goodbye(&jid("ann@x"), Some(goodbye("lunch")));
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(1);
    while store.last_statuses().unwrap().is_empty() {
        assert!(std::time::Instant::now() < deadline, "not written in time");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    store.record_goodbye(&jid("ann@x"), None);
    store.claim_domain("x").await.unwrap();
    assert_eq!(store.last_statuses().unwrap(), [], "it travels with the next commit");
}

#[tokio::test]
async fn a_goodbye_is_known_before_and_after_it_is_on_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    let store = with_users(folder.path(), &["ann@x", "bob@x"]).await;
    let (ann, bob) = (jid("ann@x"), jid("bob@x"));
    let silent = Goodbye { status: None, ..goodbye("") };
    store.record_goodbye(&ann, Some(goodbye("lunch")));
    store.record_goodbye(&bob, Some(silent.clone()));
    for _ in 0..2 {
        assert_eq!(store.goodbyes(&[&ann, &bob]).unwrap(), [goodbye("lunch"), silent.clone()]);
        store.claim_domain("x").await.unwrap();
    }
    let [of_ann, of_bob] = [("ann@x".into(), "lunch".into(), silent.at), ("bob@x".into(), String::new(), silent.at)];
    assert_eq!(store.last_statuses().unwrap(), [of_ann, of_bob], "who leaves without a word left some time");
    store.record_goodbye(&ann, None);
    assert_eq!(store.goodbyes(&[&ann]).unwrap(), []);
}

/// How long an answer takes must not tell who has an account: none of them is read from the disk.
#[tokio::test]
async fn rosters_are_in_memory_and_a_name_without_an_account_has_an_empty_one() {
    let folder = tempfile::tempdir().unwrap();
    let store = with_users(folder.path(), &["ann@x", "bob@x", "cat@x"]).await;
    store.change_rosters(vec![change("ann@x", "bob@x", both()), change("bob@x", "cat@x", both())]).await.unwrap();
    drop(store);
    let store = with_users(folder.path(), &["dan@x"]).await;
    store.remove_account(&jid("cat@x")).await.unwrap();
    // A reader that needs the disk finds no database.
    store.inner.readers.clear();
    fs::rename(schema::path(folder.path()), folder.path().join("elsewhere")).unwrap();
    let contacts = |user: &str| store.roster_of(user).unwrap().items.len();
    assert_eq!(["ann@x", "bob@x", "cat@x", "dan@x", "nobody@x"].map(contacts), [1, 1, 0, 0, 0]);
    store.change_rosters(vec![change("dan@x", "ann@x", both())]).await.unwrap();
    assert_eq!(contacts("dan@x"), 1, "as changed since");
    (0..10_000).for_each(|number| assert_eq!(contacts(&format!("{number}@x")), 0));
    assert!(store.inner.memory.without_roster().is_empty());
}

/// As after a start with very many contacts.
#[tokio::test]
async fn rosters_that_are_not_in_memory_are_read_by_a_thread() {
    let folder = tempfile::tempdir().unwrap();
    let store = with_users(folder.path(), &["ann@x", "bob@x"]).await;
    store.change_rosters(vec![change("ann@x", "bob@x", both())]).await.unwrap();
    let memory = &store.inner.memory;
    memory.rosters.forget([&jid("ann@x"), &jid("bob@x")]);
    assert_eq!(memory.without_roster().len(), 2);
    Inner::read_rosters(&store.inner).unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    while !memory.without_roster().is_empty() {
        assert!(Instant::now() < deadline, "nothing reads them");
        std::thread::yield_now();
    }
    assert_eq!(memory.rosters.known("ann@x").unwrap().items.len(), 1);
}

/// Versions that a roster got after the backup was made are of changes that it does not hold.
#[tokio::test]
async fn a_roster_from_a_backup_is_sent_whole_to_whom_had_it_before() {
    let (folder, restored) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let seen = |contact| vec![RosterChange { seen: true, ..change("ann@x", contact, both()) }];
    let is_known = |store: &Store, version: i64| {
        let roster = store.roster(&jid("ann@x")).unwrap();
        (roster.whole_before..=roster.version).contains(&version)
    };
    let store = with_users(folder.path(), &["ann@x"]).await;
    let kept = store.change_rosters(seen("bob@x")).await.unwrap()[0];
    backup(folder.path(), &restored.path().join("state.db"), |_| {}).unwrap();
    let lost = store.change_rosters(seen("cat@x")).await.unwrap()[0];
    let store = Store::open(restored.path()).unwrap();
    assert_eq!(store.roster(&jid("ann@x")).unwrap().items.len(), 1);
    assert_eq!([0, kept, lost].map(|version| is_known(&store, version)), [false; 3]);
    let next = store.change_rosters(seen("dan@x")).await.unwrap()[0];
    for store in [store, Store::open(killed(restored.path()).path()).unwrap()] {
        assert_eq!([0, kept, lost, next].map(|version| is_known(&store, version)), [false, false, false, true]);
    }
}

#[tokio::test]
async fn a_roster_has_a_new_version_with_each_change_that_is_seen() {
    let folder = tempfile::tempdir().unwrap();
    let store = with_users(folder.path(), &["ann@x"]).await;
    let seen = |contact: &str, item| RosterChange { item, seen: true, ..change("ann@x", contact, both()) };
    let roster = || store.roster_of("ann@x").unwrap();
    assert_eq!((roster().version, roster().whole_before), (0, 0));

    let first = store.change_rosters(vec![seen("bob@x", Some(both())), seen("eve@x", Some(both()))]).await.unwrap();
    assert!(first[0] > 0 && first[1] > first[0] + 1);
    assert_eq!((roster().version, roster().whole_before), (first[1], first[0]));
    assert_eq!(store.change_rosters(vec![change("ann@x", "bob@x", both())]).await.unwrap(), [0]);
    assert_eq!(roster().version, first[1]);

    let last = store.change_rosters(vec![seen("eve@x", None)]).await.unwrap();
    assert_eq!((roster().version, roster().whole_before), (last[0], last[0]));
    let in_memory = roster();
    drop(store);
    assert_eq!(Store::open(folder.path()).unwrap().roster_of("ann@x").unwrap(), in_memory);
}

#[tokio::test]
async fn a_failing_change_does_not_fail_its_neighbours() {
    let folder = tempfile::tempdir().unwrap();
    let store = with_users(folder.path(), &["ann@x"]).await;
    let half = vec![change("ann@x", "bob@x", both()), change("nobody@x", "ann@x", both())];
    let (ann, other) = (jid("ann@x"), credentials(1));
    let (good, bad, twice) = tokio::join!(
        store.change_rosters(vec![change("ann@x", "eve@x", both())]),
        store.change_rosters(half),
        store.add_account(&ann, &other),
    );
    good.unwrap();
    assert!(matches!(bad, Err(StoreError::UnknownAccount(user)) if user == "nobody@x"));
    assert!(matches!(twice, Err(StoreError::AlreadyExists(user)) if user == "ann@x"));
    let contacts: Vec<_> = store.roster_of("ann@x").unwrap().items.keys().cloned().collect();
    assert_eq!(contacts, [jid("eve@x")], "the half change left nothing");
    assert_eq!(store.credentials("ann@x").unwrap(), Some(credentials(7)));
}

#[tokio::test]
async fn a_full_disk_acknowledges_nothing_and_heals() {
    let folder = tempfile::tempdir().unwrap();
    let store = with_users(folder.path(), &["ann@x"]).await;
    store.change_blocklist(&jid("ann@x"), block(&["y"])).await.unwrap();
    // The limit lives as long as the connection: it is gone when the store opened the file again.
    let pages = |db: &Connection| Ok(db.pragma_update(None, "max_page_count", 1)?);
    store.write(pages).await.unwrap();
    let request = Some("x".repeat(100_000));
    let big = change("ann@x", "bob@x", Item { request, ..Item::default() });
    let (eve, keys) = (jid("eve@x"), credentials(1));
    let (full, beside) = tokio::join!(store.change_rosters(vec![big.clone()]), store.add_account(&eve, &keys));
    assert!(matches!(&full, Err(error @ StoreError::Database(_)) if error.is_of_the_disk()), "{full:?}");
    assert_eq!(store.account_exists("eve@x"), beside.is_ok(), "an answer and the memory differ");
    assert!(store.roster_of("ann@x").unwrap().items.is_empty());
    // The neighbour may have been committed behind it, in the file opened again: then it has healed.
    assert!(store.trouble().is_some() || beside.is_ok());

    store.change_rosters(vec![big]).await.unwrap();
    assert_eq!(store.trouble(), None);
    assert!(store.blocks("ann@x", "y"), "still there after the memory was read again");
    let copy = killed(folder.path());
    let after = Store::open(copy.path()).unwrap();
    assert_eq!(after.account_exists("eve@x"), beside.is_ok());
    assert_eq!(after.roster_of("ann@x").unwrap(), store.roster_of("ann@x").unwrap());
}

#[tokio::test]
async fn many_writers_share_commits() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..500 {
        let store = store.clone();
        tasks.spawn(async move { store.add_account(&jid(&format!("user{number}@x")), &credentials(1)).await });
    }
    while let Some(outcome) = tasks.join_next().await {
        outcome.unwrap().unwrap();
    }
    let copy = killed(folder.path());
    assert_eq!(Store::open(copy.path()).unwrap().accounts().len(), 500);
}

#[tokio::test]
async fn a_removed_account_leaves_no_subscription_behind() {
    let folder = tempfile::tempdir().unwrap();
    let store = with_users(folder.path(), &["ann@x", "bob@x", "eve@x"]).await;
    let named = Item { name: Some("Ann".into()), approved: true, ..both() };
    let asking = Item { request: Some("<presence/>".into()), ..Item::default() };
    store
        .change_rosters(vec![
            change("ann@x", "bob@x", both()),
            change("bob@x", "ann@x", named),
            change("eve@x", "ann@x", asking),
        ])
        .await
        .unwrap();
    store.roster_of("bob@x").unwrap();
    store.record_goodbye(&jid("ann@x"), Some(goodbye("bye")));

    assert_eq!(store.remove_account(&jid("ann@x")).await.unwrap(), [jid("bob@x"), jid("eve@x")]);
    assert!(!store.account_exists("ann@x"));
    let bobs = store.roster_of("bob@x").unwrap();
    let left = Item { name: Some("Ann".into()), listed: true, version: bobs.version, ..Item::default() };
    assert_eq!(bobs.items[&jid("ann@x")], left);
    assert!(bobs.version > 0, "the owner has to be told");
    assert!(store.roster_of("eve@x").unwrap().items.is_empty());
    store.add_account(&jid("ann@x"), &credentials(2)).await.unwrap();
    assert!(store.roster_of("ann@x").unwrap().items.is_empty());
    store.claim_domain("x").await.unwrap();
    assert_eq!(store.last_statuses().unwrap(), []);
    assert!(matches!(store.remove_account(&jid("tim@x")).await, Err(StoreError::UnknownAccount(_))));
}

#[tokio::test]
async fn a_blocklist_is_in_force_once_acknowledged_and_goes_with_its_account() {
    let folder = tempfile::tempdir().unwrap();
    let store = with_users(folder.path(), &["ann@x", "bob@x"]).await;
    let (ann, bob) = (jid("ann@x"), jid("bob@x"));
    store.change_blocklist(&ann, block(&["bob@x", "cat@y/pc"])).await.unwrap();
    store.change_blocklist(&ann, block(&["bob@x"])).await.unwrap();
    store.change_blocklist(&bob, block(&["x"])).await.unwrap();
    assert!(store.blocks("ann@x", "bob@x") && store.blocks("ann@x", "bob@x/phone") && !store.blocks("ann@x", "eve@x"));
    assert!(store.blocks("bob@x", "ann@x") && !store.blocks("bob@x", "bob@x/phone"), "the own resources");

    let unblock = BlocklistChange::Unblock(vec![bob.clone().into()]);
    store.change_blocklist(&ann, unblock).await.unwrap();
    assert!(!store.blocks("ann@x", "bob@x") && store.blocks("ann@x", "cat@y/pc"));
    let copy = killed(folder.path());
    let after = Store::open(copy.path()).unwrap();
    assert_eq!((after.blocklist(&ann), after.blocklist(&bob)), (store.blocklist(&ann), store.blocklist(&bob)));

    store.remove_account(&bob).await.unwrap();
    store.change_blocklist(&ann, BlocklistChange::UnblockAll).await.unwrap();
    for user in [&ann, &bob] {
        assert_eq!(*store.blocklist(user), Blocklist::default());
    }
    let unknown = store.change_blocklist(&bob, block(&["x"])).await;
    assert!(matches!(unknown, Err(StoreError::UnknownAccount(user)) if user == "bob@x"));
    assert!(!store.blocks("bob@x", "ann@x"));
    store.add_account(&bob, &credentials(1)).await.unwrap();
    drop(store);
    assert!(!Store::open(folder.path()).unwrap().blocks("bob@x", "ann@x"));
}

#[tokio::test]
async fn what_waits_survives_a_kill_until_it_is_taken_out() {
    let folder = tempfile::tempdir().unwrap();
    let store = with_users(folder.path(), &["ann@x"]).await;
    let ann = jid("ann@x");
    for stanza in ["one", "two"] {
        assert!(store.store_offline_message(&ann, stanza.into()).await.unwrap());
    }
    let copy = killed(folder.path());
    let after = Store::open(copy.path()).unwrap();
    let waiting = after.offline_messages(&ann, 1 << 20).unwrap();
    assert_eq!(waiting.iter().map(|message| &message.stanza[..]).collect::<Vec<_>>(), [b"one", b"two"]);
    assert_eq!(after.offline_messages(&ann, 1).unwrap().len(), 1, "at least one");
    after.remove_offline_messages(&ann, vec![waiting[0].id]).await.unwrap();
    assert!(after.has_offline_messages(&ann));
    after.remove_offline_messages(&ann, vec![waiting[1].id]).await.unwrap();
    assert!(!after.has_offline_messages(&ann));
    drop(after);
    assert!(!Store::open(copy.path()).unwrap().has_offline_messages(&ann));
    let unknown = store.store_offline_message(&jid("bob@x"), "hi".into()).await;
    assert!(matches!(unknown, Err(StoreError::UnknownAccount(user)) if user == "bob@x"));
}

#[tokio::test]
async fn of_a_removed_account_no_byte_stays_on_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    let store = with_users(folder.path(), &["ann@x", "zoe.quaint@x"]).await;
    let (ann, zoe) = (jid("ann@x"), jid("zoe.quaint@x"));
    store.change_rosters(vec![change("zoe.quaint@x", "ann@x", both())]).await.unwrap();
    store.change_blocklist(&zoe, block(&["bob@x"])).await.unwrap();
    store.record_goodbye(&zoe, Some(goodbye("off to the zoe.quaint show")));
    let record = Record { value: b"of zoe.quaint alone".as_slice().into(), owner: Some(zoe.as_str().into()) };
    store.change_records("lamp", vec![RecordChange { key: "zoe.quaint".into(), record: Some(record) }]).await.unwrap();
    for _ in 0..100 {
        let message = "<message to='zoe.quaint@x'><body>for zoe.quaint alone</body></message>";
        store.store_offline_message(&zoe, message.into()).await.unwrap();
    }
    store.store_offline_message(&ann, "<message><body>stays</body></message>".into()).await.unwrap();
    let holding = || {
        let files = fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().path());
        files
            .filter(|file| fs::read(file).unwrap().windows(10).any(|window| window == b"zoe.quaint"))
            .collect::<Vec<_>>()
    };
    assert!(!holding().is_empty());
    store.remove_account(&zoe).await.unwrap();
    assert_eq!(holding(), [] as [std::path::PathBuf; 0]);
    assert!(store.has_offline_messages(&ann));
}

#[tokio::test]
async fn accounts_bind_the_domain() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    store.claim_domain("localhost").await.unwrap();
    store.claim_domain("x").await.unwrap();
    store.add_account(&jid("ann@x"), &credentials(7)).await.unwrap();
    store.claim_domain("x").await.unwrap();
    let other = store.claim_domain("y").await;
    assert!(matches!(other, Err(StoreError::OtherDomain { held, asked }) if held == "x" && asked == "y"));
    assert_eq!(store.domain().unwrap().as_deref(), Some("x"));
}

#[tokio::test]
async fn a_saved_plugin_stays_disabled() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let record = PluginRecord { id: "echo".into(), ..Default::default() };
    assert!(matches!(store.disable_plugin("echo", true).await, Err(StoreError::UnknownPlugin(_))));
    store.save_plugin(&record).await.unwrap();
    store.disable_plugin("echo", true).await.unwrap();
    store.save_plugin(&PluginRecord { version: "2".into(), ..record }).await.unwrap();
    let plugins = store.plugins().unwrap();
    assert_eq!((plugins[0].version.as_str(), plugins[0].disabled), ("2", true));
    let bad = Quarantined { sha256: "ab".into(), plugin: "echo".into(), reason: "crashed".into(), since: 5 };
    store.quarantine(&bad).await.unwrap();
    assert_eq!(store.quarantined().unwrap(), [bad]);
    assert_eq!(store.release("echo").await.unwrap(), 1);
    assert_eq!(store.quarantined().unwrap(), []);
}

#[tokio::test]
async fn a_removed_plugin_leaves_its_version_behind() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    for (id, version, state) in [("echo", "1.9.0", "active"), ("bad", "3.0.0", "refused"), ("echo", "1.10.0", "active")]
    {
        let record = PluginRecord { id: id.into(), version: version.into(), state: state.into(), ..Default::default() };
        store.save_plugin(&record).await.unwrap();
        store.remove_plugin(id).await.unwrap();
    }
    assert_eq!(store.last_versions().unwrap(), [("echo".into(), "1.10.0".into())].into());
}

#[tokio::test]
async fn a_closed_store_refuses_changes_and_still_reads() {
    let folder = tempfile::tempdir().unwrap();
    let store = with_users(folder.path(), &["ann@x"]).await;
    store.close();
    assert!(matches!(store.claim_domain("x").await, Err(StoreError::Closed)));
    assert!(store.credentials("ann@x").unwrap().is_some());
}

#[tokio::test]
async fn the_first_schema_is_upgraded_with_what_it_holds() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    store.set_setting_schemas("lamp", 7, Vec::new()).await.unwrap();
    store.add_account(&jid("ann@x"), &credentials(1)).await.unwrap();
    store.change_rosters(vec![change("ann@x", "bob@x", both())]).await.unwrap();
    store.record_goodbye(&jid("ann@x"), Some(goodbye("lunch")));
    store.close();
    let first = "ALTER TABLE setting_schemas DROP COLUMN version;
                 ALTER TABLE setting_schemas DROP COLUMN before;
                 DROP TABLE last_versions;
                 DROP TABLE crashes;
                 DROP TABLE offline_messages;
                 DROP TABLE roster_versions;
                 DROP TABLE plugin_records;
                 DROP TABLE documents;
                 ALTER TABLE roster_items DROP COLUMN version;
                 ALTER TABLE last_statuses DROP COLUMN stanza;
                 ALTER TABLE last_statuses DROP COLUMN at;
                 PRAGMA user_version = 1";
    Connection::open(schema::path(folder.path())).unwrap().execute_batch(first).unwrap();
    backup(folder.path(), &folder.path().join("before the upgrade"), |_| {}).unwrap();
    let store = Store::open(folder.path()).unwrap();
    assert_eq!(store.last_statuses().unwrap(), [("ann@x".into(), "lunch".into(), 0)], "nobody wrote down when");
    assert_eq!(store.goodbyes(&[&jid("ann@x")]).unwrap(), []);
    assert_eq!(store.roster_of("ann@x").unwrap().items[&jid("bob@x")], both());
    let settings = store.settings();
    assert_eq!((settings.versions["lamp"], settings.before.get("lamp")), (1, None));
}

/// A backup reads for as long as it takes.
#[tokio::test]
async fn a_reader_keeps_the_log_from_being_emptied_and_nobody_waiting() {
    let folder = tempfile::tempdir().unwrap();
    let store = with_users(folder.path(), &["ann@x", "bob@x"]).await;
    let reader = schema::reading(&schema::path(folder.path())).unwrap();
    reader.execute_batch("BEGIN; SELECT count(*) FROM accounts").unwrap();
    let begun = Instant::now();
    store.remove_account(&jid("ann@x")).await.unwrap();
    store.set_credentials(&jid("bob@x"), &credentials(9)).await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    let log = folder.path().join("state.db-wal");
    assert!(fs::metadata(&log).unwrap().len() > 0);
    drop(reader);
    while fs::metadata(&log).unwrap().len() > 0 {
        assert!(begun.elapsed() < Duration::from_secs(30), "the log is emptied once the reader is gone");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
