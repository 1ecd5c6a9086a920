//! Users who mean no good.

use tests::{host::Host, xmpp::Error};

#[test]
fn nobody_shows_what_others_are() {
    let host = Host::with_presence();
    host.set("presence.visibility", "anyone");
    let (mut alice, mut bob) = (host.new_user("alice"), host.new_user("bob"));
    alice.available("away", "Lunch").unwrap();
    alice.settle().unwrap();
    bob.settle().unwrap();
    let shown = |user: &str| {
        let target = format!("/plugins/presence/status?type=xml&jid={user}@localhost");
        host.http().get(&target).text().to_owned()
    };
    let before = [shown("alice"), shown("bob")];
    host.add_user("mallory");
    for stanza in [
        "<presence from='alice@localhost'><show>dnd</show></presence>".to_owned(),
        format!("<presence from='{}' type='unavailable'/>", alice.jid()),
        "<presence from='bob@localhost/x' to='alice@localhost'/>".to_owned(),
        "<presence from='localhost' type='probe' to='alice@localhost'/>".to_owned(),
        "<presence to='alice@localhost'><show>dnd</show><status>hers</status></presence>".to_owned(),
        "<presence to='alice@localhost' type='unavailable'/>".to_owned(),
        format!("<presence to='{}' type='error'><error type='cancel'/></presence>", alice.jid()),
        "<presence type='probe' to='alice@localhost'/>".to_owned(),
        "<presence><x xmlns='jabber:client' from='alice@localhost'/><show>dnd</show></presence>".to_owned(),
        "<message to='localhost'><presence xmlns='jabber:client' from='bob@localhost/x'/></message>".to_owned(),
    ] {
        let mut mallory = host.login("mallory");
        mallory.send(&stanza).unwrap();
        match mallory.settle() {
            Ok(()) => {}
            Err(Error::Stream(condition)) => assert_eq!(condition, "invalid-from", "{stanza}"), // [X13]
            Err(error) => panic!("{stanza}: {error}"),
        }
        assert_eq!([shown("alice"), shown("bob")], before, "{stanza}"); // [X14]
    }
    for (user, session) in [("alice", &mut alice), ("bob", &mut bob)] {
        let arrived = session.arrived().unwrap();
        let foreign =
            |from: &str| !from.starts_with("mallory@localhost") && !from.starts_with(&format!("{user}@localhost"));
        let forged = arrived.iter().find(|stanza| stanza.attr("from").is_some_and(foreign));
        assert!(forged.is_none(), "{forged:?}");
    }
}
