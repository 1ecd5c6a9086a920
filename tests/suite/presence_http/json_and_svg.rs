//! The types that the original had not: an object for scripts, a drawing for pages of any resolution.

use std::{collections::BTreeSet, time::Duration};

use serde_json::{Value, json};
use tests::{host::Host, http::encode, wait};

use super::{STATUS, ask, open_host, show, show_with_priority};

const STATES: [&str; 6] = ["available", "chat", "away", "xa", "dnd", "offline"];

/// What is said of alice, without the moments in it.
#[track_caller]
fn object(host: &Host, query: &str) -> Value {
    let answer = ask(host, &format!("{query}&type=json"));
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")), "{answer:?}");
    let mut object: Value = serde_json::from_str(answer.text()).expect("JSON");
    for moment in ["since", "asOf"] {
        if let Some(moment) = object.as_object_mut().and_then(|fields| fields.remove(moment)) {
            assert!(is_moment(moment.as_str().expect("a text")), "{moment}");
        }
    }
    object
}

/// `2026-11-26T09:30:00.123Z`
fn is_moment(text: &str) -> bool {
    let shape: String = text.chars().map(|char| if char.is_ascii_digit() { '0' } else { char }).collect();
    shape == "0000-00-00T00:00:00.000Z"
}

#[test]
fn json_has_the_fields_of_the_contract() {
    let host = open_host();
    let mut alice = host.new_user("alice");
    let query = "jid=ALICE@localhost/desk";
    assert_eq!(object(&host, query), json!({"jid": "alice@localhost", "state": "offline", "available": false}));
    let said = "<presence><show>away</show><status>Lunch &lt;till&gt; \"1\"</status><priority>5</priority></presence>";
    alice.send(said).unwrap();
    alice.settle().unwrap();
    let away = json!({"jid": "alice@localhost", "state": "away", "available": true, "show": "away",
        "status": "Lunch <till> \"1\"", "priority": 5});
    assert_eq!(object(&host, query), away);
    show_with_priority(&mut alice, "", -3);
    let plain = json!({"jid": "alice@localhost", "state": "available", "available": true, "priority": -3});
    assert_eq!(object(&host, query), plain);
    alice.unavailable("gone fishing").unwrap();
    alice.settle().unwrap();
    let gone = json!({"jid": "alice@localhost", "state": "offline", "available": false, "status": "gone fishing"});
    assert_eq!(object(&host, query), gone);
}

#[test]
fn json_tells_since_when_and_as_of_when() {
    let host = open_host();
    let mut alice = host.new_user("alice");
    show(&mut alice, "away", "");
    let moments = || {
        let object: Value = serde_json::from_str(ask(&host, "jid=alice@localhost&type=json").text()).unwrap();
        (object["since"].as_str().unwrap().to_owned(), object["asOf"].as_str().unwrap().to_owned())
    };
    let (since, first) = moments();
    let deadline = Duration::from_secs(10);
    let (same, later) = wait::until(deadline, "time goes on", || Some(moments()).filter(|(_, as_of)| *as_of != first));
    assert_eq!(since, same, "the same presence");
    assert!(since <= first && first < later, "{since} {first} {later}");
}

/// The tag is that of what is shown: a poller is not sent the same again because time went on.
#[test]
fn a_later_look_at_the_same_is_304() {
    let host = open_host();
    let mut alice = host.new_user("alice");
    show(&mut alice, "away", "Lunch");
    for kind in ["json", "svg"] {
        let target = format!("{STATUS}?jid=alice@localhost&type={kind}");
        let first = host.http().get(&target);
        let etag = first.header("etag").expect("a tag").to_owned();
        assert!(etag.starts_with('"'), "{etag} is strong");
        if kind == "json" {
            let later = || Some(host.http().get(&target)).filter(|later| later.body != first.body);
            let later = wait::until(Duration::from_secs(10), "time goes on", later);
            assert_eq!(later.header("etag"), Some(etag.as_str()));
        }
        let held = host.http().request("GET", &target, &[("If-None-Match", &etag)]);
        assert_eq!((held.status, held.body.len()), (304, 0), "{kind}");
        let head = host.http().request("HEAD", &target, &[]);
        assert_eq!((head.status, head.header("etag"), head.body.len()), (200, Some(etag.as_str()), 0), "{kind}");
    }
}

#[test]
fn a_refusal_as_json_names_the_address_and_no_more() {
    let host = Host::with_presence();
    host.add_user("alice");
    let refusal = |jid: &str| json!({"jid": jid, "state": "forbidden", "available": false});
    for jid in ["alice@localhost", "nobody@localhost", "alice@elsewhere.example"] {
        assert_eq!(object(&host, &format!("jid={jid}")), refusal(jid));
        let text = ask(&host, &format!("jid={jid}&type=json")).text().to_owned();
        assert_eq!(
            text,
            format!("{{\"jid\":\"{jid}\",\"state\":\"forbidden\",\"available\":false}}\n"),
            "no moment in it"
        );
    }
    for query in ["", "jid=", "jid=%40", "jid=a%00@localhost"] {
        assert_eq!(object(&host, query), json!({"state": "forbidden", "available": false}), "{query}");
    }
}

#[test]
fn each_state_has_a_drawing_with_its_name() {
    let host = open_host();
    let mut alice = host.new_user("alice");
    let mut drawings = BTreeSet::new();
    for state in STATES {
        match state {
            "offline" => alice.unavailable("").and_then(|()| alice.settle()).unwrap(),
            "available" => show(&mut alice, "", ""),
            other => show(&mut alice, other, ""),
        }
        drawings.insert(drawing(&host, "jid=alice@localhost", state));
    }
    drawings.insert(drawing(&host, "jid=nobody@localhost", "forbidden"));
    assert_eq!(drawings.len(), 7);
}

/// The text of a drawing, which is as HTTP.md wants it.
#[track_caller]
fn drawing(host: &Host, query: &str, state: &str) -> String {
    let answer = ask(host, &format!("{query}&type=svg&images={}", encode("http://icons.example/--IMAGE--")));
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("image/svg+xml")), "{answer:?}");
    assert_eq!(answer.header("content-security-policy"), Some("default-src 'none'; sandbox"));
    assert_eq!(answer.header("cross-origin-resource-policy"), Some("cross-origin"));
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    let svg: minidom::Element = answer.text().parse().expect("well-formed");
    let title = svg.children().find(|child| child.name() == "title").expect("a title").text();
    assert!(title.starts_with(state), "{title}");
    assert_eq!((svg.attr("role"), svg.attr("aria-label")), (Some("img"), Some(title.as_str())));
    for word in ["script", "href", "style", "url("] {
        assert!(!answer.text().contains(word), "{word}: {answer:?}");
    }
    answer.text().to_owned()
}
