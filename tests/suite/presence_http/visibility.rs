//! Who may see whom, and that every refusal is one and the same answer.

use std::{
    io::{Read, Write},
    net::TcpStream,
};

use tests::{
    host::{Host, PATIENCE},
    http::{Answer, encode},
    xmpp::befriend,
};

use super::{STATUS, ask, open_host, show, state};

/// The state of alice as `requester` sees it.
#[track_caller]
fn seen_by(host: &Host, requester: &str) -> String {
    state(host, &format!("jid=alice@localhost&req_jid={}", encode(requester)))
}

#[test]
fn subscribers_see_the_user_and_others_do_not() {
    let host = Host::with_presence();
    let (mut alice, mut bob, mut carol) = (host.new_user("alice"), host.new_user("bob"), host.new_user("carol"));
    befriend(&mut alice, &mut bob).unwrap();
    // Alice holds a subscription to carol's presence, not the other way round.
    alice.subscription("subscribe", "carol@localhost").unwrap();
    alice.settle().unwrap();
    carol.subscription("subscribed", "alice@localhost").unwrap();
    carol.settle().unwrap();
    show(&mut alice, "dnd", "");

    for friend in
        ["bob@localhost", "bob@localhost/anywhere", "BOB@LocalHost", "alice@localhost", "alice@localhost/desk"]
    {
        assert_eq!(seen_by(&host, friend), "dnd", "{friend}");
    }
    for stranger in
        ["carol@localhost", "nobody@localhost", "alice@elsewhere.example", "alice", "localhost", "@", "bob", ""]
    {
        assert_eq!(seen_by(&host, stranger), "forbidden", "{stranger:?}");
    }
    assert_eq!(state(&host, "jid=alice@localhost"), "forbidden");
}

#[test]
fn a_subscription_from_the_requester_alone_is_enough() {
    let host = Host::with_presence();
    let (mut alice, mut bob) = (host.new_user("alice"), host.new_user("bob"));
    bob.subscription("subscribe", "alice@localhost").unwrap();
    bob.settle().unwrap();
    show(&mut alice, "", "");
    assert_eq!(seen_by(&host, "bob@localhost"), "forbidden", "asked for, not granted");
    alice.subscription("subscribed", "bob@localhost").unwrap();
    alice.settle().unwrap();
    assert_eq!(seen_by(&host, "bob@localhost"), "available");
    alice.subscription("unsubscribed", "bob@localhost").unwrap();
    alice.settle().unwrap();
    assert_eq!(seen_by(&host, "bob@localhost"), "forbidden");
}

#[test]
fn anyone_sees_every_user_once_the_setting_says_so() {
    let host = Host::with_presence();
    let mut alice = host.new_user("alice");
    show(&mut alice, "away", "");
    assert_eq!(state(&host, "jid=alice@localhost"), "forbidden");
    host.set("presence.visibility", "anyone");
    assert_eq!(state(&host, "jid=alice@localhost"), "away");
    assert_eq!(state(&host, "jid=nobody@localhost"), "forbidden");
    host.set("presence.visibility", "subscribed");
    assert_eq!(state(&host, "jid=alice@localhost"), "forbidden");
}

#[test]
fn a_blocked_requester_never_sees_the_user() {
    let host = Host::with_presence();
    let (mut alice, mut bob) = (host.new_user("alice"), host.new_user("bob"));
    befriend(&mut alice, &mut bob).unwrap();
    show(&mut alice, "chat", "");
    assert_eq!(seen_by(&host, "bob@localhost"), "chat");
    let item = "<item jid='bob@localhost'/>";
    alice.request("set", "", &format!("<block xmlns='urn:xmpp:blocking'>{item}</block>")).unwrap();
    for visibility in ["subscribed", "anyone"] {
        host.set("presence.visibility", visibility);
        assert_eq!(seen_by(&host, "bob@localhost"), "forbidden", "{visibility}");
    }
    alice.request("set", "", &format!("<unblock xmlns='urn:xmpp:blocking'>{item}</unblock>")).unwrap();
    assert_eq!(seen_by(&host, "bob@localhost"), "chat");
}

#[test]
fn addresses_are_compared_in_their_normal_form() {
    let host = open_host();
    let mut alice = host.new_user("alice");
    show(&mut alice, "xa", "");
    for jid in
        ["ALICE@LOCALHOST", "alice@localhost/", "Alice@localhost/desk", "alice@localhost/a/b@c", "alice@localhost/😀"]
    {
        let answer = ask(&host, &format!("type=xml&jid={}", encode(jid)));
        let expected = if jid.ends_with('/') { "type=\"error\"" } else { "<show>xa</show>" };
        assert!(answer.text().contains(expected), "{jid}: {answer:?}");
    }
}

/// Requests that must be refused: no address, none of an address, another server's, nobody's, and one of a user who does not
/// want to be seen.
fn refused(host: &Host) -> Vec<String> {
    host.add_user("alice");
    host.set("presence.visibility", "subscribed");
    let jids = [
        "",
        "jid=",
        "jid=%40",
        "jid=a%40b%40c",
        "jid=alice@elsewhere.example",
        "jid=nobody@localhost",
        "jid=alice@localhost",
    ];
    let long = format!("jid={}@localhost", "a".repeat(1100));
    jids.into_iter().map(str::to_owned).chain([long]).collect()
}

#[test]
fn refusals_cannot_be_told_apart() {
    let host = Host::with_presence();
    let queries = refused(&host);
    for rest in ["", "&type=text", "&type=svg", "&req_jid=bob@localhost", "&type=text&req_jid=bob@localhost"] {
        let answers: Vec<Answer> =
            queries.iter().map(|query| ask(&host, &format!("{query}{rest}")).comparable()).collect();
        for (query, answer) in queries.iter().zip(&answers) {
            assert_eq!(answer, &answers[0], "{query}{rest}");
        }
        assert_eq!(answers[0].status, 200);
    }
    assert_eq!(ask(&host, "type=text").text(), "Unavailable\n");
}

/// What a requester who is blocked gets is what one gets who asks about nobody, byte by byte as it comes over the wire.
#[test]
fn a_block_cannot_be_told_from_an_unknown_user() {
    let host = open_host();
    let (mut alice, _bob) = (host.new_user("alice"), host.new_user("bob"));
    show(&mut alice, "chat", "here");
    alice.request("set", "", "<block xmlns='urn:xmpp:blocking'><item jid='bob@localhost'/></block>").unwrap();
    let images = encode("http://icons.example/--IMAGE--");
    for visibility in ["anyone", "subscribed"] {
        host.set("presence.visibility", visibility);
        for rest in ["", "&type=text", "&type=xml", "&type=json", "&type=svg", &format!("&images={images}")] {
            for method in ["GET", "HEAD", "POST"] {
                let refusal = |user: &str| {
                    let target = format!("{STATUS}?jid={user}@localhost&req_jid=bob@localhost{rest}");
                    wire(&host, method, &target).replace(user, "USER")
                };
                assert_eq!(
                    without_tag(&refusal("alice")),
                    without_tag(&refusal("nobdy")),
                    "{visibility} {method} {rest}"
                );
            }
        }
    }
}

/// An answer as it comes over the wire, without the second at which it was given. Its lines are sorted: the order of an answer's
/// fields is drawn by lot for each.
#[track_caller]
fn wire(host: &Host, method: &str, target: &str) -> String {
    let mut socket = TcpStream::connect(host.process().ready().http).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(socket, "{method} {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).unwrap();
    let answer = without_line(&String::from_utf8_lossy(&answer), "date: ");
    let mut lines: Vec<&str> = answer.split_inclusive('\n').collect();
    lines.sort_unstable();
    lines.concat()
}

/// The tag is a hash of the body, which names the user.
fn without_tag(answer: &str) -> String {
    if ["text/xml", "application/json"].iter().any(|kind| answer.contains(kind)) {
        without_line(answer, "etag: ")
    } else {
        answer.to_owned()
    }
}

fn without_line(answer: &str, start: &str) -> String {
    answer.split_inclusive('\n').filter(|line| !line.starts_with(start)).collect()
}

#[test]
fn a_refusal_in_xml_repeats_the_addresses_and_no_more() {
    let host = Host::with_presence();
    refused(&host);
    let refusal = |attributes: &str| {
        format!(
            "<presence type=\"error\"{attributes}><error code=\"403\" type=\"auth\">\
             <forbidden xmlns=\"urn:ietf:params:xml:ns:xmpp-stanzas\"/></error></presence>"
        )
    };
    let cases = [
        ("", ""),
        ("&jid=", ""),
        ("&jid=%40&req_jid=%2F", ""),
        ("&jid=alice@localhost", " from=\"alice@localhost\""),
        ("&jid=nobody@localhost", " from=\"nobody@localhost\""),
        ("&jid=alice@localhost&req_jid=bob@localhost", " from=\"alice@localhost\" to=\"bob@localhost\""),
        ("&jid=ALICE@localhost/desk&req_jid=Bob@else.where/x", " from=\"alice@localhost\" to=\"bob@else.where\""),
        ("&jid=a@elsewhere.example&req_jid=", " from=\"a@elsewhere.example\""),
        ("&req_jid=bob@localhost", " to=\"bob@localhost\""),
    ];
    for (query, attributes) in cases {
        let answer = ask(&host, &format!("type=xml{query}"));
        assert_eq!((answer.status, answer.text().trim_end()), (200, refusal(attributes).as_str()), "{query}");
    }
    let known = ask(&host, "type=xml&jid=alice@localhost").comparable();
    let unknown = ask(&host, "type=xml&jid=malice@localhost").comparable();
    let names = |answer: &Answer| answer.headers.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&known), names(&unknown));
}

#[test]
fn a_refusal_shows_the_forbidden_image() {
    let host = Host::with_presence();
    refused(&host);
    assert_eq!(state(&host, "jid=alice@localhost"), "forbidden");
    let own = "forbidden=https%3A%2F%2Ficons.example%2Fno.png&offline=https%3A%2F%2Ficons.example%2Foff.png";
    let answer = ask(&host, &format!("jid=alice@localhost&{own}"));
    assert_eq!((answer.status, answer.header("location")), (302, Some("https://icons.example/no.png")));
}
