//! Components: addresses beyond the served domain for which something here answers (XEP-0114 section 1, RFC 6120 section 10.4).
//!
//! A plugin that is in service answers for `<its id>.<domain>`. Whoever is in service when a stanza is handed over gets it: nothing has to
//! be told when a version takes over or is removed. An address that nobody answers for is that of a server
//! that can't be found.

use std::sync::{Arc, OnceLock};

use jid::{DomainPart, Jid};
use minidom::Element;

use super::{
    Hub,
    stanza::{Condition, Stanza, accept_from_component, error_reply, serialise_within_limit},
};
use crate::{
    plugin::{generation::Generation, route::Routes, services::address, stanzas::Handed},
    xmpp::xml,
};

/// How often a plugin is looked up that is replaced at this very moment.
const TRIES: usize = 3;

/// Who answers for addresses beyond the served domain.
#[derive(Default)]
pub(super) struct Components {
    plugins: OnceLock<Arc<Routes>>,
}

/// A stanza that a component sent: from an address at its domain, and addressed to somebody.
pub struct Spoken {
    pub(super) from: Jid,
    pub(super) to: Jid,
    pub(super) stanza: Stanza,
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
        let text = String::from_utf8(serialise_within_limit(stanza)?.into()).expect("a tree is written as UTF-8");
        for _ in 0..TRIES {
            let plugin = self.plugin_at(to).ok_or(Condition::RemoteServerNotFound)?;
            match plugin.hand(text.clone()) {
                Handed::Over => return Ok(()),
                Handed::Full => return Err(Condition::ResourceConstraint),
                Handed::Gone => {}
            }
        }
        Err(Condition::ServiceUnavailable)
    }

    /// The addresses that are answered for, in no order.
    pub(super) fn component_addresses(&self) -> Vec<String> {
        let plugins = self.components.plugins.get().map(|plugins| plugins.load_full());
        let generations = plugins.iter().flat_map(|plugins| plugins.generations());
        let ids = generations.filter(|plugin| plugin.is_component()).map(|plugin| &plugin.manifest().id);
        ids.map(|id| address(id, self.domain.as_str())).collect()
    }

    fn plugin_at(&self, jid: &Jid) -> Option<Arc<Generation>> {
        let id = jid.domain().as_str().strip_suffix(self.domain.as_str())?.strip_suffix('.')?;
        self.components.plugins.get()?.load().component(id).cloned()
    }
}
