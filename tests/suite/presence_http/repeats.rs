//! What was sent is sent again to whoever asks the same, and never longer than it is true: a repeated request gets what one gets that was never sent
//! before.

use std::{cell::Cell, fmt::Display, time::Duration};

use tests::{
    host::Host,
    http::{Answer, encode},
    other_times::{counted, counting_presence},
    wait::until,
    xmpp::Session,
};

use super::{
    STATUS,
    own::{say, token},
    show,
};

/// The address of many users, of whom each is kept for itself.
const BATCH: &str = "/plugins/presence/v1/presence?jid=alice@localhost";

/// The addresses of all that is shown of alice, who is also at the unlisted address `own`.
fn targets(own: &str) -> Vec<String> {
    let status =
        ["image", "svg", "text", "xml", "json"].map(|kind| format!("{STATUS}?jid=alice@localhost&type={kind}"));
    let images = encode("http://icons.example/--IMAGE--");
    let forms = [".json", ".xml", ".txt", ".svg", ".png", ".gif", "/icon.png?size=33", "/badge.svg", "/badge.json", ""];
    let v1 = ["/plugins/presence/v1/users/alice@localhost", own];
    let v1 = v1.iter().flat_map(|user| forms.map(|form| format!("{user}{form}")));
    status
        .into_iter()
        .chain([format!("{STATUS}?jid=alice@localhost&images={images}")])
        .chain(v1)
        .chain([BATCH.into()])
        .collect()
}

/// What is the same of answers a moment apart.
fn told(answer: &Answer) -> (u16, Vec<(String, String)>, String) {
    let body = String::from_utf8_lossy(&answer.body);
    let (before, after) = body.split_once("\"asOf\":\"").unwrap_or((&body, ""));
    let moment = after.find('"').map_or(0, |end| end + 1);
    (answer.status, answer.clone().comparable().headers, [before, &after[moment..]].concat())
}

/// An address that was never asked for if the number is another each time. What is there is the same.
fn other(target: &str, number: impl Display) -> String {
    match target.contains('?') {
        _ if target == BATCH => format!("{target}/resource{number}"),
        true => format!("{target}&n={number}"),
        false => format!("{target}?n={number}"),
    }
}

/// Asks for everything twice, and for the same by addresses that were never sent before.
#[track_caller]
fn compare(host: &Host, targets: &[String], asked: &Cell<u32>, what: &str) {
    for target in targets {
        asked.set(asked.get() + 1);
        let fresh = other(target, asked.get());
        let fresh = told(&host.http().get(&fresh));
        for _ in 0..2 {
            assert_eq!(told(&host.http().get(target)), fresh, "{what}: {target}");
        }
    }
}

/// Alice, whom anyone may see, and an unlisted address of hers.
fn alice_with_address() -> (Host, Session, String) {
    let host = super::open_host();
    let mut alice = host.new_user("alice");
    show(&mut alice, "away", "Lunch");
    let said = say(&mut alice, "address Blog");
    let address = said.lines().next().unwrap().to_owned();
    (host, alice, address)
}

#[test]
fn every_change_is_in_the_very_next_answer() {
    let (host, mut alice, address) = alice_with_address();
    let (targets, asked) = (targets(&address), Cell::new(0));
    let compare = |what: &str| compare(&host, &targets, &asked, what);
    compare("away");
    show(&mut alice, "dnd", "");
    compare("another state");
    let mut second = host.login("alice");
    show(&mut second, "chat", "Two of me");
    compare("another resource");
    second.unavailable("").unwrap();
    second.settle().unwrap();
    compare("one resource less");
    for line in ["what state", "who subscribers", "who nobody", "who default", "what status"] {
        say(&mut alice, line);
        compare(line);
    }
    for (name, value) in [
        ("visibility", "subscribed"),
        ("visibility", "anyone"),
        ("available_text", "Da"),
        ("max_age", "60"),
        ("max_age", "0"),
    ] {
        host.set(&format!("presence.{name}"), value);
        compare(&format!("{name} {value}"));
    }
    say(&mut alice, &format!("revoke {}", address.rsplit('/').next().unwrap()));
    compare("the address is revoked");
    alice.unavailable("Gone fishing").unwrap();
    alice.settle().unwrap();
    compare("offline");
    host.command(&["user", "remove", "alice@localhost"]).succeeds();
    compare("no such user");
    host.add_user("alice");
    compare("another alice");
}

/// The answer to everybody is not one to somebody whom alice does not want to see it.
#[test]
fn who_proves_who_it_is_is_looked_at() {
    let (host, mut alice, _) = alice_with_address();
    let mut bob = host.new_user("bob");
    let field = format!("Bearer {}", token(&mut bob, ""));
    alice.request("set", "", "<block xmlns='urn:xmpp:blocking'><item jid='bob@localhost'/></block>").unwrap();
    let single = format!("{STATUS}?jid=alice@localhost&type=json");
    for target in [&*single, "/plugins/presence/v1/users/alice@localhost.json", BATCH] {
        for _ in 0..2 {
            assert!(host.http().get(target).text().contains("\"away\""), "{target}");
            let refused = host.http().request("GET", target, &[("Authorization", &field)]);
            assert!(refused.text().contains("\"forbidden\""), "{target}");
        }
    }
}

#[test]
fn a_repeated_answer_has_its_own_moment_and_is_held_like_the_first() {
    let (host, _alice, address) = alice_with_address();
    for target in targets(&address) {
        let first = host.http().get(&target);
        let Some(tag) = first.header("etag") else { continue };
        for _ in 0..2 {
            let again = host.http().request("GET", &target, &[("If-None-Match", tag)]);
            assert_eq!((again.status, again.header("etag"), &*again.body), (304, Some(tag), &b""[..]), "{target}");
            let head = host.http().request("HEAD", &target, &[]);
            assert_eq!((head.status, head.header("etag"), &*head.body), (200, Some(tag), &b""[..]), "{target}");
            let whole = host.http().request("GET", &target, &[("If-None-Match", "\"another\"")]);
            assert_eq!(told(&whole), told(&first), "{target}");
        }
        if String::from_utf8_lossy(&first.body).contains("asOf") {
            let is_later = || (host.http().get(&target).body != first.body).then_some(());
            until(Duration::from_secs(10), "another moment is told", is_later);
        }
    }
}

/// Or else whoever is hidden now and was not before would be found before it is looked up, which takes longer than not to be found.
#[test]
fn what_is_not_shown_any_more_is_not_kept() {
    const TIMES: usize = 300;
    const STATUS_TEXT: usize = 1_000;
    let (host, mut alice, _) = alice_with_address();
    show(&mut alice, "away", &"x".repeat(STATUS_TEXT));
    let target = format!("{STATUS}?jid=alice@localhost&type=text");
    let in_use_after_all = || {
        (0..TIMES).for_each(|number| drop(host.http().get(&other(&target, number))));
        host.memory_of("presence").unwrap()
    };
    let shown = in_use_after_all();
    say(&mut alice, "who nobody");
    let hidden = in_use_after_all();
    let texts = (TIMES * STATUS_TEXT) as u64;
    assert!(hidden + texts * 9 / 10 < shown, "{hidden} bytes are in use, and {shown} were before");
}

/// What was sent is taken from where it is kept, and not only made the same anew: it takes the plugin fewer pieces of memory, counted in a
/// build that is changed for that.
#[test]
fn what_is_sent_again_is_not_made_again() {
    const TIMES: u64 = 50;
    let mut host = Host::prepare();
    host.drop_plugin(&counting_presence(), "presence.so");
    host.run();
    host.set("presence.visibility", "anyone");
    let mut alice = host.new_user("alice");
    show(&mut alice, "away", "Lunch");
    let of = |ask: &dyn Fn(u64)| {
        // What is made once is made before.
        ask(0);
        let before = counted(&host);
        (1..=TIMES).for_each(ask);
        (counted(&host) - before) / TIMES
    };
    let status = ["image", "text", "xml", "json"].map(|kind| format!("{STATUS}?jid=alice@localhost&type={kind}"));
    let icon = "/plugins/presence/v1/users/alice@localhost/icon.png?size=33".to_owned();
    for target in status.into_iter().chain([icon, BATCH.into()]) {
        let again = of(&|_| drop(host.http().get(&target)));
        let anew = of(&|number| drop(host.http().get(&other(&target, number))));
        assert!(again < anew, "{target}: {again} pieces of memory, and {anew} for an address that was never asked for");
    }
}
