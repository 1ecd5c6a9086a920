//! Conversations of several sessions with the hub, told as a client would see them: what it sends, what it then reads.
//!
//! A real store in a temporary folder; only the sockets are missing. [`Client::reads`] takes all that has arrived, which
//! is complete: the hub posts everything before it returns from a stanza.

mod agreement;
mod anonymous;
mod blocking;
mod components;
mod delivery;
mod model;
mod offline;
mod presence;
mod random;
mod returned;
mod rosters;
mod sessions;
mod subscriptions;

use std::sync::Arc;

use bytes::Bytes;
use jid::{BareJid, DomainPart, ResourcePart};
use minidom::Element;
use tempfile::TempDir;

use super::{BindError, Hub, MAX_SESSIONS, Session, stanza::ns};
use crate::{
    presence::{Show, Table},
    store::{Credentials, Keys, RosterChange, Store, roster::Item},
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
        Server::start_in(tempfile::tempdir().unwrap()).await
    }

    /// As [`Server::start`], with this folder for its state.
    async fn start_in(state: TempDir) -> Server {
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
        let resources = seen.resources().map(|resource| (resource.name.to_owned(), resource.show)).collect();
        (resources, Some(seen.last_status().to_owned()).filter(|status| !status.is_empty()))
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
        while let Some(pieces) = self.pieces().await {
            read.extend(elements(&pieces));
        }
        read
    }

    /// What the stream would write next.
    async fn pieces(&mut self) -> Option<Vec<Bytes>> {
        match self.outgoing.next_now()? {
            Next::Write(pieces) => {
                self.outgoing.written(pieces.len());
                Some(pieces)
            }
            Next::HandOut => {
                let messages = self.session.waiting_messages();
                let pieces = messages.iter().map(|message| message.stanza.clone()).collect();
                self.session.handed_over(messages.iter().map(|message| message.id).collect()).await;
                Some(pieces)
            }
            Next::Close(_) => None,
        }
    }

    /// Why the stream is to be closed, if it is.
    async fn is_closed(&mut self) -> Option<Option<StreamError>> {
        self.reads().await;
        match self.outgoing.next_now() {
            Some(Next::Close(error)) => Some(error),
            _ => None,
        }
    }
}

/// The stanzas in what a stream would write.
fn elements(pieces: &[Bytes]) -> Vec<Element> {
    let text: String = pieces.iter().map(|piece| std::str::from_utf8(piece).unwrap()).collect();
    let all: Element = format!("<all xmlns='all'>{text}</all>").parse().unwrap();
    all.children().cloned().collect()
}

/// `presence:away ann@here/desk`, `message:chat ann@here/desk`, `push bob@here both`, `block bob@here`,
/// `iq:error service-unavailable`.
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
    if let Some(command) = stanza.children().find(|child| child.has_ns(ns::BLOCKING)).filter(|_| stanza.name() == "iq")
    {
        let jids = command.children().filter_map(|item| item.attr("jid"));
        return [command.name()].into_iter().chain(jids).collect::<Vec<_>>().join(" ");
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
