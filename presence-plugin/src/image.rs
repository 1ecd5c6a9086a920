//! The answer as an image: one of the built-in icons.

use plugin_api::Show;

use crate::{cache::ETag, shown::Shown};

/// A built-in icon, a GIF of 16x16 pixels.
pub struct Icon {
    /// The file.
    pub gif: &'static [u8],
    /// Its entity tag.
    pub etag: ETag,
}

impl Icon {
    const fn new(gif: &'static [u8]) -> Icon {
        Icon { gif, etag: ETag::new(b'i', gif) }
    }
}

static AVAILABLE: Icon = Icon::new(include_bytes!("../icons/available.gif"));
static CHAT: Icon = Icon::new(include_bytes!("../icons/chat.gif"));
static AWAY: Icon = Icon::new(include_bytes!("../icons/away.gif"));
static XA: Icon = Icon::new(include_bytes!("../icons/xa.gif"));
static DND: Icon = Icon::new(include_bytes!("../icons/dnd.gif"));
static OFFLINE: Icon = Icon::new(include_bytes!("../icons/offline.gif"));
static FORBIDDEN: Icon = Icon::new(include_bytes!("../icons/forbidden.gif"));

/// The icon of a state.
pub fn icon(shown: &Shown<'_>) -> &'static Icon {
    match shown {
        Shown::Online { show: Show::Available, .. } => &AVAILABLE,
        Shown::Online { show: Show::Chat, .. } => &CHAT,
        Shown::Online { show: Show::Away, .. } => &AWAY,
        Shown::Online { show: Show::Xa, .. } => &XA,
        Shown::Online { show: Show::Dnd, .. } => &DND,
        Shown::Offline { .. } => &OFFLINE,
        Shown::Forbidden => &FORBIDDEN,
    }
}

/// Row: "Default icons are `image/gif`, 16x16, all states distinguishable; `forbidden` has the pixels of `offline`".
#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    const ICONS: [&Icon; 7] = [&AVAILABLE, &CHAT, &AWAY, &XA, &DND, &OFFLINE, &FORBIDDEN];

    #[test]
    fn every_icon_is_a_gif_of_16_by_16() {
        for icon in ICONS {
            assert_eq!(icon.gif[..10], *b"GIF89a\x10\0\x10\0");
            assert_eq!(icon.gif.last(), Some(&b';'), "the trailer");
        }
    }

    #[test]
    fn every_state_has_its_own_icon_but_forbidden() {
        assert_eq!(ICONS.map(|icon| icon.gif).iter().collect::<HashSet<_>>().len(), 6);
        assert_eq!(OFFLINE.gif, FORBIDDEN.gif);
        assert_eq!(ICONS.map(|icon| icon.etag.as_str()).iter().collect::<HashSet<_>>().len(), 6);
        assert_eq!(OFFLINE.etag, FORBIDDEN.etag);
    }

    #[test]
    fn a_state_is_shown_by_the_icon_of_its_name() {
        let online = |show| icon(&Shown::Online { show, status: "", priority: 0 }).gif;
        assert_eq!(online(Show::Available), include_bytes!("../icons/available.gif"));
        assert_eq!(online(Show::Chat), include_bytes!("../icons/chat.gif"));
        assert_eq!(online(Show::Away), include_bytes!("../icons/away.gif"));
        assert_eq!(online(Show::Xa), include_bytes!("../icons/xa.gif"));
        assert_eq!(online(Show::Dnd), include_bytes!("../icons/dnd.gif"));
        assert_eq!(icon(&Shown::Offline { status: "" }).gif, include_bytes!("../icons/offline.gif"));
    }
}
