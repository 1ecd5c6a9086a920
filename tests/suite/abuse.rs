//! Abuse of the stream and of the HTTP listener: the protocol's own error, and the server serves on. The names in brackets
//! are the rows of the table of faults.

use std::time::{Duration, Instant};

use tests::{
    host::{DOMAIN, Host},
    http::exchange,
    xmpp::{Connection, Error, Incoming},
};

const HEADER: &str = "<?xml version='1.0'?><stream:stream to='localhost' version='1.0' xmlns='jabber:client' \
                      xmlns:stream='http://etherx.jabber.org/streams'>";

/// Sends bytes on a fresh connection and returns how the server ends it: with a stream error, or without (`None`).
#[track_caller]
fn end_of(host: &Host, bytes: &[u8]) -> Option<String> {
    let mut connection = Connection::open(host.xmpp()).unwrap();
    // The server may close before everything is sent.
    let _ = connection.send(bytes);
    connection
        .stream_error()
        .unwrap_or_else(|error| panic!("{}: {error}", String::from_utf8_lossy(&bytes[..80.min(bytes.len())])))
}

/// Expects each of the openings to be ended by one of the conditions.
#[track_caller]
fn ended_by(host: &Host, conditions: &[&str], openings: &[Vec<u8>]) {
    for bytes in openings {
        let end = end_of(host, bytes);
        let end = end.as_deref().unwrap_or("no stream error");
        assert!(conditions.contains(&end), "{end} for {}", String::from_utf8_lossy(&bytes[..120.min(bytes.len())]));
    }
    let mut alice = host.new_user("alice");
    alice.settle().expect("the server serves on");
}

fn after_header(xml: impl AsRef<[u8]>) -> Vec<u8> {
    [HEADER.as_bytes(), xml.as_ref()].concat()
}

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
fn bombs_of_depth_and_attributes() {
    let attributes: String = (0..10_000).map(|number| format!(" a{number}='x'")).collect();
    let openings = [
        after_header("<a>".repeat(100_000)),
        after_header(format!("<a{attributes}/>")),
        after_header(format!("<a b='{}'/>", "x".repeat(5 << 20))),
        after_header(format!("<{}/>", "x".repeat(5 << 20))),
        after_header(format!("<a>{}", "x".repeat(5 << 20))),
    ];
    // [X4] [X5] [X6] A name that is longer than the parser takes may be called malformed; and on a client that goes on sending,
    // the error may be lost with the reset of the connection.
    ended_by(&Host::start(), &["policy-violation", "not-well-formed", "no stream error"], &openings);
}

#[test]
fn a_session_has_limits_too() {
    let host = Host::start();
    let nested = format!("<message to='bob@localhost'>{}", "<a>".repeat(100));
    let long = format!("<message to='bob@localhost'><body>{}", "x".repeat(300 << 10));
    for (number, stanza) in [nested, long].into_iter().enumerate() {
        let mut alice = host.new_user(&format!("alice{number}"));
        let _ = alice.send(&stanza);
        let end = alice.stream().connection().stream_error().expect("the server ends the stream");
        assert_eq!(end.as_deref(), Some("policy-violation"));
    }
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
fn a_stanza_before_authentication() {
    let host = Host::start();
    let stanzas =
        ["<message to='alice@localhost'/>", "<presence/>", "<iq type='get' id='1'><ping xmlns='urn:xmpp:ping'/></iq>"];
    for stanza in stanzas {
        assert_eq!(end_of(&host, &after_header(stanza)).as_deref(), Some("not-authorized"), "{stanza}"); // [X8]
        let mut stream = Connection::open(host.xmpp()).unwrap().begin(DOMAIN).unwrap().starttls().unwrap();
        stream.send(stanza).unwrap();
        let end = stream.connection().stream_error().unwrap();
        assert_eq!(end.as_deref(), Some("not-authorized"), "{stanza}");
    }
}

#[test]
fn a_silent_client_is_shown_out() {
    let host = Host::start();
    let started = Instant::now();
    let mut silent = Connection::open(host.xmpp()).unwrap();
    let mut slow = Connection::open(host.xmpp()).unwrap();
    slow.send(HEADER).unwrap();
    for mut connection in [slow, Connection::open(host.xmpp()).unwrap()] {
        loop {
            // A byte now and then does not prolong the time.
            let _ = connection.send(" ");
            match connection.receive_until(Instant::now() + Duration::from_secs(5)) {
                Ok(_) | Err(Error::TimedOut) => {}
                Err(_) => break,
            }
            assert!(started.elapsed() < Duration::from_secs(45), "still open");
        }
    }
    let end = silent.stream_error().unwrap();
    assert!(end.is_none() || end.as_deref() == Some("connection-timeout"), "{end:?}");
    assert!(started.elapsed() > Duration::from_secs(20), "shown out too early"); // [X9]
}

#[test]
fn what_is_pipelined_behind_starttls_is_dropped() {
    let host = Host::start();
    let mut connection = Connection::open(host.xmpp()).unwrap();
    let injected = "<iq type='get' id='injected'><ping xmlns='urn:xmpp:ping'/></iq>";
    connection.send(format!("{HEADER}<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>{injected}")).unwrap();
    // [X22] Either the server ends it at once, or the handshake fails, or nothing of what came before it counts inside it.
    loop {
        match connection.receive() {
            Ok(Incoming::Child(child)) if child.name() == "proceed" => break,
            Ok(Incoming::Child(child)) => assert_ne!(child.attr("id"), Some("injected"), "answered in the clear"),
            Ok(_) => {}
            Err(end) => return assert!(matches!(end, Error::Closed), "{end}"),
        }
    }
    if let Ok(secured) = connection.secure(DOMAIN) {
        let stream = secured.begin(DOMAIN).expect("the first thing inside TLS is the server's own header");
        assert_eq!(stream.features().name(), "features");
    }
}

#[test]
fn other_protocols_on_either_port() {
    let host = Host::start();
    let openings: [&[u8]; 3] = [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x00\x01\x02\xff\xfe", b"EHLO example.com\r\n"];
    for opening in openings {
        end_of(&host, opening); // [X25]
    }
    let answer = exchange(host.process().ready().http, HEADER);
    assert!(answer.as_ref().map_or(true, |answer| answer.status == 400), "{answer:?}");
    host.new_user("alice").settle().unwrap();
}

#[test]
fn an_account_has_ten_sessions() {
    let host = Host::start();
    host.add_user("alice");
    let mut sessions: Vec<_> = (0..10).map(|_| host.login("alice")).collect();
    let eleventh = tests::xmpp::login(host.xmpp(), "alice@localhost", &tests::host::password("alice"));
    assert!(eleventh.is_err(), "an eleventh session"); // [X20]
    sessions.iter_mut().for_each(|session| session.settle().unwrap());
}

#[test]
fn a_request_that_is_two() {
    let host = Host::with_presence();
    let address = host.process().ready().http;
    let smuggled = "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n";
    for head in [
        format!("Content-Length: {}\r\nTransfer-Encoding: chunked", smuggled.len() + 5),
        "Content-Length: 5\r\nContent-Length: 6".to_owned(),
        "Content-Length: +5".to_owned(),
        "Transfer-Encoding: xchunked".to_owned(),
    ] {
        let request = format!("POST /plugins/presence/status HTTP/1.1\r\nHost: x\r\n{head}\r\n\r\n0\r\n\r\n{smuggled}");
        let answer = exchange(address, request);
        assert!(answer.as_ref().map_or(true, |answer| answer.status < 500), "{head}: {answer:?}"); // [H22]
    }
    assert_eq!(host.http().get("/plugins/presence/status?type=text").status, 200);
}

#[test]
fn oversized_requests() {
    let host = Host::with_presence();
    let address = host.process().ready().http;
    let many = (0..500).map(|number| format!("X-{number}: y\r\n")).collect::<String>();
    let parameters = "a=b&".repeat(10_000);
    for request in [
        format!("GET /plugins/presence/status?jid={} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(64 << 10)),
        format!("GET /plugins/presence/status HTTP/1.1\r\nHost: x\r\n{many}\r\n"),
        format!("GET /plugins/presence/status?{parameters} HTTP/1.1\r\nHost: x\r\n\r\n"),
        format!("GET /plugins/presence/status HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n", "y".repeat(1 << 20)),
    ] {
        let answer = exchange(address, &request);
        assert!(answer.as_ref().map_or(true, |answer| answer.status < 500), "{answer:?}"); // [H23]
    }
    assert_eq!(host.http().get("/plugins/presence/status?type=text").status, 200);
}
