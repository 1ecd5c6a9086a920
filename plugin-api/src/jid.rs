//! Addresses (RFC 7622), normalised by the host so that no plugin has to.

use std::fmt;

use crate::abi::host_roster::JidParts;

/// A normalised JID, bare or full.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Jid {
    text: String,
    domain: usize,
    bare: usize,
    local: bool,
}

impl Jid {
    /// Believes the host's parts, but never beyond the text's own bounds.
    pub(crate) fn from_parts(text: String, parts: JidParts) -> Option<Jid> {
        let (domain, bare) = (parts.domain as usize, parts.bare as usize);
        let valid = domain < bare && text.is_char_boundary(domain) && text.is_char_boundary(bare);
        valid.then_some(Jid { text, domain, bare, local: parts.local != 0 })
    }

    /// The whole address.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The address without its resource: `alice@example.com`.
    pub fn bare(&self) -> &str {
        &self.text[..self.bare]
    }

    /// The localpart: `alice`. `None` for a domain.
    pub fn localpart(&self) -> Option<&str> {
        self.domain.checked_sub(1).map(|end| &self.text[..end])
    }

    /// The domainpart: `example.com`.
    pub fn domain(&self) -> &str {
        &self.text[self.domain..self.bare]
    }

    /// The resourcepart, if it is a full JID.
    pub fn resource(&self) -> Option<&str> {
        self.text.get(self.bare + 1..)
    }

    /// Whether the domain is the one this server serves.
    pub fn is_local(&self) -> bool {
        self.local
    }
}

impl fmt::Display for Jid {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jid(text: &str, domain: u32, bare: u32) -> Option<Jid> {
        Jid::from_parts(text.into(), JidParts { domain, bare, local: 1 })
    }

    #[test]
    fn the_parts_of_a_full_jid() {
        let jid = jid("alice@example.com/desk", 6, 17).unwrap();
        assert_eq!(jid.bare(), "alice@example.com");
        assert_eq!((jid.localpart(), jid.domain(), jid.resource()), (Some("alice"), "example.com", Some("desk")));
    }

    #[test]
    fn the_parts_of_a_domain() {
        let jid = jid("example.com", 0, 11).unwrap();
        assert_eq!((jid.localpart(), jid.domain(), jid.resource()), (None, "example.com", None));
    }

    #[test]
    fn parts_beyond_the_text_are_refused() {
        assert_eq!(jid("a@b", 2, 9), None);
        assert_eq!(jid("a@b", 3, 3), None);
    }
}
