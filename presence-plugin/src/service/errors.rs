//! Stanza errors (RFC 6120 section 8.3), and those of commands (XEP-0050 section 4.4).

use super::{
    back, commands,
    element::{CLIENT, Element},
};

const STANZAS: &str = "urn:ietf:params:xml:ns:xmpp-stanzas";

/// Why a stanza was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    kind: &'static str,
    name: &'static str,
    /// A condition of commands.
    detail: Option<&'static str>,
    /// What people are told.
    text: String,
}

impl Condition {
    /// Only accounts of this server are served.
    pub const FORBIDDEN: Condition = Condition::new("auth", "forbidden");
    /// The request is not of the form that it should be.
    pub const BAD_REQUEST: Condition = Condition::new("modify", "bad-request");
    /// There is no such thing here.
    pub const ITEM_NOT_FOUND: Condition = Condition::new("cancel", "item-not-found");
    /// Nothing of the kind is done here.
    pub const SERVICE_UNAVAILABLE: Condition = Condition::new("cancel", "service-unavailable");
    /// The server failed; the log says why.
    pub const FAILED: Condition = Condition::new("wait", "internal-server-error");
    /// The action is not one that the stage of the command offers.
    pub const BAD_ACTION: Condition = Condition::of_commands("modify", "bad-request", "bad-action");
    /// The action is none.
    pub const MALFORMED_ACTION: Condition = Condition::of_commands("modify", "bad-request", "malformed-action");
    /// There is no such session.
    pub const BAD_SESSION: Condition = Condition::of_commands("modify", "bad-request", "bad-sessionid");
    /// The session was left alone for too long.
    pub const SESSION_EXPIRED: Condition = Condition::of_commands("cancel", "not-allowed", "session-expired");

    const fn new(kind: &'static str, name: &'static str) -> Condition {
        Condition { kind, name, detail: None, text: String::new() }
    }

    const fn of_commands(kind: &'static str, name: &'static str, detail: &'static str) -> Condition {
        Condition { kind, name, detail: Some(detail), text: String::new() }
    }

    /// A form was filled in with something that a field does not take.
    pub fn bad_payload(text: String) -> Condition {
        Condition { text, ..Condition::of_commands("modify", "bad-request", "bad-payload") }
    }

    /// The user has as many of these as anybody may have.
    pub fn too_many(text: String) -> Condition {
        Condition { text, ..Condition::new("wait", "resource-constraint") }
    }

    /// What people are told.
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl From<plugin_api::Error> for Condition {
    fn from(error: plugin_api::Error) -> Condition {
        plugin_api::log::error!("the service for users: {error}");
        Condition::FAILED
    }
}

/// The answer that tells of it.
pub fn answer(stanza: &Element, condition: Condition) -> Element {
    let mut error =
        Element::new("error", CLIENT).with("type", condition.kind).child(Element::new(condition.name, STANZAS));
    if !condition.text.is_empty() {
        error = error.child(Element::new("text", STANZAS).text(condition.text));
    }
    if let Some(detail) = condition.detail {
        error = error.child(Element::new(detail, commands::NAMESPACE));
    }
    back(stanza).with("type", "error").child(error)
}
