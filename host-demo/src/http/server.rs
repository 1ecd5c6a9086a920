//! What both listeners have in common: an actix server around one function, with limits on time.
//!
//! The function stands directly upon actix-http, which actix-web is made of: plugins' routes are looked up in a table of this host's own, and
//! what actix-web does for one of its applications at every request, only to find that it has no route, took some 3 % of an answer's processor time.
//!
//! A client has [`HEAD_PATIENCE`] to send the head of a request, the first from the beginning of its [`Connection`], so that one that never sends a
//! byte is gone soon. One that does not take what it is sent, or is gone without a word, is the
//! kernel's to find (tcp(7), `TCP_USER_TIMEOUT` and `TCP_KEEPIDLE`): actix has no limit for that. A head may have
//! [`LONGEST`](super::framing::LONGEST) bytes; that it may have 96 fields is actix's limit.

use std::{
    convert::Infallible,
    future::{pending, poll_fn},
    io,
    net::TcpListener,
    rc::Rc,
    time::Duration,
};

use actix_http::{Extensions, HttpService, KeepAlive, Protocol, Request, Response};
use actix_server::{GracefulShutdownSignal, ServerBuilder};
use actix_service::{ServiceFactoryExt, fn_service};
use actix_web::{HttpResponse, dev::Server, rt::net::TcpStream};
use rustix::net::sockopt;
use tokio::sync::watch;

use super::{connection::Connection, heads::Heads, resting::Resting};
use crate::plugin::stream_body::ON_THE_WAY;

/// How long a client may take to send the head of a request; then it gets 408.
pub const HEAD_PATIENCE: Duration = Duration::from_secs(5);
/// How long a connection stays open between two requests; it may be a fifth longer.
pub const KEEP_ALIVE: Duration = Duration::from_secs(75);
/// How long a client may leave untaken what it was sent.
pub const WRITE_PATIENCE: Duration = Duration::from_secs(10);
/// How long a connection may be silent before the kernel asks whether the client is still there.
pub const SILENCE: Duration = Duration::from_secs(60);
/// How long requests may go on after the server was told to stop.
pub const END_PATIENCE: Duration = Duration::from_secs(5);
/// How long a client may take to close its side.
const CLOSE_PATIENCE: Duration = Duration::from_secs(2);

/// The address of a connection's client, as text.
pub struct Peer(pub String);

/// A server that passes every request to `serve`. Without a number of workers there is one for each processor.
///
/// # Errors
/// The listener can't be used.
pub fn build<F, A>(listener: TcpListener, workers: Option<usize>, serve: F) -> io::Result<Server>
where
    F: Fn(Request) -> A + Clone + Send + 'static,
    A: Future<Output = HttpResponse> + 'static,
{
    limit(&listener)?;
    let mut server = ServerBuilder::default().disable_signals().shutdown_timeout(END_PATIENCE.as_secs());
    if let Some(workers) = workers {
        server = server.workers(workers);
    }
    let ending = Ending::after(server.graceful_shutdown_signal());
    let connections = move || {
        let (ending, serve) = (ending.clone(), serve.clone());
        let answer = fn_service(move |request: Request| {
            let heads = request.conn_data::<Rc<Heads>>().cloned().unwrap_or_default();
            heads.complete();
            // Each connection has room for this four times over, and a stream outlives it.
            let response = Box::pin(serve(request));
            async move { Ok::<_, Infallible>(Response::from(heads.answered(response.await))) }
        });
        let http = HttpService::<Connection, _, _>::build()
            // The connection has these limits, for each request.
            .client_request_timeout(Duration::ZERO)
            .client_disconnect_timeout(CLOSE_PATIENCE)
            .keep_alive(KeepAlive::Os)
            .h1_write_buffer_size(ON_THE_WAY)
            // A client that is gone is noticed at once, not when a stream has its next chunk.
            .h1_allow_half_closed(false)
            .graceful_shutdown_signal(move || ending.told())
            .on_connect_ext(connected)
            .finish(answer);
        fn_service(|stream: TcpStream| async {
            let peer = stream.peer_addr().ok();
            Ok((Connection::new(stream, HEAD_PATIENCE, KEEP_ALIVE), Protocol::Http1, peer))
        })
        .and_then(http)
    };
    Ok(server.listen("http", listener, connections)?.run())
}

/// The end of a server, of which each of its connections is told.
#[derive(Clone)]
struct Ending(watch::Receiver<()>);

impl Ending {
    /// The one that `signal` tells of.
    fn after(signal: GracefulShutdownSignal) -> Ending {
        let (told, ending) = watch::channel(());
        tokio::spawn(async move {
            signal.notified().await;
            told.send_replace(());
        });
        Ending(ending)
    }

    /// Ready when the server ends.
    fn told(&self) -> impl Future<Output = ()> + use<> {
        let (seen, mut waiting) = (self.0.clone(), self.0.clone());
        let mut told = Resting::new(async move {
            if waiting.changed().await.is_err() {
                pending::<()>().await;
            }
        });
        // There is a change before anybody is told.
        poll_fn(move |cx| told.poll(cx, |_| seen.has_changed().unwrap_or(true)))
    }
}

/// Sets the kernel's limits, which connections inherit from their listener.
fn limit(listener: &TcpListener) -> io::Result<()> {
    sockopt::set_tcp_user_timeout(listener, WRITE_PATIENCE.as_millis() as u32)?;
    sockopt::set_socket_keepalive(listener, true)?;
    sockopt::set_tcp_keepidle(listener, SILENCE)?;
    sockopt::set_tcp_keepintvl(listener, WRITE_PATIENCE)?;
    Ok(())
}

/// Learns about a new connection what would else be asked for at each request.
fn connected(connection: &Connection, data: &mut Extensions) {
    // A client that is gone already has no address any more.
    if let Ok(address) = connection.stream().peer_addr() {
        data.insert(Peer(address.ip().to_canonical().to_string()));
    }
    data.insert(connection.heads());
}

#[cfg(test)]
pub mod tests {
    use std::{
        io::{Read, Write},
        net::{SocketAddr, TcpStream},
        pin::Pin,
        sync::mpsc,
        task::{Context, Poll},
        time::Instant,
    };

    use actix_web::{
        body::{BodySize, MessageBody},
        dev::ServerHandle,
    };
    use bytes::Bytes;

    use super::*;

    /// A running server of a test, stopped when it is dropped.
    pub struct Running {
        /// Where it listens.
        pub address: SocketAddr,
        handle: ServerHandle,
    }

    impl Drop for Running {
        fn drop(&mut self) {
            // The future only waits for what the message has set off.
            drop(self.handle.stop(false));
        }
    }

    /// Runs a server on a thread of its own.
    pub fn run(build: impl FnOnce(TcpListener) -> io::Result<Server> + Send + 'static) -> Running {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (started, handle) = mpsc::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let server = build(listener).unwrap();
                started.send(server.handle()).unwrap();
                server.await.unwrap();
            });
        });
        Running { address, handle: handle.recv().unwrap() }
    }

    /// Sends these bytes and reads to the end of the connection.
    pub fn exchange(address: SocketAddr, request: impl AsRef<[u8]>) -> String {
        let mut socket = TcpStream::connect(address).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(15))).unwrap();
        // The server may refuse before it has read everything.
        let _ = socket.write_all(request.as_ref());
        let mut answer = Vec::new();
        match socket.read_to_end(&mut answer) {
            Err(error) if error.kind() != io::ErrorKind::ConnectionReset => panic!("no end of the answer: {error}"),
            _ => String::from_utf8_lossy(&answer).into_owned(),
        }
    }

    /// GET with these header lines, each ended by CRLF, on a connection that is closed afterwards.
    pub fn get(address: SocketAddr, target: &str, fields: &str) -> String {
        exchange(address, format!("GET {target} HTTP/1.1\r\nConnection: close\r\n{fields}\r\n"))
    }

    fn hello(listener: TcpListener) -> io::Result<Server> {
        build(listener, Some(1), |request| async move {
            let peer = request.conn_data::<Peer>().map(|peer| peer.0.clone()).unwrap_or_default();
            HttpResponse::Ok().body(peer)
        })
    }

    /// Rows H20 and H21.
    #[test]
    fn a_client_that_never_sends_a_head_is_shown_out() {
        let server = run(hello);
        let started = Instant::now();
        let clients: Vec<_> = ["", "GET / HTTP/1.1\r\nHost: x\r\nX-Slow: "]
            .into_iter()
            .map(|sent| std::thread::spawn(move || exchange(server.address, sent)))
            .collect();
        for client in clients {
            let answer = client.join().unwrap();
            assert!(
                answer.starts_with("HTTP/1.1 408 ") && answer.contains("x-content-type-options: nosniff"),
                "{answer}"
            );
        }
        assert!(started.elapsed() < Duration::from_secs(10), "closed after {:?}", started.elapsed());
        assert!(started.elapsed() >= HEAD_PATIENCE - Duration::from_secs(1), "others have time to send a head");
    }

    /// A body without end, which tells when it is dropped.
    struct Endless(mpsc::Sender<()>);

    impl MessageBody for Endless {
        type Error = Infallible;

        fn size(&self) -> BodySize {
            BodySize::Stream
        }

        fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Bytes, Infallible>>> {
            Poll::Ready(Some(Ok(Bytes::from_static(&[b'x'; 4096]))))
        }
    }

    impl Drop for Endless {
        fn drop(&mut self) {
            self.0.send(()).unwrap();
        }
    }

    /// Row H20, "write stall".
    #[test]
    fn a_client_that_takes_nothing_is_cut() {
        let (dropped, is_dropped) = mpsc::channel();
        let server = run(move |listener| {
            build(listener, Some(1), move |_| {
                let body = Endless(dropped.clone());
                async move { HttpResponse::Ok().body(body) }
            })
        });
        let mut client = TcpStream::connect(server.address).unwrap();
        client.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        is_dropped.recv_timeout(WRITE_PATIENCE * 3).expect("the stalled connection is cut");
    }

    #[test]
    fn the_client_s_address_is_known() {
        let server = run(hello);
        assert!(get(server.address, "/", "Host: x\r\n").ends_with("\r\n\r\n127.0.0.1"));
    }
}
