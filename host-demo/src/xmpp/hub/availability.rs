//! What an available presence says (RFC 6121 section 4.7), as far as the server acts on it.

use minidom::Element;
use rxml::XMLNS_XML;

use super::stanza::{Condition, ns};
use crate::presence::Show;

/// The parts of an available presence that others read as values. All else passes through untouched.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Availability {
    pub show: Show,
    pub priority: i8,
    /// The text of the [`status`]; empty without one.
    pub status: String,
}

impl Availability {
    /// Reads a presence stanza without `type`.
    ///
    /// # Errors
    /// A priority that is no integer between -128 and 127, or more than one.
    pub fn parse(presence: &Element) -> Result<Availability, Condition> {
        Ok(Availability {
            show: show(presence),
            priority: priority(presence)?,
            status: status(presence).unwrap_or_default(),
        })
    }
}

/// The text of the `<status/>` in the language of the stanza, or of the first (RFC 6121 section 4.7.2.2). One that names no language is in the stanza's, which
/// is the stream's where the stanza names none (RFC 6120 section 8.1.3.4).
pub(super) fn status(presence: &Element) -> Option<String> {
    let all = || presence.children().filter(|child| child.is("status", ns::CLIENT));
    let language = |element: &Element| element.attr_ns(XMLNS_XML, "lang").map(str::to_ascii_lowercase);
    let own = language(presence);
    let unnamed = all().find(|status| language(status).is_none());
    let same = || all().find(|status| language(status) == own);
    unnamed.or_else(same).or_else(|| all().next()).map(Element::text)
}

/// A value that RFC 6121 does not define is taken as plainly available: the client meant to be.
fn show(presence: &Element) -> Show {
    let text = presence.get_child("show", ns::CLIENT).map(Element::text);
    match text.as_deref().map(str::trim) {
        Some("chat") => Show::Chat,
        Some("away") => Show::Away,
        Some("xa") => Show::Xa,
        Some("dnd") => Show::Dnd,
        _ => Show::Available,
    }
}

fn priority(presence: &Element) -> Result<i8, Condition> {
    let mut found = presence.children().filter(|child| child.is("priority", ns::CLIENT));
    match (found.next(), found.next()) {
        (None, _) => Ok(0),
        (Some(one), None) => one.text().trim().parse().map_err(|_| Condition::BadRequest),
        (Some(_), Some(_)) => Err(Condition::BadRequest),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(content: &str) -> Result<Availability, Condition> {
        Availability::parse(&format!("<presence xmlns='jabber:client'>{content}</presence>").parse().unwrap())
    }

    #[test]
    fn plain_presence_is_available_with_priority_0() {
        let plain = Availability { show: Show::Available, priority: 0, status: String::new() };
        assert_eq!(parse(""), Ok(plain));
    }

    #[test]
    fn a_value_of_show_that_is_not_defined_is_available() {
        assert_eq!(parse("<show>sleepy</show>").unwrap().show, Show::Available);
    }

    #[test]
    fn a_status_in_the_language_of_the_stanza_counts_before_others() {
        for (attributes, content, expected) in [
            ("", "<status>one</status><status>two</status>", "one"),
            ("", "<status xml:lang='fr'>un</status><status>one</status>", "one"),
            ("xml:lang='fr'", "<status xml:lang='fr'>un</status><status>deux</status>", "deux"),
            ("xml:lang='EN'", "<status xml:lang='fr'>un</status><status xml:lang='en'>one</status>", "one"),
            ("xml:lang='de'", "<status xml:lang='fr'>un</status><status xml:lang='en'>one</status>", "un"),
            ("", "<status xml:lang='fr'>un</status><status xml:lang='en'>one</status>", "un"),
        ] {
            let stanza = format!("<presence xmlns='jabber:client' {attributes}>{content}</presence>");
            assert_eq!(status(&stanza.parse().unwrap()).as_deref(), Some(expected), "{stanza}");
        }
    }

    #[test]
    fn a_priority_is_an_integer_from_minus_128_to_127() {
        for (text, priority) in [("-128", -128), ("127", 127), (" 5 ", 5)] {
            assert_eq!(parse(&format!("<priority>{text}</priority>")).unwrap().priority, priority);
        }
        for text in ["-129", "128", "", "high", "1.5"] {
            assert_eq!(parse(&format!("<priority>{text}</priority>")), Err(Condition::BadRequest), "{text:?}");
        }
        assert_eq!(parse("<priority>1</priority><priority>2</priority>"), Err(Condition::BadRequest));
    }
}
