//! Which form of a user an answer has: by the suffix of its address, or else by what the client accepts (RFC 9110 section 12.5.1).

use super::{
    badge::{Badge, Kind},
    picture::Style,
    problem::Problem,
};
use crate::{answer::Format, icons::Encoding, live, query::Parameters};

/// The field on which an answer without a suffix depends.
pub const NEGOTIATED: &str = "Accept";

/// A form in which a user can be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// In words.
    Written(Format),
    /// As an icon.
    Drawn(Encoding),
    /// As a label and a word.
    Badge(Kind),
}

/// The forms: the suffix and the media type of each. Of those that a client likes equally the first is sent, and to a client that names images
/// and no such text as the first is, the first image.
const FORMS: [(&str, &str, &str, Form); 6] = [
    ("json", "application", "json", Form::Written(Format::Json)),
    ("svg", "image", "svg+xml", Form::Drawn(Encoding::Svg)),
    ("png", "image", "png", Form::Drawn(Encoding::Png)),
    ("gif", "image", "gif", Form::Drawn(Encoding::Gif)),
    ("xml", "text", "xml", Form::Written(Format::Xml)),
    ("txt", "text", "plain", Form::Written(Format::Text)),
];

impl Form {
    /// Whether the parameters are within the bounds of this form. Those of an icon hold where words are sent, and those of a wait where an icon
    /// is: which of them is sent may be the client's choice.
    ///
    /// # Errors
    /// One of them is not, as the problem says.
    pub fn check(self, parameters: &Parameters<'_>) -> Result<(), Problem> {
        match self {
            Form::Written(_) | Form::Drawn(_) => {
                live::check_wait(parameters)?;
                Style::read(parameters, Encoding::Svg).map(drop)
            }
            Form::Badge(_) => Badge::read(parameters).map(drop),
        }
    }

    fn of_suffix(suffix: &str) -> Option<Form> {
        FORMS.iter().find(|(known, ..)| *known == suffix).map(|(.., form)| *form)
    }

    /// The form of an icon with this suffix.
    pub fn of_icon(suffix: &str) -> Option<Form> {
        Form::of_suffix(suffix).filter(|form| matches!(form, Form::Drawn(_)))
    }

    /// The form of a badge with this suffix.
    pub fn of_badge(suffix: &str) -> Option<Form> {
        match suffix {
            "svg" => Some(Form::Badge(Kind::Svg)),
            "json" => Some(Form::Badge(Kind::Json)),
            _ => None,
        }
    }
}

/// An address and the form that its suffix names. Where a domain ends in such a suffix itself, one has to be added.
pub fn split_suffix(address: &str) -> (&str, Option<Form>) {
    match address.rsplit_once('.').map(|(user, suffix)| (user, Form::of_suffix(suffix))) {
        Some((user, Some(form))) => (user, Some(form)),
        _ => (address, None),
    }
}

/// The form that a client with these fields likes best; `None`: it takes none of them.
pub fn preferred<'a>(fields: impl Iterator<Item = (&'a str, &'a [u8])>) -> Option<Form> {
    let lines = fields.filter(|(name, _)| name.eq_ignore_ascii_case(NEGOTIATED));
    let lines: Vec<&str> = lines.filter_map(|(_, line)| std::str::from_utf8(line).ok()).collect();
    // Without the field, or with nothing in it, a client takes anything.
    if lines.iter().all(|line| line.trim().is_empty()) {
        return Some(FORMS[0].3);
    }
    let (mut best, mut liked) = (None, 0);
    let (objects, others) = FORMS.split_at(usize::from(wants_a_picture(&lines)));
    for (_, class, kind, form) in others.iter().chain(objects).copied() {
        let weight = weight(&lines, class, kind);
        if weight > liked {
            (best, liked) = (Some(form), weight);
        }
    }
    // By another name the same (RFC 7303 section 9.2). Browsers name it, too, and like objects as well.
    best.or_else(|| (weight(&lines, "application", "xml") > 0).then_some(Form::Written(Format::ApplicationXml)))
}

/// Whether these are the words of a browser about an `<img>`. Some name formats that are not had here, and then anything.
fn wants_a_picture(lines: &[&str]) -> bool {
    let names = |class: &str| {
        let mut ranges = lines.iter().flat_map(|line| line.split(','));
        ranges.any(|range| range.trim_start().get(..class.len()).is_some_and(|start| start.eq_ignore_ascii_case(class)))
    };
    names("image/") && !names("application/")
}

/// How much a media type is liked, from 0 to 1,000. The most specific range that it falls into counts.
fn weight(lines: &[&str], class: &str, kind: &str) -> u16 {
    let (mut weight, mut specific) = (0, 0);
    for range in lines.iter().flat_map(|line| line.split(',')) {
        let mut parameters = range.split(';').map(str::trim);
        let (range_class, range_kind) = parameters.next().unwrap_or_default().split_once('/').unwrap_or_default();
        let degree = match (range_class, range_kind) {
            ("*", "*") => 1,
            (one, "*") if one.eq_ignore_ascii_case(class) => 2,
            (one, two) if one.eq_ignore_ascii_case(class) && two.eq_ignore_ascii_case(kind) => 3,
            _ => 0,
        };
        if degree > specific {
            (weight, specific) = (quality(parameters), degree);
        }
    }
    weight
}

/// The weight among the parameters of a range (RFC 9110 section 12.4.2), in thousandths. One that can't be read is no reason to send nothing.
fn quality<'a>(mut parameters: impl Iterator<Item = &'a str>) -> u16 {
    let text = parameters.find_map(|parameter| parameter.strip_prefix("q=").or_else(|| parameter.strip_prefix("Q=")));
    let number = text.and_then(|text| text.parse::<f32>().ok()).filter(|number| (0.0..=1.0).contains(number));
    (number.unwrap_or(1.0) * 1000.0) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    const JSON: Form = Form::Written(Format::Json);
    const XML: Form = Form::Written(Format::Xml);
    const APPLICATION_XML: Form = Form::Written(Format::ApplicationXml);
    const TEXT: Form = Form::Written(Format::Text);
    const SVG: Form = Form::Drawn(Encoding::Svg);
    const PNG: Form = Form::Drawn(Encoding::Png);
    const GIF: Form = Form::Drawn(Encoding::Gif);

    fn accepting(lines: &[&str]) -> Option<Form> {
        preferred(lines.iter().map(|line| ("accept", line.as_bytes())))
    }

    #[test]
    fn a_known_suffix_names_the_form() {
        for (suffix, form) in [("json", JSON), ("xml", XML), ("txt", TEXT), ("svg", SVG), ("png", PNG), ("gif", GIF)] {
            assert_eq!(split_suffix(&format!("a@example.com.{suffix}")), ("a@example.com", Some(form)));
        }
        for other in ["a@example.com", "a@localhost", "a@b.JSON", "a@b.", "", "a@b.png/desk"] {
            assert_eq!(split_suffix(other), (other, None));
        }
        assert_eq!(split_suffix("a@b.svg.json"), ("a@b.svg", Some(JSON)), "only the last one is taken off");
    }

    #[test]
    fn an_icon_is_drawn() {
        assert_eq!(["svg", "png", "gif"].map(Form::of_icon), [Some(SVG), Some(PNG), Some(GIF)]);
        assert_eq!(["json", "txt", "bmp", "", "SVG"].map(Form::of_icon), [None; 5]);
    }

    #[test]
    fn without_a_wish_it_is_json() {
        for lines in [&[][..], &[""], &["*/*"], &["application/*"], &["*/*;q=0.1"], &["text/html, */*"]] {
            assert_eq!(accepting(lines), Some(JSON), "{lines:?}");
        }
    }

    #[test]
    fn the_most_liked_form_is_sent() {
        for (line, form) in [
            ("text/xml", XML),
            ("text/plain;q=0.9, application/json;q=0.8", TEXT),
            ("image/*", SVG),
            ("IMAGE/PNG, image/*;q=0.5", PNG),
            ("image/gif;level=1;Q=1, */*;q=0.1", GIF),
            ("image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8", SVG),
            ("image/avif,image/webp,*/*", SVG),
            ("*/*, Image/webp;q=0.1", SVG),
            ("image/webp, application/json, */*", JSON),
            ("text/*", XML),
            ("text/*, text/xml;q=0", TEXT),
            ("*/*, application/json;q=0, image/svg+xml;q=0", PNG),
            ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", JSON),
            ("text/xml;q=nonsense", XML),
            ("application/xml", APPLICATION_XML),
            ("text/html, Application/XML;q=0.1", APPLICATION_XML),
            ("text/xml;q=0, application/xml", APPLICATION_XML),
            ("application/xml, text/xml;q=0.1", XML),
        ] {
            assert_eq!(accepting(&[line]), Some(form), "{line}");
        }
        assert_eq!(accepting(&["text/html", "text/plain"]), Some(TEXT), "two lines are one list");
    }

    #[test]
    fn a_client_may_take_nothing() {
        for line in [
            "text/html",
            "image/webp",
            "*/*;q=0",
            "application/json;q=0.0",
            "application/xml;q=0",
            "json",
            "a/b/c",
            ";q=1",
        ] {
            assert_eq!(accepting(&[line]), None, "{line}");
        }
    }
}
