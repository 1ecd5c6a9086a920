//! Paths as they are matched (RFC 3986 section 6.2.2.2).

use std::borrow::Cow;

/// The path with the percent-encodings of unreserved characters undone: they mean the same as the characters themselves. All others
/// stay, so that a `/` in a name is no separator. `..` is a name like any other: no path here leads to a file.
pub fn normalise(path: &str) -> Cow<'_, str> {
    if !path.contains('%') {
        return Cow::Borrowed(path);
    }
    let mut normal = String::with_capacity(path.len());
    let mut pieces = path.split('%');
    normal.push_str(pieces.next().unwrap_or_default());
    for piece in pieces {
        match unreserved(piece) {
            Some(character) => {
                normal.push(character);
                normal.push_str(&piece[2..]);
            }
            None => {
                normal.push('%');
                normal.push_str(piece);
            }
        }
    }
    Cow::Owned(normal)
}

fn unreserved(encoded: &str) -> Option<char> {
    let digits = encoded.get(..2).filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))?;
    let character = char::from(u8::from_str_radix(digits, 16).ok()?);
    (character.is_ascii_alphanumeric() || "-._~".contains(character)).then_some(character)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_unreserved_characters_are_decoded() {
        assert_eq!(normalise("/%70lugins/a%2Db%2e%7E/%2e%2E"), "/plugins/a-b.~/..");
        for same in [
            "/a%2fb",
            "/a%2Fb",
            "/%25%37%30"[..4].into(),
            "/a%00",
            "/%ff",
            "/%",
            "/%4",
            "/%zz",
            "/%+4",
            "/%u002e",
            "/%é",
        ] {
            assert_eq!(normalise(same), same);
        }
    }

    #[test]
    fn what_was_decoded_is_not_decoded_again() {
        assert_eq!(normalise("/%2541"), "/%2541");
        assert_eq!(normalise("/%%341"), "/%41");
    }

    #[test]
    fn a_plain_path_is_borrowed() {
        assert!(matches!(normalise("/plugins/hello/"), Cow::Borrowed(_)));
    }
}
