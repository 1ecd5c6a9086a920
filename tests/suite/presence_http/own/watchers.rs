//! Who watches is told at once of what a user chooses and revokes.

use std::{thread, time::Duration};

use tests::{
    host::Host,
    http::{Answer, events::EventSource},
    xmpp::befriend,
};

use super::{super::show, alice_away, say, token};

/// Every watcher looks again after 20 s anyway.
const AT_ONCE: Duration = Duration::from_secs(8);

#[track_caller]
fn watch(host: &Host, query: &str) -> EventSource {
    let target = format!("/plugins/presence/v1/users/alice@localhost/events{query}");
    EventSource::open(host.process().ready().http, &target, "", AT_ONCE)
}

#[test]
fn a_choice_reaches_the_streams_that_are_open() {
    let (host, mut alice) = alice_away("anyone");
    let mut stream = watch(&host, "");
    assert_eq!(stream.state(), "away");
    for (choice, state) in [("nobody", "forbidden"), ("default", "away"), ("subscribers", "forbidden")] {
        say(&mut alice, &format!("who {choice}"));
        assert_eq!(stream.state(), state, "{choice}");
    }
    say(&mut alice, "forget");
    assert_eq!(stream.state(), "away");
}

#[test]
fn an_unlisted_address_has_a_stream_that_names_nobody_and_ends_with_it() {
    let (host, mut alice) = alice_away("anyone");
    say(&mut alice, "who nobody");
    let said = say(&mut alice, "address My blog");
    let address = said.lines().next().unwrap();
    let target = format!("{address}/events");
    let mut stream = EventSource::open(host.process().ready().http, &target, "", AT_ONCE);
    assert_eq!(stream.head.header("access-control-allow-origin"), Some("*"));
    let first = stream.event();
    assert_eq!((&first.object()["state"], first.object().get("jid")), (&"away".into(), None));
    show(&mut alice, "dnd", "Busy");
    let told = stream.event().object();
    assert_eq!((&told["state"], &told["status"], told.get("jid")), (&"dnd".into(), &"Busy".into(), None));

    say(&mut alice, "who anyone");
    let id = address.rsplit('/').next().unwrap();
    let revoked = say(&mut alice, &format!("revoke {id}"));
    assert_eq!(stream.state(), "forbidden", "{revoked}: for this address, though she may be seen by her own");
    assert_eq!(watch(&host, "").state(), "dnd");
    let nobody = EventSource::open(host.process().ready().http, &target, "", AT_ONCE).event().data;
    assert_eq!(nobody.as_deref(), Some(r#"{"state":"forbidden","available":false}"#));
}

/// In every form that is words; the last one by what the client accepts.
#[test]
fn an_unlisted_address_takes_long_polls_that_name_nobody_and_end_with_it() {
    let (host, mut alice) = alice_away("anyone");
    let said = say(&mut alice, "address My blog");
    let address = said.lines().next().unwrap();
    let targets = [".json", ".xml", ".txt", ""].map(|suffix| format!("{address}{suffix}"));
    let http = host.patient_http();
    let ask = |target: &str, more: &str, tag: &str| {
        let answer = http.request("GET", &format!("{target}{more}"), &[("If-None-Match", tag)]);
        let whole = format!("{:?} {}", answer.headers, answer.text());
        assert!(!whole.contains("alice") && !whole.contains("localhost"), "{target}: {whole}");
        assert_eq!(answer.header("cache-control"), Some("private, no-store"), "{target}");
        answer
    };
    let mut tags = targets.each_ref().map(|target| tag(&ask(target, "", "")));
    let mut meanwhile = |act: &mut dyn FnMut()| {
        let answers = thread::scope(|scope| {
            let poll = |index: usize| {
                scope.spawn({
                    let (target, tag, ask) = (&targets[index], &tags[index], &ask);
                    move || ask(target, "?wait=60", tag)
                })
            };
            let polls = [0, 1, 2, 3].map(poll);
            // One that has not come by then is answered at once.
            thread::sleep(Duration::from_millis(300));
            assert!(polls.iter().all(|poll| !poll.is_finished()), "one did not wait");
            act();
            polls.map(|poll| poll.join().expect("it is answered"))
        });
        tags = answers.each_ref().map(tag);
        assert!(answers.iter().all(|answer| answer.status == 200), "{answers:?}");
        answers
    };
    let told = meanwhile(&mut || show(&mut alice, "dnd", "Busy"));
    assert!(told.iter().all(|answer| answer.text().contains("Busy")), "{told:?}");
    let id = address.rsplit('/').next().unwrap();
    let told = meanwhile(&mut || drop(say(&mut alice, &format!("revoke {id}"))));
    assert!(told.iter().all(|answer| !answer.text().contains("Busy")), "{told:?}");
    let never = http.get(&format!("{}/AAAAAAAAAAAAAAAAAAAAAA.json", address.rsplit_once('/').unwrap().0));
    assert_eq!(tag(&never), tags[0], "it is like one that never was");
}

#[track_caller]
fn tag(answer: &Answer) -> String {
    answer.header("etag").expect("a tag").to_owned()
}

#[test]
fn a_stream_goes_dark_with_its_token() {
    let (host, mut alice) = alice_away("verified");
    let own = token(&mut alice, "");
    let mut streams = [watch(&host, &format!("?token={own}")), watch(&host, "")];
    assert_eq!(streams.each_mut().map(EventSource::state), ["away", "forbidden"]);
    assert_eq!(say(&mut alice, "revoke all"), "1 token was revoked.");
    assert_eq!(streams[0].state(), "forbidden");
}

#[test]
fn a_stream_goes_dark_with_the_trust_in_where_it_comes_from() {
    let (host, mut alice) = alice_away("verified");
    befriend(&mut alice, &mut host.new_user("bob")).unwrap();
    host.set("presence.trusted", "127.0.0.1");
    let mut stream = watch(&host, "?req_jid=bob@localhost");
    assert_eq!(stream.state(), "away");
    for (trusted, state) in [("192.0.2.1", "forbidden"), ("127.0.0.1", "away")] {
        host.set("presence.trusted", trusted);
        assert_eq!(stream.state(), state, "{trusted}");
    }
}
