//! Namespaces in XML 1.0: which namespace a prefix stands for at this place of the document.

use rxml::{Namespace, NcName, RawQName, XMLNS_XML, XMLNS_XMLNS};

use crate::xmpp::error::StreamError;

/// The most declarations in force at one place. A stanza of a real client has fewer than ten; the bound keeps a look-up
/// cheap, whatever was declared.
const MAX_DECLARATIONS: usize = 128;
/// The longest namespace name. Each element of a tree owns its own copy, so that a long one is a bomb.
const MAX_NAME: usize = 256;

/// The declarations in force, innermost last.
#[derive(Default)]
pub struct Namespaces {
    declared: Vec<(Option<NcName>, Namespace<'static>)>,
    /// For each open element: how many declarations were in force outside of it.
    outside: Vec<usize>,
}

impl Namespaces {
    /// Enters an element: declarations from here on are its own.
    pub fn enter(&mut self) {
        self.outside.push(self.declared.len());
    }

    /// Leaves the innermost element and forgets its declarations.
    pub fn leave(&mut self) {
        let outside = self.outside.pop().unwrap_or(0);
        self.declared.truncate(outside);
    }

    /// Takes the attribute if it is a declaration, for the innermost element; gives it back if it is none.
    pub fn declare(&mut self, name: RawQName, value: String) -> Result<Option<(RawQName, String)>, StreamError> {
        let prefix = match name {
            (None, local) if local == "xmlns" => None,
            (Some(xmlns), prefix) if xmlns == "xmlns" => Some(prefix),
            other => return Ok(Some((other, value))),
        };
        if value.len() > MAX_NAME || self.declared.len() >= MAX_DECLARATIONS {
            return Err(StreamError::PolicyViolation);
        }
        check_reserved(prefix.as_ref(), &value)?;
        let own = &self.declared[self.outside.last().copied().unwrap_or(0)..];
        if own.iter().any(|(declared, _)| *declared == prefix) {
            return Err(StreamError::NotWellFormed);
        }
        self.declared.push((prefix, value.into()));
        Ok(None)
    }

    /// The namespace of an element of this prefix.
    pub fn of_element(&self, prefix: Option<&NcName>) -> Result<Namespace<'static>, StreamError> {
        match self.declared.iter().rev().find(|(declared, _)| declared.as_ref() == prefix) {
            Some((_, namespace)) => Ok(namespace.clone()),
            None => match prefix {
                None => Ok(Namespace::NONE),
                Some(xml) if xml == "xml" => Ok(XMLNS_XML.to_owned().into()),
                Some(_) => Err(StreamError::NotWellFormed),
            },
        }
    }

    /// The namespace of an attribute of this prefix: without one it has none, whatever the default is.
    pub fn of_attribute(&self, prefix: Option<&NcName>) -> Result<Namespace<'static>, StreamError> {
        match prefix {
            None => Ok(Namespace::NONE),
            Some(_) => self.of_element(prefix),
        }
    }
}

/// Section 3, reserved prefixes and namespace names: `xml` stands for its own namespace, which has no other prefix and is
/// never the default; `xmlns` and its namespace are not declared at all.
///
/// A tree is written with prefixes of the writer's choice. For these two namespaces there is no choice: what a client puts
/// into that of `xmlns` would be written as declarations, and the recipient would read another tree.
fn check_reserved(prefix: Option<&NcName>, name: &str) -> Result<(), StreamError> {
    let prefix = prefix.map(|prefix| prefix.as_str());
    let is_allowed = prefix != Some("xmlns") && name != XMLNS_XMLNS && (prefix == Some("xml")) == (name == XMLNS_XML);
    if is_allowed { Ok(()) } else { Err(StreamError::NotWellFormed) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes of `xmlns:prefix='name'`, or of `xmlns='name'`.
    fn declare(prefix: Option<&str>, name: &str) -> Result<(), StreamError> {
        let ncname = |text: &str| NcName::try_from(text).unwrap();
        let attribute = match prefix {
            Some(prefix) => (Some(ncname("xmlns")), ncname(prefix)),
            None => (None, ncname("xmlns")),
        };
        let mut namespaces = Namespaces::default();
        namespaces.enter();
        namespaces.declare(attribute, name.into()).map(|left| assert!(left.is_none()))
    }

    #[test]
    fn reserved_prefixes_and_namespaces_belong_together() {
        let refused = Err(StreamError::NotWellFormed);
        for name in [XMLNS_XML, XMLNS_XMLNS] {
            for prefix in [None, Some("p"), Some("xmlns")] {
                assert_eq!(declare(prefix, name), refused, "{prefix:?} for {name}");
            }
        }
        for (prefix, name) in [("xml", XMLNS_XMLNS), ("xml", "u"), ("xmlns", "u")] {
            assert_eq!(declare(Some(prefix), name), refused, "{prefix} for {name}");
        }
        for (prefix, name) in [(Some("xml"), XMLNS_XML), (Some("xmlx"), "u"), (None, "u"), (None, "")] {
            assert_eq!(declare(prefix, name), Ok(()), "{prefix:?} for {name}");
        }
    }
}
