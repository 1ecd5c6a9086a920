//! The push parser of a stream: from bytes to the header, the stanzas and the end.

use minidom::Element;
use rxml::{AttrMap, Error, Parse, RawEvent, RawParser, RawQName, error::EndOrError};

use super::{CLIENT, COMPONENT, Header, namespaces::Namespaces};
use crate::xmpp::error::StreamError;

/// The most attributes of one element, declarations of namespaces among them.
const MAX_ATTRIBUTES: usize = 256;

/// How much a client may send.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of XML.
    pub bytes: usize,
    /// Elements.
    pub elements: usize,
    /// Attributes. Each is a node of a tree and two texts: some 0.7 us and 240 bytes.
    pub attributes: usize,
    /// Elements within each other, the stanza itself being the first.
    pub depth: usize,
    /// Whether bytes, elements and attributes are counted anew for each stanza, or over the whole stream.
    pub per_stanza: bool,
}

impl Limits {
    /// Until a resource is bound: a stranger is talking.
    pub const LOGIN: Limits = Limits { bytes: 8 << 10, elements: 32, attributes: 64, depth: 8, per_stanza: false };
    /// From then on.
    pub const SESSION: Limits =
        Limits { bytes: 256 << 10, elements: 4096, attributes: 4096, depth: 64, per_stanza: true };
}

/// What a stream is made of.
#[derive(Debug, PartialEq)]
pub enum Event {
    /// The opening tag.
    Header(Header),
    /// A first-level child: a stanza, or a step of the negotiation.
    Stanza(Element),
    /// The closing tag.
    End,
}

/// The parser of one stream. [`push`](Reader::push) bytes in, then take [`next`](Reader::next) until it has no more.
pub struct Reader {
    parser: RawParser,
    limits: Limits,
    is_component: bool,
    namespaces: Namespaces,
    /// Bytes that came and are not parsed yet, from `parsed` on.
    waiting: Vec<u8>,
    parsed: usize,
    used: Used,
    /// The start tag that is being read.
    tag: Option<Tag>,
    /// The open elements below the stream, outermost first.
    open: Vec<Element>,
    in_stream: bool,
}

#[derive(Default)]
struct Used {
    bytes: usize,
    elements: usize,
    attributes: usize,
}

struct Tag {
    name: RawQName,
    attributes: Vec<(RawQName, String)>,
    count: usize,
}

impl Reader {
    /// A reader at the very start of a stream.
    pub fn new(limits: Limits) -> Reader {
        Reader {
            parser: RawParser::new(),
            limits,
            is_component: false,
            namespaces: Namespaces::default(),
            waiting: Vec::new(),
            parsed: 0,
            used: Used::default(),
            tag: None,
            open: Vec::new(),
            in_stream: false,
        }
    }

    /// A reader of a component's stream. Its stanzas are given out in the namespace of a client's: to the server they are the same.
    pub fn of_component(limits: Limits) -> Reader {
        Reader { is_component: true, ..Reader::new(limits) }
    }

    /// Starts a new stream behind the old one. Bytes that wait belong to it: a client need not wait for our side.
    pub fn restart(&mut self) {
        let waiting = std::mem::take(&mut self.waiting);
        *self = Reader { waiting, parsed: self.parsed, ..Reader::new(self.limits) };
    }

    /// Puts other limits in force, with nothing counted against them yet.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
        self.used = Used::default();
    }

    /// Adds bytes as they came from the network.
    pub fn push(&mut self, bytes: &[u8]) {
        self.waiting.extend_from_slice(bytes);
    }

    /// Whether bytes wait that belong to no event given so far.
    pub fn has_waiting(&self) -> bool {
        self.parsed < self.waiting.len()
    }

    /// The next event, or `None` when more bytes are needed. After an error the stream can only be closed.
    pub fn next(&mut self) -> Result<Option<Event>, StreamError> {
        loop {
            let Some(event) = self.parse()? else {
                self.release();
                return Ok(None);
            };
            if let Some(event) = self.take(event)? {
                return Ok(Some(event));
            }
        }
    }

    /// Parses as far as the next piece. The parser never sees a byte above the limit, so that a broken byte behind it
    /// can't change the answer.
    fn parse(&mut self) -> Result<Option<RawEvent>, StreamError> {
        let allowed = self.limits.bytes - self.used.bytes;
        let waiting = &self.waiting[self.parsed..];
        // The parser would wait for a `<` that another protocol never sends.
        if !self.in_stream && self.used.bytes == 0 && waiting.first().is_some_and(|first| !b"< \t\r\n".contains(first))
        {
            return Err(StreamError::NotWellFormed);
        }
        let mut rest = &waiting[..waiting.len().min(allowed)];
        let offered = rest.len();
        let result = self.parser.parse(&mut rest, false);
        let taken = offered - rest.len();
        self.parsed += taken;
        self.used.bytes += taken;
        match result {
            Ok(event) => Ok(event),
            Err(EndOrError::NeedMoreData) if self.has_waiting() || self.used.bytes >= self.limits.bytes => {
                Err(StreamError::PolicyViolation)
            }
            Err(EndOrError::NeedMoreData) => Ok(None),
            Err(EndOrError::Error(error)) => Err(condition(error)),
        }
    }

    fn take(&mut self, event: RawEvent) -> Result<Option<Event>, StreamError> {
        match event {
            RawEvent::XmlDeclaration(..) => Ok(None),
            RawEvent::ElementHeadOpen(_, name) => self.open_tag(name).map(|()| None),
            RawEvent::Attribute(_, name, value) => self.attribute(name, value).map(|()| None),
            RawEvent::ElementHeadClose(_) => self.close_tag(),
            RawEvent::ElementFoot(_) => Ok(self.end_element()),
            RawEvent::Text(_, text) => self.text(text).map(|()| None),
        }
    }

    fn open_tag(&mut self, name: RawQName) -> Result<(), StreamError> {
        self.used.elements += 1;
        if self.used.elements > self.limits.elements || self.open.len() >= self.limits.depth {
            return Err(StreamError::PolicyViolation);
        }
        self.namespaces.enter();
        self.tag = Some(Tag { name, attributes: Vec::new(), count: 0 });
        Ok(())
    }

    fn attribute(&mut self, name: RawQName, value: String) -> Result<(), StreamError> {
        let tag = self.tag.as_mut().expect("the parser gives attributes between the start and the end of a tag only");
        tag.count += 1;
        self.used.attributes += 1;
        if tag.count > MAX_ATTRIBUTES || self.used.attributes > self.limits.attributes {
            return Err(StreamError::PolicyViolation);
        }
        tag.attributes.extend(self.namespaces.declare(name, value)?);
        Ok(())
    }

    fn close_tag(&mut self) -> Result<Option<Event>, StreamError> {
        let tag = self.tag.take().expect("the parser ends a tag that it started");
        let (prefix, local) = tag.name;
        let namespace = self.namespaces.of_element(prefix.as_ref())?;
        let mut attributes = AttrMap::new();
        for ((prefix, name), value) in tag.attributes {
            let namespace = self.namespaces.of_attribute(prefix.as_ref())?;
            if attributes.insert(namespace, name, value).is_some() {
                return Err(StreamError::NotWellFormed);
            }
        }
        if !self.in_stream {
            self.in_stream = true;
            self.count_anew();
            let content = self.namespaces.of_element(None)?;
            return Ok(Some(Event::Header(Header::parse(&local, &namespace, content.as_str(), &attributes)?)));
        }
        let is_content = self.is_component && namespace.as_str() == COMPONENT;
        let mut element = Element::bare(local, if is_content { CLIENT } else { namespace.as_str() });
        *element.attrs_mut() = attributes;
        self.open.push(element);
        Ok(None)
    }

    fn end_element(&mut self) -> Option<Event> {
        self.namespaces.leave();
        let Some(element) = self.open.pop() else { return Some(Event::End) };
        match self.open.last_mut() {
            Some(parent) => {
                parent.append_child(element);
                None
            }
            None => {
                self.count_anew();
                Some(Event::Stanza(element))
            }
        }
    }

    fn text(&mut self, text: String) -> Result<(), StreamError> {
        match self.open.last_mut() {
            Some(element) => element.append_text(text),
            // Whitespace between stanzas keeps a connection alive (RFC 6120 section 4.6.1).
            None if text.bytes().all(|byte| byte.is_ascii_whitespace()) => self.count_anew(),
            None => return Err(StreamError::BadFormat),
        }
        Ok(())
    }

    fn count_anew(&mut self) {
        if self.limits.per_stanza {
            self.used = Used::default();
        }
    }

    /// Gives memory back while nothing is to be parsed: most streams are idle most of the time.
    fn release(&mut self) {
        self.waiting = Vec::new();
        self.parsed = 0;
        if self.open.is_empty() && self.tag.is_none() {
            self.open = Vec::new();
            self.parser.release_temporaries();
        }
    }
}

/// The stream error for a fault of the XML (RFC 6120 sections 4.9.3 and 11).
fn condition(error: Error) -> StreamError {
    match error {
        Error::RestrictedXml("long name or reference") => StreamError::PolicyViolation,
        Error::RestrictedXml("only utf-8 encoding is allowed") | Error::InvalidUtf8Byte(_) => {
            StreamError::UnsupportedEncoding
        }
        // `<!` with neither a comment nor a CDATA section behind it: a declaration of a DTD.
        Error::InvalidSyntax("malformed cdata or comment section start") => StreamError::RestrictedXml,
        Error::RestrictedXml(_) | Error::UndeclaredEntity => StreamError::RestrictedXml,
        _ => StreamError::NotWellFormed,
    }
}

#[cfg(test)]
mod tests {
    use super::{super::fuzz::read_any, *};

    const OPEN: &str = "<?xml version='1.0'?><stream:stream xmlns='jabber:client' to='x' version='1.0' \
                        xml:lang='en' xmlns:stream='http://etherx.jabber.org/streams'>";

    fn error_after_header(limits: Limits, rest: impl AsRef<[u8]>) -> Option<StreamError> {
        read_any(limits, &[OPEN.as_bytes(), rest.as_ref()].concat()).1
    }

    #[test]
    fn a_stream_is_read_the_same_however_it_is_cut() {
        let text = "é\r\n&amp;]]&#x1F600;".repeat(2000);
        let stream = format!(
            "{OPEN} \n<iq id='1' xml:lang='fr'><q xmlns='a:b' p:k='&lt;' xmlns:p='c'>{text}<![CDATA[<&]]></q></iq> <presence/></stream:stream>"
        );
        let (events, error) = read_any(Limits::SESSION, stream.as_bytes());
        assert_eq!(error, None);
        let [Event::Header(header), Event::Stanza(iq), Event::Stanza(presence), Event::End] = &events[..] else {
            panic!("{events:?}")
        };
        assert_eq!((header.to.as_deref(), header.version.as_deref()), (Some("x"), Some("1.0")));
        assert_eq!((header.content.as_str(), header.lang.as_deref()), ("jabber:client", Some("en")));
        assert!(presence.is("presence", "jabber:client"));
        let child = iq.get_child("q", "a:b").expect("the child is in its own namespace");
        assert_eq!(child.attr_ns("c", "k"), Some("<"));
        assert_eq!(child.text(), "é\n&]]\u{1F600}".repeat(2000) + "<&");
        let again: Element = String::from(iq).parse().unwrap();
        assert_eq!(again, *iq);
    }

    #[test]
    fn forbidden_xml_has_its_own_stream_error() {
        use StreamError::*;
        let cases: [(&[u8], StreamError); 18] = [
            (b"<!DOCTYPE a [<!ENTITY b 'c'>]>", RestrictedXml),
            (b"<!-- hush -->", RestrictedXml),
            (b"<?php ?>", RestrictedXml),
            (b"<a>&b;</a>", RestrictedXml),
            (b"<a b='&c;'/>", RestrictedXml),
            (b"<a>\xff</a>", UnsupportedEncoding),
            (b"<a>\xc0\xaf</a>", UnsupportedEncoding),
            (b"<a>\xed\xa0\x80</a>", UnsupportedEncoding),
            (b"<a>\x01</a>", NotWellFormed),
            (b"<a>&#0;</a>", NotWellFormed),
            (b"<a></b>", NotWellFormed),
            (b"<a b='1' b='2'/>", NotWellFormed),
            (b"<a xmlns:p='u' xmlns:q='u' p:b='1' q:b='2'/>", NotWellFormed),
            (b"<a xmlns='u' xmlns='v'/>", NotWellFormed),
            (b"<p:a/>", NotWellFormed),
            (b"<a p:b='1'/>", NotWellFormed),
            (b"<a b=1/>", NotWellFormed),
            (b"text", BadFormat),
        ];
        for (bytes, error) in cases {
            let text = String::from_utf8_lossy(bytes);
            // Text is complete, and judged, when the tag after it starts.
            let ended = [bytes, b"<z/>"].concat();
            assert_eq!(error_after_header(Limits::SESSION, ended), Some(error), "{text}");
        }
    }

    #[test]
    fn a_header_of_another_protocol_is_refused() {
        let outcome = |bytes: &str| read_any(Limits::LOGIN, bytes.as_bytes()).1;
        assert_eq!(outcome("<stream xmlns='jabber:client'>"), Some(StreamError::InvalidNamespace));
        assert_eq!(outcome("<s:x xmlns:s='http://etherx.jabber.org/streams'>"), Some(StreamError::BadFormat));
        assert_eq!(outcome("GET / HTTP/1.1\r\n\r\n"), Some(StreamError::NotWellFormed));
        assert_eq!(outcome("<?xml version='1.0' encoding='latin1'?>"), Some(StreamError::UnsupportedEncoding));
        assert_eq!(outcome("<!DOCTYPE x><a/>"), Some(StreamError::RestrictedXml));
    }

    #[test]
    fn each_limit_ends_the_stream_where_it_is_passed() {
        let nested = |depth| "<a>".repeat(depth);
        let limited = |rest: String| error_after_header(Limits::SESSION, rest);
        assert_eq!(limited(nested(64)), None);
        assert_eq!(limited(nested(65)), Some(StreamError::PolicyViolation));
        assert_eq!(limited(format!("<m>{}", "<a/>".repeat(4095))), None);
        assert_eq!(limited(format!("<m>{}", "<a/>".repeat(4096))), Some(StreamError::PolicyViolation));
        let attributes = |n: usize| (0..n).map(|i| format!(" a{i}=''")).collect::<String>();
        assert_eq!(limited(format!("<m{}/>", attributes(256))), None);
        assert_eq!(limited(format!("<m{}", attributes(257))), Some(StreamError::PolicyViolation));
        let full = |count| format!("<a{}/>", attributes(256)).repeat(count);
        assert_eq!(limited(format!("<m>{}", full(16))), None);
        assert_eq!(limited(format!("<m>{}<a b=''/>", full(16))), Some(StreamError::PolicyViolation));
        let declarations: String = (0..200).map(|i| format!(" xmlns:p{i}='u'")).collect();
        assert_eq!(limited(format!("<m{declarations}/>")), Some(StreamError::PolicyViolation));
        assert_eq!(limited(format!("<m xmlns='{}'/>", "u".repeat(257))), Some(StreamError::PolicyViolation));
        assert_eq!(limited(format!("<m a='{}'/>", "x".repeat(10_000))), Some(StreamError::PolicyViolation));
        assert_eq!(limited(format!("<{}/>", "x".repeat(10_000))), Some(StreamError::PolicyViolation));
    }

    #[test]
    fn a_stanza_is_refused_at_the_limit_and_not_at_its_end() {
        let body = |bytes: usize| format!("<m>{}</m>", "x".repeat(bytes - "<m></m>".len()));
        let limit = Limits::SESSION.bytes;
        assert_eq!(error_after_header(Limits::SESSION, body(limit - 1).repeat(2)), None);
        let open_end = &body(2 * limit)[..limit + 1];
        assert_eq!(error_after_header(Limits::SESSION, open_end), Some(StreamError::PolicyViolation));
        // What stands behind the limit is not looked at.
        let broken = [&open_end.as_bytes()[..limit], b"\xff</b>"].concat();
        assert_eq!(error_after_header(Limits::SESSION, broken), Some(StreamError::PolicyViolation));
    }

    #[test]
    fn before_login_the_whole_stream_is_limited() {
        let spaces = " ".repeat(Limits::LOGIN.bytes);
        assert_eq!(error_after_header(Limits::LOGIN, spaces), Some(StreamError::PolicyViolation));
        assert_eq!(error_after_header(Limits::LOGIN, "<a/>".repeat(31)), None);
        assert_eq!(error_after_header(Limits::LOGIN, "<a/>".repeat(32)), Some(StreamError::PolicyViolation));
    }

    #[test]
    fn an_idle_reader_keeps_no_buffer() {
        let mut reader = Reader::new(Limits::SESSION);
        reader.push(OPEN.as_bytes());
        reader.push(b"<message><body>hello</body></message>");
        while reader.next().unwrap().is_some() {}
        assert!(!reader.has_waiting());
        assert_eq!((reader.waiting.capacity(), reader.open.capacity()), (0, 0));
    }
}
