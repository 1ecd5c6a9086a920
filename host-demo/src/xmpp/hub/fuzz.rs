//! What must hold for any address and any presence that a client sends.

use std::sync::{Arc, OnceLock};

use jid::{BareJid, DomainPart, FullJid, Jid, ResourcePart};
use minidom::Element;
use parking_lot::Mutex;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::{
    Hub, Session,
    stanza::{Condition, Refusal, Stanza, element, error_reply, ns},
};
use crate::{
    presence::Table,
    store::{Credentials, Keys, RosterChange, Store, roster::Item},
    xmpp::{
        error::StreamError,
        outbox::{Next, Outgoing, outbox},
        xml::{
            Event, Limits,
            fuzz::{OPEN, read, read_one},
        },
    },
};

/// The fuzz target `jid`: an address, in every place of a stanza where a client may put one.
pub fn jid(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let sender = FullJid::new("ann@here/desk").expect("a constant JID");
    let message = |attribute: &str| element("message", ns::CLIENT, [(attribute, text)]);
    match Stanza::accept(message("from"), &sender) {
        Ok(stamped) => assert_eq!(stamped.element.attr("from"), Some(sender.as_str()), "{text:?}"),
        Err(refusal) => assert!(matches!(refusal, Refusal::Stream(StreamError::InvalidFrom))),
    }
    match Stanza::accept(message("to"), &sender) {
        Ok(stanza) => is_settled(&stanza, text),
        Err(Refusal::Stanza(stanza, condition)) => {
            assert_eq!((stanza.attr("to"), condition), (None, Condition::JidMalformed), "{text:?}");
            let reply = error_reply(&stanza, condition).expect("a message is answered");
            assert_eq!(read_one(&String::from(&reply)).as_ref(), Ok(&reply), "{text:?}");
        }
        Err(Refusal::Stream(error)) => panic!("{text:?} ended the stream: {error:?}"),
    }
}

/// Whoever reads the address that is passed on reads the one that was compared.
fn is_settled(stanza: &Stanza, text: &str) {
    let to = stanza.to.as_ref().expect("there is a `to`");
    assert_eq!(stanza.element.attr("to"), Some(to.as_str()));
    let parts = [to.node().map(|node| node.as_str()), Some(to.domain().as_str()), to.resource().map(|it| it.as_str())];
    for part in parts.into_iter().flatten() {
        assert!((1..=1023).contains(&part.len()), "{text:?} has a part of {} bytes", part.len());
    }
    let again = Jid::new(to.as_str()).unwrap_or_else(|error| panic!("{text:?} is {to}, which is none: {error}"));
    assert_eq!(again, *to, "{text:?}");
    assert_eq!((again.node(), again.domain(), again.resource()), (to.node(), to.domain(), to.resource()), "{text:?}");
}

/// The fuzz target `presence`: what the client of a user sends as presence, and what comes of it for a contact and for the web.
pub fn presence(bytes: &[u8]) {
    let (events, _) = read(Limits::SESSION, &[OPEN.as_bytes(), bytes].concat(), usize::MAX);
    let stanzas = events.into_iter().filter_map(|event| match event {
        Event::Stanza(stanza) => Some(stanza),
        Event::Header(_) | Event::End => None,
    });
    // What a subscription changes is stored, and would tell with the next input.
    let stanzas = stanzas.filter(|stanza| stanza.is("presence", ns::CLIENT) && !is_subscription(stanza));
    static SERVER: OnceLock<Mutex<Server>> = OnceLock::new();
    SERVER.get_or_init(|| Mutex::new(Server::start())).lock().announce(stanzas.collect());
}

fn is_subscription(presence: &Element) -> bool {
    presence.attr("type").is_some_and(|kind| kind.contains("subscribe"))
}

/// A server whose users ann and bob see each other's presence.
struct Server {
    runtime: Runtime,
    hub: Arc<Hub>,
    table: Arc<Table>,
    _state: TempDir,
}

impl Server {
    fn start() -> Server {
        let state = tempfile::tempdir().expect("a temporary folder can be made");
        let store = Store::open(state.path()).expect("a store can be made");
        let table = Arc::<Table>::default();
        let domain: DomainPart = "here".parse().expect("a constant domain");
        let hub = Hub::new(domain, store.clone(), table.clone());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let keys = Keys { salt: vec![1; 16], iterations: 4096, stored_key: vec![2; 32], server_key: vec![3; 32] };
        let credentials = Credentials { scram_sha_1: keys.clone(), scram_sha_256: keys };
        runtime.block_on(async {
            let (ann, bob) = (account("ann"), account("bob"));
            for user in [&ann, &bob] {
                store.add_account(user, &credentials).await.expect("an account can be added");
            }
            let item = Item { from: true, to: true, listed: true, ..Item::default() };
            let change = |user: &BareJid, contact: &BareJid| RosterChange {
                user: user.clone(),
                contact: contact.clone(),
                item: Some(item.clone()),
                seen: true,
            };
            store.change_rosters(vec![change(&ann, &bob), change(&bob, &ann)]).await.expect("a roster can be changed");
        });
        Server { runtime, hub, table, _state: state }
    }

    /// Ann comes, sends these stanzas, and goes; bob is there all the while.
    fn announce(&self, stanzas: Vec<Element>) {
        self.runtime.block_on(async {
            let mut bob = self.connect("bob").await;
            bob.sends("<presence><status>bob's own</status></presence>").await;
            let bobs = self.table.read("bob@here");
            let mut ann = self.connect("ann").await;
            for stanza in stanzas {
                if ann.session.receive(stanza).await.is_err() {
                    break;
                }
                assert_eq!(self.table.read("bob@here"), bobs, "ann changed what the web shows of bob");
                let shown = self.table.read("ann@here").map_or(0, |ann| ann.count());
                assert!(shown <= 1, "ann has one resource, and the web shows {shown}");
            }
            let sender = ann.session.jid().clone();
            drop(ann);
            assert_eq!(self.table.read("ann@here").map_or(0, |ann| ann.count()), 0, "ann is gone");
            let seen = bob.reads().await;
            for stanza in seen.iter().filter(|stanza| stanza.attr("from") != Some(bob.session.jid().as_str())) {
                assert_eq!(stanza.attr("from"), Some(sender.as_str()), "{stanza:?}");
            }
            let last = seen.iter().rfind(|stanza| stanza.attr("from") == Some(sender.as_str()) && is_shown(stanza));
            assert!(
                last.is_none_or(|last| last.attr("type") == Some("unavailable")),
                "ann is gone, and bob saw {last:?}"
            );
        });
    }

    async fn connect(&self, user: &str) -> Client {
        let (outbox, outgoing) = outbox();
        let resource = ResourcePart::new("desk").expect("a constant resource");
        let session = self.hub.bind(&account(user), Some(&resource), outbox).await.expect("the account is there");
        Client { session, outgoing }
    }
}

/// Whether a presence says that somebody is there, or not.
fn is_shown(presence: &Element) -> bool {
    matches!(presence.attr("type"), None | Some("unavailable"))
}

fn account(user: &str) -> BareJid {
    BareJid::new(&format!("{user}@here")).expect("a constant JID")
}

struct Client {
    session: Session,
    outgoing: Outgoing,
}

impl Client {
    async fn sends(&mut self, stanza: &str) {
        let stanza = read_one(stanza).expect("a constant stanza");
        self.session.receive(stanza).await.expect("a stanza as it should be");
    }

    /// All that arrived, read as a client reads it.
    async fn reads(&mut self) -> Vec<Element> {
        let mut stanzas = Vec::new();
        while let Some(Next::Write(pieces)) = self.outgoing.next_now() {
            let bytes = [OPEN.as_bytes(), &pieces.concat()].concat();
            let (events, error) = read(Limits { per_stanza: true, ..Limits::SESSION }, &bytes, usize::MAX);
            assert_eq!(error, None, "{}", String::from_utf8_lossy(&bytes));
            stanzas.extend(events.into_iter().filter_map(|event| match event {
                Event::Stanza(stanza) => Some(stanza),
                Event::Header(_) | Event::End => None,
            }));
        }
        stanzas
    }
}
