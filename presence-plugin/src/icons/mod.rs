//! Icons of any size in several themes: seven drawings each, as SVG (SVG 2), PNG (third edition) or GIF (89a).
//!
//! A theme is a folder of seven SVG files, and these are the only description of its shapes: what is served as SVG is the file with
//! another width and height, what is served as pixels is drawn from it. `default` is what `/status` shows.
//!
//! # Layout
//! [`themes`] holds the files, [`drawing`] reads one into layers, [`raster`] turns layers into pixels, [`encode`] writes pixels as PNG or
//! GIF, and [`shelf`] keeps what was made.

pub mod drawing;
mod encode;
pub mod raster;
mod shelf;
pub mod themes;

use std::sync::Arc;

use crate::{
    cache::ETag,
    icons::{
        shelf::Shelf,
        themes::{State, Theme},
    },
};

/// The smallest and the largest icon, in pixels.
pub const SIZES: std::ops::RangeInclusive<u16> = 16..=256;
/// The size of an icon that nobody asked a size of.
pub const NATURAL_SIZE: u16 = 16;

/// How an icon is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// A drawing.
    Svg,
    /// Pixels with 256 steps of transparency.
    Png,
    /// Pixels that are there or not.
    Gif,
}

/// One icon among all there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Look {
    /// The theme.
    pub theme: Theme,
    /// The state that it shows.
    pub state: State,
    /// Width and height in pixels, one of [`SIZES`].
    pub size: u16,
    /// How it is written.
    pub encoding: Encoding,
}

/// An icon, ready to be sent.
pub struct Icon {
    /// Its bytes.
    pub bytes: Arc<[u8]>,
    /// Its entity tag.
    pub etag: ETag,
}

/// All icons. Each is made when it is first asked for.
#[derive(Default)]
pub struct Icons(Shelf);

impl Icons {
    /// The icon of this look.
    pub fn icon(&self, look: Look) -> Arc<Icon> {
        self.0.get(look).unwrap_or_else(|| self.0.put(look, make(look)))
    }
}

fn make(look: Look) -> Icon {
    let Look { theme, state, size, encoding } = look;
    let file = theme.drawing(state);
    let (letter, bytes) = match encoding {
        Encoding::Svg => (b'v', drawing::resized(file, size).into_bytes()),
        Encoding::Png => (b'p', encode::png(&raster::draw(&drawing::layers(file), size), size)),
        Encoding::Gif => (b'i', encode::gif(&raster::draw(&drawing::layers(file), size), size)),
    };
    Icon { etag: ETag::new(letter, &bytes), bytes: bytes.into() }
}

/// "Crisp at 1x, 2x, 3x; all seven states told apart without colour in each theme."
#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn pixels(theme: Theme, state: State, size: u16) -> Vec<[u8; 4]> {
        raster::draw(&drawing::layers(theme.drawing(state)), size)
    }

    /// Light or dark, there or not: what is left of a picture without its colours.
    fn grey(pixels: &[[u8; 4]]) -> Vec<u8> {
        let luma = |[red, green, blue, alpha]: [u8; 4]| {
            let light = (u32::from(red) * 3 + u32::from(green) * 6 + u32::from(blue)) / 10;
            (light * u32::from(alpha) / 255 + (255 - u32::from(alpha)) / 2) as u8
        };
        pixels.iter().map(|pixel| luma(*pixel)).collect()
    }

    #[test]
    fn all_states_are_told_apart_without_colour() {
        for theme in Theme::ALL {
            for (index, one) in State::ALL.into_iter().enumerate() {
                for other in State::ALL.into_iter().skip(index + 1) {
                    let (one, other) = (grey(&pixels(theme, one, 16)), grey(&pixels(theme, other, 16)));
                    let apart = one.iter().zip(&other).filter(|(one, other)| one.abs_diff(**other) > 64).count();
                    assert!(apart >= 10, "{theme:?}: {apart} pixels");
                }
            }
        }
    }

    /// Every edge that is straight lies between pixels: an icon twice or three times as large has no more soft pixels along them.
    #[test]
    fn straight_edges_are_sharp_at_every_density() {
        for theme in Theme::ALL {
            for size in [16, 32, 48] {
                let drawn = pixels(theme, State::Dnd, size);
                let middle = usize::from(size / 2) * usize::from(size);
                let row = &drawn[middle..middle + usize::from(size)];
                let edge = usize::from(size / 16);
                assert!(row.iter().all(|pixel| pixel[3] == 255), "{theme:?} {size}: {row:?}");
                assert!(row[..edge].iter().all(|pixel| *pixel == row[0]), "{theme:?} {size}: the edge is one colour");
                assert!(row[edge..2 * edge].iter().all(|pixel| *pixel == row[edge]), "{theme:?} {size}: {row:?}");
                assert_ne!(row[0], row[edge], "{theme:?} {size}");
            }
        }
    }

    #[test]
    fn every_look_has_its_own_bytes() {
        let icons = Icons::default();
        let mut seen = HashSet::new();
        for encoding in [Encoding::Svg, Encoding::Png, Encoding::Gif] {
            for theme in Theme::ALL {
                for state in State::ALL {
                    for size in [16, 17, 256] {
                        let icon = icons.icon(Look { theme, state, size, encoding });
                        assert!(seen.insert(icon.bytes.clone()), "{theme:?} {state:?} {size} {encoding:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn what_was_made_is_kept() {
        let icons = Icons::default();
        let look = Look { theme: Theme::Dark, state: State::Away, size: 64, encoding: Encoding::Png };
        assert!(Arc::ptr_eq(&icons.icon(look), &icons.icon(look)));
    }
}
