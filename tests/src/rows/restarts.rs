//! Kills at the worst moment, and what serves afterwards.

use std::{fs, thread, time::Duration};

use super::{
    Extent,
    report::Report,
    watched::{HELLO, copies, host_with_hello, names, version},
};
use crate::{
    drop_style::DropStyle,
    host::{Host, PATIENCE},
    plugin_file::PluginFile,
    wait,
};

/// The steps of a new version and of the one before, as the log names them.
const STEPS: [&str; 10] =
    ["SETTLED", "STAGED", "CHECKED", "PROBED", "LOADED", "STARTED", "ACTIVE", "DRAINING", "STOPPED", "RETIRED"];

/// P23: started on a bad file, the host serves the last good version from its first moment on.
pub fn bad_file(extent: Extent) -> Report {
    let mut host = host_with_hello();
    let rounds = extent.of(1, 20);
    for round in 1..=rounds {
        PluginFile::hello(&version(round)).truncated(1, 2).write(&host.plugins(), "hello.so");
        host.until_refused("hello.so", "truncated");
        host.crash_and_restart();
        assert_eq!(answer(&host), body(0));
        let kept = host.until_refused("hello.so", "truncated");
        assert_eq!((kept.text("state"), kept.version()), ("active", version(0).as_str()), "{kept:?}");
    }
    Report::new(format!(
        "{rounds} kills with a bad file in the folder, the last good version serves at the first ready"
    ))
}

/// P24: killed at any step, the host serves the old version or the new one, and leaves nothing lying about.
pub fn kills(extent: Extent) -> Report {
    let mut host = host_with_hello();
    let (rounds, mut number) = (extent.of(1, 20), 0);
    for round in 0..rounds {
        for step in STEPS {
            number += 1;
            let mark = host.process().log_mark();
            let file = PluginFile::hello(&version(number)).write(host.folder(), "build.so");
            DropStyle::Copy.drop(&file, &host.plugins().join("hello.so"));
            host.process().until_logged(mark, PATIENCE, |line| line.contains(&format!(" -> {step} ")));
            // A little further each time, into the work between this step and the next.
            thread::sleep(Duration::from_millis(round));
            host.crash_and_restart();
            serves_one_of(&host, number);
        }
        number += 1;
        killed_while_copied(&mut host, number);
    }
    Report::new(format!("{} kills, at each of {} steps and in the middle of a copy", rounds * 11, STEPS.len()))
}

/// Killed with half a file in the folder, of which the rest comes later.
fn killed_while_copied(host: &mut Host, number: usize) {
    let build = PluginFile::hello(&version(number));
    let target = host.plugins().join("hello.so");
    build.truncated(1, 2).write(&host.plugins(), "hello.so");
    host.crash_and_restart();
    serves_a_version(host, number - 1);
    fs::write(&target, build.bytes()).expect("the target can be overwritten");
    serves_one_of(host, number);
}

/// A version up to this one serves. The old one need not be the one before: a version that was killed in its first
/// seconds has not proved itself yet.
#[track_caller]
fn serves_a_version(host: &Host, number: usize) {
    let served = answer(host);
    assert!((0..=number).any(|number| served == body(number)), "{served:?} serves");
}

/// The old or the new at once, the new in the end, and nothing lying about.
#[track_caller]
fn serves_one_of(host: &Host, number: usize) {
    serves_a_version(host, number);
    wait::until(PATIENCE, "the new version serves", || (answer(host) == body(number)).then_some(()));
    let copies = copies(host);
    // The new one, and the good ones that it may have to make way for.
    assert!(copies.len() <= 3 && copies.iter().all(|name| name.ends_with(".so")), "{copies:?}");
    // What was said of half a file is taken back.
    wait::until(PATIENCE, "only the plugin is in the folder", || {
        (names(&host.plugins()) == ["hello.so"]).then_some(())
    });
}

fn answer(host: &Host) -> String {
    host.http().get(HELLO).text().to_owned()
}

fn body(number: usize) -> String {
    format!("this is build {}\n", version(number))
}
