//! The answer as JSON (RFC 8259). A field with nothing to say is absent.

use plugin_api::Show;
use serde::Serialize;

use crate::{moment::Moment, shown::Shown};

/// Enough for most objects.
const ROOM: usize = 256;
/// How each text ends.
const END: &[u8] = b"}\n";
/// What stands before the moment.
const AS_OF: &[u8] = b",\"asOf\":\"";

/// What is shown, as one object.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Document<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    jid: Option<&'a str>,
    state: &'static str,
    available: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    show: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    priority: Option<i8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<Moment>,
}

impl<'a> Document<'a> {
    /// What is shown of the user with this bare JID, who is `None` when the request names no user.
    pub fn new(shown: &Shown<'a>, jid: Option<&'a str>) -> Document<'a> {
        let nothing = Document {
            jid,
            state: shown.state(),
            available: false,
            show: None,
            status: None,
            priority: None,
            since: None,
        };
        match *shown {
            Shown::Online { show, status, priority, since } => Document {
                available: true,
                show: (show != Show::Available).then(|| show.as_str()),
                status: said(status),
                priority: Some(priority),
                since,
                ..nothing
            },
            Shown::Offline { status, since } => Document { status: said(status), since, ..nothing },
            Shown::Forbidden => nothing,
        }
    }

    /// The object with a line break behind it.
    pub fn render(&self) -> Vec<u8> {
        let mut text = Vec::with_capacity(ROOM);
        self.write(&mut text);
        text.push(b'\n');
        text
    }

    /// Whether it was true at a moment, which is to be said ([`dated`]). A refusal holds at any.
    pub fn is_dated(&self) -> bool {
        self.state != Shown::Forbidden.state()
    }

    /// Writes the object at the end of a buffer.
    pub fn write(&self, buffer: &mut Vec<u8>) {
        serde_json::to_writer(buffer, self).expect("texts and numbers under fixed names can always be written");
    }
}

/// A rendered object with the moment at which it was true, `asOf`.
pub fn dated(text: &[u8], moment: Moment) -> Vec<u8> {
    let digits = moment.digits();
    let mut dated = Vec::with_capacity(text.len() + AS_OF.len() + digits.len() + 1);
    dated.extend_from_slice(text.strip_suffix(END).unwrap_or(text));
    dated.extend_from_slice(AS_OF);
    dated.extend_from_slice(&digits);
    dated.push(b'"');
    dated.extend_from_slice(END);
    dated
}

/// A status as sent, unless there is nothing in it to see.
fn said(status: &str) -> Option<&str> {
    Some(status).filter(|status| !status.trim().is_empty())
}

/// The reserved `type=json`: `{"jid","state","available","show","status","priority","since","asOf"}`; "NF:
/// `{"jid","state":"forbidden","available":false}`".
#[cfg(test)]
mod tests {
    use super::*;

    const ALICE: Option<&str> = Some("alice@example.com");

    fn rendered(shown: &Shown<'_>, jid: Option<&str>) -> String {
        let document = Document::new(shown, jid);
        let text = document.render();
        String::from_utf8(if document.is_dated() { dated(&text, Moment(1_000)) } else { text }).unwrap()
    }

    #[test]
    fn an_online_user_has_every_field() {
        let shown = Shown::Online { show: Show::Away, status: "Lunch", priority: 5, since: Some(Moment(0)) };
        let expected = concat!(
            r#"{"jid":"alice@example.com","state":"away","available":true,"show":"away","status":"Lunch","priority":5,"#,
            r#""since":"1970-01-01T00:00:00.000Z","asOf":"1970-01-01T00:00:01.000Z"}"#,
            "\n"
        );
        assert_eq!(rendered(&shown, ALICE), expected);
    }

    #[test]
    fn a_field_with_nothing_to_say_is_absent() {
        let plain = Shown::Online { show: Show::Available, status: " \n", priority: 0, since: Some(Moment(0)) };
        assert_eq!(
            rendered(&plain, ALICE),
            concat!(
                r#"{"jid":"alice@example.com","state":"available","available":true,"priority":0,"#,
                r#""since":"1970-01-01T00:00:00.000Z","asOf":"1970-01-01T00:00:01.000Z"}"#,
                "\n"
            )
        );
        assert_eq!(
            rendered(&Shown::Offline { status: "", since: None }, ALICE),
            concat!(
                r#"{"jid":"alice@example.com","state":"offline","available":false,"asOf":"1970-01-01T00:00:01.000Z"}"#,
                "\n"
            )
        );
    }

    #[test]
    fn an_offline_user_may_have_left_with_a_word() {
        let shown = Shown::Offline { status: "gone home", since: Some(Moment(0)) };
        let text = rendered(&shown, ALICE);
        assert!(text.contains(r#""status":"gone home","since":"1970-01-01T00:00:00.000Z""#), "{text}");
    }

    #[test]
    fn a_refusal_names_only_what_the_request_named() {
        let refusal = r#""state":"forbidden","available":false}"#;
        assert_eq!(rendered(&Shown::Forbidden, ALICE), format!("{{\"jid\":\"alice@example.com\",{refusal}\n"));
        assert_eq!(rendered(&Shown::Forbidden, None), format!("{{{refusal}\n"));
    }

    #[test]
    fn any_status_is_read_back_as_sent() {
        let status = "\"\\</script>\u{0}\u{1F}\u{7F}\u{2028}\u{FFFE}é☕\n";
        let shown = Shown::Online { show: Show::Dnd, status, priority: -128, since: Some(Moment(0)) };
        let read: serde_json::Value = serde_json::from_str(&rendered(&shown, ALICE)).unwrap();
        assert_eq!(read["status"], status);
        assert_eq!(read["priority"], -128);
    }
}
