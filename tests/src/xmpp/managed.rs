//! A client that acknowledges what it gets and comes back for its session (XEP-0198).

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use minidom::Element;

use super::{Error, Result, Session, Stream, connection::PATIENCE, escape, ns};

/// A session under stream management. It acknowledges when it is told to or, as most clients do, whenever the server asks.
pub struct Managed {
    stream: Stream,
    id: String,
    handled: u32,
    sent: Vec<String>,
    unseen: VecDeque<Element>,
    obliging: bool,
}

impl Managed {
    /// Enables stream management, for a session that is to wait for so many seconds.
    pub fn enable(mut session: Session, max: u64) -> Result<Managed> {
        session.settle()?;
        session.send(&format!("<enable xmlns='{}' resume='true' max='{max}'/>", ns::MANAGEMENT))?;
        let enabled = session.expect(|element| element.is("enabled", ns::MANAGEMENT))?;
        let id = enabled.attr("id").unwrap_or_default().to_owned();
        let stream = session.into_stream();
        Ok(Managed { stream, id, handled: 0, sent: Vec::new(), unseen: VecDeque::new(), obliging: false })
    }

    /// From now on it acknowledges what it has read whenever it comes to a request of the server.
    pub fn acknowledge_when_asked(&mut self) {
        self.obliging = true;
    }

    /// What its session is called.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Sends a stanza. It is sent again after a resumption, if the server did not get it.
    pub fn send(&mut self, stanza: &str) -> Result<()> {
        self.sent.push(stanza.to_owned());
        self.stream.send(stanza)
    }

    /// The next stanza; `None` if none comes within `patience`.
    pub fn next_within(&mut self, patience: Duration) -> Result<Option<Element>> {
        let deadline = Instant::now() + patience;
        loop {
            let element = match self.unseen.pop_front() {
                Some(element) => element,
                None => match self.stream.receive_until(deadline) {
                    Ok(element) => element,
                    Err(Error::TimedOut) => return Ok(None),
                    Err(error) => return Err(error),
                },
            };
            if !element.has_ns(ns::MANAGEMENT) {
                self.handled += 1;
                return Ok(Some(element));
            }
            if self.obliging && element.name() == "r" {
                self.acknowledge()?;
            }
        }
    }

    /// The next stanza that fits. Those before it are dropped, but count.
    pub fn expect(&mut self, fits: impl Fn(&Element) -> bool) -> Result<Element> {
        loop {
            match self.next_within(PATIENCE)? {
                Some(stanza) if fits(&stanza) => return Ok(stanza),
                Some(_) => {}
                None => return Err(Error::TimedOut),
            }
        }
    }

    /// Acknowledges what it got so far.
    pub fn acknowledge(&mut self) -> Result<()> {
        self.stream.send(&format!("<a xmlns='{}' h='{}'/>", ns::MANAGEMENT, self.handled))
    }

    /// Asks how many of its stanzas the server has handled.
    pub fn handled_by_server(&mut self) -> Result<u32> {
        self.stream.send(&format!("<r xmlns='{}'/>", ns::MANAGEMENT))?;
        loop {
            let element = self.stream.receive()?;
            match element.is("a", ns::MANAGEMENT) {
                true => return count(&element),
                false => self.unseen.push_back(element),
            }
        }
    }

    /// Goes on with the session on a new connection, on which it has authenticated. Fails if the session is gone.
    pub fn resume(&mut self, stream: Stream) -> Result<()> {
        self.stream = stream;
        // Not handled, and sent again.
        self.unseen.clear();
        let (id, handled) = (escape(&self.id), self.handled);
        self.stream.send(&format!("<resume xmlns='{}' previd='{id}' h='{handled}'/>", ns::MANAGEMENT))?;
        let answer = self.stream.receive()?;
        if !answer.is("resumed", ns::MANAGEMENT) {
            return Err(Error::Unexpected(String::from(&answer)));
        }
        let arrived = count(&answer)? as usize;
        for stanza in self.sent.get(arrived..).unwrap_or_default() {
            self.stream.send(stanza)?;
        }
        Ok(())
    }

    /// The stream below.
    pub fn stream(&mut self) -> &mut Stream {
        &mut self.stream
    }
}

fn count(element: &Element) -> Result<u32> {
    let count = element.attr("h").and_then(|count| count.parse().ok());
    count.ok_or_else(|| Error::Unexpected(format!("{} without a count", String::from(element))))
}
