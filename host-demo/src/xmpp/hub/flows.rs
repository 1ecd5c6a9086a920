//! Conversations of several sessions with the hub, told as a client would see them: what it sends, what it then reads.
//!
//! A real store in a temporary folder; only the sockets are missing. [`Client::reads`] takes all that has arrived, which
//! is complete: the hub posts everything before it returns from a stanza.

use std::{collections::BTreeMap, future::poll_fn, pin::pin, sync::Arc, task::Poll};

use jid::{BareJid, DomainPart, ResourcePart};
use minidom::Element;
use tempfile::TempDir;

use super::{BindError, Hub, MAX_SESSIONS, Session, stanza::ns};
use crate::{
    presence::{Show, Source, Table},
    store::{
        Credentials, Keys, RosterChange, Store,
        roster::{Item, Roster},
    },
    xmpp::{
        error::StreamError,
        outbox::{self, Next, Outgoing},
    },
};

struct Server {
    hub: Arc<Hub>,
    store: Store,
    presence: Arc<Table>,
    _state: TempDir,
}

struct Client {
    session: Session,
    outgoing: Outgoing,
}

impl Server {
    /// A server at `here` with the accounts ann, bob and cat.
    async fn start() -> Server {
        let state = tempfile::tempdir().unwrap();
        let store = Store::open(state.path()).unwrap();
        let presence = Arc::<Table>::default();
        let hub = Hub::new("here".parse::<DomainPart>().unwrap(), store.clone(), presence.clone());
        let server = Server { hub, store, presence, _state: state };
        for user in ["ann", "bob", "cat"] {
            server.add_account(user).await;
        }
        server
    }

    async fn add_account(&self, user: &str) {
        let keys = Keys { salt: vec![1; 16], iterations: 4096, stored_key: vec![2; 32], server_key: vec![3; 32] };
        let credentials = Credentials { scram_sha_1: keys.clone(), scram_sha_256: keys };
        self.store.add_account(&account(user), &credentials).await.unwrap();
    }

    async fn try_connect(&self, user: &str, resource: Option<&str>) -> Result<Client, BindError> {
        let (outbox, outgoing) = outbox::outbox();
        let resource = resource.map(|resource| ResourcePart::new(resource).unwrap().into_owned());
        let session = self.hub.bind(&account(user), resource.as_deref(), outbox).await?;
        Ok(Client { session, outgoing })
    }

    /// A session that has sent nothing yet.
    async fn connect(&self, user: &str, resource: &str) -> Client {
        self.try_connect(user, Some(resource)).await.unwrap()
    }

    /// A session that has asked for the roster and is available, all of which it has read.
    async fn login(&self, user: &str, resource: &str) -> Client {
        let mut client = self.connect(user, resource).await;
        client.sends("<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>").await;
        client.sends("<presence/>").await;
        client.reads().await;
        client
    }

    /// Two users who see each other's presence.
    async fn befriend(&self, one: &mut Client, other: &mut Client) {
        let (a, b) = (one.bare(), other.bare());
        one.sends(&format!("<presence type='subscribe' to='{b}'/>")).await;
        other.sends(&format!("<presence type='subscribed' to='{a}'/>")).await;
        other.sends(&format!("<presence type='subscribe' to='{a}'/>")).await;
        one.sends(&format!("<presence type='subscribed' to='{b}'/>")).await;
        one.reads().await;
        other.reads().await;
    }

    /// The presence table's view of a user: resource and show of each, and the last status.
    fn seen(&self, user: &str) -> (Vec<(String, Show)>, Option<String>) {
        let seen = self.presence.read(account(user).as_str()).unwrap_or_default();
        let resources = seen.resources.iter().map(|resource| (resource.name.to_string(), resource.show)).collect();
        (resources, seen.last_status.as_deref().map(str::to_owned))
    }
}

impl Client {
    fn bare(&self) -> BareJid {
        self.session.jid().to_bare()
    }

    async fn sends(&mut self, stanza: &str) {
        self.tries(stanza).await.unwrap_or_else(|error| panic!("{stanza} ended the stream: {error:?}"));
    }

    async fn tries(&mut self, stanza: &str) -> Result<(), StreamError> {
        let within_stream = format!("<stream xmlns='jabber:client'>{stanza}</stream>");
        let stream: Element = within_stream.parse().unwrap();
        let stanza = stream.children().next().unwrap().clone();
        self.session.receive(stanza).await
    }

    /// What has arrived, each stanza in one line: see [`summary`].
    async fn reads(&mut self) -> Vec<String> {
        self.reads_xml().await.iter().map(summary).collect()
    }

    async fn reads_xml(&mut self) -> Vec<Element> {
        let mut read = Vec::new();
        while let Some(Next::Write(pieces)) = self.next_now().await {
            let text: String = pieces.iter().map(|piece| std::str::from_utf8(piece).unwrap()).collect();
            let all: Element = format!("<all xmlns='all'>{text}</all>").parse().unwrap();
            read.extend(all.children().cloned());
        }
        read
    }

    /// Why the stream is to be closed, if it is.
    async fn is_closed(&mut self) -> Option<Option<StreamError>> {
        self.reads().await;
        match self.next_now().await {
            Some(Next::Close(error)) => Some(error),
            _ => None,
        }
    }

    /// What the stream would do next, without waiting for it.
    async fn next_now(&mut self) -> Option<Next> {
        let mut next = pin!(self.outgoing.next());
        poll_fn(|context| match next.as_mut().poll(context) {
            Poll::Ready(next) => Poll::Ready(Some(next)),
            Poll::Pending => Poll::Ready(None),
        })
        .await
    }
}

/// `presence:away ann@here/desk`, `message:chat ann@here/desk`, `push bob@here both`, `iq:error service-unavailable`.
fn summary(stanza: &Element) -> String {
    let kind = stanza.attr("type").map(str::to_owned);
    let from = stanza.attr("from").unwrap_or("-");
    if let Some(error) = stanza.get_child("error", ns::CLIENT) {
        return format!("{}:error {}", stanza.name(), error.children().next().unwrap().name());
    }
    let pushed = stanza.get_child("query", ns::ROSTER).filter(|_| kind.as_deref() == Some("set"));
    if let Some(item) = pushed.and_then(|query| query.children().next()) {
        let attributes = ["jid", "subscription", "ask", "approved"].into_iter().filter_map(|name| {
            let value = item.attr(name)?;
            Some(if name == "approved" { "approved" } else { value })
        });
        return format!("push {}", attributes.collect::<Vec<_>>().join(" "));
    }
    let show = stanza.get_child("show", ns::CLIENT).map(Element::text);
    let kind = kind.or(show).unwrap_or_else(|| "plain".into());
    match stanza.name() {
        "iq" => format!("iq:{kind}"),
        name => format!("{name}:{kind} {from}"),
    }
}

fn account(user: &str) -> BareJid {
    BareJid::new(&format!("{user}@here")).unwrap()
}

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
async fn an_unknown_user_looks_like_one_who_does_not_answer() {
    let server = Server::start().await;
    let mut ann = server.login("ann", "desk").await;
    let mut answers = Vec::new();
    for user in ["bob@here", "nobody@here"] {
        ann.sends(&format!("<presence type='subscribe' to='{user}'/>")).await;
        ann.sends(&format!("<presence type='probe' to='{user}'/>")).await;
        ann.sends(&format!("<presence to='{user}'/>")).await;
        ann.sends(&format!("<message to='{user}' type='chat'><body>hi</body></message>")).await;
        let query = "<query xmlns='http://jabber.org/protocol/disco#info'/>";
        ann.sends(&format!("<iq type='get' id='1' to='{user}'>{query}</iq>")).await;
        ann.sends(&format!("<iq type='get' id='1' to='{user}/x'><ping xmlns='urn:xmpp:ping'/></iq>")).await;
        answers.push(ann.reads().await.join("\n").replace(user, "USER"));
    }
    assert_eq!(answers[0], answers[1]);
    assert!(answers[0].contains("presence:unsubscribed USER"), "{}", answers[0]);
}

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
async fn a_goodbye_leaves_its_status_until_the_next_login() {
    let server = Server::start().await;
    let mut ann = server.login("ann", "desk").await;
    ann.sends("<presence type='unavailable'><status>Gone home</status></presence>").await;
    assert_eq!(ann.reads().await, ["presence:unavailable ann@here/desk"]);
    assert_eq!(server.seen("ann"), (vec![], Some("Gone home".into())));
    ann.session.close().await;
    assert_eq!(server.seen("ann"), (vec![], Some("Gone home".into())));

    let mut ann = server.connect("ann", "desk").await;
    assert_eq!(server.seen("ann"), (vec![], Some("Gone home".into())));
    ann.sends("<presence to='bob@here'/>").await;
    assert_eq!(server.seen("ann"), (vec![], Some("Gone home".into())));
    ann.sends("<presence/>").await;
    assert_eq!(server.seen("ann"), (vec![("desk".into(), Show::Available)], None));
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
async fn a_resource_is_taken_from_its_older_session() {
    let server = Server::start().await;
    let mut old = server.login("ann", "desk").await;
    let mut new = server.connect("ann", "desk").await;
    assert_eq!(old.is_closed().await, Some(Some(StreamError::Conflict)));
    assert_eq!(server.seen("ann"), (vec![], None));

    new.sends("<presence/>").await;
    old.sends("<presence type='unavailable'/>").await;
    drop(old);
    assert_eq!(server.seen("ann"), (vec![("desk".into(), Show::Available)], None));
    new.sends("<message to='ann@here/desk'/>").await;
    assert_eq!(new.reads().await, ["presence:plain ann@here/desk", "message:plain ann@here/desk"]);
}

#[tokio::test]
async fn a_user_has_at_most_ten_sessions() {
    let server = Server::start().await;
    let mut sessions = Vec::new();
    for _ in 0..MAX_SESSIONS {
        sessions.push(server.try_connect("ann", None).await.unwrap());
    }
    assert_eq!(server.try_connect("ann", None).await.err(), Some(BindError::TooManySessions));
    let taken = sessions[0].session.jid().resource().to_string();
    assert!(server.try_connect("ann", Some(&taken)).await.is_ok());
    assert_eq!(server.try_connect("nobody", None).await.err(), Some(BindError::NoAccount));
}

#[tokio::test]
async fn a_chat_message_goes_to_the_highest_priority_and_never_to_a_negative_one() {
    let server = Server::start().await;
    let mut bob = server.login("bob", "phone").await;
    let (mut quiet, mut low, mut high) =
        (server.login("ann", "quiet").await, server.login("ann", "low").await, server.login("ann", "high").await);
    quiet.sends("<presence><priority>-1</priority></presence>").await;
    high.sends("<presence><priority>5</priority></presence>").await;
    for client in [&mut quiet, &mut low, &mut high] {
        client.reads().await;
    }

    bob.sends("<message to='ann@here' type='chat'/>").await;
    bob.sends("<message to='ann@here' type='headline'/>").await;
    bob.sends("<message to='ann@here/quiet'/>").await;
    bob.sends("<message to='ann@here/gone' type='chat'/>").await;
    assert_eq!(
        high.reads().await,
        ["message:chat bob@here/phone", "message:headline bob@here/phone", "message:chat bob@here/phone"]
    );
    assert_eq!(low.reads().await, ["message:headline bob@here/phone"]);
    assert_eq!(quiet.reads().await, ["message:plain bob@here/phone"]);

    drop((low, high));
    bob.sends("<message to='ann@here' type='chat'/>").await;
    bob.sends("<message to='ann@here' type='headline'/>").await;
    bob.sends("<message to='ann@here' type='error'/>").await;
    bob.sends("<message to='ann@here' type='groupchat'/>").await;
    bob.sends("<message to='ann@here/gone'/>").await;
    bob.sends("<message to='ann@elsewhere'/>").await;
    assert_eq!(
        bob.reads().await,
        [
            "message:error service-unavailable",
            "message:error service-unavailable",
            "message:error service-unavailable",
            "message:error remote-server-not-found"
        ]
    );
}

#[tokio::test]
async fn the_roster_is_pushed_to_those_who_asked_for_it() {
    let server = Server::start().await;
    let mut ann = server.login("ann", "desk").await;
    let (mut interested, mut other) = (server.login("ann", "sofa").await, server.connect("ann", "bot").await);
    let item = "<item jid='Bob@Here' name='Bob'><group>Work</group></item>";
    ann.reads().await;
    ann.sends(&format!("<iq type='set' id='1'><query xmlns='jabber:iq:roster'>{item}</query></iq>")).await;
    assert_eq!(ann.reads().await, ["push bob@here none", "iq:result"]);
    assert_eq!(interested.reads().await, ["push bob@here none"]);
    assert_eq!(other.reads().await, [""; 0]);

    other.sends("<iq type='get' id='2'><query xmlns='jabber:iq:roster'/></iq>").await;
    let read = other.reads_xml().await;
    let query = read[0].get_child("query", ns::ROSTER).unwrap();
    let item = query.children().next().unwrap();
    assert_eq!((item.attr("jid"), item.attr("name")), (Some("bob@here"), Some("Bob")));
    assert_eq!(item.get_child("group", ns::ROSTER).unwrap().text(), "Work");
}

#[tokio::test]
async fn a_roster_holds_a_thousand_contacts() {
    let server = Server::start().await;
    let mut ann = server.login("ann", "desk").await;
    let contact = |number: usize| RosterChange {
        user: account("ann"),
        contact: account(&format!("u{number}")),
        item: Some(Item { listed: true, ..Item::default() }),
    };
    server.store.change_rosters((0..1_000).map(contact).collect()).await.unwrap();
    ann.sends("<iq type='set' id='1'><query xmlns='jabber:iq:roster'><item jid='more@here'/></query></iq>").await;
    ann.sends("<presence type='subscribe' to='bob@here'/>").await;
    ann.sends("<iq type='set' id='2'><query xmlns='jabber:iq:roster'><item jid='u1@here' name='One'/></query></iq>")
        .await;
    assert_eq!(
        ann.reads().await,
        ["iq:error resource-constraint", "presence:error resource-constraint", "push u1@here none", "iq:result"]
    );
    assert!(server.store.roster(&account("bob")).unwrap().items.is_empty());
}

#[tokio::test]
async fn every_request_is_answered() {
    let server = Server::start().await;
    let mut ann = server.login("ann", "desk").await;
    for (to, payload, answer) in [
        ("", "<ping xmlns='urn:xmpp:ping'/>", "iq:result"),
        ("to='here'", "<ping xmlns='urn:xmpp:ping'/>", "iq:result"),
        ("to='here'", "<query xmlns='jabber:iq:version'/>", "iq:result"),
        ("to='here'", "<query xmlns='http://jabber.org/protocol/disco#items'/>", "iq:result"),
        ("to='here'", "<query xmlns='http://jabber.org/protocol/disco#info' node='x'/>", "iq:error item-not-found"),
        ("to='ann@here'", "<query xmlns='http://jabber.org/protocol/disco#info'/>", "iq:result"),
        ("to='bob@here'", "<query xmlns='jabber:iq:roster'/>", "iq:error forbidden"),
        ("to='here'", "<unheard xmlns='of'/>", "iq:error service-unavailable"),
        ("to='here/x'", "<ping xmlns='urn:xmpp:ping'/>", "iq:error service-unavailable"),
        ("to='there'", "<ping xmlns='urn:xmpp:ping'/>", "iq:error remote-server-not-found"),
        ("", "", "iq:error bad-request"),
        ("", "<a xmlns='a'/><b xmlns='b'/>", "iq:error bad-request"),
    ] {
        ann.sends(&format!("<iq type='get' id='1' {to}>{payload}</iq>")).await;
        assert_eq!(ann.reads().await, [answer], "{to} {payload}");
    }
    ann.sends("<iq type='result' id='push-0'/>").await;
    ann.sends("<iq type='error' id='push-0' to='here'/>").await;
    assert_eq!(ann.reads().await, [""; 0]);
}

#[tokio::test]
async fn what_disco_announces_is_answered() {
    let server = Server::start().await;
    let mut ann = server.login("ann", "desk").await;
    let query = "<query xmlns='http://jabber.org/protocol/disco#info'/>";
    ann.sends(&format!("<iq type='get' id='1' to='here'>{query}</iq>")).await;
    let read = ann.reads_xml().await;
    let info = read[0].get_child("query", ns::DISCO_INFO).unwrap();
    let features: Vec<_> = info.children().filter_map(|child| child.attr("var")).collect();
    assert!(features.len() >= 5);
    for feature in features {
        let to = if feature == ns::ROSTER { "" } else { "to='here'" };
        let name = if feature == ns::PING { "ping" } else { "query" };
        ann.sends(&format!("<iq type='get' id='2' {to}><{name} xmlns='{feature}'/></iq>")).await;
        assert_eq!(ann.reads().await, ["iq:result"], "{feature}");
    }
}

#[tokio::test]
async fn a_request_between_clients_is_answered_by_the_client() {
    let server = Server::start().await;
    let (mut ann, mut bob) = (server.login("ann", "desk").await, server.login("bob", "phone").await);
    ann.sends("<iq type='get' id='7' to='bob@here/phone'><q xmlns='x'/></iq>").await;
    assert_eq!(bob.reads().await, ["iq:get"]);
    bob.sends("<iq type='result' id='7' to='ann@here/desk'/>").await;
    assert_eq!(ann.reads().await, ["iq:result"]);
    bob.sends("<iq type='result' id='8' to='ann@here/gone'/>").await;
    assert_eq!(bob.reads().await, [""; 0]);
}

#[tokio::test]
async fn a_stanza_in_a_foreign_name_ends_the_stream() {
    let server = Server::start().await;
    let mut ann = server.login("ann", "desk").await;
    let forged = "<presence from='bob@here/phone'><show>dnd</show></presence>";
    assert_eq!(ann.tries(forged).await, Err(StreamError::InvalidFrom));
    assert_eq!(server.seen("bob"), (vec![], None));
}

#[tokio::test]
async fn a_removed_account_is_gone_for_its_contacts() {
    let server = Server::start().await;
    let (mut ann, mut bob) = (server.login("ann", "desk").await, server.login("bob", "phone").await);
    server.befriend(&mut ann, &mut bob).await;
    server.hub.remove_account(&account("ann")).await.unwrap();
    assert_eq!(ann.is_closed().await, Some(Some(StreamError::NotAuthorized)));
    assert_eq!(bob.reads().await, ["presence:unavailable ann@here/desk", "push ann@here none"]);
    assert!(server.presence.read("ann@here").is_none());
    assert_eq!(server.hub.sessions().len(), 1);
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

/// What a client knows by what it has read: of its contacts the subscription, of each resource the last presence.
#[derive(Default)]
struct View {
    roster: BTreeMap<String, String>,
    presence: BTreeMap<String, String>,
}

impl View {
    async fn update(&mut self, client: &mut Client) {
        for line in client.reads().await {
            let (kind, rest) = line.split_once(' ').unwrap_or((&line, ""));
            let (subject, state) = rest.split_once(' ').unwrap_or((rest, ""));
            match kind {
                "push" if state == "remove" => drop(self.roster.remove(subject)),
                "push" => drop(self.roster.insert(subject.into(), state.into())),
                "presence:plain" | "presence:away" | "presence:unavailable" => {
                    self.presence.insert(subject.into(), kind.into());
                }
                _ => {}
            }
        }
    }

    /// Compares with what the server knows. `shows` is the contact's presence, if it is available.
    fn check(&self, own: &Roster, contact: &str, contact_jid: &str, shows: Option<&str>) {
        let item = own.items.get(&BareJid::new(contact).unwrap()).cloned().unwrap_or_default();
        let subscription = ["none", "to", "from", "both"][usize::from(item.to) + 2 * usize::from(item.from)];
        let ask = if item.ask { " subscribe" } else { "" };
        let approved = if item.approved { " approved" } else { "" };
        let stored = item.listed.then(|| format!("{subscription}{ask}{approved}"));
        assert_eq!(self.roster.get(contact), stored.as_ref());
        let visible = shows.filter(|_| item.to).unwrap_or("presence:unavailable");
        let seen = self.presence.get(contact_jid).map_or("presence:unavailable", String::as_str);
        assert_eq!(seen, visible, "{contact_jid}");
    }
}

/// Whether two rosters agree on what their owners are to each other.
fn assert_agreement(ann: &Roster, bob: &Roster) {
    let ann_of_bob = ann.items.get(&account("bob")).cloned().unwrap_or_default();
    let bob_of_ann = bob.items.get(&account("ann")).cloned().unwrap_or_default();
    for (one, other) in [(&ann_of_bob, &bob_of_ann), (&bob_of_ann, &ann_of_bob)] {
        assert_eq!(one.to, other.from, "{one:?} {other:?}");
        assert_eq!(one.ask, other.request.is_some(), "{one:?} {other:?}");
    }
}

#[tokio::test]
async fn whatever_two_users_send_their_rosters_agree_and_their_clients_know() {
    let server = Server::start().await;
    let mut clients = [server.login("ann", "1").await, server.login("bob", "1").await];
    let (users, jids) = (["ann@here", "bob@here"], ["ann@here/1", "bob@here/1"]);
    let mut views = [View::default(), View::default()];
    let mut shows = [Some("presence:plain"); 2];
    let mut random = 20_260_101_u64;
    for step in 0..600 {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let (actor, choice) = ((random >> 40) as usize % 2, (random >> 50) % 10);
        let contact = users[1 - actor];
        let roster_set =
            |item| format!("<iq type='set' id='{step}'><query xmlns='jabber:iq:roster'>{item}</query></iq>");
        let stanza = match choice {
            0 | 1 => format!("<presence type='subscribe' to='{contact}'/>"),
            2 | 3 => format!("<presence type='subscribed' to='{contact}'/>"),
            4 => format!("<presence type='unsubscribe' to='{contact}'/>"),
            5 => format!("<presence type='unsubscribed' to='{contact}'/>"),
            6 => roster_set(format!("<item jid='{contact}' subscription='remove'/>")),
            7 => roster_set(format!("<item jid='{contact}' name='{step}'/>")),
            8 => "<presence type='unavailable'/>".to_owned(),
            _ => "<presence><show>away</show></presence>".to_owned(),
        };
        match choice {
            8 => shows[actor] = None,
            9 => shows[actor] = Some("presence:away"),
            _ => {}
        }
        clients[actor].sends(&stanza).await;
        let rosters = [account("ann"), account("bob")].map(|user| server.store.roster(&user).unwrap());
        assert_agreement(&rosters[0], &rosters[1]);
        for (at, view) in views.iter_mut().enumerate() {
            view.update(&mut clients[at]).await;
            // Who is unavailable himself hears of no presence until the next login.
            if shows[at].is_some() {
                view.check(&rosters[at], users[1 - at], jids[1 - at], shows[1 - at]);
            } else {
                view.presence.clear();
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_last_presence_that_arrives_is_the_latest() {
    for round in 0..20 {
        let server = Server::start().await;
        let mut ann = server.login("ann", "1").await;
        let (mut bob, mut phone) = (server.login("bob", "1").await, server.login("bob", "phone").await);
        ann.sends("<presence type='subscribe' to='bob@here'/>").await;
        let toggles = tokio::spawn(async move {
            for _ in 0..20 {
                phone.sends("<presence type='unavailable'/>").await;
                phone.sends("<presence><show>away</show></presence>").await;
                tokio::task::yield_now().await;
            }
            phone.sends("<presence/>").await;
            phone
        });
        let approvals = tokio::spawn(async move {
            bob.sends("<presence type='subscribed' to='ann@here'/>").await;
            if round % 2 == 0 {
                bob.sends("<presence type='unsubscribed' to='ann@here'/>").await;
            }
            bob
        });
        let (_phone, _bob) = (toggles.await.unwrap(), approvals.await.unwrap());
        let mut view = View::default();
        view.roster.insert("bob@here".into(), String::new());
        view.update(&mut ann).await;
        let roster = server.store.roster(&account("ann")).unwrap();
        assert_eq!(roster.items[&account("bob")].to, round % 2 == 1);
        view.check(&roster, "bob@here", "bob@here/phone", Some("presence:plain"));
    }
}
