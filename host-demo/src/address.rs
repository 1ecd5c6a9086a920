//! Addresses as they come from outside (RFC 7622), taken only in a form that stays what it is.
//!
//! An address is compared, stored and passed on as it was prepared. Preparing it once more must change nothing, or what was
//! refused here is another user there: stringprep (RFC 3920 appendices A and B) folds case before it normalises, so that a
//! superscript letter becomes a capital one. RFC 7622 has no such address. `ß` in a domain becomes `ss`, which may be too long.

use std::fmt;

use jid::{BareJid, Jid, NodePart, ResourcePart};

/// Why a text is no address.
#[derive(Debug, PartialEq, Eq)]
pub enum AddressError {
    /// It breaks a rule.
    Jid(jid::Error),
    /// Prepared once, it is not what it is when prepared twice.
    Unsettled,
}

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AddressError::Jid(error) => error.fmt(f),
            AddressError::Unsettled => f.write_str("a character in it has no single form to compare"),
        }
    }
}

impl std::error::Error for AddressError {}

/// Parses an address, bare or full.
///
/// # Errors
/// It is none.
pub fn jid(text: &str) -> Result<Jid, AddressError> {
    settled(text, Jid::new, Jid::as_str)
}

/// Parses an address without a resource.
///
/// # Errors
/// It is none.
pub fn bare_jid(text: &str) -> Result<BareJid, AddressError> {
    settled(text, BareJid::new, |jid| jid.as_str())
}

/// Parses the part of an address that names an account.
///
/// # Errors
/// It is none.
pub fn localpart(text: &str) -> Result<NodePart, AddressError> {
    settled(text, |text| NodePart::new(text).map(|part| part.into_owned()), |part| part.as_str())
}

/// Parses the part of an address that names a session.
///
/// # Errors
/// It is none.
pub fn resourcepart(text: &str) -> Result<ResourcePart, AddressError> {
    settled(text, |text| ResourcePart::new(text).map(|part| part.into_owned()), |part| part.as_str())
}

fn settled<T>(
    text: &str,
    parse: impl Fn(&str) -> Result<T, jid::Error>,
    prepared: impl Fn(&T) -> &str,
) -> Result<T, AddressError> {
    let parsed = parse(text).map_err(AddressError::Jid)?;
    let form = prepared(&parsed);
    // Most are prepared when they come.
    if form == text || parse(form).is_ok_and(|again| prepared(&again) == form) {
        Ok(parsed)
    } else {
        Err(AddressError::Unsettled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_prepared() {
        assert_eq!(jid("Ann@Here/Desk").map(|jid| jid.to_string()).as_deref(), Ok("ann@here/Desk"));
        assert_eq!(bare_jid("\u{2168}@here").map(|jid| jid.to_string()).as_deref(), Ok("ix@here"));
        assert_eq!(localpart("A\u{AD}nn").map(|part| part.to_string()).as_deref(), Ok("ann"));
        assert_eq!(resourcepart("\u{2168}").map(|part| part.to_string()).as_deref(), Ok("IX"));
        assert_eq!(jid("ann@"), Err(AddressError::Jid(jid::Error::Idna)));
    }

    #[test]
    fn an_address_that_would_be_prepared_differently_the_next_time_is_none() {
        // A superscript A, which becomes a capital one.
        assert_eq!(jid("\u{1D2C}nn@here"), Err(AddressError::Unsettled));
        assert_eq!(localpart("\u{1D2C}nn"), Err(AddressError::Unsettled));
        // Short as it is looked up in the DNS, too long as it is compared.
        let domain = format!("{}.example", "\u{DF}".repeat(40));
        assert!(Jid::new(&domain).is_ok_and(|prepared| Jid::new(prepared.as_str()).is_err()));
        assert_eq!(jid(&domain), Err(AddressError::Unsettled));
    }
}
