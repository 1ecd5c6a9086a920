//! The answer as an image: one of the built-in icons, as pixels or as a drawing.

use crate::{cache::ETag, icons::themes::State, shown::Shown};

/// A built-in icon.
pub struct Icon {
    /// A GIF of 16x16 pixels.
    pub gif: File,
    /// An SVG, sharp at any size, which tells its state in words and by its shape: a disc with a tick, a speech bubble, a clock, a moon,
    /// an octagon with a bar, a ring, a padlock.
    pub svg: File,
}

/// A file that is part of the library.
#[derive(Clone, Copy)]
pub struct File {
    /// Its bytes.
    pub bytes: &'static [u8],
    /// Its entity tag.
    pub etag: ETag,
}

impl File {
    /// A file of these bytes. `letter` tells the types apart by their tags.
    pub const fn new(letter: u8, bytes: &'static [u8]) -> File {
        File { bytes, etag: ETag::new(letter, bytes) }
    }
}

impl Icon {
    const fn new(gif: &'static [u8], svg: &'static [u8]) -> Icon {
        Icon { gif: File::new(b'i', gif), svg: File::new(b'v', svg) }
    }
}

macro_rules! icon {
    ($state:literal) => {
        Icon::new(
            include_bytes!(concat!("../icons/", $state, ".gif")),
            include_bytes!(concat!("../icons/", $state, ".svg")),
        )
    };
}

/// In the order of [`State`].
static ICONS: [Icon; 7] =
    [icon!("available"), icon!("chat"), icon!("away"), icon!("xa"), icon!("dnd"), icon!("offline"), icon!("forbidden")];

/// The icon of a state.
pub fn icon(shown: &Shown<'_>) -> &'static Icon {
    &ICONS[State::of(shown) as usize]
}

/// Row: "Default icons are `image/gif`, 16x16, all states distinguishable; `forbidden` has the pixels of `offline`"; "`type=svg`:
/// an icon that scales, with `<title>`, `role="img"` and `aria-label`; no external reference, no script".
#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use quick_xml::{Reader, events::Event};

    use plugin_api::Show;

    use super::*;
    use crate::{
        icons::{drawing, raster, themes::Theme},
        moment::Moment,
    };

    const NAMES: [&str; 7] = ["available", "chat", "away", "xa", "dnd", "offline", "forbidden"];

    fn distinct<T: Eq + std::hash::Hash>(of: impl Fn(&Icon) -> T) -> usize {
        ICONS.iter().map(of).collect::<HashSet<_>>().len()
    }

    #[test]
    fn every_icon_is_a_gif_of_16_by_16() {
        for icon in &ICONS {
            assert_eq!(icon.gif.bytes[..10], *b"GIF89a\x10\0\x10\0");
            assert_eq!(icon.gif.bytes.last(), Some(&b';'), "the trailer");
        }
    }

    #[test]
    fn every_state_has_its_own_icon_but_forbidden() {
        assert_eq!(distinct(|icon| icon.gif.bytes), 6);
        let [.., offline, forbidden] = &ICONS;
        assert_eq!(offline.gif.bytes, forbidden.gif.bytes);
        assert_eq!(distinct(|icon| icon.gif.etag.as_str().to_owned()), 6);
        assert_eq!(offline.gif.etag, forbidden.gif.etag);
    }

    /// `icons/make-gifs.sh` made them by another program: what is seen, and in which colour, is the same but for some pixels at edges.
    #[test]
    fn every_gif_shows_its_drawing() {
        for (state, icon) in State::ALL.into_iter().zip(&ICONS).take(6) {
            let drawn = raster::draw(&drawing::layers(Theme::Default.drawing(state)), 16);
            let mut options = gif::DecodeOptions::new();
            options.set_color_output(gif::ColorOutput::RGBA);
            let mut decoder = options.read_info(icon.gif.bytes).unwrap();
            let frame = decoder.read_next_frame().unwrap().unwrap();
            let differs = |(seen, drawn): &(&[u8], &[u8; 4])| {
                let colours = seen.iter().zip(*drawn).take(3);
                (seen[3] == 255) != (drawn[3] >= 128)
                    || seen[3] == 255 && colours.map(|(one, other)| one.abs_diff(*other)).max() > Some(64)
            };
            let different = frame.buffer.chunks_exact(4).zip(&drawn).filter(differs).count();
            assert!(different <= 8, "{state:?}: {different} pixels");
        }
    }

    type Attributes = Vec<(String, String)>;

    /// The elements of a drawing with their attributes, and its title.
    fn read(svg: &str) -> (Vec<(String, Attributes)>, String) {
        let mut reader = Reader::from_str(svg);
        let (mut elements, mut title, mut in_title) = (Vec::new(), String::new(), false);
        loop {
            match reader.read_event().expect("well-formed") {
                Event::Start(tag) | Event::Empty(tag) => {
                    let attributes = tag.attributes().map(|attribute| {
                        let attribute = attribute.expect("well-formed");
                        (attribute.key.as_ref().to_owned(), attribute.value.as_ref().to_owned())
                    });
                    let name = tag.name().as_ref().to_owned();
                    in_title = name == "title";
                    elements.push((name, attributes.collect()));
                }
                Event::Text(part) if in_title => title.push_str(&part.xml10_content()),
                Event::End(_) => in_title = false,
                Event::Eof => return (elements, title),
                _ => {}
            }
        }
    }

    #[test]
    fn every_drawing_says_its_state_in_words_and_refers_to_nothing() {
        for (state, icon) in NAMES.into_iter().zip(&ICONS) {
            let (elements, title) = read(std::str::from_utf8(icon.svg.bytes).unwrap());
            let (root, attributes) = &elements[0];
            let attribute = |name: &str| attributes.iter().find(|(known, _)| known == name).map(|(_, value)| &**value);
            assert_eq!((root.as_str(), attribute("role")), ("svg", Some("img")));
            assert_eq!(attribute("viewBox"), Some("0 0 16 16"), "it scales");
            assert_eq!(attribute("aria-label"), Some(title.as_str()));
            assert!(title == state || title.starts_with(&format!("{state}: ")), "{title}");
            for (name, attributes) in &elements {
                assert!(["svg", "title", "circle", "path"].contains(&name.as_str()), "{name}");
                for (name, value) in attributes {
                    let is_outside = name.contains("href") || name.starts_with("on") || value.contains("url(");
                    assert!(!is_outside && name != "style", "{name}={value}");
                }
            }
        }
    }

    /// Without its colours, each drawing is still another one.
    #[test]
    fn shapes_tell_the_seven_states() {
        let shapes = |icon: &Icon| {
            let (elements, _) = read(std::str::from_utf8(icon.svg.bytes).unwrap());
            let is_shape = |(name, _): &&(String, Attributes)| !["svg", "title"].contains(&name.as_str());
            let shape = |(name, attributes): &(String, Attributes)| {
                let geometry = attributes
                    .iter()
                    .filter(|(name, value)| !matches!(name.as_str(), "fill" | "stroke") || value == "none");
                (name.clone(), geometry.cloned().collect::<Vec<_>>())
            };
            elements.iter().filter(is_shape).map(shape).collect::<Vec<_>>()
        };
        assert_eq!(distinct(shapes), 7);
        assert_eq!(distinct(|icon| icon.svg.etag.as_str().to_owned()), 7);
    }

    #[test]
    fn a_state_is_shown_by_the_icon_of_its_name() {
        let online = |show| icon(&Shown::Online { show, status: "", priority: 0, since: Some(Moment(0)) }).gif.bytes;
        assert_eq!(online(Show::Available), include_bytes!("../icons/available.gif"));
        assert_eq!(online(Show::Chat), include_bytes!("../icons/chat.gif"));
        assert_eq!(online(Show::Away), include_bytes!("../icons/away.gif"));
        assert_eq!(online(Show::Xa), include_bytes!("../icons/xa.gif"));
        assert_eq!(online(Show::Dnd), include_bytes!("../icons/dnd.gif"));
        let offline = icon(&Shown::Offline { status: "", since: None });
        assert_eq!(offline.gif.bytes, include_bytes!("../icons/offline.gif"));
        assert_eq!(icon(&Shown::Forbidden).svg.bytes, include_bytes!("../icons/forbidden.svg"));
    }
}
