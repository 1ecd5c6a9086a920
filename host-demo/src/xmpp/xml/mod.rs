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
pub use reader::{Event, Limits, Reader};

/// The namespace of `<stream:stream>` and its features and errors.
pub const STREAMS: &str = "http://etherx.jabber.org/streams";
/// The content namespace of a client's stream.
pub const CLIENT: &str = "jabber:client";

/// Writes text so that it can stand in an element or a quoted attribute.
pub fn escape(text: &str) -> String {
    String::from_utf8_lossy(&minidom::element::escape(text.as_bytes())).into_owned()
}
