//! A client on the stage.

use std::{collections::VecDeque, time::Duration};

use minidom::Element;

use crate::xmpp::{self, Session, ns};

/// How long a stanza may take: the tests share two cores.
const PATIENCE: Duration = Duration::from_secs(15);

type Result<T = (), E = String> = std::result::Result<T, E>;

/// A connected client.
pub(super) struct Performer {
    pub session: Session,
    /// What arrived that no line has asked for yet.
    pub waiting: VecDeque<Element>,
    /// Whether it has sent something of which the server may know nothing yet.
    pub is_ahead: bool,
}

impl Performer {
    pub fn new(session: Session) -> Performer {
        Performer { session, waiting: VecDeque::new(), is_ahead: false }
    }

    /// Sends a stanza.
    pub fn send(&mut self, stanza: &str) -> Result {
        self.is_ahead = true;
        self.session.send(stanza).map_err(|error| format!("not sent: {error}"))
    }

    /// The next stanza; `None` if none comes.
    pub fn next(&mut self) -> Result<Option<Element>> {
        if self.waiting.is_empty() {
            let arrived = self.session.next_within(PATIENCE).map_err(|error| error.to_string())?;
            arrived.map_or(Ok(()), |stanza| self.keep(stanza))?;
        }
        Ok(self.waiting.pop_front())
    }

    /// A round trip: what it sent is processed, and what had to arrive has arrived.
    pub fn settle(&mut self) -> Result {
        let arrived = self.session.arrived().map_err(|error| error.to_string())?;
        arrived.into_iter().try_for_each(|stanza| self.keep(stanza))?;
        self.is_ahead = false;
        Ok(())
    }

    /// A client answers a roster push that comes from its own account (RFC 6121 section 2.1.6).
    fn keep(&mut self, stanza: Element) -> Result {
        let is_own = stanza.attr("from").is_none_or(|from| from == self.session.bare_jid());
        if is_own && stanza.attr("type") == Some("set") && stanza.has_child("query", ns::ROSTER) {
            let id = xmpp::escape(stanza.attr("id").unwrap_or_default()).into_owned();
            self.session.send(&format!("<iq type='result' id='{id}'/>")).map_err(|error| error.to_string())?;
        }
        self.waiting.push_back(stanza);
        Ok(())
    }
}
