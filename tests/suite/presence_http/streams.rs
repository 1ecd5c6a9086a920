//! Event streams: what is shown, then each change; who may see no more; clients that come back; and how many there may be.

use std::{
    ops::RangeInclusive,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

use tests::{
    artefacts::artefacts,
    drop_style::DropStyle,
    host::{Host, PATIENCE},
    http::{
        encode,
        events::{Block, EventSource},
    },
    plugin_file::PluginFile,
    wait,
};

use super::{ask, open_host, show};

/// How long a stream is silent at most, and a client that lost a right goes on seeing what it saw.
const BEAT: Duration = Duration::from_secs(20);

#[track_caller]
fn open(host: &Host, target: &str, fields: &str) -> EventSource {
    let target = format!("/plugins/presence/v1/{target}");
    EventSource::open(host.process().ready().http, &target, fields, BEAT + PATIENCE)
}

/// A stream about these users of this host.
#[track_caller]
fn watch(host: &Host, users: &[&str]) -> EventSource {
    let users: Vec<_> = users.iter().map(|user| format!("jid={}", encode(&format!("{user}@localhost")))).collect();
    let stream = open(host, &format!("events?{}", users.join("&")), "");
    assert_eq!(stream.head.status, 200, "{:?}", stream.head);
    stream
}

/// The id of an event, as a client that comes back gives it.
#[track_caller]
fn held(event: &Block) -> String {
    format!("Last-Event-ID: {}\r\n", event.id.as_ref().expect("it has an id"))
}

#[test]
fn a_stream_tells_what_is_shown_and_then_each_change() {
    let host = open_host();
    let mut alice = host.new_user("alice");
    show(&mut alice, "away", "Lunch");
    let mut stream = open(&host, "users/Alice%40localhost/events", "");
    let field = |name| stream.head.header(name);
    assert_eq!((stream.head.status, field("content-type")), (200, Some("text/event-stream")));
    assert_eq!((field("cache-control"), field("access-control-allow-origin")), (Some("no-store"), Some("*")));
    assert_eq!((field("x-content-type-options"), field("x-accel-buffering")), (Some("nosniff"), Some("no")));
    assert_eq!(stream.block().unwrap().and_then(|block| block.retry), Some(2_000));

    let first = stream.event();
    let mut answer: serde_json::Value =
        serde_json::from_str(ask(&host, "type=json&jid=alice@localhost").text()).unwrap();
    answer["asOf"] = first.object()["asOf"].clone();
    assert_eq!((first.object(), first.event.as_deref()), (answer, Some("presence")));
    assert_eq!(first.object()["status"], "Lunch");

    show(&mut alice, "dnd", "Busy");
    let second = stream.event();
    assert_eq!((&second.object()["state"], &second.object()["status"]), (&"dnd".into(), &"Busy".into()));
    assert_ne!(first.id, second.id);
    alice.send("<presence type='unavailable'><status>Gone</status></presence>").unwrap();
    let last = stream.event().object();
    assert_eq!((&last["state"], &last["status"]), (&"offline".into(), &"Gone".into()));
}

#[test]
fn one_stream_tells_of_many_users_each_once() {
    let host = open_host();
    let (mut alice, mut bob) = (host.new_user("alice"), host.new_user("bob"));
    show(&mut alice, "away", "");
    let mut stream = watch(&host, &["alice", "bob", "ALICE", "nobody", "@"]);
    let shown: Vec<_> = (0..4).map(|_| stream.event()).collect();
    let told: Vec<_> =
        shown.iter().map(|event| (event.object()["jid"].clone(), event.object()["state"].clone())).collect();
    let user = |name: &str, state: &str| (format!("{name}@localhost").into(), state.into());
    let nobody = (serde_json::Value::Null, "forbidden".into());
    assert_eq!(told, [user("alice", "away"), user("bob", "offline"), user("nobody", "forbidden"), nobody]);
    let ids: Vec<_> = shown.iter().map(|event| event.id.is_some()).collect();
    assert_eq!(ids, [false, false, false, true], "a client that breaks off in between has none of them");
    show(&mut bob, "chat", "");
    show(&mut alice, "dnd", "");
    assert_eq!((stream.state(), stream.state()), ("chat".into(), "dnd".into()));
}

/// Of what it has, nothing is sent again; of what it missed, all.
#[test]
fn a_client_that_comes_back_is_told_what_it_missed() {
    let host = open_host();
    let (mut alice, mut bob) = (host.new_user("alice"), host.new_user("bob"));
    show(&mut alice, "away", "");
    let target = "events?jid=alice@localhost&jid=bob@localhost";
    let mut stream = open(&host, target, "");
    stream.event();
    let last = held(&stream.event());
    drop(stream);

    let mut stream = open(&host, target, &last);
    assert_eq!(stream.block().unwrap().and_then(|block| block.retry), Some(2_000));
    assert!(stream.block().unwrap().is_some_and(|block| block.is_comment()), "it hears that it is connected");
    show(&mut bob, "chat", "");
    let event = stream.event();
    assert_eq!(event.object()["jid"], "bob@localhost", "alice was told before");
    drop(stream);

    show(&mut alice, "dnd", "");
    let mut stream = open(&host, target, &held(&event));
    assert_eq!(stream.event().object()["jid"], "alice@localhost");
    show(&mut alice, "xa", "");
    assert_eq!(stream.state(), "xa", "bob was told before");
    let mut stream = open(&host, target, "Last-Event-ID: nonsense\r\n");
    assert_eq!((stream.state(), stream.state()), ("xa".into(), "chat".into()));
}

#[test]
fn a_burst_of_changes_is_told_in_few_events_and_to_its_end() {
    let host = open_host();
    let mut alice = host.new_user("alice");
    let mut stream = watch(&host, &["alice"]);
    assert_eq!(stream.state(), "offline");
    let begun = Instant::now();
    for number in 0..100 {
        alice.available("away", &number.to_string()).unwrap();
    }
    alice.settle().unwrap();
    let tenths = usize::try_from(begun.elapsed().as_millis() / 100).unwrap();
    let told = (1..).find(|_| stream.event().object()["status"] == "99").unwrap();
    assert!(told <= tenths + 3, "{told} events within {tenths} tenths of a second");
}

#[test]
fn at_an_upgrade_streams_end_in_order_and_nothing_is_lost() {
    let host = open_host();
    let mut alice = host.new_user("alice");
    show(&mut alice, "away", "");
    let mut stream = watch(&host, &["alice"]);
    let last = held(&stream.event());
    let newer = PluginFile::read(&artefacts().presence).with_version("0.1.7").write(host.folder(), "newer.so");
    DropStyle::Copy.drop(&newer, &host.plugins().join("presence.so"));
    let rest = stream.rest();
    assert!(rest.last().is_some_and(|block| block.retry.is_some_and(|retry| retry < 2_000)), "{rest:?}");
    host.until_version("presence", "0.1.7");
    let mut stream = open(&host, "events?jid=alice@localhost", &last);
    show(&mut alice, "dnd", "");
    assert_eq!(stream.state(), "dnd", "what it had is not sent again by another version");
}

#[test]
fn the_end_of_the_server_keeps_no_stream_and_waits_for_none() {
    let mut host = open_host();
    let mut stream = watch(&host, &["alice"]);
    stream.event();
    let reading = thread::spawn(move || stream.rest());
    let begun = Instant::now();
    assert_eq!(host.terminate(), Some(0));
    assert!(begun.elapsed() < Duration::from_secs(7), "{:?}", begun.elapsed());
    let rest = reading.join().expect("it ends in order");
    assert!(rest.last().is_some_and(|block| block.retry.is_some()), "{rest:?}");
}

/// Whenever a client comes: browsers do not come back after an error.
#[test]
fn no_stream_is_refused_while_a_new_version_takes_over() {
    let host = open_host();
    let newest = AtomicBool::new(false);
    let come = || (0..).take_while(|_| !newest.load(Relaxed)).map(|_| drop(watch(&host, &["alice"]))).count();
    let opened: usize = thread::scope(|scope| {
        let clients = [scope.spawn(come), scope.spawn(come)];
        for version in ["0.1.7", "0.1.8", "0.1.9"] {
            let newer = PluginFile::read(&artefacts().presence).with_version(version).write(host.folder(), "newer.so");
            DropStyle::Copy.drop(&newer, &host.plugins().join("presence.so"));
            host.until_version("presence", version);
        }
        newest.store(true, Relaxed);
        clients.into_iter().map(|client| client.join().expect("it is let in")).sum()
    });
    assert!(opened > 10, "{opened}");
}

/// What the server holds for a client that does not read, in bytes, when it lets it go: 64 KiB, as it counts. An event counts for some 64 bytes
/// more than it has.
const FULL: RangeInclusive<usize> = 48 << 10..=64 << 10;

/// What the system takes for a client that does not read is the system's to bound, and would in the end cut the connection. This is about what
/// the server itself holds.
#[test]
fn a_client_that_does_not_read_is_let_go() {
    let host = open_host();
    host.set("presence.streams", "1");
    let names: Vec<_> = (0..10).map(|user| format!("u{user}")).collect();
    let mut users: Vec<_> = names.iter().map(|name| host.new_user(name)).collect();
    let jids: Vec<_> = names.iter().map(|name| format!("jid={name}@localhost")).collect();
    let target = format!("/plugins/presence/v1/events?{}", jids.join("&"));
    let mut unread = EventSource::open_narrow(host.process().ready().http, &target, "", PATIENCE);
    let words = "does nobody read this? ".repeat(20);
    let (mut turn, begun) = (0, Instant::now());
    while open(&host, "events?jid=alice@localhost", "").head.status != 200 {
        assert!(begun.elapsed() < 3 * PATIENCE, "held for {turn} changes of 10 users");
        turn += 1;
        users.iter_mut().for_each(|user| show(user, "away", &format!("{turn} {words}")));
    }
    let in_transit = unread.in_transit();
    let end = std::iter::from_fn(|| Some(unread.block())).find(|block| !matches!(block, Ok(Some(_))));
    assert!(matches!(end, Some(Err(_))), "it is told that something is missing: {end:?}");
    let held = unread.taken() - in_transit;
    assert!(FULL.contains(&held), "let go when {held} bytes were held, and {in_transit} in transit");
}

#[test]
fn a_setting_that_hides_hides_at_once() {
    let host = open_host();
    let mut alice = host.new_user("alice");
    show(&mut alice, "away", "Lunch");
    let mut stream = watch(&host, &["alice"]);
    assert_eq!(stream.state(), "away");
    host.set("presence.visibility", "subscribed");
    let refusal = stream.event().data.expect("an event");
    assert_eq!(refusal, r#"{"jid":"alice@localhost","state":"forbidden","available":false}"#);
    show(&mut alice, "dnd", "Secret");
    host.set("presence.visibility", "anyone");
    assert_eq!(stream.state(), "dnd", "what happened meanwhile was not told");
    host.command(&["user", "remove", "alice@localhost"]).succeeds();
    let gone = (0..2).map(|_| stream.state()).find(|state| state == "forbidden");
    assert!(gone.is_some(), "an account that is gone");
}

/// Rosters and blocklists are looked at with each change, and at each beat.
#[test]
fn who_is_blocked_sees_no_more_and_who_is_silent_hears_that_the_stream_is_alive() {
    let host = Host::with_presence();
    let (mut alice, mut bob, mut cid) = (host.new_user("alice"), host.new_user("bob"), host.new_user("cid"));
    for friend in [&mut bob, &mut cid] {
        friend.subscription("subscribe", alice.bare_jid()).unwrap();
        friend.settle().unwrap();
        alice.subscription("subscribed", friend.bare_jid()).unwrap();
    }
    show(&mut alice, "away", "Lunch");
    let as_friend = |name: &str| open(&host, &format!("users/alice@localhost/events?req_jid={name}@localhost"), "");
    let (mut of_bob, mut of_cid, mut of_stranger) = (as_friend("bob"), as_friend("cid"), as_friend("stranger"));
    assert_eq!(of_bob.head.header("access-control-allow-origin"), None, "it is for bob");
    assert_eq!([of_bob.state(), of_cid.state(), of_stranger.state()], ["away", "away", "forbidden"]);

    let block = "<iq type='set' id='b'><block xmlns='urn:xmpp:blocking'><item jid='bob@localhost'/></block></iq>";
    alice.send(block).unwrap();
    alice.settle().unwrap();
    let begun = Instant::now();
    assert_eq!(of_bob.state(), "forbidden");
    assert!(begun.elapsed() < BEAT + PATIENCE, "{:?}", begun.elapsed());
    assert!(of_cid.block().unwrap().is_some_and(|block| block.is_comment()));
    alice.subscription("unsubscribed", "cid@localhost").unwrap();
    show(&mut alice, "dnd", "Secret");
    assert_eq!(of_cid.state(), "forbidden", "looked at with the change");
    show(&mut alice, "chat", "Secret");
    let heard = of_bob.block().unwrap();
    assert!(heard.as_ref().is_some_and(Block::is_comment), "{heard:?}");
}

#[test]
fn what_is_asked_for_has_bounds() {
    let host = open_host();
    let many: Vec<_> = (0..51).map(|user| format!("jid=u{user}@localhost")).collect();
    let refused = |target: &str| open(&host, target, "").head.status;
    assert_eq!(refused(&format!("events?{}", many.join("&"))), 413);
    assert_eq!(open(&host, &format!("events?{}", many[1..].join("&")), "").head.status, 200);
    assert_eq!(refused(&format!("events?jid={}@localhost", "a".repeat(9_000))), 413);
    assert_eq!((refused("events"), refused("users//events")), (400, 404));
    let head = host.http().request("HEAD", "/plugins/presence/v1/events?jid=alice@localhost", &[]);
    assert_eq!((head.status, head.header("content-type"), head.body.len()), (200, Some("text/event-stream"), 0));
    assert_eq!(head.header("content-length"), None, "a stream has none");
    assert_eq!(host.http().request("POST", "/plugins/presence/v1/events?jid=alice@localhost", &[]).status, 405);
}

/// The soft limit of descriptors is raised to the hard one.
#[test]
fn there_is_room_for_as_many_streams_as_the_system_allows() {
    let mut host = Host::prepare();
    host.drop_plugin(&artefacts().presence, "presence.so");
    host.through(&["prlimit", "--nofile=128:1024"]);
    host.run();
    let streams: Vec<_> = (0..200).map(|_| watch(&host, &["alice"])).collect();
    assert!(streams.into_iter().all(|mut stream| stream.state() == "forbidden"));
}

/// Behind a proxy, so that there is more than one client.
#[test]
fn streams_are_bounded_in_all_and_for_each_client() {
    let host = open_host();
    host.set("presence.proxies", "127.0.0.1");
    host.set("presence.streams", "3");
    host.set("presence.streams_of_client", "2");
    let from = |client: &str| {
        let mut stream = open(&host, "events?jid=alice@localhost", &format!("X-Forwarded-For: {client}\r\n"));
        if stream.head.status == 200 {
            stream.event();
        }
        stream
    };
    let held = [from("192.0.2.1"), from("192.0.2.1")];
    let refused = from("192.0.2.1").head;
    assert_eq!((refused.status, refused.header("retry-after")), (429, Some("30")));
    let other = from("192.0.2.2");
    let refused = from("192.0.2.3").head;
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("30")));
    assert_eq!(refused.header("content-type"), Some("application/problem+json"));
    drop((held, other));
    wait::until(PATIENCE, "there is room again", || (from("192.0.2.1").head.status == 200).then_some(()));
    host.set("presence.rate", "1");
    host.set("presence.burst", "1");
    assert_eq!(
        [from("192.0.2.9").head.status, from("192.0.2.9").head.status],
        [200, 429],
        "a new one counts as a request"
    );
}

/// What all may watch together is not for a few to take. Refused names have their streams wait, so they are opened at once.
#[test]
fn the_streams_of_one_client_tell_of_a_thousand_users() {
    let host = open_host();
    host.set("presence.proxies", "127.0.0.1");
    host.set("presence.rate", "0");
    let names: Vec<_> = (0..50).map(|user| format!("jid=u{user}@localhost")).collect();
    let from = |client: &str, users: usize| {
        open(&host, &format!("events?{}", names[..users].join("&")), &format!("X-Forwarded-For: {client}\r\n"))
    };
    let held: Vec<EventSource> = thread::scope(|scope| {
        let opening: Vec<_> = (0..20).map(|_| scope.spawn(|| from("192.0.2.1", 50))).collect();
        opening.into_iter().map(|stream| stream.join().expect("it opens")).collect()
    });
    assert!(held.iter().all(|stream| stream.head.status == 200));
    let refused = from("192.0.2.1", 1).head;
    assert_eq!((refused.status, refused.header("retry-after")), (429, Some("30")));
    assert_eq!(refused.header("content-type"), Some("application/problem+json"));
    assert_eq!(from("192.0.2.2", 1).head.status, 200);
}
