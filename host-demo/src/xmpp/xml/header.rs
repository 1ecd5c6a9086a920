//! The header of a stream (RFC 6120 section 4.7): what the peer says in it, and whether that will do.

use jid::BareJid;
use rxml::{AttrMap, XMLNS_XML};

use super::{CLIENT, STREAMS};
use crate::{address, xmpp::error::StreamError};

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

    /// Judges the header of a client that wants to be served by `domain`. `user` is who the client is, once that is known.
    pub fn check(&self, domain: &str, user: Option<&BareJid>) -> Result<(), StreamError> {
        // Without a default namespace, or with that of the stream itself, each child names its own (section 4.8.2).
        if ![CLIENT, STREAMS, ""].contains(&self.content.as_str()) {
            return Err(StreamError::InvalidNamespace);
        }
        if self.version.as_deref().and_then(major).is_none_or(|major| major < 1) {
            return Err(StreamError::UnsupportedVersion);
        }
        match self.to.as_deref().map(address::jid) {
            None | Some(Err(_)) => return Err(StreamError::ImproperAddressing),
            Some(Ok(to)) if to.as_str() != domain => return Err(StreamError::HostUnknown),
            Some(Ok(_)) => {}
        }
        // Section 4.9.3.9. What a stranger says of itself is not believed either way, but must be an address.
        match self.from.as_deref().map(address::jid) {
            Some(Ok(from)) if user.is_none_or(|user| from.to_bare() == *user) => Ok(()),
            None => Ok(()),
            Some(_) => Err(StreamError::InvalidFrom),
        }
    }
}

/// The first number of a version, of which the second says nothing about what can't be understood (section 4.7.5).
fn major(version: &str) -> Option<u32> {
    let (major, minor) = version.split_once('.')?;
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if is_number(major) && is_number(minor) { major.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(to: &str, version: &str) -> Header {
        Header {
            content: CLIENT.to_owned(),
            to: Some(to.to_owned()),
            version: Some(version.to_owned()),
            ..Header::default()
        }
    }

    #[test]
    fn the_host_is_compared_as_a_domain() {
        let check = |to: &str| header(to, "1.0").check("example.com", None);
        assert_eq!(check("EXAMPLE.com"), Ok(()));
        assert_eq!(check("ann@example.com"), Err(StreamError::HostUnknown));
        assert_eq!(check("example.org"), Err(StreamError::HostUnknown));
        assert_eq!(check(""), Err(StreamError::ImproperAddressing));
        assert_eq!(check("@example.com"), Err(StreamError::ImproperAddressing));
    }

    #[test]
    fn later_versions_will_do_and_earlier_ones_will_not() {
        let check = |version: &str| header("example.com", version).check("example.com", None);
        for version in ["1.0", "1.7", "01.00", "2.0"] {
            assert_eq!(check(version), Ok(()), "{version}");
        }
        for version in ["0.9", "0.10", "x", "1", "1.", "+1.0", "1.0.0", "99999999999.0", ""] {
            assert_eq!(check(version), Err(StreamError::UnsupportedVersion), "{version}");
        }
    }

    #[test]
    fn a_client_is_not_somebody_else_once_it_is_known() {
        let check = |from: &str, user: Option<&str>| {
            let header = Header { from: Some(from.to_owned()), ..header("example.com", "1.0") };
            header.check("example.com", user.map(|user| BareJid::new(user).unwrap()).as_ref())
        };
        for from in ["ann@example.com", "ANN@example.com/desk", "bob@example.com"] {
            assert_eq!(check(from, None), Ok(()), "{from}");
        }
        assert_eq!(check("Ann@example.com/desk", Some("ann@example.com")), Ok(()));
        assert_eq!(check("bob@example.com", Some("ann@example.com")), Err(StreamError::InvalidFrom));
        assert_eq!(check("example.com", Some("ann@example.com")), Err(StreamError::InvalidFrom));
        assert_eq!(check("@", None), Err(StreamError::InvalidFrom));
    }

    #[test]
    fn stanzas_may_be_in_the_default_namespace_or_name_it_themselves() {
        let check = |content: &str| Header { content: content.into(), ..header("here", "1.0") }.check("here", None);
        for content in [CLIENT, STREAMS, ""] {
            assert_eq!(check(content), Ok(()), "{content}");
        }
        assert_eq!(check("jabber:server"), Err(StreamError::InvalidNamespace));
    }
}
