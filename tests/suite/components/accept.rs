//! Who is let in as a component, and for how long (XEP-0114 section 3).

use std::net::SocketAddr;

use rustix::process::Signal;
use tests::{
    artefacts::artefacts,
    host::{Host, PATIENCE},
    xmpp::{Component, Connection, Error, Incoming, handshake, ns},
};

const GATE: &str = "gate.localhost";
const SECRET: &str = "sesame-6f1b";

fn host_with_gate() -> Host {
    let mut host = Host::prepare();
    host.allow_components(&[GATE], SECRET);
    host.run();
    host
}

fn listener(host: &Host) -> SocketAddr {
    host.process().ready().component.expect("components are allowed")
}

/// The stream error with which it ends.
#[track_caller]
fn condition(error: Option<Error>) -> String {
    match error {
        Some(Error::Stream(condition)) => condition,
        other => panic!("no stream error but {other:?}"),
    }
}

#[test]
fn without_a_word_in_the_configuration_there_is_no_listener() {
    assert_eq!(Host::start().process().ready().component, None);
}

#[test]
fn the_header_names_the_component_and_the_stream() {
    let host = host_with_gate();
    let mut connection = Connection::open(listener(&host)).unwrap();
    connection
        .send(format!("<stream:stream xmlns='{}' xmlns:stream='{}' to='Gate.Localhost'>", ns::COMPONENT, ns::STREAM))
        .unwrap();
    let Incoming::Header(header) = connection.receive().unwrap() else { panic!("no header") };
    assert_eq!((header.attr("from"), header.attr("version")), (Some(GATE), None));
    let id = header.attr("id").expect("an id").to_owned();
    assert!(id.len() >= 16, "{id} can be guessed");
    connection.send(handshake(&id, SECRET)).unwrap();
    let Incoming::Child(answer) = connection.receive().unwrap() else { panic!("no answer") };
    assert!(answer.is("handshake", ns::COMPONENT) && answer.nodes().next().is_none(), "{answer:?}");
}

#[test]
fn whoever_does_not_know_the_secret_is_shown_out() {
    let host = host_with_gate();
    let failed = |domain: &str, secret: &str| condition(Component::connect(listener(&host), domain, secret).err());
    assert_eq!(failed(GATE, "sesame"), "not-authorized");
    assert_eq!(failed(GATE, ""), "not-authorized");
    for domain in ["other.localhost", "localhost", "gate@gate.localhost", "gate.localhost/x", "@", ""] {
        assert_eq!(failed(domain, SECRET), "host-unknown", "{domain}");
    }
    // A proof is good for one stream: the next one has another id.
    let (mut one, mut other) = (Connection::open(listener(&host)).unwrap(), Connection::open(listener(&host)).unwrap());
    let id = Component::open(&mut one, GATE).unwrap();
    Component::open(&mut other, GATE).unwrap();
    other.send(handshake(&id, SECRET)).unwrap();
    assert_eq!(other.stream_error().unwrap().as_deref(), Some("not-authorized"));
    let log = host.process().log();
    assert!(log.contains("wrong secret") && !log.contains(SECRET), "{log}");
}

#[test]
fn what_is_no_component_is_told_so() {
    let host = host_with_gate();
    let header =
        |namespace: &str| format!("<stream:stream xmlns='{namespace}' xmlns:stream='{}' to='{GATE}'>", ns::STREAM);
    let open = header(ns::COMPONENT);
    for (said, expected) in [
        (header(ns::CLIENT), "invalid-namespace"),
        (format!("{open}<message from='{GATE}' to='ann@localhost'/>"), "not-authorized"),
        (format!("{open}<handshake xmlns='other'/>"), "not-authorized"),
        (format!("<!DOCTYPE x>{open}"), "restricted-xml"),
        ("GET / HTTP/1.1\r\n\r\n".to_owned(), "not-well-formed"),
        (format!("{open}<handshake>{}", "0".repeat(10_000)), "policy-violation"),
    ] {
        let mut connection = Connection::open(listener(&host)).unwrap();
        connection.send(&said).unwrap();
        assert_eq!(connection.stream_error().unwrap().as_deref(), Some(expected), "{said:.80}");
    }
}

#[test]
fn an_address_is_that_of_the_first_to_come() {
    let mut host = Host::prepare();
    host.allow_components(&["echo.localhost"], SECRET);
    host.run();
    let first = host.component("echo.localhost", SECRET);
    let second = || Component::connect(listener(&host), "echo.localhost", SECRET);
    assert_eq!(condition(second().err()), "conflict");
    drop(first);
    tests::wait::until(PATIENCE, "the address is free", || second().ok());

    // A plugin in service has its address, too.
    host.drop_plugin(artefacts().fixture("echoes"), "echo.so");
    host.until_version("echo", "1.0.0");
    assert_eq!(condition(second().err()), "conflict");
}

/// Limits as for clients: size and depth of a stanza. But not its speed: it carries the traffic of many.
#[test]
fn a_component_has_the_limits_of_a_client_but_for_its_speed() {
    let host = host_with_gate();
    let mut ann = host.new_user("ann");
    let deep = format!("{}{}", "<a>".repeat(64), "</a>".repeat(64));
    let large = format!("<body>{}</body>", "x".repeat(256 << 10));
    for content in [deep, large] {
        let mut gate = host.component(GATE, SECRET);
        let message = format!("<message from='{GATE}' to='ann@localhost'>{content}</message>");
        gate.send(&message).unwrap();
        assert_eq!(gate.connection().stream_error().unwrap().as_deref(), Some("policy-violation"));
    }
    let mut gate = host.component(GATE, SECRET);
    let body = "x".repeat(200 << 10);
    for _ in 0..8 {
        gate.send(&format!("<message from='{GATE}' to='{}'><body>{body}</body></message>", ann.jid())).unwrap();
        ann.expect(|stanza| stanza.name() == "message" && stanza.attr("from") == Some(GATE)).unwrap();
    }
}

#[test]
fn a_hang_up_takes_new_secrets_and_shows_out_who_is_there_by_an_old_one() {
    let mut host = host_with_gate();
    let mut gate = host.component(GATE, SECRET);
    let mark = host.process().log_mark();
    host.allow_components(&[GATE], "another-77e0");
    host.process().signal(Signal::HUP);
    assert_eq!(gate.connection().stream_error().unwrap().as_deref(), Some("not-authorized"));
    let told = host.process().until_logged(mark, PATIENCE, |line| line.contains("reloaded:"));
    assert!(told.contains("the secrets of components changed"), "{told}");
    assert_eq!(condition(Component::connect(listener(&host), GATE, SECRET).err()), "not-authorized");
    let mut gate = host.component(GATE, "another-77e0");

    host.allow_components(&["other.localhost"], SECRET);
    host.process().signal(Signal::HUP);
    assert_eq!(gate.connection().stream_error().unwrap().as_deref(), Some("host-gone"));
    drop(host.component("other.localhost", SECRET));
    let log = host.process().log();
    assert!(!log.contains(SECRET) && !log.contains("another-77e0"), "{log}");
}

#[test]
fn a_component_that_takes_its_time_has_to_know_the_secret_that_holds_by_then() {
    let mut host = host_with_gate();
    let open = || {
        let mut connection = Connection::open(listener(&host)).unwrap();
        let id = Component::open(&mut connection, GATE).unwrap();
        (connection, id)
    };
    let [(mut former, former_id), (mut current, current_id)] = [open(), open()];
    let mark = host.process().log_mark();
    host.allow_components(&[GATE], "another-77e0");
    host.process().signal(Signal::HUP);
    host.process().until_logged(mark, PATIENCE, |line| line.contains("reloaded:"));
    former.send(handshake(&former_id, SECRET)).unwrap();
    assert_eq!(former.stream_error().unwrap().as_deref(), Some("not-authorized"));
    current.send(handshake(&current_id, "another-77e0")).unwrap();
    let Incoming::Child(answer) = current.receive().unwrap() else { panic!("no answer") };
    assert!(answer.is("handshake", ns::COMPONENT), "{answer:?}");
}

#[test]
fn a_component_is_told_when_the_server_goes_down() {
    let mut host = host_with_gate();
    let mut gate = host.component(GATE, SECRET);
    assert_eq!(host.terminate(), Some(0));
    assert_eq!(gate.connection().stream_error().unwrap().as_deref(), Some("system-shutdown"));
}
