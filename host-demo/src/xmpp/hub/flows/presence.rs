//! Presence (RFC 6121 section 4) and its view in the table that plugins read.

use super::*;

#[tokio::test]
async fn a_change_of_presence_reaches_contacts_and_the_table() {
    let server = Server::start().await;
    let (mut ann, mut bob) = (server.login("ann", "desk").await, server.login("bob", "phone").await);
    let mut cat = server.login("cat", "pc").await;
    server.befriend(&mut ann, &mut bob).await;

    ann.sends("<presence><show>away</show><status>Lunch</status><x xmlns='odd' y='1'/></presence>").await;
    assert_eq!(ann.reads().await, ["presence:away ann@here/desk"]);
    let read = bob.reads_xml().await;
    assert_eq!(read.iter().map(summary).collect::<Vec<_>>(), ["presence:away ann@here/desk"]);
    assert_eq!(read[0].get_child("x", "odd").unwrap().attr("y"), Some("1"));
    assert_eq!(read[0].attr("to"), Some("bob@here"));
    assert_eq!(cat.reads().await, [""; 0]);
    assert_eq!(server.seen("ann"), (vec![("desk".into(), Show::Away)], None));

    ann.sends("<presence><priority>128</priority></presence>").await;
    assert_eq!(ann.reads().await, ["presence:error bad-request"]);
    assert_eq!(server.seen("ann"), (vec![("desk".into(), Show::Away)], None));
}

#[tokio::test]
async fn a_lost_connection_is_unavailable_without_a_status() {
    let server = Server::start().await;
    let (mut ann, mut bob) = (server.login("ann", "desk").await, server.login("bob", "phone").await);
    server.befriend(&mut ann, &mut bob).await;
    ann.sends("<presence><status>Lunch</status></presence>").await;
    bob.reads().await;

    drop(ann);
    assert_eq!(bob.reads().await, ["presence:unavailable ann@here/desk"]);
    assert_eq!(server.seen("ann"), (vec![], None));
    assert_eq!(server.hub.sessions().len(), 1);
}

#[tokio::test]
async fn whoever_saw_a_presence_sees_its_end_even_if_the_subscription_ends_at_the_same_moment() {
    for next in ["<presence type='unavailable'/>", "<presence><show>away</show></presence>"] {
        let server = Server::start().await;
        let (mut ann, mut bob) = (server.login("ann", "desk").await, server.login("bob", "phone").await);
        server.befriend(&mut ann, &mut bob).await;
        // Bob takes the subscription back: that moment is between the commit and its deliveries.
        let item = Item { to: true, listed: true, ..Item::default() };
        let change = RosterChange { user: account("bob"), contact: account("ann"), item: Some(item), seen: true };
        server.store.change_rosters(vec![change]).await.unwrap();

        bob.sends(next).await;
        assert_eq!(ann.reads().await, ["presence:unavailable bob@here/phone"], "{next}");
        bob.sends("<presence><show>dnd</show></presence>").await;
        ann.sends("<presence type='probe' to='bob@here'/>").await;
        assert_eq!(ann.reads().await, ["presence:unsubscribed bob@here"], "{next}");
    }
}

#[tokio::test]
async fn a_goodbye_leaves_its_status_until_the_next_login() {
    let server = Server::start().await;
    let mut ann = server.login("ann", "desk").await;
    ann.sends("<presence type='unavailable'><status>Gone home</status></presence>").await;
    assert_eq!(ann.reads().await, ["presence:unavailable ann@here/desk"]);
    assert_eq!(server.seen("ann"), (vec![], Some("Gone home".into())));
    ann.session.close();
    assert_eq!(server.seen("ann"), (vec![], Some("Gone home".into())));

    let mut ann = server.connect("ann", "desk").await;
    assert_eq!(server.seen("ann"), (vec![], Some("Gone home".into())));
    ann.sends("<presence to='bob@here'/>").await;
    assert_eq!(server.seen("ann"), (vec![], Some("Gone home".into())));
    ann.sends("<presence/>").await;
    assert_eq!(server.seen("ann"), (vec![("desk".into(), Show::Available)], None));
}

#[tokio::test]
async fn the_goodbye_of_a_blocked_resource_is_not_shown() {
    let server = Server::start().await;
    let (mut ann, mut bob) = (server.login("ann", "desk").await, server.login("bob", "phone").await);
    server.befriend(&mut ann, &mut bob).await;
    bob.sends("<presence type='unavailable'><status>Bye</status></presence>").await;
    let mut sofa = server.connect("ann", "sofa").await;
    sofa.sends("<presence/>").await;
    let learnt =
        ["presence:plain ann@here/sofa", "presence:plain ann@here/desk", "presence:unavailable bob@here/phone"];
    assert_eq!(sofa.reads().await, learnt);

    let item = "<item jid='bob@here/phone'/>";
    sofa.sends(&format!("<iq type='set' id='1'><block xmlns='urn:xmpp:blocking'>{item}</block></iq>")).await;
    let mut bot = server.connect("ann", "bot").await;
    bot.sends("<presence/>").await;
    assert!(!bot.reads().await.iter().any(|line| line.contains("bob@here")));
}

#[tokio::test]
async fn a_login_learns_who_is_there() {
    let server = Server::start().await;
    let (mut ann, mut bob) = (server.login("ann", "desk").await, server.login("bob", "phone").await);
    server.befriend(&mut ann, &mut bob).await;
    bob.sends("<presence><show>dnd</show></presence>").await;
    ann.reads().await;

    let mut second = server.connect("ann", "sofa").await;
    second.sends("<presence/>").await;
    assert_eq!(
        second.reads().await,
        ["presence:plain ann@here/sofa", "presence:plain ann@here/desk", "presence:dnd bob@here/phone"]
    );
    assert_eq!(ann.reads().await, ["presence:plain ann@here/sofa"]);
    assert_eq!(bob.reads().await[1..], ["presence:plain ann@here/sofa"]);

    second.sends("<presence type='probe' to='bob@here'/>").await;
    second.sends("<presence type='probe' to='bob@here/other'/>").await;
    assert_eq!(second.reads().await, ["presence:dnd bob@here/phone", "presence:unavailable bob@here/other"]);
}

#[tokio::test]
async fn a_login_with_hundreds_of_presences_to_learn_survives_it() {
    let server = Server::start().await;
    let friends: Vec<_> = (0..30).map(|number| format!("friend{number}")).collect();
    let mut others = Vec::new();
    for friend in &friends {
        server.add_account(friend).await;
        let (ann, friend) = (account("ann"), account(friend));
        let item = |to| Some(Item { to, from: !to, listed: true, ..Item::default() });
        let change = |user: &BareJid, contact: &BareJid, item| RosterChange {
            user: user.clone(),
            contact: contact.clone(),
            item,
            seen: true,
        };
        server
            .store
            .change_rosters(vec![change(&ann, &friend, item(true)), change(&friend, &ann, item(false))])
            .await
            .unwrap();
    }
    for friend in &friends {
        for number in 0..MAX_SESSIONS {
            others.push(server.login(friend, &number.to_string()).await);
        }
    }
    let mut ann = server.connect("ann", "desk").await;
    ann.sends("<presence/>").await;
    assert!(others.len() > outbox::MAX_STANZAS);
    assert_eq!(ann.reads().await.len(), 1 + others.len());
    assert_eq!(ann.is_closed().await, None);
}

#[tokio::test]
async fn directed_presence_is_taken_back_at_the_end() {
    let server = Server::start().await;
    let (mut ann, mut bob) = (server.connect("ann", "desk").await, server.login("bob", "phone").await);
    let mut cat = server.login("cat", "pc").await;
    ann.sends("<presence to='bob@here'><show>chat</show></presence>").await;
    ann.sends("<presence to='cat@here/pc'/>").await;
    ann.sends("<presence to='cat@here/pc' type='unavailable'/>").await;
    assert_eq!(bob.reads().await, ["presence:chat ann@here/desk"]);
    assert_eq!(cat.reads().await, ["presence:plain ann@here/desk", "presence:unavailable ann@here/desk"]);
    assert_eq!(server.seen("ann"), (vec![], None));

    drop(ann);
    assert_eq!(bob.reads().await, ["presence:unavailable ann@here/desk"]);
    assert_eq!(cat.reads().await, [""; 0]);
}

#[tokio::test]
async fn the_end_of_a_presence_comes_once_by_whatever_way_it_was_seen() {
    let server = Server::start().await;
    let (mut ann, mut bob) = (server.login("ann", "desk").await, server.login("bob", "phone").await);
    server.befriend(&mut ann, &mut bob).await;
    let (mut sofa, mut bot) = (server.login("ann", "sofa").await, server.connect("bob", "bot").await);
    for to in ["ann@here", "ann@here/sofa", "bob@here", "bob@here/phone", "bob@here/bot"] {
        ann.sends(&format!("<presence to='{to}'/>")).await;
    }
    for client in [&mut sofa, &mut bob, &mut bot] {
        client.reads().await;
    }
    drop(ann);
    for client in [&mut sofa, &mut bob, &mut bot] {
        assert_eq!(client.reads().await, ["presence:unavailable ann@here/desk"], "{}", client.session.jid());
    }
}
