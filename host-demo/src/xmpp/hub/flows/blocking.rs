//! The blocking command (XEP-0191).

use super::*;
use crate::store::BlocklistChange;

impl Client {
    /// Sends a `block` or `unblock` of these JIDs.
    async fn asks_to(&mut self, command: &str, jids: &[&str]) {
        let items: String = jids.iter().map(|jid| format!("<item jid='{jid}'/>")).collect();
        let command = format!("<{command} xmlns='urn:xmpp:blocking'>{items}</{command}>");
        self.sends(&format!("<iq type='set' id='b'>{command}</iq>")).await;
    }

    async fn asks_for_blocklist(&mut self) {
        self.sends("<iq type='get' id='l'><blocklist xmlns='urn:xmpp:blocking'/></iq>").await;
    }
}

const PING: &str = "<ping xmlns='urn:xmpp:ping'/>";
const DISCO: &str = "<query xmlns='http://jabber.org/protocol/disco#info'/>";

#[tokio::test]
async fn the_list_is_kept_and_pushed_to_those_who_asked_for_it() {
    let server = Server::start().await;
    let (mut ann, mut follower) = (server.login("ann", "desk").await, server.login("ann", "sofa").await);
    follower.asks_for_blocklist().await;
    assert_eq!(follower.reads().await, ["blocklist"]);
    ann.reads().await;

    ann.asks_to("block", &["Bob@Here", "there/x"]).await;
    assert_eq!(ann.reads().await, ["iq:result"]);
    assert_eq!(follower.reads().await, ["block bob@here there/x"]);
    ann.asks_for_blocklist().await;
    ann.asks_to("block", &["cat@here/pc", "bob@here"]).await;
    ann.asks_to("unblock", &["bob@here"]).await;
    assert_eq!(
        ann.reads().await,
        ["blocklist bob@here there/x", "block cat@here/pc bob@here", "iq:result", "unblock bob@here", "iq:result"]
    );
    drop(ann);
    let mut ann = server.login("ann", "desk").await;
    ann.asks_for_blocklist().await;
    ann.asks_to("unblock", &[]).await;
    ann.asks_for_blocklist().await;
    assert_eq!(ann.reads().await, ["blocklist cat@here/pc there/x", "unblock", "iq:result", "blocklist"]);
    let push = follower.reads_xml().await.pop().unwrap();
    let attributes = ["type", "to", "from"].map(|name| push.attr(name));
    assert_eq!(attributes, [Some("set"), Some("ann@here/sofa"), None]);
}

#[tokio::test]
async fn a_command_that_makes_no_sense_changes_nothing() {
    let server = Server::start().await;
    let mut ann = server.login("ann", "desk").await;
    ann.asks_to("block", &[]).await;
    ann.asks_to("block", &["bob@here", "@here"]).await;
    ann.asks_to("unblock", &["@here"]).await;
    let foreign = "<block xmlns='urn:xmpp:blocking'><item jid='cat@here'/></block>";
    ann.sends(&format!("<iq type='set' id='1' to='bob@here'>{foreign}</iq>")).await;
    ann.sends(&format!("<iq type='get' id='1'>{foreign}</iq>")).await;
    ann.asks_for_blocklist().await;
    assert_eq!(
        ann.reads().await,
        [
            "iq:error bad-request",
            "iq:error jid-malformed",
            "iq:error jid-malformed",
            "iq:error service-unavailable",
            "iq:error service-unavailable",
            "blocklist"
        ]
    );
    server.store.close();
    ann.asks_to("block", &["bob@here"]).await;
    assert_eq!(ann.reads().await, ["iq:error internal-server-error"]);
}

#[tokio::test]
async fn a_list_holds_a_thousand_jids_and_is_never_too_large_to_be_sent() {
    let server = Server::start().await;
    let mut ann = server.login("ann", "desk").await;
    let many: Vec<_> = (0..1_000).map(|number| format!("u{number}@there").parse().unwrap()).collect();
    server.store.change_blocklist(&account("ann"), BlocklistChange::Block(many)).await.unwrap();
    ann.asks_to("block", &["more@there"]).await;
    ann.asks_to("block", &["u7@there"]).await;
    ann.asks_to("unblock", &["u7@there"]).await;
    ann.asks_to("block", &["more@there"]).await;
    assert_eq!(ann.reads().await, ["iq:error resource-constraint", "iq:result", "iq:result", "iq:result"]);

    ann.asks_to("unblock", &[]).await;
    let long = |number| format!("u{number}@there/{}", "&amp;".repeat(1_000));
    for number in 0..200 {
        ann.asks_to("block", &[&long(number)]).await;
    }
    let refused = ann.reads().await.iter().filter(|line| *line == "iq:error resource-constraint").count();
    assert!((1..200).contains(&refused), "{refused}");
    ann.asks_for_blocklist().await;
    assert_eq!(ann.reads().await[0].split(' ').count(), 1 + 200 - refused);
    assert_eq!(ann.is_closed().await, None);
}

#[tokio::test]
async fn blocking_hides_presence_in_both_directions_and_unblocking_shows_it() {
    let server = Server::start().await;
    let (mut ann, mut bob) = (server.login("ann", "desk").await, server.login("bob", "phone").await);
    let mut cat = server.login("cat", "pc").await;
    server.befriend(&mut ann, &mut bob).await;
    server.befriend(&mut ann, &mut cat).await;

    ann.asks_to("block", &["bob@here"]).await;
    assert_eq!(ann.reads().await, ["presence:unavailable bob@here/phone", "iq:result"]);
    assert_eq!(bob.reads().await, ["presence:unavailable ann@here/desk"]);
    ann.asks_to("block", &["bob@here/phone"]).await;
    assert_eq!(ann.reads().await, ["iq:result"]);

    ann.sends("<presence><show>away</show></presence>").await;
    bob.sends("<presence><show>dnd</show></presence>").await;
    assert_eq!(ann.reads().await, ["presence:away ann@here/desk"]);
    assert_eq!(bob.reads().await, ["presence:dnd bob@here/phone"]);
    assert_eq!(cat.reads().await, ["presence:away ann@here/desk"]);
    let (mut sofa, mut tablet) = (server.connect("ann", "sofa").await, server.connect("bob", "tablet").await);
    sofa.sends("<presence/>").await;
    tablet.sends("<presence/>").await;
    assert_eq!(sofa.reads().await[1..], ["presence:away ann@here/desk", "presence:plain cat@here/pc"]);
    assert_eq!(tablet.reads().await, ["presence:plain bob@here/tablet", "presence:dnd bob@here/phone"]);
    drop((sofa, tablet));
    for client in [&mut ann, &mut bob] {
        client.reads().await;
    }

    ann.asks_to("unblock", &["bob@here"]).await;
    assert_eq!(ann.reads().await, ["iq:result"], "the resource is still blocked");
    assert_eq!(bob.reads().await, [""; 0]);
    ann.asks_to("unblock", &[]).await;
    assert_eq!(ann.reads().await, ["presence:dnd bob@here/phone", "iq:result"]);
    assert_eq!(bob.reads().await, ["presence:away ann@here/desk"]);
}

#[tokio::test]
async fn two_who_block_each_other_meet_again_when_both_unblock() {
    let server = Server::start().await;
    let (mut ann, mut bob) = (server.login("ann", "desk").await, server.login("bob", "phone").await);
    server.befriend(&mut ann, &mut bob).await;
    ann.asks_to("block", &["bob@here"]).await;
    bob.asks_to("block", &["ann@here"]).await;
    assert_eq!(ann.reads().await, ["presence:unavailable bob@here/phone", "iq:result"]);
    assert_eq!(bob.reads().await, ["presence:unavailable ann@here/desk", "iq:result"]);
    ann.asks_to("unblock", &["bob@here"]).await;
    assert_eq!(ann.reads().await, ["iq:result"]);
    assert_eq!(bob.reads().await, [""; 0]);
    bob.asks_to("unblock", &["ann@here"]).await;
    assert_eq!(ann.reads().await, ["presence:plain bob@here/phone"]);
    assert_eq!(bob.reads().await, ["presence:plain ann@here/desk", "iq:result"]);
}

#[tokio::test]
async fn who_blocks_looks_offline() {
    let server = Server::start().await;
    let (mut ann, mut bob) = (server.login("ann", "desk").await, server.login("bob", "phone").await);
    let mut answers = Vec::new();
    for blocking in [true, false] {
        if blocking {
            ann.asks_to("block", &["bob@here"]).await;
        } else {
            ann.asks_to("unblock", &[]).await;
            ann.sends("<presence type='unavailable'/>").await;
        }
        ann.reads().await;
        for to in ["ann@here", "ann@here/gone"] {
            for kind in ["normal", "chat", "groupchat", "headline", "error"] {
                bob.sends(&format!("<message to='{to}' type='{kind}'/>")).await;
            }
            for payload in [PING, DISCO, "<query xmlns='jabber:iq:roster'/>"] {
                bob.sends(&format!("<iq type='get' id='1' to='{to}'>{payload}</iq>")).await;
            }
            bob.sends(&format!("<presence to='{to}'/>")).await;
            bob.sends(&format!("<presence type='unavailable' to='{to}'/>")).await;
        }
        answers.push(bob.reads().await);
        assert_eq!(ann.reads().await, [""; 0]);
    }
    assert_eq!(answers[0], answers[1]);
    assert_eq!(answers[0].iter().filter(|line| *line == "message:error service-unavailable").count(), 6);
}

#[tokio::test]
async fn nothing_of_a_blocked_jid_arrives() {
    let server = Server::start().await;
    let (mut ann, mut bob) = (server.login("ann", "desk").await, server.login("bob", "phone").await);
    server.befriend(&mut ann, &mut bob).await;
    ann.asks_to("block", &["bob@here"]).await;
    bob.reads().await;
    ann.reads().await;
    for (stanza, answer) in [
        ("<message to='ann@here/desk'/>", Some("message:error service-unavailable")),
        ("<message to='ann@here' type='chat'/>", Some("message:error service-unavailable")),
        ("<message to='ann@here/desk' type='error'/>", None),
        ("<iq type='get' id='1' to='ann@here/desk'><a xmlns='b'/></iq>", Some("iq:error service-unavailable")),
        ("<iq type='set' id='1' to='ann@here/desk'><a xmlns='b'/></iq>", Some("iq:error service-unavailable")),
        ("<iq type='result' id='1' to='ann@here/desk'/>", None),
        ("<iq type='error' id='1' to='ann@here/desk'/>", None),
        ("<presence to='ann@here'/>", None),
        ("<presence to='ann@here/desk' type='unavailable'/>", None),
        ("<presence to='ann@here/desk' type='error'/>", None),
        ("<presence to='ann@here' type='probe'/>", None),
        ("<presence to='ann@here/desk' type='probe'/>", None),
        ("<presence to='ann@here' type='subscribe'/>", None),
    ] {
        bob.sends(stanza).await;
        assert_eq!(bob.reads().await, answer.as_slice(), "{stanza}");
        assert_eq!(ann.reads().await, [""; 0], "{stanza}");
    }
    let disco = format!("<iq type='get' id='1' to='ann@here'>{DISCO}</iq>");
    bob.sends(&disco).await;
    assert_eq!(bob.reads().await, ["iq:error service-unavailable"], "as without a subscription");
    drop(bob);
    assert_eq!(ann.reads().await, [""; 0]);
}

#[tokio::test]
async fn nothing_goes_to_a_blocked_jid() {
    let server = Server::start().await;
    let (mut ann, mut bob) = (server.login("ann", "desk").await, server.login("bob", "phone").await);
    server.befriend(&mut ann, &mut bob).await;
    ann.asks_to("block", &["bob@here", "eve@away"]).await;
    bob.reads().await;
    ann.reads().await;
    for stanza in [
        "<message to='bob@here' type='chat'/>",
        "<message to='bob@here/phone'/>",
        "<message to='eve@away'/>",
        "<iq type='get' id='1' to='bob@here'><a xmlns='b'/></iq>",
        "<iq type='set' id='1' to='bob@here/phone'><a xmlns='b'/></iq>",
        "<presence to='bob@here'/>",
        "<presence to='bob@here/phone' type='unavailable'/>",
        "<presence to='bob@here' type='probe'/>",
        "<presence to='bob@here' type='subscribe'/>",
        "<presence to='bob@here' type='unsubscribed'/>",
    ] {
        ann.sends(stanza).await;
        let read = ann.reads_xml().await;
        let [answer] = &read[..] else { panic!("{stanza}: {read:?}") };
        let error = answer.get_child("error", ns::CLIENT).unwrap();
        assert_eq!(error.attr("type"), Some("cancel"), "{stanza}");
        assert!(error.has_child("not-acceptable", ns::STANZAS), "{stanza}");
        assert!(error.has_child("blocked", ns::BLOCKING_ERRORS), "{stanza}");
    }
    for stanza in [
        "<message to='bob@here' type='error'/>",
        "<iq type='result' id='1' to='bob@here/phone'/>",
        "<presence to='bob@here/phone' type='error'/>",
    ] {
        ann.sends(stanza).await;
        assert_eq!(ann.reads().await, [""; 0], "{stanza}");
    }
    drop(ann);
    assert_eq!(bob.reads().await, [""; 0]);
}

#[tokio::test]
async fn of_an_account_one_resource_can_be_blocked() {
    let server = Server::start().await;
    let (mut ann, mut phone) = (server.login("ann", "desk").await, server.login("bob", "phone").await);
    server.befriend(&mut ann, &mut phone).await;
    let mut tablet = server.login("bob", "tablet").await;
    phone.reads().await;
    ann.asks_to("block", &["bob@here/phone"]).await;
    assert_eq!(ann.reads().await[1..], ["presence:unavailable bob@here/phone", "iq:result"]);
    assert_eq!(phone.reads().await, ["presence:unavailable ann@here/desk"]);

    ann.sends("<presence><show>away</show></presence>").await;
    ann.sends("<presence to='bob@here'/>").await;
    ann.sends("<message to='bob@here' type='headline'/>").await;
    for client in [&mut phone, &mut tablet] {
        client.sends("<message to='ann@here' type='chat'/>").await;
    }
    assert_eq!(ann.reads().await, ["presence:away ann@here/desk", "message:chat bob@here/tablet"]);
    assert_eq!(phone.reads().await, ["message:error service-unavailable"]);
    let seen = ["presence:away ann@here/desk", "presence:plain ann@here/desk", "message:headline ann@here/desk"];
    assert_eq!(tablet.reads().await, seen);
    drop(ann);
    assert_eq!(phone.reads().await, [""; 0]);
    assert_eq!(tablet.reads().await, ["presence:unavailable ann@here/desk"]);
}

#[tokio::test]
async fn a_blocked_domain_leaves_the_own_resources_and_the_server() {
    let server = Server::start().await;
    let (mut ann, mut bob) = (server.login("ann", "desk").await, server.login("bob", "phone").await);
    let mut sofa = server.login("ann", "sofa").await;
    ann.asks_to("block", &["here"]).await;
    ann.reads().await;
    bob.sends("<message to='ann@here' type='chat'/>").await;
    assert_eq!(bob.reads().await, ["message:error service-unavailable"]);
    ann.sends("<presence><show>away</show></presence>").await;
    ann.sends("<message to='ann@here/sofa'/>").await;
    ann.sends("<presence to='ann@here/sofa'/>").await;
    sofa.sends("<presence type='probe' to='ann@here/desk'/>").await;
    ann.sends(&format!("<iq type='get' id='1' to='here'>{DISCO}</iq>")).await;
    assert_eq!(ann.reads().await, ["presence:away ann@here/desk", "iq:result"]);
    assert_eq!(
        sofa.reads().await,
        [
            "presence:away ann@here/desk",
            "message:plain ann@here/desk",
            "presence:plain ann@here/desk",
            "presence:away ann@here/desk"
        ]
    );
}

#[tokio::test]
async fn a_blocked_request_is_not_heard_and_an_old_one_waits() {
    let server = Server::start().await;
    let (mut ann, mut bob) = (server.login("ann", "desk").await, server.login("bob", "phone").await);
    let mut cat = server.login("cat", "pc").await;
    cat.sends("<presence type='subscribe' to='ann@here'/>").await;
    ann.asks_to("block", &["bob@here", "cat@here"]).await;
    ann.reads().await;
    bob.sends("<presence type='subscribe' to='ann@here'/>").await;
    assert_eq!(bob.reads().await, ["push ann@here none subscribe"], "as if it had arrived");
    assert!(!server.store.roster(&account("ann")).unwrap().items.contains_key(&account("bob")));
    drop(ann);
    let mut ann = server.connect("ann", "desk").await;
    ann.sends("<presence/>").await;
    assert_eq!(ann.reads().await, ["presence:plain ann@here/desk"]);

    ann.asks_to("unblock", &[]).await;
    drop(ann);
    let mut ann = server.connect("ann", "desk").await;
    ann.sends("<presence/>").await;
    assert_eq!(ann.reads().await, ["presence:plain ann@here/desk", "presence:subscribe cat@here"]);
}

#[tokio::test]
async fn what_ends_a_subscription_holds_though_it_is_not_heard() {
    let removal = |contact: &BareJid| {
        let item = format!("<item jid='{contact}' subscription='remove'/>");
        format!("<iq type='set' id='1'><query xmlns='jabber:iq:roster'>{item}</query></iq>")
    };
    for remover in ["ann", "bob"] {
        let server = Server::start().await;
        let (mut ann, mut bob) = (server.login("ann", "desk").await, server.login("bob", "phone").await);
        server.befriend(&mut ann, &mut bob).await;
        ann.asks_to("block", &["bob@here"]).await;
        for client in [&mut ann, &mut bob] {
            client.reads().await;
        }
        let (actor, other) = if remover == "ann" { (&mut ann, &mut bob) } else { (&mut bob, &mut ann) };
        let (actor_jid, other_jid) = (actor.bare(), other.bare());
        actor.sends(&removal(&other_jid)).await;
        assert_eq!(actor.reads().await, [format!("push {other_jid} remove"), "iq:result".into()]);
        assert_eq!(other.reads().await, [format!("push {actor_jid} to"), format!("push {actor_jid} none")]);
    }
}

#[tokio::test]
async fn directed_presence_is_taken_back_once() {
    let server = Server::start().await;
    let (mut ann, mut bob) = (server.login("ann", "desk").await, server.login("bob", "phone").await);
    let mut tablet = server.login("bob", "tablet").await;
    let (mut bot, mut cat) = (server.connect("ann", "bot").await, server.login("cat", "pc").await);
    server.befriend(&mut ann, &mut bob).await;
    ann.sends("<presence to='bob@here/phone'/>").await;
    bot.sends("<presence to='bob@here'/>").await;
    bot.sends("<presence to='cat@here'/>").await;
    bot.sends("<presence to='ann@here/desk'/>").await;
    for client in [&mut bob, &mut cat, &mut tablet] {
        client.reads().await;
    }
    ann.asks_to("block", &["bob@here/phone", "cat@here"]).await;
    let mut seen = bob.reads().await;
    seen.sort();
    assert_eq!(seen, ["presence:unavailable ann@here/bot", "presence:unavailable ann@here/desk"]);
    assert_eq!(cat.reads().await, ["presence:unavailable ann@here/bot"]);
    assert_eq!(tablet.reads().await, [""; 0]);
    ann.reads().await;
    drop(bot);
    assert_eq!(tablet.reads().await, ["presence:unavailable ann@here/bot"]);
    assert_eq!(ann.reads().await, ["presence:unavailable ann@here/bot"]);
    for client in [&mut bob, &mut cat] {
        assert_eq!(client.reads().await, [""; 0]);
    }
}

#[tokio::test]
async fn whoever_saw_a_presence_sees_its_end_even_if_it_is_blocked_at_the_same_moment() {
    for next in ["<presence type='unavailable'/>", "<presence><show>away</show></presence>"] {
        let server = Server::start().await;
        let (mut ann, mut bob) = (server.login("ann", "desk").await, server.login("bob", "phone").await);
        server.befriend(&mut ann, &mut bob).await;
        // That moment is between the commit and what it leads to.
        let block = BlocklistChange::Block(vec![account("ann").into()]);
        server.store.change_blocklist(&account("bob"), block).await.unwrap();
        bob.sends(next).await;
        assert_eq!(ann.reads().await, ["presence:unavailable bob@here/phone"], "{next}");
        bob.sends("<presence><show>dnd</show></presence>").await;
        assert_eq!(ann.reads().await, [""; 0], "{next}");
    }
}
