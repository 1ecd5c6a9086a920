//! The answer as text: one line for people.

use crate::{settings::Settings, shown::Shown};

/// The status text, or what the settings say in its place, with a line break behind it.
pub fn render(shown: &Shown<'_>, settings: &Settings) -> String {
    let (status, otherwise) = match shown {
        Shown::Online { status, .. } => (*status, &settings.available_text),
        Shown::Offline { status, .. } => (*status, &settings.unavailable_text),
        Shown::Forbidden => ("", &settings.unavailable_text),
    };
    let mut line = one_line(status);
    if line.is_empty() {
        line.push_str(otherwise);
    }
    line.push('\n');
    line
}

/// Trims a text and folds its inner white space. Control characters count as white space: a terminal would obey them.
pub fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len() + 1);
    let is_gap = |character: char| character.is_whitespace() || character.is_control();
    for word in text.split(is_gap).filter(|word| !word.is_empty()) {
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    line
}

/// The column `text` of the table of outcomes.
#[cfg(test)]
mod tests {
    use plugin_api::Show;

    use super::*;
    use crate::{answer::tests::settings, moment::Moment};

    fn online(status: &str) -> String {
        render(&Shown::Online { show: Show::Dnd, status, priority: 0, since: Some(Moment(0)) }, &settings("subscribed"))
    }

    #[test]
    fn a_status_is_trimmed_and_folded_to_one_line() {
        assert_eq!(online(" At\tlunch,\r\n\r\n back \u{2028}at\u{A0}1 "), "At lunch, back at 1\n");
        assert_eq!(online("Mittag – bis später ☕"), "Mittag – bis später ☕\n");
        assert_eq!(online("a\u{0}b \u{1B} c\u{9B}"), "a b c\n");
    }

    #[test]
    fn a_blank_status_is_the_available_text() {
        assert_eq!(online(""), "Available\n");
        assert_eq!(online(" \n\u{3000}\u{7F}"), "Available\n");
    }

    #[test]
    fn offline_is_the_last_status_or_the_unavailable_text() {
        let offline = |status| render(&Shown::Offline { status, since: None }, &settings("subscribed"));
        assert_eq!(offline("Gone\nhome"), "Gone home\n");
        assert_eq!(offline(""), "Unavailable\n");
        assert_eq!(offline("  "), "Unavailable\n");
    }

    #[test]
    fn a_refusal_is_the_unavailable_text() {
        assert_eq!(render(&Shown::Forbidden, &settings("subscribed")), "Unavailable\n");
    }
}
