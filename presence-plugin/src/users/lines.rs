//! Records as lines of `name=value` below the number of their form. A reader passes over lines that it does not know, and a writer keeps them.

/// The lines of a record.
#[derive(Clone, Copy)]
pub struct Lines<'a>(&'a str);

impl<'a> Lines<'a> {
    /// The lines of this record; of one that is no text, none.
    pub fn of(record: &'a [u8]) -> Lines<'a> {
        Lines(std::str::from_utf8(record).unwrap_or_default())
    }

    /// A value by its name.
    pub fn value(self, name: &str) -> Option<&'a str> {
        self.0.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
    }

    /// A value that is a number.
    pub fn number(self, name: &str) -> Option<u64> {
        self.value(name)?.parse().ok()
    }

    /// The record with these values in place of those that it has, each in one line. What else is in it stays.
    pub fn with(self, values: &[(&str, &str)]) -> Vec<u8> {
        let mut text = String::new();
        let mut left: Vec<_> = values.iter().collect();
        for line in self.0.lines() {
            let name = line.split_once('=').map_or(line, |(name, _)| name);
            match left.iter().position(|(known, _)| *known == name) {
                Some(at) => push(&mut text, *left.remove(at)),
                None => text.extend([line, "\n"]),
            }
        }
        left.into_iter().for_each(|value| push(&mut text, *value));
        text.into_bytes()
    }
}

/// A record of the first form with nothing in it.
pub const NEW: &[u8] = b"1\n";

/// A new record of the first form.
pub fn new(values: &[(&str, &str)]) -> Vec<u8> {
    Lines::of(NEW).with(values)
}

fn push(text: &mut String, (name, value): (&str, &str)) {
    debug_assert!(!value.contains('\n'), "a value is one line");
    text.extend([name, "=", value, "\n"]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_by_their_whole_name_and_may_hold_anything_but_a_line_break() {
        let record = new(&[("label", "a=b = c"), ("labels", "2"), ("empty", "")]);
        let lines = Lines::of(&record);
        assert_eq!(lines.value("label"), Some("a=b = c"));
        assert_eq!((lines.number("labels"), lines.number("label")), (Some(2), None));
        assert_eq!((lines.value("empty"), lines.value("lab")), (Some(""), None));
    }

    #[test]
    fn a_change_keeps_the_order_and_what_is_not_known() {
        let record = Lines::of(b"2\na=1\nmystery\nb=2\n").with(&[("b", "3"), ("c", "4")]);
        assert_eq!(record, b"2\na=1\nmystery\nb=3\nc=4\n");
    }
}
