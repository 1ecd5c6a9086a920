//! What a visitor of the plugin's own page wants to see: its form, and the addresses that follow from it.

use std::fmt::Write;

use quick_xml::escape::escape;

use super::{Encoded, HOME};
use crate::{
    icons::{SIZES, themes::Theme},
    query::Parameters,
};

/// Where the forms of users are.
pub const USERS: &str = "/plugins/presence/v1/users/";
/// The sizes that the form offers.
const OFFERED: [u16; 6] = [16, 24, 32, 48, 64, 128];
/// A localpart, `@` and a domain of the longest kind (RFC 7622 section 3). What is longer is no address, and would stand in the page many times.
const LONGEST_JID: usize = 2 * 1023 + 1;
const STYLES: [&str; 2] = ["flat", "pill"];

/// The fields of the form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wishes {
    /// Whom to show; empty at first.
    pub jid: String,
    /// In whose name to ask; empty for nobody's.
    pub req_jid: String,
    /// The theme of icons, by its name.
    pub theme: &'static str,
    /// Their size.
    pub size: u16,
    /// The label of badges; empty for that of the service.
    pub label: String,
    /// The style of badges.
    pub style: &'static str,
}

impl Wishes {
    /// Reads what was sent. What the form does not offer is as if it had not been chosen.
    pub fn read(parameters: &Parameters<'_>) -> Wishes {
        let text = |name| parameters.first(name).unwrap_or_default().trim().to_owned();
        let address = |name| Some(text(name)).filter(|jid| jid.len() <= LONGEST_JID).unwrap_or_default();
        let (theme, style, size) = (text("theme"), text("style"), text("size").parse().ok());
        Wishes {
            jid: address("jid"),
            req_jid: address("req_jid"),
            theme: Theme::NAMES.split(", ").find(|name| *name == theme).unwrap_or("default"),
            size: size.filter(|size| SIZES.contains(size)).unwrap_or(32),
            label: text("label").chars().take(64).collect(),
            style: STYLES.into_iter().find(|known| *known == style).unwrap_or(STYLES[0]),
        }
    }

    /// The address of a form of this user.
    pub fn of_user(&self, form: &str) -> String {
        self.asking(&format!("{USERS}{}{form}", Encoded(&self.jid)), &[])
    }

    /// The address of an icon, so many times as large as it is shown.
    pub fn icon(&self, kind: &str, theme: &str, density: u16) -> String {
        let size = (self.size * density).min(*SIZES.end()).to_string();
        let theme = if theme == "default" { "" } else { theme };
        let address = format!("{USERS}{}/icon.{kind}", Encoded(&self.jid));
        self.asking(&address, &[("size", &size), ("theme", theme)])
    }

    /// The address of a badge.
    pub fn badge(&self, kind: &str) -> String {
        let style = if self.style == STYLES[0] { "" } else { self.style };
        let address = format!("{USERS}{}/badge.{kind}", Encoded(&self.jid));
        self.asking(&address, &[("label", &self.label), ("style", style)])
    }

    /// An address with these parameters, but for empty ones, and with the requester that was named.
    pub fn asking(&self, address: &str, parameters: &[(&str, &str)]) -> String {
        let (mut address, mut mark) = (address.to_owned(), '?');
        let requester = [("req_jid", self.req_jid.as_str())];
        for (name, value) in parameters.iter().chain(&requester).filter(|(_, value)| !value.is_empty()) {
            let _ = write!(address, "{mark}{name}={}", Encoded(value));
            mark = '&';
        }
        address
    }

    /// The form with what was chosen, as a part of a page; `placeholder` is an address as an example.
    pub fn form(&self, placeholder: &str) -> String {
        let placeholder = escape(placeholder);
        let themes = options(Theme::NAMES.split(", ").map(str::to_owned), self.theme);
        let offered = OFFERED.into_iter().chain(Some(self.size).filter(|size| !OFFERED.contains(size)));
        let sizes = options(offered.map(|size| size.to_string()), &self.size.to_string());
        let styles = options(STYLES.into_iter().map(str::to_owned), self.style);
        format!(
            "<form class=\"wishes\" action=\"{HOME}\" method=\"get\">\
             <label class=\"wide\">Anybody on this server<input name=\"jid\" value=\"{}\" placeholder=\"{placeholder}\" autocapitalize=\"none\" \
             autocomplete=\"off\" spellcheck=\"false\"></label>\
             <label class=\"wide\">As seen by (nobody in particular, if empty)<input name=\"req_jid\" value=\"{}\" placeholder=\"{placeholder}\" \
             autocapitalize=\"none\" autocomplete=\"off\" spellcheck=\"false\"></label>\
             <label>Theme of icons<select name=\"theme\">{themes}</select></label>\
             <label>Size<select name=\"size\">{sizes}</select></label>\
             <label>Label of badges<input name=\"label\" value=\"{}\" placeholder=\"presence\" maxlength=\"64\" autocomplete=\"off\"></label>\
             <label>Style of badges<select name=\"style\">{styles}</select></label>\
             <button>Show</button></form>",
            escape(self.jid.as_str()),
            escape(self.req_jid.as_str()),
            escape(self.label.as_str())
        )
    }
}

fn options(values: impl Iterator<Item = String>, chosen: &str) -> String {
    let option = |value: String| {
        let mark = if value == chosen { " selected" } else { "" };
        format!("<option{mark}>{value}</option>")
    };
    values.map(option).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str) -> Wishes {
        Wishes::read(&Parameters::new(query, b""))
    }

    #[test]
    fn what_is_not_offered_was_not_chosen() {
        let nothing = String::new;
        let plain =
            Wishes { jid: nothing(), req_jid: nothing(), theme: "default", size: 32, label: nothing(), style: "flat" };
        for query in ["", "theme=neon&size=7&style=x", "jid=+&label=+&size=", "size=257&theme=%3Cb%3E"] {
            assert_eq!(read(query), plain, "{query}");
        }
        let chosen = read("jid=+a%40x+&req_jid=b@x&theme=dark&size=200&label=Me&style=pill");
        let (jid, req_jid, label) = ("a@x".into(), "b@x".into(), "Me".into());
        let expected = Wishes { jid, req_jid, theme: "dark", size: 200, label, style: "pill" };
        assert_eq!(chosen, expected);
        assert!(chosen.form("user@x").contains("<option selected>200</option>"));
        assert!(chosen.form("user@x").contains("<option selected>dark</option>"));
    }

    #[test]
    fn what_is_too_long_to_be_an_address_is_none() {
        let long = |length: usize| read(&format!("jid={}", "'".repeat(length))).jid.len();
        assert_eq!([long(2_047), long(2_048), long(60_000)], [2_047, 0, 0]);
    }

    #[test]
    fn addresses_hold_what_differs_from_the_defaults() {
        let plain = read("jid=a@x");
        assert_eq!(plain.icon("png", plain.theme, 2), "/plugins/presence/v1/users/a@x/icon.png?size=64");
        assert_eq!(plain.badge("svg"), "/plugins/presence/v1/users/a@x/badge.svg");
        let chosen = read("jid=%22/%3C@x&theme=contrast&size=128&label=a%26b&style=pill");
        let user = "/plugins/presence/v1/users/%22%2F%3C@x";
        assert_eq!(chosen.icon("png", chosen.theme, 3), format!("{user}/icon.png?size=256&theme=contrast"));
        assert_eq!(chosen.badge("svg"), format!("{user}/badge.svg?label=a%26b&style=pill"));
        let asking = read("jid=a@x&req_jid=b%26@x");
        let user = "/plugins/presence/v1/users/a@x";
        assert_eq!(asking.of_user(".json"), format!("{user}.json?req_jid=b%26@x"));
        assert_eq!(asking.icon("svg", "default", 1), format!("{user}/icon.svg?size=32&req_jid=b%26@x"));
        assert_eq!(asking.badge("svg"), format!("{user}/badge.svg?req_jid=b%26@x"));
    }
}
