//! Who is not logged in, and would like to be somebody.

use std::io::{Read, Write};

use base64::prelude::{BASE64_STANDARD, Engine};
use tests::{
    host::{DOMAIN, Host, password},
    xmpp::{Connection, Error, Incoming, Mechanism, Stream, ns},
};

use super::{HEADER, after_header, end_of};

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

/// A stream inside TLS, before authentication.
fn secured(host: &Host) -> Stream {
    Connection::open(host.xmpp()).unwrap().begin(DOMAIN).unwrap().starttls().unwrap()
}

#[test]
fn garbage_in_place_of_a_login() {
    let host = Host::start();
    host.add_user("alice");
    let auth =
        |mechanism: &str, text: &str| format!("<auth xmlns='{}' mechanism='{mechanism}'>{text}</auth>", ns::SASL);
    let encoded = |mechanism: &str, message: &str| auth(mechanism, &BASE64_STANDARD.encode(message));
    let secret = password("alice");
    let cases = [
        (auth("PLAIN", "#"), "incorrect-encoding"),
        (auth("PLAIN", "YQ"), "incorrect-encoding"),
        (auth("PLAIN", " YQ== "), "incorrect-encoding"),
        (auth("PLAIN", "/w=="), "malformed-request"),
        (auth("PLAIN", "="), "malformed-request"),
        (encoded("PLAIN", "\0\0\0\0\0"), "malformed-request"),
        (encoded("PLAIN", &format!("bob@localhost\0alice\0{secret}")), "invalid-authzid"),
        (encoded("PLAIN", &format!("alice@elsewhere\0alice\0{secret}")), "invalid-authzid"),
        (encoded("PLAIN", &format!("\0a@b\0{secret}")), "not-authorized"),
        (encoded("PLAIN", &format!("\0{}\0{secret}", "a".repeat(2_000))), "not-authorized"),
        (auth("plain", "="), "invalid-mechanism"),
        (auth("EXTERNAL", "="), "invalid-mechanism"),
        (auth("ANONYMOUS", "="), "invalid-mechanism"),
        (format!("<auth xmlns='{}'>YQ==</auth>", ns::SASL), "invalid-mechanism"),
        (format!("<response xmlns='{}'>YQ==</response>", ns::SASL), "malformed-request"),
        (format!("<success xmlns='{}'/>", ns::SASL), "malformed-request"),
        (encoded("SCRAM-SHA-256", "n,,n=alice"), "malformed-request"),
        (encoded("SCRAM-SHA-256", "n,a=bob@localhost,n=alice,r=x"), "invalid-authzid"),
        (encoded("SCRAM-SHA-256", "n,,m=1,n=alice,r=x"), "malformed-request"),
        (encoded("SCRAM-SHA-256-PLUS", "p=tls-unique,,n=alice,r=x"), "malformed-request"),
        // It was offered: somebody on the way may have hidden that.
        (encoded("SCRAM-SHA-256", "y,,n=alice,r=x"), "not-authorized"),
    ];
    for tries in cases.chunks(3) {
        let mut stream = secured(&host);
        for (said, condition) in tries {
            stream.send(said).unwrap();
            let answer = stream.receive().unwrap();
            assert!(answer.is("failure", ns::SASL) && answer.has_child(condition, ns::SASL), "{said}: {answer:?}"); // [X12]
        }
        assert_eq!(stream.connection().stream_error().unwrap().as_deref(), Some("policy-violation"));
    }
    let mut stream = secured(&host);
    // The limit is passed long before its end.
    let _ = stream.send(&auth("PLAIN", &"A".repeat(1 << 20)));
    assert!(matches!(stream.connection().stream_error().unwrap().as_deref(), Some("policy-violation") | None));
    host.login("alice").settle().unwrap();
}

#[test]
fn an_exchange_is_not_two() {
    let host = Host::start();
    host.add_user("alice");
    let begin = |stream: &mut Stream| {
        let first = BASE64_STANDARD.encode("n,,n=alice,r=x");
        stream.send(&format!("<auth xmlns='{}' mechanism='SCRAM-SHA-1'>{first}</auth>", ns::SASL)).unwrap();
        assert_eq!(stream.receive().unwrap().name(), "challenge");
    };
    let mut stream = secured(&host);
    for (said, condition) in [
        (format!("<auth xmlns='{}' mechanism='PLAIN'>=</auth>", ns::SASL), "malformed-request"),
        (format!("<abort xmlns='{}'/>", ns::SASL), "aborted"),
        (format!("<response xmlns='{}'>Yz1iaXdz</response>", ns::SASL), "malformed-request"),
    ] {
        begin(&mut stream);
        stream.send(&said).unwrap();
        assert!(stream.receive().unwrap().has_child(condition, ns::SASL), "{said}"); // [X12]
    }
}

#[test]
fn neither_compression_nor_old_tls() {
    let host = Host::start();
    host.add_user("alice");
    let clear = Connection::open(host.xmpp()).unwrap().begin(DOMAIN).unwrap();
    let names = |stream: &Stream| stream.features().children().map(|it| it.name().to_owned()).collect::<Vec<_>>();
    assert_eq!(names(&clear), ["starttls"]);
    let mut secured = clear.starttls().unwrap();
    assert!(!names(&secured).contains(&"compression".to_owned())); // [X22]
    secured.try_password(Mechanism::Plain, "alice", &password("alice")).unwrap();
    let bound = secured.restart().unwrap();
    assert!(names(&bound).contains(&"bind".to_owned()) && !names(&bound).contains(&"compression".to_owned()));

    // A ClientHello of TLS 1.1, with two suites of its time.
    let mut hello = vec![0x16, 3, 2, 0, 47, 1, 0, 0, 43, 3, 2];
    hello.extend([7; 32]);
    hello.extend([0, 0, 4, 0xc0, 0x13, 0, 0x2f, 1, 0]);
    let mut socket = std::net::TcpStream::connect(host.xmpp()).unwrap();
    socket.write_all(&hello).unwrap();
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).unwrap();
    let alert = 0x15;
    assert_eq!(answer.first(), Some(&alert), "{answer:?}");
}
