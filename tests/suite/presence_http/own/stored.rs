//! What is stored, to the byte: earlier and later versions find it as this one left it, and this one what they left. The texts here are version
//! 0.1.0's, and stay: lines and records may be added, and are passed over by a version that does not know them.

use std::path::Path;

use serde_json::Value;
use tests::{
    host::Host,
    records::{self, Record},
};

use super::{
    super::{ask, show},
    STATUS, alice_away, now, restarted, say, state, state_by, token,
};

const ALICE: &str = "alice@localhost";
/// An unlisted address.
const ADDRESS: &str = "AbCdEfGhIjKlMnOpQr-_0w";

/// Whether each line is the pattern's, whose `*` stands for what is drawn by lot or told by the clock.
fn fits(pattern: &str, text: &str) -> bool {
    let lines_fit = |(pattern, line): (&str, &str)| match pattern.strip_suffix('*') {
        Some(start) => line.strip_prefix(start).is_some_and(|drawn| drawn.len() > 9),
        None => line == pattern,
    };
    pattern.split('\n').count() == text.split('\n').count() && pattern.split('\n').zip(text.split('\n')).all(lines_fit)
}

#[test]
fn what_users_have_made_is_stored_as_it_always_was() {
    let (mut host, mut alice) = alice_away("verified");
    host.set("presence.token_key", "2");
    for line in ["who subscribers", "what state", "token of bob state as Blog", "address My blog"] {
        say(&mut alice, line);
    }
    assert_eq!(host.terminate(), Some(0));
    let stored = records::read(&host.state());
    let expected = [
        ("address-of/alice@localhost/*", Some(ALICE), "1\nlabel=My blog\nmade=*\n"),
        ("address/*", Some(ALICE), "1\nuser=alice@localhost\n"),
        ("choice/alice@localhost/", Some(ALICE), "1\nwho=subscribers\nwhat=state\n"),
        ("key/*", None, "1\nmade=*\nsecret=*\n"),
        ("keys", None, "1\nnumber=2\n"),
        ("token/alice@localhost/*", Some(ALICE), "1\nof=bob@localhost\nwhat=state\nmade=*\nexpires=*\nlabel=Blog\n"),
    ];
    assert_eq!(stored.len(), expected.len(), "{stored:?}");
    for (Record { key, value, owner }, (place, whose, text)) in stored.iter().zip(expected) {
        assert!(fits(place, key) && fits(text, value), "{key:?} {value:?} is not {place:?} {text:?}");
        assert_eq!(owner.as_deref(), whose, "{key}");
    }
}

#[test]
fn the_key_of_the_first_start_signs_from_then_on() {
    let mut host = Host::with_presence();
    let keys_at_end = |host: &mut Host| {
        assert_eq!(host.terminate(), Some(0));
        let (keys, others): (Vec<_>, Vec<_>) =
            records::read(&host.state()).into_iter().partition(|record| record.key.starts_with("key/"));
        (keys, others.len())
    };
    let first = keys_at_end(&mut host);
    assert!(first.0.len() == 1 && fits("1\nmade=*\nsecret=*\n", &first.0[0].value) && first.1 == 0, "{first:?}");
    host.run();
    token(&mut host.new_user("alice"), "");
    assert_eq!(keys_at_end(&mut host), (first.0, 1));
}

#[test]
fn what_was_stored_is_found() {
    let (mut host, _alice) = alice_away("verified");
    // Its key is younger than that of the first start.
    let (own_token, [key, issued]) = records::token(ALICE, now() + 60, now() + 86_400);
    let stored = [
        key,
        issued,
        Record::of(ALICE, "choice/alice@localhost/", "1\nwho=anyone\nwhat=state\n"),
        Record::of(ALICE, format!("address/{ADDRESS}"), "1\nuser=alice@localhost\n"),
        Record::of(ALICE, format!("address-of/alice@localhost/{ADDRESS}"), "1\nlabel=My blog\nmade=1764144000\n"),
    ];
    let mut alice = restarted(&mut host, |state| records::write(state, &stored));
    assert_eq!(state(&host, ""), "away");
    assert!(!ask(&host, "type=text&jid=alice@localhost").text().contains("Lunch"), "the state only");
    assert!(say(&mut alice, "addresses").contains("My blog: "));
    say(&mut alice, "who nobody");
    assert_eq!((state(&host, ""), state_by(&host, &own_token).as_str()), ("forbidden".into(), "away"));
    let by_address = host.http().get(&format!("/plugins/presence/v1/u/{ADDRESS}.json"));
    assert!(by_address.text().contains("\"state\":\"away\""), "{by_address:?}");
    // The key signs on: what this version makes, the one that made the key reads.
    assert!(token(&mut alice, "").starts_with(&own_token[..13]), "another key");
}

/// A choice that is not known shows nothing, until its user makes another.
#[test]
fn what_a_later_version_has_stored_is_left_alone() {
    let (mut host, alice) = alice_away("anyone");
    drop(alice);
    let later = "2\nwho=colleagues\nwhat=mood\ngroups=friends,family\n";
    let unknown = Record::of_nobody("later/thing", "2\n");
    let place = "choice/alice@localhost/";
    let mut alice =
        restarted(&mut host, |state| records::write(state, &[Record::of(ALICE, place, later), unknown.clone()]));
    assert_eq!((state(&host, ""), state(&host, "&req_jid=alice@localhost")), ("forbidden".into(), "forbidden".into()));
    assert!(say(&mut alice, "show").contains("nobody can see your state, without"));
    let but_keys = |state: &Path| {
        let records = records::read(state).into_iter();
        records.filter(|record| !record.key.starts_with("key/")).collect::<Vec<_>>()
    };
    let mut unread = None;
    let mut alice = restarted(&mut host, |state| unread = Some(but_keys(state)));
    assert_eq!(unread.unwrap(), [Record::of(ALICE, place, later), unknown.clone()]);
    say(&mut alice, "who anyone");
    assert_eq!(state(&host, ""), "away");
    assert_eq!(host.terminate(), Some(0));
    let kept = Record::of(ALICE, place, "2\nwho=anyone\nwhat=state\ngroups=friends,family\n");
    assert_eq!(but_keys(&host.state()), [kept, unknown]);
}

/// A value that was set goes on holding under the name that it was set for.
#[test]
fn settings_keep_their_names_and_defaults() {
    let host = Host::with_presence();
    let listed = host.command(&["setting", "list", "--json"]).succeeds();
    let listed: Vec<Value> = serde_json::from_str(&listed).unwrap();
    for (name, default) in [
        ("visibility", "subscribed"),
        ("available_text", "Available"),
        ("unavailable_text", "Unavailable"),
        ("redirect_hosts", ""),
        ("max_age", "0"),
        ("rate", "200"),
        ("burst", "1000"),
        ("proxies", ""),
        ("streams", "6000"),
        ("streams_of_client", "100"),
        ("trusted", ""),
        ("token_key", "1"),
    ] {
        let setting = listed.iter().find(|setting| setting["name"] == format!("presence.{name}"));
        assert_eq!(setting.map(|setting| &setting["default"]), Some(&default.into()), "{name}");
        assert!(setting.unwrap()["label"].as_str().is_some_and(|label| label.len() > 3), "{setting:?}");
    }
}

/// Caches and pollers hold them: with others, each would be sent once more what it has.
#[test]
fn tags_are_what_they_were() {
    let (host, mut alice) = alice_away("anyone");
    let tag = |kind: &str| {
        let answer = host.http().get(&format!("{STATUS}?jid=alice@localhost&type={kind}"));
        answer.header("etag").unwrap().to_owned()
    };
    assert_eq!([tag("text"), tag("xml")], ["\"tbc1c92658b87ad8f\"", "\"xa000cc72cb9b1a05\""]);
    show(&mut alice, "dnd", "");
    assert_eq!([tag("text"), tag("xml")], ["\"tbfd11d4d8781fb96\"", "\"xd7aa16c4a1f72538\""]);
}
