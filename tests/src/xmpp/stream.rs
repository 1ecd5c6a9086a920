//! An open stream and its negotiation: STARTTLS, SASL, resource binding (RFC 6120 sections 5, 6, 7).

use std::time::Instant;

use minidom::Element;

use super::{
    Connection, Error, Incoming, Mechanism, Result, Session,
    connection::{PATIENCE, error_condition},
    escape, ns,
    sasl::{Scram, plain},
};

/// A stream on which both headers were exchanged and the server has told its features.
pub struct Stream {
    connection: Connection,
    domain: String,
    header: Element,
    features: Element,
}

impl Stream {
    pub(super) fn begin(mut connection: Connection, domain: &str) -> Result<Stream> {
        connection.send(header(domain))?;
        let header = match connection.receive()? {
            Incoming::Header(header) => header,
            other => return Err(Error::Unexpected(format!("{other:?} in place of a stream header"))),
        };
        let features = child(&mut connection, Instant::now() + PATIENCE)?;
        if !features.is("features", ns::STREAM) {
            return Err(unexpected(&features, "the features"));
        }
        Ok(Stream { connection, domain: domain.to_owned(), header, features })
    }

    /// The server's header, as an element without children.
    pub fn header(&self) -> &Element {
        &self.header
    }

    /// What the server offers at this point of the negotiation.
    pub fn features(&self) -> &Element {
        &self.features
    }

    /// Goes on inside TLS, on a restarted stream (RFC 6120 section 5.4).
    pub fn starttls(mut self) -> Result<Stream> {
        self.send("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")?;
        let answer = self.receive()?;
        if !answer.is("proceed", ns::TLS) {
            return Err(unexpected(&answer, "<proceed/>"));
        }
        Stream::begin(self.connection.secure(&self.domain)?, &self.domain)
    }

    /// Authenticates as the user with the localpart `user` and restarts the stream (RFC 6120 section 6.4).
    pub fn authenticate(mut self, mechanism: Mechanism, user: &str, password: &str) -> Result<Stream> {
        self.try_password(mechanism, user, password)?;
        self.restart()
    }

    /// Restarts the stream of a client that has been let in (RFC 6120 section 6.4.6).
    pub fn restart(mut self) -> Result<Stream> {
        self.connection.restart();
        Stream::begin(self.connection, &self.domain)
    }

    /// Authenticates without restarting the stream: after a refusal another try may follow.
    pub fn try_password(&mut self, mechanism: Mechanism, user: &str, password: &str) -> Result<()> {
        let exporter = if mechanism.is_bound() { self.connection.exporter()? } else { [0; 32] };
        match Scram::start(mechanism, user, password, &exporter) {
            None => self.auth(mechanism, &plain(user, password)).and_then(success).map(drop),
            Some((scram, initial)) => {
                let challenge = self.auth(mechanism, &initial).and_then(refused)?;
                let (proven, response) = scram.answer(&challenge.text())?;
                self.send(&format!("<response xmlns='{}'>{response}</response>", ns::SASL))?;
                let success = self.receive().and_then(success)?;
                proven.verify(&success.text())
            }
        }
    }

    /// Binds a resource: the server's choice, or the one asked for (RFC 6120 section 7).
    pub fn bind(mut self, resource: Option<&str>) -> Result<Session> {
        let wish = resource.map(|name| format!("<resource>{}</resource>", escape(name))).unwrap_or_default();
        self.send(&format!("<iq type='set' id='bind'><bind xmlns='{}'>{wish}</bind></iq>", ns::BIND))?;
        let answer = self.receive()?;
        let bound = answer.get_child("bind", ns::BIND).and_then(|bind| bind.get_child("jid", ns::BIND));
        match bound.map(Element::text) {
            Some(jid) if answer.attr("type") == Some("result") => Ok(Session::new(self, jid)),
            _ => Err(unexpected(&answer, "the bound JID")),
        }
    }

    /// Sends XML as it is.
    pub fn send(&mut self, xml: &str) -> Result<()> {
        self.connection.send(xml)
    }

    /// The next first-level child; a stream error is an error.
    pub fn receive(&mut self) -> Result<Element> {
        self.receive_until(Instant::now() + PATIENCE)
    }

    /// The next first-level child, if it comes before `deadline`.
    pub fn receive_until(&mut self, deadline: Instant) -> Result<Element> {
        child(&mut self.connection, deadline)
    }

    /// The connection below, for what no well-behaved client sends.
    pub fn connection(&mut self) -> &mut Connection {
        &mut self.connection
    }
}

fn header(domain: &str) -> String {
    format!(
        "<?xml version='1.0'?><stream:stream to='{}' version='1.0' xml:lang='en' xmlns='{}' xmlns:stream='{}'>",
        escape(domain),
        ns::CLIENT,
        ns::STREAM
    )
}

fn child(connection: &mut Connection, deadline: Instant) -> Result<Element> {
    match connection.receive_until(deadline)? {
        Incoming::Child(error) if error.is("error", ns::STREAM) => {
            Err(Error::Stream(error_condition(&error, ns::STREAM_ERRORS)))
        }
        Incoming::Child(child) => Ok(child),
        Incoming::Footer => Err(Error::Closed),
        Incoming::Header(_) => Err(Error::Unexpected("a second stream header".into())),
    }
}

impl Stream {
    fn auth(&mut self, mechanism: Mechanism, initial: &str) -> Result<Element> {
        self.send(&format!("<auth xmlns='{}' mechanism='{}'>{initial}</auth>", ns::SASL, mechanism.name()))?;
        self.receive()
    }
}

fn refused(answer: Element) -> Result<Element> {
    match answer.is("failure", ns::SASL) {
        true => Err(Error::Sasl(error_condition(&answer, ns::SASL))),
        false => Ok(answer),
    }
}

fn success(answer: Element) -> Result<Element> {
    let answer = refused(answer)?;
    match answer.is("success", ns::SASL) {
        true => Ok(answer),
        false => Err(unexpected(&answer, "<success/>")),
    }
}

fn unexpected(element: &Element, instead_of: &str) -> Error {
    Error::Unexpected(format!("{} in place of {instead_of}", String::from(element)))
}
