//! Requests that a plugin handles badly, and requests that outlive their plugin.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use super::{
    Extent,
    report::Report,
    watched::{HELLO, Watched, host_with_hello, version},
};
use crate::{
    artefacts::artefacts,
    drop_style::DropStyle,
    host::{Host, PATIENCE},
    http::{Answer, Client, load::Load},
    plugin_file::PluginFile,
    wait,
};

/// How long a handler may take that asks for no more.
const DEADLINE: Duration = Duration::from_secs(5);
/// How many handlers of one plugin may block at the same time.
const THREADS: usize = 32;
/// How long requests have when their plugin is replaced.
const DRAIN: Duration = Duration::from_secs(30);

/// P17: each panic costs the request that caused it, and no other.
pub fn panics(extent: Extent) -> Report {
    let mut host = Host::prepare();
    host.drop_plugin(artefacts().fixture("panics_on_request"), "panics.so");
    host.run();
    let address = host.process().ready().http;
    let watched = Watched::new(host, "/plugins/panics-on-request/thread");
    let panics = extent.of(50, 5_000);
    for (count, kind) in [(panics / 2, "inline"), (panics / 2, "thread")] {
        let target = format!("/plugins/panics-on-request/{kind}?panic");
        let load = Load::start(address, &target, 4, Duration::from_millis(10));
        wait::until(Duration::from_secs(600), "enough panics", || (load.answered() >= count).then_some(()));
        let tally = load.stop();
        let answers = tally.requests();
        assert_eq!((tally.good, tally.bad.get(&500)), (0, Some(&answers)), "{tally}");
    }
    let told = watched.host.process().log().matches("asked to panic").count() as u64;
    assert!(told >= panics, "{told} of {panics} panics are in the log");
    watched.end(format!("{panics} panics and more, 500 for each"))
}

/// A host with `hello`, and with the fixture `waits` in this build.
fn host_with_waits(number: usize) -> Host {
    let host = host_with_hello();
    let mark = host.process().log_mark();
    drop_waits(&host, number);
    host.process().until_logged(mark, PATIENCE, |line| line.contains("plugin waits ") && line.contains("-> ACTIVE"));
    host
}

/// Drops a build of `waits` and waits until it serves.
fn drop_waits(host: &Host, number: usize) {
    let version = version(number);
    let built = PluginFile::read(artefacts().fixture("waits"));
    let file = built.with_build(&version).write(host.folder(), "waits-build.so");
    let (mark, subject) = (host.process().log_mark(), format!("plugin waits {version} "));
    DropStyle::Copy.drop(&file, &host.plugins().join("waits.so"));
    host.process().until_logged(mark, PATIENCE, |line| line.contains(&subject) && line.contains("-> ACTIVE"));
}

/// The file that lets requests to `waits` go on.
fn release(host: &Host, name: &str) -> PathBuf {
    host.folder().join(name)
}

/// A request to `waits`, on a connection of its own.
fn ask(host: &Host, route: &str, release: &Path) -> thread::JoinHandle<(Answer, Duration)> {
    let (client, target) = (host.patient_http(), format!("/plugins/waits/{route}?{}", release.display()));
    thread::spawn(move || timed(&client, &target))
}

fn timed(client: &Client, target: &str) -> (Answer, Duration) {
    let started = Instant::now();
    let answer = client.get(target);
    (answer, started.elapsed())
}

/// Waits until so many requests behind this mark of the log are with their handlers.
fn until_begun(host: &Host, mark: usize, count: usize) {
    let begun = || (host.process().log()[mark..].matches("a request waits").count() >= count).then_some(());
    wait::until(PATIENCE, "the handlers have begun", begun);
}

/// P20: handlers that never return keep their threads, and nobody else's.
pub fn hangs(extent: Extent) -> Report {
    let watched = Watched::new(host_with_waits(0), HELLO);
    let (host, never) = (&watched.host, release(&watched.host, "never"));
    let (callers, mark) = (200, host.process().log_mark());
    let calls: Vec<_> = (0..callers).map(|_| ask(host, "impatient", &never)).collect();
    let answers: Vec<_> = calls.into_iter().map(|call| call.join().expect("a caller does not panic")).collect();
    assert!(answers.iter().all(|(answer, _)| answer.status == 503), "{answers:?}");
    let late = answers.iter().filter(|(_, took)| *took >= DEADLINE).count();
    let begun = host.process().log()[mark..].matches("a request waits").count();
    assert_eq!(begun, THREADS, "handlers at the same time");
    assert!(late >= THREADS && (!extent.is_long() || late == THREADS), "{late} were answered at the deadline");
    let slowest = answers.iter().map(|(_, took)| *took).max().unwrap_or_default();
    assert!(!extent.is_long() || slowest < DEADLINE + Duration::from_secs(1), "{slowest:?}");
    // All threads are lost: the next caller is told so at once.
    assert_eq!(host.http().get("/plugins/waits/impatient?/").status, 503);
    let done = format!(
        "{callers} calls of handlers that hang, {late} of them answered 503 after {} ms at most",
        slowest.as_millis()
    );
    let (report, tally) = watched.end_with_tally(done);
    report.note(format!("meanwhile p99 of the others {} ms", tally.delay(0.99).as_millis()))
}

/// P25: requests end on the version on which they began, while new ones are answered by its successor.
pub fn in_flight(extent: Extent) -> Report {
    let watched = Watched::new(host_with_waits(0), HELLO);
    let (host, rounds, each) = (&watched.host, extent.of(2, 340), THREADS - 2);
    for round in 1..=rounds {
        let (go, mark) = (release(host, &format!("go{round}")), host.process().log_mark());
        let calls: Vec<_> = (0..each).map(|_| ask(host, "patient", &go)).collect();
        until_begun(host, mark, each);
        drop_waits(host, round);
        let body = |number: usize| format!("this is build {}\n", version(number));
        assert_eq!(host.http().get("/plugins/waits/patient?/").text(), body(round), "the new version serves");
        fs::write(&go, "").expect("the folder can be written to");
        for call in calls {
            let (answer, _) = call.join().expect("a caller does not panic");
            assert_eq!((answer.status, answer.text()), (200, body(round - 1).as_str()));
        }
    }
    watched.end(format!("{} requests in flight over {rounds} swaps, each ended where it began", rounds * each))
}

/// P26: a stream is sent away, a short request finishes, and one that does not is cut.
pub fn drains(extent: Extent) -> Report {
    let watched = Watched::new(host_with_waits(0), HELLO);
    let host = &watched.host;
    let stream = sent_away(host);
    let (go, mark) = (release(host, "go"), host.process().log_mark());
    let call = ask(host, "patient", &go);
    until_begun(host, mark, 1);
    drop_waits(host, 1);
    assert!(!retired(host, mark, 0), "a version with a request was ended");
    fs::write(&go, "").expect("the folder can be written to");
    assert_eq!(call.join().expect("a caller does not panic").0.status, 200);
    wait::until(PATIENCE, "the old version ends", || retired(host, mark, 0).then_some(()));
    let done = format!("a stream told {stream:?}, a request waited for");
    if !extent.is_long() {
        return watched.end(done);
    }
    let (cut, gone) = cut(host);
    watched.end(format!(
        "{done}, one cut after {:.1} s, its version gone after {:.1} s",
        cut.as_secs_f64(),
        gone.as_secs_f64()
    ))
}

/// What the last chunk of a stream says when its plugin is replaced.
fn sent_away(host: &Host) -> String {
    let built = PluginFile::read(artefacts().fixture("tells_when_drained"));
    built.write(&host.plugins(), "tells.so");
    let target = "/plugins/tells-when-drained/stream";
    let first = format!("GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    let mut stream = wait::until(PATIENCE, "a stream opens", || stream(host, &first));
    built.with_build(&version(1)).write(&host.plugins(), "tells.so");
    let mut rest = String::new();
    stream.read_to_string(&mut rest).expect("the stream ends in order");
    assert!(rest.contains("come back\n") && rest.ends_with("0\r\n\r\n"), "{rest:?}");
    "come back".to_owned()
}

/// An answer that goes on, read up to its first line; `None` while there is no such plugin.
fn stream(host: &Host, request: &str) -> Option<BufReader<TcpStream>> {
    let mut socket = TcpStream::connect(host.process().ready().http).expect("the host listens");
    socket.set_read_timeout(Some(PATIENCE)).expect("a socket takes a limit");
    socket.write_all(request.as_bytes()).expect("the host reads");
    let mut reader = BufReader::new(socket);
    let mut line = String::new();
    while reader.read_line(&mut line).expect("the host answers") > 0 {
        if line.contains("this is build") {
            return Some(reader);
        }
        line.clear();
    }
    None
}

/// Replaces a version with a request that does not end: when it is cut, and when the version is gone.
fn cut(host: &Host) -> (Duration, Duration) {
    let mark = host.process().log_mark();
    let call = ask(host, "patient", &release(host, "never"));
    until_begun(host, mark, 1);
    drop_waits(host, 2);
    let replaced = Instant::now();
    let (answer, _) = call.join().expect("a caller does not panic");
    let cut = replaced.elapsed();
    assert!(answer.status >= 500, "{answer:?}");
    wait::until(DRAIN, "the old version ends", || retired(host, mark, 1).then_some(()));
    let gone = replaced.elapsed();
    assert!(host.process().log()[mark..].contains("1 requests cut after 30 s"), "the cut is logged");
    assert!(
        (DRAIN..DRAIN + Duration::from_secs(1)).contains(&cut) && gone <= DRAIN + Duration::from_secs(1),
        "cut {cut:?}, gone {gone:?}"
    );
    (cut, gone)
}

fn retired(host: &Host, mark: usize, number: usize) -> bool {
    let subject = format!("plugin waits {} ", version(number));
    host.process().log()[mark..].lines().any(|line| line.contains(&subject) && line.contains("-> RETIRED"))
}
