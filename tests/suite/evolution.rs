//! What an upgrade carries over, and what a mix of old and new makes of it: settings (FAULTS P29), interfaces.

use std::{fs, thread};

use serde_json::Value;
use tests::{
    artefacts::artefacts,
    host::{Host, PATIENCE},
    other_times,
    plugin_file::PluginFile,
    wait,
};

const TONE: &str = "/plugins/tuned/tone";

/// A running host whose plugin `tuned`, this fixture with settings of version 1, has had one set.
fn host_with_settings(fixture: &str) -> Host {
    let mut host = Host::prepare();
    host.drop_plugin(artefacts().fixture(fixture), "tuned.so");
    host.run();
    host.set("tuned.tone", "bright");
    host
}

#[track_caller]
fn until_tone(host: &Host, tone: &str) {
    wait::until(PATIENCE, tone, || (host.http().get(TONE).body == tone.as_bytes()).then_some(()));
}

/// All settings with their declarations, as they are listed.
fn settings(host: &Host) -> Vec<Value> {
    let json = host.command(&["setting", "list", "--json"]).succeeds();
    serde_json::from_str(&json).unwrap_or_else(|error| panic!("{error} in {json}"))
}

#[test]
fn settings_move_forward_with_the_version_that_comes_into_service() {
    let mut host = host_with_settings("tuned_v1");
    host.drop_plugin(artefacts().fixture("tuned_v2"), "tuned.so");
    host.until_version("tuned", "2.0.0");
    until_tone(&host, "bright, from 1");
    assert_eq!(host.command(&["setting", "get", "tuned.sound"]).succeeds().trim_end(), "bright, from 1");
    host.command(&["setting", "get", "tuned.tone"]).fails(1);
    host.set("tuned.sound", "dark");
    until_tone(&host, "dark");

    // Once: a restart and another build with the same version of the settings change nothing.
    host.crash_and_restart();
    until_tone(&host, "dark");
    let newer =
        PluginFile::read(artefacts().fixture("tuned_v2")).with_version("2.0.1").write(host.folder(), "newer.so");
    host.drop_plugin(&newer, "tuned.so");
    host.until_version("tuned", "2.0.1");
    host.drop_plugin(artefacts().fixture("tuned_v2"), "tuned.so");
    host.until_version("tuned", "2.0.0");
    until_tone(&host, "dark");
}

#[test]
fn a_request_ends_with_the_settings_that_it_began_with() {
    let host = host_with_settings("tuned_slowly");
    let gate = host.folder().join("gate");
    fs::create_dir(&gate).unwrap();
    let (client, target) = (host.patient_http(), format!("/plugins/tuned/later?{}", gate.display()));
    let request = thread::spawn(move || client.get(&target));
    wait::until(PATIENCE, "the request is with its handler", || gate.join("begun").exists().then_some(()));
    host.drop_plugin(artefacts().fixture("tuned_v2"), "tuned.so");
    until_tone(&host, "bright, from 1");
    fs::remove_dir_all(&gate).unwrap();
    assert_eq!(request.join().unwrap().text(), "bright");
}

#[test]
fn a_version_with_older_settings_is_refused_and_nothing_changes() {
    let host = host_with_settings("tuned_v1");
    host.drop_plugin(artefacts().fixture("tuned_v2"), "tuned.so");
    host.until_version("tuned", "2.0.0");
    let before = settings(&host);
    host.drop_plugin(artefacts().fixture("tuned_v1"), "tuned.so");
    host.until_refused("tuned.so", "reads settings of version 1, those stored here are of version 2");
    until_tone(&host, "bright, from 1");
    assert_eq!(settings(&host), before);

    // Deleted and dropped again, it is still older than what is stored.
    fs::remove_file(host.plugins().join("tuned.so")).unwrap();
    wait::until(PATIENCE, "the route is gone", || (host.http().get(TONE).status == 404).then_some(()));
    host.drop_plugin(artefacts().fixture("tuned_v1"), "tuned.so");
    host.until_refused("tuned.so", "those stored here are of version 2");
    host.drop_plugin(artefacts().fixture("tuned_v2"), "tuned.so");
    until_tone(&host, "bright, from 1");
}

#[test]
fn a_version_that_is_sent_back_takes_its_migration_with_it() {
    let host = host_with_settings("tuned_v1");
    let before = settings(&host);
    host.drop_plugin(artefacts().fixture("migration_then_no_health"), "tuned.so");
    host.until_refused("tuned.so", "no sound comes out");
    host.until_version("tuned", "1.0.0");
    until_tone(&host, "bright");
    assert_eq!(settings(&host), before);
}

/// A running host with a plugin of today, and its log's mark behind it.
fn host_of_today() -> Host {
    let mut host = Host::prepare();
    host.drop_plugin(artefacts().fixture("hello"), "hello.so");
    host.run();
    host
}

#[track_caller]
fn until_answer(host: &Host, target: &str, text: &str) {
    wait::until(PATIENCE, text, || (host.http().get(target).body == text.as_bytes()).then_some(()));
}

#[test]
fn plugins_of_yesterday_today_and_tomorrow_serve_in_one_host() {
    let host = host_of_today();
    host.drop_plugin(&other_times::older("older"), "older.so");
    host.drop_plugin(&other_times::newer("wants_echo"), "newer.so");
    until_answer(&host, "/plugins/older/alice", "good old offline\n");
    until_answer(&host, "/plugins/wants-echo/echo", "newer: no echo here\n");
    until_answer(&host, "/plugins/hello/version", "this is build 1.0.0\n");
}

#[test]
fn a_plugin_that_needs_a_newer_interface_is_refused_by_its_name_before_it_runs() {
    let host = host_of_today();
    host.drop_plugin(&other_times::newer("needs_echo"), "newer.so");
    host.until_refused("newer.so", "needs host.echo/1, which this host does not offer");
    let log = host.process().log();
    let steps: Vec<_> =
        log.lines().filter(|line| line.contains("plugin needs-echo ") && line.contains(" -> ")).collect();
    assert!(steps.len() == 1 && steps[0].contains(" STAGED -> REFUSED "), "{steps:?}");
    until_answer(&host, "/plugins/hello/version", "this is build 1.0.0\n");
}

#[test]
fn a_plugin_whose_view_of_an_interface_has_grown_is_refused_by_name() {
    let host = host_of_today();
    host.drop_plugin(&other_times::newer("counts_presence"), "newer.so");
    host.until_refused("newer.so", "its host.presence/1 has another shape than this host's");
    until_answer(&host, "/plugins/hello/version", "this is build 1.0.0\n");
}
