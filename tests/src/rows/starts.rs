//! Plugins that start badly, alone and among many.

use std::time::{Duration, Instant};

use super::{
    Extent,
    report::Report,
    watched::{HELLO, Watched, host_with_hello},
};
use crate::{
    artefacts::artefacts,
    drop_style::DropStyle,
    host::{Host, PATIENCE},
    http::load::Load,
    plugin_file::PluginFile,
    wait,
};

/// P15: a start that panics is a refusal with the panic's text.
pub fn panics(extent: Extent) -> Report {
    let watched = Watched::with_hello();
    let rounds = extent.of(1, 100);
    let built = PluginFile::read(artefacts().fixture("start_panics"));
    for round in 0..rounds {
        let other = built.with_version(&super::watched::version(round + 1)).write(watched.host.folder(), "build.so");
        let mark = watched.host.process().log_mark();
        DropStyle::Copy.drop(&other, &watched.target());
        let refused = |line: &str| line.contains("REFUSED") && line.contains("the pot fell off the table");
        watched.host.process().until_logged(mark, PATIENCE, refused);
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
