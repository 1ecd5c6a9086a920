//! Plugins that take the host down: rows P18 and P19 of the table of faults. The host dies, since plugins are native code
//! in its process; what it owes is to name the culprit at its next start, and not to be taken down for ever. A handler that
//! aborts is tried by the row itself.

use std::{fs, os::unix::process::ExitStatusExt};

use rustix::process::Signal;
use tests::{
    artefacts::artefacts,
    host::{Host, PATIENCE},
    wait,
};

const VERSION: &str = "/plugins/hello/version";
const QUARANTINED: &str = "took this server down 2 times within an hour, the last time by";

/// A host that takes new versions as good at once, with the fixture `hello` in its drop folder, running.
fn running() -> Host {
    let mut host = Host::prepare();
    let config = host.folder().join("host.toml");
    fs::write(&config, "health_window = '0s'\n").unwrap();
    host.flag("--config", &config);
    host.drop_plugin(artefacts().fixture("hello"), "hello.so");
    host.run();
    host
}

#[track_caller]
fn answers(host: &Host, version: &str) {
    assert_eq!(host.http().get(VERSION).text(), format!("this is build {version}\n"));
}

/// Has the host die of a request: of the signal, or with the exit code.
#[track_caller]
fn killed_by(host: &mut Host, route: &str) -> (Option<i32>, Option<i32>) {
    let status = host.dies_of(&format!("/plugins/hello/{route}"));
    (status.signal(), status.code())
}

/// P18: the fixture takes the host down twice. It is named each time, and then the version before it serves.
#[track_caller]
fn takes_down_twice(fixture: &str, route: &str, end: (Option<i32>, Option<i32>), how: &str) {
    let mut host = running();
    host.drop_plugin(artefacts().fixture(fixture), "hello.so");
    host.until_version("hello", "2.0.0");
    for crash in 1..=2 {
        answers(&host, "2.0.0");
        assert_eq!(killed_by(&mut host, route), end, "crash {crash} of {fixture}");
        host.run();
        let told = host.process().log();
        let culprit =
            |line: &str| line.contains("plugin hello 2.0.0 sha256=") && line.contains("took this server down");
        let line = told.lines().find(|line| culprit(line)).unwrap_or_else(|| panic!("nobody is named:\n{told}"));
        assert!(line.contains("ERROR") && line.contains(how), "{line}");
    }
    answers(&host, "1.0.0");
    host.until_refused("hello.so", QUARANTINED);
    let copies = || fs::read_dir(host.state().join("staging")).unwrap().count();
    wait::until(PATIENCE, "the copy of the bad version is deleted", || (copies() == 1).then_some(()));
    host.crash_and_restart();
    answers(&host, "1.0.0");
    let log = host.process().log();
    assert!(!log.contains("took this server down in its last run"), "the last run was not its doing:\n{log}");
}

#[test]
fn a_handler_that_reads_where_nothing_is() {
    let how = "signal 11 (SIGSEGV, invalid memory access) at /plugins/hello/thread";
    takes_down_twice("segfaults_on_request", "thread", (Some(11), None), how);
}

/// Rust's own handler goes on behind ours: it tells of the overflow, and aborts.
#[test]
fn a_handler_that_overflows_its_stack() {
    let how = "signal 11 (SIGSEGV, invalid memory access) at /plugins/hello/";
    for route in ["inline", "thread"] {
        takes_down_twice("overflows_stack_on_request", route, (Some(6), None), how);
    }
}

#[test]
fn a_handler_that_exits() {
    takes_down_twice("exits_on_request", "thread", (None, Some(0)), "a call of exit at /plugins/hello/thread");
}

#[test]
fn a_thread_of_the_plugins_own_that_aborts() {
    takes_down_twice("aborts_on_own_thread", "die", (Some(6), None), "signal 6 (SIGABRT, it aborted itself)");
}

/// P19: the only version there is. Its routes say that it is out of service, across restarts, until new content comes.
#[test]
fn a_crash_loop_of_the_only_version_ends_in_503() {
    let mut host = Host::prepare();
    host.drop_plugin(artefacts().fixture("aborts_on_request"), "hello.so");
    host.run();
    for _ in 0..2 {
        killed_by(&mut host, "thread");
        host.run();
    }
    is_out_of_service(&host);
    host.until_refused("hello.so", QUARANTINED);
    assert!(host.console().get("/metrics").text().contains("host_demo_plugins{state=\"refused\"}"));
    assert!(host.console().get("/metrics").text().contains("host_demo_plugin_crashes{plugin=\"hello\"} 2\n"));
    assert_eq!(host.terminate(), Some(0));
    let listed = host.command(&["plugin", "list"]).succeeds();
    assert!(listed.contains(QUARANTINED), "{listed}");
    host.run();
    is_out_of_service(&host);

    host.command(&["plugin", "retry", "hello"]).succeeds();
    answers(&host, "2.0.0");
    // Another chance is a whole one.
    killed_by(&mut host, "inline");
    host.run();
    answers(&host, "2.0.0");
    killed_by(&mut host, "inline");
    host.run();
    is_out_of_service(&host);
    host.drop_plugin(artefacts().fixture("hello"), "hello.so");
    host.until_version("hello", "1.0.0");
    answers(&host, "1.0.0");
}

#[test]
fn a_disabled_plugin_answers_503_and_a_deleted_one_404() {
    let host = running();
    host.command(&["plugin", "disable", "hello"]).succeeds();
    is_out_of_service(&host);
    fs::remove_file(host.plugins().join("hello.so")).unwrap();
    wait::until(PATIENCE, "the plugin is forgotten", || (host.http().get(VERSION).status == 404).then_some(()));
}

/// A start that passes its trial and takes the host down all the same.
#[test]
fn a_start_that_aborts_in_the_host() {
    let mut host = running();
    host.drop_plugin(artefacts().fixture("aborts_in_the_host"), "hello.so");
    assert_eq!(host.await_end().signal(), Some(6));
    // Tried once more at the start, before the host is ready.
    let plugins = host.plugins().display().to_string();
    let ports = ["--xmpp", "127.0.0.1:0", "--http", "127.0.0.1:0", "--console", "127.0.0.1:0"];
    let second = host.command(&[&["serve", "--plugins", &plugins], &ports[..]].concat());
    assert_eq!(second.code, None, "{second:?}");
    assert!(second.errors.contains("took this server down in its last run: signal 6"), "{}", second.errors);
    host.run();
    answers(&host, "1.0.0");
    host.until_refused("hello.so", QUARANTINED);
}

/// Destructors of thread-local values run when no call into the plugin is under way any more.
#[test]
fn a_thread_that_aborts_when_it_ends() {
    let mut host = running();
    host.drop_plugin(artefacts().fixture("aborts_at_thread_end"), "hello.so");
    host.until_version("hello", "2.0.0");
    answers(&host, "2.0.0");
    host.drop_plugin(artefacts().fixture("hello"), "hello.so");
    assert_eq!(host.await_end().signal(), Some(6));
    host.run();
    let log = host.process().log();
    let named = |line: &str| line.contains("plugin hello 2.0.0 ") && line.contains("took this server down");
    assert!(log.lines().any(named), "nobody is named:\n{log}");
    answers(&host, "1.0.0");
}

/// What was no plugin's doing is held against none.
#[test]
fn an_end_from_outside_accuses_nobody() {
    let mut host = running();
    host.process().signal(Signal::SEGV);
    assert_eq!(host.await_end().signal(), Some(11));
    host.run();
    let log = host.process().log();
    assert!(!log.contains("in its last run"), "{log}");
    assert_eq!(host.terminate(), Some(0));
    assert!(!host.state().join("crash").exists(), "an end in order leaves nothing behind");
}

/// Who took the server down is worth knowing, but not worth a server that does not start.
#[test]
fn last_words_that_can_not_be_read_stop_no_start() {
    let mut host = running();
    assert_eq!(host.terminate(), Some(0));
    let crumb = host.state().join("crash");
    fs::create_dir(&crumb).unwrap();
    host.run();
    answers(&host, "1.0.0");
    let (log, told) = (host.process().log(), format!("{}: Is a directory", crumb.display()));
    assert!(log.lines().any(|line| line.contains("ERROR") && line.contains(&told)), "{log}");
    assert_eq!(host.terminate(), Some(0));
}

#[track_caller]
fn is_out_of_service(host: &Host) {
    let answer = host.http().get(VERSION);
    assert!(answer.status == 503 && answer.text().contains("This plugin is disabled."), "{answer:?}");
    assert!(answer.header("retry-after").is_some(), "{answer:?}");
}
