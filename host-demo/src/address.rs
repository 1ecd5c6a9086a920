//! Addresses as they come from outside (RFC 7622), taken only in a form that stays what it is.
//!
//! An address is compared, stored and passed on as it was prepared. Preparing it once more must change nothing, or what was
//! refused here is another user there: stringprep (RFC 3920 appendices A and B) folds case before it normalises, so that a
//! superscript letter becomes a capital one. RFC 7622 has no such address.
//!
//! A domain of another script has a second form, that of the DNS (`xn--mller-kva.example` for `müller.example`). Here it has the first one, as RFC 7622
//! section 3.2 wants it on the wire, if stringprep leaves that as it is; it makes `ss` of `ß`, which is another domain, and knows no character that came
//! after Unicode 3.2. Else it has the second one, [`dns_name`].

use std::{borrow::Cow, fmt};

use idna::uts46::{AsciiDenyList, DnsLength, Hyphens, Uts46};
use jid::{BareJid, DomainPart, Jid, NodePart, ResourcePart};

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
    settled(&with_plain_domain(text), Jid::new, Jid::as_str)
}

/// Parses an address without a resource.
///
/// # Errors
/// It is none.
pub fn bare_jid(text: &str) -> Result<BareJid, AddressError> {
    settled(&with_plain_domain(text), BareJid::new, |jid| jid.as_str())
}

/// Parses the part of an address that names a server.
///
/// # Errors
/// It is none.
pub fn domainpart(text: &str) -> Result<DomainPart, AddressError> {
    let parse = |text: &str| DomainPart::new(text).map(|part| part.into_owned());
    settled(&plain_domain(text), parse, |part| part.as_str())
}

/// A domain as it is named in the DNS, in certificates, and in addresses of pages.
pub fn dns_name(domain: &str) -> Cow<'_, str> {
    let name = Uts46::new().to_ascii(domain.as_bytes(), AsciiDenyList::URL, Hyphens::Check, DnsLength::Verify);
    name.unwrap_or(Cow::Borrowed(domain))
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

/// Whether a text is a bare JID of a user as it is compared, seen at a glance, and where its domain begins. Most are, and preparing them
/// costs more than all else that is done with them. `None` says nothing.
pub fn prepared_user(text: &str) -> Option<usize> {
    let (local, domain) = text.split_once('@')?;
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let is_local = |byte: u8| is_plain(byte) || matches!(byte, b'.' | b'_' | b'-');
    let is_label = |label: &str| {
        // With a hyphen in its third and fourth place a label may be of another script (RFC 5891 section 4.2.3.1).
        let has_ends = !label.starts_with('-') && !label.ends_with('-') && label.get(2..4) != Some("--");
        (1..=63).contains(&label.len()) && has_ends && label.bytes().all(|byte| is_plain(byte) || byte == b'-')
    };
    let fits = (1..=1023).contains(&local.len()) && domain.len() <= 253;
    // A number at the end may be part of an IP address.
    let has_name = domain.rsplit('.').next().is_some_and(|last| last.bytes().all(|byte| byte.is_ascii_lowercase()));
    let is_prepared = fits && has_name && local.bytes().all(is_local) && domain.split('.').all(is_label);
    is_prepared.then_some(local.len() + 1)
}

/// The address with its domain in one form.
fn with_plain_domain(text: &str) -> Cow<'_, str> {
    let bare = text.find('/').unwrap_or(text.len());
    let begin = text[..bare].rfind('@').map_or(0, |at| at + 1);
    match plain_domain(&text[begin..bare]) {
        Cow::Borrowed(domain) if domain.len() == bare - begin => Cow::Borrowed(text),
        domain => Cow::Owned([&text[..begin], &domain, &text[bare..]].concat()),
    }
}

/// A domain without the dot of the root, which is no part of it, and in Unicode (RFC 7622 section 3.2). The `jid` crate takes the dot off only where it
/// changes something else, too, and else finds the resource a byte too early; of the two forms of a label it compares neither with the other.
fn plain_domain(text: &str) -> Cow<'_, str> {
    let domain = text.strip_suffix('.').filter(|domain| !domain.ends_with('.')).unwrap_or(text);
    let is_encoded = |label: &str| label.get(..4).is_some_and(|prefix| prefix.eq_ignore_ascii_case("xn--"));
    if domain.is_ascii() && !domain.split('.').any(is_encoded) {
        return Cow::Borrowed(domain);
    }
    match Uts46::new().to_unicode(domain.as_bytes(), AsciiDenyList::URL, Hyphens::Check) {
        (unicode, Ok(())) if DomainPart::new(&unicode).is_ok_and(|prepared| prepared.as_str() == unicode) => unicode,
        _ => dns_name(domain),
    }
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
    fn what_is_prepared_at_a_glance_is_what_it_would_become() {
        let parts = [
            "a",
            "B",
            "0",
            "-",
            "--",
            ".",
            "_",
            "@",
            "/",
            "xn--",
            "xn--a",
            "localhost",
            "\u{DF}",
            " ",
            "\u{1D2C}",
            "[::1]",
        ];
        let mut texts: Vec<String> = vec![String::new()];
        for length in 0..5 {
            let longer = |text: &String| parts.map(|part| format!("{text}{part}"));
            texts = texts.iter().filter(|text| length < 4 || text.contains('@')).flat_map(longer).collect();
            for text in texts.iter().filter(|text| prepared_user(text).is_some()) {
                assert_eq!(jid(text).map(|jid| jid.to_string()).as_deref(), Ok(&**text));
            }
        }
        let long = |local: usize, label: usize| format!("{}@{}", "a".repeat(local), "b".repeat(label));
        for (text, domain) in [
            ("alice@example.com".to_owned(), Some(6)),
            ("a.b-c_d@x1-2.example".to_owned(), Some(8)),
            (long(1023, 63), Some(1024)),
            (long(1024, 1), None),
            (long(1, 64), None),
            ("a@127.0.0.1".to_owned(), None),
            ("alice@example.com/phone".to_owned(), None),
            ("example.com".to_owned(), None),
            ("Alice@example.com".to_owned(), None),
        ] {
            assert_eq!(prepared_user(&text), domain, "{text}");
        }
        assert!(jid(&long(1023, 63)).is_ok() && jid(&long(1024, 1)).is_err() && jid(&long(1, 64)).is_err());
    }

    #[test]
    fn an_address_is_prepared() {
        assert_eq!(jid("Ann@Here/Desk").map(|jid| jid.to_string()).as_deref(), Ok("ann@here/Desk"));
        assert_eq!(bare_jid("\u{2168}@here").map(|jid| jid.to_string()).as_deref(), Ok("ix@here"));
        assert_eq!(localpart("A\u{AD}nn").map(|part| part.to_string()).as_deref(), Ok("ann"));
        assert_eq!(resourcepart("\u{2168}").map(|part| part.to_string()).as_deref(), Ok("IX"));
        assert_eq!(jid("ann@"), Err(AddressError::Jid(jid::Error::Idna)));
    }

    #[test]
    fn a_dot_at_the_end_of_a_domain_is_no_part_of_it() {
        for (text, address) in [
            ("ann@here.example.", "ann@here.example"),
            ("ANN@here.example.", "ann@here.example"),
            ("ann@here.example./desk.", "ann@here.example/desk."),
            ("here.example./desk", "here.example/desk"),
            ("localhost.", "localhost"),
            ("ann@127.0.0.1.", "ann@127.0.0.1"),
        ] {
            assert_eq!(jid(text).map(|jid| jid.to_string()).as_deref(), Ok(address), "{text}");
            assert_eq!(prepared_user(text), None, "{text}");
        }
        assert_eq!(jid("ann@here./desk/x").unwrap().resource().map(|part| part.as_str()), Some("desk/x"));
        assert_eq!(bare_jid("ann@here.").map(|jid| jid.to_string()).as_deref(), Ok("ann@here"));
        for text in ["ann@here..", "ann@.", ".", "..", "ann@./desk", "here../desk"] {
            assert_eq!(jid(text), Err(AddressError::Jid(jid::Error::Idna)), "{text}");
        }
    }

    #[test]
    fn a_domain_has_one_form_in_whatever_form_it_comes() {
        for text in [
            "ann@xn--mller-kva.example/desk",
            "ann@XN--MLLER-KVA.example./desk",
            "ann@müller.example/desk",
            "Ann@MU\u{308}LLER.Example/desk",
            "ann@müller。example/desk",
        ] {
            assert_eq!(jid(text).map(|jid| jid.to_string()).as_deref(), Ok("ann@müller.example/desk"), "{text}");
        }
        for (text, domain, name) in [
            ("xn--mller-kva.example", Some("müller.example"), "xn--mller-kva.example"),
            ("Example.com.", Some("example.com"), "example.com"),
            ("127.0.0.1", Some("127.0.0.1"), "127.0.0.1"),
            ("[::1]", Some("[::1]"), "[::1]"),
            ("\u{1F600}.example", Some("xn--e28h.example"), "xn--e28h.example"),
            ("xn--e28h.example", Some("xn--e28h.example"), "xn--e28h.example"),
            ("Straße.example", Some("xn--strae-oqa.example"), "xn--strae-oqa.example"),
            ("XN--strae-oqa.example", Some("xn--strae-oqa.example"), "xn--strae-oqa.example"),
            ("strasse.example", Some("strasse.example"), "strasse.example"),
            ("xn--a", None, ""),
            ("xn--", None, ""),
            ("ann@here", None, ""),
            ("", None, ""),
        ] {
            let read = domainpart(text).ok();
            assert_eq!(read.as_ref().map(|part| part.as_str()), domain, "{text}");
            assert!(read.is_none_or(|domain| dns_name(domain.as_str()) == name), "{text}");
        }
        // What looks like a domain in another part is none.
        assert_eq!(
            jid("ann@here/x@xn--mller-kva.").map(|jid| jid.to_string()).as_deref(),
            Ok("ann@here/x@xn--mller-kva.")
        );
        assert_eq!(jid("xn--mller-kva@here").map(|jid| jid.to_string()).as_deref(), Ok("xn--mller-kva@here"));
    }

    #[test]
    fn an_address_that_would_be_prepared_differently_the_next_time_is_none() {
        // A superscript A, which becomes a capital one.
        assert_eq!(jid("\u{1D2C}nn@here"), Err(AddressError::Unsettled));
        assert_eq!(localpart("\u{1D2C}nn"), Err(AddressError::Unsettled));
    }
}
