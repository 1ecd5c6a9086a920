//! Requests, carried out beside a running host and without one.

use std::{
    fs,
    os::unix::{fs::PermissionsExt, net::UnixListener},
    path::{Path, PathBuf},
    sync::Arc,
};

use parking_lot::Mutex;
use tempfile::TempDir;

use super::*;
use crate::plugin::deploy::status::State;
use crate::store::{Keys, Lock, PluginRecord, SettingKind, SettingSchema, Store};

fn credentials() -> Credentials {
    let keys =
        |size| Keys { salt: vec![1; 16], iterations: 4096, stored_key: vec![2; size], server_key: vec![3; size] };
    Credentials { scram_sha_1: keys(20), scram_sha_256: keys(32) }
}

fn add(jid: &str) -> Request {
    Request::AddUser { jid: jid.into(), credentials: credentials() }
}

fn set(name: &str, value: &str) -> Request {
    Request::SetSetting { name: name.into(), value: value.into() }
}

fn get(name: &str) -> Request {
    Request::Setting { name: name.into() }
}

fn text(reply: Reply) -> String {
    match reply {
        Ok(Answer::Done { text, .. } | Answer::Value(text)) => text,
        Ok(other) => format!("{other:?}"),
        Err(refusal) => format!("{}: {refusal}", if refusal.usage { "usage" } else { "failed" }),
    }
}

/// A host that notes what it is told.
#[derive(Default)]
struct Host {
    told: Mutex<Vec<String>>,
}

impl Host {
    fn note(&self, what: String) -> Acting<'_> {
        self.told.lock().push(what);
        Box::pin(async { Ok(()) })
    }
}

impl Running for Host {
    fn remove_account<'a>(&'a self, user: &'a BareJid) -> Acting<'a> {
        self.note(format!("remove {user}"))
    }
    fn plugins(&self) -> Arc<[PluginStatus]> {
        let record = PluginRecord { id: "echo".into(), ..PluginRecord::default() };
        [PluginStatus { state: State::Active, ..PluginStatus::from(record) }].into()
    }
    fn cost(&self) -> Cost {
        Cost { versions: 3, ..Cost::default() }
    }
    fn disable<'a>(&'a self, id: &'a str) -> Acting<'a> {
        self.note(format!("disable {id}"))
    }
    fn enable<'a>(&'a self, _: &'a str) -> Acting<'a> {
        Box::pin(async { Err("its file is gone".into()) })
    }
    fn retry<'a>(&'a self, id: &'a str) -> Acting<'a> {
        self.note(format!("retry {id}"))
    }
    fn setting_changed<'a>(&'a self, name: &'a str) -> Acting<'a> {
        self.note(format!("setting {name}"))
    }
}

/// A host on a state folder, listening for commands.
struct Serving {
    host: Arc<Host>,
    store: Store,
    _lock: Lock,
    _runtime: tokio::runtime::Runtime,
}

fn serving(state: &Path) -> Serving {
    let lock = Lock::take(state).unwrap();
    let store = Store::open(state).unwrap();
    let host = Arc::new(Host::default());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let executor = Executor::beside(store.clone(), host.clone());
    let server = runtime.block_on(async { Server::bind(state) }).unwrap();
    runtime.spawn(server.run(executor));
    Serving { host, store, _lock: lock, _runtime: runtime }
}

fn state() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    (folder, state)
}

#[test]
fn a_command_without_a_host_does_it_itself() {
    let (_folder, state) = state();
    assert_eq!(text(call(&state, &add("Ann"))), "added ann@localhost");
    assert!(text(call(&state, &add("ann@localhost"))).starts_with("failed: user: ann@localhost is there already"));
    assert_eq!(call(&state, &Request::Users), Ok(Answer::Users(vec!["ann@localhost".into()])));
    assert_eq!(text(call(&state, &Request::RemoveUser { jid: "ann".into() })), "removed ann@localhost");
    assert!(
        text(call(&state, &Request::RemoveUser { jid: "ann".into() }))
            .starts_with("failed: user: ann@localhost is not")
    );
}

#[test]
fn the_first_user_decides_the_domain() {
    let (_folder, state) = state();
    assert_eq!(text(call(&state, &add("ann@example.com"))), "added ann@example.com");
    assert_eq!(text(call(&state, &add("bob"))), "added bob@example.com");
    assert_eq!(
        text(call(&state, &add("eve@localhost"))),
        "failed: user: eve@localhost: the domain of this server is example.com"
    );
    for wrong in ["ann@example.com/desk", "a b", "@example.com", "", "/"] {
        assert!(text(call(&state, &add(wrong))).starts_with("usage: user: "), "{wrong:?}");
    }
}

#[test]
fn a_running_host_is_asked_and_told() {
    let (_folder, state) = state();
    let serving = serving(&state);
    assert_eq!(text(call(&state, &add("ann"))), "added ann@localhost");
    assert!(serving.store.account_exists("ann@localhost"), "the host's own store has it at once");
    assert_eq!(text(call(&state, &Request::RemoveUser { jid: "ann".into() })), "removed ann@localhost");
    assert_eq!(text(call(&state, &set("echo.text", "hi"))), "echo.text = hi");
    assert_eq!(*serving.host.told.lock(), ["remove ann@localhost", "setting echo.text"]);
    let mode = fs::metadata(state.join("control.sock")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_state_folder_of_any_depth_works() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("d".repeat(90)).join("e".repeat(90));
    let serving = serving(&state);
    assert_eq!(text(call(&state, &add("ann"))), "added ann@localhost");
    assert!(serving.store.account_exists("ann@localhost"));
}

#[test]
fn the_socket_of_a_dead_host_is_in_nobodys_way() {
    let (_folder, state) = state();
    fs::create_dir(&state).unwrap();
    drop(UnixListener::bind(state.join("control.sock")).unwrap());
    assert_eq!(text(call(&state, &add("ann"))), "added ann@localhost");
    let _serving = serving(&state);
    assert_eq!(text(call(&state, &add("bob"))), "added bob@localhost");
}

#[test]
fn a_host_that_ends_takes_its_socket_along() {
    let (_folder, state) = state();
    drop(serving(&state));
    assert!(!state.join("control.sock").exists());
}

#[test]
fn a_request_that_is_not_understood_is_refused() {
    use std::io::{Read, Write};
    let (_folder, state) = state();
    let _serving = serving(&state);
    let mut caller = std::os::unix::net::UnixStream::connect(state.join("control.sock")).unwrap();
    caller.write_all(b"{\"fly\":1}\n").unwrap();
    let mut answer = String::new();
    caller.read_to_string(&mut answer).unwrap();
    assert!(answer.contains("\"usage\":true") && answer.contains("not understood"), "{answer}");
}

#[test]
fn a_request_that_is_too_long_is_told_so() {
    let (_folder, state) = state();
    let _serving = serving(&state);
    let said = text(call(&state, &set("echo.text", &"x".repeat(100_000))));
    assert_eq!(said, "usage: control: a request has 65536 bytes at most");
}

#[tokio::test]
async fn plugins_are_steered_through_store_and_host() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let disable = Request::DisablePlugin { id: "echo".into() };
    let alone = Executor::alone(store.clone());
    assert!(text(alone.execute(disable.clone()).await).starts_with("failed: plugin: echo is not known"));
    store.save_plugin(&PluginRecord { id: "echo".into(), ..PluginRecord::default() }).await.unwrap();
    assert_eq!(text(alone.execute(disable.clone()).await), "plugin echo is disabled");
    let Ok(Answer::Plugins { plugins, cost: None }) = alone.execute(Request::Plugins).await else { panic!("no list") };
    assert_eq!(plugins[0].state, State::Disabled);

    let host = Arc::new(Host::default());
    let beside = Executor::beside(store.clone(), host.clone());
    beside.execute(disable).await.unwrap();
    beside.execute(Request::RetryPlugin { id: "echo".into() }).await.unwrap();
    assert_eq!(*host.told.lock(), ["disable echo", "retry echo"]);
    let enabled = beside.execute(Request::EnablePlugin { id: "echo".into() }).await;
    assert_eq!(text(enabled), "failed: plugin: echo: its file is gone");
}

#[tokio::test]
async fn a_setting_is_checked_by_its_declaration() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let executor = Executor::alone(store.clone());
    let Ok(Answer::Done { note: Some(note), .. }) = executor.execute(set("presence.visibility", "loud")).await else {
        panic!("it must be kept with a note")
    };
    assert!(note.contains("not seen here yet"), "{note}");
    let kind = SettingKind::Choice { values: vec!["anyone".into(), "subscribed".into()] };
    let schema = SettingSchema {
        name: "visibility".into(),
        kind,
        default: "subscribed".into(),
        label: "Who may see".into(),
        help: String::new(),
    };
    store.set_setting_schemas("presence", 1, vec![schema]).await.unwrap();

    assert_eq!(text(executor.execute(get("presence.visibility")).await), "subscribed");
    let Ok(Answer::Settings(list)) = executor.execute(Request::Settings).await else { panic!("no list") };
    assert!(list[0].reason.as_ref().is_some_and(|reason| reason.contains("\"loud\" was set")), "{list:?}");
    let refused = text(executor.execute(set("presence.visibility", "all")).await);
    assert_eq!(refused, "failed: setting: presence.visibility: \"all\": expected one of anyone, subscribed");
    let unknown = text(executor.execute(get("presence.visible")).await);
    assert!(unknown.starts_with("failed: ") && unknown.ends_with("it has presence.visibility"), "{unknown}");
    assert_eq!(text(executor.execute(set("presence.visibility", "anyone")).await), "presence.visibility = anyone");
    assert_eq!(text(executor.execute(get("presence.visibility")).await), "anyone");
    let restored = text(executor.execute(set("presence.visibility", "")).await);
    assert_eq!(restored, "presence.visibility = subscribed (the default)");
    assert!(text(executor.execute(set("visibility", "x")).await).starts_with("usage: "));
}
