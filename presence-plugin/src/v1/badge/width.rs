//! How wide a text is, and which way it runs: what a badge has to know before anybody has chosen a font.
//!
//! `text/widths.bin` holds the widths of DejaVu Sans, one byte a character in 1/128 of the size: U+0020 to U+06FF (Latin, Greek, Cyrillic,
//! Armenian, Hebrew, Arabic), then U+2010 to U+205F and U+20A0 to U+20BF (punctuation, currencies); then, for U+0620 to U+06D3, those of
//! Arabic letters at the beginning, in the middle and at the end of what is joined. Zero: the font has it not, or not in this form.
//! `text/make-widths.py` made it.

use unicode_width::UnicodeWidthChar;

const WIDTHS: &[u8; 2_412] = include_bytes!("../../../text/widths.bin");
const PLAIN: usize = (0x700 - 0x20) + 0x50 + 0x20;
const ARABIC: std::ops::Range<u32> = 0x620..0x6D4;
const LETTERS: usize = (ARABIC.end - ARABIC.start) as usize;
/// Of the size: the width of a character of other scripts, and of one that fills a square, as ideographs and pictures do.
const OTHER: f32 = 0.64;
const SQUARE: f32 = 1.0;
const JOINER: char = '\u{200D}';
/// Of the patterns of Braille, the one without a dot.
const BLANK: char = '\u{2800}';

/// Forms of a letter that is joined to its neighbours (Unicode section 9.2).
#[derive(Clone, Copy)]
enum Joined {
    First,
    Middle,
    Last,
}

/// The width of a text whose letters are so high.
pub fn width(text: &str, size: f32) -> f32 {
    let mut sum = 0.0;
    let (mut before, mut characters) = (None, text.chars().peekable());
    let mut glued = false;
    while let Some(character) = characters.next() {
        if is_mark(character) {
            glued = character == JOINER;
            continue;
        }
        let mut rest = characters.clone().filter(|next| !is_mark(*next));
        let form = joined(before, character, rest.next());
        let own = form.and_then(|form| joined_width(character, form)).or_else(|| plain_width(character));
        // What is glued to a picture changes it, and takes no room of its own.
        sum += if glued { 0.0 } else { own.unwrap_or_else(|| unknown_width(character)) };
        (before, glued) = (Some(character), false);
    }
    sum * size
}

/// Whether the first letter with a direction runs from right to left (UAX #9, rules P2 and P3; the ranges are those whose unassigned characters
/// have the classes R and AL, table 5 of DerivedBidiClass).
pub fn is_right_to_left(text: &str) -> bool {
    let is_rtl = |character: char| matches!(u32::from(character), 0x590..=0x8FF | 0xFB1D..=0xFDFF | 0xFE70..=0xFEFF | 0x1_0800..=0x1_0FFF | 0x1_E800..=0x1_EFFF);
    text.chars().find(|character| character.is_alphabetic()).is_some_and(is_rtl)
}

/// Whether there is anything to see of a text. Marks and joiners are nothing without a character to stand at.
pub fn is_seen(text: &str) -> bool {
    text.chars().any(|character| !character.is_whitespace() && !is_mark(character) && character != BLANK)
}

/// Takes no room: a combining mark, a joiner, the colour of a skin.
fn is_mark(character: char) -> bool {
    character.width() == Some(0) || matches!(character, '\u{1F3FB}'..='\u{1F3FF}')
}

fn joined(before: Option<char>, letter: char, after: Option<char>) -> Option<Joined> {
    let has = |letter: Option<char>, form| letter.is_some_and(|letter| joined_width(letter, form).is_some());
    let to_last = has(before, Joined::First) && has(Some(letter), Joined::Last);
    let to_next = has(Some(letter), Joined::First) && has(after, Joined::Last);
    match (to_last, to_next) {
        (true, true) => Some(Joined::Middle),
        (true, false) => Some(Joined::Last),
        (false, true) => Some(Joined::First),
        (false, false) => None,
    }
}

fn joined_width(letter: char, form: Joined) -> Option<f32> {
    let code = u32::from(letter);
    let place = ARABIC.contains(&code).then(|| PLAIN + form as usize * LETTERS + (code - ARABIC.start) as usize)?;
    known(place)
}

fn plain_width(character: char) -> Option<f32> {
    let place = match u32::from(character) {
        code @ 0x20..0x700 => code - 0x20,
        code @ 0x2010..0x2060 => code - 0x2010 + 0x6E0,
        code @ 0x20A0..0x20C0 => code - 0x20A0 + 0x730,
        _ => return None,
    };
    known(place as usize)
}

fn known(place: usize) -> Option<f32> {
    Some(WIDTHS[place]).filter(|width| *width > 0).map(|width| f32::from(width) / 128.0)
}

/// By the cells of a terminal (UAX #11): two are a square.
fn unknown_width(character: char) -> f32 {
    if character.width() == Some(2) { SQUARE } else { OTHER }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What Chromium 156 says of the same texts in DejaVu Sans at 100 pixels (`getComputedTextLength`).
    #[test]
    fn texts_are_as_wide_as_a_browser_draws_them() {
        for (text, browser) in BROWSER {
            let ours = width(text, 100.0);
            assert!((ours - browser).abs() <= browser * 0.04 + 2.0, "{text}: {ours}, {browser}");
        }
    }

    const BROWSER: [(&str, f32); 12] = [
        ("presence", 457.4),
        ("do not disturb", 702.5),
        ("Verfügbarkeit – Büro", 1019.7),
        ("Присутствие", 674.8),
        ("Παρουσία", 486.8),
        ("נוכחות", 278.5),
        ("مرحبا بالعالم", 527.5),
        ("الحضور", 309.5),
        ("€ 12.50", 381.7),
        ("Wiśniewski & Søn", 878.4),
        ("iiiiiiiiii", 277.8),
        ("WWWWWWWW", 791.0),
    ];

    #[test]
    fn marks_and_joiners_take_no_room() {
        assert_eq!(width("e\u{301}", 10.0), width("e", 10.0));
        assert_eq!(width("\u{1F44D}\u{1F3FD}", 10.0), 10.0);
        assert_eq!(width("\u{1F468}\u{200D}\u{1F469}\u{200D}\u{1F467}", 10.0), 10.0, "a family is one picture");
        assert_eq!(width("\u{4E2D}\u{6587}", 10.0), 20.0);
        assert_eq!(width("", 10.0), 0.0);
    }

    #[test]
    fn arabic_letters_are_narrower_where_they_are_joined() {
        let alone = width("\u{628} \u{628}", 10.0) - width(" ", 10.0);
        assert!(width("\u{628}\u{628}", 10.0) < alone * 0.8);
        assert_eq!(width("\u{627}\u{627}", 10.0), 2.0 * width("\u{627}", 10.0), "alef is not joined to what follows");
        assert_eq!(width("\u{628}\u{64E}\u{628}", 10.0), width("\u{628}\u{628}", 10.0), "nor do vowels part letters");
    }

    #[test]
    fn the_first_letter_tells_the_direction() {
        for (text, expected) in
            [("\u{5D0}", true), ("1 \u{645}\u{631} abc", true), ("a\u{5D0}", false), ("12%", false), ("", false)]
        {
            assert_eq!(is_right_to_left(text), expected, "{text}");
        }
    }
}
