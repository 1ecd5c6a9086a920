//! Namespaces in XML 1.0: which namespace a prefix stands for at this place of the document.

use rxml::{Namespace, NcName, RawQName, XMLNS_XML};

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
