//! Users and a component: subscriptions, presence in both directions, and who is kept apart.

use super::*;
use crate::xmpp::hub::components::ComponentSession;

/// What answers for everybody at `gate.way`.
struct Component {
    session: ComponentSession,
    outgoing: Outgoing,
}

impl Server {
    fn component(&self) -> Component {
        self.component_at("gate.way")
    }

    fn component_at(&self, domain: &str) -> Component {
        let (outbox, outgoing) = outbox::outbox();
        let domain: DomainPart = domain.parse().unwrap();
        Component { session: self.hub.connect_component(&domain, outbox).unwrap(), outgoing }
    }
}

impl Component {
    async fn tries(&mut self, stanza: &str) -> Result<(), StreamError> {
        let stream: Element = format!("<stream xmlns='jabber:client'>{stanza}</stream>").parse().unwrap();
        let stanza = stream.children().next().unwrap().clone();
        self.session.receive(stanza).await
    }

    async fn sends(&mut self, stanza: &str) {
        self.tries(stanza).await.unwrap_or_else(|error| panic!("{stanza} ended the stream: {error:?}"));
    }

    /// What has arrived: `presence:probe ann@here/desk > tim@gate.way`.
    fn reads(&mut self) -> Vec<String> {
        let mut read = Vec::new();
        while let Some(Next::Write(pieces)) = self.outgoing.next_now() {
            read.extend(elements(&pieces));
        }
        read.iter().map(line).collect()
    }
}

fn line(stanza: &Element) -> String {
    const NAMESPACE: &str = "jabber:component:accept";
    assert!(stanza.has_ns(NAMESPACE), "{stanza:?}");
    let attribute = |name| stanza.attr(name).unwrap_or("-");
    let condition = stanza.get_child("error", NAMESPACE).and_then(|error| error.children().next());
    let kind = match (condition, stanza.get_child("show", NAMESPACE)) {
        (Some(condition), _) => format!("error {}", condition.name()),
        (None, Some(show)) => show.text(),
        (None, None) => stanza.attr("type").unwrap_or("plain").into(),
    };
    format!("{}:{kind} {} > {}", stanza.name(), attribute("from"), attribute("to"))
}

/// Ann, who is available, and tim at the component, who see each other's presence.
async fn friends(server: &Server) -> (Client, Component) {
    let (mut ann, mut gate) = (server.login("ann", "desk").await, server.component());
    ann.sends("<presence type='subscribe' to='tim@gate.way'/>").await;
    gate.sends("<presence type='subscribed' from='tim@gate.way' to='ann@here'/>").await;
    gate.sends("<presence type='subscribe' from='tim@gate.way' to='ann@here'/>").await;
    ann.sends("<presence type='subscribed' to='tim@gate.way'/>").await;
    ann.reads().await;
    gate.reads();
    (ann, gate)
}

#[tokio::test]
async fn a_user_and_a_component_subscribe_to_each_other() {
    let server = Server::start().await;
    let (mut ann, mut gate) = (server.login("ann", "desk").await, server.component());
    ann.sends("<presence type='subscribe' to='Tim@gate.way/x'/>").await;
    assert_eq!(ann.reads().await, ["push tim@gate.way none subscribe"]);
    assert_eq!(gate.reads(), ["presence:subscribe ann@here > tim@gate.way"]);

    gate.sends("<presence type='subscribed' from='tim@gate.way' to='ann@here'/>").await;
    assert_eq!(ann.reads().await, ["presence:subscribed tim@gate.way", "push tim@gate.way to"]);
    gate.sends("<presence from='tim@gate.way/pda' to='ann@here'><show>away</show></presence>").await;
    assert_eq!(ann.reads().await, ["presence:away tim@gate.way/pda"]);

    gate.sends("<presence type='subscribe' from='tim@gate.way/pda' to='ann@here/desk'/>").await;
    assert_eq!(ann.reads().await, ["presence:subscribe tim@gate.way"]);
    ann.sends("<presence type='subscribed' to='tim@gate.way'/>").await;
    assert_eq!(ann.reads().await, ["push tim@gate.way both"]);
    let shown = ["presence:subscribed ann@here > tim@gate.way", "presence:plain ann@here/desk > tim@gate.way"];
    assert_eq!(gate.reads(), shown);

    gate.sends("<presence type='unsubscribe' from='tim@gate.way' to='ann@here'/>").await;
    assert_eq!(ann.reads().await, ["presence:unsubscribe tim@gate.way", "push tim@gate.way to"]);
    assert_eq!(gate.reads(), ["presence:unavailable ann@here/desk > tim@gate.way"]);
    ann.sends("<presence type='unsubscribe' to='tim@gate.way'/>").await;
    assert_eq!(ann.reads().await, ["push tim@gate.way none"]);
    assert_eq!(gate.reads(), ["presence:unsubscribe ann@here > tim@gate.way"]);
}

/// A request waits for a user who is away, as any other does (section 3.1.3).
#[tokio::test]
async fn a_component_asks_who_is_away() {
    let (server, mut gate) = {
        let server = Server::start().await;
        let gate = server.component();
        (server, gate)
    };
    gate.sends("<presence type='subscribe' from='tim@gate.way' to='ann@here'/>").await;
    gate.sends("<presence type='subscribe' from='tim@gate.way' to='nobody@here'/>").await;
    assert_eq!(gate.reads(), [""; 0]);
    let mut ann = server.connect("ann", "desk").await;
    ann.sends("<presence/>").await;
    assert_eq!(ann.reads().await, ["presence:plain ann@here/desk", "presence:subscribe tim@gate.way"]);
}

#[tokio::test]
async fn what_a_user_shows_reaches_a_subscribed_component_to_the_end_of_the_session() {
    let server = Server::start().await;
    let (mut ann, mut gate) = friends(&server).await;
    ann.sends("<presence><show>dnd</show></presence>").await;
    assert_eq!(gate.reads(), ["presence:dnd ann@here/desk > tim@gate.way"]);
    gate.sends("<presence type='probe' from='tim@gate.way' to='ann@here'/>").await;
    assert_eq!(gate.reads(), ["presence:dnd ann@here/desk > tim@gate.way"]);
    drop(ann);
    assert_eq!(gate.reads(), ["presence:unavailable ann@here/desk > tim@gate.way"]);
    gate.sends("<presence type='probe' from='tim@gate.way' to='ann@here'/>").await;
    assert_eq!(gate.reads(), ["presence:unavailable ann@here/desk > tim@gate.way"]);

    // Who comes asks for the presence of those that can't be looked up here (section 4.3.1).
    let mut ann = server.connect("ann", "pda").await;
    ann.sends("<presence/>").await;
    let greeting = ["presence:plain ann@here/pda > tim@gate.way", "presence:probe ann@here/pda > tim@gate.way"];
    assert_eq!(gate.reads(), greeting);
    ann.sends("<presence type='unavailable'/>").await;
    assert_eq!(gate.reads(), ["presence:unavailable ann@here/pda > tim@gate.way"]);
}

#[tokio::test]
async fn a_stranger_at_a_component_learns_nothing() {
    let server = Server::start().await;
    let (_ann, mut gate) = friends(&server).await;
    for user in ["ann@here", "ann@here/desk", "nobody@here"] {
        gate.sends(&format!("<presence type='probe' from='eve@gate.way' to='{user}'/>")).await;
        let bare = user.split('/').next().unwrap();
        assert_eq!(gate.reads(), [format!("presence:unsubscribed {bare} > eve@gate.way")], "{user}");
    }
}

#[tokio::test]
async fn directed_presence_is_taken_back_at_the_end() {
    let server = Server::start().await;
    let (mut ann, mut gate) = (server.login("ann", "desk").await, server.component());
    ann.sends("<presence to='room@gate.way/ann'><show>chat</show></presence>").await;
    assert_eq!(gate.reads(), ["presence:chat ann@here/desk > room@gate.way/ann"]);
    ann.sends("<presence><show>xa</show></presence>").await;
    assert_eq!(gate.reads(), [""; 0], "no subscriber");
    drop(ann);
    assert_eq!(gate.reads(), ["presence:unavailable ann@here/desk > room@gate.way/ann"]);
}

/// Whoever is told twice of the same end, as a subscriber and directly, is told once.
#[tokio::test]
async fn the_end_of_a_presence_is_told_once() {
    let server = Server::start().await;
    let (mut ann, mut gate) = friends(&server).await;
    ann.sends("<presence to='tim@gate.way'><show>chat</show></presence>").await;
    gate.reads();
    drop(ann);
    assert_eq!(gate.reads(), ["presence:unavailable ann@here/desk > tim@gate.way"]);
}

#[tokio::test]
async fn who_is_blocked_hears_and_says_nothing() {
    let server = Server::start().await;
    let (mut ann, mut gate) = friends(&server).await;
    ann.sends("<presence to='room@gate.way/ann'/>").await;
    gate.reads();
    let command = |what: &str| {
        format!("<iq type='set' id='b'><{what} xmlns='urn:xmpp:blocking'><item jid='gate.way'/></{what}></iq>")
    };
    ann.sends(&command("block")).await;
    let mut hidden = gate.reads();
    hidden.sort();
    let ends =
        ["presence:unavailable ann@here/desk > room@gate.way/ann", "presence:unavailable ann@here/desk > tim@gate.way"];
    assert_eq!(hidden, ends);
    ann.reads().await;
    ann.sends("<presence><show>away</show></presence>").await;
    ann.sends("<message to='tim@gate.way'/>").await;
    assert_eq!(ann.reads().await, ["presence:away ann@here/desk", "message:error not-acceptable"]);
    gate.sends("<presence from='tim@gate.way' to='ann@here'/>").await;
    gate.sends("<presence type='probe' from='tim@gate.way' to='ann@here'/>").await;
    gate.sends("<message from='tim@gate.way' to='ann@here' type='chat'><body>hi</body></message>").await;
    gate.sends("<iq from='tim@gate.way' to='ann@here/desk' type='get' id='1'><q xmlns='q'/></iq>").await;
    let refused = [
        "message:error service-unavailable ann@here > tim@gate.way",
        "iq:error service-unavailable ann@here/desk > tim@gate.way",
    ];
    assert_eq!(gate.reads(), refused);
    assert_eq!(ann.reads().await, [""; 0]);

    ann.sends(&command("unblock")).await;
    let mut again = gate.reads();
    again.sort();
    assert_eq!(again, ["presence:away ann@here/desk > tim@gate.way", "presence:probe ann@here/desk > tim@gate.way"]);
}

/// Rows X13 and X14: no address but those at its own domain, and no way into the presence of users.
#[tokio::test]
async fn a_component_is_nobody_else() {
    let server = Server::start().await;
    let (mut ann, mut gate) = friends(&server).await;
    for from in
        ["", "from='bob@here'", "from='here'", "from='ann@here/desk'", "from='x.gate.way'", "from='way'", "from='@'"]
    {
        let forged = format!("<presence {from} to='ann@here'/>");
        assert_eq!(gate.tries(&forged).await, Err(StreamError::InvalidFrom), "{from}");
    }
    gate.sends("<presence from='gate.way'><show>away</show></presence>").await;
    assert_eq!(gate.reads(), ["presence:error bad-request - > gate.way"]);
    gate.sends("<presence from='ann@gate.way/desk' to='ann@here/desk'><show>away</show></presence>").await;
    assert_eq!(ann.reads().await, ["presence:away ann@gate.way/desk"]);
    assert_eq!(server.seen("ann"), (vec![("desk".into(), Show::Available)], None));
    assert!(server.presence.read("ann@gate.way").is_none());
}

#[tokio::test]
async fn a_domain_is_one_components_and_never_the_servers_own() {
    let server = Server::start().await;
    let gate = server.component();
    let connect =
        |domain: &str| server.hub.connect_component(&domain.parse::<DomainPart>().unwrap(), outbox::outbox().0);
    assert!(connect("gate.way").is_none() && connect("here").is_none() && connect("other.way").is_some());
    drop(gate);
    assert!(connect("gate.way").is_some());
}

/// Whatever became of the component, its user gets rid of the subscription.
#[tokio::test]
async fn a_subscription_to_a_component_that_is_gone_can_be_ended() {
    let server = Server::start().await;
    let (mut ann, gate) = friends(&server).await;
    drop(gate);
    ann.sends("<presence><show>away</show></presence>").await;
    ann.sends("<presence type='subscribe' to='eve@gate.way'/>").await;
    ann.sends("<presence type='unsubscribe' to='tim@gate.way'/>").await;
    let told = ["presence:away ann@here/desk", "presence:error remote-server-not-found", "push tim@gate.way from"];
    assert_eq!(ann.reads().await, told);
    ann.sends("<iq type='set' id='x'><query xmlns='jabber:iq:roster'><item jid='tim@gate.way' subscription='remove'/></query></iq>").await;
    assert_eq!(ann.reads().await, ["push tim@gate.way remove", "iq:result"]);
}

/// Whoever wrote to a component that went away before it was sent that is told; presence is not missed.
#[tokio::test]
async fn what_a_component_was_not_sent_comes_back() {
    let server = Server::start().await;
    let (mut ann, gate) = (server.login("ann", "desk").await, server.component());
    ann.sends("<message to='tim@gate.way'><body>hi</body></message>").await;
    ann.sends("<iq type='get' id='1' to='gate.way'><q xmlns='q'/></iq>").await;
    ann.sends("<iq type='result' id='2' to='gate.way'/>").await;
    ann.sends("<presence to='tim@gate.way'/>").await;
    drop(gate);
    let back = ann.reads_xml().await;
    let told: Vec<_> = back.iter().map(summary).collect();
    assert_eq!(told, ["message:error remote-server-not-found", "iq:error remote-server-not-found"]);
    assert_eq!(back[0].attr("from"), Some("tim@gate.way"));
}

/// A component that asked for presence has somebody wait for it; a user's client, and the server for a user who has just come, do not.
#[tokio::test]
async fn a_component_hears_that_its_probe_is_not_answered_any_more() {
    let server = Server::start().await;
    let (mut ann, mut gate) = friends(&server).await;
    let mut asking = server.component_at("asking.way");
    for asked in ["tim@gate.way", "eve@gate.way", "gate.way", "gate.way"] {
        asking.sends(&format!("<presence type='probe' id='{asked}' from='asking.way' to='{asked}'/>")).await;
    }
    ann.sends("<presence type='probe' to='tim@gate.way'/>").await;
    gate.sends("<presence from='eve@gate.way/pda' to='asking.way'/>").await;
    assert_eq!((asking.reads(), gate.reads().len()), (vec!["presence:plain eve@gate.way/pda > asking.way".into()], 5));
    drop(gate);
    let not_found = "presence:error remote-server-not-found";
    let told = ["gate.way", "tim@gate.way"].map(|asked| format!("{not_found} {asked} > asking.way"));
    assert_eq!((asking.reads(), ann.reads().await), (told.into(), vec![]));
    asking.sends("<presence type='probe' from='asking.way' to='gate.way'/>").await;
    assert_eq!(asking.reads(), [format!("{not_found} gate.way > asking.way")], "who asks later is told as before");
}

/// A component that takes nothing keeps its stream; who asks it something is told.
#[tokio::test]
async fn a_component_that_does_not_read_is_not_sent_more_than_it_can_hold() {
    let server = Server::start().await;
    let (mut ann, mut gate) = (server.login("ann", "desk").await, server.component());
    for _ in 0..1_001 {
        ann.sends("<iq type='get' id='1' to='gate.way'><q xmlns='q'/></iq>").await;
    }
    assert_eq!(ann.reads().await, ["iq:error resource-constraint"]);
    assert_eq!(gate.reads().len(), 1_000);
    ann.sends("<iq type='get' id='2' to='gate.way'><q xmlns='q'/></iq>").await;
    assert_eq!((gate.reads().len(), ann.reads().await.len()), (1, 0));
}
