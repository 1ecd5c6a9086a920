//! A bound session: stanzas in and out (RFC 6120 section 8, RFC 6121).

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use minidom::Element;

use super::{
    Error, Result, Stream,
    connection::{PATIENCE, error_condition},
    escape, ns,
};

/// A logged-in client.
pub struct Session {
    stream: Stream,
    jid: String,
    unseen: VecDeque<Element>,
    requests: u32,
}

/// One item of a roster (RFC 6121 section 2.1.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RosterItem {
    /// The contact's bare JID.
    pub jid: String,
    /// The user's name for the contact; empty if it has none.
    pub name: String,
    /// `none`, `to`, `from` or `both`.
    pub subscription: String,
    /// Whether a request of the user waits for the contact's answer.
    pub asked: bool,
    /// The groups that the user put it into, in the server's order.
    pub groups: Vec<String>,
}

impl Session {
    pub(super) fn new(stream: Stream, jid: String) -> Session {
        Session { stream, jid, unseen: VecDeque::new(), requests: 0 }
    }

    /// The full JID that the server bound.
    pub fn jid(&self) -> &str {
        &self.jid
    }

    /// The bare JID of the user.
    pub fn bare_jid(&self) -> &str {
        self.jid.split_once('/').map_or(&self.jid, |(bare, _)| bare)
    }

    /// Gives up the session for its stream.
    pub(super) fn into_stream(self) -> Stream {
        self.stream
    }

    /// The stream below, for what no well-behaved client sends.
    pub fn stream(&mut self) -> &mut Stream {
        &mut self.stream
    }

    /// Sends XML as it is.
    pub fn send(&mut self, xml: &str) -> Result<()> {
        self.stream.send(xml)
    }

    /// Sends available presence: `show` is empty or one of `chat`, `away`, `xa`, `dnd`; an empty `status` is left out.
    pub fn available(&mut self, show: &str, status: &str) -> Result<()> {
        self.send(&format!("<presence>{}{}</presence>", tag("show", show), tag("status", status)))
    }

    /// Sends unavailable presence; the session stays. An empty `status` is left out.
    pub fn unavailable(&mut self, status: &str) -> Result<()> {
        self.send(&format!("<presence type='unavailable'>{}</presence>", tag("status", status)))
    }

    /// Sends a presence stanza of the subscription handshake (RFC 6121 section 3) to the bare JID `contact`.
    pub fn subscription(&mut self, kind: &str, contact: &str) -> Result<()> {
        self.send(&format!("<presence type='{kind}' to='{}'/>", escape(contact)))
    }

    /// Sends a chat message.
    pub fn message(&mut self, to: &str, body: &str) -> Result<()> {
        self.send(&format!("<message type='chat' to='{}'>{}</message>", escape(to), tag("body", body)))
    }

    /// Sends a request and returns its answer, which may be an error stanza. `to` is empty for the user's own account.
    pub fn request(&mut self, kind: &str, to: &str, payload: &str) -> Result<Element> {
        self.requests += 1;
        let id = format!("request-{}", self.requests);
        let to = if to.is_empty() { String::new() } else { format!(" to='{}'", escape(to)) };
        self.send(&format!("<iq type='{kind}' id='{id}'{to}>{payload}</iq>"))?;
        self.expect(|stanza| {
            let answer = matches!(stanza.attr("type"), Some("result" | "error"));
            stanza.name() == "iq" && answer && stanza.attr("id") == Some(&id)
        })
    }

    /// Reads the roster; from then on the server pushes its changes.
    pub fn roster(&mut self) -> Result<Vec<RosterItem>> {
        let answer = self.request("get", "", "<query xmlns='jabber:iq:roster'/>")?;
        Ok(RosterItem::all(&answer))
    }

    /// Returns once the server has processed everything sent so far.
    pub fn settle(&mut self) -> Result<()> {
        let domain = self.jid.split_once('@').map_or("", |(_, rest)| rest.split('/').next().unwrap_or(rest)).to_owned();
        self.request("get", &domain, "<ping xmlns='urn:xmpp:ping'/>").map(drop)
    }

    /// Everything that arrived and nobody has asked for yet, up to now: after a round trip to the server.
    pub fn arrived(&mut self) -> Result<Vec<Element>> {
        self.settle()?;
        Ok(self.unseen.drain(..).collect())
    }

    /// The first stanza that `fits`, among those that arrived earlier or those to come. The others stay for later.
    pub fn expect(&mut self, fits: impl Fn(&Element) -> bool) -> Result<Element> {
        if let Some(index) = self.unseen.iter().position(&fits) {
            return Ok(self.unseen.remove(index).expect("the index was found"));
        }
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.stream.receive_until(deadline) {
                Ok(stanza) if fits(&stanza) => return Ok(stanza),
                Ok(stanza) => self.unseen.push_back(stanza),
                Err(Error::TimedOut) => return Err(self.in_vain()),
                Err(error) => return Err(error),
            }
        }
    }

    /// Waits for a presence of type `kind` (empty: available) from the bare or full JID `from`.
    pub fn expect_presence(&mut self, kind: &str, from: &str) -> Result<Element> {
        self.expect(|stanza| {
            let sender = stanza.attr("from").unwrap_or_default();
            let bare = sender.split('/').next().unwrap_or_default();
            stanza.name() == "presence"
                && stanza.attr("type").unwrap_or_default() == kind
                && (sender == from || bare == from)
        })
    }

    /// The next stanza, whatever it is; `None` if none came within `patience`.
    pub fn next_within(&mut self, patience: Duration) -> Result<Option<Element>> {
        if let Some(stanza) = self.unseen.pop_front() {
            return Ok(Some(stanza));
        }
        match self.stream.receive_until(Instant::now() + patience) {
            Ok(stanza) => Ok(Some(stanza)),
            Err(Error::TimedOut) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Ends the stream as the protocol wants it and waits for the server to do so too (RFC 6120 section 4.4).
    pub fn close(mut self) -> Result<()> {
        self.send("</stream:stream>")?;
        match self.stream.connection().stream_error()? {
            None => Ok(()),
            Some(condition) => Err(Error::Stream(condition)),
        }
    }

    fn in_vain(&self) -> Error {
        let arrived: Vec<_> = self.unseen.iter().map(String::from).collect();
        Error::Unexpected(format!("{} waited in vain; there came only {arrived:?}", self.jid))
    }
}

impl RosterItem {
    /// The items of a roster result or push.
    pub fn all(iq: &Element) -> Vec<RosterItem> {
        let query = iq.get_child("query", ns::ROSTER);
        query.into_iter().flat_map(Element::children).map(RosterItem::parse).collect()
    }

    fn parse(item: &Element) -> RosterItem {
        let attribute = |name: &str| item.attr(name).unwrap_or_default().to_owned();
        RosterItem {
            jid: attribute("jid"),
            name: attribute("name"),
            subscription: attribute("subscription"),
            asked: item.attr("ask") == Some("subscribe"),
            groups: item.children().map(Element::text).collect(),
        }
    }
}

/// The condition of an error stanza (RFC 6120 section 8.3.3); `None` if `stanza` is none.
pub fn stanza_error(stanza: &Element) -> Option<String> {
    let error = stanza.get_child("error", ns::CLIENT)?;
    Some(error_condition(error, ns::STANZA_ERRORS))
}

/// Subscribes two users to each other's presence, by the handshake of RFC 6121 section 3.
pub fn befriend(one: &mut Session, other: &mut Session) -> Result<()> {
    subscribe(one, other)?;
    subscribe(other, one)
}

/// Subscribes a user to the presence of a contact.
pub fn subscribe(user: &mut Session, contact: &mut Session) -> Result<()> {
    user.subscription("subscribe", contact.bare_jid())?;
    user.settle()?;
    contact.subscription("subscribed", user.bare_jid())?;
    contact.settle()
}

fn tag(name: &str, text: &str) -> String {
    if text.is_empty() { String::new() } else { format!("<{name}>{}</{name}>", escape(text)) }
}
