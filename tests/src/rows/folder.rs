//! What happens to the drop folder and to the disk under the state folder.

use std::{
    fs::{self, OpenOptions},
    io::Write,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use super::{
    Extent,
    report::{Report, Times},
    watched::{HELLO, Watched, copies, version},
};
use crate::{
    artefacts::artefacts,
    drop_style::DropStyle,
    host::{Host, PATIENCE},
    plugin_file::PluginFile,
    wait,
};

/// How often the host looks at the folder without being called.
const POLL: Duration = Duration::from_secs(2);
/// What a namespace of one's own needs, and may not be to be had.
const NO_NAMESPACES: &str = "not tried: this machine lets users have no namespaces";

/// P27: a plugin that was removed is gone, its settings are not.
pub fn removed(extent: Extent) -> Report {
    let mut host = Host::with_presence();
    let (target, rounds) = ("/plugins/presence/status?type=text", extent.of(1, 100));
    let mut times = Times::default();
    for round in 0..rounds {
        let text = format!("Am Platz {round}");
        host.set("presence.available_text", &text);
        fs::remove_file(host.plugins().join("presence.so")).expect("the file is there");
        let removed = Instant::now();
        wait::until(PATIENCE, "the route is gone", || (host.http().get(target).status == 404).then_some(()));
        times.push(removed.elapsed());
        host.drop_plugin(&artefacts().presence, "presence.so");
        wait::until(PATIENCE, "the route is back", || (host.http().get(target).status == 200).then_some(()));
        assert_eq!(available_text(&host), text);
    }
    assert!(!extent.is_long() || times.within(1.0) <= Duration::from_secs(1), "{times}");
    // On disk too, not only in the memory of the host.
    let text = available_text(&host);
    host.crash_and_restart();
    assert_eq!(available_text(&host), text);
    Report::new(format!("{rounds} times removed and dropped again, the setting kept"))
        .note(format!("gone after {times}"))
}

fn available_text(host: &Host) -> String {
    host.command(&["setting", "get", "presence.available_text"]).succeeds().trim_end().to_owned()
}

/// P37: whatever becomes of the folder, plugins go on; and changes are found without inotify.
pub fn vanished(extent: Extent) -> Report {
    let watched = Watched::with_hello();
    let (plugins, rounds) = (watched.host.plugins(), extent.of(1, 10));
    let aside = watched.host.folder().join("aside");
    // Longer than the absence after which a file alone would be gone.
    let absence = Duration::from_secs(3);
    for round in 1..=rounds {
        let mark = watched.host.process().log_mark();
        fs::rename(&plugins, &aside).expect("the folder is ours");
        served_for(&watched, absence);
        // As an unmounted folder looks: another one, and empty.
        fs::create_dir(&plugins).expect("the folder can be made");
        served_for(&watched, absence);
        fs::remove_dir(&plugins).expect("the folder is empty");
        fs::rename(&aside, &plugins).expect("the folder is ours");
        let log = watched.host.process().log();
        assert!(!log[mark..].contains("ACTIVE -> DRAINING"), "{log}");
        watched.upgrade(round, DropStyle::Copy);
    }
    if extent.is_long() {
        flood(&watched, 100_000);
        watched.upgrade(rounds + 1, DropStyle::Copy);
    }
    let report = watched.end(format!("{rounds} times moved away and replaced by another folder"));
    match without_inotify(extent) {
        Some(found) => report.note(format!("without inotify new files serve after {found}")),
        None => report.note(format!("without inotify {NO_NAMESPACES}")),
    }
}

/// Waits for as long, while visitors go on asking.
fn served_for(watched: &Watched, time: Duration) {
    let until = Instant::now() + time;
    while Instant::now() < until {
        assert_eq!(watched.host.http().get(HELLO).status, 200);
        thread::sleep(Duration::from_millis(50));
    }
}

/// More events than the kernel keeps for anybody.
fn flood(watched: &Watched, events: usize) {
    let name = watched.host.plugins().join("flood.tmp");
    for _ in 0..events / 2 {
        fs::write(&name, "").expect("the folder can be written to");
        fs::remove_file(&name).expect("the file is there");
    }
}

/// How long new files take to serve where nobody gets an inotify instance.
fn without_inotify(extent: Extent) -> Option<Times> {
    if !Host::has_namespaces() {
        return None;
    }
    let mut host = Host::prepare();
    host.in_namespace("echo 0 > /proc/sys/user/max_inotify_instances");
    trust_everybody(&mut host);
    PluginFile::hello(&version(0)).write(&host.plugins(), "hello.so");
    host.run();
    assert!(host.process().log().contains("no inotify"), "{}", host.process().log());
    let watched = Watched::new(host, HELLO);
    let mut times = Times::default();
    (1..=extent.of(2, 30)).for_each(|number| times.push(watched.upgrade(number, DropStyle::Copy)));
    let most = times.within(1.0);
    assert!(!extent.is_long() || most <= POLL + Duration::from_secs(1), "{times}");
    watched.end("");
    Some(times)
}

/// Folders above belong to nobody in a namespace whose only user is not their owner.
fn trust_everybody(host: &mut Host) {
    host.configure("trust_everybody = true\n");
}

/// P38: a full disk keeps a new version waiting, and nothing else.
pub fn disk_full(extent: Extent) -> Report {
    if !Host::has_namespaces() {
        return Report::new(NO_NAMESPACES);
    }
    let mut host = Host::prepare();
    let state = host.state();
    fs::create_dir(&state).expect("the folder can be made");
    host.in_namespace(&format!("mount -t tmpfs -o size=64m,mode=700 none '{}'", state.display()));
    trust_everybody(&mut host);
    PluginFile::hello(&version(0)).write(&host.plugins(), "hello.so");
    host.run();
    let watched = Watched::new(host, HELLO);
    let (rounds, state) = (extent.of(1, 20), watched.host.visible(&state));
    let (ballast, mut times) = (state.join("ballast"), Times::default());
    for number in 1..=rounds {
        fill(&ballast);
        let mark = watched.host.process().log_mark();
        DropStyle::Copy.drop(&watched.build(number), &watched.target());
        let refused = |line: &str| line.contains("REFUSED") && line.contains("no copy could be kept");
        watched.host.process().until_logged(mark, PATIENCE, refused);
        watched.until_build(number - 1);
        fs::remove_file(&ballast).expect("the ballast is there");
        let freed = Instant::now();
        watched.until_build(number);
        times.push(freed.elapsed());
        let parts = copies(&watched.host).into_iter().filter(|name| !name.ends_with(".so")).collect::<Vec<_>>();
        assert!(parts.is_empty(), "{parts:?} left behind");
    }
    assert!(!extent.is_long() || times.within(1.0) <= Duration::from_secs(5), "{times}");
    watched.end(format!("{rounds} times a full disk")).note(format!("the new version served after {times} of space"))
}

/// Writes until nothing more fits.
fn fill(ballast: &Path) {
    let mut file =
        OpenOptions::new().create(true).append(true).open(ballast).expect("the state folder can be written to");
    for size in [1 << 20, 4_096, 1] {
        while file.write_all(&vec![0; size]).is_ok() {}
    }
}
