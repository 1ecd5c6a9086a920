//! The service at `presence.localhost`, by stanzas on the wire. That forms are filled in right is told by the plugin's own tests, and by slixmpp.

use minidom::Element;
use tests::xmpp::{Session, ns, stanza_error};

use super::{SERVICE, alice_away, say, state};

const COMMANDS: &str = "http://jabber.org/protocol/commands";
const DATA: &str = "jabber:x:data";

#[track_caller]
fn command(session: &mut Session, attributes: &str, form: &str) -> Element {
    let payload = format!("<command xmlns='{COMMANDS}' {attributes}>{form}</command>");
    let answer = session.request("set", SERVICE, &payload).unwrap();
    assert_eq!(answer.attr("type"), Some("result"), "{answer:?}");
    answer.get_child("command", COMMANDS).unwrap().clone()
}

#[test]
fn the_server_lists_the_service_and_the_service_its_commands() {
    let (_host, mut alice) = alice_away("anyone");
    let items = |session: &mut Session, of: &str, node: &str| -> Vec<String> {
        let query = format!("<query xmlns='http://jabber.org/protocol/disco#items' {node}/>");
        let answer = session.request("get", of, &query).unwrap();
        let query = answer.children().next().unwrap();
        query.children().map(|item| item.attr("node").or(item.attr("jid")).unwrap().to_owned()).collect()
    };
    assert!(items(&mut alice, "localhost", "").contains(&SERVICE.to_owned()));
    let commands = items(&mut alice, SERVICE, &format!("node='{COMMANDS}'"));
    assert_eq!(commands, ["visibility", "token", "tokens", "address", "addresses"]);
}

#[test]
fn help_names_every_line_that_is_obeyed() {
    let (_host, mut alice) = alice_away("anyone");
    let help = say(&mut alice, "help");
    for line in ["show", "who ", "what ", "token", "tokens", "address", "addresses", "revoke ", "forget"] {
        assert!(help.lines().any(|told| told.trim_start().starts_with(line)), "{line}: {help}");
    }
    assert!(say(&mut alice, "good morning").contains("Write \"help\""));
}

#[test]
fn a_choice_by_command_is_in_force_when_it_is_completed() {
    let (host, mut alice) = alice_away("anyone");
    assert_eq!(state(&host, ""), "away");
    let shown = command(&mut alice, "node='visibility' action='execute'", "");
    let session = shown.attr("sessionid").unwrap().to_owned();
    assert_eq!(shown.attr("status"), Some("executing"));
    let field = "<field var='who'><value>subscribers</value></field>";
    let filled = format!("<x xmlns='{DATA}' type='submit'>{field}</x>");
    let done = command(&mut alice, &format!("node='visibility' sessionid='{session}' action='complete'"), &filled);
    assert_eq!(done.attr("status"), Some("completed"));
    assert_eq!((state(&host, ""), state(&host, "&req_jid=alice@localhost")), ("forbidden".into(), "away".into()));
}

/// XEP-0077.
#[test]
fn a_choice_can_be_made_and_forgotten_by_registration() {
    let (host, mut alice) = alice_away("anyone");
    let set = |session: &mut Session, payload: &str| {
        let answer = session.request("set", SERVICE, &format!("<query xmlns='jabber:iq:register'>{payload}</query>"));
        assert_eq!(answer.unwrap().attr("type"), Some("result"), "{payload}");
    };
    let form = "<x xmlns='jabber:x:data' type='submit'><field var='who'><value>nobody</value></field></x>";
    set(&mut alice, form);
    assert_eq!(state(&host, ""), "forbidden");
    let shown = alice.request("get", SERVICE, "<query xmlns='jabber:iq:register'/>").unwrap();
    assert!(shown.children().next().unwrap().has_child("registered", "jabber:iq:register"));
    set(&mut alice, "<remove/>");
    assert_eq!(state(&host, ""), "away");
}

/// RFC 6121 section 3.1: the service is a contact that is always there.
#[test]
fn who_subscribes_to_the_service_sees_it_available_until_the_end_of_that() {
    let (_host, mut alice) = alice_away("anyone");
    // Only then are its answers sent to this client (section 2.2).
    alice.roster().unwrap();
    alice.subscription("subscribe", SERVICE).unwrap();
    alice.expect_presence("subscribed", SERVICE).unwrap();
    alice.expect_presence("", SERVICE).unwrap();
    let item = alice.roster().unwrap().into_iter().find(|item| item.jid == SERVICE).unwrap();
    assert_eq!(item.subscription, "to");
    alice.subscription("unsubscribe", SERVICE).unwrap();
    alice.expect_presence("unavailable", SERVICE).unwrap();
}

#[test]
fn a_request_that_is_none_of_the_services_is_answered_too() {
    let (_host, mut alice) = alice_away("anyone");
    for (payload, expected) in [
        ("<query xmlns='jabber:iq:version'/>", "service-unavailable"),
        ("<query xmlns='jabber:iq:roster'/>", "service-unavailable"),
        ("<query xmlns='http://jabber.org/protocol/disco#items' node='x'/>", "item-not-found"),
    ] {
        let answer = alice.request("get", SERVICE, payload).unwrap();
        assert_eq!(stanza_error(&answer).as_deref(), Some(expected), "{payload}");
    }
    let pinged = alice.request("get", SERVICE, &format!("<ping xmlns='{}'/>", ns::PING)).unwrap();
    assert_eq!(pinged.attr("type"), Some("result"));
}

/// Whatever stands in a message, the answer is one that the server sends. Of its thread it has the name and the parent (XEP-0201).
#[test]
fn a_message_with_an_odd_thread_is_answered() {
    let (_host, mut alice) = alice_away("anyone");
    for (thread, named) in [
        ("<thread parent='e0'>t</thread>", "t"),
        ("<thread xmlns:p='urn:p' p:parent='e1'>t</thread>", "t"),
        ("<thread>t<p:x xmlns:p='urn:p' p:y='1'/><xml:z/></thread>", "t"),
        ("<thread>&lt;&amp;</thread>", "<&"),
    ] {
        alice.send(&format!("<message to='{SERVICE}'><body>show</body>{thread}</message>")).unwrap();
        let answer = alice.expect(|stanza| stanza.attr("from") == Some(SERVICE)).unwrap();
        let answered = answer.get_child("thread", ns::CLIENT).unwrap();
        assert_eq!((answered.text().as_str(), answered.children().count()), (named, 0), "{thread}");
        assert_eq!(answered.attr("parent"), thread.contains(" parent").then_some("e0"), "{thread}");
    }
}
