//! Plugins that load well and turn out bad: rows P22, P23 and R9 of the table of faults.

use std::{fs, path::Path, thread, time::Duration};

use tests::{
    artefacts::artefacts,
    host::{Deployed, Host, PATIENCE},
    http::load::Load,
    plugin_file::PluginFile,
    wait,
};

const VERSION: &str = "/plugins/hello/version";

/// A host, not running yet, on which new versions are on probation for `window`, with hello 1.0.0 in its drop folder.
fn prepared(window: &str) -> Host {
    let mut host = Host::prepare();
    let config = host.folder().join("host.toml");
    fs::write(&config, format!("health_window = '{window}'\n")).unwrap();
    host.flag("--config", &config);
    PluginFile::hello("1.0.0").write(&host.plugins(), "hello.so");
    host
}

fn running(window: &str) -> Host {
    let mut host = prepared(window);
    host.run();
    host
}

#[track_caller]
fn answers(host: &Host, version: &str) {
    assert_eq!(host.http().get(VERSION).text(), format!("this is build {version}\n"));
}

/// Waits until hello 1.0.0 is back, with these words about what it replaced.
#[track_caller]
fn until_back(host: &Host, words: &str) -> Deployed {
    host.until_deployed(&format!("hello 1.0.0 is back because of {words:?}"), |plugin| {
        let is_good = plugin.version() == "1.0.0" && plugin.text("state") == "active";
        plugin.id() == "hello" && is_good && plugin.text("reason").contains(words)
    })
}

#[track_caller]
fn until_logged(host: &Host, words: &str) {
    wait::until(PATIENCE, words, || host.process().log().contains(words).then_some(()));
}

/// How often the log says these words.
fn logged(host: &Host, words: &str) -> usize {
    host.process().log().matches(words).count()
}

/// P22.
#[test]
fn a_version_that_fails_its_requests_makes_way_for_the_one_before() {
    let mut host = running("10s");
    let load = Load::start(host.process().ready().http, VERSION, 4, Duration::from_millis(5));
    host.drop_plugin(artefacts().fixture("fails_requests"), "hello.so");
    let back = until_back(&host, "requests in its first");
    assert!(
        back.text("reason").starts_with("running 1.0.0 (kept), hello.so (2.0.0) on disk was refused: failed "),
        "{back:?}"
    );
    let tally = load.stop();
    assert_eq!(tally.failures(), tally.bad.get(&500).copied().unwrap_or_default(), "{tally}");
    let load = Load::start(host.process().ready().http, VERSION, 4, Duration::from_millis(5));
    wait::until(PATIENCE, "a hundred requests", || (load.answered() > 100).then_some(()));
    assert_eq!(load.stop().failures(), 0, "requests fail in the window only");

    // It is not tried again, whether its file is touched or the host started anew.
    host.drop_plugin(artefacts().fixture("fails_requests"), "hello.so");
    until_back(&host, "quarantined");
    host.crash_and_restart();
    answers(&host, "1.0.0");
    until_back(&host, "to try once more: plugin retry hello");

    // Unless somebody wants it, or it is another content.
    host.command(&["plugin", "retry", "hello"]).succeeds();
    host.until_version("hello", "2.0.0");
    PluginFile::hello("1.0.1").write(&host.plugins(), "hello.so");
    assert_eq!(host.until_version("hello", "1.0.1").text("reason"), "");
    answers(&host, "1.0.1");
}

/// P22.
#[test]
fn a_version_that_fails_its_self_test_makes_way_for_the_one_before() {
    let host = running("10s");
    host.drop_plugin(artefacts().fixture("fails_self_test"), "hello.so");
    until_back(&host, "hello.so (2.0.0) on disk was refused: failed its self-test: no water");
    answers(&host, "1.0.0");
    assert_eq!(logged(&host, "ACTIVE -> REFUSED actor=health"), 1);
    assert!(host.console().get("/metrics").text().contains("host_demo_plugin_refusals_total 1\n"));
}

/// P22, without a version to go back to.
#[test]
fn a_first_version_that_fails_serves_on_and_says_so() {
    let mut host = prepared("2s");
    host.drop_plugin(artefacts().fixture("fails_self_test"), "hello.so");
    host.run();
    host.until_deployed("the only version serves on with a reason", |plugin| {
        let reason = "failed its self-test: no water; serves on, there is no earlier version to go back to";
        plugin.version() == "2.0.0" && plugin.text("state") == "active" && plugin.text("reason") == reason
    });
    answers(&host, "2.0.0");
}

#[test]
fn a_version_that_proved_itself_is_the_last_good_one() {
    let mut host = running("100ms");
    PluginFile::hello("1.0.1").write(&host.plugins(), "hello.so");
    until_logged(&host, "now the last good version");
    PluginFile::hello("1.0.2").truncated(1, 2).write(&host.plugins(), "hello.so");
    host.until_refused("hello.so", "truncated");
    host.crash_and_restart();
    answers(&host, "1.0.1");
}

/// P23: what is on probation is not what a restart falls back to.
#[test]
fn a_kill_during_the_probation_leaves_the_version_before_on_record() {
    let mut host = running("1h");
    PluginFile::hello("1.0.1").write(&host.plugins(), "hello.so");
    host.until_version("hello", "1.0.1");
    host.crash_and_restart();
    answers(&host, "1.0.1");
    PluginFile::hello("1.0.2").truncated(1, 2).write(&host.plugins(), "hello.so");
    host.until_refused("hello.so", "truncated");
    answers(&host, "1.0.1");
    host.crash_and_restart();
    answers(&host, "1.0.0");
    assert_eq!(staged_copies(&host.state()), 1);
}

/// Another name for the file says nothing of the versions: the one before the last stays on record too.
#[test]
fn a_rename_during_the_probation_leaves_both_good_versions_on_record() {
    let mut host = running("0s");
    PluginFile::hello("1.0.1").write(&host.plugins(), "hello.so");
    host.until_version("hello", "1.0.1");
    assert_eq!(host.terminate(), Some(0));
    fs::write(host.folder().join("host.toml"), "health_window = '1h'\n").unwrap();
    PluginFile::hello("1.0.2").write(&host.plugins(), "hello.so");
    host.run();
    answers(&host, "1.0.2");
    let mark = host.process().log_mark();
    fs::rename(host.plugins().join("hello.so"), host.plugins().join("renamed.so")).unwrap();
    host.process().until_logged(mark, PATIENCE, |line| line.contains("the same content as in service"));
    assert_eq!(host.terminate(), Some(0));
    fs::remove_file(host.plugins().join("renamed.so")).unwrap();
    PluginFile::hello("1.0.3").truncated(1, 2).write(&host.plugins(), "renamed.so");
    host.run();
    answers(&host, "1.0.1");
    assert_eq!(staged_copies(&host.state()), 2);
}

#[test]
fn a_third_version_during_the_probation_goes_back_to_the_first() {
    let host = running("1h");
    PluginFile::hello("1.0.1").write(&host.plugins(), "hello.so");
    host.until_version("hello", "1.0.1");
    host.drop_plugin(artefacts().fixture("fails_self_test"), "hello.so");
    until_back(&host, "no water");
}

#[test]
fn a_plugin_deleted_or_disabled_during_its_probation_stays_away() {
    let host = running("1h");
    PluginFile::hello("1.0.1").write(&host.plugins(), "hello.so");
    host.until_version("hello", "1.0.1");
    host.command(&["plugin", "disable", "hello"]).succeeds();
    host.command(&["plugin", "enable", "hello"]).succeeds();
    answers(&host, "1.0.1");
    fs::remove_file(host.plugins().join("hello.so")).unwrap();
    wait::until(PATIENCE, "the route is gone", || (host.http().get(VERSION).status == 404).then_some(()));
    wait::until(PATIENCE, "no copy is left", || (staged_copies(&host.state()) == 0).then_some(()));
}

/// A kept version whose library is mapped already is loaded from another copy.
#[test]
fn the_last_good_version_comes_back_in_the_run_that_it_served_in() {
    let host = running("10s");
    PluginFile::hello("1.0.1").truncated(1, 2).write(&host.plugins(), "hello.so");
    host.until_refused("hello.so", "truncated");
    host.command(&["plugin", "disable", "hello"]).succeeds();
    // Enabled, and the command says what there is against its file.
    let said = host.command(&["plugin", "enable", "hello"]).fails(1);
    assert!(said.contains("enabled: running 1.0.0 (kept)"), "{said}");
    until_back(&host, "truncated");
    answers(&host, "1.0.0");
}

fn staged_copies(state: &Path) -> usize {
    fs::read_dir(state.join("staging")).unwrap().count()
}

/// Row R9: an inline handler that blocks is told of while it does, and once it returns.
#[test]
fn an_inline_handler_that_blocks_is_named() {
    let mut host = Host::prepare();
    host.drop_plugin(artefacts().fixture("blocks_inline"), "blocks.so");
    host.run();
    let (mark, go) = (host.process().log_mark(), host.folder().join("go"));
    let (client, target) = (host.patient_http(), format!("/plugins/blocks-inline/answer?{}", go.display()));
    let request = thread::spawn(move || client.get(&target));
    let told = |words: &'static str| {
        let who = "plugin blocks-inline 1.0.0: its inline handler of /plugins/blocks-inline/answer";
        host.process().until_logged(mark, PATIENCE, |line| line.contains(who) && line.contains(words))
    };
    told("has not returned after 1");
    told("has still not returned");
    fs::write(&go, "").unwrap();
    assert_eq!(request.join().unwrap().text(), "at last\n");
    told("returned after");
    let metrics = host.console().get("/metrics");
    let counted = "host_demo_plugin_inline_stalls_total{plugin=\"blocks-inline\"} 1";
    assert!(metrics.text().lines().any(|line| line == counted), "{}", metrics.text());
}
