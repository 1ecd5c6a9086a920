//! Our own component (XEP-0114): a program that answers for a domain.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    time::{Duration, Instant},
};

use minidom::Element;
use sha1::{Digest, Sha1};

use super::{Connection, Error, Incoming, Result, connection::PATIENCE, escape, ns};

/// A component that was let in.
pub struct Component {
    connection: Connection,
    domain: String,
    unseen: VecDeque<Element>,
    requests: u32,
}

impl Component {
    /// Connects to the listener at `address`, as the component `domain`.
    pub fn connect(address: SocketAddr, domain: &str, secret: &str) -> Result<Component> {
        let mut connection = Connection::open(address)?;
        let id = Component::open(&mut connection, domain)?;
        connection.send(handshake(&id, secret))?;
        let component = Component { connection, domain: domain.into(), unseen: VecDeque::new(), requests: 0 };
        component.await_answer()
    }

    /// Says for which domain this is, and returns the id of the stream.
    pub fn open(connection: &mut Connection, domain: &str) -> Result<String> {
        let (namespace, stream, domain) = (ns::COMPONENT, ns::STREAM, escape(domain));
        let header = format!("<stream:stream xmlns='{namespace}' xmlns:stream='{stream}' to='{domain}'>");
        connection.send(header)?;
        match connection.receive()? {
            Incoming::Header(header) => Ok(header.attr("id").unwrap_or_default().into()),
            other => Err(Error::Unexpected(format!("{other:?} in place of a header"))),
        }
    }

    fn await_answer(mut self) -> Result<Component> {
        let answer = self.receive_until(Instant::now() + PATIENCE)?;
        if answer.is("handshake", ns::COMPONENT) {
            return Ok(self);
        }
        Err(Error::Unexpected(format!("{} in place of <handshake/>", String::from(&answer))))
    }

    /// The stream below, for what no well-behaved component sends.
    pub fn connection(&mut self) -> &mut Connection {
        &mut self.connection
    }

    /// Sends XML as it is.
    pub fn send(&mut self, xml: &str) -> Result<()> {
        self.connection.send(xml)
    }

    /// Returns once the server has processed everything sent so far.
    pub fn settle(&mut self, server: &str) -> Result<()> {
        self.requests += 1;
        let (id, domain) = (format!("request-{}", self.requests), self.domain.clone());
        self.send(&format!(
            "<iq type='get' id='{id}' from='{domain}' to='{server}'><ping xmlns='{}'/></iq>",
            ns::PING
        ))?;
        self.expect(|stanza| stanza.name() == "iq" && stanza.attr("id") == Some(&id)).map(drop)
    }

    /// The first stanza that `fits`, among those that arrived earlier or those to come. The others stay for later.
    pub fn expect(&mut self, fits: impl Fn(&Element) -> bool) -> Result<Element> {
        if let Some(index) = self.unseen.iter().position(&fits) {
            return Ok(self.unseen.remove(index).expect("the index was found"));
        }
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.receive_until(deadline) {
                Ok(stanza) if fits(&stanza) => return Ok(stanza),
                Ok(stanza) => self.unseen.push_back(stanza),
                Err(Error::TimedOut) => {
                    let arrived: Vec<_> = self.unseen.iter().map(String::from).collect();
                    return Err(Error::Unexpected(format!("{} waited in vain: {arrived:?}", self.domain)));
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// The next presence of type `kind` (empty: available).
    pub fn expect_presence(&mut self, kind: &str) -> Result<Element> {
        self.expect(|stanza| stanza.name() == "presence" && stanza.attr("type").unwrap_or_default() == kind)
    }

    /// The next stanza, whatever it is; `None` if none came within `patience`.
    pub fn next_within(&mut self, patience: Duration) -> Result<Option<Element>> {
        if let Some(stanza) = self.unseen.pop_front() {
            return Ok(Some(stanza));
        }
        match self.receive_until(Instant::now() + patience) {
            Ok(stanza) => Ok(Some(stanza)),
            Err(Error::TimedOut) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn receive_until(&mut self, deadline: Instant) -> Result<Element> {
        match self.connection.receive_until(deadline)? {
            Incoming::Child(element) if element.is("error", ns::STREAM) => {
                Err(Error::Stream(super::connection::error_condition(&element, ns::STREAM_ERRORS)))
            }
            Incoming::Child(element) => Ok(element),
            Incoming::Footer => Err(Error::Closed),
            Incoming::Header(_) => Err(Error::Unexpected("a second stream header".into())),
        }
    }
}

/// The proof that a component knows its secret.
pub fn handshake(id: &str, secret: &str) -> String {
    let digest = Sha1::digest(format!("{id}{secret}"));
    let hexadecimal: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("<handshake>{hexadecimal}</handshake>")
}
