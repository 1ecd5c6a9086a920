//! Row H10: names can't be tried by the thousand, and how long that takes tells nothing either.

use std::{
    thread,
    time::{Duration, Instant},
};

use tests::{
    host::{Host, PATIENCE},
    http::{Answer, events::EventSource},
    xmpp::{Session, befriend},
};

use super::{STATUS, show};

/// How many names a client may be refused in a minute before it takes longer, and how long then.
const FREE: usize = 20;
const PAUSE: Duration = Duration::from_secs(1);

/// The tests come from loopback, which never waits: a proxy says for whom it asks.
fn ask(host: &Host, client: &str, target: &str) -> (Duration, Answer) {
    let started = Instant::now();
    let answer = host.http().request("GET", target, &[("X-Forwarded-For", client)]);
    (started.elapsed(), answer)
}

/// Whether an answer comes at once, the machine's moods aside.
fn is_quick(host: &Host, client: &str, target: &str) -> bool {
    (0..5).any(|_| ask(host, client, target).0 < PAUSE)
}

fn of(user: &str) -> String {
    format!("{STATUS}?jid={user}@localhost&type=text")
}

/// A host on which strangers see nobody, with two users who are there, friends of each other.
fn hidden() -> (Host, [Session; 2]) {
    let host = Host::with_presence();
    host.set("presence.proxies", "127.0.0.1");
    let (mut alice, mut bob) = (host.new_user("alice"), host.new_user("bob"));
    befriend(&mut alice, &mut bob).unwrap();
    show(&mut alice, "", "here");
    (host, [alice, bob])
}

#[test]
fn whoever_is_refused_too_many_names_waits_and_is_told_the_same() {
    let (host, _sessions) = hidden();
    let client = "198.51.100.1";
    let before = ask(&host, client, &of("nobody0")).1;
    (1..FREE).for_each(|number| drop(ask(&host, client, &of(&format!("nobody{number}")))));
    for who in ["nobody20", "alice", "nobody21", "no%20address%20", "no%20address%20"] {
        let (took, answer) = ask(&host, client, &of(who));
        assert!(took >= PAUSE, "{who}: {took:?}");
        assert_eq!(answer.clone().comparable(), before.clone().comparable(), "{who}");
    }
    for known in ["nobody7", "alice", "nobody21"] {
        assert!(is_quick(&host, client, &of(known)), "a page may ask again");
    }
    assert!(is_quick(&host, client, &format!("{}&req_jid=bob@localhost", of("alice"))), "who may see does not wait");
    assert!(is_quick(&host, "198.51.100.2", &of("nobody20")), "another client");
    assert!(is_quick(&host, "127.0.0.1", &of("nobody20")), "loopback");
}

/// A domain that nobody here answers for is a name like any other, and so is a component that does not tell.
#[test]
fn names_of_domains_wait_too() {
    let (host, _sessions) = hidden();
    let domain = |name: &str| format!("{STATUS}?jid={name}&type=text");
    let (client, other) = ("198.51.100.5", "198.51.100.6");
    (0..FREE).for_each(|number| drop(ask(&host, client, &domain(&format!("nobody{number}.example")))));
    let refusal = ask(&host, client, &of("nobody")).1.comparable();
    for name in ["foo.example", "nobody.localhost", "localhost"] {
        let (took, answer) = ask(&host, client, &domain(name));
        assert!(took >= PAUSE, "{name}: {took:?}");
        assert_eq!(answer.comparable(), refusal, "{name}");
    }
    for form in ["users/a.example", "users/b.example/icon.svg", "users/c.example/badge.json", "presence?jid=d.example"]
    {
        let (took, answer) = ask(&host, client, &format!("/plugins/presence/v1/{form}"));
        assert!(took >= PAUSE && answer.status == 200, "{form}: {took:?} {answer:?}");
    }
    assert!(is_quick(&host, client, &domain("nobody7.example")), "a page may ask again");
    assert!(is_quick(&host, client, &domain("presence.localhost")), "a component that is there");
    assert!(is_quick(&host, client, "/plugins/presence/v1/presence?jid=presence.localhost"), "and in a batch");
    assert!(is_quick(&host, other, &domain("foo.example")), "another client");
}

#[test]
fn every_form_of_an_answer_waits() {
    let (host, _sessions) = hidden();
    let batch = |first: usize| {
        let names: Vec<_> = (first..first + 30).map(|number| format!("jid=nobody{number}@localhost")).collect();
        format!("/plugins/presence/v1/presence?{}", names.join("&"))
    };
    let (took, answer) = ask(&host, "2001:db8::1", &batch(0));
    assert!(took >= PAUSE && answer.status == 200, "{took:?} {answer:?}");
    let people: String = (0..6).map(|number| format!("jid=nobody{number}@localhost&")).collect();
    let example =
        |round: usize| format!("/plugins/presence/example?{}", people.replace("nobody", &format!("name{round}-")));
    assert!((0..5).any(|round| ask(&host, "2001:db8:0:1::", &example(round)).0 >= PAUSE), "the part of the front page");
    for (number, form) in ["", ".json", "/icon.svg", "/badge.svg"].iter().enumerate() {
        let target = format!("/plugins/presence/v1/users/nobody9{number}@localhost{form}");
        let (took, answer) = ask(&host, "2001:db8::2", &target);
        assert!(took >= PAUSE && answer.status == 200, "{target}: {took:?} {answer:?}");
    }
}

/// An answer about many waits for five seconds at most, but what it costs beyond that is owed.
#[test]
fn hundreds_of_names_are_not_to_be_had_by_batches() {
    let (host, _sessions) = hidden();
    host.set("presence.burst", "100000");
    let (client, host) = ("198.51.100.7", &host);
    let batch = |number: usize| {
        let names: Vec<_> = (0..500).map(|name| format!("\"nobody{number}-{name}@localhost\"")).collect();
        let fields = [("X-Forwarded-For", client), ("Content-Type", "application/json")];
        let body = format!("{{\"jids\": [{}]}}", names.join(","));
        host.http().send("POST", "/plugins/presence/v1/presence/query", &fields, &body)
    };
    let answers: Vec<_> = thread::scope(|scope| {
        let asking: Vec<_> = (0..8).map(|number| scope.spawn(move || (number, batch(number)))).collect();
        asking.into_iter().map(|asking| asking.join().unwrap()).collect()
    });
    let (answered, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|(_, answer)| answer.status == 200);
    assert_eq!(answered.len(), 2, "of the second the most is owed already: {answers:?}");
    for (_, refused) in refused {
        let wait: u64 = refused.header("retry-after").expect("it says when").parse().unwrap();
        assert!(refused.status == 429 && (200..=600).contains(&wait), "{refused:?}");
    }
    let known = of(&format!("nobody{}-499", answered[0].0));
    for whoever in [&known, &of("alice"), &format!("{}&req_jid=bob@localhost", of("alice"))] {
        let answer = ask(host, client, whoever).1;
        assert_eq!(answer.status, 429, "a refusal by name would tell who was found: {answer:?}");
    }
    assert_eq!(ask(host, "198.51.100.8", &known).1.status, 200, "another client");
}

#[test]
fn a_stream_about_many_waits_before_it_opens() {
    let (host, _sessions) = hidden();
    let open_of = |client: &str, names: &[String]| {
        let target = format!("/plugins/presence/v1/events?jid={}", names.join("&jid="));
        let (started, fields) = (Instant::now(), format!("X-Forwarded-For: {client}\r\n"));
        let mut stream = EventSource::open(host.process().ready().http, &target, &fields, PATIENCE);
        assert_eq!((stream.head.status, stream.state().as_str()), (200, "forbidden"));
        started.elapsed()
    };
    let open = |client: &str, users: std::ops::Range<usize>| {
        open_of(client, &users.map(|number| format!("nobody{number}@localhost")).collect::<Vec<_>>())
    };
    assert!((0..5).any(|_| open("198.51.100.3", 0..FREE) < PAUSE), "a page may open it again");
    assert!(open("198.51.100.3", FREE..FREE + 1) >= PAUSE);
    assert!(open("198.51.100.4", 0..FREE + 2) >= 2 * PAUSE);
    let (took, _) = ask(&host, "198.51.100.4", &of("nobody99"));
    assert!(took >= PAUSE, "what a stream was refused counts for other answers");
    assert!(
        open_of("198.51.100.4", &["foo.example".to_owned()]) >= PAUSE,
        "a domain, whose answer a stream does not wait for"
    );
}
