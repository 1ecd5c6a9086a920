//! What the HTTP listener is sent, and what is no XMPP on the other one.

use std::{
    io::{BufReader, Write},
    net::{SocketAddr, TcpStream},
    thread,
    time::{Duration, Instant},
};

use tests::{
    host::{Host, PATIENCE},
    http::{exchange, read_answer},
};

use super::{HEADER, end_of};

#[test]
fn other_protocols_on_either_port() {
    let host = Host::start();
    let openings: [&[u8]; 3] = [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x00\x01\x02\xff\xfe", b"EHLO example.com\r\n"];
    for opening in openings {
        end_of(&host, opening); // [X25]
    }
    let answer = exchange(host.process().ready().http, HEADER);
    assert!(answer.as_ref().map_or(true, |answer| answer.status == 400), "{answer:?}");
    host.new_user("alice").settle().unwrap();
}

#[test]
fn a_request_that_is_two() {
    let host = Host::with_presence();
    let address = host.process().ready().http;
    let smuggled = "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n";
    let post = "POST /plugins/presence/status HTTP/1.1\r\nHost: x\r\n";
    for head in [
        format!("{post}Content-Length: {}\r\nTransfer-Encoding: chunked", smuggled.len() + 5),
        format!("{post}Content-Length: 5\r\nContent-Length: 6"),
        format!("{post}Content-Length: +5"),
        format!("{post}Content-Length: 5, 5"),
        format!("{post}Content-Length: -1"),
        format!("{post}Content-Length: 0x5"),
        format!("{post}Transfer-Encoding: xchunked"),
        format!("{post}Transfer-Encoding: chunked, identity"),
        format!("{post}Transfer-Encoding:\r\n chunked"),
        format!("{post}Transfer-Encoding : chunked"),
        format!("{post}X: y\r\n folded: z"),
        format!("{post}X: y\nTransfer-Encoding: chunked"),
        format!("{post}X: y\n"),
        post.replace("1.1\r\n", "1.1\n") + "X: y",
        format!("\n{post}X: y"),
        post.replace("1.1", "1.0") + "Transfer-Encoding: chunked",
    ] {
        let answers = answers(address, &format!("{head}\r\n\r\n0\r\n\r\n{smuggled}"));
        assert!(matches!(answers.as_slice(), [] | [400 | 501]), "{head:?}: {answers:?}"); // [H22]
    }
    assert_eq!(host.http().get("/plugins/presence/status?type=text").status, 200);
}

/// A line feed alone ends no line, in whichever request of a connection, and however its bytes come; in a body it may stand.
#[test]
fn line_feeds_that_stand_alone() {
    let host = Host::with_presence();
    let target = "/plugins/presence/status?type=text";
    let good = format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n");
    let bad = format!("GET {target} HTTP/1.1\r\nHost: x\r\nX: y\nTransfer-Encoding: chunked\r\n\r\n");
    let body = "{\n\n\"jids\": [\n\"alice@localhost\"\n]\n}\n";
    let query = "POST /plugins/presence/v1/presence/query HTTP/1.1\r\nHost: x\r\nContent-Type: application/json";
    let query = format!("{query}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    for before in [vec![], vec![&good], vec![&query], vec![&good, &query, &query, &good]] {
        for pieces in [1, 2, bad.len()] {
            let mut kept = Kept::open(host.process().ready().http);
            for request in &before {
                assert_eq!(kept.send(request, 1), Some(200), "{request}");
            }
            assert_eq!(kept.send(&bad, pieces), Some(400), "behind {}", before.len()); // [H22]
            assert_eq!(kept.answer(), None, "the connection is closed");
        }
    }
    let address = host.process().ready().http;
    let chunked = query.replace(&format!("Content-Length: {}", body.len()), "Transfer-Encoding: chunked");
    let chunked =
        chunked.replace(body, &format!("1\r\n{{\r\n{:x}\r\n{}\r\n0\r\nX: y\r\n\r\n", body.len() - 1, &body[1..]));
    let ahead = [good.as_str(), &query, &chunked, &good].concat();
    let last = "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    assert_eq!(answers(address, &[&ahead, last].concat()), [200; 5], "sent ahead");
    assert_eq!(answers(address, &[&ahead, &bad, "0\r\n\r\n", &good].concat()), [200, 200, 200, 200, 400], "sent ahead");
    let bad_trailer = chunked.replace("X: y\r\n", "X: y\n");
    assert_eq!(
        answers(address, &[good.clone(), bad_trailer, good].concat()),
        [200, 400],
        "in the fields behind a body"
    );
}

/// RFC 9112 section 9.6: the request that says `close` is the last one of its connection, which ends behind the answer.
#[test]
fn nothing_is_served_behind_the_last_request() {
    let host = Host::with_presence();
    let address = host.process().ready().http;
    let next = "GET /plugins/presence/status?type=text HTTP/1.1\r\nHost: x\r\n\r\n";
    let post = "POST /plugins/presence/status?type=text HTTP/1.1\r\nHost: x\r\nConnection: close";
    for last in [
        next.replace("Host", "Connection: close\r\nHost"),
        next.replace("Host", "connection: keep-alive, Close\r\nHost"),
        format!("{post}\r\nContent-Length: 5\r\n\r\na=b&c"),
        format!("{post}\r\nTransfer-Encoding: chunked\r\n\r\n5\r\na=b&c\r\n0\r\n\r\n"),
    ] {
        for behind in ["", next, &last, "garbage\n"] {
            assert_eq!(answers(address, &[&last, behind].concat()), [200], "{last:?} {behind:?}"); // [H22]
            let mut kept = Kept::open(address);
            assert_eq!(kept.send(next, 1), Some(200));
            let statuses = (kept.send(&[&last, behind].concat(), 3), kept.answer());
            assert_eq!(statuses, (Some(200), None), "in pieces: {last:?} {behind:?}");
        }
    }
}

/// What is no request is answered by nobody of ours, and has the fields of all answers all the same.
#[test]
fn refusals_of_heads_are_not_sniffed() {
    let host = Host::with_presence();
    let ready = host.process().ready();
    let text = "GET /plugins/presence/status?type=text HTTP/1.1\r\nHost: x\r\n\r\n";
    let image = text.replace("?type=text", "");
    let older = text.replace("1.1", "1.0").replace("Host", "Connection: keep-alive\r\nHost");
    let fields = (0..97).map(|number| format!("X-{number}: y\r\n")).collect::<String>();
    for (bad, status) in [
        ("garbage\r\n\r\n".to_owned(), 400),
        ("GET / HTTP/1.1\r\n\r\n".into(), 400),
        ("GET / HTTP/1.1\nHost: x\r\n\r\n".into(), 400),
        (format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(40 << 10)), 400),
        (format!("GET / HTTP/1.1\r\nHost: x\r\n{fields}\r\n"), 431),
    ] {
        for (before, is_ahead) in [("", false), (text, false), (text, true), (&image, true), (&older, false)] {
            let mut kept = Kept::open(ready.http);
            let ahead = if is_ahead { before } else { "" };
            if ahead != before {
                kept.send(before, 1).expect("an answer");
            }
            // The server may refuse before it has read everything.
            let _ = kept.0.get_mut().write_all(&[ahead, &bad].concat().into_bytes());
            if is_ahead {
                kept.answer().expect("an answer");
            }
            let refusal = read_answer(&mut kept.0).expect("an answer");
            assert_eq!((refusal.status, refusal.body.len()), (status, 0), "{before}: {refusal:?}");
            assert_eq!(refusal.header("x-content-type-options"), Some("nosniff"), "{before}: {refusal:?}");
            assert_eq!(refusal.header("connection"), Some("close"), "{before}: {refusal:?}");
            assert_eq!(kept.answer(), None, "the connection is closed");
        }
    }
    let refusal = exchange(ready.console, "garbage\r\n\r\n").expect("an answer");
    assert_eq!((refusal.status, refusal.header("x-content-type-options")), (400, Some("nosniff")));
}

/// A field's name of 65,536 bytes or more is one that actix can't make: whoever sends it is told so, and nothing panics. [H23]
#[test]
fn names_of_fields_without_end() {
    let host = Host::with_presence();
    let good = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    let bad = |length| format!("GET / HTTP/1.1\r\nHost: x\r\n{}: y\r\n\r\n", "a".repeat(length));
    let ready = host.process().ready();
    for address in [ready.http, ready.console] {
        for length in [33 << 10, 65_535, 65_536, 100_000, 1 << 20] {
            assert_eq!(answers(address, &bad(length)), [400], "{length}");
        }
        let mut kept = Kept::open(address);
        let before = kept.send(good, 1).expect("an answer");
        assert_eq!((kept.send(&bad(65_536), 1), kept.answer()), (Some(400), None), "the second on its connection");
        assert_eq!(answers(address, &[good, good, &bad(65_536)].concat()), [before, before, 400], "sent ahead");
        let field = format!("GET / HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n", "y".repeat(30 << 10));
        assert_eq!(Kept::open(address).send(&field, 3), Some(before), "a long one is none without end");
    }
    let post = "POST /plugins/presence/status HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 65000\r\n\r\n";
    assert_eq!(
        Kept::open(ready.http).send(&format!("{post}{:a<65000}", "type=text&"), 1),
        Some(200),
        "a body may be long"
    );
    assert!(!host.process().log().contains("panicked"), "{}", host.process().log());
}

/// A connection that is kept for several requests.
struct Kept(BufReader<TcpStream>);

impl Kept {
    fn open(address: SocketAddr) -> Kept {
        let socket = TcpStream::connect(address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.set_nodelay(true).unwrap();
        Kept(BufReader::new(socket))
    }

    /// The status of the answer to what is sent in so many pieces.
    fn send(&mut self, request: &str, pieces: usize) -> Option<u16> {
        for piece in request.as_bytes().chunks(request.len().div_ceil(pieces).max(1)) {
            // The server may refuse before it has read everything.
            let _ = self.0.get_mut().write_all(piece);
        }
        self.answer()
    }

    fn answer(&mut self) -> Option<u16> {
        read_answer(&mut self.0).ok().map(|answer| answer.status)
    }
}

/// The status of each answer, up to the end of the connection.
fn answers(address: SocketAddr, bytes: &str) -> Vec<u16> {
    let mut socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    // The server may refuse before it has read everything.
    let _ = socket.write_all(bytes.as_bytes());
    let mut reader = BufReader::new(socket);
    std::iter::from_fn(|| read_answer(&mut reader).ok().map(|answer| answer.status)).collect()
}

/// Whoever sends nothing, half a head or half a body is shown out, and others are served meanwhile.
#[test]
fn slow_requests() {
    const CROWD: usize = 40;
    /// How late the machine may be.
    const GRACE: Duration = Duration::from_secs(8);
    let host = Host::with_presence();
    let address = host.process().ready().http;
    let whole = "GET /plugins/presence/status?type=text HTTP/1.1\r\nHost: x\r\n\r\n";
    let half = "GET /plugins/presence/status HTTP/1.1\r\nHost: x\r\nX-Slow: ";
    let body = "POST /plugins/presence/status HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf";
    // What is sent behind so many whole requests, and when the end may come; [H20] [H21].
    let slow = [(0, "", 0..10), (0, half, 4..10), (2, half, 4..10), (0, body, 9..13)];
    thread::scope(|scope| {
        let crowd: Vec<_> = (0..CROWD)
            .map(|number| {
                let (before, sent, end) = slow[number % slow.len()].clone();
                scope.spawn(move || {
                    let mut kept = Kept::open(address);
                    (0..before).for_each(|_| assert_eq!(kept.send(whole, 1), Some(200)));
                    let started = Instant::now();
                    let answer = kept.send(sent, 1);
                    assert!(answer == Some(408) || sent.is_empty() && answer.is_none(), "{sent:?}: {answer:?}");
                    assert_eq!(kept.answer(), None, "{sent:?}");
                    let (earliest, latest) = (Duration::from_secs(end.start), Duration::from_secs(end.end) + GRACE);
                    assert!((earliest..latest).contains(&started.elapsed()), "{sent:?}: {:?}", started.elapsed());
                })
            })
            .collect();
        while crowd.iter().any(|slow| !slow.is_finished()) {
            assert_eq!(host.http().get("/plugins/presence/status?type=text").status, 200);
            thread::sleep(Duration::from_millis(50));
        }
    });
}

#[test]
fn oversized_requests() {
    let host = Host::with_presence();
    let address = host.process().ready().http;
    let many = (0..500).map(|number| format!("X-{number}: y\r\n")).collect::<String>();
    let parameters = "a=b&".repeat(10_000);
    let deep = "%25".repeat(1_000);
    let fields = |count: usize| {
        let fields: String = (1..count).map(|number| format!("X-{number}: y\r\n")).collect();
        format!("GET /plugins/presence/status?type=text&jid={deep} HTTP/1.1\r\nHost: x\r\n{fields}\r\n")
    };
    for (count, statuses) in [(96, [200, 200]), (97, [400, 431])] {
        let answer = exchange(address, fields(count)).expect("an answer");
        assert!(statuses.contains(&answer.status), "{count} fields: {answer:?}"); // [H23]
    }
    for request in [
        format!("GET /plugins/presence/status?jid={} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(64 << 10)),
        format!("GET /plugins/presence/status HTTP/1.1\r\nHost: x\r\n{many}\r\n"),
        format!("GET /plugins/presence/status?{parameters} HTTP/1.1\r\nHost: x\r\n\r\n"),
        format!("GET /plugins/presence/status HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n", "y".repeat(1 << 20)),
    ] {
        let answer = exchange(address, &request);
        assert!(answer.as_ref().map_or(true, |answer| answer.status < 500), "{answer:?}"); // [H23]
    }
    assert_eq!(host.http().get("/plugins/presence/status?type=text").status, 200);
}
