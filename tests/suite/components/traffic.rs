//! What users and a program that is connected as a component send each other.

use minidom::Element;
use tests::{
    artefacts::artefacts,
    host::{Host, PATIENCE},
    xmpp::{Component, Session, ns, stanza_error},
};

const GATE: &str = "gate.localhost";
const SECRET: &str = "sesame";

fn start() -> (Host, Session, Component) {
    let mut host = Host::prepare();
    host.allow_components(&[GATE], SECRET);
    host.run();
    let (ann, gate) = (host.new_user("ann"), host.component(GATE, SECRET));
    (host, ann, gate)
}

/// The body of a message on a component's stream.
fn body(message: &Element) -> String {
    message.get_child("body", ns::COMPONENT).map(Element::text).unwrap_or_default()
}

#[test]
fn messages_and_requests_go_both_ways() {
    let (host, mut ann, mut gate) = start();
    ann.message("tim@gate.localhost/pda", "hi <there>").unwrap();
    let message = gate.expect(|stanza| stanza.name() == "message").unwrap();
    assert!(message.has_ns(ns::COMPONENT), "{message:?}");
    assert_eq!((message.attr("from"), message.attr("to")), (Some(ann.jid()), Some("tim@gate.localhost/pda")));
    assert_eq!(body(&message), "hi <there>");
    let to = ann.jid().to_owned();
    gate.send(&format!("<message type='chat' from='tim@gate.localhost/pda' to='{to}'><body>yo</body></message>"))
        .unwrap();
    let answer = ann.expect(|stanza| stanza.attr("from") == Some("tim@gate.localhost/pda")).unwrap();
    assert_eq!(answer.get_child("body", ns::CLIENT).map(Element::text).as_deref(), Some("yo"));

    ann.send(&format!("<iq type='get' id='v' to='{GATE}'><query xmlns='jabber:iq:version'/></iq>")).unwrap();
    let request = gate.expect(|stanza| stanza.name() == "iq").unwrap();
    assert!(request.has_child("query", "jabber:iq:version"), "{request:?}");
    gate.send(&format!("<iq type='result' id='v' from='{GATE}' to='{to}'/>")).unwrap();
    let answer = ann.expect(|stanza| stanza.attr("id") == Some("v")).unwrap();
    assert_eq!((answer.attr("type"), answer.attr("from")), (Some("result"), Some(GATE)));

    // Who is offline finds it at the next login.
    host.add_user("bob");
    gate.send(&format!("<message from='{GATE}' to='bob@localhost'><body>later</body></message>")).unwrap();
    gate.settle("localhost").unwrap();
    let mut bob = host.login("bob");
    bob.available("", "").unwrap();
    let waited = bob.expect(|stanza| stanza.name() == "message").unwrap();
    assert_eq!(waited.attr("from"), Some(GATE));
}

#[test]
fn a_component_is_told_what_can_not_be_delivered() {
    let (_host, _ann, mut gate) = start();
    for (to, expected) in [
        ("nobody@localhost", "service-unavailable"),
        ("ann@localhost/nowhere", "service-unavailable"),
        ("localhost", "service-unavailable"),
        ("else.where", "remote-server-not-found"),
        ("@", "jid-malformed"),
    ] {
        gate.send(&format!("<message from='tim@{GATE}' to='{to}'/>")).unwrap();
        let back = gate.expect(|stanza| stanza.attr("type") == Some("error")).unwrap();
        let error = back.get_child("error", ns::COMPONENT).expect("an error");
        assert!(error.has_child(expected, ns::STANZA_ERRORS), "{to}: {back:?}");
        assert_eq!(back.attr("to"), Some("tim@gate.localhost"));
    }
}

/// Row X13: a stanza in the name of others ends the stream, and arrives nowhere.
#[test]
fn a_component_in_the_name_of_others_is_cut_off() {
    let (host, mut ann, gate) = start();
    drop(gate);
    ann.available("away", "").unwrap();
    for from in ["from='bob@localhost'", "from='localhost'", "from='x.gate.localhost'", "from='ann@localhost/desk'", ""]
    {
        let mut gate = tests::wait::until(PATIENCE, "the address is free", || {
            Component::connect(host.process().ready().component.unwrap(), GATE, SECRET).ok()
        });
        gate.send(&format!("<message {from} to='{}'><body>forged</body></message>", ann.jid())).unwrap();
        assert_eq!(gate.connection().stream_error().unwrap().as_deref(), Some("invalid-from"), "{from}");
    }
    let arrived = ann.arrived().unwrap();
    assert!(arrived.iter().all(|stanza| stanza.name() != "message"), "{arrived:?}");
}

#[test]
fn users_and_components_see_each_other() {
    let (_host, mut ann, mut gate) = start();
    ann.roster().unwrap();
    ann.available("", "").unwrap();
    ann.subscription("subscribe", "tim@gate.localhost").unwrap();
    let request = gate.expect_presence("subscribe").unwrap();
    assert_eq!((request.attr("from"), request.attr("to")), (Some("ann@localhost"), Some("tim@gate.localhost")));
    gate.send("<presence type='subscribed' from='tim@gate.localhost' to='ann@localhost'/>").unwrap();
    gate.send("<presence from='tim@gate.localhost/pda' to='ann@localhost'><show>away</show></presence>").unwrap();
    gate.send("<presence type='subscribe' from='tim@gate.localhost' to='ann@localhost'/>").unwrap();
    let seen = ann.expect_presence("", "tim@gate.localhost/pda").unwrap();
    assert_eq!(seen.get_child("show", ns::CLIENT).map(Element::text).as_deref(), Some("away"));
    ann.expect_presence("subscribe", "tim@gate.localhost").unwrap();
    ann.subscription("subscribed", "tim@gate.localhost").unwrap();
    gate.expect_presence("subscribed").unwrap();
    let shown = gate.expect_presence("").unwrap();
    assert_eq!((shown.attr("from"), shown.attr("to")), (Some(ann.jid()), Some("tim@gate.localhost")));
    ann.available("dnd", "").unwrap();
    let shown = gate.expect_presence("").unwrap();
    assert_eq!(shown.get_child("show", ns::COMPONENT).map(Element::text).as_deref(), Some("dnd"));
    drop(ann);
    gate.expect_presence("unavailable").unwrap();
}

/// A program and a plugin are two addresses like any others.
#[test]
fn a_component_and_a_plugin_talk() {
    let (host, _ann, mut gate) = start();
    host.drop_plugin(artefacts().fixture("echoes"), "echo.so");
    host.until_version("echo", "1.0.0");
    gate.send(&format!("<message from='tim@{GATE}' to='echo.localhost'><body>hello</body></message>")).unwrap();
    let answer = gate.expect(|stanza| stanza.name() == "message").unwrap();
    assert_eq!(body(&answer), "this is build 1.0.0: hello from tim@gate.localhost");
}

#[test]
fn a_component_that_went_away_can_not_be_found() {
    let (host, mut ann, gate) = start();
    let mark = host.process().log_mark();
    drop(gate);
    host.process().until_logged(mark, PATIENCE, |line| line.contains("component gate.localhost is gone"));
    let answer = ann.request("get", GATE, "<ping xmlns='urn:xmpp:ping'/>").unwrap();
    assert_eq!(stanza_error(&answer).as_deref(), Some("remote-server-not-found"));
}
