//! One version after the other: what each of them costs, and what becomes of requests meanwhile.

use std::time::{Duration, Instant};

use super::{
    Extent,
    report::{Report, Times},
    watched::{Watched, version},
};
use crate::{
    artefacts::artefacts,
    drop_style::DropStyle,
    host::{Census, Host, PATIENCE},
    plugin_file::PluginFile,
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
