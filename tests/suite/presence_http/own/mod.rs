//! The say that users have: their choices, tokens and unlisted addresses, made by chat as any client can.

mod addresses;
mod choices;
mod service;
mod stored;
mod survival;
mod tokens;
mod watchers;

use std::{
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

use tests::{
    host::Host,
    http::{Answer, encode},
    xmpp::{Session, ns},
};

use super::{STATUS, show};

/// The service, as users of `localhost` find it.
const SERVICE: &str = "presence.localhost";

/// Says a line to the service; its answer.
#[track_caller]
pub fn say(session: &mut Session, line: &str) -> String {
    session.message(SERVICE, line).unwrap();
    let from_service = |stanza: &minidom::Element| {
        stanza.name() == "message" && stanza.attr("from") == Some(SERVICE) && stanza.has_child("body", ns::CLIENT)
    };
    session.expect(from_service).unwrap().get_child("body", ns::CLIENT).unwrap().text()
}

/// A new token, made by saying so.
#[track_caller]
pub fn token(session: &mut Session, wish: &str) -> String {
    let said = say(session, &format!("token {wish}"));
    let token = said.lines().next().unwrap();
    assert!(token.starts_with("p1.") && said.lines().count() == 2, "{said}");
    token.to_owned()
}

/// Alice as JSON, for this query beside her address.
#[track_caller]
fn alice(host: &Host, query: &str) -> Answer {
    host.http().get(&format!("{STATUS}?jid=alice@localhost&type=json{query}"))
}

/// Her state, for this query.
#[track_caller]
fn state(host: &Host, query: &str) -> String {
    let answer = alice(host, query);
    let object: serde_json::Value = serde_json::from_str(answer.text()).unwrap();
    object["state"].as_str().unwrap().to_owned()
}

/// Her state for who has this token, sent in both ways.
#[track_caller]
fn state_by(host: &Host, token: &str) -> String {
    let by_parameter = state(host, &format!("&token={}", encode(token)));
    let target = format!("{STATUS}?jid=alice@localhost&type=json");
    let field = format!("Bearer {token}");
    let answer = host.http().request("GET", &target, &[("Authorization", &field)]);
    let by_field: serde_json::Value = serde_json::from_str(answer.text()).unwrap();
    assert_eq!(by_field["state"], by_parameter.as_str());
    by_parameter
}

/// Now, in seconds since the Unix epoch.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// Starts a host again, behind `change` of what it has stored, and alice, who is away.
#[track_caller]
fn restarted(host: &mut Host, change: impl FnOnce(&Path)) -> Session {
    assert_eq!(host.terminate(), Some(0));
    change(&host.state());
    host.run();
    let mut alice = host.login("alice");
    show(&mut alice, "away", "Lunch");
    alice
}

/// A host with the service under this visibility, and alice, who is away.
fn alice_away(visibility: &str) -> (Host, Session) {
    let host = Host::with_presence();
    host.set("presence.visibility", visibility);
    let mut alice = host.new_user("alice");
    show(&mut alice, "away", "Lunch");
    (host, alice)
}
