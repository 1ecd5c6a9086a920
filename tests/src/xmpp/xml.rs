//! The receiving side of a stream as XML (RFC 6120 section 4): header, first-level children, footer.

use std::borrow::Cow;

use minidom::Element;
use rxml::{AttrMap, Event, Namespace, Parse, Parser, error::EndOrError};

use super::{Error, Result};

/// What a stream consists of, seen from its receiver.
#[derive(Debug)]
pub enum Incoming {
    /// `<stream:stream>`, as an element without children.
    Header(Element),
    /// A first-level child: a stanza or an element of a negotiation.
    Child(Element),
    /// `</stream:stream>`.
    Footer,
}

/// Turns the bytes of one stream into [`Incoming`]. A restarted stream needs a new one (RFC 6120 section 4.3.3).
#[derive(Default)]
pub struct StreamReader {
    parser: Parser,
    unread: Vec<u8>,
    header_seen: bool,
    open: Vec<Element>,
}

impl StreamReader {
    /// Adds bytes that came from the socket.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.unread.extend_from_slice(bytes);
    }

    /// The next part of the stream; `None` if it needs more bytes.
    pub fn next(&mut self) -> Result<Option<Incoming>> {
        loop {
            let mut rest = self.unread.as_slice();
            let parsed = self.parser.parse(&mut rest, false);
            let consumed = self.unread.len() - rest.len();
            self.unread.drain(..consumed);
            match parsed {
                Ok(Some(event)) => {
                    if let Some(incoming) = self.process(event) {
                        return Ok(Some(incoming));
                    }
                }
                Ok(None) | Err(EndOrError::NeedMoreData) => return Ok(None),
                Err(EndOrError::Error(error)) => return Err(Error::Xml(error.to_string())),
            }
        }
    }

    fn process(&mut self, event: Event) -> Option<Incoming> {
        match event {
            Event::XmlDeclaration(..) => None,
            Event::StartElement(_, (namespace, name), attributes) => {
                let element = element(&namespace, &name, attributes);
                if !self.header_seen {
                    self.header_seen = true;
                    return Some(Incoming::Header(element));
                }
                self.open.push(element);
                None
            }
            Event::Text(_, text) => {
                if let Some(parent) = self.open.last_mut() {
                    parent.append_text(text);
                }
                None
            }
            Event::EndElement(_) => self.close(),
        }
    }

    fn close(&mut self) -> Option<Incoming> {
        let Some(element) = self.open.pop() else { return Some(Incoming::Footer) };
        match self.open.last_mut() {
            Some(parent) => {
                parent.append_child(element);
                None
            }
            None => Some(Incoming::Child(element)),
        }
    }
}

fn element(namespace: &Namespace<'static>, name: &str, attributes: AttrMap) -> Element {
    let mut element = Element::bare(name, namespace.as_str());
    for ((namespace, name), value) in attributes {
        element.attrs_mut().insert(namespace, name, value);
    }
    element
}

/// `text` as it may stand in character data and in attribute values of either quote.
pub fn escape(text: &str) -> Cow<'_, str> {
    if !text.contains(['&', '<', '>', '"', '\'']) {
        return text.into();
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&apos;"),
            other => escaped.push(other),
        }
    }
    escaped.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &str = "<?xml version='1.0'?><stream:stream xmlns='jabber:client' id='7' \
        xmlns:stream='http://etherx.jabber.org/streams'> <message to='a@b'><body>1 &lt; 2</body></message></stream:stream>";

    #[test]
    fn a_stream_reads_the_same_however_it_is_cut() {
        let mut reader = StreamReader::default();
        let mut seen = Vec::new();
        for byte in STREAM.bytes() {
            reader.feed(&[byte]);
            while let Some(incoming) = reader.next().expect("the stream is well-formed") {
                seen.push(incoming);
                if matches!(seen.last(), Some(Incoming::Footer)) {
                    break;
                }
            }
        }
        let [Incoming::Header(header), Incoming::Child(message), Incoming::Footer] = seen.as_slice() else {
            panic!("header, child and footer, not {seen:?}");
        };
        assert_eq!(header.attr("id"), Some("7"));
        assert_eq!(message.get_child("body", "jabber:client").map(Element::text).as_deref(), Some("1 < 2"));
    }

    #[test]
    fn broken_xml_is_an_error() {
        let mut reader = StreamReader::default();
        reader.feed(b"<a xmlns='b'><c></a>");
        assert!(matches!(reader.next(), Ok(Some(Incoming::Header(_)))));
        assert!(matches!(reader.next(), Err(Error::Xml(_))));
    }
}
