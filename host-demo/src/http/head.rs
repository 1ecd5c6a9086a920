//! The lines of a request's head as they come over the wire: each ends by CR LF (RFC 9112 section 2.2).
//!
//! The section lets a reader take a line feed alone for the end of a line, and actix does. Whoever stands in front and does not sees one request
//! where two are served. So such a line feed is handed on as what no head may hold: actix refuses the request as any other that is none, behind the
//! answers that it owes, and ends the connection.
//!
//! So is a byte behind the first [`LONGEST`] of a head: actix takes heads of 128 KiB, and panics where the name of a field has 64.

use memchr::memchr_iter;

/// How many bytes a head may have, with the empty line that ends it.
pub const LONGEST: usize = 32 << 10;

/// A head, as far as it has come.
#[derive(Default)]
pub struct Head {
    /// How many bytes of it have come.
    size: usize,
    /// The bytes of the line that has not ended.
    line: usize,
    /// The last byte of all was a CR.
    ends_with_cr: bool,
    /// A line that is not empty has come, or may have: empty ones before it belong to no head.
    has_begun: bool,
    /// What comes is a body, or was sent ahead.
    is_over: bool,
}

impl Head {
    /// The next byte is the first of another head, or goes on with one that was sent ahead in part.
    pub fn begin(&mut self) {
        *self = Head { ends_with_cr: self.ends_with_cr, has_begun: self.line > 0, ..Head::default() };
    }

    /// Takes the bytes that come next, and puts NUL in the place of one that no head may hold. What stands behind the head is left as it is: a body
    /// may hold anything.
    pub fn take(&mut self, bytes: &mut [u8]) {
        if let Some(wrong) = self.follow(bytes) {
            bytes[wrong] = 0;
        }
    }

    /// Goes on to the end of these bytes. The place of a line feed that stands alone, or of a byte too many, where the head ends: it is none.
    fn follow(&mut self, bytes: &[u8]) -> Option<usize> {
        let room = LONGEST - self.size;
        let mut start = 0;
        let mut line_feeds = memchr_iter(b'\n', &bytes[..bytes.len().min(room)]);
        while !self.is_over
            && let Some(end) = line_feeds.next()
        {
            self.go_on(&bytes[start..end]);
            if !self.ends_with_cr {
                self.is_over = true;
                return Some(end);
            }
            let is_empty = self.line <= 1;
            self.is_over = is_empty && self.has_begun;
            (self.line, self.ends_with_cr, self.has_begun, start) = (0, false, self.has_begun || !is_empty, end + 1);
        }
        if !self.is_over {
            self.is_over = bytes.len() > room;
            if self.is_over {
                return Some(room);
            }
            self.size += bytes.len();
        }
        self.go_on(&bytes[start..]);
        None
    }

    fn go_on(&mut self, bytes: &[u8]) {
        if let Some(last) = bytes.last() {
            self.line += bytes.len();
            self.ends_with_cr = *last == b'\r';
        }
    }
}

/// Row H22, "bare LF".
#[cfg(test)]
mod tests {
    use super::*;

    /// What becomes of these bytes, however they come in two parts.
    fn taken(bytes: &str) -> String {
        let mut whole = bytes.as_bytes().to_vec();
        Head::default().take(&mut whole);
        for split in 0..bytes.len() {
            let mut parts = bytes.as_bytes().to_vec();
            let (mut head, (first, second)) = (Head::default(), parts.split_at_mut(split));
            head.take(first);
            head.take(second);
            assert_eq!(parts, whole, "{bytes:?} at {split}");
        }
        String::from_utf8(whole).unwrap()
    }

    #[test]
    fn a_line_feed_alone_is_none_wherever_it_stands_in_a_head() {
        for (sent, handed_on) in [
            ("GET / HTTP/1.1\nHost: x\r\n\r\n", "GET / HTTP/1.1\0Host: x\r\n\r\n"),
            ("GET / HTTP/1.1\r\nHost: x\nA: b\r\n\r\n", "GET / HTTP/1.1\r\nHost: x\0A: b\r\n\r\n"),
            ("GET / HTTP/1.1\r\nHost: x\r\n\n", "GET / HTTP/1.1\r\nHost: x\r\n\0"),
            ("\nGET / HTTP/1.1\r\n\r\n", "\0GET / HTTP/1.1\r\n\r\n"),
            ("\r\n\r\nGET / HTTP/1.1\r\nA: b\n\r\n", "\r\n\r\nGET / HTTP/1.1\r\nA: b\0\r\n"),
            ("GET / HTTP/1.1\r\n\r\r\n", "GET / HTTP/1.1\r\n\r\r\n"),
        ] {
            assert_eq!(taken(sent), handed_on);
        }
    }

    #[test]
    fn a_head_has_so_many_bytes_at_most() {
        let head = |length: usize| format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "y".repeat(length - 23));
        let body = "z".repeat(2 * LONGEST);
        for piece in [1, 1000, LONGEST, 4 * LONGEST] {
            let mut head_of = Head::default();
            for (length, is_taken) in [(LONGEST, true), (100, true), (LONGEST + 1, false)] {
                let sent = (head(length) + &body).into_bytes();
                let mut bytes = sent.clone();
                bytes.chunks_mut(piece).for_each(|piece| head_of.take(piece));
                assert_eq!(bytes == sent, is_taken, "{length} in pieces of {piece}");
                assert_eq!(bytes.iter().position(|byte| *byte == 0), (!is_taken).then_some(LONGEST));
                head_of.begin();
            }
        }
    }

    #[test]
    fn a_body_may_hold_line_feeds() {
        let post = "\r\nPOST / HTTP/1.1\r\nContent-Length: 5\r\n\r\na\nb\n\n";
        assert_eq!(taken(post), post);
    }

    #[test]
    fn the_next_head_is_looked_at_too() {
        let (mut head, mut bytes) = (Head::default(), b"GET / HTTP/1.1\r\n\r\n".to_vec());
        head.take(&mut bytes);
        head.begin();
        let mut next = b"\r\nGET / HTTP/1.1\r\nA: b\nC: d\r\n\r\n".to_vec();
        head.take(&mut next);
        assert_eq!(next, b"\r\nGET / HTTP/1.1\r\nA: b\0C: d\r\n\r\n");
    }

    /// However little of its head is left when it goes on, its body stays as it is.
    #[test]
    fn what_was_sent_ahead_in_part_is_not_mistaken() {
        let pipelined = b"GET / HTTP/1.1\r\n\r\nPOST / HTTP/1.1\r\nContent-Length: 3\r\n\r\na\nb";
        for split in 19..pipelined.len() - 3 {
            let (mut head, mut bytes) = (Head::default(), pipelined.to_vec());
            let (ahead, rest) = bytes.split_at_mut(split);
            head.take(ahead);
            head.begin();
            head.take(rest);
            assert_eq!(bytes, pipelined, "at {split}");
        }
    }
}
