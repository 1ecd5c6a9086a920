//! Stanzas as the hub sees them (RFC 6120 section 8): the whole tree as it was sent, with its addresses parsed.

use std::fmt;

use bytes::Bytes;
use jid::{DomainRef, FullJid, Jid};
use minidom::{
    Element,
    rxml::{Namespace, NcName},
};

use super::components::Spoken;
use crate::{
    address,
    xmpp::{error::StreamError, xml::Limits},
};

/// The namespaces that the hub itself understands.
pub(super) mod ns {
    pub const BLOCKING: &str = "urn:xmpp:blocking";
    pub const BLOCKING_ERRORS: &str = "urn:xmpp:blocking:errors";
    pub const CARBONS: &str = "urn:xmpp:carbons:2";
    /// Says that the rules of section 6.1 of the XEP are kept.
    pub const CARBONS_RULES: &str = "urn:xmpp:carbons:rules:0";
    pub const CLIENT: &str = "jabber:client";
    pub const DELAY: &str = "urn:xmpp:delay";
    pub const DISCO_INFO: &str = "http://jabber.org/protocol/disco#info";
    pub const DISCO_ITEMS: &str = "http://jabber.org/protocol/disco#items";
    pub const FORWARD: &str = "urn:xmpp:forward:0";
    pub const HINTS: &str = "urn:xmpp:hints";
    pub const LAST: &str = "jabber:iq:last";
    pub const PING: &str = "urn:xmpp:ping";
    pub const PRIVATE: &str = "jabber:iq:private";
    pub const REGISTER: &str = "jabber:iq:register";
    pub const ROOM_USER: &str = "http://jabber.org/protocol/muc#user";
    pub const ROSTER: &str = "jabber:iq:roster";
    pub const SESSION: &str = "urn:ietf:params:xml:ns:xmpp-session";
    pub const STANZAS: &str = "urn:ietf:params:xml:ns:xmpp-stanzas";
    pub const VCARD: &str = "vcard-temp";
    pub const VERSION: &str = "jabber:iq:version";
}

/// The three kinds of stanza (RFC 6120 section 8.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Message,
    Presence,
    Iq,
}

/// A stanza of a session, its `from` stamped with the session's full JID.
pub(super) struct Stanza {
    pub kind: Kind,
    pub to: Option<Jid>,
    pub element: Element,
}

/// Why a first-level child of the stream is not taken as a stanza.
pub(super) enum Refusal {
    /// The peer breaks the protocol: the stream ends.
    Stream(StreamError),
    /// The stanza alone is at fault. It comes back with what to answer.
    Stanza(Box<Element>, Condition),
}

/// The stanza errors this server uses (RFC 6120 section 8.3.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Condition {
    BadRequest,
    /// `<not-acceptable/>` to a user who writes to whom the user blocks (XEP-0191 section 3.3).
    Blocked,
    Forbidden,
    InternalServerError,
    ItemNotFound,
    JidMalformed,
    NotAcceptable,
    NotAllowed,
    PolicyViolation,
    RemoteServerNotFound,
    ResourceConstraint,
    ServiceUnavailable,
    /// `<policy-violation/>` to who may try the same again later.
    TooOften,
}

impl Stanza {
    /// Parses what `sender` sent and stamps it (RFC 6120 section 8.1.2.1).
    pub fn accept(mut element: Element, sender: &FullJid) -> Result<Stanza, Refusal> {
        let kind = kind_of(&element).map_err(Refusal::Stream)?;
        if !element.attr("from").is_none_or(|from| is_own(from, sender)) {
            return Err(Refusal::Stream(StreamError::InvalidFrom));
        }
        set(&mut element, "from", sender.as_str());
        match element.attr("to").map(address::jid).transpose() {
            Ok(to) => {
                // The recipient sees the address in the form in which it was compared.
                if let Some(to) = &to {
                    set(&mut element, "to", to.as_str());
                }
                Ok(Stanza { kind, to, element })
            }
            Err(_) => {
                // What is no JID can't be the `from` of the answer.
                unset(&mut element, "to");
                Err(Refusal::Stanza(Box::new(element), Condition::JidMalformed))
            }
        }
    }

    /// The `type` attribute.
    pub fn kind_attribute(&self) -> Option<&str> {
        self.element.attr("type")
    }
}

/// Parses what a component of this domain sent. It names itself in each stanza (XEP-0114 section 3), by any address at its domain and
/// no other, and whom it is for.
pub(super) fn accept_from_component(mut element: Element, domain: &DomainRef) -> Result<Spoken, Refusal> {
    let kind = kind_of(&element).map_err(Refusal::Stream)?;
    let from = element.attr("from").and_then(|from| address::jid(from).ok()).filter(|from| from.domain() == domain);
    let from = from.ok_or(Refusal::Stream(StreamError::InvalidFrom))?;
    set(&mut element, "from", from.as_str());
    let Some(to) = element.attr("to") else { return Err(Refusal::Stanza(Box::new(element), Condition::BadRequest)) };
    let Ok(to) = address::jid(to) else {
        unset(&mut element, "to");
        return Err(Refusal::Stanza(Box::new(element), Condition::JidMalformed));
    };
    set(&mut element, "to", to.as_str());
    Ok(Spoken { from, stanza: Stanza { kind, to: Some(to.clone()), element }, to })
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Stream(error) => f.write_str(error.condition()),
            Refusal::Stanza(_, condition) => f.write_str(condition.name()),
        }
    }
}

impl Condition {
    fn name(self) -> &'static str {
        match self {
            Condition::BadRequest => "bad-request",
            Condition::Forbidden => "forbidden",
            Condition::InternalServerError => "internal-server-error",
            Condition::ItemNotFound => "item-not-found",
            Condition::JidMalformed => "jid-malformed",
            Condition::NotAcceptable | Condition::Blocked => "not-acceptable",
            Condition::NotAllowed => "not-allowed",
            Condition::PolicyViolation | Condition::TooOften => "policy-violation",
            Condition::RemoteServerNotFound => "remote-server-not-found",
            Condition::ResourceConstraint => "resource-constraint",
            Condition::ServiceUnavailable => "service-unavailable",
        }
    }

    /// What the sender may do about it (RFC 6120 section 8.3.2).
    fn error_type(self) -> &'static str {
        match self {
            Condition::BadRequest | Condition::JidMalformed | Condition::NotAcceptable | Condition::PolicyViolation => {
                "modify"
            }
            Condition::Forbidden => "auth",
            Condition::ResourceConstraint | Condition::TooOften => "wait",
            Condition::Blocked
            | Condition::InternalServerError
            | Condition::ItemNotFound
            | Condition::NotAllowed
            | Condition::RemoteServerNotFound
            | Condition::ServiceUnavailable => "cancel",
        }
    }
}

/// The error answer to a stanza. `None` for one that must not be answered: an error never answers an error, nor an IQ
/// result (RFC 6120 sections 8.3.1 and 8.2.3).
pub(super) fn error_reply(stanza: &Element, condition: Condition) -> Option<Element> {
    let answerable = match stanza.attr("type") {
        Some("error") => false,
        Some("result") => stanza.name() != "iq",
        _ => true,
    };
    answerable.then(|| {
        let mut reply = reply(stanza, "error");
        let mut error = element("error", ns::CLIENT, [("type", condition.error_type())]);
        error.append_child(Element::bare(condition.name(), ns::STANZAS));
        if condition == Condition::Blocked {
            error.append_child(Element::bare("blocked", ns::BLOCKING_ERRORS));
        }
        reply.append_child(error);
        reply
    })
}

/// The result of an IQ request.
pub(super) fn result(request: &Element, payload: Option<Element>) -> Element {
    let mut reply = reply(request, "result");
    if let Some(payload) = payload {
        reply.append_child(payload);
    }
    reply
}

fn reply(stanza: &Element, kind: &str) -> Element {
    let mut reply = element(stanza.name(), ns::CLIENT, [("type", kind)]);
    for (name, source) in [("id", "id"), ("to", "from"), ("from", "to")] {
        if let Some(value) = stanza.attr(source) {
            set(&mut reply, name, value);
        }
    }
    reply
}

/// A new element with these attributes.
pub(super) fn element<const N: usize>(name: &str, namespace: &str, attributes: [(&str, &str); N]) -> Element {
    let mut element = Element::bare(name, namespace);
    for (name, value) in attributes {
        set(&mut element, name, value);
    }
    element
}

/// Sets an attribute that has no namespace.
pub(super) fn set(element: &mut Element, name: &str, value: &str) {
    let name = NcName::try_from(name).expect("attribute names written by the hub are NCNames");
    element.attrs_mut().insert(Namespace::NONE, name, value.to_owned());
}

fn unset(element: &mut Element, name: &str) {
    element.attrs_mut().remove(&Namespace::NONE, name);
}

/// The bytes of a stanza, ready for an outbox.
pub(super) fn serialise(element: &Element) -> Bytes {
    let mut bytes = Vec::with_capacity(256);
    element.write_to(&mut bytes).expect("a parsed tree can be written to memory");
    bytes.into()
}

/// The bytes of a stanza on its way from one client to another.
///
/// # Errors
/// They are more than a client may send. What is read may grow forty times when it is written, because a namespace that
/// was declared once is declared anew for each element: it would fill the outbox of a recipient, whose session then ends.
pub(super) fn serialise_within_limit(element: &Element) -> Result<Bytes, Condition> {
    let bytes = serialise(element);
    if bytes.len() <= Limits::SESSION.bytes { Ok(bytes) } else { Err(Condition::PolicyViolation) }
}

/// The bytes of a stanza as sent to `to`.
pub(super) fn serialise_to(element: &Element, to: &Jid) -> Bytes {
    let mut addressed = element.clone();
    set(&mut addressed, "to", to.as_str());
    serialise(&addressed)
}

fn kind_of(element: &Element) -> Result<Kind, StreamError> {
    if !element.has_ns(ns::CLIENT) {
        return Err(StreamError::UnsupportedStanzaType);
    }
    match element.name() {
        "message" => Ok(Kind::Message),
        "presence" => Ok(Kind::Presence),
        "iq" => Ok(Kind::Iq),
        _ => Err(StreamError::UnsupportedStanzaType),
    }
}

fn is_own(from: &str, sender: &FullJid) -> bool {
    address::jid(from).is_ok_and(|from| match from.try_as_full() {
        Ok(full) => full == sender,
        Err(bare) => *bare == sender.to_bare(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sender() -> FullJid {
        FullJid::new("ann@here/desk").unwrap()
    }

    fn parse(xml: &str) -> Element {
        xml.parse().unwrap()
    }

    #[test]
    fn from_is_stamped_or_must_be_the_senders_own() {
        for from in ["", "from='ann@here'", "from='ANN@here/desk'"] {
            let stanza = parse(&format!("<message xmlns='jabber:client' {from}/>"));
            let Ok(stanza) = Stanza::accept(stanza, &sender()) else { panic!("{from} was refused") };
            assert_eq!(stanza.element.attr("from"), Some("ann@here/desk"));
        }
        for from in ["bob@here", "ann@here/phone", "here", "@"] {
            let stanza = parse(&format!("<message xmlns='jabber:client' from='{from}'/>"));
            let refusal = Stanza::accept(stanza, &sender());
            assert!(matches!(refusal, Err(Refusal::Stream(StreamError::InvalidFrom))), "{from} was taken");
        }
    }

    #[test]
    fn an_error_is_never_answered() {
        let error = parse("<message xmlns='jabber:client' type='error'/>");
        assert!(error_reply(&error, Condition::ServiceUnavailable).is_none());
        let result = parse("<iq xmlns='jabber:client' type='result' id='1'/>");
        assert!(error_reply(&result, Condition::ServiceUnavailable).is_none());
    }

    #[test]
    fn an_error_goes_back_to_where_the_stanza_came_from() {
        let stanza = parse("<iq xmlns='jabber:client' type='get' id='1' from='ann@here/desk' to='bob@here'/>");
        let reply = error_reply(&stanza, Condition::Forbidden).unwrap();
        let addresses = ["type", "id", "from", "to"].map(|name| reply.attr(name).unwrap());
        assert_eq!(addresses, ["error", "1", "bob@here", "ann@here/desk"]);
        let error = reply.get_child("error", ns::CLIENT).unwrap();
        assert_eq!(error.attr("type"), Some("auth"));
        assert!(error.has_child("forbidden", ns::STANZAS));
    }

    #[test]
    fn only_stanzas_are_taken() {
        for xml in ["<presence xmlns='jabber:server'/>", "<query xmlns='jabber:client'/>"] {
            let refusal = Stanza::accept(parse(xml), &sender());
            assert!(matches!(refusal, Err(Refusal::Stream(StreamError::UnsupportedStanzaType))));
        }
    }
}
