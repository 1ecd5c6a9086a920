//! PLAIN (RFC 4616): name and password as they are, which is why it is offered inside TLS only.

use super::Failure;

/// The one message of the mechanism.
#[derive(Debug, PartialEq, Eq)]
pub struct Plain<'a> {
    /// Whom the client wants to act as, if it says so.
    pub authorization: Option<&'a str>,
    /// The user name.
    pub user: &'a str,
    /// The password.
    pub password: &'a str,
}

impl<'a> Plain<'a> {
    /// Parses `[authzid] NUL authcid NUL passwd`.
    pub fn parse(message: &'a str) -> Result<Plain<'a>, Failure> {
        let parts: Vec<&str> = message.split('\0').collect();
        match parts[..] {
            [authorization, user, password] if !user.is_empty() && !password.is_empty() => {
                let authorization = (!authorization.is_empty()).then_some(authorization);
                Ok(Plain { authorization, user, password })
            }
            _ => Err(Failure::MalformedRequest),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_has_three_parts() {
        let plain = Plain { authorization: None, user: "ann", password: "secret" };
        assert_eq!(Plain::parse("\0ann\0secret"), Ok(plain));
        let plain = Plain { authorization: Some("ann@x"), user: "ann", password: "secret" };
        assert_eq!(Plain::parse("ann@x\0ann\0secret"), Ok(plain));
        for message in ["", "ann", "\0ann", "\0ann\0", "\0\0secret", "\0ann\0secret\0"] {
            assert_eq!(Plain::parse(message), Err(Failure::MalformedRequest), "{message:?}");
        }
    }
}
