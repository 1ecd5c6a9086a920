//! Streams of components (XEP-0114): programs that answer for a domain of their own, each let in by a secret that it shares with the server.
//!
//! # Layout
//! A connection says for which domain it is and proves in its [`handshake`] that it may be ([`secret`]); from then on it is a
//! [`ComponentSession`] of the hub, and what the hub has for it is written to its stream. The
//! XEP knows no TLS: the listener is for programs on the same machine.

mod handshake;
mod secret;

use std::{convert::Infallible, net::IpAddr, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use tokio::{net::TcpStream, task::yield_now, time::Instant};

pub use self::secret::{Secret, Secrets};
use super::{
    connection::configure,
    error::StreamError,
    hub::{Hub, components::ComponentSession},
    outbox::{Next, Outgoing},
    stream::{End, Shutdown, Stream, Transport},
    xml::Event,
};

/// What all connections of components share.
pub struct Server {
    /// Where sessions live.
    pub hub: Arc<Hub>,
    /// Who is let in from now on.
    pub secrets: ArcSwap<Secrets>,
    /// How long a component has for its handshake.
    pub patience: Duration,
}

impl Server {
    /// Lets in by other secrets from now on. Who is there by a secret that does not hold any more is shown out.
    pub fn renew(&self, secrets: &Secrets) {
        let former = self.secrets.swap(Arc::new(secrets.clone()));
        for (domain, secret) in former.iter() {
            match secrets.get(domain) {
                Some(now) if now == secret => {}
                Some(_) => self.hub.close_component(domain, StreamError::NotAuthorized),
                None => self.hub.close_component(domain, StreamError::HostGone),
            }
        }
    }
}

/// A component that was let in.
struct Connected {
    session: ComponentSession,
    outgoing: Outgoing,
}

/// Serves one connection to its end.
pub async fn serve(socket: TcpStream, address: IpAddr, server: Arc<Server>, shutdown: Shutdown) {
    if let Err(error) = configure(&socket) {
        log::debug!("can't configure the connection from {address}: {error}");
    }
    let deadline = Instant::now() + server.patience;
    let mut stream = Box::new(Stream::of_component(socket, deadline, shutdown));
    let Err(end) = converse(&mut stream, &server).await;
    stream.end(end).await;
}

/// When this returns, nobody answers for the domain any more.
async fn converse<T: Transport>(stream: &mut Stream<T>, server: &Server) -> Result<Infallible, End> {
    let mut connected = handshake::let_in(stream, server).await?;
    let domain = connected.session.domain().to_owned();
    log::info!("component {domain} is connected");
    let end = exchange(stream, &mut connected).await;
    log::info!("component {domain} is gone: {end:?}");
    end
}

async fn exchange<T: Transport>(stream: &mut Stream<T>, connected: &mut Connected) -> Result<Infallible, End> {
    loop {
        tokio::select! {
            next = connected.outgoing.next() => match next {
                Next::Write(stanzas) => {
                    let outgoing = &connected.outgoing;
                    stream.write_all(&stanzas, |pieces| outgoing.written(pieces)).await?;
                },
                Next::Close(None) => return Err(End::Closed),
                Next::Close(Some(error)) => return Err(error.into()),
                // Nothing waits for a component.
                Next::HandOut => {}
            },
            event = stream.next() => match event? {
                Event::Stanza(stanza) => {
                    connected.session.receive(stanza).await?;
                    // As for a client: whoever was just written to comes first.
                    yield_now().await;
                }
                Event::End => return Err(End::Closed),
                Event::Header(_) => return Err(StreamError::BadFormat.into()),
            },
        }
    }
}
