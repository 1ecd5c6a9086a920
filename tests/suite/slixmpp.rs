//! A client that is not ours: scripts of `tests/slixmpp/`, run by the Python named in `VENV_PYTHON`, which has slixmpp.
//! `make test` sets it up; without it these tests say that they were skipped.

use std::{path::Path, process::Command};

use tests::{
    artefacts::artefacts,
    host::{Host, password},
    skip::skipped,
};

/// Where components are let in, this one is.
const COMPONENT: &str = "echo.localhost";
const SECRET: &str = "sesame";

/// Runs a script against `host` as these users. It must end well.
#[track_caller]
fn run(script: &str, host: &Host, users: &[&str]) {
    let Some(python) = std::env::var_os("VENV_PYTHON").filter(|python| !python.is_empty()) else {
        return skipped(script, "it needs VENV_PYTHON, a Python with slixmpp (`make test` makes one)");
    };
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("slixmpp");
    let ready = host.process().ready();
    let mut command = Command::new(python);
    command.arg(folder.join(script)).arg(ready.xmpp.to_string()).arg(ready.http.to_string());
    command.arg(host.certificate());
    for user in users {
        command.arg(format!("{user}@localhost")).arg(password(user));
    }
    if let Some(address) = ready.component {
        command.arg(address.to_string()).args([COMPONENT, SECRET]);
    }
    let output = command.output().expect("Python starts");
    let told = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{script}: {told}");
}

fn host_with(users: &[&str]) -> Host {
    let host = Host::with_presence();
    host.set("presence.visibility", "anyone");
    users.iter().for_each(|user| host.add_user(user));
    host
}

#[test]
fn a_user_logs_in_and_is_seen_away() {
    run("away.py", &host_with(&["alice"]), &["alice"]);
}

#[test]
fn two_users_become_friends_and_talk() {
    run("friends.py", &host_with(&["alice", "bob"]), &["alice", "bob"]);
}

#[test]
fn a_client_comes_back_to_its_session() {
    run("resumes.py", &host_with(&["alice", "bob"]), &["alice", "bob"]);
}

#[test]
fn a_user_chooses_who_sees_her() {
    run("choices.py", &host_with(&["alice"]), &["alice"]);
}

#[test]
fn a_component_talks_and_is_seen() {
    let mut host = Host::prepare();
    host.allow_components(&[COMPONENT], SECRET);
    host.drop_plugin(&artefacts().presence, "presence.so");
    host.run();
    host.add_user("alice");
    run("component.py", &host, &["alice"]);
}
