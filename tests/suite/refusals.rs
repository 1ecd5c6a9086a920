//! The way of a bad file: refused with a reason that names its fault, while the earlier version goes on serving. What else a file can
//! be is in the rows of the table of faults.

use std::{fs, process::Command};

use tests::{artefacts::artefacts, host::Host};

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

#[test]
fn an_empty_file_in_the_place_of_a_good_one_until_that_is_back() {
    let host = host_with_hello();
    fs::write(host.plugins().join("hello.so"), "").unwrap();
    host.until_refused("hello.so", "empty");
    still_serves(&host);
    host.drop_plugin(artefacts().fixture("hello"), "hello.so");
    host.until_deployed("the good file is back", |plugin| plugin.id() == "hello" && plugin.text("reason").is_empty());
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

/// Else it would take the host down when it is replaced.
#[test]
fn a_plugin_that_dies_of_its_replacement_does_so_in_its_trial() {
    let host = host_with_hello();
    host.drop_plugin(artefacts().fixture("aborts_when_drained"), "hello.so");
    host.until_refused("hello.so", "SIGABRT");
    still_serves(&host);
}
