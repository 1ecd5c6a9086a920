//! Presence probes (RFC 6121 section 4.3): who is asked, by a client, by a component, or by this server for a user who has just come.

use jid::{BareJid, Jid};
use minidom::Element;

use super::{
    ConnectedResource, Hub,
    audience::Viewer,
    presence::unavailable,
    stanza::{Condition, element, ns},
};
use crate::store::{Goodbye, roster::Roster};

impl Hub {
    /// A probe of a client or a component (section 4.3.2), answered through `send`, which addresses what it is given. Unknown users and those
    /// who don't share their presence answer alike; who blocks the prober must not answer (XEP-0191 section 3.3).
    pub(super) fn probe(&self, prober: Viewer<'_>, to: &Jid, send: &dyn Fn(&Element)) -> Result<(), Condition> {
        let contact = to.to_bare();
        if self.blocks(&contact, prober.jid) {
            return Ok(());
        }
        if contact != *prober.user && !is_subscriber(&*self.store.roster(&contact)?, prober.user) {
            send(&element("presence", ns::CLIENT, [("type", "unsubscribed"), ("from", contact.as_str())]));
            return Ok(());
        }
        let mut resources = self.registry.available(&contact);
        if resources.is_empty() && to.is_bare() && self.show_goodbyes(&[&contact], prober, send) {
            return Ok(());
        }
        resources.retain(|resource| to.is_bare() || *resource.jid() == *to);
        if resources.is_empty() {
            send(&unavailable(to));
        }
        resources.iter().for_each(|resource| self.show(resource, prober, send));
        Ok(())
    }

    /// Shows how contacts left who are not there, and when (section 4.3.2, XEP-0203), unless the viewer blocks the resource
    /// that left. `false`: nothing was to be shown.
    pub(super) fn show_goodbyes(&self, contacts: &[&BareJid], to: Viewer<'_>, send: &dyn Fn(&Element)) -> bool {
        let goodbyes = self.store.goodbyes(contacts).unwrap_or_else(|cause| {
            log::error!("{} is not told how contacts left: {cause}", to.user);
            Vec::new()
        });
        let mut any = false;
        for Goodbye { stanza, at, .. } in goodbyes {
            let Ok(mut stanza) = stanza.parse::<Element>() else { continue };
            if stanza.attr("from").is_none_or(|from| self.store.blocks(to.jid.as_str(), from)) {
                continue;
            }
            let at = format!("{:.3}", jiff::Timestamp::from_millisecond(at).unwrap_or_default());
            stanza.append_child(element("delay", ns::DELAY, [("from", self.domain.as_str()), ("stamp", &at)]));
            send(&stanza);
            any = true;
        }
        any
    }

    /// Asks a component for the presence of a contact (section 4.3.1). What it answers goes to this resource.
    pub(super) fn ask_for_presence(&self, of: &ConnectedResource, contact: &BareJid) {
        if self.are_parted(of.jid(), contact) {
            return;
        }
        let probe = element("presence", ns::CLIENT, [("type", "probe"), ("from", of.jid().as_str())]);
        self.post_presence_away(contact, &probe);
    }
}

/// Whether the owner of a roster shares presence with a contact.
fn is_subscriber(roster: &Roster, contact: &BareJid) -> bool {
    roster.items.get(contact).is_some_and(|item| item.from)
}
