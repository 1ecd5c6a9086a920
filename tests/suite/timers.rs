//! Timers of plugins: called when they are due, on a thread of the plugin's generation, and gone with it.

use std::time::{Duration, Instant};

use tests::{
    artefacts::artefacts,
    drop_style::DropStyle,
    host::{Host, PATIENCE},
    http::Answer,
    plugin_file::PluginFile,
    wait,
};

/// A host with the fixture `rings_later`, whose first timer, set by its start, has rung. The trial has started it too.
fn ringing() -> Host {
    let mut host = Host::prepare();
    host.drop_plugin(artefacts().fixture("rings_later"), "rings.so");
    host.run();
    wait::until(PATIENCE, "the timer of the start", || (get(&host, "after/0").status == 200).then_some(()));
    host
}

#[track_caller]
fn get(host: &Host, route: &str) -> Answer {
    host.http().get(&format!("/plugins/rings-later/{route}"))
}

#[test]
fn a_timer_rings_on_the_thread_of_the_generation_and_never_early() {
    let host = ringing();
    let begun = Instant::now();
    assert_eq!(get(&host, "after/250").text(), "rang on rings-later#1-c\n");
    assert!(begun.elapsed() >= Duration::from_millis(250), "{:?}", begun.elapsed());
}

#[test]
fn a_timer_that_is_dropped_never_rings() {
    assert_eq!(get(&ringing(), "cancelled").text(), "rang 0 times, kept 0\n");
}

#[test]
fn a_timer_that_panics_is_logged_and_the_next_one_rings() {
    let host = ringing();
    let mark = host.process().log_mark();
    assert_eq!(get(&host, "panics").text(), "rang on rings-later#1-c\n");
    host.process().until_logged(mark, PATIENCE, |line| line.contains("a timer panicked: a timer that panics"));
}

/// Those that are cancelled make room.
#[test]
fn timers_are_bounded_in_number() {
    assert_eq!(get(&ringing(), "many").text(), "10000 timers: the host has no room for more\n");
}

/// What a closure owns is freed with the generation; the next one has timers of its own.
#[test]
fn timers_go_with_their_generation() {
    let host = ringing();
    let mark = host.process().log_mark();
    let file = PluginFile::read(artefacts().fixture("rings_later")).with_version("1.0.1");
    DropStyle::Copy.drop(&file.write(host.folder(), "build.so"), &host.plugins().join("rings.so"));
    host.until_version("rings-later", "1.0.1");
    host.process().until_logged(mark, PATIENCE, |line| line.contains("a timer that was kept is gone"));
    wait::until(PATIENCE, "the next one rings", || {
        (get(&host, "after/0").body == b"rang on rings-later#2-c\n").then_some(())
    });
}
