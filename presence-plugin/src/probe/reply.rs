//! The stanzas of a probe: what asks, and what is taken for an answer.

use plugin_api::Show;

use crate::service::element::{CLIENT, Element};

/// How the ids of our probes begin. Whoever sends the id back says which probe it answers.
const ID: &str = "probe-";

/// A probe of `component`, from our own address.
pub fn probe(own: &str, component: &str, number: u64) -> String {
    let probe = Element::new("presence", CLIENT).with("type", "probe").with("id", format!("{ID}{number}"));
    probe.with("from", own).with("to", component).to_string()
}

/// A presence that answers a probe.
#[derive(Debug, PartialEq)]
pub struct Reply {
    /// Whose resource sent it, or who did: it speaks for all of the address (RFC 6121 section 4.3.2).
    pub from: String,
    /// Which probe it answers, if it says so.
    pub number: Option<u64>,
    /// What it says.
    pub presence: Presence,
}

/// What a component says of itself.
#[derive(Clone, Debug, PartialEq)]
pub enum Presence {
    /// It is there.
    Online { show: Show, status: String, priority: i8 },
    /// It is not.
    Offline { status: String },
    /// It does not tell, or it is not known.
    Refused,
}

impl Reply {
    /// Reads a stanza. `None`: it is no answer to a probe.
    pub fn read(stanza: &str) -> Option<Reply> {
        let stanza = Element::read(stanza).filter(|stanza| stanza.is("presence", CLIENT))?;
        let text = |name: &str| stanza.find(name, CLIENT).map(Element::own_text).unwrap_or_default();
        let status = text("status");
        let presence = match stanza.attribute("type") {
            None => {
                let priority = text("priority").trim().parse().unwrap_or(0);
                Presence::Online { show: read_show(&text("show")), status, priority }
            }
            Some("unavailable") => Presence::Offline { status },
            Some("error") => Presence::Refused,
            // `unsubscribed` too: some libraries send it by themselves, before their component has its say.
            Some(_) => return None,
        };
        let number = stanza.attribute("id").and_then(|id| id.strip_prefix(ID)?.parse().ok());
        let from = stanza.attribute("from")?.split('/').next()?.to_owned();
        Some(Reply { from, number, presence })
    }
}

/// A value that is not defined is taken as plainly available, as for users.
fn read_show(text: &str) -> Show {
    match text.trim() {
        "chat" => Show::Chat,
        "away" => Show::Away,
        "xa" => Show::Xa,
        "dnd" => Show::Dnd,
        _ => Show::Available,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(attributes: &str, content: &str) -> Option<Presence> {
        let stanza =
            format!("<presence xmlns=\"jabber:client\" from='echo.here' to='x' {attributes}>{content}</presence>");
        let Reply { from, presence, .. } = Reply::read(&stanza)?;
        assert_eq!(from, "echo.here");
        Some(presence)
    }

    fn online(content: &str) -> (Show, String, i8) {
        match read("", content) {
            Some(Presence::Online { show, status, priority }) => (show, status, priority),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn who_answers_is_there_away_or_not() {
        assert_eq!(online(""), (Show::Available, String::new(), 0));
        let all =
            "<show> away </show><status>a &lt;b&gt; &amp;&#x1F600; <![CDATA[<c>]]></status><priority>-5</priority>";
        assert_eq!(online(all), (Show::Away, "a <b> &\u{1F600} <c>".into(), -5));
        let offline = read("type='unavailable'", "<status>gone</status>");
        assert!(matches!(offline, Some(Presence::Offline { status }) if status == "gone"));
    }

    #[test]
    fn only_the_first_of_its_own_children_count() {
        let nested = "<x xmlns='x'><show>dnd</show><status>deep</status></x><y:status xmlns:y='y'>other</y:status>\
                      <status xmlns='z'>no</status><status>one<b>x</b></status><status>two</status><show>odd</show>";
        assert_eq!(online(nested), (Show::Available, "one".into(), 0));
    }

    #[test]
    fn a_resource_speaks_for_its_component() {
        let from = |jid: &str| Reply::read(&format!("<presence xmlns='jabber:client' from='{jid}'/>")).unwrap().from;
        assert_eq!([from("echo.here/a/b@c"), from("user@echo.here/a")], ["echo.here", "user@echo.here"]);
    }

    #[test]
    fn a_refusal_is_one_and_anything_else_no_answer() {
        assert_eq!(read("type='error'", "<error/>"), Some(Presence::Refused));
        for kind in ["subscribe", "subscribed", "unsubscribe", "unsubscribed", "probe", "odd"] {
            assert_eq!(read(&format!("type='{kind}'"), ""), None, "{kind}");
        }
        for stanza in [
            "",
            "text",
            "<presence xmlns='jabber:client'/>",
            "<presence xmlns='other' from='a'/>",
            "<message xmlns='jabber:client' from='a'/>",
            "<presence xmlns='jabber:client' from='a'>",
        ] {
            assert_eq!(Reply::read(stanza), None, "{stanza}");
        }
    }

    #[test]
    fn a_probe_has_a_number_to_answer_by() {
        let expected = r#"<presence type="probe" id="probe-7" from="presence.here" to="echo.here"/>"#;
        assert_eq!(probe("presence.here", "echo.here", 7), expected);
        let number =
            |id: &str| Reply::read(&format!("<presence xmlns='jabber:client' from='a' id='{id}'/>")).unwrap().number;
        assert_eq!([number("probe-7"), number("7"), number("probe-x")], [Some(7), None, None]);
    }
}
