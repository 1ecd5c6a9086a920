//! How a try to authenticate comes to nothing.

use super::{End, NAMESPACE};

/// Why a try failed (RFC 6120 section 6.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The client gave up.
    Aborted,
    /// Not without TLS.
    EncryptionRequired,
    /// Not base64.
    IncorrectEncoding,
    /// It wants to act as somebody else.
    InvalidAuthzid,
    /// A mechanism that is not offered.
    InvalidMechanism,
    /// The message breaks the rules of its mechanism.
    MalformedRequest,
    /// Wrong password, or no such account.
    NotAuthorized,
    /// Not now: too many failures, or the store failed.
    Temporary,
}

impl Failure {
    /// What the client is told.
    pub fn element(self) -> String {
        format!("<failure xmlns='{NAMESPACE}'><{}/></failure>", self.condition())
    }

    fn condition(self) -> &'static str {
        match self {
            Failure::Aborted => "aborted",
            Failure::EncryptionRequired => "encryption-required",
            Failure::IncorrectEncoding => "incorrect-encoding",
            Failure::InvalidAuthzid => "invalid-authzid",
            Failure::InvalidMechanism => "invalid-mechanism",
            Failure::MalformedRequest => "malformed-request",
            Failure::NotAuthorized => "not-authorized",
            Failure::Temporary => "temporary-auth-failure",
        }
    }
}

/// What a try comes to nothing by: its own failure, after which there may be another, or the end of the stream.
pub(super) enum Miss {
    Failure(Failure),
    End(End),
}

impl From<Failure> for Miss {
    fn from(failure: Failure) -> Miss {
        Miss::Failure(failure)
    }
}

impl<E: Into<End>> From<E> for Miss {
    fn from(end: E) -> Miss {
        Miss::End(end.into())
    }
}
