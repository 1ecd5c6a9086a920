//! The parameters of a request: `application/x-www-form-urlencoded` (URL Standard, section 5) in the query and in the body
//! of a POST.

use std::borrow::Cow;

/// The parameters as sent; each is decoded when it is asked for, so that a parameter nobody asks for costs nothing.
#[derive(Clone, Copy)]
pub struct Parameters<'r> {
    query: &'r [u8],
    form: &'r [u8],
}

impl<'r> Parameters<'r> {
    /// The parameters of a query (without its `?`) and of a form body, both possibly empty.
    pub fn new(query: &'r str, form: &'r [u8]) -> Parameters<'r> {
        Parameters { query: query.as_bytes(), form }
    }

    /// The first value of a parameter, the query before the form, as the servlets did for which the URLs were written.
    /// Bytes that are no UTF-8 turn into U+FFFD, which no JID, type or redirect target may hold.
    pub fn first(&self, name: &str) -> Option<Cow<'r, str>> {
        self.all(name).next()
    }

    /// All values of a parameter that may be repeated, in the order of [`first`](Parameters::first).
    pub fn all(&self, name: &str) -> impl Iterator<Item = Cow<'r, str>> {
        let both = pairs(self.query).chain(pairs(self.form));
        both.filter(move |(sent, _)| is_name(sent, name)).map(|(_, value)| decode(value))
    }
}

/// Reads a whole number, written in digits and nothing else: no sign, and no zero before others.
pub fn whole(text: &str) -> Option<u64> {
    let is_written_so = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| is_written_so)
}

/// Whether a body with this `Content-Type` holds parameters.
pub fn is_form(content_type: Option<&str>) -> bool {
    let essence = content_type.unwrap_or_default().split(';').next().unwrap_or_default();
    essence.trim().eq_ignore_ascii_case("application/x-www-form-urlencoded")
}

fn pairs(text: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    text.split(|byte| *byte == b'&').map(|pair| match pair.iter().position(|byte| *byte == b'=') {
        Some(equals) => (&pair[..equals], &pair[equals + 1..]),
        None => (pair, &[][..]),
    })
}

fn is_name(sent: &[u8], name: &str) -> bool {
    sent == name.as_bytes() || (sent.contains(&b'%') && decoded(sent).eq(name.bytes()))
}

pub fn decode(value: &[u8]) -> Cow<'_, str> {
    if !value.iter().any(|byte| matches!(byte, b'%' | b'+')) {
        return String::from_utf8_lossy(value);
    }
    let text = String::from_utf8(decoded(value).collect());
    Cow::Owned(text.unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()))
}

/// Undoes percent-encoding; a `%` that does not begin an encoded byte stands for itself.
fn decoded(mut text: &[u8]) -> impl Iterator<Item = u8> {
    std::iter::from_fn(move || {
        let (&byte, rest) = text.split_first()?;
        text = rest;
        match (byte, rest) {
            (b'+', _) => Some(b' '),
            (b'%', [high, low, after @ ..]) => match (hexadecimal(*high), hexadecimal(*low)) {
                (Some(high), Some(low)) => {
                    text = after;
                    Some(high << 4 | low)
                }
                _ => Some(b'%'),
            },
            _ => Some(byte),
        }
    })
}

fn hexadecimal(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

/// Row: "POST takes the same parameters from a form body merged with the query; the first value of a repeated parameter
/// wins", and the rows of bad parameters: missing, empty, repeated, not UTF-8, with NUL.
#[cfg(test)]
mod tests {
    use super::*;

    fn first(query: &str, form: &str, name: &str) -> Option<String> {
        Parameters::new(query, form.as_bytes()).first(name).map(Cow::into_owned)
    }

    #[test]
    fn the_first_value_wins_and_the_query_comes_before_the_form() {
        assert_eq!(first("type=xml&type=text", "", "type").as_deref(), Some("xml"));
        assert_eq!(first("a=1", "type=text&type=xml", "type").as_deref(), Some("text"));
        assert_eq!(first("type=xml", "type=text", "type").as_deref(), Some("xml"));
        assert_eq!(first("type=", "type=text", "type").as_deref(), Some(""));
    }

    #[test]
    fn a_repeated_parameter_has_all_its_values() {
        let parameters = Parameters::new("jid=a&x=y&%6Aid=b%40c", b"jid=d");
        assert_eq!(parameters.all("jid").collect::<Vec<_>>(), ["a", "b@c", "d"]);
    }

    #[test]
    fn missing_and_empty_are_told_apart() {
        assert_eq!(first("", "", "jid"), None);
        assert_eq!(first("jid", "", "jid").as_deref(), Some(""));
        assert_eq!(first("jid=", "", "jid").as_deref(), Some(""));
        assert_eq!(first("jid[]=a&JID=b&xjid=c", "", "jid"), None);
    }

    #[test]
    fn names_and_values_are_decoded() {
        assert_eq!(first("%6Aid=ann%40x+y", "", "jid").as_deref(), Some("ann@x y"));
        assert_eq!(first("jid=%C3%A9", "", "jid").as_deref(), Some("é"));
        assert_eq!(first("images=http://h/?a=b%26c", "", "images").as_deref(), Some("http://h/?a=b&c"));
    }

    #[test]
    fn a_broken_percent_sign_stands_for_itself() {
        for broken in ["%", "%4", "%zz", "%%", "100%"] {
            assert_eq!(first(&format!("jid={broken}"), "", "jid").as_deref(), Some(broken));
        }
        assert_eq!(first("jid=%4%41", "", "jid").as_deref(), Some("%4A"));
    }

    #[test]
    fn what_is_no_utf8_cannot_pass_for_something_else() {
        assert_eq!(first("jid=a%FFb", "", "jid").as_deref(), Some("a\u{FFFD}b"));
        assert_eq!(first("jid=a%00b", "", "jid").as_deref(), Some("a\0b"));
        assert_eq!(Parameters::new("", b"jid=\xFF").first("jid").as_deref(), Some("\u{FFFD}"));
    }

    #[test]
    fn a_plain_value_is_borrowed() {
        assert!(matches!(Parameters::new("jid=ann@x", b"").first("jid"), Some(Cow::Borrowed("ann@x"))));
    }

    #[test]
    fn only_a_form_is_read_from_the_body() {
        assert!(is_form(Some("application/x-www-form-urlencoded")));
        assert!(is_form(Some("Application/X-WWW-Form-Urlencoded ; charset=UTF-8")));
        assert!(!is_form(Some("application/x-www-form-urlencoded2")));
        assert!(!is_form(Some("text/plain")));
        assert!(!is_form(None));
    }
}
