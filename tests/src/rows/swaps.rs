//! One version after the other: what each of them costs, and what becomes of requests meanwhile.

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use super::{
    Extent,
    report::{Report, Times},
    watched::{HELLO, Watched, version},
};
use crate::{
    artefacts::artefacts,
    drop_style::DropStyle,
    foreign,
    host::{Census, Host, PATIENCE},
    plugin_file::PluginFile,
    wait,
};

/// What a version may keep of anonymous memory, in bytes.
const MEMORY: i64 = 60_000;
/// What a version may keep of mappings.
const MAPPINGS: i64 = 5;
/// Threads that come and go by themselves: the host's runtime keeps idle ones for a while.
const IDLE_THREADS: u64 = 16;

/// P3: many distinct versions of the presence service, one after the other.
pub fn many_versions(extent: Extent) -> Report {
    let mut host = Host::prepare();
    let built = PluginFile::read(&artefacts().presence);
    built.with_version(&version(0)).write(&host.plugins(), "presence.so");
    host.run();
    let watched = Watched::new(host, "/plugins/presence/status?type=text&jid=idle@localhost");
    let (versions, mut times) = (extent.of(10, 1_000), Times::default());
    for number in 1..=versions {
        times.push(swap(&watched, &built, number));
    }
    let (before, after) = (watched.before, watched.host.process().census());
    assert_eq!(watched.loads("presence"), 1 + versions);
    let [memory, mappings] = growth(before, after, versions);
    if extent.is_long() {
        assert!(memory <= MEMORY && mappings <= MAPPINGS, "{memory} bytes and {mappings} mappings a version");
        assert!(after.descriptors <= before.descriptors + 2, "before {before}, after {after}");
        assert!(after.threads <= before.threads + IDLE_THREADS, "before {before}, after {after}");
    }
    let report = watched.end(format!("{versions} versions, {memory} bytes and {mappings} mappings each"));
    report.note(times.to_string())
}

/// Puts a version into service and waits until the one before has ended.
fn swap(watched: &Watched, built: &PluginFile, number: usize) -> Duration {
    let (host, version, former) = (&watched.host, version(number), version(number - 1));
    let file = built.with_version(&version).write(host.folder(), "build.so");
    let mark = host.process().log_mark();
    DropStyle::Copy.drop(&file, &host.plugins().join("presence.so"));
    let dropped = Instant::now();
    let reaches = |version: &str, state: &str| {
        let (version, state) = (format!("plugin presence {version} "), format!("-> {state} "));
        host.process().until_logged(mark, PATIENCE, |line| line.contains(&version) && line.contains(&state));
    };
    reaches(&version, "ACTIVE");
    let took = dropped.elapsed();
    reaches(&former, "RETIRED");
    took
}

/// What each of so many versions added, in bytes and in mappings.
fn growth(before: Census, after: Census, versions: usize) -> [i64; 2] {
    let each = |before: u64, after: u64| (after as i64 - before as i64) / versions as i64;
    [each(before.anonymous, after.anonymous), each(before.mappings, after.mappings)]
}

/// P41: files, commands and deletions of one plugin at the same time. Nothing locks up, and the last word counts.
pub fn all_at_once(extent: Extent) -> Report {
    let mut host = Host::prepare();
    host.drop_plugin(artefacts().fixture("panics_on_request"), "other.so");
    PluginFile::hello(&version(0)).write(&host.plugins(), "hello.so");
    host.run();
    let watched = Watched::new(host, "/plugins/panics-on-request/thread");
    let over = Instant::now() + extent.of(Duration::from_secs(4), Duration::from_secs(600));
    let [drops, deletions, commands] = thread::scope(|scope| {
        let watched = &watched;
        let drops = scope.spawn(move || repeat(over, 430, |turn| drop_build(watched, 1 + turn % 9)));
        let deletions = scope.spawn(move || repeat(over, 1_700, |_| drop(fs::remove_file(watched.target()))));
        let commands = scope.spawn(move || repeat(over, 50, |turn| order(watched, turn)));
        [drops, deletions, commands].map(|work| work.join().expect("none of them panics"))
    });
    drop_build(&watched, 10);
    // Switched off or not at this moment: unknown if it was deleted before it ever served.
    watched.host.command(&["plugin", "enable", "hello"]);
    watched.until_build(10);
    watched.end(format!("{drops} drops, {deletions} deletions and {commands} commands at the same time"))
}

/// Does something again and again, with pauses of so many milliseconds. Returns how often.
fn repeat(over: Instant, pause: u64, mut work: impl FnMut(usize)) -> usize {
    let mut turn = 0;
    while Instant::now() < over {
        work(turn);
        turn += 1;
        thread::sleep(Duration::from_millis(pause));
    }
    turn
}

fn drop_build(watched: &Watched, number: usize) {
    PluginFile::hello(&version(number)).write(&watched.host.plugins(), "hello.so");
}

/// A command that may fail, because there is no such plugin at this moment, but ends.
fn order(watched: &Watched, turn: usize) {
    let outcome = watched.host.command(&["plugin", ["disable", "enable", "retry"][turn % 3], "hello"]);
    assert!(matches!(outcome.code, Some(0 | 1)) && !outcome.errors.contains("panicked"), "{outcome:?}");
}

/// P42: threads of versions that have ended go on calling the host. Each call is answered "closed", and nobody notices.
pub fn late_calls(extent: Extent) -> Report {
    // Each version has a thread, which costs one of a process's 1,024 thread keys.
    let versions = extent.of(4, 500);
    let report = late("calls_late", "/plugins/calls-late/", versions);
    late("writes_late", "/plugins/writes-late/", versions);
    report.note("the same of 1000 writes to a stream, by another plugin")
}

/// Replaces a plugin so often that calls the host when it has ended, and counts the calls that are answered.
fn late(fixture: &str, target: &str, versions: usize) -> Report {
    let built = PluginFile::read(artefacts().fixture(fixture));
    let mut host = Host::prepare();
    built.with_version(&version(0)).write(&host.plugins(), "late.so");
    host.run();
    let watched = Watched::new(host, target);
    for number in 1..=versions {
        let mark = watched.host.process().log_mark();
        let file = built.with_version(&version(number)).write(watched.host.folder(), "build.so");
        DropStyle::Copy.drop(&file, &watched.host.plugins().join("late.so"));
        let told = watched.host.process().until_logged(mark, PATIENCE, |line| line.contains(" after the stop, "));
        assert!(told.contains(" after the stop, 0 "), "{told}");
    }
    watched.end(format!("{versions} versions, 7000 calls after the stop of each, none answered"))
}

/// P43: where thread keys or mappings run out, a new version is refused, and the old one serves.
pub fn budget(extent: Extent) -> Report {
    let report =
        Report::new("new versions refused with thread keys or mappings running out, until there is room again");
    let report = report.note(refused_for_want_of("thread keys", "take_keys", 64));
    let report = report.note(refused_for_want_of("memory mappings", "take_mappings", 3_990));
    if extent.is_long() { report.note(until_refused()) } else { report }
}

/// A host that has no more left than this of a resource refuses, and says what to do.
fn refused_for_want_of(resource: &str, take: &str, left: usize) -> String {
    let mut host = Host::prepare();
    let order = host.folder().join("order");
    let (quoted, left) = (foreign::quoted(&order.display().to_string()), left.to_string());
    let macros = [("TAKE", take), ("LEFT", &left), ("ORDER", &quoted)];
    host.environment("LD_PRELOAD", foreign::library("exhausts", &macros, host.folder()));
    PluginFile::hello(&version(0)).write(&host.plugins(), "hello.so");
    host.run();
    let watched = Watched::new(host, HELLO);
    watched.upgrade(1, DropStyle::Copy);
    fs::write(&order, "").expect("the folder can be written to");
    wait::until(PATIENCE, "the resource is taken", || (!order.exists()).then_some(()));
    DropStyle::Copy.drop(&watched.build(2), &watched.target());
    let refused = watched.host.until_refused("hello.so", "restart to reclaim");
    assert!(refused.text("reason").contains(resource), "{refused:?}");
    watched.until_build(1);
    // The advice helps.
    let (_, mut host) = watched.end_and_go_on("");
    host.crash_and_restart();
    assert_eq!(host.http().get(HELLO).text(), format!("this is build {}\n", version(2)));
    format!("{resource}: refused with {left} left, taken after a restart")
}

/// Versions that use threads, one after the other, until the host has had enough of them.
fn until_refused() -> String {
    let watched = Watched::with_hello();
    for number in 1..=2_000 {
        let mark = watched.host.process().log_mark();
        DropStyle::Copy.drop(&watched.build(number), &watched.target());
        let (active, subject) = (format!("plugin hello {} ", version(number)), "-> ACTIVE ");
        let said = watched.host.process().until_logged(mark, PATIENCE, |line| {
            line.contains(&active) && (line.contains(subject) || line.contains("restart to reclaim"))
        });
        if said.contains("restart to reclaim") {
            watched.until_build(number - 1);
            watched.end("");
            return format!("{number} versions until the first refusal");
        }
    }
    watched.end("");
    "2000 versions and none refused".to_owned()
}
