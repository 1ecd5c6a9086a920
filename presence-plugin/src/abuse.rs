//! Whatever is sent, the answer is one of the contract's: requests made of hostile pieces, by the hundred thousand, always
//! the same ones.

use std::collections::HashSet;

use plugin_api::{Response, Show};

use crate::{
    answer::{self, Format, Question, tests::settings},
    cache::Audience,
    icons::{Encoding, Icons, themes::State},
    moment::Moment,
    query::Parameters,
    representation::{Interface, Recipient},
    settings::Settings,
    shown::Shown,
    v1::{
        badge::{Badge, Kind},
        picture::{self, Style},
    },
    xml::{Parties, tests::text_of},
};

const REQUESTS: u32 = 300_000;

const NAMES: [&str; 12] =
    ["jid", "req_jid", "type", "images", "away", "offline", "forbidden", "available", "%74ype", "%", "", "im+ages"];

const PIECES: [&str; 49] = [
    "",
    "=",
    "&",
    "%",
    "%4",
    "%zz",
    "%00",
    "%0d%0a",
    "%FF",
    "%C3%A9",
    "+",
    "xml",
    "text",
    "image",
    "json",
    "svg",
    "http://",
    "HTTPS://",
    "//",
    "\\",
    "%5C",
    "@",
    "u:p@",
    "[::1]",
    "[",
    "]",
    ":80",
    ":x",
    "h",
    "example.com",
    "/",
    "?",
    "#",
    "--IMAGE--",
    "%2D-IMAGE--",
    "javascript:",
    "data:",
    "\t",
    "\r\n",
    "\0",
    "é",
    "\u{FFFE}",
    "\u{FFFF}",
    "]]>",
    "<!--",
    "&amp;",
    "\"'<>",
    "\u{1B}[2J",
    "ｈ",
];

/// Xorshift (Marsaglia 2003): the same sequence in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }

    fn text(&mut self) -> String {
        let mut text = String::new();
        for _ in 0..self.below(6) {
            match self.below(12) {
                0 => text.push(char::from_u32(self.below(0x11_0000) as u32).unwrap_or('\u{FFFD}')),
                1 => text.push(char::from(self.below(256) as u8)),
                _ => text.push_str(PIECES[self.below(PIECES.len())]),
            }
        }
        text
    }

    fn query(&mut self) -> String {
        let pairs: Vec<_> =
            (0..self.below(5)).map(|_| format!("{}={}", NAMES[self.below(NAMES.len())], self.text())).collect();
        pairs.join("&")
    }

    /// A target that is often nearly right, which the pieces alone seldom are.
    fn template(&mut self) -> String {
        format!("images=http://{}/--IMAGE--{}", self.text(), self.text())
    }

    fn shown<'a>(&mut self, status: &'a str) -> Shown<'a> {
        match self.below(3) {
            0 => Shown::Forbidden,
            1 => Shown::Offline { status, since: None },
            _ => {
                let show = [Show::Available, Show::Chat, Show::Away, Show::Xa, Show::Dnd][self.below(5)];
                Shown::Online { show, status, priority: self.below(256) as u8 as i8, since: Some(Moment(0)) }
            }
        }
    }
}

#[test]
fn every_request_gets_an_answer_of_the_contract() {
    let mut dice = Dice(0x9E37_79B9_7F4A_7C15);
    let every_setting = [settings("anyone"), settings("subscribed")];
    let mut seen = HashSet::new();
    for _ in 0..REQUESTS {
        let query = if dice.below(4) == 0 { dice.template() } else { dice.query() };
        let (form, status, held, jid) = (dice.query(), dice.text(), dice.text(), dice.text());
        let parameters = Parameters::new(&query, form.as_bytes());
        let response = match Format::parse(parameters.first("type").as_deref()) {
            None => answer::unknown_type(),
            Some(format) => {
                let party = |named: bool| named.then_some(jid.as_str());
                let question = Question {
                    parameters,
                    format,
                    parties: Parties { user: party(dice.below(2) == 0), requester: party(dice.below(2) == 0) },
                    recipient: Recipient {
                        audience: [Audience::Everyone { max_age: 0 }, Audience::Nobody, Audience::Requester]
                            [dice.below(3)],
                        if_none_match: (dice.below(4) == 0).then_some(&held),
                        interface: Interface::Status,
                    },
                    navigation: dice.below(8) == 0,
                };
                let settings = &every_setting[dice.below(2)];
                let shown = dice.shown(&status);
                let response = question.answer(&shown, settings);
                check_body(&response, &shown, settings);
                response
            }
        };
        check_head(&response);
        seen.insert((response.status(), field(&response, "Content-Type").map(str::to_owned)));
    }
    assert_eq!(seen.len(), 8, "302, 304, 400 and five types of 200: {seen:?}");
}

/// A badge has texts of its own; whatever they are, the drawing is well-formed and the JSON is JSON.
#[test]
fn every_badge_and_icon_is_one_or_a_problem() {
    let mut dice = Dice(0xD1B5_4A32_D192_ED03);
    let (icons, mut outcomes) = (Icons::default(), HashSet::new());
    for _ in 0..REQUESTS / 30 {
        let query = format!("label={}&{}&style={}", dice.text(), dice.query(), ["flat", "pill", "x"][dice.below(3)]);
        let parameters = Parameters::new(&query, b"");
        let recipient = Recipient { audience: Audience::Nobody, if_none_match: None, interface: Interface::V1 };
        let status = dice.text();
        let state = State::of(&dice.shown(&status));
        let kind = [Kind::Svg, Kind::Json][dice.below(2)];
        let badge = Badge::read(&parameters).map(|badge| badge.represent(kind, state));
        let style = Style::read(&parameters, Encoding::Svg).map(|style| style.of(state));
        let icon = style.map(|look| picture::represent(&icons, look));
        for response in
            [badge, icon].map(|answer| answer.map_or_else(Response::from, |written| recipient.give(&written)))
        {
            let body = std::str::from_utf8(response.bytes()).expect("UTF-8");
            match field(&response, "Content-Type") {
                Some("image/svg+xml") => drop(text_of(body)),
                Some("application/json" | "application/problem+json") => {
                    drop(serde_json::from_str::<serde_json::Value>(body).expect("JSON"));
                }
                other => panic!("{other:?}: {body}"),
            }
            outcomes.insert((response.status(), field(&response, "Content-Type").map(str::to_owned)));
        }
    }
    assert_eq!(outcomes.len(), 3, "{outcomes:?}");
}

fn field<'r>(response: &'r Response, name: &str) -> Option<&'r str> {
    response.headers().find(|(known, _)| *known == name).map(|(_, value)| value)
}

fn check_head(response: &Response) {
    assert!([200, 302, 304, 400].contains(&response.status()), "{response:?}");
    for (name, value) in response.headers() {
        assert!(value.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{name}: {value:?}");
    }
    let location = field(response, "Location");
    assert_eq!(location.is_some(), response.status() == 302);
    if let Some(location) = location {
        let scheme = location.to_ascii_lowercase();
        assert!(scheme.starts_with("http://") || scheme.starts_with("https://"), "{location:?}");
        assert!(location.len() <= 2048 && !location.contains(['\\', ' ']), "{location:?}");
        let authority = location.split('/').nth(2).expect("an authority").split(['?', '#']).next().expect("one piece");
        assert!(!authority.is_empty() && !authority.contains(['@', '%']), "{location:?}");
    }
}

fn check_body(response: &Response, shown: &Shown<'_>, settings: &Settings) {
    let body = || std::str::from_utf8(response.bytes()).expect("UTF-8");
    match field(response, "Content-Type") {
        Some("text/xml; charset=utf-8") => {
            let text = text_of(body());
            assert!(text.chars().all(|char| char >= ' ' || "\t\r\n".contains(char)), "{text:?}");
        }
        Some("text/plain; charset=utf-8") => {
            let line = body().strip_suffix('\n').expect("a line break at the end");
            assert!(!line.is_empty() && line.trim() == line && !line.contains(char::is_control), "{line:?}");
            assert!(*shown != Shown::Forbidden || line == settings.unavailable_text);
        }
        Some("application/json") => {
            let read: serde_json::Value = serde_json::from_str(body()).expect("JSON");
            assert_eq!(read["state"], shown.state());
        }
        Some("image/gif") => assert!(response.bytes().starts_with(b"GIF89a")),
        Some("image/svg+xml") => assert!(body().starts_with("<svg ")),
        other => assert_eq!((other, response.bytes()), (None, &b""[..])),
    }
}
