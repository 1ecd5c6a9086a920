//! The probes that a component was sent and has not answered (RFC 6121 section 4.3): if it goes, nobody need wait for it any more.
//!
//! Those of other components and of plugins are kept, which have somebody wait. Clients, and this server for its users, take silence for an answer.

use std::collections::BTreeMap;

use jid::{BareJid, Jid};
use minidom::Element;
use parking_lot::Mutex;

use super::{
    returned::address_in,
    stanza::{ns, set},
};

/// The most probes that are remembered of one component's.
const MOST: usize = 1_000;

/// Who asked whom, with the last probe of each.
#[derive(Default)]
pub(super) struct Unanswered(Mutex<BTreeMap<(BareJid, BareJid), Element>>);

impl Unanswered {
    /// The component is about to be sent a probe.
    pub(super) fn ask(&self, from: &Jid, to: &Jid, probe: &Element) {
        let (parties, mut probes) = ((from.to_bare(), to.to_bare()), self.0.lock());
        if probes.len() < MOST || probes.contains_key(&parties) {
            probes.insert(parties, head(probe));
        }
    }

    /// The component sent a presence, or an error in place of it.
    pub(super) fn answer(&self, from: &Jid, to: &Jid) {
        self.0.lock().remove(&(to.to_bare(), from.to_bare()));
    }

    /// The probes, for their senders to be told.
    pub(super) fn take(&self) -> impl Iterator<Item = Element> + use<> {
        std::mem::take(&mut *self.0.lock()).into_values()
    }
}

/// What of a probe is needed to say that it is not answered.
fn head(probe: &Element) -> Element {
    let mut head = Element::bare("presence", ns::CLIENT);
    let told = ["from", "to", "id", "type"].into_iter().filter_map(|name| Some((name, probe.attr(name)?)));
    told.for_each(|(name, value)| set(&mut head, name, value));
    head
}

/// Who sent a stanza, if it is a probe.
pub(super) fn prober(stanza: &Element) -> Option<Jid> {
    let is_probe = stanza.name() == "presence" && stanza.attr("type") == Some("probe");
    is_probe.then(|| address_in(stanza, "from")).flatten()
}
