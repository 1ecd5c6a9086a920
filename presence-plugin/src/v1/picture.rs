//! A user as an icon.

use super::problem::Problem;
use crate::{
    icons::{
        Encoding, Icons, Look, NATURAL_SIZE, SIZES,
        themes::{State, Theme},
    },
    query::{Parameters, whole},
    representation::{Media, Representation},
};

/// How an icon is to look, whatever it shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    theme: Theme,
    size: u16,
    encoding: Encoding,
}

impl Style {
    /// Reads `size` and `theme`.
    ///
    /// # Errors
    /// One of them is out of its bounds, which the problem names.
    pub fn read(parameters: &Parameters<'_>, encoding: Encoding) -> Result<Style, Problem> {
        let size = match parameters.first("size") {
            None => NATURAL_SIZE,
            Some(text) => whole(&text)
                .and_then(|size| u16::try_from(size).ok())
                .filter(|size| SIZES.contains(size))
                .ok_or_else(|| Problem::whole_number("size", *SIZES.start(), *SIZES.end()))?,
        };
        let theme = match parameters.first("theme") {
            None => Theme::default(),
            Some(name) => Theme::parse(&name)
                .ok_or_else(|| Problem::parameter("theme", format!("theme is one of {}", Theme::NAMES)))?,
        };
        Ok(Style { theme, size, encoding })
    }

    /// The look of a state in this style.
    pub fn of(self, state: State) -> Look {
        let Style { theme, size, encoding } = self;
        Look { theme, state, size, encoding }
    }
}

/// The icon of this look.
pub fn represent(icons: &Icons, look: Look) -> Representation {
    let media = match look.encoding {
        Encoding::Svg => Media::Svg,
        Encoding::Png => Media::Png,
        Encoding::Gif => Media::Gif,
    };
    Representation::of_icon(media, icons.icon(look))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str) -> Result<Style, Problem> {
        Style::read(&Parameters::new(query, b""), Encoding::Png)
    }

    #[test]
    fn size_and_theme_have_defaults_and_bounds() {
        let natural = Style { theme: Theme::Default, size: 16, encoding: Encoding::Png };
        for query in ["", "size=16", "theme=default"] {
            assert_eq!(read(query), Ok(natural), "{query}");
        }
        assert_eq!(read("theme=dark&size=256"), Ok(Style { theme: Theme::Dark, size: 256, ..natural }));
        let bound = Problem::parameter("size", "size is a whole number from 16 to 256, in digits only");
        for size in ["", "15", "257", "0", "-16", "16.0", "x", " 16", "99999999999", "%FF", "%2B32", "032", "016"] {
            assert_eq!(read(&format!("size={size}")).as_ref(), Err(&bound), "{size}");
        }
        let names = Problem::parameter("theme", "theme is one of default, dark, contrast");
        assert_eq!(read("theme=<b>"), Err(names), "what was sent is not repeated");
    }
}
