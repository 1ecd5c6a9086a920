//! The XMPP server: streams of clients (RFC 6120) and components (XEP-0114) in front of the hub that routes their stanzas (RFC 6121).
//!
//! # Layout
//! A client's connection passes the stream side (header, STARTTLS, SASL, bind), that of a [`component`] its handshake, and becomes a session of the hub. From then on the
//! stream hands each stanza it reads to the session, and writes what the session's [`outbox`] holds. A session whose client
//! acknowledges what it gets ([`management`]) outlives its connection for a while.

mod allowance;
mod bind;
pub mod component;
pub mod connection;
pub mod error;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
pub mod hub;
pub mod listener;
pub mod management;
pub mod outbox;
mod private_file;
mod random;
pub mod sasl;
mod session;
mod starttls;
mod stream;
pub mod tls;
mod xml;
