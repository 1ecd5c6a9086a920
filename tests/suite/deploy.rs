//! The way of a good file: dropped, overwritten under load, deleted; and what plugins can do with a request.

use std::{fs, time::Duration};

use tests::{
    artefacts::artefacts,
    foreign,
    host::{Host, PATIENCE},
    http::load::Load,
    plugin_file::PluginFile,
    wait,
};

const VERSION: &str = "/plugins/hello/version";

/// A running host with that build in its drop folder.
fn host_with_hello(version: &str) -> Host {
    let mut host = Host::prepare();
    PluginFile::hello(version).write(&host.plugins(), "hello.so");
    host.run();
    host
}

/// Waits until a request is answered by this build.
#[track_caller]
fn until_answered_by(host: &Host, version: &str) {
    let expected = format!("this is build {version}\n");
    wait::until(PATIENCE, &expected, || (host.http().get(VERSION).body == expected.as_bytes()).then_some(()));
}

#[test]
fn a_plugin_found_at_the_start_serves_at_the_first_ready() {
    let host = host_with_hello("1.0.0");
    assert_eq!(host.http().get(VERSION).text(), "this is build 1.0.0\n");
}

/// A copy is on disk before it serves, and nobody but its own plugin waits for that.
#[test]
fn a_slow_disk_keeps_no_other_plugin_and_no_command() {
    let mut host = Host::prepare();
    let held = host.folder().join("held");
    fs::write(&held, "").unwrap();
    let name = foreign::quoted("staging/slowd-");
    let macros = [("NAME", name.as_str()), ("HELD", &foreign::quoted(&held.display().to_string()))];
    host.environment("LD_PRELOAD", foreign::library("disk_waits", &macros, host.folder()));
    PluginFile::hello("1.0.0").write(&host.plugins(), "hello.so");
    host.run();
    let mark = host.process().log_mark();
    PluginFile::hello("1.0.0").with_text("id=hello\n", "id=slowd\n").write(&host.plugins(), "slow.so");
    host.process().until_logged(mark, PATIENCE, |line| line.contains("plugin slowd") && line.contains("-> PROBED"));
    PluginFile::hello("1.0.1").write(&host.plugins(), "hello.so");
    until_answered_by(&host, "1.0.1");
    host.command(&["plugin", "disable", "hello"]).succeeds();
    assert_eq!(host.http().get("/plugins/slowd/version").status, 404, "it serves, and a loss of power would lose it");
    fs::remove_file(&held).unwrap();
    host.until_version("slowd", "1.0.0");
}

/// However long it takes to find out what the file with the new name holds.
#[test]
fn a_plugin_whose_file_is_renamed_serves_on() {
    let mut host = Host::prepare();
    let held = host.folder().join("held");
    let macros = [("NAME", &*foreign::quoted(".part")), ("HELD", &foreign::quoted(&held.display().to_string()))];
    host.environment("LD_PRELOAD", foreign::library("disk_waits", &macros, host.folder()));
    PluginFile::hello("1.0.0").write(&host.plugins(), "hello.so");
    host.run();
    fs::write(&held, "").unwrap();
    let mark = host.process().log_mark();
    fs::rename(host.plugins().join("hello.so"), host.plugins().join("renamed.so")).unwrap();
    host.process().until_logged(mark, PATIENCE, |line| line.contains("plugin hello.so") && line.contains("removed"));
    assert_eq!(host.http().get(VERSION).status, 200);
    fs::remove_file(&held).unwrap();
    host.until_deployed("hello has its new name", |plugin| plugin.text("file") == "renamed.so");
    let log = host.process().log();
    assert!(!log.contains("ACTIVE -> DRAINING"), "{log}");
}

#[test]
fn a_dropped_plugin_is_live_and_listed() {
    let host = Host::start();
    assert_eq!(host.deployed().len(), 0);
    assert_eq!(host.http().get(VERSION).status, 404);
    let file = PluginFile::hello("1.0.0").write(host.folder(), "built.so");
    host.drop_plugin(&file, "whatever-name.so");
    until_answered_by(&host, "1.0.0");

    let plugin = host.until_version("hello", "1.0.0");
    assert!(plugin.text("file").ends_with("whatever-name.so"), "{plugin:?}");
    assert_eq!(plugin.text("sha256").len(), 64, "{plugin:?}");
    assert_eq!(plugin.text("reason"), "", "{plugin:?}");
    assert!(plugin.field("routes").to_string().contains("/plugins/hello/version"), "{plugin:?}");
    for field in ["generation", "retired", "since"] {
        assert!(!plugin.field(field).is_null(), "no {field} in {plugin:?}");
    }
}

#[test]
fn overwriting_the_presence_service_under_load_fails_no_request() {
    let mut host = Host::prepare();
    let built = PluginFile::read(&artefacts().presence);
    let builds = ["0.1.1", "0.1.2"].map(|version| (version, built.with_version(version).write(host.folder(), version)));
    host.drop_plugin(&builds[1].1, "presence.so");
    host.run();
    host.set("presence.visibility", "anyone");
    let mut alice = host.new_user("alice");
    alice.available("away", "Lunch").unwrap();
    alice.settle().unwrap();

    let target = "/plugins/presence/status?type=text&jid=alice@localhost";
    let load = Load::start(host.process().ready().http, target, 32, Duration::from_millis(20));
    for (version, file) in builds.iter().cycle().take(6) {
        host.drop_plugin(file, "presence.so");
        host.until_version("presence", version);
    }
    let tally = load.stop();
    assert_eq!(tally.failures(), 0, "{tally}");
    assert_eq!(tally.bodies.keys().collect::<Vec<_>>(), [b"Lunch\n"], "{tally}");
    alice.settle().expect("the session lives on");
}

#[test]
fn a_new_folder_may_hold_the_plugin_under_another_name() {
    let host = host_with_hello("1.0.0");
    fs::rename(host.plugins(), host.folder().join("aside")).unwrap();
    fs::create_dir(host.plugins()).unwrap();
    PluginFile::hello("1.0.1").write(&host.plugins(), "hello-2.so");
    until_answered_by(&host, "1.0.1");
    host.command(&["plugin", "disable", "hello"]).succeeds();
    host.command(&["plugin", "enable", "hello"]).succeeds();
    until_answered_by(&host, "1.0.1");
}

#[test]
fn a_plugin_whose_file_became_another_does_not_come_back() {
    let host = host_with_hello("1.0.0");
    host.command(&["plugin", "disable", "hello"]).succeeds();
    host.drop_plugin(artefacts().fixture("answers_later"), "hello.so");
    host.until_deployed("the other plugin serves", |plugin| {
        plugin.id() == "answers-later" && plugin.text("state") == "active"
    });
    host.command(&["plugin", "enable", "hello"]).fails(1);
    assert_eq!(host.http().get("/plugins/answers-later/").status, 200);
    assert_eq!(host.http().get(VERSION).status, 404);
}

#[test]
fn a_disabled_plugin_serves_again_once_enabled() {
    let host = host_with_hello("1.0.0");
    host.command(&["plugin", "disable", "hello"]).succeeds();
    wait::until(PATIENCE, "hello is disabled", || (host.http().get(VERSION).status != 200).then_some(()));
    host.command(&["plugin", "enable", "hello"]).succeeds();
    until_answered_by(&host, "1.0.0");
}

#[test]
fn a_panic_costs_one_request() {
    let host = Host::start();
    host.drop_plugin(artefacts().fixture("panics_on_request"), "panics.so");
    let path = |kind: &str, query: &str| host.http().get(&format!("/plugins/panics-on-request/{kind}{query}"));
    wait::until(PATIENCE, "the plugin serves", || (path("inline", "").status == 200).then_some(()));
    for kind in ["inline", "thread", "inline/a-secret"] {
        let answer = path(kind, "?panic");
        assert_eq!(answer.status, 500, "{kind}");
        assert!(!answer.text().contains("asked to panic"), "{kind}: detail leaks: {answer:?}");
        assert_eq!(path(kind, "").text(), "fine\n", "{kind}");
    }
    // The plugin says it by a pattern below its mount, and the host by the whole one.
    for line in ["GET /inline/{key}: the handler panicked", "GET /plugins/panics-on-request/inline/{key}: "] {
        let told = || host.process().log().contains(line).then_some(());
        wait::until(PATIENCE, &format!("the log tells of the panic: {line}"), told);
    }
    let log = host.process().log();
    assert!(log.contains("asked to panic") && !log.contains("a-secret"), "what was sent is in the log: {log}");
}

#[test]
fn an_answer_may_come_later_from_another_thread() {
    let host = Host::start();
    host.drop_plugin(artefacts().fixture("answers_later"), "later.so");
    let target = "/plugins/answers-later/any/path";
    wait::until(PATIENCE, "the plugin serves", || (host.http().get(target).status == 200).then_some(()));
    assert_eq!(host.http().get(target).text(), "GET later: \n");
    assert_eq!(host.http().post(target, "a=b").text(), "POST later: a=b\n");
    assert_eq!(host.http().request("DELETE", target, &[]).status, 405);
}

#[test]
fn a_streamed_answer_arrives_whole() {
    let host = Host::start();
    host.drop_plugin(artefacts().fixture("streams"), "streams.so");
    let target = "/plugins/streams/megabyte";
    let answer =
        wait::until(PATIENCE, "the plugin serves", || Some(host.http().get(target)).filter(|a| a.status == 200));
    let expected: Vec<u8> = (b'a'..=b'p').flat_map(|letter| [letter; 65536]).collect();
    assert!(answer.body == expected, "{} bytes of {}", answer.body.len(), expected.len());
}

/// What the dynamic loader wrote to when it opened a library is backed by a file again: of one that is never closed it would be memory for ever.
#[test]
fn a_library_keeps_hardly_any_memory_of_its_own() {
    let host = host_with_hello("1.0.0");
    let smaps = fs::read_to_string(format!("/proc/{}/smaps", host.process().id())).expect("the host runs");
    let of_library = |line: &&str| line.contains("/staging/hello-");
    let range = |line: &str| {
        line.split(' ').next().unwrap_or_default().split_once('-').map(|(a, b)| (a.to_owned(), b.to_owned()))
    };
    let (start, _) = smaps.lines().find(of_library).and_then(range).expect("the library is mapped");
    let (_, end) = smaps.lines().rfind(of_library).and_then(range).expect("the library is mapped");
    let (mut within, mut anonymous, mut copies) = (false, 0, 0);
    for line in smaps.lines() {
        if let Some((from, to)) = range(line).filter(|_| line.contains(" r") || line.contains(" -")) {
            within = from >= start && to <= end;
            copies += u32::from(within && line.contains(" r--p ") && line.contains("/staging/#"));
        } else if let Some(kilobytes) = line.strip_prefix("Anonymous:").filter(|_| within) {
            anonymous += kilobytes.trim().trim_end_matches(" kB").parse::<u32>().expect("a number");
        }
    }
    assert!(copies == 1 && anonymous <= 16, "{copies} copies, {anonymous} kB:\n{smaps}");
    // And whoever uses these tables finds them as they were.
    until_answered_by(&host, "1.0.0");
}
