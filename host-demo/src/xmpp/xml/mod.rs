//! The XML of a stream (RFC 6120 section 11): bytes in, whole stanzas out.
//!
//! A stream is one long document, so it is parsed as its bytes come. [`Reader`] builds a tree of each first-level child
//! and refuses, by the stream error of RFC 6120 section 4.9.3, what XMPP forbids and what passes a [`Limits`]. It counts
//! events, never chunks: the outcome is the same however the network cut the bytes.

#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod header;
mod namespaces;
mod reader;
#[cfg(test)]
mod rewriting;

pub use header::Header;
use minidom::Element;
pub use reader::{Event, Limits, Reader};

use super::error::StreamError;

/// The namespace of `<stream:stream>` and its features and errors.
pub const STREAMS: &str = "http://etherx.jabber.org/streams";
/// The content namespace of a client's stream.
pub const CLIENT: &str = "jabber:client";

/// The content namespace of a component's stream (XEP-0114 section 3).
pub const COMPONENT: &str = "jabber:component:accept";

/// Reads one stanza that was written as in a client's stream, with a client's limits.
///
/// # Errors
/// It is none, or not one alone.
pub fn read_stanza(text: &str) -> Result<Element, StreamError> {
    const OPEN: &str =
        "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>";
    let mut reader = Reader::new(Limits::SESSION);
    reader.push(OPEN.as_bytes());
    reader.next()?;
    reader.push(text.trim_ascii().as_bytes());
    match reader.next()? {
        Some(Event::Stanza(stanza)) if !reader.has_waiting() => Ok(stanza),
        _ => Err(StreamError::BadFormat),
    }
}

/// Writes text so that it can stand in an element or a quoted attribute.
pub fn escape(text: &str) -> String {
    String::from_utf8_lossy(&minidom::element::escape(text.as_bytes())).into_owned()
}
