//! A client's connection, on which each request has a limit of time for its head (RFC 9112 section 9.5, RFC 9110 section 15.5.9).
//!
//! actix can limit the head of the first request only. After that half a head would hold a connection for as long as the client likes: its
//! first bytes end the limit on silence, and nothing else begins. So the stream beneath actix looks at the clock itself: from its
//! beginning, and from the first byte that comes between two requests, until the next request is there.
//!
//! actix has one request at a time: what a client sends ahead is held here until the answer to the one before is written. For actix keeps of
//! all that it was given only what the last head said of the version, of HEAD and of `close`, and would answer the ones before by that. What
//! is held is no head that must be finished yet: its limit begins when its turn comes. While an answer is under way a client is read from until
//! [`MOST_HELD`] is held, so that one that is gone is noticed.
//!
//! It keeps the limit on silence as well: actix would set a timer anew for each answer.
//!
//! Each head is looked at as it comes, too ([`Framing`]).

use std::{
    io, mem,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
    time::Duration,
};

use actix_web::rt::net::TcpStream;
use bytes::{Buf, BytesMut};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep_until},
};

use super::{framing::Framing, heads::Heads, refusal, resting::Resting};

/// How often it is looked, in the time that a client may be silent, whether it was. So it may take a fifth longer until it is noticed.
const LOOKS: u32 = 5;

/// How much is held of what was sent ahead before the client is read from no further.
const MOST_HELD: usize = 16 << 10;

/// What a client hears that is too slow.
const TOO_SLOW: &[u8] =
    b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\nx-content-type-options: nosniff\r\n\r\n";

/// A stream that ends when the head of a request takes too long, or the next request.
pub struct Connection {
    stream: TcpStream,
    patience: Duration,
    keep_alive: Duration,
    heads: Rc<Heads>,
    framing: Framing,
    /// What was sent ahead, and not handed on yet.
    held: BytesMut,
    /// The client sends nothing more: actix is told with the next read, unless what is held goes on before.
    has_ended: bool,
    /// The rest of an answer that is written in place of one of actix's own.
    last: Vec<u8>,
    /// For the next look at how long the client takes.
    timer: Resting<Sleep>,
    /// How many looks in a row have found that nothing has happened since the one before.
    silence: u32,
}

/// Why a connection ends.
enum Over {
    /// A head takes too long.
    Head,
    /// The next request does.
    Silence,
}

impl Connection {
    /// A connection whose heads may take as long as `patience`, the first from now on, and which is kept for as long as `keep_alive` between two
    /// requests, or a little longer.
    pub fn new(stream: TcpStream, patience: Duration, keep_alive: Duration) -> Connection {
        let now = Instant::now();
        let (heads, framing) = (Rc::new(Heads::new(now)), Framing::default());
        let timer = Resting::new(sleep_until(now + patience));
        let (held, last) = (BytesMut::new(), Vec::new());
        Connection { stream, patience, keep_alive, heads, framing, held, has_ended: false, last, timer, silence: 0 }
    }

    /// Beneath.
    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Its requests.
    pub fn heads(&self) -> Rc<Heads> {
        self.heads.clone()
    }

    /// Takes what the client sent. Answers how much of it is to be handed on; the rest is held. Most heads come whole, and are requests in
    /// a moment: for these nobody looks at the clock.
    fn hear(&mut self, bytes: &mut [u8]) -> usize {
        let taken = if self.has_to_wait() { 0 } else { self.take(bytes) };
        if taken < bytes.len() && !self.framing.is_over() {
            self.held.extend_from_slice(&bytes[taken..]);
        }
        taken
    }

    fn take(&mut self, bytes: &mut [u8]) -> usize {
        let taken = self.framing.take(bytes);
        if self.framing.has_head() {
            self.heads.handed_on(self.framing.is_last());
        } else if taken > 0 {
            self.heads.heard();
        }
        taken
    }

    /// Whether nothing may be handed on before an answer is written.
    fn has_to_wait(&self) -> bool {
        !self.heads.is_done() && self.framing.is_between()
    }

    /// Hands on what is held, as far as it goes now.
    fn let_go(&mut self, buffer: &mut ReadBuf<'_>) {
        let mut held = mem::take(&mut self.held);
        let count = held.len().min(buffer.remaining());
        let taken = self.take(&mut held[..count]);
        buffer.put_slice(&held[..taken]);
        held.advance(taken);
        if !held.is_empty() && !self.framing.is_over() {
            self.held = held;
        }
        self.has_ended = false;
    }

    /// The client sends nothing more. What is held may be asked for in a moment; and actix, once it is told of an end, asks for nothing.
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.held.is_empty() && !mem::replace(&mut self.has_ended, true) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }

    /// Reads what is to be handed on now: of what is held, or else of what the client sends.
    fn poll_next(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        if !self.held.is_empty() && !self.has_to_wait() {
            self.let_go(buffer);
            if buffer.filled().len() > before {
                return Poll::Ready(Ok(()));
            }
        }
        while self.held.len() < MOST_HELD {
            ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
            if buffer.filled().len() == before {
                return self.poll_end(cx);
            }
            let taken = self.hear(&mut buffer.filled_mut()[before..]);
            buffer.set_filled(before + taken);
            // Nothing would mean that the client is gone.
            if taken > 0 {
                return Poll::Ready(Ok(()));
            }
        }
        Poll::Pending
    }

    /// Ready when the client has taken too long. The timer is set for many requests: most heads are complete before anybody looks.
    fn poll_over(&mut self, cx: &mut Context<'_>) -> Poll<Over> {
        loop {
            let limit = self.heads.begun().map(|begun| begun + self.patience);
            if let Some(limit) = limit.filter(|limit| *limit < self.timer.get().deadline()) {
                self.look_at(limit);
            }
            ready!(self.timer.poll(cx, Sleep::is_elapsed));
            let now = Instant::now();
            match limit {
                Some(limit) if now < limit => self.look_at(limit),
                Some(_) => return Poll::Ready(Over::Head),
                None => {
                    self.silence = if self.heads.is_silent() { self.silence + 1 } else { 0 };
                    if self.silence == LOOKS {
                        return Poll::Ready(Over::Silence);
                    }
                    self.look_at(now + self.keep_alive / LOOKS);
                }
            }
        }
    }

    fn look_at(&mut self, moment: Instant) {
        self.timer.change(|timer| timer.reset(moment));
    }
}

/// Writes all of these bytes, and keeps those that are not written yet.
fn poll_write_all(
    stream: &mut (impl AsyncWrite + Unpin),
    cx: &mut Context<'_>,
    bytes: &mut Vec<u8>,
) -> Poll<io::Result<()>> {
    while !bytes.is_empty() {
        let written = ready!(Pin::new(&mut *stream).poll_write(cx, bytes))?;
        bytes.drain(..written);
    }
    Poll::Ready(Ok(()))
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if let Poll::Ready(read) = self.poll_next(cx, buffer) {
            return Poll::Ready(read);
        }
        match ready!(self.poll_over(cx)) {
            Over::Head => {
                // The client may be gone: then nobody hears of it.
                let _ = self.stream.try_write(TOO_SLOW);
                Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
            }
            // To actix it looks as if the client was gone.
            Over::Silence => Poll::Ready(Ok(())),
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let Connection { stream, heads, last, .. } = self.get_mut();
        heads.used();
        if !heads.is_answering() {
            if last.is_empty() {
                *last = refusal::mended(bytes).unwrap_or_default();
            }
            if !last.is_empty() {
                ready!(poll_write_all(stream, cx, last))?;
                return Poll::Ready(Ok(bytes.len()));
            }
        }
        Pin::new(stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // actix flushes when it has written all that it had.
        if self.heads.flushed() && !self.held.is_empty() {
            cx.waker().wake_by_ref();
        }
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// Row H20, "head 5 s -> 408".
#[cfg(test)]
mod tests {
    use std::{
        convert::Infallible,
        future::poll_fn,
        io::{Read, Write},
        net::{SocketAddr, TcpListener},
        thread,
    };

    use actix_web::{
        HttpResponse,
        body::{BodySize, MessageBody},
        dev::Server,
        web::Bytes,
    };
    use tokio::io::AsyncReadExt;

    use super::*;
    use crate::{
        http::server::{
            HEAD_PATIENCE, build,
            tests::{Running, run},
        },
        plugin::stream_body::ON_THE_WAY,
    };

    const HEAD: &[u8] = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    const HALF: &[u8] = b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ";
    /// How late the machine may be.
    const GRACE: Duration = Duration::from_secs(4);
    /// How long an answer goes on that is a stream.
    const SECONDS: u64 = 7;

    fn hello() -> Running {
        run(|listener| build(listener, Some(1), |_| async { HttpResponse::Ok().body("hello") }))
    }

    /// A body that says something every second.
    struct Ticks(u64, Pin<Box<Sleep>>);

    impl MessageBody for Ticks {
        type Error = Infallible;

        fn size(&self) -> BodySize {
            BodySize::Stream
        }

        fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Infallible>>> {
            if self.0 == 0 {
                return Poll::Ready(None);
            }
            ready!(self.1.as_mut().poll(cx));
            self.0 -= 1;
            self.1.as_mut().reset(Instant::now() + Duration::from_secs(1));
            Poll::Ready(Some(Ok(Bytes::from_static(b"tick"))))
        }
    }

    fn ticking(listener: TcpListener) -> io::Result<Server> {
        build(listener, Some(1), |_| async {
            let ticks = Ticks(SECONDS, Box::pin(sleep_until(Instant::now())));
            HttpResponse::Ok().body(ticks)
        })
    }

    struct Client(std::net::TcpStream);

    impl Client {
        fn connect(address: SocketAddr) -> Client {
            let socket = std::net::TcpStream::connect(address).unwrap();
            socket.set_read_timeout(Some(HEAD_PATIENCE + GRACE)).unwrap();
            socket.set_nodelay(true).unwrap();
            Client(socket)
        }

        fn send(&mut self, bytes: &[u8]) -> &mut Client {
            self.0.write_all(bytes).unwrap();
            self
        }

        fn is_answered(&mut self) {
            let mut answer = Vec::new();
            while !answer.ends_with(b"hello") {
                let mut byte = [0];
                self.0.read_exact(&mut byte).expect("an answer");
                answer.push(byte[0]);
            }
            assert!(answer.starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(&answer));
        }

        /// What comes until the server hangs up.
        fn hears(&mut self) -> String {
            let mut heard = Vec::new();
            match self.0.read_to_end(&mut heard) {
                Err(error) if error.kind() != io::ErrorKind::ConnectionReset => panic!("no end: {error}"),
                _ => String::from_utf8_lossy(&heard).into_owned(),
            }
        }
    }

    #[test]
    fn half_a_head_behind_a_request_is_given_up() {
        let server = hello();
        let mut client = Client::connect(server.address);
        client.send(HEAD).is_answered();
        let begun = Instant::now();
        let heard = client.send(HALF).hears();
        assert!(heard.starts_with("HTTP/1.1 408 ") && heard.contains("x-content-type-options: nosniff\r\n"), "{heard}");
        assert!(begun.elapsed() >= HEAD_PATIENCE, "others have time to send a head: {:?}", begun.elapsed());
    }

    /// A connection on which a request was answered, and its client.
    fn answered(keep_alive: Duration) -> (Connection, Client) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = Client::connect(listener.local_addr().unwrap());
        let stream = listener.accept().unwrap().0;
        stream.set_nonblocking(true).unwrap();
        let connection = Connection::new(TcpStream::from_std(stream).unwrap(), keep_alive, keep_alive);
        connection.heads().handed_on(false);
        connection.heads().complete();
        connection.heads().answered(HttpResponse::Ok().finish());
        connection.heads().flushed();
        (connection, client)
    }

    #[actix_web::test]
    async fn whoever_asks_nothing_more_is_shown_out() {
        let keep_alive = Duration::from_secs(1);
        let (mut connection, _client) = answered(keep_alive);
        let begun = Instant::now();
        assert_eq!(connection.read_u8().await.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        let elapsed = begun.elapsed();
        assert!(elapsed >= keep_alive && elapsed < keep_alive * 3 + GRACE, "{elapsed:?}");
    }

    #[actix_web::test]
    async fn whoever_asks_again_or_waits_for_an_answer_stays() {
        let keep_alive = Duration::from_millis(500);
        for asks_again in [true, false] {
            let (mut connection, _client) = answered(keep_alive);
            let heads = connection.heads();
            let read = connection.read_u8();
            tokio::pin!(read);
            for _ in 0..10 {
                heads.handed_on(false);
                heads.complete();
                if asks_again {
                    heads.clone().answered(HttpResponse::Ok().finish());
                    heads.flushed();
                }
                let wait = tokio::time::timeout(Duration::from_millis(200), &mut read).await;
                assert!(wait.is_err(), "asks again: {asks_again}");
            }
        }
    }

    #[test]
    fn a_byte_now_and_then_is_no_head_either() {
        let server = hello();
        let mut client = Client::connect(server.address);
        client.send(HEAD).is_answered();
        let mut dripping = Client(client.0.try_clone().unwrap());
        let drops = thread::spawn(move || {
            // The server hangs up meanwhile.
            while dripping.0.write_all(b"x").is_ok() {
                thread::sleep(Duration::from_millis(300));
            }
        });
        let heard = client.send(HALF).hears();
        assert!(heard.is_empty() || heard.starts_with("HTTP/1.1 408 "), "{heard}");
        drops.join().unwrap();
    }

    #[test]
    fn whoever_is_silent_between_requests_or_sends_a_head_in_pieces_is_served() {
        let server = hello();
        let mut client = Client::connect(server.address);
        client.send(HEAD).is_answered();
        for _ in 0..2 {
            thread::sleep(HEAD_PATIENCE + Duration::from_secs(1));
            client.send(&HEAD[..9]);
            thread::sleep(Duration::from_millis(500));
            client.send(&HEAD[9..]).is_answered();
        }
        client.send(&[HEAD, HEAD, HEAD].concat());
        (0..3).for_each(|_| client.is_answered());
    }

    /// A server whose `/slow` takes its time, whose `/long` has a long head, and whose bodies all end as a refusal does.
    fn refusing() -> Running {
        run(|listener| {
            build(listener, Some(1), |request| async move {
                if request.path() == "/slow" {
                    tokio::time::sleep(Duration::from_millis(300)).await;
                }
                let field = "y".repeat(if request.path() == "/long" { 2 * ON_THE_WAY } else { 1 });
                HttpResponse::Ok().insert_header(("X-Field", field)).body(REFUSAL)
            })
        })
    }

    const REFUSAL: &str = "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\ndate: Thu, 26 Nov 2026 09:00:00 GMT\r\n\r\n";

    /// What is heard of all that is sent at once: the head and the body of each answer.
    fn answers(server: &Running, sent: &str) -> Vec<(String, String)> {
        let heard = Client::connect(server.address).send(sent.as_bytes()).hears();
        let mut answers = Vec::new();
        let mut rest = heard.as_str();
        for request in sent.split("\r\n\r\n").filter(|request| !request.is_empty()) {
            let (head, behind) = rest.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{rest:?} to {request}"));
            let length = head.split_once("content-length: ").expect("a length").1;
            let length: usize = length.split("\r\n").next().unwrap().parse().unwrap();
            let (body, behind) = behind.split_at(if request.starts_with("HEAD ") { 0 } else { length });
            answers.push((head.to_owned(), body.to_owned()));
            rest = behind;
        }
        assert_eq!(rest, "");
        answers
    }

    /// A request, and the last one of its connection.
    fn requests(methods: [&str; 2], path: &str) -> String {
        let [first, last] = methods;
        format!("{first} {path} HTTP/1.1\r\nHost: x\r\n\r\n{last} / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    }

    #[test]
    fn each_request_is_answered_as_it_asks_whatever_is_sent_ahead() {
        let server = refusing();
        for path in ["/", "/slow", "/long"] {
            for methods in [["GET", "GET"], ["GET", "HEAD"], ["HEAD", "GET"], ["HEAD", "HEAD"]] {
                let answers = answers(&server, &requests(methods, path));
                for ((head, body), method) in answers.iter().zip(methods) {
                    assert!(head.starts_with("HTTP/1.1 200 "), "{methods:?} {path}: {head}");
                    assert_eq!(body, if method == "GET" { REFUSAL } else { "" }, "{methods:?} {path}");
                }
                let closes = [&answers[0], &answers[1]].map(|(head, _)| head.contains("connection: close"));
                assert_eq!(closes, [false, true], "{methods:?} {path}");
            }
        }
    }

    #[test]
    fn a_body_stays_as_it_is_behind_a_long_head() {
        let sent = "GET /long HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        assert_eq!(answers(&refusing(), sent)[0].1, REFUSAL);
    }

    #[test]
    fn an_older_version_is_answered_in_its_own() {
        let sent = requests(["GET", "GET"], "/slow").replacen("1.1\r\n", "1.0\r\nConnection: keep-alive\r\n", 1);
        let answers = answers(&refusing(), &sent);
        let versions = [&answers[0], &answers[1]].map(|(head, _)| head[..8].to_owned());
        assert_eq!(versions, ["HTTP/1.0", "HTTP/1.1"]);
        let old = "GET / HTTP/1.0\r\n\r\n";
        let heard = Client::connect(refusing().address).send(&[old.as_bytes(), HEAD].concat()).hears();
        assert_eq!(heard.matches("200 OK").count(), 1, "{heard}");
    }

    /// actix would say that it goes over to another protocol.
    #[test]
    fn who_wants_another_protocol_is_answered_by_http_and_told_that_this_is_all() {
        let server = refusing();
        for field in ["Connection: Upgrade, x", "Connection: keep-alive, upgrade", "Upgrade: websocket"] {
            for method in ["GET", "HEAD", "POST"] {
                let sent = format!("{method} / HTTP/1.1\r\nHost: x\r\n{field}\r\n\r\n");
                let behind = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
                let heard = Client::connect(server.address).send((sent + behind).as_bytes()).hears().to_lowercase();
                assert_eq!(heard.matches("http/1.1 200 ").count(), 1, "{method} {field}: {heard}");
                assert!(heard.contains("connection: close\r\n"), "{method} {field}: {heard}");
                assert!(!heard.contains("upgrade"), "{method} {field}: {heard}");
            }
        }
    }

    #[test]
    fn hundreds_that_are_sent_ahead_are_answered_in_order_however_they_come() {
        let server = run(|listener| {
            build(listener, Some(1), |request| async move { HttpResponse::Ok().body(request.path().to_owned()) })
        });
        let mut sent = (0..900).map(|number| format!("GET /{number} HTTP/1.1\r\nHost: x\r\n\r\n")).collect::<String>();
        sent += "GET /last HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        for piece in [sent.len(), 7777, 61, 5] {
            let mut client = Client::connect(server.address);
            let mut sending = Client(client.0.try_clone().unwrap());
            let pieces = sent.clone();
            let sender = thread::spawn(move || {
                for piece in pieces.as_bytes().chunks(piece) {
                    sending.send(piece);
                }
            });
            let heard = client.hears();
            sender.join().unwrap();
            let bodies: Vec<_> = heard.split('/').filter_map(|part| part.strip_suffix("HTTP")).collect();
            assert_eq!(bodies.len(), 901, "in pieces of {piece}: {heard}");
            assert!(bodies[1..].iter().enumerate().all(|(number, body)| *body == number.to_string()), "{bodies:?}");
            assert!(heard.ends_with("/last"));
        }
    }

    #[test]
    fn whoever_sends_ahead_and_says_that_this_is_all_is_answered() {
        let server = hello();
        let mut client = Client::connect(server.address);
        client.send(&HEAD.repeat(20)).0.shutdown(std::net::Shutdown::Write).unwrap();
        assert_eq!(client.hears().matches("hello").count(), 20);
    }

    #[test]
    fn whoever_is_gone_while_an_answer_is_under_way_is_noticed() {
        for ahead in [&b""[..], HEAD] {
            let server = run(ticking);
            let mut client = Client::connect(server.address);
            let begun = Instant::now();
            client.send(&[HEAD, ahead].concat()).0.shutdown(std::net::Shutdown::Write).unwrap();
            let heard = client.hears();
            assert!(begun.elapsed() < Duration::from_secs(SECONDS - 1), "{:?}: {heard}", begun.elapsed());
        }
    }

    #[actix_web::test]
    async fn what_is_written_in_place_of_a_refusal_is_written_whole() {
        let (mut near, mut far) = tokio::io::duplex(7);
        let mut left = refusal::mended(REFUSAL.as_bytes()).unwrap();
        let expected = left.clone();
        let mut heard = vec![0; expected.len()];
        let written = poll_fn(|cx| poll_write_all(&mut near, cx, &mut left));
        let (written, read) = tokio::join!(written, far.read_exact(&mut heard));
        written.unwrap();
        read.unwrap();
        assert_eq!(String::from_utf8(heard), String::from_utf8(expected));
    }

    #[test]
    fn a_stream_is_not_cut_for_what_is_sent_ahead_and_then_the_limit_holds() {
        let server = run(ticking);
        let mut client = Client::connect(server.address);
        client.send(HEAD);
        thread::sleep(Duration::from_millis(500));
        client.send(HALF);
        let mut heard = Vec::new();
        while !heard.ends_with(b"\r\n0\r\n\r\n") {
            let mut byte = [0];
            client.0.read_exact(&mut byte).expect("the whole stream");
            heard.push(byte[0]);
        }
        assert_eq!(String::from_utf8(heard).unwrap().matches("tick").count() as u64, SECONDS);
        let late = client.send(b"y").hears();
        assert!(late.starts_with("HTTP/1.1 408 "), "{late}");
    }
}
