//! Our own blocking XMPP client (RFC 6120, 6121): small enough to trust, raw enough to misbehave.
//!
//! # Layout
//! The conversation is a chain of types, each made from the one before:
//!
//! ```text
//! Connection    bytes and XML over a socket, before or after TLS   connection.rs, tls.rs, xml.rs
//!   -> Stream   both headers exchanged, features known             stream.rs, sasl.rs
//!   -> Session  authenticated and bound: stanzas                   session.rs
//!   -> Managed  that acknowledges and may be resumed               managed.rs
//! ```
//!
//! A [`Component`] has a way of its own: a header and a handshake.
//!
//! [`login`] walks it in one step. Abuse tests stop half-way, at the link they want to strain.

mod component;
mod connection;
mod error;
mod managed;
mod sasl;
mod session;
mod stream;
mod tls;
mod xml;

use std::net::SocketAddr;

pub use component::{Component, handshake};
pub use connection::Connection;
pub use error::{Error, Result};
pub use managed::Managed;
pub use sasl::Mechanism;
pub use session::{RosterItem, Session, befriend, stanza_error, subscribe};
pub use stream::Stream;
pub use xml::{Incoming, escape};

/// The namespaces the tests speak of.
pub mod ns {
    /// Stanzas of a client's stream (RFC 6120 section 4.8.2).
    pub const CLIENT: &str = "jabber:client";
    /// Stanzas of a component's stream (XEP-0114 section 3).
    pub const COMPONENT: &str = "jabber:component:accept";
    /// The stream's own elements (RFC 6120 section 4.8.1).
    pub const STREAM: &str = "http://etherx.jabber.org/streams";
    /// Conditions of a stream error (RFC 6120 section 4.9).
    pub const STREAM_ERRORS: &str = "urn:ietf:params:xml:ns:xmpp-streams";
    /// Stream management (XEP-0198).
    pub const MANAGEMENT: &str = "urn:xmpp:sm:3";
    /// Conditions of a stanza error (RFC 6120 section 8.3).
    pub const STANZA_ERRORS: &str = "urn:ietf:params:xml:ns:xmpp-stanzas";
    /// STARTTLS negotiation (RFC 6120 section 5).
    pub const TLS: &str = "urn:ietf:params:xml:ns:xmpp-tls";
    /// SASL negotiation (RFC 6120 section 6).
    pub const SASL: &str = "urn:ietf:params:xml:ns:xmpp-sasl";
    /// Resource binding (RFC 6120 section 7).
    pub const BIND: &str = "urn:ietf:params:xml:ns:xmpp-bind";
    /// Roster management (RFC 6121 section 2).
    pub const ROSTER: &str = "jabber:iq:roster";
    /// Service discovery, information (XEP-0030).
    pub const DISCO_INFO: &str = "http://jabber.org/protocol/disco#info";
    /// Ping (XEP-0199).
    pub const PING: &str = "urn:xmpp:ping";
}

/// Logs in to the server at `address` as the bare JID `user`, over STARTTLS, with the strongest mechanism offered.
pub fn login(address: SocketAddr, user: &str, password: &str) -> Result<Session> {
    login_as(address, user, password, None)
}

/// As [`login`], with a resource of the client's choice.
pub fn login_as(address: SocketAddr, user: &str, password: &str, resource: Option<&str>) -> Result<Session> {
    authenticate(address, user, password)?.bind(resource)
}

/// As [`login`], up to the point at which the client may bind.
pub fn authenticate(address: SocketAddr, user: &str, password: &str) -> Result<Stream> {
    let (local, domain) = user.split_once('@').ok_or_else(|| Error::Unexpected(format!("{user:?} is no bare JID")))?;
    let stream = Connection::open(address)?.begin(domain)?.starttls()?;
    let mechanism = Mechanism::strongest(stream.features())?;
    stream.authenticate(mechanism, local, password)
}
