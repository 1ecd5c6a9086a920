//! A drawing of ours: as much of SVG 2 as the files of the themes use, which are circles and paths on a grid of 16 by 16, filled and
//! stroked in plain colours.

use quick_xml::{
    Reader,
    events::{BytesStart, Event},
};

/// The side of the square that every file draws in.
pub const GRID: f32 = 16.0;

/// The size that every file states.
const STATED: &str = "width=\"16\" height=\"16\"";

/// One shape in one colour. Later ones cover earlier ones.
#[derive(Clone, Debug, PartialEq)]
pub struct Layer {
    /// The path, as the attribute `d` has it.
    pub path: String,
    /// Red, green, blue.
    pub colour: [u8; 3],
    /// How wide its outline is drawn; `None`: it is filled.
    pub stroke: Option<Stroke>,
}

/// How an outline is drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stroke {
    /// Its width.
    pub width: f32,
    /// Whether lines end in half a circle, and not where they end.
    pub round_caps: bool,
    /// Whether corners are round, and not pointed.
    pub round_joins: bool,
}

/// The file with another width and height.
pub fn resized(file: &str, size: u16) -> String {
    file.replacen(STATED, &format!("width=\"{size}\" height=\"{size}\""), 1)
}

/// The layers of a file, fills before strokes as SVG 2 section 13.8 orders them.
///
/// # Panics
/// The file is none of ours; the tests read them all.
pub fn layers(file: &str) -> Vec<Layer> {
    let mut reader = Reader::from_str(file);
    let mut layers = Vec::new();
    loop {
        match reader.read_event().expect("the themes are well-formed") {
            Event::Empty(shape) => read(&shape, &mut layers),
            Event::Eof => return layers,
            _ => {}
        }
    }
}

fn read(shape: &BytesStart<'_>, layers: &mut Vec<Layer>) {
    let attribute = |name: &str| {
        let mut attributes = shape.attributes().flatten();
        attributes.find(|attribute| attribute.key.as_ref() == name).map(|attribute| attribute.value.as_ref().to_owned())
    };
    let number = |name: &str, otherwise: f32| attribute(name).and_then(|text| text.parse().ok()).unwrap_or(otherwise);
    let is_round = |name: &str| attribute(name).as_deref() == Some("round");
    let path = attribute("d").unwrap_or_else(|| circle(number("cx", 0.0), number("cy", 0.0), number("r", 0.0)));
    if let Some(colour) = colour(attribute("fill").as_deref().unwrap_or("#000")) {
        layers.push(Layer { path: path.clone(), colour, stroke: None });
    }
    if let Some(colour) = attribute("stroke").as_deref().and_then(colour) {
        let (round_caps, round_joins) = (is_round("stroke-linecap"), is_round("stroke-linejoin"));
        let stroke = Stroke { width: number("stroke-width", 1.0), round_caps, round_joins };
        layers.push(Layer { path, colour, stroke: Some(stroke) });
    }
}

fn circle(x: f32, y: f32, radius: f32) -> String {
    let (left, across) = (x - radius, 2.0 * radius);
    format!("M{left} {y}a{radius} {radius} 0 1 0 {across} 0a{radius} {radius} 0 1 0 -{across} 0z")
}

/// `#rgb` or `#rrggbb`; `None` for `none`.
fn colour(text: &str) -> Option<[u8; 3]> {
    let digits = text.strip_prefix('#')?;
    let number = u32::from_str_radix(digits, 16).ok()?;
    Some(match digits.len() {
        3 => [number >> 8, number >> 4 & 15, number & 15].map(|digit| digit as u8 * 17),
        _ => [number >> 16, number >> 8, number].map(|byte| byte as u8),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::icons::themes::{State, Theme};

    /// Whatever a theme may use is understood here, or else its pixels would not be those of its drawing.
    #[test]
    fn the_files_use_nothing_else() {
        const SHAPE: &str = "d cx cy r fill stroke stroke-width stroke-linecap stroke-linejoin";
        for (theme, state) in Theme::ALL.into_iter().flat_map(|theme| State::ALL.map(|state| (theme, state))) {
            let file = theme.drawing(state);
            assert!(file.contains(STATED) && file.contains("viewBox=\"0 0 16 16\""), "{file}");
            let mut reader = Reader::from_str(file);
            loop {
                match reader.read_event().unwrap() {
                    Event::Empty(shape) => {
                        assert!(["circle", "path"].contains(&shape.name().as_ref()), "{file}");
                        for attribute in shape.attributes() {
                            let attribute = attribute.unwrap();
                            assert!(SHAPE.split(' ').any(|known| known == attribute.key.as_ref()), "{file}");
                            let is_colour = ["fill", "stroke"].contains(&attribute.key.as_ref());
                            let value = attribute.value.as_ref();
                            assert!(!is_colour || value == "none" || colour(value).is_some(), "{value}: {file}");
                        }
                    }
                    Event::Start(tag) => assert!(["svg", "title"].contains(&tag.name().as_ref()), "{file}"),
                    Event::Eof => break,
                    _ => {}
                }
            }
            assert!(layers(file).len() >= 2, "{file}");
        }
    }

    #[test]
    fn a_shape_is_filled_and_then_stroked() {
        let read = layers(
            "<svg><circle cx=\"8\" cy=\"8\" r=\"2\" fill=\"#123\" stroke=\"#fedcba\" stroke-width=\"3\"/></svg>",
        );
        let path = "M6 8a2 2 0 1 0 4 0a2 2 0 1 0 -4 0z".to_owned();
        let stroke = Some(Stroke { width: 3.0, round_caps: false, round_joins: false });
        let fill = Layer { path: path.clone(), colour: [0x11, 0x22, 0x33], stroke: None };
        assert_eq!(read, [fill, Layer { path, colour: [0xFE, 0xDC, 0xBA], stroke }]);
    }

    #[test]
    fn only_width_and_height_change() {
        let file = Theme::Default.drawing(State::Away);
        assert_eq!(resized(file, 16), file);
        assert_eq!(resized(file, 48), file.replace("width=\"16\" height=\"16\"", "width=\"48\" height=\"48\""));
    }
}
