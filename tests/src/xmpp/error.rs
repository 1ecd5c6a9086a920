//! What can go wrong on the client's side of a stream.

use std::{fmt, io};

/// The result of a step of the conversation.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a step of the conversation failed.
#[derive(Debug)]
pub enum Error {
    /// The socket or TLS failed.
    Io(io::Error),
    /// The server sent XML that is not well-formed.
    Xml(String),
    /// The server ended the stream with this condition (RFC 6120 section 4.9.3).
    Stream(String),
    /// The server refused the authentication with this condition (RFC 6120 section 6.5).
    Sasl(String),
    /// The server closed the connection, with or without a stream footer.
    Closed,
    /// Nothing fitting came in time.
    TimedOut,
    /// The server's answer breaks the protocol.
    Unexpected(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Io(error) => write!(f, "{error}"),
            Error::Xml(error) => write!(f, "the server sent broken XML: {error}"),
            Error::Stream(condition) => write!(f, "the server ended the stream: {condition}"),
            Error::Sasl(condition) => write!(f, "the server refused the login: {condition}"),
            Error::Closed => f.write_str("the server closed the connection"),
            Error::TimedOut => f.write_str("the server did not answer in time"),
            Error::Unexpected(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for Error {}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Error {
        match error.kind() {
            io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => Error::TimedOut,
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::UnexpectedEof => Error::Closed,
            _ => Error::Io(error),
        }
    }
}
