//! What is shown: text of others (a plugin, a file, the system) made fit for a log line, a list or a note, and amounts of memory.

/// How much of it is shown.
pub const LIMIT: usize = 1_024;

/// The text as one line of at most 1 KiB: word for word, but for what would move a cursor, end a line, or show it in
/// another order than it has. That is escaped as Rust does, so that nothing is lost and nothing can be faked.
pub fn line(text: &str) -> String {
    let mut line = escaped(text.trim());
    line.truncate(line.floor_char_boundary(LIMIT));
    line
}

/// The same of any length, for text that was bounded before.
pub fn escaped(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for char in text.chars() {
        match char.is_control() || turns_text(char) {
            true => line.extend(char.escape_default()),
            false => line.push(char),
        }
    }
    line
}

/// Separators of lines and paragraphs, and the marks, embeddings, overrides and isolates of the bidirectional algorithm
/// (UAX #9, section 2).
fn turns_text(char: char) -> bool {
    matches!(char, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// An amount of memory, in the unit in which it has one to three digits: `48 kB`.
pub fn size(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} bytes"),
        1_000..1_000_000 => format!("{} kB", bytes / 1_000),
        _ => format!("{:.1} MB", bytes as f64 / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_fake_a_line_is_escaped_and_the_rest_is_verbatim() {
        assert_eq!(line("no coffee <in> the \"pot\": Käse \\ 茶\n"), "no coffee <in> the \"pot\": Käse \\ 茶");
        assert_eq!(line("a\x1b[2Jb\nc\td\u{9b}"), r"a\u{1b}[2Jb\nc\td\u{9b}");
        assert_eq!(line("so.\u{202e}txt"), r"so.\u{202e}txt");
    }

    #[test]
    fn it_is_bounded_between_two_characters() {
        assert_eq!(line(&"é".repeat(5_000)).len(), LIMIT);
        assert_eq!(line(&"\x01".repeat(5_000)).len(), LIMIT);
    }

    #[test]
    fn a_size_is_told_in_its_unit() {
        assert_eq!([0, 999, 49_152, 4_700_000].map(size), ["0 bytes", "999 bytes", "49 kB", "4.7 MB"]);
    }
}
