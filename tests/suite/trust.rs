//! Whose files are taken, and how an administrator who has only the folder learns that one was not.

use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf};

use tests::{
    artefacts::artefacts,
    host::{Host, PATIENCE},
    plugin_file::PluginFile,
    wait,
};

const VERSION: &str = "/plugins/hello/version";

fn hello() -> PluginFile {
    PluginFile::read(artefacts().fixture("hello"))
}

/// A running host with the fixture `hello` deployed as `hello.so`.
fn host_with_hello() -> Host {
    let mut host = Host::prepare();
    hello().write(&host.plugins(), "hello.so");
    host.run();
    host
}

fn note(host: &Host) -> PathBuf {
    host.plugins().join("hello.so.rejected.txt")
}

#[track_caller]
fn until_noted(host: &Host, words: &str) -> String {
    let told = || fs::read_to_string(note(host)).ok().filter(|text| text.contains(words));
    wait::until(PATIENCE, &format!("a note says {words:?}"), told)
}

#[track_caller]
fn until_note_is_gone(host: &Host) {
    wait::until(PATIENCE, "the note is gone", || (!note(host).exists()).then_some(()));
}

#[test]
fn a_refused_file_has_a_note_beside_it_until_the_fault_is_gone() {
    let host = host_with_hello();
    hello().truncated(1, 2).write(&host.plugins(), "hello.so");
    let text = until_noted(&host, "hello.so was not taken: truncated: ");
    assert!(text.contains("hello 1.0.0 goes on") && text.contains(plugin_api::abi::VERSION), "{text}");
    let newer = hello().with_version("1.0.1");
    newer.write(&host.plugins(), "hello.so");
    until_note_is_gone(&host);
    host.until_version("hello", "1.0.1");

    newer.truncated(1, 2).write(&host.plugins(), "hello.so");
    until_noted(&host, "hello 1.0.1 goes on");
    fs::remove_file(host.plugins().join("hello.so")).unwrap();
    until_note_is_gone(&host);
    let log = host.process().log();
    assert!(!log.contains("is skipped"), "a note is no news of its own: {log}");
    assert!(!log.contains("plugin hello.so.rejected.txt"), "{log}");
}

#[test]
fn a_note_that_is_stale_at_the_start_goes_and_a_foreign_one_stays() {
    let mut host = host_with_hello();
    hello().truncated(1, 2).write(&host.plugins(), "hello.so");
    until_noted(&host, "truncated");
    let foreign = host.plugins().join("other.so.rejected.txt");
    fs::write(&foreign, "our own notes\n").unwrap();
    assert_eq!(host.terminate(), Some(0));
    hello().write(&host.plugins(), "hello.so");
    host.run();
    until_note_is_gone(&host);
    assert_eq!(fs::read_to_string(&foreign).unwrap(), "our own notes\n");
}

#[test]
fn a_retry_that_succeeds_takes_the_note_away() {
    let host = host_with_hello();
    let plugins = host.plugins();
    fs::set_permissions(&plugins, fs::Permissions::from_mode(0o777)).unwrap();
    hello().with_version("1.0.1").write(&plugins, "hello.so");
    until_noted(&host, "refusing: mode 0777");
    fs::set_permissions(&plugins, fs::Permissions::from_mode(0o755)).unwrap();
    host.command(&["plugin", "retry", "hello"]).succeeds();
    until_note_is_gone(&host);
    host.until_version("hello", "1.0.1");
    assert_eq!(host.http().get(VERSION).status, 200);
}
