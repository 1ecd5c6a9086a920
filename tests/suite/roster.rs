//! Rosters, subscriptions and who hears of whom (RFC 6121 sections 2, 3, 4).

use tests::{
    host::Host,
    xmpp::{RosterItem, Session, befriend, ns},
};

/// Waits for the roster push about `contact` with the subscription `state`.
fn pushed(user: &mut Session, contact: &str, state: &str) -> RosterItem {
    let about = |item: &RosterItem| item.jid == contact && item.subscription == state;
    let push = user.expect(|stanza| stanza.attr("type") == Some("set") && RosterItem::all(stanza).iter().any(about));
    RosterItem::all(&push.unwrap_or_else(|error| panic!("no push of {contact} as {state}: {error}"))).remove(0)
}

fn subscription(user: &mut Session, contact: &str) -> Option<String> {
    user.roster().unwrap().into_iter().find(|item| item.jid == contact).map(|item| item.subscription)
}

#[test]
fn a_contact_is_stored_pushed_and_removed() {
    let host = Host::start();
    let (mut desk, mut phone) = (host.new_user("alice"), host.login("alice"));
    assert_eq!(desk.roster().unwrap(), []);
    assert_eq!(phone.roster().unwrap(), []);

    let item = "<item jid='bob@localhost' name='Bob &amp; Co'><group>Work</group></item>";
    let answer = desk.request("set", "", &format!("<query xmlns='{}'>{item}</query>", ns::ROSTER)).unwrap();
    assert_eq!(answer.attr("type"), Some("result"));
    let bob = RosterItem {
        jid: "bob@localhost".into(),
        name: "Bob & Co".into(),
        subscription: "none".into(),
        asked: false,
        groups: vec!["Work".into()],
    };
    for session in [&mut desk, &mut phone] {
        assert_eq!(pushed(session, "bob@localhost", "none"), bob);
        assert_eq!(session.roster().unwrap(), std::slice::from_ref(&bob));
    }

    let item = "<item jid='bob@localhost' subscription='remove'/>";
    desk.request("set", "", &format!("<query xmlns='{}'>{item}</query>", ns::ROSTER)).unwrap();
    pushed(&mut phone, "bob@localhost", "remove");
    assert_eq!(phone.roster().unwrap(), []);
}

#[test]
fn a_subscription_is_asked_for_granted_and_heard() {
    let host = Host::start();
    let (mut alice, mut bob) = (host.new_user("alice"), host.new_user("bob"));
    for user in [&mut alice, &mut bob] {
        user.roster().unwrap();
        user.available("", "").unwrap();
        user.settle().unwrap();
    }

    alice.subscription("subscribe", "bob@localhost").unwrap();
    assert!(pushed(&mut alice, "bob@localhost", "none").asked);
    bob.expect_presence("subscribe", "alice@localhost").unwrap();

    bob.subscription("subscribed", "alice@localhost").unwrap();
    alice.expect_presence("subscribed", "bob@localhost").unwrap();
    assert!(!pushed(&mut alice, "bob@localhost", "to").asked);
    pushed(&mut bob, "alice@localhost", "from");
    alice.expect_presence("", bob.jid()).unwrap();

    bob.available("dnd", "deep in it").unwrap();
    let presence =
        alice.expect(|stanza| stanza.attr("from") == Some(bob.jid()) && stanza.has_child("show", ns::CLIENT)).unwrap();
    assert_eq!(presence.get_child("show", ns::CLIENT).unwrap().text(), "dnd");
    assert_eq!(presence.get_child("status", ns::CLIENT).unwrap().text(), "deep in it");
}

#[test]
fn a_request_waits_for_the_contact_to_log_in() {
    let host = Host::start();
    let mut alice = host.new_user("alice");
    host.add_user("bob");
    alice.subscription("subscribe", "bob@localhost").unwrap();
    alice.settle().unwrap();

    let mut bob = host.login("bob");
    bob.available("", "").unwrap();
    bob.expect_presence("subscribe", "alice@localhost").unwrap();
}

#[test]
fn friends_see_each_other_come_change_and_vanish() {
    let host = Host::start();
    let (mut alice, mut bob) = (host.new_user("alice"), host.new_user("bob"));
    befriend(&mut alice, &mut bob).unwrap();
    assert_eq!(subscription(&mut alice, "bob@localhost").as_deref(), Some("both"));
    assert_eq!(subscription(&mut bob, "alice@localhost").as_deref(), Some("both"));

    bob.available("away", "out").unwrap();
    bob.settle().unwrap();
    alice.available("", "").unwrap();
    // The server asks for bob's presence on behalf of alice, who came later.
    let presence = alice.expect_presence("", bob.jid()).unwrap();
    assert_eq!(presence.get_child("show", ns::CLIENT).unwrap().text(), "away");
    bob.expect_presence("", alice.jid()).unwrap();

    let jid = bob.jid().to_owned();
    drop(bob);
    alice.expect_presence("unavailable", &jid).expect("a lost socket is an unavailable presence");
}

#[test]
fn a_farewell_reaches_friends_with_its_words() {
    let host = Host::start();
    let (mut alice, mut bob) = (host.new_user("alice"), host.new_user("bob"));
    befriend(&mut alice, &mut bob).unwrap();
    alice.available("", "").unwrap();
    bob.available("", "").unwrap();
    alice.expect_presence("", bob.jid()).unwrap();
    bob.unavailable("gone home").unwrap();
    let farewell = alice.expect_presence("unavailable", bob.jid()).unwrap();
    assert_eq!(farewell.get_child("status", ns::CLIENT).unwrap().text(), "gone home");
}

#[test]
fn strangers_hear_nothing_of_each_other() {
    let host = Host::start();
    let (mut alice, mut mallory) = (host.new_user("alice"), host.new_user("mallory"));
    mallory.available("", "").unwrap();
    mallory.arrived().unwrap();
    alice.available("dnd", "private").unwrap();
    alice.settle().unwrap();
    mallory.send("<presence type='probe' to='alice@localhost'/>").unwrap();
    let heard = mallory.arrived().unwrap();
    let leaked = heard.iter().filter(|stanza| stanza.attr("type").is_none() && stanza.name() == "presence");
    assert_eq!(leaked.filter(|stanza| stanza.attr("from").is_some_and(|from| from.starts_with("alice"))).count(), 0);
}

#[test]
fn a_subscription_ends_from_either_side() {
    let host = Host::start();
    let (mut alice, mut bob) = (host.new_user("alice"), host.new_user("bob"));
    befriend(&mut alice, &mut bob).unwrap();

    alice.subscription("unsubscribe", "bob@localhost").unwrap();
    alice.settle().unwrap();
    assert_eq!(subscription(&mut alice, "bob@localhost").as_deref(), Some("from"));
    assert_eq!(subscription(&mut bob, "alice@localhost").as_deref(), Some("to"));

    alice.subscription("unsubscribed", "bob@localhost").unwrap();
    alice.settle().unwrap();
    assert_eq!(subscription(&mut alice, "bob@localhost").as_deref(), Some("none"));
    assert_eq!(subscription(&mut bob, "alice@localhost").as_deref(), Some("none"));
}

#[test]
fn directed_presence_is_taken_back_with_the_session() {
    let host = Host::start();
    let (mut alice, mut bob) = (host.new_user("alice"), host.new_user("bob"));
    bob.available("", "").unwrap();
    bob.settle().unwrap();
    alice.send("<presence to='bob@localhost'><status>only for you</status></presence>").unwrap();
    let presence = bob.expect_presence("", alice.jid()).unwrap();
    assert_eq!(presence.get_child("status", ns::CLIENT).unwrap().text(), "only for you");

    let jid = alice.jid().to_owned();
    drop(alice);
    bob.expect_presence("unavailable", &jid).unwrap();
}

#[test]
fn nobody_speaks_for_somebody_else() {
    let host = Host::start();
    let (mut alice, mut bob) = (host.new_user("alice"), host.new_user("bob"));
    host.add_user("carol");
    bob.available("", "").unwrap();
    bob.settle().unwrap();
    alice.send("<message from='carol@localhost' to='bob@localhost'><body>send money</body></message>").unwrap();
    // Either end is right: the stream error <invalid-from/>, or the sender's real name on the stanza (RFC 6120 section 8.1.2.1).
    let _ = alice.settle();
    for stanza in bob.arrived().unwrap() {
        assert!(!stanza.attr("from").is_some_and(|from| from.starts_with("carol")), "{}", String::from(&stanza));
    }
}
