//! Where the requests of a connection begin and end (RFC 9112 sections 2.2, 6.3 and 7.1), so that each of their heads is looked at before actix parses it,
//! those too that are sent before there is an answer to the one before.
//!
//! Each line ends by CR LF. The section lets a reader take a line feed alone for the end of a line, and actix does. Whoever stands in front and does not
//! sees one request where two are served. So such a line feed is handed on as what no head may hold: actix refuses the request as any other that is none,
//! behind the answers that it owes, and ends the connection.
//!
//! So is a byte behind the first [`LONGEST`] of a head: actix takes heads of 128 KiB, and panics where the name of a field has 64.
//!
//! What comes behind a request that says it is the last one of its connection (section 9.6) is not handed on: actix would serve it, and then keep the
//! connection.
//!
//! Bodies are passed over, by what their heads say of them. A head that says what it must not (two lengths, a length and a coding) is refused by actix,
//! which reads nothing of what stands behind it: what is made of that here is no matter.

use std::mem;

use memchr::memchr;

/// How many bytes a head may have, with the empty line that ends it.
pub const LONGEST: usize = 32 << 10;

/// The bytes that a client sends, as far as they have come.
#[derive(Default)]
pub struct Framing {
    part: Part,
    /// How many bytes come before the next line: a body, or a chunk of one.
    data: u64,
    /// The beginning of a line whose end has not come yet.
    line: Vec<u8>,
    /// How many bytes there are of the lines that have to be [`LONGEST`] together at most.
    size: usize,
    /// The head has said that nothing comes behind its request.
    is_last: bool,
    has_head: bool,
    is_refused: bool,
}

/// To what the next line belongs.
#[derive(Clone, Copy, Default)]
enum Part {
    /// To nothing, if it is empty; or else it begins a head.
    #[default]
    Outside,
    /// To a head that has said this of its body.
    Head(Body),
    /// To a body in chunks: the size of one.
    ChunkSize,
    /// To the fields behind a body in chunks.
    Trailer,
    /// To no request any more.
    Over,
}

/// What stands behind a head.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Body {
    Length(u64),
    Chunked,
}

impl Framing {
    /// Takes the bytes that come next, and answers how many of them are to be handed on: none behind the last request. From one on that no head may hold
    /// no line ends any more: it is made NUL, and so are all line feeds behind it.
    pub fn take(&mut self, bytes: &mut [u8]) -> usize {
        self.has_head = false;
        let good = if self.is_refused { 0 } else { self.follow(bytes) };
        if matches!(self.part, Part::Over) {
            return good;
        }
        if let Some((wrong, rest)) = bytes[good..].split_first_mut() {
            self.is_refused = true;
            *wrong = 0;
            rest.iter_mut().filter(|byte| **byte == b'\n').for_each(|line_feed| *line_feed = 0);
        }
        bytes.len()
    }

    /// Whether a head has ended among the bytes that were taken last.
    pub fn has_head(&self) -> bool {
        self.has_head
    }

    /// Goes on to the end of these bytes or of the last request, or to the byte that is wrong. Answers how many come before.
    fn follow(&mut self, bytes: &[u8]) -> usize {
        let mut start = 0;
        loop {
            start += self.pass_over(bytes.len() - start);
            if matches!(self.part, Part::Over) {
                return start;
            }
            let (rest, room) = (&bytes[start..], LONGEST - self.size);
            match memchr(b'\n', &rest[..rest.len().min(room)]) {
                Some(end) if self.end_line(&rest[..end]) => start += end + 1,
                Some(end) => return start + end,
                None if rest.len() > room => return start + room,
                None => {
                    self.size += rest.len();
                    self.line.extend_from_slice(rest);
                    return bytes.len();
                }
            }
        }
    }

    /// How many of so many bytes are none of a line.
    fn pass_over(&mut self, count: usize) -> usize {
        let passed = self.data.min(count as u64);
        self.data -= passed;
        passed as usize
    }

    /// A line is there, of which these bytes came last. `false`: its line feed stands alone.
    fn end_line(&mut self, last: &[u8]) -> bool {
        self.size += last.len() + 1;
        if self.line.is_empty() {
            return self.take_line(last);
        }
        self.line.extend_from_slice(last);
        let line = mem::take(&mut self.line);
        self.take_line(&line)
    }

    fn take_line(&mut self, line: &[u8]) -> bool {
        let Some(line) = line.strip_suffix(b"\r") else { return false };
        self.part = self.part_behind(line);
        true
    }

    fn part_behind(&mut self, line: &[u8]) -> Part {
        let is_empty = line.is_empty();
        match self.part {
            Part::Outside if !is_empty => Part::Head(Body::Length(0)),
            Part::Head(body) if !is_empty => {
                self.is_last |= is_close(line);
                Part::Head(Body::told_by(line).unwrap_or(body))
            }
            Part::Trailer if !is_empty => Part::Trailer,
            Part::Head(body) => self.end_head(body),
            Part::Trailer => self.begin(self.part_behind_request(), 0),
            Part::Outside | Part::Over => self.begin(self.part, 0),
            Part::ChunkSize => match chunk_size(line) {
                0 => Part::Trailer,
                size => self.begin(Part::ChunkSize, size.saturating_add(b"\r\n".len() as u64)),
            },
        }
    }

    fn end_head(&mut self, body: Body) -> Part {
        self.has_head = true;
        match body {
            Body::Chunked => self.begin(Part::ChunkSize, 0),
            Body::Length(length) => self.begin(self.part_behind_request(), length),
        }
    }

    fn part_behind_request(&self) -> Part {
        if self.is_last { Part::Over } else { Part::Outside }
    }

    /// Lines come that have nothing to do with those before, behind so many bytes.
    fn begin(&mut self, part: Part, data: u64) -> Part {
        (self.size, self.data) = (0, data);
        part
    }
}

impl Body {
    /// What a field says of the body.
    fn told_by(field: &[u8]) -> Option<Body> {
        // Most fields need not be looked at any further.
        if !matches!(field.first(), Some(b'C' | b'c' | b'T' | b't')) {
            return None;
        }
        let (name, value) = field.split_at(memchr(b':', field)?);
        if name.eq_ignore_ascii_case(b"Content-Length") {
            let digits = str::from_utf8(value[1..].trim_ascii()).ok()?;
            return digits.parse().ok().map(Body::Length);
        }
        name.eq_ignore_ascii_case(b"Transfer-Encoding").then_some(Body::Chunked)
    }
}

/// Whether a field says that its request is the last one.
fn is_close(field: &[u8]) -> bool {
    const NAME: &[u8] = b"Connection:";
    let Some((name, options)) = field.split_at_checked(NAME.len()) else { return false };
    let is_close = |option: &[u8]| option.trim_ascii().eq_ignore_ascii_case(b"close");
    name.eq_ignore_ascii_case(NAME) && options.split(|byte| *byte == b',').any(is_close)
}

/// The size in the line before a chunk. One that is none is refused by actix, and what stands behind it is not read.
fn chunk_size(line: &[u8]) -> u64 {
    let end = line.iter().position(|byte| !byte.is_ascii_hexdigit()).unwrap_or(line.len());
    let digits = str::from_utf8(&line[..end]).unwrap_or_default();
    u64::from_str_radix(digits, 16).unwrap_or(u64::MAX)
}

/// Rows H22, "bare LF", and H23.
#[cfg(test)]
mod tests {
    use super::*;

    /// What becomes of these bytes up to the first that is wrong, however they come in pieces.
    fn taken(bytes: &str) -> String {
        let in_pieces = |length: usize| {
            let (mut framing, mut taken) = (Framing::default(), bytes.as_bytes().to_vec());
            let handed_on: usize = taken.chunks_mut(length).map(|piece| framing.take(piece)).sum();
            taken.truncate(handed_on);
            let wrong = taken.iter().position(|byte| *byte == 0);
            taken.truncate(wrong.map_or(taken.len(), |wrong| wrong + 1));
            String::from_utf8(taken).unwrap()
        };
        let whole = in_pieces(bytes.len());
        (1..bytes.len()).for_each(|length| assert_eq!(in_pieces(length), whole, "{bytes:?} in pieces of {length}"));
        whole
    }

    const GET: &str = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    /// Each with a body that may hold line feeds.
    const WITH_BODIES: [&str; 5] = [
        "\r\nPOST / HTTP/1.1\r\ncontent-length:\t 5 \r\nTE: x\r\n\r\na\nb\n\n",
        "POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n",
        "POST / HTTP/1.1\r\nTransfer-Encoding: Chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\ntransfer-encoding:chunked\r\n\r\n2\r\n\n\n\r\n0E ; a=b\r\n\n\r\n\r\n34567\n9ab\r\n000\r\n\r\n",
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n\n\r\n0\r\nX: y\r\nZ:\r\n\r\n",
    ];

    #[test]
    fn a_line_feed_alone_is_none_wherever_it_stands_in_a_head() {
        for (sent, handed_on) in [
            ("GET / HTTP/1.1\nHost: x\r\n\r\n", "GET / HTTP/1.1\0"),
            ("GET / HTTP/1.1\r\nHost: x\nA: b\r\n\r\n", "GET / HTTP/1.1\r\nHost: x\0"),
            ("GET / HTTP/1.1\r\nHost: x\r\n\n", "GET / HTTP/1.1\r\nHost: x\r\n\0"),
            ("\nGET / HTTP/1.1\r\n\r\n", "\0"),
            ("\r\n\r\nGET / HTTP/1.1\r\nA: b\n\r\n", "\r\n\r\nGET / HTTP/1.1\r\nA: b\0"),
            ("GET / HTTP/1.1\r\n\r\r\n", "GET / HTTP/1.1\r\n\r\r\n"),
        ] {
            assert_eq!(taken(sent), handed_on);
            for before in WITH_BODIES {
                assert_eq!(taken(&[before, GET, sent].concat()), [before, GET, handed_on].concat(), "sent ahead");
            }
        }
    }

    #[test]
    fn it_is_known_where_a_head_has_ended() {
        let post = "POST / HTTP/1.1\r\nContent-Length: 4\r\n";
        let pieces = [
            ("\r\n", false),
            (GET, true),
            ("GET / HTTP/1.1\r\nHost: x\r\n", false),
            ("\r", false),
            ("\n", true),
            (post, false),
            ("\r\n\r\n", true),
            ("\r\n", false),
            (&[GET, "GET /"].concat(), true),
            (" HTTP/1.1\r\n\n", false),
            (GET, false),
        ];
        let mut framing = Framing::default();
        for (piece, has_ended) in pieces {
            framing.take(&mut piece.as_bytes().to_vec());
            assert_eq!(framing.has_head(), has_ended, "{piece:?}");
        }
    }

    #[test]
    fn a_body_passes_as_it_is() {
        for request in WITH_BODIES {
            let sent = [GET, request, request, GET].concat();
            assert_eq!(taken(&sent), sent);
        }
        for (sent, handed_on) in [
            ("1\nx\r\n0\r\n\r\n", "1\0"),
            ("1;a\n=b\r\nx\r\n0\r\n\r\n", "1;a\0"),
            ("0\r\nX: y\n\r\n", "0\r\nX: y\0"),
            ("0\r\n\n", "0\r\n\0"),
        ] {
            let head = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
            assert_eq!(taken(&[head, sent].concat()), [head, handed_on].concat());
        }
    }

    #[test]
    fn nothing_is_handed_on_behind_the_last_request() {
        for field in ["Connection: close", "connection:\tKeep-Alive , CLOSE ", "Connection: x\r\nConnection: close"] {
            for last in WITH_BODIES {
                let last = last.replacen(" HTTP/1.1\r\n", &format!(" HTTP/1.1\r\n{field}\r\n"), 1);
                for behind in ["", GET, "\n", "\r\n\r\n", &last] {
                    assert_eq!(taken(&[GET, &last, behind].concat()), [GET, &last].concat(), "{behind:?}");
                }
            }
        }
        for field in ["Connection: closed", "X-Connection: close", "Connection : close", "Connection"] {
            let request = format!("GET / HTTP/1.1\r\n{field}\r\n\r\n");
            assert_eq!(taken(&[&request, GET].concat()), [&request, GET].concat());
        }
    }

    #[test]
    fn no_line_ends_behind_what_is_wrong() {
        let (mut framing, mut bytes) = (Framing::default(), b"GET / HTTP/1.1\nA: b\r\n\r\n".to_vec());
        framing.take(&mut bytes);
        assert_eq!(bytes, b"GET / HTTP/1.1\0A: b\r\0\r\0");
        let mut next = b"GET / HTTP/1.1\r\n\r\n".to_vec();
        framing.take(&mut next);
        assert_eq!(next, b"\0ET / HTTP/1.1\r\0\r\0");
    }

    #[test]
    fn a_head_has_so_many_bytes_at_most() {
        let head = |length: usize| format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "y".repeat(length - 23));
        let post = format!("POST / HTTP/1.1\r\nContent-Length: {}\r\n\r\n", 2 * LONGEST) + &"z".repeat(2 * LONGEST);
        for piece in [1, 1000, LONGEST, 4 * LONGEST] {
            for (length, is_taken) in [(LONGEST, true), (LONGEST + 1, false)] {
                let sent = [head(LONGEST), post.clone(), head(length), head(100)].concat().into_bytes();
                let (mut framing, mut bytes) = (Framing::default(), sent.clone());
                bytes.chunks_mut(piece).for_each(|piece| assert_eq!(framing.take(piece), piece.len()));
                assert_eq!(bytes == sent, is_taken, "{length} in pieces of {piece}");
                let wrong = bytes.iter().position(|byte| *byte == 0);
                assert_eq!(wrong, (!is_taken).then_some(2 * LONGEST + post.len()));
            }
        }
    }

    #[test]
    fn what_a_head_says_of_its_body_is_read_as_actix_reads_it() {
        for (field, body) in [
            ("Content-Length: 007", Some(Body::Length(7))),
            ("CONTENT-LENGTH:18446744073709551615", Some(Body::Length(u64::MAX))),
            ("Transfer-Encoding: chunked", Some(Body::Chunked)),
            ("Content-Length: 18446744073709551616", None),
            ("Content-Length: 5, 5", None),
            ("Content-Lengths: 5", None),
            ("Content-Type: x", None),
            ("content-length", None),
            ("X-Content-Length: 5", None),
        ] {
            assert_eq!(Body::told_by(field.as_bytes()), body, "{field}");
        }
    }
}
