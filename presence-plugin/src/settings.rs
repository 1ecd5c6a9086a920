//! What the administrator can set.

use plugin_api::{Result, Setting};

use crate::{redirect::Hosts, text, visibility::Visibility};

const AVAILABLE: &str = "Available";
const UNAVAILABLE: &str = "Unavailable";

/// The values of the settings, read once and kept until they change.
#[derive(Debug, PartialEq, Eq)]
pub struct Settings {
    /// Who may see.
    pub visibility: Visibility,
    /// The text for an online user without a status, in one line.
    pub available_text: String,
    /// The text for an offline user without a status and for a refusal, in one line.
    pub unavailable_text: String,
    /// Where custom images may be.
    pub redirect_hosts: Hosts,
}

impl Settings {
    /// The declarations, as the host shows them to the administrator.
    pub fn declared() -> Vec<Setting> {
        vec![
            Setting::choice("visibility", &Visibility::CHOICES, "subscribed").label("Who may see").help(
                "anyone: every user is visible to everybody. subscribed: a user is visible to those who hold a subscription to \
                 its presence. The requester is whoever the address says it is: nothing proves it, and whoever knows a \
                 subscriber's address can ask in its name.",
            ),
            Setting::text("available_text", AVAILABLE)
                .label("Available text")
                .help("Shown for a user who is online and has set no status. Empty restores the default."),
            Setting::text("unavailable_text", UNAVAILABLE)
                .label("Unavailable text")
                .help("Shown for a user who is offline or can't be seen. Empty restores the default."),
            Setting::text("redirect_hosts", "").label("Redirect hosts").help(
                "Host names, separated by commas, on which pages may keep images of their own. Empty allows any host.",
            ),
        ]
    }

    /// Reads the settings by their names.
    pub fn read(value: impl Fn(&str) -> Result<String>) -> Result<Settings> {
        Ok(Settings {
            visibility: Visibility::parse(&value("visibility")?),
            available_text: line_or(&value("available_text")?, AVAILABLE),
            unavailable_text: line_or(&value("unavailable_text")?, UNAVAILABLE),
            redirect_hosts: Hosts::parse(&value("redirect_hosts")?),
        })
    }
}

fn line_or(value: &str, default: &str) -> String {
    let line = text::one_line(value);
    if line.is_empty() { default.to_owned() } else { line }
}

/// Row: "The two texts: an empty value restores the default".
#[cfg(test)]
mod tests {
    use plugin_api::Error;

    use super::*;

    #[test]
    fn an_empty_text_restores_the_default() {
        let settings = Settings::read(|_| Ok(" \n".into())).unwrap();
        assert_eq!(
            (settings.available_text.as_str(), settings.unavailable_text.as_str()),
            ("Available", "Unavailable")
        );
    }

    #[test]
    fn each_setting_is_read_by_its_name() {
        let read = |name: &str| {
            Ok(match name {
                "visibility" => "anyone",
                "available_text" => " Da\nund wach ",
                "unavailable_text" => "Weg",
                "redirect_hosts" => "a.example",
                other => panic!("{other} is not declared"),
            }
            .to_owned())
        };
        let expected = Settings {
            visibility: Visibility::Anyone,
            available_text: "Da und wach".into(),
            unavailable_text: "Weg".into(),
            redirect_hosts: Hosts::parse("a.example"),
        };
        assert_eq!(Settings::read(read).unwrap(), expected);
    }

    #[test]
    fn a_setting_that_cannot_be_read_is_an_error() {
        assert!(Settings::read(|_| Err(Error::new("gone"))).is_err());
    }
}
