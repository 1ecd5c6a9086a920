//! What actix answers by itself to a head that is none, and gives no way to change. It lacks the field that all answers have, so that no browser takes them
//! for anything, and, behind another answer, does not say that the connection ends.

/// How these answers begin, in the version of the last request that was one.
const BEGINNINGS: [&[u8]; 4] = [
    b"HTTP/1.0 400 Bad Request\r\ncontent-length: 0\r\n",
    b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n",
    b"HTTP/1.0 431 Request Header Fields Too Large\r\ncontent-length: 0\r\n",
    b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\n",
];
const CLOSE: &[u8] = b"connection: close\r\n";
const KEEP_ALIVE: &[u8] = b"connection: keep-alive\r\n";
const NO_SNIFFING: &[u8] = b"x-content-type-options: nosniff\r\n";
/// The last field, for example, and the end (RFC 9110 section 5.6.7).
const END: &[u8] = b"date: Thu, 26 Nov 2026 09:00:00 GMT\r\n\r\n";

/// The fewest bytes that such an answer has. No body that is shorter can look like one.
pub const SHORTEST: u64 = (BEGINNINGS[0].len() + END.len()) as u64;

/// Takes such an answer off the end of what is sent: what comes before it, and the answer as it should be. `None`: they end otherwise.
pub fn split_off(sent: &[u8]) -> Option<(&[u8], Vec<u8>)> {
    let (before, end) = sent.split_last_chunk::<{ END.len() }>()?;
    // Most answers end otherwise.
    let is_end = end.ends_with(b" GMT\r\n\r\n") && end.starts_with(b"date: ");
    let before = is_end.then_some(before)?;
    let before = [CLOSE, KEEP_ALIVE].into_iter().find_map(|field| before.strip_suffix(field)).unwrap_or(before);
    let (before, beginning) = BEGINNINGS.into_iter().find_map(|known| Some((before.strip_suffix(known)?, known)))?;
    Some((before, [beginning, CLOSE, NO_SNIFFING, end].concat()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_actix_says_by_itself_is_said_otherwise() {
        for before in [&b""[..], b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello"] {
            for beginning in BEGINNINGS {
                let expected = [beginning, CLOSE, NO_SNIFFING, END].concat();
                for connection in [CLOSE, KEEP_ALIVE, b""] {
                    let sent = [before, beginning, connection, END].concat();
                    assert_eq!(split_off(&sent), Some((before, expected.clone())));
                    assert_eq!(split_off(&sent[..sent.len() - 2]), None);
                    assert_eq!(split_off(&sent[before.len() + 1..]), None);
                }
                assert_eq!(split_off(&expected), None);
            }
        }
        for other in [&b""[..], b" GMT\r\n\r\n", END, &[b"HTTP/1.1 304 Not Modified\r\n", END].concat()] {
            assert_eq!(split_off(other), None);
        }
    }
}
