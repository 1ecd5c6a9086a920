//! Components: addresses beyond the served domain for which something here answers (XEP-0114 section 1, RFC 6120 section 10.4).
//!
//! A plugin that is in service answers for `<its id>.<domain>`. Whoever is in service when a stanza is handed over gets it: nothing has to
//! be told when a version takes over or is removed. What may be an answer goes to the versions before it, too, until they have finished
//! what was asked of them: nobody knows which of them it is for. A program that is connected ([`ComponentSession`]) answers for the domain
//! that it was let in for. An address that nobody answers for at this moment is that of a server that can't be found.

use std::{
    collections::HashMap,
    sync::{Arc, OnceLock},
};

use jid::{DomainPart, DomainRef, Jid};
use minidom::{Element, Node};
use parking_lot::RwLock;

use super::{
    Hub,
    returned::parse,
    stanza::{Condition, Refusal, Stanza, accept_from_component, error_reply, ns, serialise_within_limit, set},
    unanswered::{Unanswered, prober},
};
use crate::{
    address,
    plugin::{
        generation::{Doors, Generation},
        route::Routes,
        services::address as address_of,
        stanzas::Handed,
    },
    xmpp::{error::StreamError, outbox::Outbox, xml},
};

/// How often a plugin is looked up that is replaced at this very moment.
const TRIES: usize = 3;

/// Who answers for addresses beyond the served domain.
#[derive(Default)]
pub(super) struct Components {
    /// The programs that are connected, by their domains.
    connected: RwLock<HashMap<String, Connected>>,
    plugins: OnceLock<Arc<Routes>>,
}

/// A program that is connected.
#[derive(Clone)]
struct Connected {
    outbox: Outbox,
    unanswered: Arc<Unanswered>,
}

/// The stream's end of a connected component. Dropping it is a lost connection: nobody answers for the domain any more.
pub struct ComponentSession {
    hub: Arc<Hub>,
    domain: DomainPart,
    connected: Connected,
}

/// A stanza that a component sent: from an address at its domain, and addressed to somebody.
pub struct Spoken {
    pub(super) from: Jid,
    pub(super) to: Jid,
    pub(super) stanza: Stanza,
}

impl ComponentSession {
    /// The domain that it answers for.
    pub fn domain(&self) -> &DomainRef {
        &self.domain
    }

    /// Takes a stanza that the component sent, as [`Session::receive`](super::Session::receive) does.
    ///
    /// # Errors
    /// The component broke the protocol in a way that ends its stream.
    pub async fn receive(&mut self, stanza: Element) -> Result<(), StreamError> {
        match accept_from_component(stanza, &self.domain) {
            Ok(spoken) => {
                let Spoken { from, to, stanza } = &spoken;
                if stanza.element.name() == "presence" && may_be_answer(&stanza.element) {
                    self.connected.unanswered.answer(from, to);
                }
                self.hub.receive_from_component(spoken).await;
            }
            Err(Refusal::Stream(error)) => return Err(error),
            Err(Refusal::Stanza(stanza, condition)) => {
                let to = stanza.attr("from").and_then(|from| address::jid(from).ok());
                if let (Some(to), Some(reply)) = (to, error_reply(&stanza, condition)) {
                    self.hub.post_presence_away(&to, &reply);
                }
            }
        }
        Ok(())
    }
}

impl Drop for ComponentSession {
    fn drop(&mut self) {
        self.hub.components.connected.write().remove(self.domain.as_str());
        // What was not written is told of, as if the component had been gone before, and so are probes, whether they were written or not.
        let Connected { outbox, unanswered } = &self.connected;
        outbox.break_off(StreamError::HostGone);
        let unwritten = outbox.take_back().into_iter().filter_map(|stanza| parse(&stanza));
        let unwritten = unwritten.map(|stanza| moved(&stanza, xml::COMPONENT, ns::CLIENT));
        for stanza in unwritten.chain(unanswered.take()) {
            self.hub.return_to_sender(&stanza, Condition::RemoteServerNotFound);
        }
    }
}

impl Spoken {
    /// Reads a stanza that a component of this domain wrote, with the limits of a client's.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(text: &str, domain: &str) -> Result<Spoken, String> {
        let element = xml::read_stanza(text).map_err(|error| format!("it is no stanza: {}", error.condition()))?;
        let domain = DomainPart::new(domain).map_err(|error| format!("the address {domain:?} is none: {error}"))?;
        accept_from_component(element, &domain).map_err(|refusal| refusal.to_string())
    }
}

impl Hub {
    /// Makes the plugins known that have addresses of their own.
    pub fn know_plugins(&self, plugins: Arc<Routes>) {
        // There is one table of them in a server.
        let _ = self.components.plugins.set(plugins);
    }

    /// Lets a component in that has proved that it may answer for a domain. `None`: somebody does already.
    pub fn connect_component(self: &Arc<Self>, domain: &DomainRef, outbox: Outbox) -> Option<ComponentSession> {
        let address = Jid::from(domain.to_owned());
        let mut connected = self.components.connected.write();
        if self.serves(&address) || self.plugin_at(&address).is_some() || connected.contains_key(domain.as_str()) {
            return None;
        }
        let component = Connected { outbox, unanswered: Arc::default() };
        connected.insert(domain.as_str().into(), component.clone());
        Some(ComponentSession { hub: self.clone(), domain: domain.to_owned(), connected: component })
    }

    /// Ends the stream of a connected component.
    pub fn close_component(&self, domain: &DomainRef, error: StreamError) {
        if let Some(component) = self.components.connected.read().get(domain.as_str()) {
            component.outbox.close(Some(error));
        }
    }

    /// Takes a stanza of a component. All answers go back to it. Let it finish, as [`Session::receive`](super::Session::receive).
    pub async fn receive_from_component(&self, spoken: Spoken) {
        let reply = self.handle_from_component(&spoken).await;
        let reply = reply.unwrap_or_else(|condition| error_reply(&spoken.stanza.element, condition));
        if let Some(reply) = reply
            && let Err(condition) = self.post_away(&spoken.from, &reply)
        {
            log::debug!("{} is not answered: {condition:?}", spoken.from);
        }
    }

    /// Sends a stanza to a component.
    ///
    /// # Errors
    /// Nobody answers for this domain, or too much waits there.
    pub(super) fn post_away(&self, to: &Jid, stanza: &Element) -> Result<(), Condition> {
        let connected = self.components.connected.read().get(to.domain().as_str()).cloned();
        if let Some(Connected { outbox, unanswered }) = connected {
            let bytes = serialise_within_limit(&moved(stanza, ns::CLIENT, xml::COMPONENT))?;
            // Its answer may be there before it is known that it was sent.
            let prober = prober(stanza).filter(|from| !self.serves(from));
            prober.iter().for_each(|from| unanswered.ask(from, to, stanza));
            let handed = outbox.offer(bytes, stanza.name() != "presence");
            if handed != Handed::Over {
                prober.iter().for_each(|from| unanswered.answer(to, from));
            }
            return match handed {
                Handed::Over => Ok(()),
                Handed::Full => Err(Condition::ResourceConstraint),
                Handed::Gone => Err(Condition::RemoteServerNotFound),
            };
        }
        let text = String::from_utf8(serialise_within_limit(stanza)?.into()).expect("a tree is written as UTF-8");
        let (plugins, id) = self.plugins().zip(self.plugin_id(to)).ok_or(Condition::RemoteServerNotFound)?;
        for _ in 0..TRIES {
            let table = plugins.load();
            let handed = table.component(id).map(|plugin| plugin.hand(text.clone()));
            if handed == Some(Handed::Gone) {
                continue;
            }
            let former = table.former_components(id).filter(|_| may_be_answer(stanza));
            let awaited = former.filter(|former| former.hand_while_draining(text.clone()) == Handed::Over).count();
            return match handed {
                Some(Handed::Full) => Err(Condition::ResourceConstraint),
                None if awaited == 0 => Err(Condition::RemoteServerNotFound),
                _ => Ok(()),
            };
        }
        Err(Condition::ServiceUnavailable)
    }

    /// Sends a presence to a component, addressed to it; to nobody without an error (RFC 6121 section 8.5.2.1.2).
    pub(super) fn post_presence_away(&self, to: &Jid, presence: &Element) {
        let mut addressed = presence.clone();
        set(&mut addressed, "to", to.as_str());
        if let Err(condition) = self.post_away(to, &addressed) {
            log::debug!("{to} is not sent a presence: {condition:?}");
        }
    }

    /// Whether somebody answers for the domain of an address that is not ours.
    pub(super) fn is_component(&self, jid: &Jid) -> bool {
        self.components.connected.read().contains_key(jid.domain().as_str()) || self.plugin_at(jid).is_some()
    }

    /// The addresses that are answered for, in no order.
    pub(super) fn component_addresses(&self) -> Vec<String> {
        let plugins = self.plugins().map(|plugins| plugins.load_full());
        let generations = plugins.iter().flat_map(|plugins| plugins.generations());
        let ids = generations.filter(|plugin| plugin.is_component()).map(|plugin| &plugin.manifest().id);
        let connected = self.components.connected.read().keys().cloned().collect::<Vec<_>>();
        ids.map(|id| address_of(id, self.domain.as_str())).chain(connected).collect()
    }

    fn plugin_at(&self, jid: &Jid) -> Option<Arc<Generation>> {
        self.plugins()?.load().component(self.plugin_id(jid)?).map(Doors::generation).cloned()
    }

    fn plugins(&self) -> Option<&Arc<Routes>> {
        self.components.plugins.get()
    }

    /// The plugin whose address this is, should there be one.
    fn plugin_id<'a>(&self, jid: &'a Jid) -> Option<&'a str> {
        jid.domain().as_str().strip_suffix(self.domain.as_str())?.strip_suffix('.')
    }
}

/// Whether a stanza may answer another one. To such a one nobody answers in turn.
fn may_be_answer(stanza: &Element) -> bool {
    matches!(
        (stanza.name(), stanza.attr("type")),
        (_, Some("error")) | ("iq", Some("result")) | ("presence", None | Some("unavailable"))
    )
}

/// The stanza with its content in another namespace: a component's stream has its own (XEP-0114 section 3). What is forwarded inside of it
/// stays as it is.
fn moved(element: &Element, from: &str, to: &str) -> Element {
    if !element.has_ns(from) {
        return element.clone();
    }
    let mut copy = Element::bare(element.name(), to);
    *copy.attrs_mut() = element.attrs().clone();
    for node in element.nodes() {
        match node {
            Node::Element(child) => drop(copy.append_child(moved(child, from, to))),
            Node::Text(text) => copy.append_text(text.as_str()),
        }
    }
    copy
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_forwarded_stays_a_clients() {
        let stanza = "<message xmlns='jabber:client' to='a' xml:lang='en'><body>x</body><f xmlns='f'><message xmlns='jabber:client'>\
                      <body/></message></f> y</message>";
        let expected = "<message xmlns='jabber:component:accept' to='a' xml:lang='en'><body>x</body><f xmlns='f'>\
                        <message xmlns='jabber:client'><body/></message></f> y</message>";
        let [stanza, expected] = [stanza, expected].map(|xml| xml.parse::<Element>().unwrap());
        assert_eq!(moved(&stanza, ns::CLIENT, xml::COMPONENT), expected);
    }
}
