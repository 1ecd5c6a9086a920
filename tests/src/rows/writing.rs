//! Every way in which a file comes into the drop folder.

use std::{
    fs::{self, File, OpenOptions},
    io::Write,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use super::{
    Extent,
    report::{Report, Times},
    watched::{HELLO, Watched, version},
};
use crate::{
    drop_style::DropStyle,
    host::{Host, PATIENCE},
    plugin_file::PluginFile,
};

/// What the new version may take from the last byte on, at the 99th percentile.
const SERVING: Duration = Duration::from_secs(1);

/// P1: `cp` over a library that is in use.
pub fn copied_over(extent: Extent) -> Report {
    let watched = Watched::with_hello();
    let (swaps, period) = extent.of((4, Duration::ZERO), (600, Duration::from_secs(1)));
    let mut times = Times::default();
    for number in 1..=swaps {
        let started = Instant::now();
        // Two builds by turns, as somebody who can't decide.
        times.push(watched.upgrade(number % 2, DropStyle::Copy));
        thread::sleep(period.saturating_sub(started.elapsed()));
    }
    keep(extent, &times);
    assert_eq!(watched.loads("hello"), 1 + swaps);
    watched.end(format!("{swaps} overwrites by cp")).note(times.to_string())
}

/// P2: only the last of many contents counts.
pub fn storm(extent: Extent) -> Report {
    let watched = Watched::with_hello();
    let copies = extent.of(300, 10_000);
    let folder = watched.host.folder();
    let builds = [1, 2, 3].map(|number| PluginFile::hello(&version(number)).write(folder, &format!("build{number}")));
    let script =
        r#"i=0; while [ $i -lt "$1" ]; do cp "$2" "$5" && cp "$3" "$5" || exit; i=$((i + 2)); done; cp "$4" "$5""#;
    let started = Instant::now();
    let copies_said = copies.to_string();
    let arguments = ["-c", script, "sh", &copies_said];
    let shell = Command::new("sh").args(arguments).args(&builds).arg(watched.target()).status();
    assert!(shell.expect("sh starts").success());
    let (lasted, took) = (started.elapsed(), watched.until_build(3));
    let loads = watched.loads("hello") - 1;
    assert!(loads <= 20, "{loads} loads");
    assert!(!extent.is_long() || took <= 2 * SERVING, "the last content served {took:?} after the end");
    let done = format!(
        "{copies} overwrites in {:.1} s, {loads} loads, last after {} ms",
        lasted.as_secs_f64(),
        took.as_millis()
    );
    watched.end(done)
}

/// P4: however it is copied, the outcome is the same.
pub fn every_style(extent: Extent) -> Report {
    let watched = Watched::with_hello();
    let (rounds, mut number, mut times, mut missing) = (extent.of(1, 20), 0, Times::default(), Vec::new());
    for style in DropStyle::ALL {
        if let Some(tool) = style.missing(&watched.target()) {
            missing.push(format!("{style:?} not tried: no {tool} here"));
            continue;
        }
        for _ in 0..rounds {
            number += 1;
            times.push(watched.upgrade(number, style));
        }
    }
    keep(extent, &times);
    // What follows a load shows that there was only one.
    assert_eq!(watched.loads("hello"), 1 + number, "one load for each content");
    let report = watched.end(format!("{number} upgrades in {} styles", DropStyle::ALL.len() - missing.len()));
    missing.into_iter().fold(report.note(times.to_string()), Report::note)
}

/// P5: a copy in small pieces, with pauses.
pub fn slow_copy(extent: Extent) -> Report {
    let watched = Watched::with_hello();
    let build = PluginFile::hello(&version(1));
    let mark = watched.host.process().log_mark();
    let started = Instant::now();
    write_slowly(&build, &watched.target(), extent);
    let lasted = started.elapsed();
    let early = watched.host.process().log()[mark..].contains(" -> STAGED");
    assert!(!early, "half a file was taken");
    let took = watched.until_build(1);
    assert!(!extent.is_long() || took <= SERVING, "served {took:?} after the last byte");
    watched.end(format!(
        "a copy that took {:.0} s, served {} ms after its last byte",
        lasted.as_secs_f64(),
        took.as_millis()
    ))
}

/// Writes without ever closing the file. A write is no event to the host, so two pauses are long enough for it to look of itself, twice.
fn write_slowly(build: &PluginFile, target: &Path, extent: Extent) {
    let piece = extent.of(build.bytes().len().div_ceil(10), 4_096);
    let mut file = File::create(target).expect("the target can be overwritten");
    for (index, piece) in build.bytes().chunks(piece).enumerate() {
        file.write_all(piece).expect("the target can be written to");
        let pause = match index {
            2 | 7 => extent.of(Duration::from_millis(2_600), Duration::from_secs(10)),
            _ => Duration::from_millis(50),
        };
        thread::sleep(pause);
    }
}

/// P6: the head is closed before the tail is appended. The head may settle and be refused; it must do no more.
pub fn two_parts(extent: Extent) -> Report {
    let watched = Watched::with_hello();
    let pauses: &[u64] = extent.of(&[0, 250, 1_000], &[0, 50, 200, 300, 350, 400, 600, 1_000, 2_000, 5_000]);
    let rounds = extent.of(1, 10);
    let mut number = 0;
    for pause in pauses.iter().cycle().take(rounds * pauses.len()) {
        number += 1;
        let build = PluginFile::hello(&version(number));
        let (head, tail) = build.bytes().split_at(build.bytes().len() / 3);
        fs::write(watched.target(), head).expect("the target can be overwritten");
        thread::sleep(Duration::from_millis(*pause));
        let mut file = OpenOptions::new().append(true).open(watched.target()).expect("the target is there");
        file.write_all(tail).expect("the target can be appended to");
        drop(file);
        watched.until_build(number);
    }
    assert_eq!(watched.loads("hello"), 1 + number);
    watched.end(format!("{number} copies in two parts, 0 to {} ms apart", pauses[pauses.len() - 1]))
}

/// P28: the file is moved away, deleted, cut and replaced while it is looked at. What serves is always a whole build.
pub fn restless(extent: Extent) -> Report {
    let watched = Watched::with_hello();
    let lasts = extent.of(Duration::from_secs(4), Duration::from_secs(600));
    let target = watched.target();
    let aside = watched.host.folder().join("aside");
    let builds: Vec<_> = (1..=4).map(|number| PluginFile::hello(&version(number))).collect();
    let started = Instant::now();
    let mut turns = 0_usize;
    while started.elapsed() < lasts {
        let build = builds[turns % builds.len()].bytes();
        disturb(turns, build, &target, &aside);
        // From no pause at all to one in which a file settles and is read.
        thread::sleep(Duration::from_millis((turns as u64 * 37) % 450));
        turns += 1;
    }
    // It may be away at this moment.
    watched.upgrade(9, DropStyle::Copy);
    let loads = watched.loads("hello");
    let (report, tally) = watched.end_with_tally(format!("{turns} changes of a restless file, {loads} loads"));
    let whole =
        |body: &[u8]| [0, 1, 2, 3, 4, 9].iter().any(|n| body == format!("this is build {}\n", version(*n)).as_bytes());
    assert!(tally.bodies.keys().all(|body| whole(body)), "{tally}");
    report
}

/// Never away for as long as an undeployment takes: the next turn brings it back.
fn disturb(turn: usize, build: &[u8], target: &Path, aside: &Path) {
    let done = match turn % 6 {
        0 | 3 => fs::write(target, build),
        1 => fs::rename(target, aside),
        2 => fs::rename(aside, target),
        4 => fs::write(target, &build[..build.len() / 2]),
        _ => fs::remove_file(target),
    };
    done.expect("the file is ours to disturb");
}

/// P30: nothing is loaded when nothing is new.
pub fn nothing_new(extent: Extent) -> Report {
    let watched = Watched::with_hello();
    let touches = extent.of(20, 1_000);
    let same = watched.build(0);
    for turn in 0..touches {
        let touched = Command::new("touch").arg(watched.target()).status();
        assert!(touched.expect("touch starts").success());
        if turn % 10 == 9 {
            let mark = watched.host.process().log_mark();
            DropStyle::Copy.drop(&same, &watched.target());
            // Looked at to the end, and left alone.
            watched.host.process().until_logged(mark, PATIENCE, |line| line.contains("not loaded again"));
        }
    }
    assert_eq!(watched.loads("hello"), 1);
    watched.end(format!("{touches} times touched, {} times overwritten by the same", touches / 10))
}

/// P31: what is new is told by its content, not by its time nor by the clock.
pub fn back_in_time(extent: Extent) -> Report {
    let watched = Watched::with_hello();
    let rounds = extent.of(2, 50);
    let mut times = Times::default();
    for number in 1..=rounds {
        let file = watched.build(number);
        DropStyle::Copy.drop(&file, &watched.target());
        let touched = Command::new("touch").args(["-d", "2001-01-01"]).arg(watched.target()).status();
        assert!(touched.expect("touch starts").success());
        times.push(watched.until_build(number));
    }
    keep(extent, &times);
    let report = watched.end(format!("{rounds} overwrites dated back to 2001")).note(times.to_string());
    match clock_goes_back(extent) {
        Some(times) => report.note(format!("{rounds} with the clock 30 days back and forth: {times}")),
        None => report.note("the clock not set back: no libfaketime here"),
    }
}

/// How long new versions take to serve where the wall clock jumps by thirty days before each of them.
fn clock_goes_back(extent: Extent) -> Option<Times> {
    let library = libfaketime()?;
    let mut host = Host::prepare();
    let clock = host.folder().join("clock");
    fs::write(&clock, "+0d").expect("the folder can be written to");
    host.environment("LD_PRELOAD", library);
    host.environment("FAKETIME_TIMESTAMP_FILE", &clock);
    host.environment("FAKETIME_NO_CACHE", "1");
    // The clock that the system sets, not the one that measures; nor the times of files, which no clock changes.
    host.environment("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    host.environment("NO_FAKE_STAT", "1");
    PluginFile::hello(&version(0)).write(&host.plugins(), "hello.so");
    host.run();
    let watched = Watched::new(host, HELLO);
    let mut times = Times::default();
    for number in 1..=extent.of(2, 50) {
        let is_back = number % 2 == 1;
        fs::write(&clock, if is_back { "-30d" } else { "+0d" }).expect("the folder can be written to");
        let before = last_date(&watched);
        times.push(watched.upgrade(number, DropStyle::Copy));
        let after = last_date(&watched);
        assert!(if is_back { after < before } else { before < after }, "the clock stood still: {before}, {after}");
    }
    keep(extent, &times);
    watched.end("");
    Some(times)
}

/// The date of the last line of the log in which a version came into service. Dates sort as text.
fn last_date(watched: &Watched) -> String {
    let log = watched.host.process().log();
    let line = log.lines().rfind(|line| line.contains(" -> ACTIVE ")).expect("a version serves");
    line[..line.find('T').expect("a line begins with its time")].to_owned()
}

/// Where Debian keeps the library that shows a process another time.
fn libfaketime() -> Option<PathBuf> {
    let folders = fs::read_dir("/usr/lib").ok()?.flatten().map(|entry| entry.path());
    folders.map(|folder| folder.join("faketime/libfaketimeMT.so.1")).find(|library| library.exists())
}

/// The figure of the table: new version serving within a second.
fn keep(extent: Extent, times: &Times) {
    let most = times.within(0.99);
    assert!(!extent.is_long() || most <= SERVING, "{times}");
}
