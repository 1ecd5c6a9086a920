//! What becomes of a plugin's settings when a version does not come into service.

use serde_json::Value;

use super::{
    Extent,
    report::Report,
    watched::{Watched, version},
};
use crate::{
    artefacts::artefacts,
    host::{Host, PATIENCE},
    plugin_file::PluginFile,
    wait,
};

/// Where the plugin `tuned` says what its setting is.
const TONE: &str = "/plugins/tuned/tone";
/// Versions that can't come into service, and why not.
const FAILURES: [(&str, &str); 5] = [
    ("migration_fails", "from version 1 to 2, and stay as they are: the strings are out of tune"),
    ("migration_panics", "from version 1 to 2, and stay as they are: panicked: a string broke"),
    ("migration_sets_invalid", r#"stay as they are: setting "loud": "maybe": expected true or false"#),
    ("migration_sets_undeclared", r#"stay as they are: setting "volume" was given a value and is not declared"#),
    ("migration_then_no_start", "did not start: will not play bright, from 1"),
];

/// P29: a version whose migration or start fails, or that reads older settings only, changes no setting.
pub fn migrations(extent: Extent) -> Report {
    let mut host = Host::prepare();
    // Good at once: else the kill at the end would send it back, and its migration with it.
    host.configure("health_window = '0s'\n");
    host.drop_plugin(artefacts().fixture("tuned_v1"), "tuned.so");
    host.run();
    host.set("tuned.tone", "bright");
    let watched = Watched::new(host, TONE);
    let rounds = extent.of(1, 20);
    let before = settings(&watched.host);
    for round in 1..=rounds {
        for (fixture, words) in FAILURES {
            refused(&watched, fixture, round, words);
            assert_eq!(settings(&watched.host), before, "{fixture}");
        }
    }
    assert_eq!(watched.host.http().get(TONE).text(), "bright");
    // Forward, and not back.
    watched.host.drop_plugin(artefacts().fixture("tuned_v2"), "tuned.so");
    wait::until(PATIENCE, "version 2 serves", || {
        (watched.host.http().get(TONE).text() == "bright, from 1").then_some(())
    });
    let migrated = settings(&watched.host);
    assert_ne!(migrated, before);
    for round in 1..=rounds {
        refused(&watched, "tuned_v1", round, "reads settings of version 1, those stored here are of version 2");
        assert_eq!(settings(&watched.host), migrated);
    }
    let report = format!("{} versions refused, by {} ways to fail and for older settings", 6 * rounds, FAILURES.len());
    assert_eq!(watched.loads("tuned"), 2);
    let (report, mut host) = watched.end_and_go_on(report + ", all settings as before");
    // On disk too.
    host.crash_and_restart();
    assert_eq!(settings(&host), migrated);
    report
}

/// Drops a build of a fixture and waits until it is refused with these words.
fn refused(watched: &Watched, fixture: &str, round: usize, words: &str) {
    let build = PluginFile::read(artefacts().fixture(fixture)).with_version(&version(round));
    watched.refuses_at(&watched.host.plugins().join("tuned.so"), &build, words);
}

/// All settings with their declarations, as they are listed.
fn settings(host: &Host) -> Vec<Value> {
    let json = host.command(&["setting", "list", "--json"]).succeeds();
    serde_json::from_str(&json).unwrap_or_else(|error| panic!("{error} in {json}"))
}
