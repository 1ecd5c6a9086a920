//! Delivery of messages and requests (RFC 6121 section 8), and what is answered here.

use super::*;
use crate::xmpp::hub::disco;

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

/// What becomes of a message (section 8.5, summed up in its table 8.5.4): the resources of ann that are connected, where
/// it is sent, and what is done with one of each type: who gets it, `S` if it waits for ann, `E` for an error, `-` for
/// nothing. `mute` is connected and never sent presence; the others are named after their priority.
const MESSAGES: [(&str, &str, [&str; 5]); 19] = [
    // normal, chat, groupchat, headline, error
    ("", "nobody@here", ["E", "E", "E", "-", "-"]),
    ("", "nobody@here/x", ["E", "E", "E", "-", "-"]),
    ("", "here", ["E", "E", "E", "E", "-"]),
    ("", "here/x", ["E", "E", "E", "E", "-"]),
    ("", "ann@there", ["E", "E", "E", "E", "-"]),
    ("", "ann@here", ["S", "S", "E", "-", "-"]),
    ("", "ann@here/gone", ["E", "S", "E", "-", "-"]),
    ("mute", "ann@here", ["S", "S", "E", "-", "-"]),
    ("mute", "ann@here/mute", ["mute", "mute", "mute", "mute", "mute"]),
    ("mute", "ann@here/gone", ["E", "S", "E", "-", "-"]),
    ("-1", "ann@here", ["S", "S", "E", "-", "-"]),
    ("-1", "ann@here/-1", ["-1", "-1", "-1", "-1", "-1"]),
    ("-1", "ann@here/gone", ["E", "S", "E", "-", "-"]),
    ("mute -1 0", "ann@here", ["0", "0", "E", "0", "-"]),
    ("mute -1 0", "ann@here/0", ["0", "0", "0", "0", "0"]),
    ("mute -1 0", "ann@here/gone", ["E", "0", "E", "-", "-"]),
    ("-1 0 5", "ann@here", ["5", "5", "E", "0 5", "-"]),
    ("-1 0 5", "ann@here/0", ["0", "0", "0", "0", "0"]),
    ("-1 0 5", "ann@here/gone", ["E", "5", "E", "-", "-"]),
];

/// The resources of ann that a row of a table names.
async fn connect_all(server: &Server, resources: &str) -> Vec<Client> {
    let mut ann = Vec::new();
    for resource in resources.split_terminator(' ') {
        let mut client = server.connect("ann", resource).await;
        if resource != "mute" {
            client.sends(&format!("<presence><priority>{resource}</priority></presence>")).await;
        }
        ann.push(client);
    }
    for client in &mut ann {
        client.reads().await;
    }
    ann
}

/// Who of these got something, and whether bob got an error.
async fn outcome(ann: &mut [Client], bob: &mut Client, to: &str) -> String {
    let mut outcomes = Vec::new();
    for client in ann {
        for stanza in client.reads_xml().await {
            assert_eq!(stanza.attr("to"), Some(to), "the address is left alone");
            outcomes.push(client.session.jid().resource().to_string());
        }
    }
    outcomes.extend(bob.reads().await.iter().filter(|line| line.contains(":error ")).map(|_| "E".to_owned()));
    outcomes.join(" ")
}

#[tokio::test]
async fn each_type_of_message_goes_where_the_table_says() {
    for (resources, to, outcomes) in MESSAGES {
        let server = Server::start().await;
        let mut bob = server.login("bob", "phone").await;
        let mut ann = connect_all(&server, resources).await;
        for (kind, expected) in ["normal", "chat", "groupchat", "headline", "error"].into_iter().zip(outcomes) {
            bob.sends(&format!("<message type='{kind}' to='{to}'><body>hi</body></message>")).await;
            let mut seen = outcome(&mut ann, &mut bob, to).await;
            let waiting = server.store.offline_messages(&account("ann"), 1).unwrap();
            if !waiting.is_empty() {
                seen += "S";
                let ids = waiting.iter().map(|message| message.id).collect();
                server.store.remove_offline_messages(&account("ann"), ids).await.unwrap();
            }
            let expected = if expected == "-" { "" } else { expected };
            assert_eq!(seen, expected, "{kind} to {to}, connected: {resources:?}");
        }
    }
}

/// The same for presence (sections 8.5.1 to 8.5.3) without a type, with `unavailable`, and with `error`. Nothing of it ever
/// comes back from this server.
const PRESENCES: [(&str, &str, [&str; 3]); 10] = [
    // available, unavailable, error
    ("", "nobody@here", ["-", "-", "-"]),
    ("", "nobody@here/x", ["-", "-", "-"]),
    ("", "here", ["-", "-", "-"]),
    ("", "ann@there", ["E", "E", "-"]),
    ("", "ann@here", ["-", "-", "-"]),
    ("mute", "ann@here", ["-", "-", "-"]),
    ("mute", "ann@here/mute", ["mute", "mute", "mute"]),
    ("mute -1 5", "ann@here", ["-1 5", "-1 5", "-"]),
    ("mute -1 5", "ann@here/-1", ["-1", "-1", "-1"]),
    ("mute -1 5", "ann@here/gone", ["-", "-", "-"]),
];

#[tokio::test]
async fn each_type_of_presence_goes_where_the_table_says() {
    for (resources, to, outcomes) in PRESENCES {
        let server = Server::start().await;
        let mut bob = server.login("bob", "phone").await;
        let mut ann = connect_all(&server, resources).await;
        for (kind, expected) in ["", "type='unavailable'", "type='error'"].into_iter().zip(outcomes) {
            bob.sends(&format!("<presence {kind} to='{to}'/>")).await;
            let expected = if expected == "-" { "" } else { expected };
            let seen = outcome(&mut ann, &mut bob, to).await;
            assert_eq!(seen, expected, "{kind} to {to}, connected: {resources:?}");
        }
    }
}

/// And for requests and answers: an account and the server answer themselves, which they do not understand here.
const REQUESTS: [(&str, &str, [&str; 4]); 10] = [
    // get, set, result, error
    ("", "nobody@here", ["E", "E", "-", "-"]),
    ("", "nobody@here/x", ["E", "E", "-", "-"]),
    ("", "here", ["E", "E", "-", "-"]),
    ("", "here/x", ["E", "E", "-", "-"]),
    ("", "ann@there", ["E", "E", "-", "-"]),
    ("mute 5", "ann@here", ["E", "E", "-", "-"]),
    ("mute 5", "ann@here/gone", ["E", "E", "-", "-"]),
    ("mute 5", "ann@here/mute", ["mute", "mute", "mute", "mute"]),
    ("-1", "ann@here/-1", ["-1", "-1", "-1", "-1"]),
    ("-1 5", "ann@here/5", ["5", "5", "5", "5"]),
];

#[tokio::test]
async fn each_type_of_request_goes_where_the_table_says() {
    for (resources, to, outcomes) in REQUESTS {
        let server = Server::start().await;
        let mut bob = server.login("bob", "phone").await;
        let mut ann = connect_all(&server, resources).await;
        for (kind, expected) in ["get", "set", "result", "error"].into_iter().zip(outcomes) {
            bob.sends(&format!("<iq type='{kind}' id='1' to='{to}'><unheard xmlns='of'/></iq>")).await;
            let expected = if expected == "-" { "" } else { expected };
            let seen = outcome(&mut ann, &mut bob, to).await;
            assert_eq!(seen, expected, "{kind} to {to}, connected: {resources:?}");
        }
    }
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
    assert!(features.len() >= 6);
    for feature in features {
        let (kind, to, name, answer) = match feature {
            ns::ROSTER => ("get", "", "query", "iq:result"),
            ns::BLOCKING => ("get", "", "blocklist", "blocklist"),
            ns::CARBONS => ("set", "", "enable", "iq:result"),
            ns::PING => ("get", "to='here'", "ping", "iq:result"),
            ns::PRIVATE => ("get", "", "query", "iq:error bad-request"),
            ns::VCARD => ("get", "", "vCard", "iq:error item-not-found"),
            // No requests: what they promise is seen in the flows of their own.
            disco::OFFLINE_MESSAGES | ns::CARBONS_RULES => continue,
            _ => ("get", "to='here'", "query", "iq:result"),
        };
        ann.sends(&format!("<iq type='{kind}' id='2' {to}><{name} xmlns='{feature}'/></iq>")).await;
        assert_eq!(ann.reads().await, [answer], "{feature}");
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
async fn a_stanza_that_grows_when_it_is_written_harms_nobody_else() {
    let server = Server::start().await;
    let (mut ann, mut bob) = (server.login("ann", "desk").await, server.login("bob", "phone").await);
    // Declared once by the sender, but by the writer for each element.
    let grows = format!("<p xmlns:p='{}'>{}</p>", "u".repeat(256), "<p:a/>".repeat(4_000));
    for (stanza, answer) in [
        (format!("<message to='ann@here/desk'>{grows}</message>"), "message:error policy-violation"),
        (format!("<message to='ann@here' type='chat'>{grows}</message>"), "message:error policy-violation"),
        (format!("<message to='nobody@here'>{grows}</message>"), "message:error policy-violation"),
        (format!("<iq type='get' id='1' to='ann@here/desk'>{grows}</iq>"), "iq:error policy-violation"),
        (format!("<presence to='ann@here'>{grows}</presence>"), "presence:error policy-violation"),
        (format!("<presence to='ann@here' type='subscribe'>{grows}</presence>"), "presence:error policy-violation"),
    ] {
        bob.sends(&stanza).await;
        assert_eq!(bob.reads().await, [answer], "{}", &stanza[..40]);
    }
    for stanza in [
        format!("<presence to='ann@here/desk' type='error'>{grows}</presence>"),
        format!("<iq type='result' id='1' to='ann@here/desk'>{grows}</iq>"),
    ] {
        bob.sends(&stanza).await;
        assert_eq!(bob.reads().await, [""; 0]);
    }
    assert_eq!(ann.reads().await, [""; 0]);
    assert_eq!(ann.is_closed().await, None);
    let long = "x".repeat(255 << 10);
    bob.sends(&format!("<message to='ann@here/desk'><body>{long}</body></message>")).await;
    assert_eq!(ann.reads().await, ["message:plain bob@here/phone"]);
}
