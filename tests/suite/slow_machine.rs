//! Trials on a machine that is too slow for a while: a time-out there says nothing of the plugin.

use std::{fs, path::PathBuf, thread};

use tests::{
    artefacts::artefacts,
    host::{Host, PATIENCE},
    plugin_file::PluginFile,
};

const ONCE_MORE: &str = "made once more with nothing beside it";

/// Has every start of the fixture `starts_slowly` wait until the file is deleted.
fn busy(host: &Host) -> PathBuf {
    let busy = host.folder().join("busy");
    fs::write(&busy, "").unwrap();
    busy
}

/// P23: what is on record as good is tried again, and never quarantined for its time.
#[test]
fn a_good_version_may_be_slow_once() {
    let mut host = Host::prepare();
    host.drop_plugin(artefacts().fixture("starts_slowly"), "slow.so");
    host.run();
    host.command(&["plugin", "disable", "starts-00"]).succeeds();
    let busy = busy(&host);
    let mark = host.process().log_mark();
    thread::scope(|scope| {
        let enabled = scope.spawn(|| host.command(&["plugin", "enable", "starts-00"]).succeeds());
        host.process().until_logged(mark, PATIENCE, |line| line.contains("starts-00") && line.contains(ONCE_MORE));
        fs::remove_file(busy).unwrap();
        enabled.join().unwrap();
    });
    host.until_version("starts-00", "1.0.0");
    assert!(!host.process().log().contains("REFUSED"), "{}", host.process().log());
}

/// P40: unknown contents too, where many were tried at once.
#[test]
fn trials_that_time_out_together_are_made_again_alone() {
    let host = Host::start();
    let processors = thread::available_parallelism().map_or(1, usize::from);
    let ids: Vec<_> = (1..=processors.min(16) + 2).map(|number| format!("starts-{number:02}")).collect();
    let (busy, mark) = (busy(&host), host.process().log_mark());
    let built = PluginFile::read(artefacts().fixture("starts_slowly"));
    for id in &ids {
        built.with_text("id=starts-00\n", &format!("id={id}\n")).write(&host.plugins(), &format!("{id}.so"));
    }
    host.process().until_logged(mark, PATIENCE, |line| line.contains(ONCE_MORE));
    fs::remove_file(busy).unwrap();
    for id in &ids {
        host.until_version(id, "1.0.0");
    }
}
