//! Requests and their answers (RFC 6120 section 8.2.3, RFC 6121 section 8.5): every request is answered, by whom it is
//! addressed to or, for an account and for the server, here.

use std::sync::Arc;

use jid::{FullJid, Jid};
use minidom::Element;

use super::{
    ConnectedResource, Hub, disco,
    stanza::{Condition, Stanza, element, ns, result, serialise_within_limit},
};

/// A well-formed request: `get` or `set` with exactly one child.
struct Request<'a> {
    is_set: bool,
    payload: &'a Element,
    stanza: &'a Element,
}

impl Hub {
    /// Takes an IQ stanza of a session. Returns what remains to be answered.
    pub(super) async fn iq(
        &self,
        from: &Arc<ConnectedResource>,
        stanza: &Stanza,
    ) -> Result<Option<Element>, Condition> {
        let request = Request::parse(&stanza.element)?;
        if let Some(to) = &stanza.to {
            if !self.serves(to) {
                return self.post_away(to, &stanza.element).map(|()| None);
            }
            if let Ok(full) = to.try_as_full() {
                return self.forward(from.jid(), full, &stanza.element);
            }
        }
        // An answer to the server, such as that to a roster push, ends here.
        let Some(request) = request else { return Ok(None) };
        match &stanza.to {
            None => self.account_request(from, &request).await,
            Some(to) if *to == **from.user() => self.account_request(from, &request).await,
            Some(to) if self.is_self(to) && request.payload.is("query", ns::REGISTER) => {
                self.registration_request(from, &request).await
            }
            Some(to) if self.is_self(to) => self.server_request(&request),
            Some(to) => self.foreign_request(from.jid(), to, &request),
        }
    }

    /// Takes an IQ stanza that a component sent to this server. Returns what remains to be answered.
    pub(super) fn iq_from_component(
        &self,
        from: &Jid,
        to: &Jid,
        stanza: &Element,
    ) -> Result<Option<Element>, Condition> {
        let request = Request::parse(stanza)?;
        if let Ok(full) = to.try_as_full() {
            return self.forward(from, full, stanza);
        }
        match request {
            None => Ok(None),
            Some(request) if self.is_self(to) => self.server_request(&request),
            Some(request) => self.foreign_request(from, to, &request),
        }
    }

    /// Section 8.5.3: to a resource, answered by its client. One whose user blocks the sender is not there (XEP-0191
    /// section 3.3).
    fn forward(&self, from: &Jid, to: &FullJid, stanza: &Element) -> Result<Option<Element>, Condition> {
        let stanza = serialise_within_limit(stanza)?;
        let found = self.registry.find(to).filter(|_| !self.are_parted(from, to));
        let delivered = found.is_some_and(|resource| resource.post_message(stanza, None));
        if delivered { Ok(None) } else { Err(Condition::ServiceUnavailable) }
    }

    /// To the sender's own account.
    async fn account_request(
        &self,
        from: &Arc<ConnectedResource>,
        request: &Request<'_>,
    ) -> Result<Option<Element>, Condition> {
        let payload = request.payload;
        match (request.is_set, payload.name(), payload.ns().as_str()) {
            (false, "query", ns::ROSTER) => {
                self.roster_get(from, request.stanza, payload).await?;
                Ok(None)
            }
            (true, "query", ns::ROSTER) => {
                self.roster_set(from, payload).await?;
                Ok(request.result(None))
            }
            (false, "blocklist", ns::BLOCKING) => {
                self.blocklist_get(from, request.stanza).await;
                Ok(None)
            }
            (true, "block" | "unblock", ns::BLOCKING) => {
                self.blocklist_set(from, payload).await?;
                Ok(request.result(None))
            }
            (true, "enable" | "disable", ns::CARBONS) => {
                from.take_copies(payload.name() == "enable");
                Ok(request.result(None))
            }
            (false, "query", ns::PRIVATE) => Ok(request.result(Some(self.private_get(from, payload)?))),
            (true, "query", ns::PRIVATE) => {
                self.private_set(from, payload).await?;
                Ok(request.result(None))
            }
            (false, "vCard", ns::VCARD) => Ok(request.result(Some(self.own_card(from.user())?))),
            (true, "vCard", ns::VCARD) => {
                self.set_card(from.user(), payload).await?;
                Ok(request.result(None))
            }
            (false, "query", ns::LAST) => Ok(request.result(Some(self.last_activity(from.user())?))),
            (_, "query", ns::REGISTER) => self.registration_request(from, request).await,
            (false, "query", ns::DISCO_INFO) => Ok(request.result(Some(disco::account_info(payload)?))),
            (false, "query", ns::DISCO_ITEMS) => Ok(request.result(Some(disco::items(payload, Vec::new())?))),
            (false, "ping", ns::PING) => Ok(request.result(None)),
            // RFC 3921 section 3: older clients ask for a session; RFC 6121 made it part of the bind.
            (true, "session", ns::SESSION) => Ok(request.result(None)),
            _ => Err(Condition::ServiceUnavailable),
        }
    }

    /// About the sender's own account; it may be addressed to the server.
    async fn registration_request(
        &self,
        from: &Arc<ConnectedResource>,
        request: &Request<'_>,
    ) -> Result<Option<Element>, Condition> {
        match request.is_set {
            true => self.change_registration(from, request.stanza, request.payload).await,
            false if from.is_anonymous() => Err(Condition::NotAllowed),
            false => Ok(request.result(Some(self.registration(from)))),
        }
    }

    /// To the account of somebody else: what contacts may see, and the same answer for all others and unknown users.
    fn foreign_request(&self, from: &Jid, to: &Jid, request: &Request<'_>) -> Result<Option<Element>, Condition> {
        let payload = request.payload;
        if payload.has_ns(ns::ROSTER) {
            return Err(Condition::Forbidden);
        }
        let roster = self.store.roster(&to.to_bare())?;
        // A request about the roster came back forbidden even so: whoever is blocked learns nothing from a difference.
        let is_subscriber = roster.items.get(&from.to_bare()).is_some_and(|item| item.from)
            && !self.store.blocks(to.as_str(), from.as_str());
        match (request.is_set, payload.name(), payload.ns().as_str()) {
            (false, "query", ns::DISCO_INFO) if is_subscriber => {
                Ok(request.result(Some(disco::account_info(payload)?)))
            }
            (false, "query", ns::DISCO_ITEMS) if is_subscriber => {
                Ok(request.result(Some(disco::items(payload, Vec::new())?)))
            }
            (false, "query", ns::LAST) if is_subscriber => Ok(request.result(Some(self.last_activity(&to.to_bare())?))),
            // XEP-0012 section 4: to who may not see presence, whether there is such a user or not.
            (false, "query", ns::LAST) => Err(Condition::Forbidden),
            (false, "vCard", ns::VCARD) => Ok(request.result(Some(self.card_for(from, &to.to_bare())?))),
            _ => Err(Condition::ServiceUnavailable),
        }
    }

    /// To the server.
    fn server_request(&self, request: &Request<'_>) -> Result<Option<Element>, Condition> {
        let payload = request.payload;
        let answer = match (request.is_set, payload.name(), payload.ns().as_str()) {
            (false, "query", ns::DISCO_INFO) => Some(disco::server_info(payload)?),
            (false, "query", ns::DISCO_ITEMS) => Some(disco::items(payload, self.component_addresses())?),
            (false, "query", ns::VERSION) => Some(version()),
            (false, "query", ns::LAST) => Some(self.uptime()),
            (false, "ping", ns::PING) | (true, "session", ns::SESSION) => None,
            _ => return Err(Condition::ServiceUnavailable),
        };
        Ok(request.result(answer))
    }
}

/// XEP-0092.
fn version() -> Element {
    let mut query = Element::bare("query", ns::VERSION);
    for (name, value) in [("name", env!("CARGO_PKG_NAME")), ("version", env!("CARGO_PKG_VERSION"))] {
        let mut child = element(name, ns::VERSION, []);
        child.append_text(value);
        query.append_child(child);
    }
    query
}

impl<'a> Request<'a> {
    /// `None`: it is an answer. The rules are those of RFC 6120 section 8.2.3.
    fn parse(stanza: &'a Element) -> Result<Option<Request<'a>>, Condition> {
        let is_set = match stanza.attr("type") {
            Some("get") => false,
            Some("set") => true,
            Some("result" | "error") => return Ok(None),
            _ => return Err(Condition::BadRequest),
        };
        let mut children = stanza.children();
        match (stanza.attr("id"), children.next(), children.next()) {
            (Some(_), Some(payload), None) => Ok(Some(Request { is_set, payload, stanza })),
            _ => Err(Condition::BadRequest),
        }
    }

    fn result(&self, payload: Option<Element>) -> Option<Element> {
        Some(result(self.stanza, payload))
    }
}
