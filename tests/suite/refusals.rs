//! The way of a bad file: refused with a reason that names its fault, while the earlier version goes on serving.

use std::{fs, os::unix::fs::PermissionsExt, path::Path, process::Command};

use tests::{
    artefacts::artefacts,
    host::{Deployed, Host},
    plugin_file::PluginFile,
};

const VERSION: &str = "/plugins/hello/version";

/// A running host with the fixture `hello` deployed as `hello.so`.
fn host_with_hello() -> Host {
    let mut host = Host::prepare();
    host.drop_plugin(artefacts().fixture("hello"), "hello.so");
    host.run();
    host
}

#[track_caller]
fn still_serves(host: &Host) {
    assert_eq!(host.http().get(VERSION).text(), "this is build 1.0.0\n");
    assert_eq!(host.until_version("hello", "1.0.0").text("state"), "active");
}

/// Overwrites the good file by `file`, expects a refusal because of `words`, and the old version serving.
#[track_caller]
fn overwritten_by(file: &Path, words: &str) -> Deployed {
    let host = host_with_hello();
    let pid = host.process().id();
    host.drop_plugin(file, "hello.so");
    let refused = host.until_refused("hello.so", words);
    still_serves(&host);
    assert!(host.process().log().contains(words), "the log does not say {words:?}");
    assert_eq!(host.process().id(), pid);

    host.drop_plugin(artefacts().fixture("hello"), "hello.so");
    host.until_deployed("the good file is back", |plugin| plugin.id() == "hello" && plugin.text("reason").is_empty());
    refused
}

#[test]
fn a_truncated_file() {
    let folder = tempfile::tempdir().unwrap();
    let whole = PluginFile::read(artefacts().fixture("hello"));
    for (numerator, denominator) in [(1, 2), (99, 100)] {
        overwritten_by(&whole.truncated(numerator, denominator).write(folder.path(), "cut.so"), "truncated");
    }
}

#[test]
fn a_text_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("notes.so");
    fs::write(&file, "Dear plugin folder,\n".repeat(100)).unwrap();
    overwritten_by(&file, "ELF");
}

#[test]
fn an_empty_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("empty.so");
    fs::write(&file, "").unwrap();
    overwritten_by(&file, "empty");
}

#[test]
fn a_library_without_a_manifest() {
    overwritten_by(artefacts().fixture("no_manifest"), "manifest");
}

#[test]
fn a_plugin_for_another_abi() {
    let folder = tempfile::tempdir().unwrap();
    let built = PluginFile::read(artefacts().fixture("hello"));
    let other = built.with_text("\nabi=0.", "\nabi=7.").write(folder.path(), "other.so");
    overwritten_by(&other, "7.");
}

#[test]
fn a_plugin_whose_start_fails() {
    overwritten_by(artefacts().fixture("start_fails"), "no coffee <in> the pot");
}

#[test]
fn a_plugin_whose_start_panics() {
    overwritten_by(artefacts().fixture("start_panics"), "the pot fell off the table");
}

#[test]
fn a_bad_file_alone_is_refused_too() {
    let host = Host::start();
    host.drop_plugin(artefacts().fixture("start_fails"), "bad.so");
    let refused = host.until_refused("bad.so", "no coffee <in> the pot");
    assert_ne!(refused.text("state"), "active");
    assert_eq!(host.http().get("/plugins/hello/version").status, 404);
}

#[test]
fn a_retry_that_fails_again_says_so_again() {
    let host = Host::start();
    host.drop_plugin(artefacts().fixture("start_fails"), "bad.so");
    let first = host.until_refused("bad.so", "no coffee");
    let outcome = host.command(&["plugin", "retry", "hello"]).fails(1);
    assert!(outcome.contains("no coffee"), "{outcome}");
    host.until_deployed("bad.so was tried again", |plugin| {
        plugin.text("file") == "bad.so"
            && plugin.text("state") == "refused"
            && plugin.text("since") > first.text("since")
    });
}

#[test]
fn two_files_with_one_identity() {
    let host = host_with_hello();
    let copy = PluginFile::read(artefacts().fixture("hello")).with_version("1.0.1");
    copy.write(&host.plugins(), "another.so");
    let refused = host.until_refused("another.so", "hello.so");
    assert_ne!(refused.text("state"), "active");
    still_serves(&host);
}

#[test]
fn a_file_that_others_may_write() {
    let host = Host::start();
    let file = host.folder().join("loose.so");
    fs::copy(artefacts().fixture("hello"), &file).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o666)).unwrap();
    fs::rename(&file, host.plugins().join("loose.so")).unwrap();
    host.until_refused("loose.so", "666");
    assert_eq!(host.http().get(VERSION).status, 404);
}

#[test]
fn what_is_no_regular_file() {
    let host = host_with_hello();
    let plugins = host.plugins();
    assert!(Command::new("mkfifo").arg(plugins.join("pipe.so")).status().unwrap().success());
    fs::create_dir(plugins.join("folder.so")).unwrap();
    std::os::unix::fs::symlink("/nowhere", plugins.join("dangling.so")).unwrap();
    fs::write(plugins.join("half.so.tmp"), "not a plugin").unwrap();
    fs::write(plugins.join(".hidden.so"), "not a plugin").unwrap();
    // None of them keeps the host from seeing the next good file.
    let newer = PluginFile::read(artefacts().fixture("hello")).with_version("1.0.1").write(host.folder(), "newer.so");
    host.drop_plugin(&newer, "hello.so");
    host.until_version("hello", "1.0.1");
}

#[test]
fn a_good_file_replaced_by_a_pipe_goes_on_serving() {
    let host = host_with_hello();
    let target = host.plugins().join("hello.so");
    fs::remove_file(&target).unwrap();
    assert!(Command::new("mkfifo").arg(&target).status().unwrap().success());
    let refused = host
        .until_deployed("the pipe is refused", |plugin| plugin.id() == "hello" && !plugin.text("reason").is_empty());
    assert_eq!(refused.text("state"), "active", "{refused:?}");
    still_serves(&host);
}
