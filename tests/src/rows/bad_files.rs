//! Files that must not be taken, and entries that are no files at all.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::{fs::symlink, net::UnixListener},
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use super::{
    Extent,
    report::Report,
    watched::{Watched, version},
};
use crate::{
    artefacts::artefacts,
    drop_style::DropStyle,
    foreign,
    host::{Outcome, PATIENCE},
    plugin_file::PluginFile,
    wait,
};

/// P7: every beginning of a file is told from the whole by its bytes alone.
pub fn truncated(extent: Extent) -> Report {
    let watched = Watched::with_hello();
    let whole = PluginFile::read(&artefacts().presence);
    let length = whole.bytes().len();
    let step = extent.of(length.div_ceil(40).next_multiple_of(512), 512);
    let cut = watched.host.folder().join("cut.so");
    let mut prefixes = 0;
    for end in (512..length).step_by(step) {
        fs::write(&cut, &whole.bytes()[..end]).expect("a file can be written");
        let said = Outcome::of(&["plugin", "inspect", &cut.display().to_string()], "").fails(1);
        assert!(said.contains("truncated") && said.contains(&format!("file has {end}")), "{end}: {said}");
        prefixes += 1;
    }
    let drops = extent.of(2, 20);
    for part in 1..=drops {
        let half = PluginFile::hello(&version(part)).truncated(part, drops + 1).write(watched.host.folder(), "half.so");
        DropStyle::Copy.drop(&half, &watched.target());
        let has = format!("file has {}", fs::metadata(&half).expect("it was written").len());
        watched.host.until_refused("hello.so", &has);
    }
    assert_eq!(watched.loads("hello"), 1);
    watched.end(format!("{prefixes} beginnings of a file inspected and {drops} dropped, all called truncated"))
}

/// P13: what the dynamic loader runs by itself takes down a child, never the host.
pub fn constructors(extent: Extent) -> Report {
    let watched = Watched::with_hello();
    let faults = [
        ("aborts", "abort()", "SIGABRT"),
        ("crashes", "*(volatile int *)1 = 1", "SIGSEGV"),
        ("exits", "exit(0)", "exit code 0"),
        ("spins", "for (;;) {}", "killed after 5 s"),
    ];
    let marks = watched.host.folder().join("marks");
    let dropped = Instant::now();
    for (name, fault, _) in faults {
        constructor(name, fault, &marks, watched.host.folder(), &watched.host.plugins());
    }
    for (name, _, words) in faults {
        watched.host.until_refused(&format!("{name}.so"), words);
    }
    let took = dropped.elapsed();
    assert!(!extent.is_long() || took < Duration::from_secs(7), "the last verdict took {took:?}");
    let opened_by = fs::read_to_string(&marks).expect("the initialisers ran");
    let processes: BTreeSet<_> = opened_by.lines().collect();
    assert_eq!(processes.len(), faults.len(), "one child for each: {opened_by}");
    assert!(!processes.contains(watched.host.process().id().to_string().as_str()), "the host itself opened one");
    quarantined(&watched, "aborts");
    assert_eq!(fs::read_to_string(&marks).expect("it is still there"), opened_by, "one was opened again");
    watched.end(format!(
        "{} initialisers that take their process down, the last verdict after {:.1} s",
        faults.len(),
        took.as_secs_f64()
    ))
}

/// Builds and drops a library whose initialiser does this.
fn constructor(name: &str, fault: &str, marks: &Path, folder: &Path, plugins: &Path) {
    let manifest = PluginFile::hello("1.0.0").manifest().replace("id=hello\n", &format!("id={name}\n"));
    let (manifest, marks) = (foreign::quoted(&manifest), foreign::quoted(&marks.display().to_string()));
    let macros = [("MANIFEST", manifest.as_str()), ("MARKS", marks.as_str()), ("FAULT", fault)];
    let library = foreign::library("constructor", &macros, folder);
    DropStyle::Copy.drop(&library, &plugins.join(format!("{name}.so")));
}

/// The same content under another name is refused without being opened.
fn quarantined(watched: &Watched, name: &str) {
    let plugins = watched.host.plugins();
    fs::rename(plugins.join(format!("{name}.so")), plugins.join("again.so")).expect("the file is there");
    watched.host.until_refused("again.so", "quarantined");
}

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
    let log = watched.host.process().log();
    let warned = log.lines().filter(|line| line.contains(" is skipped: ")).count();
    assert_eq!(warned, skipped.len(), "{log}");
    assert_eq!(log.lines().filter(|line| line.contains("pipe.so") && line.contains("REFUSED")).count(), 1, "{log}");
    assert_eq!(log.matches(" -> ACTIVE ").count(), 1 + upgrades);
    let report = watched.end(format!("{} odd entries, {upgrades} upgrades beside them", skipped.len() + kinds.len()));
    if device.status.success() { report } else { report.note("no device: mknod is not allowed here") }
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
