//! Logging in and the first stanzas (RFC 6120 sections 4 to 8).

use std::fs;

use tests::{
    host::{DOMAIN, Host, password},
    xmpp::{self, Connection, Error, Mechanism, Session, Stream, ns, stanza_error},
};

/// A stream inside TLS, before authentication.
fn secured(host: &Host) -> Stream {
    Connection::open(host.xmpp()).unwrap().begin(DOMAIN).unwrap().starttls().unwrap()
}

#[test]
fn every_mechanism_logs_in() {
    let host = Host::start();
    host.add_user("alice");
    let scram = [Mechanism::ScramSha256, Mechanism::ScramSha1, Mechanism::ScramSha256Plus, Mechanism::ScramSha1Plus];
    for mechanism in scram.into_iter().chain([Mechanism::Plain]) {
        let stream = secured(&host).authenticate(mechanism, "alice", &password("alice"));
        let session =
            stream.and_then(|stream| stream.bind(None)).unwrap_or_else(|error| panic!("{mechanism:?}: {error}"));
        assert_eq!(session.bare_jid(), "alice@localhost");
    }
}

#[test]
fn tls_may_come_first() {
    let host = Host::start();
    host.add_user("alice");
    let stream = Connection::open(host.xmpp()).unwrap().secure(DOMAIN).unwrap().begin(DOMAIN).unwrap();
    stream.authenticate(Mechanism::ScramSha256, "alice", &password("alice")).unwrap().bind(None).unwrap();
}

#[test]
fn nothing_but_tls_is_offered_in_the_clear() {
    let host = Host::start();
    let stream = Connection::open(host.xmpp()).unwrap().begin(DOMAIN).unwrap();
    let starttls = stream.features().get_child("starttls", ns::TLS).expect("STARTTLS is offered");
    assert!(starttls.has_child("required", ns::TLS));
    assert_eq!(Mechanism::offered(stream.features()), [""; 0]);
    for attribute in ["id", "from", "version"] {
        assert!(
            stream.header().attr(attribute).is_some_and(|value| !value.is_empty()),
            "the header has no {attribute}"
        );
    }
}

#[test]
fn a_password_is_not_taken_in_the_clear() {
    let host = Host::start();
    host.add_user("alice");
    let mut stream = Connection::open(host.xmpp()).unwrap().begin(DOMAIN).unwrap();
    let outcome = stream.try_password(Mechanism::Plain, "alice", &password("alice"));
    assert!(matches!(outcome, Err(Error::Sasl(_) | Error::Stream(_))), "{outcome:?}");
}

#[test]
fn a_wrong_password_and_an_unknown_user_get_the_same_answer() {
    let host = Host::start();
    host.add_user("alice");
    for mechanism in [Mechanism::ScramSha256, Mechanism::ScramSha1, Mechanism::Plain] {
        for user in ["alice", "nobody"] {
            let outcome = secured(&host).try_password(mechanism, user, "wrong");
            let Err(Error::Sasl(condition)) = outcome else { panic!("{mechanism:?} of {user}: {outcome:?}") };
            assert_eq!(condition, "not-authorized", "{mechanism:?} of {user}");
        }
    }
}

#[test]
fn the_third_wrong_password_ends_the_stream() {
    let host = Host::start();
    host.add_user("alice");
    let mut stream = secured(&host);
    for _ in 0..3 {
        let outcome = stream.try_password(Mechanism::Plain, "alice", "wrong");
        assert!(matches!(outcome, Err(Error::Sasl(_))), "{outcome:?}");
    }
    stream.connection().stream_error().expect("the server closes the connection");
}

#[test]
fn a_second_try_may_succeed() {
    let host = Host::start();
    host.add_user("alice");
    let mut stream = secured(&host);
    stream.try_password(Mechanism::ScramSha256, "alice", "wrong").unwrap_err();
    let session = stream.authenticate(Mechanism::ScramSha1, "alice", &password("alice")).unwrap().bind(None).unwrap();
    assert_eq!(session.bare_jid(), "alice@localhost");
}

#[test]
fn who_has_no_account_is_let_in_only_where_that_is_wanted() {
    let mut host = Host::with_presence();
    host.set("presence.visibility", "anyone");
    let auth = format!("<auth xmlns='{}' mechanism='ANONYMOUS'/>", ns::SASL);
    let mut refused = secured(&host);
    assert!(!Mechanism::offered(refused.features()).contains(&"ANONYMOUS".to_owned()));
    refused.send(&auth).unwrap();
    assert!(refused.receive().unwrap().has_child("invalid-mechanism", ns::SASL));

    let config = host.folder().join("host.toml");
    fs::write(&config, "anonymous = true\n").unwrap();
    host.flag("--config", &config);
    host.crash_and_restart();
    let mut guest = anonymous(&host);
    guest.available("chat", "looking around").unwrap();
    guest.settle().unwrap();
    let shown = |jid: &str| host.http().get(&format!("/plugins/presence/status?type=xml&jid={jid}")).text().to_owned();
    let (guests, nobodys) = (shown(guest.bare_jid()), shown("nobody@localhost"));
    assert_eq!(guests.replace(guest.bare_jid(), "nobody@localhost"), nobodys, "the web knows nothing of it");
    // Nor has a guest a say in who sees whom.
    for query in [
        "<query xmlns='jabber:iq:register'><remove/></query>",
        "<command xmlns='http://jabber.org/protocol/commands' node='token'/>",
    ] {
        let refused = guest.request("set", "presence.localhost", query).unwrap();
        assert_eq!(stanza_error(&refused).as_deref(), Some("forbidden"), "{query}");
    }
    let mut alice = host.new_user("alice");
    guest.message(alice.jid(), "Is anybody there?").unwrap();
    let message = alice.expect(|stanza| stanza.name() == "message").unwrap();
    assert_eq!(message.attr("from"), Some(guest.jid()));
    assert_ne!(anonymous(&host).bare_jid(), guest.bare_jid());
}

/// Logs in without an account, with a trace that nobody keeps.
fn anonymous(host: &Host) -> Session {
    let mut stream = secured(host);
    assert!(Mechanism::offered(stream.features()).contains(&"ANONYMOUS".to_owned()));
    stream.send(&format!("<auth xmlns='{}' mechanism='ANONYMOUS'>c2lyaGM=</auth>", ns::SASL)).unwrap();
    assert_eq!(stream.receive().unwrap().name(), "success");
    stream.restart().unwrap().bind(None).unwrap()
}

#[test]
fn registering_is_neither_offered_nor_possible() {
    let host = Host::start();
    let mut stream = secured(&host);
    let features: Vec<_> = stream.features().children().map(minidom::Element::name).collect();
    assert_eq!(features, ["mechanisms", "sasl-channel-binding"]); // [X26]
    stream.send("<iq type='get' id='r1'><query xmlns='jabber:iq:register'/></iq>").unwrap();
    assert!(matches!(stream.receive(), Err(Error::Stream(condition)) if condition == "not-authorized"));

    let mut alice = host.new_user("alice");
    let register = "<query xmlns='jabber:iq:register'><username>mallory</username><password>x</password></query>";
    for to in [DOMAIN, ""] {
        let answer = alice.request("set", to, register).unwrap();
        assert_eq!(stanza_error(&answer).as_deref(), Some("not-allowed"));
    }
    assert!(!host.command(&["user", "list"]).succeeds().contains("mallory"));
}

#[test]
fn a_session_gets_the_resource_it_asks_for_or_one_of_its_own() {
    let host = Host::start();
    host.add_user("alice");
    let bind = |resource| {
        let stream = secured(&host).authenticate(Mechanism::ScramSha256, "alice", &password("alice"));
        stream.unwrap().bind(resource).unwrap()
    };
    assert_eq!(bind(Some("desk & chair")).jid(), "alice@localhost/desk & chair");
    let (one, other) = (bind(None), bind(None));
    assert!(one.jid().len() > "alice@localhost/".len());
    assert_ne!(one.jid(), other.jid());
}

#[test]
fn ping_and_discovery_are_answered() {
    let host = Host::start();
    let mut alice = host.new_user("alice");
    let pong = alice.request("get", DOMAIN, "<ping xmlns='urn:xmpp:ping'/>").unwrap();
    assert_eq!(pong.attr("type"), Some("result"));
    assert_eq!(pong.attr("from"), Some(DOMAIN));

    let answer = alice.request("get", DOMAIN, "<query xmlns='http://jabber.org/protocol/disco#info'/>").unwrap();
    let info = answer.get_child("query", ns::DISCO_INFO).expect("discovery tells something");
    let is_server = |identity: &minidom::Element| {
        identity.attr("category") == Some("server") && identity.attr("type") == Some("im")
    };
    assert!(info.children().any(is_server));
    for feature in [ns::PING, ns::DISCO_INFO] {
        assert!(info.children().any(|child| child.attr("var") == Some(feature)), "{feature} is not among the features");
    }
}

#[test]
fn an_unknown_request_is_refused_and_the_stream_goes_on() {
    let host = Host::start();
    let mut alice = host.new_user("alice");
    let answer = alice.request("get", DOMAIN, "<query xmlns='urn:example:nothing'/>").unwrap();
    assert_eq!(stanza_error(&answer).as_deref(), Some("service-unavailable"));
    alice.settle().unwrap();
}

#[test]
fn a_message_reaches_the_other_user() {
    let host = Host::start();
    let (mut alice, mut bob) = (host.new_user("alice"), host.new_user("bob"));
    bob.available("", "").unwrap();
    bob.settle().unwrap();
    alice.message("bob@localhost", "1 < 2 & \"so\" on").unwrap();
    let message = bob.expect(|stanza| stanza.name() == "message").unwrap();
    assert_eq!(message.attr("from"), Some(alice.jid()));
    assert_eq!(message.get_child("body", ns::CLIENT).unwrap().text(), "1 < 2 & \"so\" on");
}

#[test]
fn a_stream_is_closed_from_both_ends() {
    let host = Host::start();
    host.new_user("alice").close().unwrap();
}

/// XEP-0077 section 3.3.
/// Each is hashed four times.
#[test]
fn a_user_does_not_change_the_password_all_the_time() {
    let host = Host::start();
    let mut alice = host.new_user("alice");
    let change = "<query xmlns='jabber:iq:register'><username>alice</username><password>x</password></query>";
    for _ in 0..100 {
        alice.send(&format!("<iq type='set' id='password'>{change}</iq>")).unwrap();
    }
    let answer = |stanza: &minidom::Element| stanza.attr("id") == Some("password");
    let answers: Vec<_> = (0..100).map(|_| stanza_error(&alice.expect(answer).unwrap())).collect();
    let done = answers.iter().filter(|error| error.is_none()).count();
    assert!((20..60).contains(&done), "{done} were done");
    assert_eq!(answers[99].as_deref(), Some("policy-violation"));
}

#[test]
fn a_user_changes_the_own_password() {
    let host = Host::start();
    let mut alice = host.new_user("alice");
    let change = |password: &str| {
        format!("<query xmlns='jabber:iq:register'><username>alice</username><password>{password}</password></query>")
    };
    let refused = alice.request("set", DOMAIN, &change("")).unwrap();
    assert_eq!(stanza_error(&refused).as_deref(), Some("not-acceptable"));
    let changed = alice.request("set", DOMAIN, &change("new secret")).unwrap();
    assert_eq!(changed.attr("type"), Some("result"));
    alice.settle().unwrap();
    assert!(xmpp::login(host.xmpp(), "alice@localhost", &password("alice")).is_err(), "the old one is void");
    xmpp::login(host.xmpp(), "alice@localhost", "new secret").unwrap();
}
