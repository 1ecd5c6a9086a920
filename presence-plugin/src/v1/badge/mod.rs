//! A user as a badge: a label and a state in words, side by side. As SVG, or as JSON for the endpoint badges of shields.io.

mod width;

use std::fmt::Write;

use quick_xml::escape::escape;
use serde::Serialize;

use self::width::{is_right_to_left, is_seen, width};
use super::problem::Problem;
use crate::{
    icons::themes::State,
    query::Parameters,
    representation::{Media, Representation},
    text,
};

/// The longest label, in characters.
const LONGEST_LABEL: usize = 64;
/// The label of a badge that nobody asked a label of.
const LABEL: &str = "presence";
/// The font whose widths are known, behind the one that it was made to go with.
const FONT: &str = "Verdana,DejaVu Sans,sans-serif";
const WHITE: &str = "#fff";
const LABEL_GROUND: &str = "#3b434d";

/// The outline of a badge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outline {
    /// Low, with corners that are hardly round.
    Flat,
    /// Higher, and round at its ends.
    Pill,
}

/// How a badge is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// As a drawing.
    Svg,
    /// As what shields.io draws one from.
    Json,
}

/// A badge that is to show something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Badge {
    label: String,
    outline: Outline,
}

impl Badge {
    /// Reads `label` and `style`. A label with nothing to see in it counts as absent.
    ///
    /// # Errors
    /// One of them is out of its bounds, which the problem names.
    pub fn read(parameters: &Parameters<'_>) -> Result<Badge, Problem> {
        let label = parameters.first("label").unwrap_or_default();
        if label.chars().count() > LONGEST_LABEL {
            let detail = format!("label is a text of at most {LONGEST_LABEL} characters");
            return Err(Problem::parameter("label", detail).with_limit(LONGEST_LABEL));
        }
        let label = Some(plain(&label)).filter(|label| is_seen(label)).unwrap_or_else(|| LABEL.to_owned());
        match parameters.first("style").as_deref() {
            None | Some("flat") => Ok(Badge { label, outline: Outline::Flat }),
            Some("pill") => Ok(Badge { label, outline: Outline::Pill }),
            Some(_) => Err(Problem::parameter("style", "style is one of flat, pill")),
        }
    }

    /// The badge of a state, in one of its forms.
    pub fn represent(&self, kind: Kind, state: State) -> Representation {
        match kind {
            Kind::Svg => Representation::of(Media::Svg, b'b', self.svg(state).into_bytes()),
            Kind::Json => Representation::of(Media::Json, b'j', self.json(state)),
        }
    }

    /// The badge as a drawing. Its texts are as wide as they were measured, whatever the font is.
    fn svg(&self, state: State) -> String {
        let (words, ground) = told(state);
        let (height, size, padding, radius) = match self.outline {
            Outline::Flat => (20.0, 11.0, 6.0, 3.0),
            Outline::Pill => (24.0, 12.0, 10.0, 12.0),
        };
        let [left, right] = [self.label.as_str(), words].map(|text| width(text, size).ceil());
        let (middle, whole) = (left + 2.0 * padding, left + right + 4.0 * padding);
        let (name, radius_down) = (format!("{}: {words}", self.label), height - 2.0 * radius);
        let name = escape(name.as_str());
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{whole}\" height=\"{height}\" viewBox=\"0 0 {whole} {height}\" role=\"img\" \
             aria-label=\"{name}\">\n  <title>{name}</title>\n  \
             <path d=\"M{middle} 0v{height}H{radius}a{radius} {radius} 0 0 1-{radius}-{radius}v-{radius_down}a{radius} {radius} 0 0 1 \
             {radius}-{radius}z\" fill=\"{LABEL_GROUND}\"/>\n  \
             <path d=\"M{middle} 0h{across}a{radius} {radius} 0 0 1 {radius} {radius}v{radius_down}a{radius} {radius} 0 0 1-{radius} \
             {radius}H{middle}z\" fill=\"{ground}\"/>\n",
            across = whole - middle - radius
        );
        let baseline = height / 2.0 + size * 0.36;
        for (text, center, length) in
            [(self.label.as_str(), middle / 2.0, left), (words, middle + right / 2.0 + padding, right)]
        {
            let direction = if is_right_to_left(text) { " direction=\"rtl\"" } else { "" };
            let _ = writeln!(
                svg,
                "  <text x=\"{center}\" y=\"{baseline:.1}\" text-anchor=\"middle\" textLength=\"{length}\" lengthAdjust=\"spacingAndGlyphs\" \
                 font-family=\"{FONT}\" font-size=\"{size}\" fill=\"{WHITE}\"{direction}>{}</text>",
                escape(text)
            );
        }
        svg.push_str("</svg>\n");
        svg
    }

    /// The badge as shields.io reads it (<https://shields.io/badges/endpoint-badge>), version 1 of that schema.
    fn json(&self, state: State) -> Vec<u8> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Endpoint<'a> {
            schema_version: u8,
            label: &'a str,
            message: &'static str,
            color: &'static str,
            label_color: &'static str,
            named_logo: &'static str,
        }
        let (message, color) = told(state);
        let endpoint = Endpoint {
            schema_version: 1,
            label: &self.label,
            message,
            color,
            label_color: LABEL_GROUND,
            named_logo: "xmpp",
        };
        let mut text =
            serde_json::to_vec(&endpoint).expect("texts and numbers under fixed names can always be written");
        text.push(b'\n');
        text
    }
}

/// What a badge says of a state, and the colour behind it, on which white can be read.
fn told(state: State) -> (&'static str, &'static str) {
    match state {
        State::Available => ("available", "#1a7f37"),
        State::Chat => ("free to talk", "#0b7570"),
        State::Away => ("away", "#946200"),
        State::Xa => ("away for long", "#6a4fc4"),
        State::Dnd => ("do not disturb", "#cf2233"),
        State::Offline => ("offline", "#57606a"),
        State::Forbidden => ("not shown", "#57606a"),
    }
}

/// A label as one line of text, without what no document may hold, and without what turns the direction of the rest (UAX #9 section 2).
fn plain(label: &str) -> String {
    let is_text = |character: &char| {
        let code = u32::from(*character);
        !matches!(code, 0x200E | 0x200F | 0x61C | 0x202A..=0x202E | 0x2066..=0x2069) && code & 0xFFFE != 0xFFFE
    };
    text::one_line(&label.chars().filter(is_text).collect::<String>())
}

#[cfg(test)]
mod tests {
    use quick_xml::{Reader, events::Event};

    use super::*;
    use crate::xml::tests::text_of;

    fn read(query: &str) -> Result<Badge, Problem> {
        Badge::read(&Parameters::new(query, b""))
    }

    fn labelled(label: &str) -> Badge {
        Badge { label: plain(label), outline: Outline::Flat }
    }

    #[test]
    fn label_and_style_have_defaults_and_bounds() {
        let unseen = [
            "\u{200B}",
            "\u{301}\u{300}",
            "\u{300} \u{FE0F}",
            "\u{AD}",
            "\u{2060}",
            "\u{3164}",
            "\u{2800}",
            "\u{E0041}",
        ];
        let unseen = unseen.map(|label| format!("label={label}"));
        let others = ["", "label=", "style=flat", "label=+%0A", "label=%E2%80%AE"];
        for query in others.into_iter().chain(unseen.iter().map(String::as_str)) {
            assert_eq!(read(query), Ok(labelled("presence")), "{query}");
        }
        assert_eq!(read("style=pill").map(|badge| badge.outline), Ok(Outline::Pill));
        assert_eq!(read("style=Flat").unwrap_err(), Problem::parameter("style", "style is one of flat, pill"));
        let longest = "\u{E9}".repeat(LONGEST_LABEL);
        assert_eq!(read(&format!("label={longest}")).map(|badge| badge.label), Ok(longest.clone()));
        let problem = read(&format!("label={longest}x")).unwrap_err();
        assert_eq!(problem, Problem::parameter("label", "label is a text of at most 64 characters").with_limit(64));
    }

    #[test]
    fn a_label_is_text_and_never_markup() {
        for label in [
            "</text><script>alert(1)</script>",
            "\"'&<>]]>",
            "&amp;",
            "a\u{FFFE}\u{0}\u{FFFF}b",
            "\u{202E}evil\u{2066}",
        ] {
            let badge = labelled(label);
            let svg = badge.svg(State::Away);
            assert_eq!(text_of(&svg).matches(&plain(label)).count(), 2, "title and text: {svg}");
            assert!(!svg.contains("<script") && !svg.contains('\u{202E}'), "{svg}");
            let json: serde_json::Value = serde_json::from_slice(&badge.json(State::Away)).unwrap();
            assert_eq!(json["label"], plain(label));
        }
    }

    /// What is drawn within the badge stays within it.
    #[test]
    fn texts_have_the_room_that_they_take() {
        for label in ["i", "presence", "\u{645}\u{631}\u{62D}\u{628}\u{627}", "\u{4E2D}\u{6587}", &"W".repeat(64)] {
            for outline in [Outline::Flat, Outline::Pill] {
                let badge = Badge { outline, ..labelled(label) };
                let (whole, texts) = geometry(&badge.svg(State::Dnd));
                let mut end = 0.0;
                for (center, length) in texts {
                    assert!(length > 0.0 && center - length / 2.0 >= end + 5.0, "{label}: {center} {length}");
                    end = center + length / 2.0;
                }
                assert!(end + 5.0 <= whole, "{label}: {end} {whole}");
            }
        }
    }

    /// The width of a badge, and center and length of its texts.
    fn geometry(svg: &str) -> (f32, Vec<(f32, f32)>) {
        let mut reader = Reader::from_str(svg);
        let (mut whole, mut texts) = (0.0, Vec::new());
        loop {
            let event = reader.read_event().unwrap();
            let Event::Start(tag) = &event else {
                if event == Event::Eof {
                    return (whole, texts);
                }
                continue;
            };
            let number = |name: &str| {
                let attribute = tag.attributes().flatten().find(|attribute| attribute.key.as_ref() == name);
                attribute.and_then(|attribute| attribute.value.parse::<f32>().ok()).unwrap_or_default()
            };
            match tag.name().as_ref() {
                "svg" => whole = number("width"),
                "text" => texts.push((number("x"), number("textLength"))),
                _ => {}
            }
        }
    }

    #[test]
    fn a_text_from_right_to_left_says_so() {
        assert!(labelled("\u{5D1}\u{5D9}\u{5EA}").svg(State::Away).contains("direction=\"rtl\">\u{5D1}"));
        assert!(!labelled("presence").svg(State::Away).contains("rtl"));
    }

    /// WCAG 2.2, success criterion 1.4.3: 4.5 to 1.
    #[test]
    fn white_can_be_read_on_every_colour() {
        let luminance = |colour: &str| {
            let number = u32::from_str_radix(&colour[1..], 16).unwrap();
            let channel = |shift: u32| {
                let value = f64::from(number >> shift & 255) / 255.0;
                if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
            };
            0.2126 * channel(16) + 0.7152 * channel(8) + 0.0722 * channel(0)
        };
        for ground in State::ALL.map(|state| told(state).1).into_iter().chain([LABEL_GROUND]) {
            let contrast = 1.05 / (luminance(ground) + 0.05);
            assert!(contrast >= 4.5, "{ground}: {contrast:.2}");
        }
    }

    #[test]
    fn each_state_has_its_own_words() {
        let words: std::collections::HashSet<_> = State::ALL.map(|state| told(state).0).into();
        assert_eq!(words.len(), 7);
    }

    #[test]
    fn the_json_is_that_of_an_endpoint_badge() {
        let text = String::from_utf8(labelled("chat").json(State::Dnd)).unwrap();
        let expected = concat!(
            r##"{"schemaVersion":1,"label":"chat","message":"do not disturb","color":"#cf2233","labelColor":"#3b434d","namedLogo":"xmpp"}"##,
            "\n"
        );
        assert_eq!(text, expected);
    }
}
