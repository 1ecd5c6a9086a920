//! What lies in the folder beside good files: entries that are no plugin files, and a second file with the same plugin.

use std::{
    fs,
    os::unix::{fs::symlink, net::UnixListener},
    process::Command,
    time::{Duration, Instant},
};

use super::{
    Extent,
    report::{Report, Times},
    watched::{Watched, version},
};
use crate::{artefacts::artefacts, drop_style::DropStyle, host::PATIENCE, plugin_file::PluginFile, wait};

/// What a look at the folder may take.
const SCAN: Duration = Duration::from_millis(50);

/// P32: what is no plugin file by its name or kind is left alone, and said once.
pub fn odd_entries(extent: Extent) -> Report {
    let watched = Watched::with_hello();
    let plugins = watched.host.plugins();
    let skipped = ["half.so.tmp", "hello.so~", ".hidden.so", "two\nlines.so", &"n".repeat(252)];
    for name in skipped {
        let name = if name.len() == 252 { format!("{name}.so") } else { name.to_owned() };
        fs::write(plugins.join(name), "no plugin").expect("the name is allowed");
    }
    fs::create_dir(plugins.join("folder.so")).expect("a folder can be made");
    symlink("/nowhere", plugins.join("dangling.so")).expect("a link can be made");
    symlink(artefacts().fixture("waits"), plugins.join("link.so")).expect("a link can be made");
    let _socket = UnixListener::bind(plugins.join("socket.so")).expect("a socket can be made");
    assert!(Command::new("mkfifo").arg(plugins.join("pipe.so")).status().expect("mkfifo starts").success());
    let kinds =
        [("folder", "a directory"), ("dangling", "link"), ("link", "link"), ("socket", "a socket"), ("pipe", "pipe")];
    for (name, kind) in kinds {
        watched.host.until_refused(&format!("{name}.so"), kind);
    }
    let device =
        Command::new("mknod").arg(plugins.join("device.so")).args(["c", "1", "5"]).output().expect("mknod starts");
    if device.status.success() {
        watched.host.until_refused("device.so", "a device");
    }
    // None of them keeps good files from being seen, nor is said again at each look.
    let upgrades = extent.of(2, 50);
    for number in 1..=upgrades {
        watched.upgrade(number, DropStyle::Copy);
    }
    let scans = scans(&watched, extent.of(3, 50));
    assert!(!extent.is_long() || scans.within(0.5) <= SCAN, "{scans}");
    let log = watched.host.process().log();
    let warned = log.lines().filter(|line| line.contains(" is skipped: ") && !line.contains("another")).count();
    assert_eq!(warned, skipped.len(), "{log}");
    assert_eq!(log.lines().filter(|line| line.contains("pipe.so") && line.contains("REFUSED")).count(), 1, "{log}");
    assert_eq!(log.matches(" -> ACTIVE ").count(), 1 + upgrades);
    let report = watched.end(format!("{} odd entries, {upgrades} upgrades beside them", skipped.len() + kinds.len()));
    let report = report.note(format!("another is told of after {scans}, a pause of 20 ms included"));
    if device.status.success() { report } else { report.note("no device: mknod is not allowed here") }
}

/// How long it takes from an odd entry, made beside all others, to the line that tells of it: the event, the pause that makes one look of
/// many events, and the look at the whole folder.
fn scans(watched: &Watched, times: usize) -> Times {
    let mut scans = Times::default();
    for number in 0..times {
        let (name, mark) = (format!("another{number}.tmp"), watched.host.process().log_mark());
        let made = Instant::now();
        fs::write(watched.host.plugins().join(&name), "no plugin").expect("the folder can be written to");
        let told = |line: &str| line.contains(&name) && line.contains(" is skipped: ");
        watched.host.process().until_logged(mark, PATIENCE, told);
        scans.push(made.elapsed());
    }
    scans
}

/// P36: of two files with one plugin, the first stays; when it is deleted, the second takes over.
pub fn twins(extent: Extent) -> Report {
    let watched = Watched::with_hello();
    let rounds = extent.of(1, 20);
    let names = ["hello.so", "twin.so"];
    for round in 0..rounds {
        let (stays, comes) = (names[round % 2], names[(round + 1) % 2]);
        PluginFile::hello(&version(round + 1)).write(&watched.host.plugins(), comes);
        let refused = watched.host.until_refused(comes, stays);
        assert_ne!(refused.text("state"), "active");
        watched.until_build(round);
        fs::remove_file(watched.host.plugins().join(stays)).expect("the file is there");
        watched.until_build(round + 1);
        wait::until(PATIENCE, "the first file is forgotten", || {
            watched.host.deployed().iter().all(|plugin| !plugin.text("file").ends_with(stays)).then_some(())
        });
    }
    watched
        .end(format!("{rounds} times a second file with the same plugin, which takes over once the first is deleted"))
}
