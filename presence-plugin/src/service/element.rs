//! Elements of stanzas (RFC 6120 section 4.8, Namespaces in XML 1.0): read whole, and written so that what comes out is well-formed whatever went in.

use std::fmt::{self, Write};

use quick_xml::{
    NsReader, XmlVersion,
    escape::{escape, resolve_xml_entity},
    events::{BytesStart, Event},
    name::ResolveResult,
};

use crate::xml::allowed;

/// The namespace of stanzas, which a stanza need not say.
pub const CLIENT: &str = "jabber:client";

/// An element with its attributes and what is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Element {
    name: String,
    namespace: String,
    attributes: Vec<(String, String)>,
    children: Vec<Node>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Node {
    Element(Element),
    Text(String),
}

impl Element {
    /// An empty element.
    pub fn new(name: &str, namespace: &str) -> Element {
        Element { name: name.into(), namespace: namespace.into(), attributes: Vec::new(), children: Vec::new() }
    }

    /// Reads a document. `None`: it is not well-formed.
    pub fn read(document: &str) -> Option<Element> {
        let mut reader = NsReader::from_str(document);
        let mut open: Vec<Element> = Vec::new();
        loop {
            let (namespace, event) = reader.read_resolved_event().ok()?;
            let done = match event {
                Event::Start(tag) => {
                    open.push(Element::begun(&namespace, &tag)?);
                    None
                }
                Event::Empty(tag) => Some(Element::begun(&namespace, &tag)?),
                Event::End(_) => Some(open.pop()?),
                Event::Text(text) => {
                    push_text(open.last_mut(), &text.xml10_content());
                    None
                }
                Event::CData(text) => {
                    push_text(open.last_mut(), &text.xml10_content());
                    None
                }
                Event::GeneralRef(name) => {
                    let character = name.resolve_char_ref().ok()?.map(String::from);
                    let text = character.or_else(|| Some(resolve_xml_entity(&name.xml10_content())?.to_owned()));
                    push_text(open.last_mut(), &text?);
                    None
                }
                _ => return None,
            };
            match (done, open.last_mut()) {
                (None, _) => {}
                (Some(element), Some(parent)) => parent.children.push(Node::Element(element)),
                (Some(element), None) => return Some(element),
            }
        }
    }

    fn begun(namespace: &ResolveResult<'_>, tag: &BytesStart<'_>) -> Option<Element> {
        let namespace = match namespace {
            ResolveResult::Bound(namespace) => namespace.into_inner(),
            ResolveResult::Unbound => CLIENT,
            ResolveResult::Unknown(_) => return None,
        };
        let mut element = Element::new(tag.local_name().into_inner(), namespace);
        for attribute in tag.attributes() {
            let attribute = attribute.ok()?;
            let name = attribute.key.into_inner();
            if !name.starts_with("xmlns") {
                let value = attribute.normalized_value(XmlVersion::Implicit1_0).ok()?;
                element.attributes.push((name.to_owned(), value.into_owned()));
            }
        }
        Some(element)
    }

    /// The same with an attribute.
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Element {
        self.attributes.push((name.into(), value.into()));
        self
    }

    /// The same with an attribute, if there is a value for it.
    pub fn with_some(self, name: &str, value: Option<&str>) -> Element {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    /// The same with a child at its end.
    pub fn child(mut self, child: Element) -> Element {
        self.children.push(Node::Element(child));
        self
    }

    /// The same with children at its end.
    pub fn children_from(mut self, children: impl IntoIterator<Item = Element>) -> Element {
        self.children.extend(children.into_iter().map(Node::Element));
        self
    }

    /// The same with text at its end.
    pub fn text(mut self, text: impl Into<String>) -> Element {
        self.children.push(Node::Text(text.into()));
        self
    }

    /// The same with a child of its own namespace that holds a text.
    pub fn with_text(self, name: &str, text: &str) -> Element {
        let child = Element::new(name, &self.namespace).text(text);
        self.child(child)
    }

    /// Its local name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its namespace.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Whether it is this one.
    pub fn is(&self, name: &str, namespace: &str) -> bool {
        self.name == name && self.namespace == namespace
    }

    /// The value of an attribute.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The elements in it.
    pub fn elements(&self) -> impl Iterator<Item = &Element> {
        self.children.iter().filter_map(|node| match node {
            Node::Element(element) => Some(element),
            Node::Text(_) => None,
        })
    }

    /// The first child of this name and namespace.
    pub fn find(&self, name: &str, namespace: &str) -> Option<&Element> {
        self.elements().find(|element| element.is(name, namespace))
    }

    /// The text in it, that of its children left out.
    pub fn own_text(&self) -> String {
        let texts = self.children.iter().filter_map(|node| match node {
            Node::Element(_) => None,
            Node::Text(text) => Some(text.as_str()),
        });
        texts.collect()
    }

    fn write(&self, parent: &str, out: &mut impl Write) -> fmt::Result {
        write!(out, "<{}", self.name)?;
        if self.namespace != parent {
            write!(out, " xmlns=\"{}\"", escape(self.namespace.as_str()))?;
        }
        for (name, value) in &self.attributes {
            write!(out, " {name}=\"{}\"", escape(allowed(value)))?;
        }
        if self.children.is_empty() {
            return out.write_str("/>");
        }
        out.write_char('>')?;
        for node in &self.children {
            match node {
                Node::Element(element) => element.write(&self.namespace, out)?,
                Node::Text(text) => write!(out, "{}", escape(allowed(text)))?,
            }
        }
        write!(out, "</{}>", self.name)
    }
}

/// As a stanza: without a declaration, and without the namespace that every stanza has.
impl fmt::Display for Element {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(CLIENT, out)
    }
}

fn push_text(open: Option<&mut Element>, text: &str) {
    if let Some(element) = open {
        element.children.push(Node::Text(text.to_owned()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_is_written_the_same() {
        for document in [
            "<message to=\"a@x\"><body>hi</body></message>",
            "<iq type=\"get\" id=\"1\"><query xmlns=\"a:b\" node=\"n\"><item/>text</query></iq>",
            "<iq><x xmlns=\"jabber:x:data\"><field var=\"a\"><value>1</value></field></x><other xmlns=\"u\"/></iq>",
        ] {
            assert_eq!(Element::read(document).unwrap().to_string(), document);
        }
    }

    #[test]
    fn prefixes_and_references_are_resolved() {
        let element = Element::read(
            "<c:iq xmlns:c='jabber:client' xml:lang='en'><q:a xmlns:q='u' b='&lt;&#65;'>&amp;<![CDATA[<x>]]></q:a></c:iq>",
        );
        let written = "<iq xml:lang=\"en\"><a xmlns=\"u\" b=\"&lt;A\">&amp;&lt;x&gt;</a></iq>";
        assert_eq!(element.unwrap().to_string(), written);
    }

    #[test]
    fn whatever_goes_in_comes_out_well_formed() {
        let nasty = "\u{0}\"'<&>\u{FFFF}]]>\n";
        let element = Element::new("message", CLIENT).with("to", nasty).with_text("body", nasty);
        let read = Element::read(&element.to_string()).unwrap();
        assert_eq!(read.find("body", CLIENT).unwrap().own_text(), "\"'<&>]]>\n");
    }

    #[test]
    fn what_is_no_element_is_none() {
        for broken in
            ["", "text", "<a", "<a>", "<a></b>", "<p:a/>", "<a b='1' b='2'/>", "<a>&nope;</a>", "<!DOCTYPE a><a/>"]
        {
            assert_eq!(Element::read(broken), None, "{broken}");
        }
    }
}
