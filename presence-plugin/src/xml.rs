//! The answer as XML: a presence stanza (RFC 6121 section 4.7) or a stanza error (RFC 6120 section 8.3).

use std::borrow::Cow;

use plugin_api::Show;

use crate::shown::Shown;

/// Enough for most stanzas.
const ROOM: usize = 256;
/// All that a refusal says.
const FORBIDDEN: &str =
    r#"<error code="403" type="auth"><forbidden xmlns="urn:ietf:params:xml:ns:xmpp-stanzas"/></error>"#;

/// Whom a question is about, as the request named them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Parties<'a> {
    /// The user, a bare JID; `None` when the request has none, or one that is no JID.
    pub user: Option<&'a str>,
    /// The requester, likewise.
    pub requester: Option<&'a str>,
}

/// The stanza with a line break behind it, without an XML declaration.
pub fn render(shown: &Shown<'_>, parties: Parties<'_>, unavailable_text: &str) -> String {
    let mut stanza = String::with_capacity(ROOM);
    stanza.push_str("<presence");
    match *shown {
        Shown::Online { .. } => {}
        Shown::Offline { .. } => stanza.push_str(r#" type="unavailable""#),
        Shown::Forbidden => stanza.push_str(r#" type="error""#),
    }
    attribute(&mut stanza, " from=\"", parties.user);
    match *shown {
        Shown::Online { show, status, priority, .. } => {
            stanza.push('>');
            element(&mut stanza, "show", Some(show.as_str()).filter(|_| show != Show::Available));
            element(&mut stanza, "status", said(status));
            element(&mut stanza, "priority", Some(&priority.to_string()));
        }
        Shown::Offline { status, .. } => {
            stanza.push('>');
            element(&mut stanza, "status", said(status).or(Some(unavailable_text)));
        }
        Shown::Forbidden => {
            attribute(&mut stanza, " to=\"", parties.requester);
            stanza.push('>');
            stanza.push_str(FORBIDDEN);
        }
    }
    stanza.push_str("</presence>\n");
    stanza
}

/// Writes an attribute that `start` begins, if there is a value.
fn attribute(stanza: &mut String, start: &str, value: Option<&str>) {
    let Some(value) = value else { return };
    stanza.push_str(start);
    escape(stanza, value, &['"', '\t', '\n', '\r']);
    stanza.push('"');
}

/// Writes an element, if there is a text.
fn element(stanza: &mut String, name: &str, text: Option<&str>) {
    let Some(text) = text else { return };
    stanza.extend(["<", name, ">"]);
    escape(stanza, text, &['\r']);
    stanza.extend(["</", name, ">"]);
}

/// Writes a text with what means something else in markup (XML 1.0 sections 2.4, 2.11 and 3.3.3) as references, and without what no
/// document may hold, not even as a reference (section 2.2).
fn escape(stanza: &mut String, text: &str, special: &[char]) {
    for character in text.chars() {
        match character {
            '&' => stanza.push_str("&amp;"),
            '<' => stanza.push_str("&lt;"),
            '>' => stanza.push_str("&gt;"),
            '"' if special.contains(&'"') => stanza.push_str("&quot;"),
            '\t' | '\n' | '\r' if special.contains(&character) => {
                stanza.push_str(&format!("&#{};", u32::from(character)));
            }
            other if is_allowed(other) => stanza.push(other),
            _ => {}
        }
    }
}

/// Removes what XML 1.0 (section 2.2) does not allow in a document, not even escaped.
pub(crate) fn allowed(text: &str) -> Cow<'_, str> {
    if text.chars().all(is_allowed) { text.into() } else { text.chars().filter(|char| is_allowed(*char)).collect() }
}

/// A status as sent, unless there is nothing in it to see.
fn said(status: &str) -> Option<&str> {
    Some(status).filter(|status| !status.chars().all(|character| character.is_whitespace() || !is_allowed(character)))
}

fn is_allowed(character: char) -> bool {
    match character {
        '\t' | '\n' | '\r' => true,
        '\u{FFFE}' | '\u{FFFF}' => false,
        other => other >= ' ',
    }
}

/// The column `xml` of the table of outcomes.
#[cfg(test)]
pub mod tests {
    use quick_xml::{Reader, escape::resolve_xml_entity, events::Event};

    use super::*;
    use crate::moment::Moment;

    const PARTIES: Parties<'_> = Parties { user: Some("alice@example.com"), requester: Some("bob@example.net") };

    fn rendered(shown: &Shown<'_>) -> String {
        render(shown, PARTIES, "Unavailable")
    }

    fn online(show: Show, status: &str, priority: i8) -> String {
        rendered(&Shown::Online { show, status, priority, since: Some(Moment(0)) })
    }

    /// Reads a document to its end and returns the text in it. Panics if it is not well-formed.
    pub fn text_of(document: &str) -> String {
        let mut reader = Reader::from_str(document.strip_suffix('\n').expect("a line break at the end"));
        let mut text = String::new();
        loop {
            match reader.read_event().unwrap_or_else(|error| panic!("{document:?}: {error}")) {
                Event::Start(tag) | Event::Empty(tag) => {
                    tag.attributes().for_each(|attribute| drop(attribute.unwrap()))
                }
                Event::Text(part) => text.push_str(&part.xml10_content()),
                Event::GeneralRef(name) => match name.resolve_char_ref().unwrap() {
                    Some(character) => text.push(character),
                    None => text.push_str(resolve_xml_entity(&name.xml10_content()).expect("one of the five entities")),
                },
                Event::End(_) => {}
                Event::Eof => return text,
                other => panic!("{document:?} holds {other:?}"),
            }
        }
    }

    #[test]
    fn an_online_user_has_show_status_and_priority() {
        assert_eq!(
            online(Show::Away, "Lunch", 5),
            "<presence from=\"alice@example.com\"><show>away</show><status>Lunch</status><priority>5</priority></presence>\n"
        );
    }

    #[test]
    fn show_is_absent_when_plainly_available_and_status_when_none() {
        let plain = "<presence from=\"alice@example.com\"><priority>-1</priority></presence>\n";
        for blank in ["", " \n", "\u{1}\u{FFFF}"] {
            assert_eq!(online(Show::Available, blank, -1), plain);
        }
    }

    #[test]
    fn an_offline_user_has_the_last_status_or_the_unavailable_text() {
        let offline = |status: &str| {
            format!("<presence type=\"unavailable\" from=\"alice@example.com\"><status>{status}</status></presence>\n")
        };
        assert_eq!(rendered(&Shown::Offline { status: "", since: None }), offline("Unavailable"));
        assert_eq!(rendered(&Shown::Offline { status: "gone home", since: None }), offline("gone home"));
    }

    #[test]
    fn a_refusal_names_only_what_the_request_named() {
        let error =
            "<error code=\"403\" type=\"auth\"><forbidden xmlns=\"urn:ietf:params:xml:ns:xmpp-stanzas\"/></error>";
        for (parties, names) in [
            (PARTIES, " from=\"alice@example.com\" to=\"bob@example.net\""),
            (Parties { requester: None, ..PARTIES }, " from=\"alice@example.com\""),
            (Parties { user: None, ..PARTIES }, " to=\"bob@example.net\""),
            (Parties::default(), ""),
        ] {
            let expected = format!("<presence type=\"error\"{names}>{error}</presence>\n");
            assert_eq!(render(&Shown::Forbidden, parties, "Unavailable"), expected);
        }
    }

    #[test]
    fn markup_is_escaped_and_reads_back_as_sent() {
        let status = " </status>&amp;<x a='1' b=\"2\">]]>\r\n\t<!-- ☕ ";
        assert_eq!(text_of(&online(Show::Available, status, 0)), format!("{status}0"));
        let parties = Parties { user: Some("\"<&'>\n@x"), requester: None };
        let refused = render(&Shown::Forbidden, parties, "");
        assert!(refused.contains(" from=\"&quot;&lt;&amp;'&gt;&#10;@x\""), "{refused}");
    }

    #[test]
    fn characters_outside_xml_are_removed() {
        let every_control: String = (0..0x20u8).map(char::from).collect();
        let status = format!("a{every_control}b\u{FFFE}\u{FFFF}\u{FFFD}\u{10FFFF}");
        assert_eq!(text_of(&online(Show::Available, &status, 0)), "a\t\n\rb\u{FFFD}\u{10FFFF}0");
    }
}
