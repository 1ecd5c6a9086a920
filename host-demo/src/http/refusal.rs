//! What actix answers by itself to a head that is none, and gives no way to change. It lacks the field that all answers have, so that no
//! browser takes them for anything, and does not always say that the connection ends.

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

/// Such an answer as it should be. `None`: what is sent is no such answer.
pub fn mended(sent: &[u8]) -> Option<Vec<u8>> {
    let (before, end) = sent.split_last_chunk::<{ END.len() }>()?;
    let is_end = end.ends_with(b" GMT\r\n\r\n") && end.starts_with(b"date: ");
    let before = is_end.then_some(before)?;
    let before = [CLOSE, KEEP_ALIVE].into_iter().find_map(|field| before.strip_suffix(field)).unwrap_or(before);
    BEGINNINGS.contains(&before).then(|| [before, CLOSE, NO_SNIFFING, end].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_actix_says_by_itself_is_said_otherwise() {
        for beginning in BEGINNINGS {
            let expected = [beginning, CLOSE, NO_SNIFFING, END].concat();
            for connection in [CLOSE, KEEP_ALIVE, b""] {
                let sent = [beginning, connection, END].concat();
                assert_eq!(mended(&sent), Some(expected.clone()));
                assert_eq!(mended(&sent[..sent.len() - 2]), None);
                assert_eq!(mended(&sent[1..]), None);
                assert_eq!(mended(&[b"x", &sent[..]].concat()), None);
            }
            assert_eq!(mended(&expected), None);
        }
        for other in [&b""[..], b" GMT\r\n\r\n", END, &[b"HTTP/1.1 304 Not Modified\r\n", END].concat()] {
            assert_eq!(mended(other), None);
        }
    }
}
