//! What must hold for any bytes that a client sends as its stream: they are read the same however they are cut, and what is
//! taken as a stanza reads the same once it is written.

use minidom::Element;

use super::{CLIENT, Event, Limits, Reader};
use crate::xmpp::error::StreamError;

/// The header of a stream, without a prefix for the namespace of stanzas.
pub const OPEN: &str = "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>";

/// What a stream was made of, up to its error if it has one.
pub type Outcome = (Vec<Event>, Option<StreamError>);

/// Reads a stream that comes in pieces of `chunk` bytes.
pub fn read(limits: Limits, bytes: &[u8], chunk: usize) -> Outcome {
    let mut reader = Reader::new(limits);
    let mut events = Vec::new();
    for chunk in bytes.chunks(chunk) {
        reader.push(chunk);
        loop {
            match reader.next() {
                Ok(Some(event)) => events.push(event),
                Ok(None) => break,
                Err(error) => return (events, Some(error)),
            }
        }
    }
    (events, None)
}

/// Reads a stream in one piece and in pieces of each of these sizes, and insists on one outcome.
fn read_cut(limits: Limits, bytes: &[u8], chunks: &[usize]) -> Outcome {
    let whole = read(limits, bytes, usize::MAX);
    for chunk in chunks {
        assert_eq!(read(limits, bytes, *chunk), whole, "chunks of {chunk}: {}", String::from_utf8_lossy(bytes));
    }
    whole
}

/// Reads a stream in one piece, byte by byte and in odd pieces, and insists on one outcome.
#[cfg(test)]
pub fn read_any(limits: Limits, bytes: &[u8]) -> Outcome {
    read_cut(limits, bytes, &[1, 2, 3, 7, 61, 4096])
}

/// The fuzz target `stream`: the bytes of a client, from its header on.
pub fn stream(bytes: &[u8]) {
    // Few cuts, that many streams are tried.
    read_cut(Limits::LOGIN, bytes, &[5]);
    let (events, _) = read_cut(Limits::SESSION, bytes, &[1, 7]);
    for event in events {
        if let Event::Stanza(stanza) = event {
            // One that is refused is never written.
            let _ = rewrite(&stanza);
        }
    }
}

/// The one stanza of a stream.
pub fn read_one(stanza: &str) -> Result<Element, StreamError> {
    let (events, error) = read(Limits::SESSION, format!("{OPEN}{stanza}</stream:stream>").as_bytes(), usize::MAX);
    match (error, <[Event; 3]>::try_from(events)) {
        (Some(error), _) => Err(error),
        (None, Ok([Event::Header(_), Event::Stanza(stanza), Event::End])) => Ok(stanza),
        (None, events) => panic!("{stanza} is not one stanza but {events:?}"),
    }
}

/// Writes a stanza and reads it again.
///
/// # Errors
/// It is none that the hub takes and writes, or that passes a limit once it is written: namespaces are declared anew.
pub fn rewrite(tree: &Element) -> Result<(), StreamError> {
    if !tree.has_ns(CLIENT) {
        return Err(StreamError::UnsupportedStanzaType);
    }
    let written = String::from(tree);
    let again = match read_one(&written) {
        Err(StreamError::PolicyViolation) => return Err(StreamError::PolicyViolation),
        again => again.unwrap_or_else(|error| panic!("{tree:?}\nwas written as\n{written}\n{error:?}")),
    };
    assert_eq!(again, *tree, "it was written as\n{written}");
    assert_eq!(String::from(&again), written);
    Ok(())
}
