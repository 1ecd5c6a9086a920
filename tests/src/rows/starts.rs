//! Plugins that start badly, alone and among many.

use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    time::{Duration, Instant},
};

use super::{
    Extent,
    report::Report,
    watched::{HELLO, Watched, host_with_hello, version},
};
use crate::{
    artefacts::artefacts, drop_style::DropStyle, foreign, host::Host, http::load::Load, plugin_file::PluginFile, wait,
};

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
    let library = foreign::marking(&manifest, fault, marks, folder);
    DropStyle::Copy.drop(&library, &plugins.join(format!("{name}.so")));
}

/// The same content under another name is refused without being opened.
fn quarantined(watched: &Watched, name: &str) {
    let plugins = watched.host.plugins();
    fs::rename(plugins.join(format!("{name}.so")), plugins.join("again.so")).expect("the file is there");
    watched.host.until_refused("again.so", "quarantined");
}

/// P14: a start that fails is a refusal in the plugin's own words, but for what would spoil a line, and not too many of them.
pub fn fails(extent: Extent) -> Report {
    let watched = Watched::with_hello();
    let rounds = extent.of(1, 50);
    let [plain, rant] = ["start_fails", "start_rants"].map(|name| PluginFile::read(artefacts().fixture(name)));
    let tamed = r"did not start: no coffee\n\u{1b}[2J<b>pot</b> \u{202e}more more ";
    for round in 1..=rounds {
        watched.refuses(&plain.with_version(&version(round)), "did not start: no coffee <in> the pot");
        let line = watched.refuses(&rant.with_version(&version(round)), tamed);
        let said = &line[line.find("no coffee").expect("it said so")..];
        assert!(said.len() <= 1_024, "{} bytes: {said}", said.len());
    }
    let refused = watched.host.until_refused("hello.so", tamed);
    assert_eq!(refused.text("state"), "active", "{refused:?}");
    watched.until_build(0);
    watched.end(format!("{rounds} starts that fail in plain words, {rounds} with 10 KiB of abuse"))
}

/// P15: a start that panics is a refusal with the panic's text.
pub fn panics(extent: Extent) -> Report {
    let watched = Watched::with_hello();
    let rounds = extent.of(1, 100);
    let built = PluginFile::read(artefacts().fixture("start_panics"));
    for round in 1..=rounds {
        watched.refuses(&built.with_version(&version(round)), "the pot fell off the table");
    }
    let refused = watched.host.until_refused("hello.so", "the pot fell off the table");
    assert_eq!(refused.text("state"), "active", "{refused:?}");
    watched.end(format!("{rounds} starts that panic"))
}

/// P16: a start that hangs is given up, on trial after 5 s and in the host after 10 s, and nobody waits for it.
pub fn hangs(extent: Extent) -> Report {
    let host = host_with_hello();
    let calm = extent.is_long().then(|| calm(&host));
    let watched = Watched::new(host, HELLO);
    let dropped = Instant::now();
    let drop = |name: &str| watched.host.drop_plugin(artefacts().fixture(name), &format!("{name}.so"));
    drop("start_hangs");
    drop("start_hangs_in_earnest");
    watched.host.until_refused("start_hangs.so", "killed after 5 s");
    watched.host.until_refused("start_hangs_in_earnest.so", "no answer within 10 s");
    let took = dropped.elapsed();
    let (report, tally) =
        watched.end_with_tally(format!("two starts that hang, given up after {:.1} s", took.as_secs_f64()));
    let busy = tally.delay(0.99);
    let Some(calm) = calm else { return report };
    assert!(busy <= 2 * calm + Duration::from_millis(2), "p99 {busy:?} with them, {calm:?} without");
    report.note(format!("p99 of the others {:.1} ms, {:.1} ms without", millis(busy), millis(calm)))
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}

/// The 99th percentile of the same load with nothing else going on.
fn calm(host: &Host) -> Duration {
    let load = Load::start(host.process().ready().http, HELLO, 32, Duration::from_millis(20));
    wait::until(Duration::from_secs(60), "a calm load", || (load.answered() > 10_000).then_some(()));
    load.stop().delay(0.99)
}

/// P40: of many plugins found at the start, the bad ones do not keep the others.
pub fn many(extent: Extent) -> Report {
    let mut host = Host::prepare();
    let plugins = extent.of(12, 50);
    let built = PluginFile::read(artefacts().fixture("hello"));
    for number in 2..plugins {
        built.with_text("id=hello\n", &format!("id=h{number:04}\n")).write(&host.plugins(), &format!("h{number}.so"));
    }
    host.drop_plugin(artefacts().fixture("start_fails"), "bad.so");
    host.drop_plugin(artefacts().fixture("start_hangs"), "hangs.so");
    let started = Instant::now();
    host.run();
    let took = started.elapsed();
    assert!(!extent.is_long() || took <= Duration::from_secs(6), "ready after {took:?}");
    let active = host.deployed().iter().filter(|plugin| plugin.text("state") == "active").count();
    assert_eq!(active, plugins - 2);
    host.until_refused("bad.so", "no coffee");
    host.until_refused("hangs.so", "killed after 5 s");
    assert_eq!(host.http().get("/plugins/h0002/version").status, 200);
    Report::new(format!(
        "{plugins} plugins at the start, one bad and one that hangs: {active} active, ready after {:.1} s",
        took.as_secs_f64()
    ))
}
