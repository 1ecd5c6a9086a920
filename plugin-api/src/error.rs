//! What went wrong in a plugin: one message for the client, one for the log.

use std::fmt;

/// The result of a plugin's own functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failure, with the answer it turns into when a handler returns it.
///
/// Any standard error turns into one by `?`: the client then sees a plain `500 Internal Server Error`, and the log the
/// error's text.
#[derive(Debug)]
pub struct Error {
    status: u16,
    client: String,
    log: String,
}

impl Error {
    /// A fault of the plugin or the host: the client gets 500 without detail, the log gets `message`.
    pub fn new(message: impl Into<String>) -> Error {
        Error { status: 500, client: "Internal Server Error".into(), log: message.into() }
    }

    /// A fault of the client: it gets `status` (400 to 499) and `message` as plain text; nothing is logged above debug.
    pub fn client(status: u16, message: impl Into<String>) -> Error {
        let message = message.into();
        Error { status, log: message.clone(), client: message }
    }

    /// 400: the request is not what the route takes.
    pub fn bad_request(message: impl Into<String>) -> Error {
        Error::client(400, message)
    }

    /// 404: there is no such thing.
    pub fn not_found(message: impl Into<String>) -> Error {
        Error::client(404, message)
    }

    /// The status code of the answer.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// What the client may know.
    pub fn client_message(&self) -> &str {
        &self.client
    }

    /// What the log should say.
    pub fn log_message(&self) -> &str {
        &self.log
    }
}

/// The message for the log.
impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.log)
    }
}

/// `Error` itself is no standard error, so that `?` can turn every one of those into it.
impl<E: std::error::Error> From<E> for Error {
    fn from(error: E) -> Error {
        let mut message = error.to_string();
        let mut cause = error.source();
        while let Some(inner) = cause {
            message = format!("{message}: {inner}");
            cause = inner.source();
        }
        Error::new(message)
    }
}
