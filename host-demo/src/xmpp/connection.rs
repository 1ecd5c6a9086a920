//! A client's connection from its first byte to its last: TLS, authentication, binding, session.
//!
//! The order is kept by types: only a stream over TLS is authenticated, only a user that was authenticated binds, and
//! only what was bound is a session.

use std::{net::IpAddr, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use jid::DomainPart;
use rustix::net::sockopt;
use tokio::{
    net::TcpStream,
    time::{Instant, timeout_at},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use super::{
    bind::{self, Bound},
    hub::Hub,
    management::{self, Detached},
    sasl::Authenticator,
    session, starttls,
    stream::{End, Shutdown, Stream},
    tls,
};

/// How long a client has for all that comes before the session, unless a test is in a hurry.
pub const NEGOTIATION: Duration = Duration::from_secs(30);
/// The type of a TLS record that begins a handshake (RFC 8446 section 5.1); no XML begins with it.
const TLS_HANDSHAKE: u8 = 0x16;

/// What all connections share.
pub struct Server {
    /// The domain served.
    pub domain: DomainPart,
    /// Where sessions live.
    pub hub: Arc<Hub>,
    /// Who users are.
    pub authenticator: Arc<Authenticator>,
    /// How TLS is spoken with those who come now.
    pub tls: ArcSwap<TlsAcceptor>,
    /// How long a client has for all that comes before the session.
    pub patience: Duration,
    /// The sessions whose clients may come back for them.
    pub detached: Detached,
}

/// Serves one connection to its end.
pub async fn serve(socket: TcpStream, address: IpAddr, server: Arc<Server>, shutdown: Shutdown) {
    if let Err(error) = configure(&socket) {
        log::debug!("can't configure the connection from {address}: {error}");
    }
    let deadline = Instant::now() + server.patience;
    let Some(socket) = secure(socket, &server, deadline, &shutdown).await else { return };
    // Boxed each: a connection that waits for TLS must not pay for the memory of a session, nor the other way round.
    let handshake = Box::pin(server.tls.load().accept(socket));
    let encrypted = tokio::select! {
        encrypted = timeout_at(deadline, handshake) => encrypted,
        () = is_down(shutdown.clone()) => return,
    };
    match encrypted {
        Ok(Ok(socket)) => {
            // Boxed as well: a future keeps room for each place that a value was moved from.
            let stream = Box::new(Stream::new(socket, &server.domain, deadline, shutdown.clone()));
            // Nothing of the stream is kept while a session waits for its client.
            if let Some(bound) = Box::pin(converse(stream, address, &server)).await {
                Box::pin(management::hibernate(bound, shutdown)).await;
            }
        }
        Ok(Err(error)) => log::debug!("no TLS with {address}: {error}"),
        Err(_) => log::debug!("no TLS with {address} in time"),
    }
}

/// The socket, at the point at which the client's next byte is one of TLS: at once, or after STARTTLS.
async fn secure(socket: TcpStream, server: &Server, deadline: Instant, shutdown: &Shutdown) -> Option<TcpStream> {
    let mut first = [0];
    let peeked = tokio::select! {
        peeked = timeout_at(deadline, socket.peek(&mut first)) => peeked,
        () = is_down(shutdown.clone()) => Ok(Ok(0)),
    };
    if matches!(peeked, Ok(Ok(1))) && first == [TLS_HANDSHAKE] {
        return Some(socket);
    }
    let mut stream = Box::new(Stream::new(socket, &server.domain, deadline, shutdown.clone()));
    match starttls::negotiate(&mut stream).await {
        Ok(()) => Some(stream.into_transport()),
        Err(end) => {
            stream.end(end).await;
            None
        }
    }
}

pub(super) async fn is_down(mut shutdown: Shutdown) {
    // An error means that the listener is gone, which comes to the same.
    let _ = shutdown.wait_for(|down| *down).await;
}

/// All that is said inside of TLS. Returns the session, if it outlives the stream.
async fn converse(mut stream: Box<Stream<TlsStream<TcpStream>>>, address: IpAddr, server: &Server) -> Option<Bound> {
    let (end, left) = match negotiate(&mut stream, address, server).await {
        Ok(bound) => {
            let jid = bound.session.jid().clone();
            log::debug!("{jid} is connected from {address}");
            let (end, left) = session::run(&mut stream, bound, &server.detached).await;
            log::debug!("{jid} is gone: {end:?}{}", if left.is_some() { ", and may come back" } else { "" });
            (end, left)
        }
        Err(end) => {
            log::debug!("no session for {address}: {end:?}");
            (end, None)
        }
    };
    stream.end(end).await;
    left
}

async fn negotiate(stream: &mut Stream<TlsStream<TcpStream>>, address: IpAddr, server: &Server) -> Result<Bound, End> {
    let exporter = tls::exporter(stream.transport().get_ref().1);
    let identity = server.authenticator.authenticate(stream, address, exporter.as_ref().map(|data| &data[..])).await?;
    stream.restart();
    let bound = bind::bind(stream, &server.hub, &identity, &server.detached).await?;
    stream.negotiated();
    Ok(bound)
}

/// Small stanzas go out at once; a peer whose network is cut is found within 150 seconds, whether we send or not.
pub(super) fn configure(socket: &TcpStream) -> rustix::io::Result<()> {
    sockopt::set_tcp_nodelay(socket, true)?;
    sockopt::set_socket_keepalive(socket, true)?;
    sockopt::set_tcp_keepidle(socket, Duration::from_secs(60))?;
    sockopt::set_tcp_keepintvl(socket, Duration::from_secs(20))?;
    sockopt::set_tcp_keepcnt(socket, 3)?;
    sockopt::set_tcp_user_timeout(socket, 120_000)
}
