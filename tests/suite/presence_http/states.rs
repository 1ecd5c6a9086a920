//! What is shown: the seven states in the three types, and which session speaks for the user.

use std::{collections::BTreeMap, time::Duration};

use tests::{host::Host, http::Answer, wait, xmpp::Session};

use super::{ask, open_host, show, show_with_priority, state_of_alice, text_of_alice};

const ONLINE: [&str; 5] = ["available", "chat", "away", "xa", "dnd"];

/// The `<show/>` of a state.
fn element_of(state: &str) -> &str {
    if state == "available" { "" } else { state }
}

#[test]
fn each_state_has_an_icon_of_its_own() {
    let host = open_host();
    let mut alice = host.new_user("alice");
    let mut icons = BTreeMap::new();
    let offline = icon(&host, "jid=alice@localhost");
    for state in ONLINE {
        show(&mut alice, element_of(state), "");
        let seen = icons.insert(icon(&host, "jid=alice@localhost"), state);
        assert_eq!(seen, None, "{state} looks like another state");
    }
    assert!(!icons.contains_key(&offline), "offline looks like a state of being online");
    assert_eq!(icon(&host, "jid=nobody@localhost"), offline, "forbidden has the pixels of offline");
    assert_eq!(icon(&host, "jid=alice@localhost&type=image"), icon(&host, "jid=alice@localhost"));
}

/// The bytes of an icon that is as HTTP.md wants it.
#[track_caller]
fn icon(host: &Host, query: &str) -> Vec<u8> {
    let answer = ask(host, query);
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some("image/gif"));
    assert!(answer.body.starts_with(b"GIF8"), "{answer:?}");
    assert_eq!(answer.body[6..10], [16, 0, 16, 0], "16x16");
    answer.body
}

#[test]
fn each_state_has_a_name_and_an_element() {
    let host = open_host();
    let mut alice = host.new_user("alice");
    assert_eq!(state_of_alice(&host), "offline");
    for state in ONLINE {
        show(&mut alice, element_of(state), "");
        assert_eq!(state_of_alice(&host), state);
        let answer = xml(&host);
        assert_eq!(answer.contains("<show>"), state != "available", "{answer}");
        assert!(state == "available" || answer.contains(&format!("<show>{state}</show>")), "{answer}");
    }
}

#[track_caller]
fn xml(host: &Host) -> String {
    let answer = ask(host, "type=xml&jid=alice@localhost");
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("text/xml; charset=utf-8")));
    answer.text().to_owned()
}

#[test]
fn the_xml_holds_show_status_and_priority_and_no_more() {
    let host = open_host();
    let mut alice = host.new_user("alice");
    let offline = "<presence type=\"unavailable\" from=\"alice@localhost\"><status>Unavailable</status></presence>";
    assert_eq!(xml(&host).trim_end(), offline);
    alice
        .send(
            "<presence id='p1' xml:lang='en'><show>away</show><status>Lunch &lt;till&gt; 1 &amp; on</status><priority>5</priority>\
             <c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='n' ver='v'/></presence>",
        )
        .unwrap();
    alice.settle().unwrap();
    let online = "<presence from=\"alice@localhost\"><show>away</show><status>Lunch &lt;till&gt; 1 &amp; on</status>\
                  <priority>5</priority></presence>\n";
    assert_eq!(xml(&host), online);
    show_with_priority(&mut alice, "", -3);
    assert_eq!(xml(&host), "<presence from=\"alice@localhost\"><priority>-3</priority></presence>\n");
}

#[test]
fn the_text_is_one_line_or_the_one_of_the_settings() {
    let host = open_host();
    let mut alice = host.new_user("alice");
    let plain = |answer: &Answer| answer.header("content-type") == Some("text/plain; charset=utf-8");
    assert!(plain(&ask(&host, "type=text&jid=alice@localhost")));
    assert_eq!(text_of_alice(&host), "Unavailable\n");
    show(&mut alice, "", "");
    assert_eq!(text_of_alice(&host), "Available\n");
    show(&mut alice, "dnd", "  writing\n\ttests   in ☕ ");
    assert_eq!(text_of_alice(&host), "writing tests in ☕\n");
    show(&mut alice, "dnd", " \n ");
    assert_eq!(text_of_alice(&host), "Available\n");

    host.set("presence.available_text", "Am Platz");
    host.set("presence.unavailable_text", "Nicht da");
    assert_eq!(text_of_alice(&host), "Am Platz\n");
    host.set("presence.available_text", " ");
    assert_eq!(text_of_alice(&host), "Available\n");
    assert_eq!(ask(&host, "type=text&jid=nobody@localhost").text(), "Nicht da\n");
    alice.unavailable("").unwrap();
    alice.settle().unwrap();
    assert_eq!(text_of_alice(&host), "Nicht da\n");
    host.set("presence.unavailable_text", "");
    assert_eq!(text_of_alice(&host), "Unavailable\n");
}

#[test]
fn a_farewell_is_shown_until_the_next_login() {
    let host = open_host();
    let mut alice = host.new_user("alice");
    show(&mut alice, "", "here");
    alice.unavailable("gone fishing").unwrap();
    alice.settle().unwrap();
    assert_eq!(text_of_alice(&host), "gone fishing\n");
    let farewell = "<presence type=\"unavailable\" from=\"alice@localhost\"><status>gone fishing</status></presence>";
    assert_eq!(xml(&host).trim_end(), farewell);

    let mut again = host.login("alice");
    show(&mut again, "", "");
    drop((alice, again));
    wait::until(Duration::from_secs(20), "alice is offline", || (state_of_alice(&host) == "offline").then_some(()));
    assert_eq!(text_of_alice(&host), "Unavailable\n", "an abrupt end has no words, and the login cleared the old ones");
}

/// Row: "status of the last unavailable stanza if it had one", whichever session sent it, and after how many others.
#[test]
fn the_last_words_of_whoever_has_left_are_shown() {
    let mut host = open_host();
    let mut alice = host.new_user("alice");
    let says = |host: &Host, session: &mut Session, words: &str, shown: &str| {
        session.unavailable(words).unwrap();
        session.settle().unwrap();
        assert_eq!(text_of_alice(host), format!("{shown}\n"), "{words:?}");
    };
    says(&host, &mut alice, "never there", "Unavailable");
    show(&mut alice, "", "here");
    for (words, shown) in [("gone", "gone"), ("back at nine", "back at nine"), ("", "Unavailable"), ("ten", "ten")] {
        says(&host, &mut alice, words, shown);
    }
    let since = since_of_alice(&host);
    let mut again = host.login("alice");
    says(&host, &mut again, "", "ten");
    show(&mut again, "", "here again");
    says(&host, &mut alice, "not that one", "here again");
    says(&host, &mut again, "bye", "bye");
    says(&host, &mut alice, "eleven", "eleven");
    let later = since_of_alice(&host);
    assert!(since < later);
    says(&host, &mut again, "twelve", "twelve");
    assert_eq!(since_of_alice(&host), later, "gone since as before");
    host.terminate();
    host.run();
    assert_eq!((text_of_alice(&host), since_of_alice(&host)), ("twelve\n".into(), later), "after a restart");
}

/// Since when alice is as she is.
fn since_of_alice(host: &Host) -> String {
    let object: serde_json::Value = serde_json::from_str(ask(host, "type=json&jid=alice@localhost").text()).unwrap();
    object["since"].as_str().expect("it is known since when").to_owned()
}

#[test]
fn of_several_languages_the_streams_own_is_shown() {
    let host = open_host();
    let mut alice = host.new_user("alice");
    for (content, shown) in [
        ("<status xml:lang='fr'>un</status><status>one</status>", "one\n"),
        ("<status xml:lang='fr'>un</status><status xml:lang='de'>eins</status>", "un\n"),
    ] {
        alice.send(&format!("<presence>{content}</presence>")).unwrap();
        alice.settle().unwrap();
        assert_eq!(text_of_alice(&host), shown);
    }
}

#[test]
fn the_most_reachable_session_speaks_for_the_user() {
    let host = open_host();
    let (mut desk, mut phone) = (host.new_user("alice"), host.login("alice"));
    show_with_priority(&mut desk, "dnd", 50);
    show_with_priority(&mut phone, "xa", 0);
    assert_eq!(state_of_alice(&host), "xa");
    show_with_priority(&mut desk, "away", 0);
    assert_eq!(state_of_alice(&host), "away");
    show_with_priority(&mut phone, "chat", 0);
    assert_eq!(state_of_alice(&host), "chat");
    show_with_priority(&mut desk, "", 0);
    assert_eq!(state_of_alice(&host), "available");
    show_with_priority(&mut desk, "", -1);
    assert_eq!(state_of_alice(&host), "chat", "a negative priority counts only alone");
    phone.unavailable("").unwrap();
    phone.settle().unwrap();
    assert_eq!(state_of_alice(&host), "available");
}

#[test]
fn equals_are_told_apart_by_priority_then_by_age() {
    let host = open_host();
    let (mut desk, mut phone) = (host.new_user("alice"), host.login("alice"));
    for (session, priority, status) in [(&mut desk, 5, "desk"), (&mut phone, 1, "phone")] {
        let stanza = format!("<presence><status>{status}</status><priority>{priority}</priority></presence>");
        session.send(&stanza).unwrap();
        session.settle().unwrap();
    }
    assert_eq!(text_of_alice(&host), "desk\n");
    phone.send("<presence><status>phone</status><priority>5</priority></presence>").unwrap();
    phone.settle().unwrap();
    assert_eq!(text_of_alice(&host), "phone\n");
}

#[test]
fn among_negative_priorities_the_same_order_holds() {
    let host = open_host();
    let (mut desk, mut phone) = (host.new_user("alice"), host.login("alice"));
    show_with_priority(&mut desk, "dnd", -1);
    show_with_priority(&mut phone, "away", -128);
    assert_eq!(state_of_alice(&host), "away");
    show_with_priority(&mut desk, "away", -2);
    assert!(xml(&host).contains("<priority>-2</priority>"), "the higher of two equals");
    show_with_priority(&mut phone, "xa", 0);
    assert_eq!(state_of_alice(&host), "xa");
}

#[test]
fn the_text_of_whoever_leaves_last_stays() {
    let host = open_host();
    let (mut desk, mut phone) = (host.new_user("alice"), host.login("alice"));
    show(&mut desk, "", "at the desk");
    show(&mut phone, "dnd", "on the phone");
    desk.unavailable("leaving the desk").unwrap();
    desk.settle().unwrap();
    assert_eq!(text_of_alice(&host), "on the phone\n");
    phone.unavailable("  leaving\n\tat   last ").unwrap();
    phone.settle().unwrap();
    assert_eq!(text_of_alice(&host), "leaving at last\n");
    phone.available("", "back").unwrap();
    phone.unavailable("").unwrap();
    phone.settle().unwrap();
    assert_eq!(text_of_alice(&host), "Unavailable\n", "an end without a text clears the one before");
}

/// A stanza that is no plain announcement to everybody changes nothing of what is shown.
#[test]
fn what_the_user_did_not_announce_is_not_shown() {
    let host = open_host();
    let mut alice = host.new_user("alice");
    show(&mut alice, "away", "Lunch");
    for stanza in [
        "<presence to='bob@localhost'><show>dnd</show><status>for bob</status></presence>",
        "<presence to='bob@localhost' type='unavailable'><status>gone, bob</status></presence>",
        "<presence type='invisible'/>",
        "<presence type='error'><status>error</status></presence>",
        "<presence type='probe' to='alice@localhost'/>",
    ] {
        alice.send(stanza).unwrap();
        alice.settle().unwrap();
        assert_eq!((state_of_alice(&host).as_str(), text_of_alice(&host).as_str()), ("away", "Lunch\n"), "{stanza}");
    }
}

#[test]
fn a_session_that_says_nothing_in_public_is_offline() {
    let host = open_host();
    let mut alice = host.new_user("alice");
    alice.settle().unwrap();
    assert_eq!(state_of_alice(&host), "offline");
    alice.send("<presence to='bob@localhost'><show>chat</show></presence>").unwrap();
    alice.settle().unwrap();
    assert_eq!(state_of_alice(&host), "offline");
}

#[test]
fn a_lost_socket_ends_the_presence() {
    let host = open_host();
    let mut alice = host.new_user("alice");
    show(&mut alice, "chat", "");
    assert_eq!(state_of_alice(&host), "chat");
    drop(alice);
    wait::until(Duration::from_secs(20), "alice is offline", || (state_of_alice(&host) == "offline").then_some(()));
}
