//! XML that a stream must not hold, and XML that it may, however it comes.

use tests::{
    host::{DOMAIN, Host},
    xmpp::{Connection, Incoming, Session, escape, ns, stanza_error},
};

use super::{HEADER, after_header, end_of, ended_by};

#[test]
fn document_types_and_entity_bombs() {
    let laughs: String =
        (1..10).map(|level| format!("<!ENTITY l{level} '{}'>", format!("&l{};", level - 1).repeat(10))).collect();
    let bomb = format!("<!DOCTYPE x [<!ENTITY l0 'ha'>{laughs}]>");
    let openings = [format!("<?xml version='1.0'?>{bomb}<x>&l9;</x>").into_bytes(), after_header(&bomb)];
    ended_by(&Host::start(), &["restricted-xml", "not-well-formed"], &openings); // [X1]
}

#[test]
fn comments_instructions_and_entities() {
    let openings = ["<!-- hello -->", "<?php ?>", "<message>&nbsp;</message>"].map(after_header);
    ended_by(&Host::start(), &["restricted-xml", "not-well-formed"], &openings); // [X2]
}

#[test]
fn bytes_that_are_no_text() {
    let bodies: [&[u8]; 6] = [b"\xff", b"\xc0\xaf", b"\xed\xa0\x80", b"\x01", b"&#0;", b"&#x1f;"];
    let openings = bodies.map(|body| after_header([b"<message><body>", body, b"</body></message>"].concat()));
    ended_by(&Host::start(), &["not-well-formed", "unsupported-encoding", "bad-format", "restricted-xml"], &openings); // [X3]
}

#[test]
fn broken_xml_and_foreign_streams() {
    let host = Host::start();
    let stream = |ns: &str, to: &str| {
        format!("<stream:stream to='{to}' version='1.0' xmlns='jabber:client' xmlns:stream='{ns}'>").into_bytes()
    };
    let good = "http://etherx.jabber.org/streams";
    let malformed = ["<a></b>", "<a b='1' b='2'/>", "<p:a/>"].map(after_header);
    ended_by(&host, &["not-well-formed"], &malformed); // [X7]
    assert_eq!(end_of(&host, &stream("urn:example:other", DOMAIN)).as_deref(), Some("invalid-namespace"));
    assert_eq!(end_of(&host, &stream(good, "elsewhere.example")).as_deref(), Some("host-unknown"));
}

#[test]
fn the_network_may_cut_a_stream_anywhere() {
    let host = Host::start();
    let mut connection = Connection::open(host.xmpp()).unwrap();
    byte_by_byte(&mut connection, &format!("{HEADER}<starttls xmlns='{}'/>", ns::TLS));
    let received: Vec<_> = (0..3).map(|_| connection.receive().unwrap()).collect();
    assert!(matches!(&received[2], Incoming::Child(child) if child.name() == "proceed"), "{received:?}"); // [X24]

    let (mut alice, mut bob) = (host.new_user("alice"), host.new_user("bob"));
    let stanza = "<message to='bob@localhost/x' type='chat'><body>\u{e9}\u{1F600} &lt;&#x1F600;</body><p:q xmlns:p='u' p:r='1'>\
                  <![CDATA[<&]]></p:q></message>";
    let stanza = stanza.replace("bob@localhost/x", &escape(bob.jid()));
    byte_by_byte(alice.stream().connection(), &stanza);
    let whole = message(&mut bob);
    for cut in 1..stanza.len() {
        let (head, tail) = stanza.as_bytes().split_at(cut);
        let connection = alice.stream().connection();
        connection.send(head).unwrap();
        connection.send(tail).unwrap();
    }
    for cut in 1..stanza.len() {
        assert_eq!(message(&mut bob), whole, "cut at {cut}");
    }
    assert_eq!(whole.get_child("body", ns::CLIENT).unwrap().text(), "\u{e9}\u{1F600} <\u{1F600}");
}

fn byte_by_byte(connection: &mut Connection, xml: &str) {
    xml.as_bytes().chunks(1).for_each(|byte| connection.send(byte).unwrap());
}

fn message(session: &mut Session) -> minidom::Element {
    session.expect(|stanza| stanza.name() == "message").unwrap()
}

#[test]
fn what_is_no_address_is_malformed_and_the_stream_goes_on() {
    let host = Host::start();
    let mut alice = host.new_user("alice");
    let (long, longer) = ("x".repeat(1_023), "x".repeat(1_024));
    let bad = [
        "",
        "@",
        "/",
        "a@",
        "@localhost",
        "alice@/x",
        "alice@localhost/",
        "a@@localhost",
        "a@b@localhost",
        "a b@localhost",
        "a\"@localhost",
        "a&@localhost",
        "a'@localhost",
        "a:@localhost",
        "a<@localhost",
        "\u{5d0}a@localhost",
        "\u{ad}@localhost",
        "\u{a0}@localhost",
        "a\u{7f}@localhost",
        "\u{1D2C}lice@localhost",
        "\u{2100}@localhost",
        "a@local host",
        "a@-localhost",
        "alice@localhost/\u{85}",
    ];
    let too_long = [format!("{longer}@localhost"), format!("a@localhost/{longer}"), format!("a@{}", "x".repeat(64))];
    for address in bad.into_iter().chain(too_long.iter().map(String::as_str)) {
        alice.send(&format!("<message to='{}' id='m'/>", escape(address))).unwrap();
        let answer = message(&mut alice);
        let told = (answer.attr("type"), answer.attr("from"), stanza_error(&answer));
        assert_eq!(told, (Some("error"), None, Some("jid-malformed".into())), "{address:?}"); // [X21]
    }
    let good = [
        "bob@localhost/a@b c",
        "o\u{300}@localhost",
        "\u{5d0}\u{5d1}@localhost",
        "localhost/\u{20AC}",
        "#$%@localhost",
    ];
    let long = [format!("{long}@localhost"), format!("a@localhost/{long}")];
    for address in good.into_iter().chain(long.iter().map(String::as_str)) {
        let answer = alice.request("get", address, "<ping xmlns='urn:xmpp:ping'/>").unwrap();
        assert_eq!(stanza_error(&answer).as_deref(), Some("service-unavailable"), "{address:?}");
    }
}
