//! A client's connection, on which each request has a limit of time for its head (RFC 9112 section 9.5, RFC 9110 section 15.5.9).
//!
//! actix can limit the head of the first request only. After that half a head would hold a connection for as long as the client likes: its
//! first bytes end the limit on silence, and nothing else begins. So the stream beneath actix looks at the clock itself: from its
//! beginning, and from the first byte that comes between two requests, until the next request is there.
//!
//! What comes before an answer is complete belongs to no head that must be finished: a body, or requests that are sent ahead. The rest
//! of one that was sent ahead in part has to come within the limit on silence.
//!
//! It keeps the limit on silence as well: actix would set a timer anew for each answer.
//!
//! Each head is looked at as it comes, too ([`Framing`]).

use std::{
    cell::Cell,
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
    time::Duration,
};

use actix_web::{
    HttpResponse,
    body::{BodySize, BoxBody, MessageBody},
    rt::net::TcpStream,
    web::Bytes,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep_until},
};

use super::{framing::Framing, refusal, resting::Resting};

/// How often it is looked, in the time that a client may be silent, whether it was. So it may take a fifth longer until it is noticed.
const LOOKS: u32 = 5;

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
    /// For the next look at how long the client takes.
    timer: Resting<Sleep>,
    /// How many looks in a row have found that nothing has happened since the one before.
    silence: u32,
    /// The client does not take what it was sent.
    is_stuck: bool,
}

/// What is known of the requests on a connection: told by who answers them, and by the stream.
#[derive(Default)]
pub struct Heads {
    /// Whether the last request was answered, and none has come since.
    between: Cell<bool>,
    /// When the first byte of the next head came, or the connection, for the first.
    begun: Cell<Option<Instant>>,
    /// How many bytes the body of the last answer has, until all of it is written.
    unwritten: Cell<u64>,
    /// Whether anything has happened since the last look.
    is_used: Cell<bool>,
}

/// Why a connection ends.
enum Over {
    /// A head takes too long.
    Head,
    /// The next request does.
    Silence,
}

impl Heads {
    /// A request is there.
    pub fn complete(&self) {
        self.is_used.set(true);
        self.between.set(false);
        self.begun.set(None);
    }

    /// It has its answer; a stream, when that has ended.
    pub fn answered(self: Rc<Self>, response: HttpResponse) -> HttpResponse {
        let size = response.body().size();
        self.unwritten.set(match size {
            BodySize::None => 0,
            BodySize::Sized(size) => size,
            BodySize::Stream => u64::MAX,
        });
        if size == BodySize::Stream {
            response.map_body(|_, body| BoxBody::new(Streamed { body, _end: End(self) }))
        } else {
            drop(End(self));
            response
        }
    }

    /// Bytes came that end no head.
    fn heard(&self) {
        if self.between.get() && self.begun.get().is_none() {
            self.begun.set(Some(Instant::now()));
        }
    }

    /// Whether what stands behind these bytes and looks like an answer of actix's own is one, and no end of a body of ours: the last one is shorter
    /// than that, or ends with these bytes.
    fn is_behind_body(&self, bytes: &[u8]) -> bool {
        let body = self.unwritten.get();
        let head = || bytes.get(..bytes.len().checked_sub(usize::try_from(body).ok()?)?);
        body < refusal::SHORTEST || head().is_some_and(|head| head.ends_with(b"\r\n\r\n"))
    }

    /// Whether everything that was asked is answered, and nothing has happened since this was asked before.
    fn is_silent(&self) -> bool {
        !self.is_used.replace(false) && self.between.get() && self.unwritten.get() == 0
    }

    /// All of the answers is written so far.
    fn written(&self) {
        self.is_used.set(true);
        if self.between.get() {
            self.unwritten.set(0);
        }
    }
}

/// The end of an answer.
struct End(Rc<Heads>);

impl Drop for End {
    fn drop(&mut self) {
        self.0.between.set(true);
    }
}

/// The body of an answer that is a stream.
struct Streamed {
    body: BoxBody,
    _end: End,
}

impl MessageBody for Streamed {
    type Error = <BoxBody as MessageBody>::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        Pin::new(&mut self.body).poll_next(cx)
    }
}

impl Connection {
    /// A connection whose heads may take as long as `patience`, the first from now on, and which is kept for as long as `keep_alive` between two
    /// requests, or a little longer.
    pub fn new(stream: TcpStream, patience: Duration, keep_alive: Duration) -> Connection {
        let now = Instant::now();
        let heads = Rc::new(Heads { begun: Cell::new(Some(now)), ..Heads::default() });
        let (framing, timer) = (Framing::default(), Resting::new(sleep_until(now + patience)));
        Connection { stream, patience, keep_alive, heads, framing, timer, silence: 0, is_stuck: false }
    }

    /// Beneath.
    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Its requests.
    pub fn heads(&self) -> Rc<Heads> {
        self.heads.clone()
    }

    /// Takes what the client sent. Answers how much of it is to be handed on. Most heads come whole, and are requests in a moment: for these nobody looks at
    /// the clock.
    fn hear(&mut self, bytes: &mut [u8]) -> usize {
        let taken = self.framing.take(bytes);
        if taken > 0 && !self.framing.has_head() {
            self.heads.heard();
        }
        taken
    }

    /// Writes the last answer of the connection, behind others, in place of so many bytes. What of it the client does not take at once is lost, as the
    /// connection is.
    fn poll_write_last(
        &mut self,
        cx: &mut Context<'_>,
        before: &[u8],
        last: &[u8],
        count: usize,
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write(cx, &[before, last].concat()))?;
        Poll::Ready(Ok(if written > before.len() { count } else { written }))
    }

    /// Ready when the client has taken too long. The timer is set for many requests: most heads are complete before anybody looks.
    fn poll_over(&mut self, cx: &mut Context<'_>) -> Poll<Over> {
        loop {
            let limit = self.heads.begun.get().map(|begun| begun + self.patience);
            if let Some(limit) = limit.filter(|limit| *limit < self.timer.get().deadline()) {
                self.look_at(limit);
            }
            ready!(self.timer.poll(cx, Sleep::is_elapsed));
            let now = Instant::now();
            match limit {
                Some(limit) if now < limit => self.look_at(limit),
                // Part of an answer would be taken for another. The kernel has a limit for such clients.
                Some(_) if self.is_stuck => self.heads.begun.set(Some(now)),
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

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        while let Poll::Ready(read) = Pin::new(&mut self.stream).poll_read(cx, buffer) {
            let sent = buffer.filled().len() - before;
            let taken = self.hear(&mut buffer.filled_mut()[before..]);
            buffer.set_filled(before + taken);
            // Nothing would mean that the client is gone.
            if taken > 0 || sent == 0 {
                return Poll::Ready(read);
            }
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
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let refusal = refusal::split_off(bytes).filter(|(before, _)| self.heads.is_behind_body(before));
        let written = match refusal {
            None => Pin::new(&mut self.stream).poll_write(cx, bytes),
            Some((before, refusal)) => self.poll_write_last(cx, before, &refusal, bytes.len()),
        };
        self.is_stuck = written.is_pending();
        if matches!(written, Poll::Ready(Ok(count)) if count == bytes.len()) {
            self.heads.written();
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
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
        io::{Read, Write},
        net::{SocketAddr, TcpListener},
        thread,
    };

    use actix_web::dev::Server;
    use tokio::io::AsyncReadExt;

    use super::*;
    use crate::http::server::{
        HEAD_PATIENCE, build,
        tests::{Running, run},
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
        connection.heads().complete();
        connection.heads().answered(HttpResponse::Ok().finish());
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
                heads.complete();
                if asks_again {
                    heads.clone().answered(HttpResponse::Ok().finish());
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
