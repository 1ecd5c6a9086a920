//! The header of a stream (RFC 6120 section 4.7): what the peer says in it, and whether that will do.

use jid::Jid;
use rxml::{AttrMap, XMLNS_XML};

use super::{CLIENT, STREAMS};
use crate::xmpp::error::StreamError;

/// The attributes of `<stream:stream>` that mean something (RFC 6120 section 4.7), as sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// The default namespace: what the children without a prefix are.
    pub content: String,
    /// The domain that the client wants to reach.
    pub to: Option<String>,
    /// Who the client says it is.
    pub from: Option<String>,
    /// The version of XMPP.
    pub version: Option<String>,
    /// The language of what the client sends, unless it says otherwise.
    pub lang: Option<String>,
}

impl Header {
    /// Takes the opening tag for a header, if it is one. `content` is the default namespace in it.
    pub(super) fn parse(
        name: &str,
        namespace: &str,
        content: &str,
        attributes: &AttrMap,
    ) -> Result<Header, StreamError> {
        if namespace != STREAMS {
            return Err(StreamError::InvalidNamespace);
        }
        if name != "stream" {
            return Err(StreamError::BadFormat);
        }
        let attribute = |name: &str| attributes.get("", name).cloned();
        Ok(Header {
            content: content.to_owned(),
            to: attribute("to"),
            from: attribute("from"),
            version: attribute("version"),
            lang: attributes.get(XMLNS_XML, "lang").cloned(),
        })
    }

    /// Judges the header of a client that wants to be served by `domain`.
    pub fn check(&self, domain: &str) -> Result<(), StreamError> {
        if self.content != CLIENT {
            return Err(StreamError::InvalidNamespace);
        }
        let major = self.version.as_deref().and_then(|version| version.split('.').next()?.parse::<u32>().ok());
        if major.is_none_or(|major| major < 1) {
            return Err(StreamError::UnsupportedVersion);
        }
        let to = self.to.as_deref().and_then(|to| Jid::new(to).ok());
        if to.is_none_or(|to| to.as_str() != domain) {
            return Err(StreamError::HostUnknown);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_is_compared_as_a_domain_and_later_versions_will_do() {
        let header = |to: &str, version: &str| Header {
            content: CLIENT.to_owned(),
            to: Some(to.to_owned()),
            version: Some(version.to_owned()),
            ..Header::default()
        };
        assert_eq!(header("EXAMPLE.com", "1.0").check("example.com"), Ok(()));
        assert_eq!(header("example.com", "1.7").check("example.com"), Ok(()));
        assert_eq!(header("ann@example.com", "1.0").check("example.com"), Err(StreamError::HostUnknown));
        assert_eq!(header("example.com", "0.9").check("example.com"), Err(StreamError::UnsupportedVersion));
        assert_eq!(header("example.com", "x").check("example.com"), Err(StreamError::UnsupportedVersion));
    }
}
