//! Where the requests of a connection begin and end (RFC 9112 sections 2.2, 6.3 and 7.1), so that each of their heads is looked at before
//! actix parses it, and actix has one request at a time.
//!
//! Each line ends by CR LF. The section lets a reader take a line feed alone for the end of a line, and actix does. Whoever stands in front
//! and does not sees one request where two are served. So such a line feed is handed on as what no head may hold: actix refuses the request
//! as any other that is none, and ends the connection.
//!
//! So is a byte behind the first [`LONGEST`] of a head: actix takes heads of 128 KiB, and panics where the name of a field has 64.
//!
//! What comes behind the last request of a connection (section 9.6: it says `close`; section 9.3: it is of HTTP/1.0 and does not say
//! `keep-alive`) is not handed on. Nor is what comes behind one that would go over to another protocol (RFC 9110 section 7.8), which nothing does
//! here: actix takes that for the other protocol.
//!
//! Bodies are passed over, by what their heads say of them. A head that says what it must not (two lengths, a length and a coding) is
//! refused by actix, which reads nothing of what stands behind it: what is made of that here is no matter.

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
    /// To a head that has said this.
    Head(Head),
    /// To a body in chunks: the size of one.
    ChunkSize,
    /// To the fields behind a body in chunks.
    Trailer,
    /// To no request any more.
    Over,
}

/// What a head has said so far.
#[derive(Clone, Copy)]
struct Head {
    body: Body,
    /// It is of HTTP/1.0.
    is_old: bool,
    /// It says that the connection goes on behind the request.
    is_kept: bool,
    /// It says that it does not.
    is_closed: bool,
}

/// What stands behind a head.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Body {
    Length(u64),
    Chunked,
}

impl Framing {
    /// Takes the bytes that come next, and answers how many of them are to be handed on: those up to the end of a request, and none behind the
    /// last one. From one on that no head may hold no line ends any more: it is made NUL, and so are all line feeds behind it.
    pub fn take(&mut self, bytes: &mut [u8]) -> usize {
        self.has_head = false;
        let wrong = match self.follow(bytes) {
            Ok(good) => return good,
            Err(wrong) => wrong,
        };
        if let Some((wrong, rest)) = bytes[wrong..].split_first_mut() {
            self.is_refused = true;
            *wrong = 0;
            rest.iter_mut().filter(|byte| **byte == b'\n').for_each(|line_feed| *line_feed = 0);
        }
        bytes.len()
    }

    /// Whether nothing that comes next is handed on, because the last request is over.
    pub fn is_over(&self) -> bool {
        matches!(self.part, Part::Over) && self.data == 0
    }

    /// Whether a request has ended and no other has begun, but for a part of its first line.
    pub fn is_between(&self) -> bool {
        matches!(self.part, Part::Outside) && self.data == 0
    }

    /// Whether nothing comes behind the request whose head ended last.
    pub fn is_last(&self) -> bool {
        self.is_last
    }

    /// Whether a head has ended among the bytes that were taken last.
    pub fn has_head(&self) -> bool {
        self.has_head
    }

    /// Goes on to the end of these bytes or of a request, and answers how many these are.
    ///
    /// # Errors
    /// A byte is wrong, with so many before it.
    fn follow(&mut self, bytes: &[u8]) -> Result<usize, usize> {
        if self.is_refused {
            return Err(0);
        }
        let mut start = 0;
        loop {
            start += self.pass_over(bytes.len() - start);
            if self.is_over() || start > 0 && self.is_between() {
                return Ok(start);
            }
            let (rest, room) = (&bytes[start..], LONGEST - self.size);
            match memchr(b'\n', &rest[..rest.len().min(room)]) {
                Some(end) if self.end_line(&rest[..end]) => start += end + 1,
                Some(end) => return Err(start + end),
                None if rest.len() > room => return Err(start + room),
                None => {
                    self.size += rest.len();
                    self.line.extend_from_slice(rest);
                    return Ok(bytes.len());
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
            Part::Outside if !is_empty => Part::Head(Head::begun_by(line)),
            Part::Head(head) if !is_empty => Part::Head(head.with(line)),
            Part::Trailer if !is_empty => Part::Trailer,
            Part::Head(head) => self.end_head(head),
            Part::Trailer => self.begin(self.part_behind_request(), 0),
            Part::Outside | Part::Over => self.begin(self.part, 0),
            Part::ChunkSize => match chunk_size(line) {
                0 => Part::Trailer,
                size => self.begin(Part::ChunkSize, size.saturating_add(b"\r\n".len() as u64)),
            },
        }
    }

    fn end_head(&mut self, head: Head) -> Part {
        self.has_head = true;
        self.is_last = head.is_last();
        match head.body {
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

impl Head {
    fn begun_by(line: &[u8]) -> Head {
        let is_old = line.ends_with(b" HTTP/1.0");
        Head { body: Body::Length(0), is_old, is_kept: false, is_closed: false }
    }

    fn with(self, field: &[u8]) -> Head {
        // Most fields need not be looked at any further.
        if !matches!(field.first(), Some(b'C' | b'c' | b'T' | b't' | b'U' | b'u')) {
            return self;
        }
        let body = Body::told_by(field).unwrap_or(self.body);
        let has = |option| has_connection_option(field, option);
        let ends = has(b"close") || has(b"upgrade") || is_upgrade(field);
        Head { body, is_kept: self.is_kept || has(b"keep-alive"), is_closed: self.is_closed || ends, ..self }
    }

    /// Whether its request is the last one.
    fn is_last(self) -> bool {
        self.is_closed || self.is_old && !self.is_kept
    }
}

impl Body {
    /// What a field says of the body.
    fn told_by(field: &[u8]) -> Option<Body> {
        let (name, value) = field.split_at(memchr(b':', field)?);
        if name.eq_ignore_ascii_case(b"Content-Length") {
            let digits = str::from_utf8(value[1..].trim_ascii()).ok()?;
            return digits.parse().ok().map(Body::Length);
        }
        name.eq_ignore_ascii_case(b"Transfer-Encoding").then_some(Body::Chunked)
    }
}

/// Whether a field says this of the connection. One that is not all visible is read by nobody.
fn has_connection_option(field: &[u8], option: &[u8]) -> bool {
    const NAME: &[u8] = b"Connection:";
    let Some((name, value)) = field.split_at_checked(NAME.len()) else { return false };
    let is_it = |told: &[u8]| told.trim_ascii().eq_ignore_ascii_case(option);
    let is_visible = |byte: &u8| matches!(byte, b'\t' | b' '..=b'~');
    name.eq_ignore_ascii_case(NAME) && value.iter().all(is_visible) && value.split(|byte| *byte == b',').any(is_it)
}

/// Whether behind this field actix takes all that comes for another protocol.
fn is_upgrade(field: &[u8]) -> bool {
    const NAME: &[u8] = b"Upgrade:";
    let Some((name, value)) = field.split_at_checked(NAME.len()) else { return false };
    name.eq_ignore_ascii_case(NAME) && value.trim_ascii().eq_ignore_ascii_case(b"websocket")
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

    /// Takes what may be taken of these bytes, one request after the other.
    fn take_all(framing: &mut Framing, bytes: &mut [u8]) -> usize {
        let mut taken = 0;
        while taken < bytes.len() && !framing.is_over() {
            taken += framing.take(&mut bytes[taken..]);
        }
        taken
    }

    /// What becomes of these bytes up to the first that is wrong, however they come in pieces.
    fn taken(bytes: &str) -> String {
        let in_pieces = |length: usize| {
            let (mut framing, mut taken) = (Framing::default(), bytes.as_bytes().to_vec());
            let handed_on: usize = taken.chunks_mut(length).map(|piece| take_all(&mut framing, piece)).sum();
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
            (GET, true),
            ("GET / HTTP/1.1\r\n\n", false),
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
        for field in [
            "Connection: close",
            "connection:\tKeep-Alive , CLOSE ",
            "Connection: x\r\nConnection: close",
            "Connection: keep-alive, Upgrade",
            "upgrade: WebSocket ",
        ] {
            for last in WITH_BODIES {
                let last = last.replacen(" HTTP/1.1\r\n", &format!(" HTTP/1.1\r\n{field}\r\n"), 1);
                for behind in ["", GET, "\n", "\r\n\r\n", &last] {
                    assert_eq!(taken(&[GET, &last, behind].concat()), [GET, &last].concat(), "{behind:?}");
                }
            }
        }
        for field in [
            "Connection: closed",
            "X-Connection: close",
            "Connection : close",
            "Connection",
            "Connection: close, \u{e9}",
            "Connection: close\u{7f}",
            "Upgrade: h2c",
            "Upgrade-Insecure-Requests: 1",
            "User-Agent: websocket",
        ] {
            let request = format!("GET / HTTP/1.1\r\n{field}\r\n\r\n");
            assert_eq!(taken(&[&request, GET].concat()), [&request, GET].concat());
        }
    }

    #[test]
    fn a_request_of_old_is_the_last_one_unless_it_says_otherwise() {
        let old = |field: &str| GET.replace("1.1\r\n", &format!("1.0\r\n{field}"));
        for last in ["", "Connection: x\r\n", "Connection: Keep-Alive, close\r\n", "Connection: keep-alive, \u{e9}\r\n"]
        {
            assert_eq!(taken(&[GET, &old(last), GET].concat()), [GET, &old(last)].concat(), "{last}");
        }
        for kept in ["Connection: Keep-Alive\r\n", "connection:x ,\tkeep-alive\r\nConnection: x\r\n"] {
            let sent = [&old(kept), &old(kept), GET].concat();
            assert_eq!(taken(&sent), sent);
        }
    }

    #[test]
    fn one_request_is_taken_at_a_time() {
        for request in WITH_BODIES.into_iter().chain([GET]) {
            let (mut framing, mut sent) = (Framing::default(), request.repeat(2).into_bytes());
            let mut start = 0;
            for end in [request.len(), sent.len()] {
                // An empty line before it goes on by itself.
                while start < end {
                    start += framing.take(&mut sent[start..]);
                }
                assert_eq!((start, framing.is_between()), (end, true), "{request:?}");
            }
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
                bytes.chunks_mut(piece).for_each(|piece| assert_eq!(take_all(&mut framing, piece), piece.len()));
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
