//! Subscriptions (RFC 6121 section 3).

use super::{super::requests::BURST, *};

#[tokio::test]
async fn a_handshake_in_both_directions_ends_in_both() {
    let server = Server::start().await;
    let (mut ann, mut bob) = (server.login("ann", "desk").await, server.login("bob", "phone").await);

    ann.sends("<presence type='subscribe' to='bob@here'/>").await;
    assert_eq!(ann.reads().await, ["push bob@here none subscribe"]);
    assert_eq!(bob.reads().await, ["presence:subscribe ann@here"]);

    bob.sends("<presence type='subscribed' to='ann@here'/>").await;
    assert_eq!(bob.reads().await, ["push ann@here from"]);
    assert_eq!(
        ann.reads().await,
        ["presence:subscribed bob@here", "push bob@here to", "presence:plain bob@here/phone"]
    );

    bob.sends("<presence type='subscribe' to='ann@here'/>").await;
    ann.sends("<presence type='subscribed' to='bob@here'/>").await;
    assert_eq!(ann.reads().await, ["presence:subscribe bob@here", "push bob@here both"]);
    assert_eq!(
        bob.reads().await,
        [
            "push ann@here from subscribe",
            "presence:subscribed ann@here",
            "push ann@here both",
            "presence:plain ann@here/desk"
        ]
    );

    for (user, contact) in [("ann", "bob"), ("bob", "ann")] {
        let roster = server.store.roster(&account(user)).unwrap();
        let item = &roster.items[&account(contact)];
        assert!(item.to && item.from && !item.ask && item.request.is_none(), "{user}: {item:?}");
    }
}

#[tokio::test]
async fn a_request_waits_for_a_user_who_is_offline_and_comes_at_every_login() {
    let server = Server::start().await;
    let mut ann = server.login("ann", "desk").await;
    ann.sends("<presence type='subscribe' to='bob@here' id='s1'><nick xmlns='n'>Ann</nick></presence>").await;

    for _ in 0..2 {
        let mut bob = server.connect("bob", "phone").await;
        bob.sends("<presence/>").await;
        let read = bob.reads_xml().await;
        assert_eq!(
            read.iter().map(summary).collect::<Vec<_>>(),
            ["presence:plain bob@here/phone", "presence:subscribe ann@here"]
        );
        assert_eq!(read[1].get_child("nick", "n").unwrap().text(), "Ann");
        assert_eq!(read[1].attr("to"), Some("bob@here"));
    }
    let mut bob = server.login("bob", "phone").await;
    bob.sends("<presence type='unsubscribed' to='ann@here'/>").await;
    assert_eq!(bob.reads().await, [""; 0]);
    assert_eq!(ann.reads().await[1..], ["presence:unsubscribed bob@here", "push bob@here none"]);
    assert!(server.store.roster(&account("bob")).unwrap().items.is_empty());
}

#[tokio::test]
async fn a_pre_approved_request_is_answered_at_once() {
    let server = Server::start().await;
    let (mut ann, mut bob) = (server.login("ann", "desk").await, server.login("bob", "phone").await);
    bob.sends("<presence type='subscribed' to='ann@here'/>").await;
    assert_eq!(bob.reads().await, ["push ann@here none approved"]);
    assert_eq!(ann.reads().await, [""; 0]);

    ann.sends("<presence type='subscribe' to='bob@here'/>").await;
    assert_eq!(bob.reads().await, ["push ann@here from approved"]);
    assert_eq!(
        ann.reads().await,
        [
            "push bob@here none subscribe",
            "presence:subscribed bob@here",
            "push bob@here to",
            "presence:plain bob@here/phone"
        ]
    );
}

#[tokio::test]
async fn ending_a_subscription_hides_the_presence() {
    let server = Server::start().await;
    let (mut ann, mut bob) = (server.login("ann", "desk").await, server.login("bob", "phone").await);
    server.befriend(&mut ann, &mut bob).await;

    bob.sends("<presence type='unsubscribed' to='ann@here'/>").await;
    assert_eq!(bob.reads().await, ["push ann@here to"]);
    assert_eq!(
        ann.reads().await,
        ["presence:unsubscribed bob@here", "push bob@here from", "presence:unavailable bob@here/phone"]
    );
    bob.sends("<presence type='unsubscribe' to='ann@here'/>").await;
    assert_eq!(bob.reads().await, ["push ann@here none", "presence:unavailable ann@here/desk"]);
    assert_eq!(ann.reads().await, ["presence:unsubscribe bob@here", "push bob@here none"]);
}

#[tokio::test]
async fn removing_a_contact_ends_both_subscriptions() {
    let server = Server::start().await;
    let (mut ann, mut bob) = (server.login("ann", "desk").await, server.login("bob", "phone").await);
    server.befriend(&mut ann, &mut bob).await;

    let removal = "<query xmlns='jabber:iq:roster'><item jid='bob@here' subscription='remove'/></query>";
    ann.sends(&format!("<iq type='set' id='1'>{removal}</iq>")).await;
    assert_eq!(ann.reads().await, ["push bob@here remove", "presence:unavailable bob@here/phone", "iq:result"]);
    assert_eq!(
        bob.reads().await,
        [
            "presence:unsubscribe ann@here",
            "push ann@here to",
            "presence:unsubscribed ann@here",
            "push ann@here none",
            "presence:unavailable ann@here/desk"
        ]
    );
    ann.sends(&format!("<iq type='set' id='2'>{removal}</iq>")).await;
    assert_eq!(ann.reads().await, ["iq:error item-not-found"]);
}

#[tokio::test]
async fn requests_that_make_no_sense_change_nothing() {
    let server = Server::start().await;
    let mut ann = server.login("ann", "desk").await;
    ann.sends("<presence type='subscribe' to='ann@here'/>").await;
    ann.sends("<presence type='subscribe' to='eve@elsewhere'/>").await;
    ann.sends("<presence type='subscribe'/>").await;
    ann.sends("<presence type='shout' to='bob@here'/>").await;
    ann.sends("<presence type='subscribe' to='@here'/>").await;
    assert_eq!(
        ann.reads().await,
        [
            "presence:error not-allowed",
            "presence:error remote-server-not-found",
            "presence:error bad-request",
            "presence:error bad-request",
            "presence:error jid-malformed"
        ]
    );
    assert!(server.store.roster(&account("ann")).unwrap().items.is_empty());
}

#[tokio::test]
async fn a_user_asks_for_at_most_twenty_subscriptions_at_once() {
    let server = Server::start().await;
    let (mut ann, mut bob) = (server.login("ann", "desk").await, server.login("bob", "phone").await);
    for _ in 0..BURST {
        ann.sends("<presence type='subscribe' to='cat@here'/>").await;
    }
    ann.reads().await;
    ann.sends("<presence type='subscribe' to='bob@here'/>").await;
    ann.sends("<presence type='unsubscribe' to='cat@here'/>").await;
    assert_eq!(ann.reads().await, ["presence:error policy-violation", "push cat@here none"]);
    assert_eq!(bob.reads().await, [""; 0]);
    assert!(!server.store.roster(&account("ann")).unwrap().items.contains_key(&account("bob")));
    bob.sends("<presence type='subscribe' to='cat@here'/>").await;
    assert_eq!(bob.reads().await, ["push cat@here none subscribe"]);
}

#[tokio::test]
async fn an_unknown_user_looks_like_one_who_does_not_answer() {
    let server = Server::start().await;
    let mut ann = server.login("ann", "desk").await;
    let mut answers = Vec::new();
    for user in ["bob@here", "nobody@here"] {
        ann.sends(&format!("<presence type='subscribe' to='{user}'/>")).await;
        ann.sends(&format!("<presence type='probe' to='{user}'/>")).await;
        ann.sends(&format!("<presence to='{user}'/>")).await;
        // One that can wait does so for bob alone: whoever mistypes an address is told.
        ann.sends(&format!("<message to='{user}' type='chat'/>")).await;
        let query = "<query xmlns='http://jabber.org/protocol/disco#info'/>";
        ann.sends(&format!("<iq type='get' id='1' to='{user}'>{query}</iq>")).await;
        ann.sends(&format!("<iq type='get' id='1' to='{user}/x'><ping xmlns='urn:xmpp:ping'/></iq>")).await;
        answers.push(ann.reads().await.join("\n").replace(user, "USER"));
    }
    assert_eq!(answers[0], answers[1]);
    assert!(answers[0].contains("presence:unsubscribed USER"), "{}", answers[0]);
}

#[tokio::test]
async fn a_change_that_can_not_be_stored_is_not_told() {
    let server = Server::start().await;
    let (mut ann, mut bob) = (server.login("ann", "desk").await, server.login("bob", "phone").await);
    server.store.close();
    ann.sends("<presence type='subscribe' to='bob@here'/>").await;
    ann.sends("<iq type='set' id='1'><query xmlns='jabber:iq:roster'><item jid='cat@here'/></query></iq>").await;
    assert_eq!(ann.reads().await, ["presence:error internal-server-error", "iq:error internal-server-error"]);
    assert_eq!(bob.reads().await, [""; 0]);
    assert!(server.store.roster(&account("bob")).unwrap().items.is_empty());
}
