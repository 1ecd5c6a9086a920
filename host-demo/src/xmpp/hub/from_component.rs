//! What components send to users of this server and to the server: by the rules for what comes from another domain (RFC 6121
//! sections 4 and 8, RFC 6120 section 10.5).

use jid::Jid;
use minidom::Element;

use super::{
    Hub,
    audience::Viewer,
    components::Spoken,
    presence::within_limit,
    stanza::{Condition, Kind, serialise_to},
    subscription::Request,
};

impl Hub {
    /// Returns what remains to be answered.
    pub(super) async fn handle_from_component(&self, spoken: &Spoken) -> Result<Option<Element>, Condition> {
        let Spoken { from, to, stanza } = spoken;
        if !self.serves(to) {
            return self.post_away(to, &stanza.element).map(|()| None);
        }
        match stanza.kind {
            Kind::Message => self.message_from_component(spoken).await.map(|()| None),
            Kind::Iq => self.iq_from_component(from, to, &stanza.element),
            Kind::Presence => self.presence_from_component(spoken).await.map(|()| None),
        }
    }

    async fn presence_from_component(&self, spoken: &Spoken) -> Result<(), Condition> {
        let Spoken { from, to, stanza } = spoken;
        within_limit(&stanza.element)?;
        match stanza.kind_attribute() {
            None | Some("unavailable" | "error") => {
                self.deliver_presence(from, to, &stanza.element);
                Ok(())
            }
            Some("probe") => {
                let prober = Viewer { jid: from, user: &from.to_bare() };
                self.probe(prober, to, &|stanza| self.post_presence_away(from, stanza))
            }
            Some(kind) => {
                let request = Request::parse(kind).ok_or(Condition::BadRequest)?;
                self.subscription_from_component(&from.to_bare(), request, &to.to_bare(), &stanza.element).await
            }
        }
    }

    /// Delivers a presence to a resource, or to the available ones of an account, whose users do not block its sender.
    fn deliver_presence(&self, from: &Jid, to: &Jid, presence: &Element) {
        let mut viewers = self.registry.addressed(to);
        viewers.retain(|viewer| !self.store.blocks(viewer.jid().as_str(), from.as_str()));
        if !viewers.is_empty() {
            let presence = serialise_to(presence, to);
            for viewer in viewers {
                viewer.post(presence.clone());
            }
        }
    }
}
