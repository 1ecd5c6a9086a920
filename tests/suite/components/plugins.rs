//! The address of a plugin: what users and the plugin send each other, and whose it is while versions come and go.

use std::fs;

use minidom::Element;
use tests::{
    artefacts::artefacts,
    host::{Host, PATIENCE},
    plugin_file::PluginFile,
    wait,
    xmpp::{Session, ns, stanza_error},
};

const ECHO: &str = "echo.localhost";

fn echoes(version: &str) -> PluginFile {
    PluginFile::read(artefacts().fixture("echoes")).with_build(version)
}

/// A running host with the echo in service.
fn host_with_echo() -> Host {
    let mut host = Host::prepare();
    echoes("1.0.0").write(&host.plugins(), "echo.so");
    host.run();
    host
}

fn body(message: &Element) -> String {
    message.get_child("body", ns::CLIENT).map(Element::text).unwrap_or_default()
}

/// The next message from an address.
#[track_caller]
fn hears(user: &mut Session, from: &str) -> String {
    let message = user.expect(|stanza| stanza.name() == "message" && stanza.attr("from") == Some(from));
    let message = message.unwrap();
    assert_eq!(message.attr("type"), Some("chat"), "{message:?}");
    body(&message)
}

#[test]
fn users_and_a_plugin_write_to_each_other() {
    let host = host_with_echo();
    assert_eq!(host.http().get("/plugins/echo/address").text(), ECHO);
    let mut ann = host.new_user("ann");
    let sender = ann.jid().to_owned();
    ann.message("Echo.Localhost", "hello").unwrap();
    assert_eq!(hears(&mut ann, ECHO), format!("this is build 1.0.0: hello from {sender}"));
    // Every address at its domain is the plugin's.
    ann.message("bot@echo.localhost/1", "you there").unwrap();
    assert_eq!(hears(&mut ann, "bot@echo.localhost/1"), format!("this is build 1.0.0: you there from {sender}"));
    let pong = ann.request("get", ECHO, "<ping xmlns='urn:xmpp:ping'/>").unwrap();
    assert_eq!((pong.attr("type"), pong.attr("from")), (Some("result"), Some(ECHO)));
    let log = host.process().log();
    assert!(!log.contains("nobody@localhost"), "what the trial sent is told of: {log}");
}

#[test]
fn the_server_lists_the_addresses_in_service() {
    let host = host_with_echo();
    let mut ann = host.new_user("ann");
    let items = |ann: &mut Session| {
        let answer =
            ann.request("get", "localhost", "<query xmlns='http://jabber.org/protocol/disco#items'/>").unwrap();
        let query = answer.children().next().expect("a result has its query").clone();
        query.children().map(|item| item.attr("jid").unwrap_or_default().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(items(&mut ann), [ECHO]);
    host.command(&["plugin", "disable", "echo"]).succeeds();
    assert_eq!(items(&mut ann), Vec::<String>::new());
}

#[test]
fn an_address_that_nobody_has_any_more_can_not_be_found() {
    let host = host_with_echo();
    let mut ann = host.new_user("ann");
    fs::remove_file(host.plugins().join("echo.so")).unwrap();
    wait::until(PATIENCE, "the routes are gone", || {
        (host.http().get("/plugins/echo/address").status == 404).then_some(())
    });
    for address in
        [ECHO, "bot@echo.localhost", "hello.localhost", "echo.elsewhere", "xecho.localhost", "localhost.echo"]
    {
        ann.message(address, "hello").unwrap();
        let back = ann.expect(|stanza| stanza.name() == "message" && stanza.attr("from") == Some(address)).unwrap();
        assert_eq!(stanza_error(&back).as_deref(), Some("remote-server-not-found"), "{address}");
        let back = ann.request("get", address, "<ping xmlns='urn:xmpp:ping'/>").unwrap();
        assert_eq!(stanza_error(&back).as_deref(), Some("remote-server-not-found"), "{address}");
    }
}

/// A plugin without `component` among its needs has no address, whatever it implements.
#[test]
fn who_did_not_ask_for_an_address_has_none() {
    let mut host = Host::prepare();
    PluginFile::hello("1.0.0").write(&host.plugins(), "hello.so");
    host.run();
    let mut ann = host.new_user("ann");
    let back = ann.request("get", "hello.localhost", "<ping xmlns='urn:xmpp:ping'/>").unwrap();
    assert_eq!(stanza_error(&back).as_deref(), Some("remote-server-not-found"));
}

/// Row X13: a plugin speaks in the name of its own addresses and no other.
#[test]
fn a_plugin_can_not_speak_in_the_name_of_others() {
    let host = host_with_echo();
    let mut ann = host.new_user("ann");
    let forged = ["bob@localhost", "localhost", "ann@localhost/desk", "hello.localhost", "a.echo.localhost", "echo"];
    for name in forged {
        ann.message(ECHO, &format!("as {name}")).unwrap();
        assert_eq!(hears(&mut ann, ECHO), "refused", "{name}");
    }
    ann.message(ECHO, "as bot@echo.localhost/x").unwrap();
    assert_eq!(hears(&mut ann, "bot@echo.localhost/x"), "forged");
    let all = ann.arrived().unwrap();
    let senders: Vec<_> =
        all.iter().filter_map(|stanza| stanza.attr("from")).filter(|from| *from != "localhost").collect();
    assert!(senders.iter().all(|from| *from == ECHO), "{senders:?}");
}

#[test]
fn a_panic_ends_one_stanza_and_nothing_else() {
    let host = host_with_echo();
    let mut ann = host.new_user("ann");
    let mark = host.process().log_mark();
    ann.message(ECHO, "panic").unwrap();
    ann.message(ECHO, "still there").unwrap();
    assert!(hears(&mut ann, ECHO).contains("still there"));
    host.process().until_logged(mark, PATIENCE, |line| line.contains("stanza panicked: as asked"));
}

/// What arrived before the takeover is still handled by the version that it went to, and what comes after goes to the new one.
#[test]
fn nothing_is_lost_when_a_version_takes_over() {
    const QUEUED: usize = 50;
    let host = host_with_echo();
    let mut ann = host.new_user("ann");
    let gate = host.folder().join("gate");
    ann.message(ECHO, &format!("wait {}", gate.display())).unwrap();
    (0..QUEUED).for_each(|number| ann.message(ECHO, &format!("early {number}")).unwrap());
    ann.settle().unwrap();
    echoes("1.0.1").write(&host.plugins(), "echo.so");
    host.until_version("echo", "1.0.1");
    ann.message(ECHO, "late").unwrap();
    let sender = ann.jid().to_owned();
    assert_eq!(hears(&mut ann, ECHO), format!("this is build 1.0.1: late from {sender}"));
    fs::write(gate, "").unwrap();
    assert_eq!(hears(&mut ann, ECHO), "waited");
    for number in 0..QUEUED {
        assert_eq!(hears(&mut ann, ECHO), format!("this is build 1.0.0: early {number} from {sender}"));
    }
}

/// A plugin that takes nothing keeps a bounded number waiting; whoever comes then is told at once, and nobody else waits.
#[test]
fn who_writes_to_a_plugin_that_is_stuck_is_told() {
    const SENT: usize = 1_050;
    let host = host_with_echo();
    let (mut ann, mut bob) = (host.new_user("ann"), host.new_user("bob"));
    bob.available("", "").unwrap();
    let gate = host.folder().join("gate");
    ann.message(ECHO, &format!("wait {}", gate.display())).unwrap();
    (0..SENT).for_each(|_| ann.send(&format!("<message type='chat' to='{ECHO}'><body>x</body></message>")).unwrap());
    ann.message(bob.bare_jid(), "past it").unwrap();
    let sender = ann.jid().to_owned();
    assert_eq!(hears(&mut bob, &sender), "past it");
    let refused = ann.arrived().unwrap();
    assert!(refused.iter().all(|stanza| stanza_error(stanza).as_deref() == Some("resource-constraint")), "{refused:?}");
    assert!((SENT - 1_001..=SENT - 999).contains(&refused.len()), "{} were refused", refused.len());
    fs::write(gate, "").unwrap();
    assert_eq!(hears(&mut ann, ECHO), "waited");
}
