//! Long polls: requests that wait for another answer than the one that the client has.

use std::{
    io::Write,
    net::TcpStream,
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tests::{
    artefacts::artefacts,
    drop_style::DropStyle,
    host::{Host, PATIENCE},
    http::{Answer, events::EventSource},
    plugin_file::PluginFile,
    wait,
    xmpp::Session,
};

use super::{open_host, show};

/// Every address at which it can be waited.
const TARGETS: [&str; 6] = [
    "status?jid=alice@localhost&type=json",
    "status?jid=alice@localhost&type=xml",
    "status?jid=alice@localhost&type=text",
    "v1/users/alice@localhost?",
    "v1/users/alice@localhost.json?",
    "v1/users/alice@localhost.txt?",
];

/// A host whose user alice is away.
fn with_alice() -> (Host, Session) {
    let host = open_host();
    let mut alice = host.new_user("alice");
    show(&mut alice, "away", "Lunch");
    (host, alice)
}

#[track_caller]
fn get(host: &Host, target: &str, fields: &[(&str, &str)]) -> Answer {
    host.patient_http().request("GET", &format!("/plugins/presence/{target}"), fields)
}

/// Asks for what the client has, and waits for so many seconds.
#[track_caller]
fn poll(host: &Host, target: &str, held: &Answer, seconds: u32) -> Answer {
    let tag = held.header("etag").expect("it has a tag");
    get(host, &format!("{target}&wait={seconds}"), &[("If-None-Match", tag)])
}

/// Has `act` happen while all of these wait, as far as can be known.
fn meanwhile(host: &Host, held: &[Answer], act: impl FnOnce()) -> Vec<Answer> {
    thread::scope(|scope| {
        let polls: Vec<_> =
            TARGETS.iter().zip(held).map(|(target, held)| scope.spawn(move || poll(host, target, held, 60))).collect();
        // A server that has not read them by then answers at once, and by the same.
        thread::sleep(Duration::from_millis(300));
        assert!(polls.iter().all(|poll| !poll.is_finished()), "one did not wait");
        act();
        polls.into_iter().map(|poll| poll.join().expect("it is answered")).collect()
    })
}

#[test]
fn a_poll_is_answered_when_what_is_shown_changes() {
    let (host, mut alice) = with_alice();
    let held: Vec<_> = TARGETS.iter().map(|target| get(&host, target, &[])).collect();
    let begun = Instant::now();
    let answers = meanwhile(&host, &held, || show(&mut alice, "dnd", "Busy"));
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    for ((target, held), answer) in TARGETS.iter().zip(&held).zip(&answers) {
        assert_eq!(answer.status, 200, "{target}: {answer:?}");
        assert!(answer.text().contains("Busy"), "{target}: {answer:?}");
        assert_ne!(answer.header("etag"), held.header("etag"));
        let now = get(&host, target, &[]).comparable();
        let fields =
            |answer: &Answer| answer.headers.iter().filter(|(name, _)| name != "date").cloned().collect::<Vec<_>>();
        assert_eq!(fields(&answer.clone().comparable()), fields(&now), "{target}");
    }
}

#[test]
fn a_poll_ends_by_304_and_does_not_wait_without_need() {
    let (host, _alice) = with_alice();
    let target = TARGETS[0];
    let held = get(&host, target, &[]);
    let begun = Instant::now();
    assert_eq!(poll(&host, target, &held, 1).status, 304);
    assert!(begun.elapsed() >= Duration::from_secs(1), "{:?}", begun.elapsed());

    let begun = Instant::now();
    assert_eq!(get(&host, &format!("{target}&wait=60"), &[]).status, 200, "it has nothing");
    assert_eq!(get(&host, &format!("{target}&wait=60"), &[("If-None-Match", "\"other\"")]).status, 200);
    let tag = held.header("etag").unwrap();
    for wait in ["0", "-1", "x", "", "%2B2"] {
        assert_eq!(get(&host, &format!("{target}&wait={wait}"), &[("If-None-Match", tag)]).status, 304, "{wait}");
    }
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
}

/// The longest wait is over before the host gives the request up.
#[test]
fn the_longest_wait_is_answered() {
    let (host, _alice) = with_alice();
    let held = get(&host, TARGETS[4], &[]);
    let answer = poll(&host, TARGETS[4], &held, 60);
    assert_eq!((answer.status, answer.header("etag")), (304, held.header("etag")));
}

#[test]
fn polls_are_answered_when_nobody_may_see_and_at_an_upgrade() {
    let (host, _alice) = with_alice();
    let held: Vec<_> = TARGETS.iter().map(|target| get(&host, target, &[])).collect();
    let answers = meanwhile(&host, &held, || host.set("presence.visibility", "subscribed"));
    for answer in &answers {
        assert!(answer.status == 200 && !answer.text().contains("Lunch"), "{answer:?}");
        assert_eq!(answer.header("cache-control"), Some("private, no-store"), "by the settings of the answer");
    }
    let newer = PluginFile::read(&artefacts().presence).with_version("0.1.7").write(host.folder(), "newer.so");
    let answers = meanwhile(&host, &answers, || DropStyle::Copy.drop(&newer, &host.plugins().join("presence.so")));
    assert!(answers.iter().all(|answer| answer.status == 304), "{answers:?}");
}

/// At `/status`, whose requests may bring anything, what is no wait is none.
#[test]
fn a_wait_out_of_bounds_is_told_so() {
    let (host, _alice) = with_alice();
    for target in &TARGETS[3..] {
        let held = get(&host, target, &[]);
        let tag = held.header("etag").unwrap();
        for wait in ["0", "61", "99999999999", "-1", "%2B2", "02", "1.5", "x", ""] {
            let answer = get(&host, &format!("{target}&wait={wait}"), &[("If-None-Match", tag)]);
            assert_eq!(
                (answer.status, answer.header("content-type")),
                (400, Some("application/problem+json")),
                "{wait}"
            );
            let problem: Value = serde_json::from_str(answer.text()).unwrap();
            let bound = "wait is a whole number from 1 to 60, in digits only";
            assert_eq!((&problem["parameter"], &problem["detail"]), (&json!("wait"), &json!(bound)), "{wait}");
        }
    }
}

/// What nobody keeps for so long. A 304 at once would be asked again at once.
#[test]
fn a_poll_that_is_too_long_to_be_kept_is_refused_by_its_bound() {
    let (host, _alice) = with_alice();
    for target in &TARGETS {
        let held = get(&host, target, &[]);
        let tag = held.header("etag").unwrap();
        let tags = format!("{tag}{}", ", \"x\"".repeat(2_000));
        let long = format!("{target}&x={}", "x".repeat(9_000));
        for (target, tags) in [(&**target, &*tags), (&long, tag)] {
            assert_eq!(get(&host, target, &[("If-None-Match", tags)]).status, 304, "it does not wait");
            assert_eq!(get(&host, &format!("{target}&wait=60"), &[]).status, 200, "it has nothing");
            let answer = get(&host, &format!("{target}&wait=60"), &[("If-None-Match", tags)]);
            assert_eq!((answer.status, answer.header("cache-control")), (413, Some("no-store")), "{answer:?}");
            let bound = "the query and the tags of a request that waits have 8192 bytes together at most";
            if target.starts_with("v1") {
                let problem: Value = serde_json::from_str(answer.text()).unwrap();
                assert_eq!((&problem["limit"], &problem["detail"]), (&json!(8_192), &json!(bound)), "{answer:?}");
            } else {
                assert_eq!(answer.text(), format!("{bound}\n"));
            }
        }
    }
}

/// A 304 at once would be asked again at once. Behind a proxy, so that there is more than one client.
#[test]
fn a_poll_without_a_place_is_refused_and_told_when_to_come_back() {
    let (host, _alice) = with_alice();
    host.set("presence.proxies", "127.0.0.1");
    host.set("presence.streams_of_client", "1");
    let held: Vec<_> = TARGETS.iter().map(|target| get(&host, target, &[])).collect();
    let refused = |target: &str, held: &Answer, client: &str| {
        let fields = [("If-None-Match", held.header("etag").unwrap()), ("X-Forwarded-For", client)];
        let answer = get(&host, &format!("{target}&wait=60"), &fields);
        let kind = if target.starts_with("v1") { "application/problem+json" } else { "text/plain; charset=utf-8" };
        assert_eq!(
            (answer.header("content-type"), answer.header("retry-after")),
            (Some(kind), Some("30")),
            "{answer:?}"
        );
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        answer.status
    };
    let _waiting = waits(&host, TARGETS[4], &held[4], "192.0.2.1");
    for (target, held) in TARGETS.iter().zip(&held) {
        assert_eq!(refused(target, held, "192.0.2.1"), 429, "{target}");
    }
    host.set("presence.streams", "1");
    for (target, held) in TARGETS.iter().zip(&held) {
        assert_eq!(refused(target, held, "192.0.2.2"), 503, "{target}");
    }
}

/// A page that is loaded again and again does not lock itself out. None of these would end by itself in time.
#[test]
fn a_client_that_is_gone_leaves_its_place() {
    let (host, _alice) = with_alice();
    host.set("presence.proxies", "127.0.0.1");
    host.set("presence.streams_of_client", "1");
    for target in &TARGETS {
        let held = get(&host, target, &[]);
        drop(waits(&host, target, &held, "192.0.2.1"));
        wait::until(PATIENCE, "its place is free", || {
            (refusal(&host, target, &held, "192.0.2.1") == 304).then_some(())
        });
    }
    host.set("presence.streams", "1");
    let held = get(&host, TARGETS[4], &[]);
    drop(waits(&host, TARGETS[4], &held, "192.0.2.1"));
    wait::until(PATIENCE, "others have it", || (refusal(&host, TARGETS[4], &held, "192.0.2.2") == 304).then_some(()));
}

/// A request that waits for a minute, of the only one that this client may have wait: there, once it is in the way of another.
fn waits(host: &Host, target: &str, held: &Answer, client: &str) -> TcpStream {
    let fields = format!("Host: x\r\nIf-None-Match: {}\r\nX-Forwarded-For: {client}", held.header("etag").unwrap());
    wait::until(PATIENCE, "it waits", || {
        let mut waiting = TcpStream::connect(host.process().ready().http).unwrap();
        write!(waiting, "GET /plugins/presence/{target}&wait=60 HTTP/1.1\r\n{fields}\r\n\r\n").unwrap();
        let is_in_the_way = refusal(host, target, held, client) != 304;
        waiting.set_nonblocking(true).unwrap();
        // The other one may have come first: then this one is answered.
        let is_answered = waiting.peek(&mut [0]).is_ok();
        (is_in_the_way && !is_answered).then_some(waiting)
    })
}

/// What a request for a short wait is answered: 304, or that there is no place.
fn refusal(host: &Host, target: &str, held: &Answer, client: &str) -> u16 {
    let fields = [("If-None-Match", held.header("etag").unwrap()), ("X-Forwarded-For", client)];
    get(host, &format!("{target}&wait=1"), &fields).status
}

/// Many who wait for an answer do not keep others from being told.
#[test]
fn polls_and_streams_take_no_place_of_each_other() {
    let (host, _alice) = with_alice();
    host.set("presence.streams", "1");
    let held = get(&host, TARGETS[4], &[]);
    let target = "/plugins/presence/v1/events?jid=alice@localhost";
    let open = || EventSource::open(host.process().ready().http, target, "", PATIENCE);
    let mut stream = open();
    assert_eq!((stream.head.status, stream.state().as_str(), open().head.status), (200, "away", 503));
    let asked = Instant::now();
    assert_eq!(poll(&host, TARGETS[4], &held, 1).status, 304);
    assert!(asked.elapsed() >= Duration::from_secs(1), "it did not wait");
}
