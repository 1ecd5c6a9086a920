//! The service that users talk to with an XMPP client, at an address of the plugin's own: they choose who sees them on the web, and make tokens
//! and unlisted addresses.
//!
//! Stanzas go in and come out, as text; whose say it is about is behind [`Desk`]. Only who has an account on this server is served, and every request
//! is answered (RFC 6120 section 8.2.3).
//!
//! # Layout
//! [`Service::receive`] tells the kinds of stanzas apart. [`disco`] says what there is, [`commands`] are forms in several steps, [`register`] is
//! one form for clients without commands, [`chat`] takes the same as lines of text. [`element`] and [`forms`] are how all of it is written.

mod chat;
mod commands;
mod desk;
mod disco;
pub mod element;
mod errors;
mod forms;
mod register;

pub use self::desk::{Desk, News, Office};
use self::{
    commands::Commands,
    element::{CLIENT, Element},
    errors::Condition,
};

/// The namespace of pings (XEP-0199).
const PING: &str = "urn:xmpp:ping";

/// The service at one address.
pub struct Service<D> {
    desk: D,
    commands: Commands,
}

/// Somebody who may use the service, as a stanza named them.
#[derive(Clone, Copy, Debug)]
pub struct User<'a> {
    /// The full address, to which answers go.
    pub full: &'a str,
    /// The account.
    pub bare: &'a str,
}

/// What comes of a request: what stands in the answer, or why there is none.
type Reply = Result<Option<Element>, Condition>;

impl<D: Desk> Service<D> {
    /// The service over this desk.
    pub fn new(desk: D) -> Service<D> {
        Service { desk, commands: Commands::default() }
    }

    /// What is sent because of this stanza, in order.
    pub fn receive(&self, stanza: &str) -> Vec<String> {
        let Some(stanza) = Element::read(stanza) else { return Vec::new() };
        let answers = match stanza.name() {
            _ if stanza.namespace() != CLIENT => Vec::new(),
            "iq" => self.request(&stanza).into_iter().collect(),
            "message" => self.message(&stanza).into_iter().collect(),
            "presence" => self.presence(&stanza),
            _ => Vec::new(),
        };
        answers.iter().map(Element::to_string).collect()
    }

    /// Answers a request, and no answer.
    fn request(&self, iq: &Element) -> Option<Element> {
        let kind = iq.attribute("type").filter(|kind| ["get", "set"].contains(kind))?;
        let reply = match (iq.elements().next(), iq.elements().nth(1)) {
            (Some(payload), None) => self.reply(iq, kind, payload),
            _ => Err(Condition::BAD_REQUEST),
        };
        Some(match reply {
            Ok(payload) => back(iq).with("type", "result").children_from(payload),
            Err(condition) => errors::answer(iq, condition),
        })
    }

    fn reply(&self, iq: &Element, kind: &str, payload: &Element) -> Reply {
        if is_below_the_address(iq) {
            return Err(Condition::SERVICE_UNAVAILABLE);
        }
        let user = self.user(iq);
        match (kind, payload.name(), payload.namespace()) {
            ("get", "query", disco::INFO | disco::ITEMS) => {
                disco::reply(payload, iq.attribute("to").unwrap_or_default())
            }
            ("get", "ping", PING) => Ok(None),
            ("set", "command", commands::NAMESPACE) => {
                self.commands.reply(&self.desk, user.ok_or(Condition::FORBIDDEN)?, payload).map(Some)
            }
            ("get", "query", register::NAMESPACE) => register::form(&self.desk, user.ok_or(Condition::FORBIDDEN)?),
            ("set", "query", register::NAMESPACE) => {
                register::submit(&self.desk, user.ok_or(Condition::FORBIDDEN)?, payload)
            }
            _ => Err(Condition::SERVICE_UNAVAILABLE),
        }
    }

    /// Answers a line of chat, or of a message of any other type that is for one reader: one that is not known is like `normal` (RFC 6121 section
    /// 5.2.2), which is the type of an answer without one.
    fn message(&self, message: &Element) -> Option<Element> {
        let kind = match message.attribute("type") {
            Some("error" | "groupchat" | "headline") => return None,
            kind => kind.filter(|kind| *kind == "chat"),
        };
        let body = message.find("body", CLIENT)?.own_text();
        let Some(user) = self.user(message) else { return Some(errors::answer(message, Condition::FORBIDDEN)) };
        if is_below_the_address(message) {
            return Some(errors::answer(message, Condition::ITEM_NOT_FOUND));
        }
        let answer =
            back(message).with_some("type", kind).with_text("body", &chat::answer(&self.desk, user.bare, &body));
        Some(answer.children_from(message.find("thread", CLIENT).map(same_thread)))
    }

    /// Subscriptions and probes (RFC 6121 sections 3 and 4.3): whoever may use the service may see it, and it is always there. Who ends a subscription
    /// sees it no more (section 3.3.3).
    fn presence(&self, presence: &Element) -> Vec<Element> {
        let (Some(from), Some(to)) = (presence.attribute("from"), presence.attribute("to")) else { return Vec::new() };
        let user = self.user(presence);
        let sent = |kind: Option<&str>, to: &str| {
            Element::new("presence", CLIENT)
                .with("from", bare(presence.attribute("to").unwrap_or_default()))
                .with("to", to)
                .with_some("type", kind)
        };
        let available = || sent(None, from).with_text("status", "Write \"help\" to me.");
        match (presence.attribute("type"), user) {
            _ if is_below_the_address(presence) && to.contains('@') => Vec::new(),
            (Some("subscribe"), Some(user)) => vec![sent(Some("subscribed"), user.bare), available()],
            (Some("unsubscribe"), Some(user)) => {
                ["unavailable", "unsubscribed"].map(|kind| sent(Some(kind), user.bare)).into()
            }
            (Some("subscribe" | "unsubscribe"), None) => vec![sent(Some("unsubscribed"), bare(from))],
            (Some("probe"), Some(_)) => vec![available()],
            // The web asks the service about itself.
            (Some("probe"), None) if from == to => vec![available()],
            _ => Vec::new(),
        }
    }

    /// The sender, if it is one who may use the service.
    fn user<'a>(&self, stanza: &'a Element) -> Option<User<'a>> {
        let full = stanza.attribute("from")?;
        let user = User { full, bare: bare(full) };
        self.desk.has_account(user.bare).then_some(user)
    }
}

/// An answer to a stanza, with nothing in it yet.
fn back(stanza: &Element) -> Element {
    Element::new(stanza.name(), CLIENT)
        .with_some("from", stanza.attribute("to"))
        .with_some("to", stanza.attribute("from"))
        .with_some("id", stanza.attribute("id"))
}

/// A thread as an answer has it (XEP-0201). Whatever else a client has put there might need namespaces that the answer does not declare.
fn same_thread(thread: &Element) -> Element {
    Element::new("thread", CLIENT).with_some("parent", thread.attribute("parent")).text(thread.own_text())
}

/// Whether a stanza is for a user or a resource at the service's address, which has neither.
fn is_below_the_address(stanza: &Element) -> bool {
    stanza.attribute("to").is_some_and(|to| to.contains(['@', '/']))
}

fn bare(jid: &str) -> &str {
    jid.split_once('/').map_or(jid, |(bare, _)| bare)
}

#[cfg(test)]
mod tests;
