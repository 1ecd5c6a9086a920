//! Plugins that load well and turn out bad: by what they keep, in their first seconds in service, or by taking the host down.

use std::{
    process::Command,
    time::{Duration, Instant},
};

use super::{
    Extent,
    report::{Report, Times},
    watched::HELLO,
};
use crate::{
    artefacts::artefacts,
    host::{Host, PATIENCE},
    http::load::{Load, Tally},
    wait,
};

/// P21: what a plugin keeps of memory and threads is told of by its name, and open descriptors by their number, within ten
/// seconds in the log and on the console.
pub fn leaks(extent: Extent) -> Report {
    let rounds = extent.of(1, 10);
    let mut times = Times::default();
    for _ in 0..rounds {
        let mut host = Host::prepare();
        host.configure("plugin_memory = 8\n");
        host.drop_plugin(artefacts().fixture("leaks"), "memory.so");
        host.drop_plugin(artefacts().fixture("leaks_threads"), "threads.so");
        host.drop_plugin(artefacts().fixture("leaks_descriptors"), "descriptors.so");
        host.run();
        // Eighty percent of them are too many.
        let limit = format!("--nofile={DESCRIPTORS}");
        let limited = Command::new("prlimit").args(["--pid", &host.process().id().to_string(), &limit]).status();
        assert!(limited.expect("prlimit starts").success());
        let open = usize::try_from(host.process().census().descriptors).expect("a process has few");
        let leaks = [("leaks", 10), ("leaks-threads", 70), ("leaks-descriptors", DESCRIPTORS * 85 / 100 - open)];
        for (id, count) in leaks {
            (0..count).for_each(|_| assert_eq!(host.http().get(&format!("/plugins/{id}/")).status, 200));
        }
        times.push(warned_of_all(&host));
    }
    let slowest = times.within(1.0);
    assert!(!extent.is_long() || slowest <= Duration::from_secs(10), "{times}");
    Report::new(format!(
        "{rounds} times memory, threads and descriptors kept, each told of in the log and on the console"
    ))
    .note(format!("after {times}"))
}

/// How many descriptors the host of a plugin that leaks them may have.
const DESCRIPTORS: usize = 200;

/// Waits until the host has warned of everything that is kept, and returns how long that took.
fn warned_of_all(host: &Host) -> Duration {
    let kept = Instant::now();
    let warnings = [
        "plugin leaks#1 has 10 MiB of memory, 8 MiB should do",
        "plugin leaks-threads#1 has ",
        "of 200 descriptors are open: a plugin may not close what it opens",
    ];
    let of = |text: &str| warnings.iter().all(|warning| text.contains(warning)).then_some(());
    wait::until(PATIENCE, "the log warns", || of(&host.process().log()));
    wait::until(PATIENCE, "the console warns", || of(host.console().get("/").text()));
    let took = kept.elapsed();
    let bytes = host.memory_of("leaks");
    assert!(bytes.is_some_and(|bytes| bytes > 10 << 20), "{bytes:?}");
    took
}

/// P22: a new version fails requests. The one before is back within its first ten seconds and two more, and requests fail
/// in between only.
pub fn misbehaves(extent: Extent) -> Report {
    let rounds = extent.of(1, 5);
    let (mut times, mut seen) = (Times::default(), Tally::default());
    for fixture in ["fails_requests", "fails_one_in_ten"] {
        for _ in 0..rounds {
            let host = host_with_window(extent.of("2s", "10s"));
            times.push(sent_back(&host, fixture, &mut seen));
            let after = Load::start(host.process().ready().http, HELLO, 8, Duration::from_millis(10));
            wait::until(PATIENCE, "visitors are served", || (after.answered() > 200).then_some(()));
            assert_eq!(after.stop().failures(), 0, "requests fail after the earlier version is back");
        }
    }
    let slowest = times.within(1.0);
    assert!(!extent.is_long() || slowest <= Duration::from_secs(12), "back after {slowest:?}");
    let report = Report::new(format!("{} bad versions, the one before was back in {times}", 2 * rounds));
    report.note(format!("{} of {} requests failed meanwhile, none later", seen.failures(), seen.requests()))
}

/// Drops a bad version under load, and returns how long it served.
fn sent_back(host: &Host, fixture: &str, seen: &mut Tally) -> Duration {
    let load = Load::start(host.process().ready().http, HELLO, 8, Duration::from_millis(10));
    let mark = host.process().log_mark();
    host.drop_plugin(artefacts().fixture(fixture), "hello.so");
    let becomes_active = |version: &'static str| {
        let subject = format!(" plugin hello {version} ");
        move |line: &str| line.contains(&subject) && line.contains(" -> ACTIVE ")
    };
    host.process().until_logged(mark, PATIENCE, becomes_active("2.0.0"));
    let began = Instant::now();
    host.process().until_logged(mark, PATIENCE, becomes_active("1.0.0"));
    let served = began.elapsed();
    let tally = load.stop();
    assert_eq!(tally.failures(), tally.bad.get(&500).copied().unwrap_or_default(), "{tally}");
    seen.add(tally);
    served
}

/// P18: a handler takes the host down. It is back within two seconds and names the culprit; after the second time the
/// version before serves.
pub fn takes_down(extent: Extent) -> Report {
    let all = [
        ("aborts_on_request", "inline"),
        ("segfaults_on_request", "thread"),
        ("overflows_stack_on_request", "inline"),
        ("overflows_stack_on_request", "thread"),
        ("exits_on_request", "thread"),
        ("aborts_on_own_thread", "die"),
    ];
    let faults = extent.of(&all[..1], &all[..]);
    let mut times = Times::default();
    for (fixture, route) in faults {
        let mut host = host_with_window("0s");
        host.drop_plugin(artefacts().fixture(fixture), "hello.so");
        host.until_version("hello", "2.0.0");
        for _ in 0..2 {
            host.dies_of(&format!("/plugins/hello/{route}"));
            times.push(restarted(&mut host));
            let log = host.process().log();
            let named = |line: &str| line.contains("plugin hello 2.0.0 ") && line.contains("took this server down");
            assert!(log.lines().any(named), "{fixture}: nobody is named:\n{log}");
        }
        assert_eq!(host.http().get(HELLO).text(), "this is build 1.0.0\n");
    }
    let slowest = times.within(1.0);
    assert!(!extent.is_long() || slowest <= Duration::from_secs(2), "ready after {slowest:?}");
    Report::new(format!("{} crashes, each named, the version before serves; ready again in {times}", 2 * faults.len()))
}

/// P19: the only version takes the host down whenever it can. After a few crashes the host stays up without it.
pub fn crash_loop(extent: Extent) -> Report {
    let mut host = Host::prepare();
    host.drop_plugin(artefacts().fixture("aborts_on_request"), "hello.so");
    host.run();
    let mut crashes = 0;
    while host.http().get(HELLO).status == 200 {
        host.dies_of("/plugins/hello/inline");
        crashes += 1;
        assert!(crashes <= 3, "a crash loop");
        host.run();
    }
    let (stable, seconds) = (Instant::now(), extent.of(1, 600));
    wait::until(PATIENCE + Duration::from_secs(seconds), "time passes", || {
        let answer = host.http().get("/plugins/hello/inline");
        assert!(answer.status == 503 && answer.text().contains("This plugin is disabled."), "{answer:?}");
        (stable.elapsed() >= Duration::from_secs(seconds)).then_some(())
    });
    Report::new(format!("{crashes} crashes, then {seconds} s of \"This plugin is disabled.\""))
}

fn restarted(host: &mut Host) -> Duration {
    let began = Instant::now();
    host.run();
    began.elapsed()
}

/// A running host on which a new version has to prove itself for this long, with hello 1.0.0 in its drop folder.
fn host_with_window(window: &str) -> Host {
    let mut host = Host::prepare();
    host.configure(&format!("health_window = '{window}'\n"));
    host.drop_plugin(artefacts().fixture("hello"), "hello.so");
    host.run();
    host
}
