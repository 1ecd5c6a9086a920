//! The themes and their files.

use plugin_api::Show;

use crate::shown::Shown;

/// What an icon shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum State {
    /// Online.
    Available,
    /// Online and glad to talk.
    Chat,
    /// Gone for a moment.
    Away,
    /// Gone for long.
    Xa,
    /// Not to be disturbed.
    Dnd,
    /// Not online.
    Offline,
    /// Not shown.
    Forbidden,
}

impl State {
    /// All of them, in the order of the files.
    #[cfg(test)]
    pub const ALL: [State; 7] =
        [State::Available, State::Chat, State::Away, State::Xa, State::Dnd, State::Offline, State::Forbidden];

    /// Reads the name of a state. `None`: there is no such state.
    pub fn parse(name: &str) -> Option<State> {
        Some(match name {
            "available" => State::Available,
            "chat" => State::Chat,
            "away" => State::Away,
            "xa" => State::Xa,
            "dnd" => State::Dnd,
            "offline" => State::Offline,
            "forbidden" => State::Forbidden,
            _ => return None,
        })
    }

    /// The state of what is shown.
    pub fn of(shown: &Shown<'_>) -> State {
        match shown {
            Shown::Online { show: Show::Available, .. } => State::Available,
            Shown::Online { show: Show::Chat, .. } => State::Chat,
            Shown::Online { show: Show::Away, .. } => State::Away,
            Shown::Online { show: Show::Xa, .. } => State::Xa,
            Shown::Online { show: Show::Dnd, .. } => State::Dnd,
            Shown::Offline { .. } => State::Offline,
            Shown::Forbidden => State::Forbidden,
        }
    }
}

/// A set of drawings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Theme {
    /// For light pages: a white edge.
    #[default]
    Default,
    /// For dark pages: lighter colours, a dark edge.
    Dark,
    /// Black and white, heavier marks: high contrast.
    Contrast,
}

/// The drawing of a state from the folder of a theme. The files come as one text and are told apart by their order: a table of seven texts
/// would be seven addresses, which every loaded version would have to itself (relocations).
macro_rules! folder {
    ($folder:literal) => {
        concat!(
            include_str!(concat!("../../icons/", $folder, "available.svg")),
            include_str!(concat!("../../icons/", $folder, "chat.svg")),
            include_str!(concat!("../../icons/", $folder, "away.svg")),
            include_str!(concat!("../../icons/", $folder, "xa.svg")),
            include_str!(concat!("../../icons/", $folder, "dnd.svg")),
            include_str!(concat!("../../icons/", $folder, "offline.svg")),
            include_str!(concat!("../../icons/", $folder, "forbidden.svg")),
        )
    };
}

impl Theme {
    /// All of them.
    #[cfg(test)]
    pub const ALL: [Theme; 3] = [Theme::Default, Theme::Dark, Theme::Contrast];
    /// Their names, for those who asked for another.
    pub const NAMES: &str = "default, dark, contrast";

    /// Reads the parameter `theme`. `None`: there is no such theme.
    pub fn parse(name: &str) -> Option<Theme> {
        match name {
            "default" => Some(Theme::Default),
            "dark" => Some(Theme::Dark),
            "contrast" => Some(Theme::Contrast),
            _ => None,
        }
    }

    /// The file of a state.
    pub fn drawing(self, state: State) -> &'static str {
        let files = match self {
            Theme::Default => folder!(""),
            Theme::Dark => folder!("dark/"),
            Theme::Contrast => folder!("contrast/"),
        };
        files.split_inclusive("</svg>\n").nth(state as usize).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::moment::Moment;

    #[test]
    fn each_state_has_the_file_of_its_name_in_every_theme() {
        let online = |show| Shown::Online { show, status: "", priority: 0, since: Some(Moment(0)) };
        let shown = [
            online(Show::Available),
            online(Show::Chat),
            online(Show::Away),
            online(Show::Xa),
            online(Show::Dnd),
            Shown::Offline { status: "", since: None },
            Shown::Forbidden,
        ];
        for theme in Theme::ALL {
            for shown in shown {
                let file = theme.drawing(State::of(&shown));
                assert_eq!(State::parse(shown.state()), Some(State::of(&shown)));
                assert!(file.starts_with("<svg ") && file.ends_with("</svg>\n"), "{file}");
                assert!(file.contains(&format!("aria-label=\"{}", shown.state())), "{file}");
            }
        }
    }

    #[test]
    fn the_theme_default_is_what_status_shows() {
        assert_eq!(Theme::default().drawing(State::Away), include_str!("../../icons/away.svg"));
    }

    #[test]
    fn themes_go_by_their_names() {
        let named: Vec<_> = Theme::NAMES.split(", ").map(Theme::parse).collect();
        assert_eq!(named, Theme::ALL.map(Some));
        for other in ["", "Dark", "light", "../dark"] {
            assert_eq!(Theme::parse(other), None, "{other}");
        }
    }
}
