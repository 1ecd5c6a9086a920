//! What actix answers by itself to a head that is none, and gives no way to change. It gets the fields here that it lacks: the one that all answers have, so
//! that no browser takes it for anything, and, behind another answer, the one that tells that the connection ends.

use std::borrow::Cow;

/// How these answers begin.
const BEGINNINGS: [&[u8]; 2] = [
    b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n",
    b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\n",
];
/// What stands next in one that is the first on its connection.
const CLOSE: &[u8] = b"connection: close\r\n";
/// The last field, for example, and the end (RFC 9110 section 5.6.7).
const END: &[u8] = b"date: Thu, 26 Nov 2026 09:00:00 GMT\r\n\r\n";
const NO_SNIFFING: &[u8] = b"x-content-type-options: nosniff\r\n";

/// The fewest bytes that such an answer has. No body that is shorter can look like one.
pub const SHORTEST: u64 = (BEGINNINGS[0].len() + END.len()) as u64;

/// The same bytes, with the fields that it lacks if they end with such an answer.
pub fn completed(bytes: &[u8]) -> Cow<'_, [u8]> {
    const EMPTY_LINE: &[u8] = b"\r\n";
    match (lacking(bytes), bytes.strip_suffix(EMPTY_LINE)) {
        (Some(fields), Some(head)) => [head, fields, NO_SNIFFING, EMPTY_LINE].concat().into(),
        _ => bytes.into(),
    }
}

/// What such an answer lacks beside the field that all of them lack. `None`: the bytes do not end with one.
fn lacking(bytes: &[u8]) -> Option<&'static [u8]> {
    let (before, end) = bytes.split_last_chunk::<{ END.len() }>()?;
    // Most answers end otherwise.
    let is_end = end.ends_with(b" GMT\r\n\r\n") && end.starts_with(b"date: ");
    let before = is_end.then_some(before)?;
    let (beginning, fields) = before.strip_suffix(CLOSE).map_or((before, CLOSE), |beginning| (beginning, b""));
    BEGINNINGS.iter().any(|known| beginning.ends_with(known)).then_some(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_actix_says_by_itself_gets_more_fields() {
        for (beginning, before) in BEGINNINGS.into_iter().zip([&b""[..], b"HTTP/1.1 200 OK\r\n\r\nhello"]) {
            let [first, later] = [CLOSE, b""].map(|close| [before, beginning, close, END].concat());
            let date = &END[..END.len() - 2];
            assert_eq!(*completed(&first), [before, beginning, CLOSE, date, NO_SNIFFING, b"\r\n"].concat());
            assert_eq!(*completed(&later), [before, beginning, date, CLOSE, NO_SNIFFING, b"\r\n"].concat());
            for other in [&first[..first.len() - 2], &later[before.len() + 1..], &[&first, NO_SNIFFING].concat()] {
                assert_eq!(*completed(other), *other);
            }
        }
        for other in [&b""[..], b" GMT\r\n\r\n", END, &[b"HTTP/1.1 304 Not Modified\r\n", END].concat()] {
            assert_eq!(*completed(other), *other);
        }
    }
}
