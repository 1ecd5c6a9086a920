//! Stream errors (RFC 6120 section 4.9): the unrecoverable ones, after which the stream is closed.

/// The condition of a stream error (RFC 6120 section 4.9.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamError {
    /// Well-formed XML that is not XMPP.
    BadFormat,
    /// Another session took this resource.
    Conflict,
    /// The peer is silent for too long, or does not read.
    ConnectionTimeout,
    /// The domain is not served any more.
    HostGone,
    /// The stream is for a domain not served here.
    HostUnknown,
    /// An address that is missing, or none.
    ImproperAddressing,
    /// The server failed.
    InternalServerError,
    /// A client acknowledged more than it was sent (XEP-0198 section 4).
    HandledCountTooHigh { handled: u32, sent: u32 },
    /// A `from` that is not the session's own JID.
    InvalidFrom,
    /// A wrong stream or content namespace.
    InvalidNamespace,
    /// Broken XML.
    NotWellFormed,
    /// A stanza before authentication.
    NotAuthorized,
    /// A limit of this server was passed.
    PolicyViolation,
    /// The server has no room for more.
    ResourceConstraint,
    /// A DTD, a comment, a processing instruction or an entity.
    RestrictedXml,
    /// The server is going down.
    SystemShutdown,
    /// Not UTF-8.
    UnsupportedEncoding,
    /// A first-level child that is no stanza.
    UnsupportedStanzaType,
    /// Not version 1.0 of XMPP.
    UnsupportedVersion,
}

impl StreamError {
    /// The name of the element that stands for this condition.
    pub fn condition(self) -> &'static str {
        match self {
            StreamError::BadFormat => "bad-format",
            StreamError::Conflict => "conflict",
            StreamError::ConnectionTimeout => "connection-timeout",
            StreamError::HandledCountTooHigh { .. } => "undefined-condition",
            StreamError::HostGone => "host-gone",
            StreamError::HostUnknown => "host-unknown",
            StreamError::ImproperAddressing => "improper-addressing",
            StreamError::InternalServerError => "internal-server-error",
            StreamError::InvalidFrom => "invalid-from",
            StreamError::InvalidNamespace => "invalid-namespace",
            StreamError::NotWellFormed => "not-well-formed",
            StreamError::NotAuthorized => "not-authorized",
            StreamError::PolicyViolation => "policy-violation",
            StreamError::ResourceConstraint => "resource-constraint",
            StreamError::RestrictedXml => "restricted-xml",
            StreamError::SystemShutdown => "system-shutdown",
            StreamError::UnsupportedEncoding => "unsupported-encoding",
            StreamError::UnsupportedStanzaType => "unsupported-stanza-type",
            StreamError::UnsupportedVersion => "unsupported-version",
        }
    }

    /// What is said beside the condition (RFC 6120 section 4.9.4).
    pub fn details(self) -> String {
        match self {
            StreamError::HandledCountTooHigh { handled, sent } => {
                format!("<handled-count-too-high xmlns='urn:xmpp:sm:3' h='{handled}' send-count='{sent}'/>")
            }
            _ => String::new(),
        }
    }
}
