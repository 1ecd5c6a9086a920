//! What a request says, and in how many ways: query and form, repeated, empty, encoded, broken; and addresses in every spelling.

use tests::{
    artefacts::artefacts,
    host::Host,
    http::{Answer, encode, exchange},
    xmpp,
};

use super::{STATUS, ask, open_host, show};

/// A host on which alice's text is `here`.
fn with_alice() -> (Host, tests::xmpp::Session) {
    let host = open_host();
    let mut alice = host.new_user("alice");
    show(&mut alice, "away", "here");
    (host, alice)
}

/// GET with bytes in the query that no client would send as they are.
#[track_caller]
fn raw(host: &Host, query: &[u8]) -> Answer {
    let request = [format!("GET {STATUS}?").as_bytes(), query, b" HTTP/1.1\r\nHost: x\r\n\r\n"].concat();
    exchange(host.process().ready().http, request).expect("an answer")
}

#[test]
fn the_first_value_of_query_and_form_wins() {
    let (host, _alice) = with_alice();
    let post = |query: &str, form: &str| host.http().post(&format!("{STATUS}?{query}"), form);
    let shown = |answer: Answer| answer.text() == "here\n";
    assert!(shown(ask(&host, "jid=alice@localhost&jid=nobody@localhost&type=text&type=xml")));
    assert!(!shown(ask(&host, "jid=nobody@localhost&jid=alice@localhost&type=text")));
    assert!(shown(post("jid=alice@localhost&type=text", "jid=nobody@localhost&type=xml")));
    assert!(shown(post("type=text", "jid=alice@localhost&jid=nobody@localhost")));
    assert!(!shown(post("jid=&type=text", "jid=alice@localhost")), "an empty value is a value");
    assert!(shown(post("x=1", "type=text&type=xml&jid=alice%40localhost")));
    // A GET has no form, whatever it brings along.
    let body = "type=text";
    let head = "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 9";
    let request = format!("GET {STATUS}?jid=alice@localhost HTTP/1.1\r\nHost: x\r\n{head}\r\n\r\n{body}");
    let answer = exchange(host.process().ready().http, request).expect("an answer");
    assert_eq!(answer.header("content-type"), Some("image/gif"));
}

#[test]
fn every_parameter_may_come_by_post() {
    let (host, _alice) = with_alice();
    let post = |form: &str| host.http().post(STATUS, form);
    let icons = encode("http://icons.example/--IMAGE--");
    assert_eq!(post("jid=alice@localhost").header("content-type"), Some("image/gif"));
    let sent_on = post(&format!("jid=alice@localhost&images={icons}"));
    assert_eq!((sent_on.status, sent_on.header("location")), (302, Some("http://icons.example/away")));
    let own = post(&format!("jid=alice@localhost&away={}&images={icons}", encode("http://own.example/")));
    assert_eq!((own.status, own.header("location")), (302, Some("http://own.example/")));
    host.set("presence.visibility", "subscribed");
    assert_eq!(post("jid=alice@localhost&req_jid=ALICE@localhost/desk&type=text").text(), "here\n");
    assert_eq!(post("jid=alice@localhost&req_jid=bob@localhost&type=text").text(), "Unavailable\n");
}

/// Row H25: missing, empty, an array, not UTF-8, with NUL.
#[test]
fn a_jid_that_is_none_is_refused_like_any_other() {
    let (host, _alice) = with_alice();
    let refusal = ask(&host, "type=text").comparable();
    for query in [
        "&jid",
        "&jid=",
        "&jid[]=alice@localhost",
        "&jid%5B%5D=alice@localhost",
        "&JID=alice@localhost",
        "&jid=%FFalice@localhost",
        "&jid=alice%00@localhost",
        "&jid=alice@localhost%00",
        "&jid=alice@localhost%0d%0a",
        "&jid=%C0%AFalice@localhost",
        "&jid=%ED%A0%80@localhost",
        "&jid=alice",
        "&jid=@localhost",
        "&jid=alice@",
        "&jid=alice@@localhost",
        "&jid=alice@localhost/",
        "&jid=alice%20@localhost",
        "&jid=%3Calice%3E@localhost",
        "&jid=%2Fdesk",
        "&jid=%",
    ] {
        assert_eq!(ask(&host, &format!("type=text{query}")).comparable(), refusal, "{query}");
    }
}

/// Bytes beyond ASCII belong into a query encoded (RFC 3986 section 2.1), as browsers do. As they are, they make no request (RFC 9112 section 3).
#[test]
fn a_query_that_is_not_encoded_is_no_request() {
    let (host, _alice) = with_alice();
    for byte in 0x80..=0xFF {
        let refused = raw(&host, &[b"type=text&jid=alice@localhost&x=", &[byte][..]].concat());
        assert_eq!(refused.status, 400, "{byte:02X}: {refused:?}");
    }
    for query in ["type=text&jid=jürgen@localhost", "☃&type=text"] {
        assert_eq!(raw(&host, query.as_bytes()).status, 400, "{query}");
    }
    assert_eq!(ask(&host, "jid=alice@localhost&type=text&x=%C3%BC%FF").text(), "here\n");
}

#[test]
fn an_encoded_query_is_the_same_query() {
    let (host, _alice) = with_alice();
    for query in [
        "jid=alice%40localhost&type=text",
        "%6Aid=%61lice@localhost&t%79pe=text",
        "jid=alice@localhost&&&type=text&",
        "&jid=alice@localhost&=&type=text&x",
        "type=text&jid=alice@localhost/%F0%9F%98%80",
        "type=text&jid=alice@localhost%2Fdesk",
    ] {
        assert_eq!(ask(&host, query).text(), "here\n", "{query}");
    }
    assert_ne!(ask(&host, "jid=alice%2540localhost&type=text").text(), "here\n", "decoded once, not twice");
}

#[test]
fn addresses_are_normalised_before_they_are_looked_up() {
    let host = open_host();
    host.add_user("jürgen");
    let from = |jid: &str| {
        let answer = ask(&host, &format!("type=xml&jid={}", encode(jid)));
        assert!(answer.text().contains("type=\"unavailable\""), "{jid}: {answer:?}");
        assert!(answer.text().contains("from=\"jürgen@localhost\""), "{jid}: {answer:?}");
    };
    // Upper case, a combining diaeresis, and full-width letters (RFC 8265 section 3.3).
    ["jürgen@localhost", "JÜRGEN@LOCALHOST", "ju\u{308}rgen@localhost", "jürgen@localhost/Büro"]
        .into_iter()
        .for_each(from);
    let full_width = ask(&host, &format!("type=xml&jid={}", encode("ｊürgen@localhost")));
    assert!(full_width.text().contains("from=\"jürgen@localhost\""), "{full_width:?}");
    // The dot of the root is no part of a domain (RFC 7622 section 3.2).
    host.add_user("alice");
    for jid in ["alice@localhost.", "alice@LOCALHOST.", "Alice@localhost.", "alice@localhost./desk"] {
        let answer = ask(&host, &format!("type=xml&jid={jid}"));
        assert!(answer.text().contains("type=\"unavailable\" from=\"alice@localhost\""), "{jid}: {answer:?}");
    }
}

/// A label of another script has a form for the wire and one for the DNS, and both are the same domain (RFC 7622 section 3.2).
#[test]
fn a_domain_is_the_same_in_both_of_its_forms() {
    let domains = ["müller.example", "xn--mller-kva.example", "XN--MLLER-KVA.Example"];
    let mut host = Host::prepare();
    host.configure(&format!("domain = '{}'\n", domains[1]));
    host.drop_plugin(&artefacts().presence, "presence.so");
    host.run();
    host.set("presence.visibility", "anyone");
    for (user, domain) in ["alice", "bob", "carol"].into_iter().zip(domains) {
        let (jid, password) = (format!("{user}@{domain}"), format!("{user}'s password"));
        host.command_with_input(&["user", "add", &jid, "--password-stdin"], &password).succeeds();
        // The client names the server in its TLS handshake, where only the form of the DNS is one.
        let mut session = xmpp::login(host.xmpp(), &format!("{user}@{}", domains[1]), &password).unwrap();
        assert_eq!(session.bare_jid(), format!("{user}@{}", domains[0]));
        show(&mut session, "away", user);
        for domain in domains {
            let shown = ask(&host, &format!("type=xml&jid={}", encode(&format!("{user}@{domain}"))));
            let from = format!("<presence from=\"{user}@{}\">", domains[0]);
            assert!(shown.text().starts_with(&from), "{domain}: {shown:?}");
        }
    }
}
