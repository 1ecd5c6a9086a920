//! One XML stream (RFC 6120 section 4) over whatever carries its bytes: opening, reading, writing, and the end.

use std::{
    future::poll_fn,
    io,
    mem::{self, MaybeUninit},
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use jid::{BareJid, DomainPart, DomainRef};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf},
    sync::watch,
    time::{Instant, sleep_until, timeout, timeout_at},
};

use super::{
    allowance::Allowance,
    error::StreamError,
    random,
    xml::{CLIENT, COMPONENT, Event, Header, Limits, Reader, STREAMS, escape},
};
use crate::address;

/// The most bytes read at once. They pass through the stack, so that an idle stream holds no buffer.
const CHUNK: usize = 4096;
/// Stanzas that wait together are written together, up to about this size.
const BATCH: usize = 16 << 10;
/// How long a write may take until the peer counts as gone.
const WRITE_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a peer may take to close its side once ours is closed.
const FAREWELL: Duration = Duration::from_secs(2);

/// How much of what was on its way meanwhile is taken and dropped. Whoever goes on sending may not hear the reason.
const LEFTOVERS: usize = 256 << 10;

/// Anything that carries a stream: TCP, or TLS over it.
pub trait Transport: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Transport for T {}

/// Becomes `true` when the server goes down.
pub type Shutdown = watch::Receiver<bool>;

/// Why a stream ends.
#[derive(Debug)]
pub enum End {
    /// Somebody broke a rule or a limit, or the server goes down: the peer is told.
    Error(StreamError),
    /// The peer closed its stream, or the server its session, in order.
    Closed,
    /// The connection is gone or unusable: nobody can be told.
    Lost,
}

impl From<StreamError> for End {
    fn from(error: StreamError) -> End {
        End::Error(error)
    }
}

impl From<io::Error> for End {
    fn from(_: io::Error) -> End {
        End::Lost
    }
}

/// A stream on the server's side.
pub struct Stream<T> {
    transport: T,
    reader: Reader,
    /// The domain of our side; for a component its own, once that is known.
    domain: Box<str>,
    is_component: bool,
    /// Whether our header went out on the stream as it is now.
    opened: bool,
    /// When the negotiation has to be over.
    deadline: Option<Instant>,
    /// `None`: it may send as fast as it can.
    allowance: Option<Allowance>,
    shutdown: Shutdown,
}

impl<T: Transport> Stream<T> {
    /// A stream of `domain` that was not opened yet, with the limits of a stranger.
    pub fn new(transport: T, domain: &DomainRef, deadline: Instant, shutdown: Shutdown) -> Stream<T> {
        Stream {
            transport,
            reader: Reader::new(Limits::LOGIN),
            domain: domain.as_str().into(),
            is_component: false,
            opened: false,
            deadline: Some(deadline),
            allowance: Some(Allowance::new(Instant::now())),
            shutdown,
        }
    }

    /// The stream of a component that has said nothing yet, with the limits of a stranger.
    pub fn of_component(transport: T, deadline: Instant, shutdown: Shutdown) -> Stream<T> {
        Stream {
            transport,
            reader: Reader::of_component(Limits::LOGIN),
            domain: "".into(),
            is_component: true,
            opened: false,
            deadline: Some(deadline),
            allowance: Some(Allowance::new(Instant::now())),
            shutdown,
        }
    }

    /// Both sides start again with a new header (RFC 6120 section 4.3.3).
    pub fn restart(&mut self) {
        self.reader.restart();
        self.opened = false;
    }

    /// The negotiation is over: no deadline any more, and the limits of a user.
    pub fn negotiated(&mut self) {
        self.reader.set_limits(Limits::SESSION);
        self.deadline = None;
    }

    /// The peer is a component that was let in: the limits of a stanza are those of a user, but it carries the traffic of many.
    pub fn trusted(&mut self) {
        self.negotiated();
        self.allowance = None;
    }

    /// Whether the peer sent more than was read so far.
    pub fn has_waiting(&self) -> bool {
        self.reader.has_waiting()
    }

    /// Whether the server goes down.
    pub fn shutdown(&self) -> Shutdown {
        self.shutdown.clone()
    }

    /// What carries the stream.
    pub fn transport(&self) -> &T {
        &self.transport
    }

    /// Gives up the stream for what carries it.
    pub fn into_transport(self) -> T {
        self.transport
    }

    /// Waits for the peer's header, answers with ours and the stream features (RFC 6120 sections 4.2 and 4.3). `user` is who
    /// the peer is, once that is known.
    pub async fn open(&mut self, features: &str, user: Option<&BareJid>) -> Result<Header, End> {
        let Event::Header(header) = self.next().await? else { return Err(StreamError::BadFormat.into()) };
        let greeting = self.greeting(header.from.as_deref(), &random::identifier());
        self.opened = true;
        if let Err(error) = header.check(&self.domain, user) {
            self.write(greeting.as_bytes()).await?;
            return Err(error.into());
        }
        self.write(format!("{greeting}<stream:features>{features}</stream:features>").as_bytes()).await?;
        Ok(header)
    }

    /// Waits for a component's header and answers with ours (XEP-0114 section 3). Returns the domain that it is for, if that is one, and
    /// the id of the stream.
    pub async fn open_component(&mut self) -> Result<(Option<DomainPart>, String), End> {
        let Event::Header(header) = self.next().await? else { return Err(StreamError::BadFormat.into()) };
        let jid = header.to.as_deref().and_then(|to| address::jid(to).ok());
        let domain = jid.filter(|jid| jid.node().is_none() && jid.is_bare()).map(|jid| jid.domain().to_owned());
        if let Some(domain) = &domain {
            self.domain = domain.as_str().into();
        }
        let id = random::identifier();
        let greeting = self.greeting(None, &id);
        self.opened = true;
        self.write(greeting.as_bytes()).await?;
        if header.content != COMPONENT {
            return Err(StreamError::InvalidNamespace.into());
        }
        Ok((domain, id))
    }

    /// The next event. Cancel-safe.
    pub async fn next(&mut self) -> Result<Event, End> {
        loop {
            match self.reader.next()? {
                // Section 4.9.1.1: whoever is told of an error closes the stream.
                Some(Event::Stanza(element)) if element.is("error", STREAMS) => return Err(End::Closed),
                Some(event) => return Ok(event),
                None => {}
            }
            let deadline = self.deadline;
            tokio::select! {
                biased;
                _ = self.shutdown.wait_for(|down| *down) => return Err(StreamError::SystemShutdown.into()),
                () = wait_until(deadline) => return Err(StreamError::ConnectionTimeout.into()),
                read = read(&mut self.transport, &mut self.reader, &mut self.allowance) => read?,
            }
        }
    }

    /// Writes bytes that are whole elements.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), End> {
        let until = Instant::now() + WRITE_TIMEOUT;
        let until = self.deadline.map_or(until, |deadline| deadline.min(until));
        let written = timeout_at(until, async {
            self.transport.write_all(bytes).await?;
            self.transport.flush().await
        });
        match written.await {
            Ok(result) => Ok(result?),
            Err(_) => Err(End::Lost),
        }
    }

    /// Writes serialised stanzas in few large writes. After each, `written` is told how many of them it took.
    pub async fn write_all(&mut self, stanzas: &[Bytes], written: impl Fn(usize)) -> Result<(), End> {
        let (mut batch, mut count) = (Vec::new(), 0);
        for stanza in stanzas {
            if !batch.is_empty() && batch.len() + stanza.len() > BATCH {
                self.write(&batch).await?;
                written(mem::take(&mut count));
                batch.clear();
            }
            batch.extend_from_slice(stanza);
            count += 1;
        }
        self.write(&batch).await?;
        written(count);
        Ok(())
    }

    /// Says why, if it can be said, and closes the stream and the connection.
    pub async fn end(mut self: Box<Self>, end: End) {
        let farewell = match end {
            End::Lost => return,
            End::Closed => "</stream:stream>".to_owned(),
            End::Error(error) => {
                // RFC 6120 section 4.9.1.2: an error before the header is sent after one all the same.
                let greeting = if self.opened { String::new() } else { self.greeting(None, &random::identifier()) };
                greeting + &farewell(error)
            }
        };
        let _ = timeout(FAREWELL, async {
            self.transport.write_all(farewell.as_bytes()).await?;
            self.transport.shutdown().await?;
            // With unread bytes in the socket, closing it would reset the connection and lose what was just said.
            let mut left = LEFTOVERS;
            while left > 0 {
                match poll_fn(|context| poll_read(&mut self.transport, context, |_| ())).await? {
                    0 => break,
                    read => left = left.saturating_sub(read),
                }
            }
            io::Result::Ok(())
        })
        .await;
    }

    /// Our header (RFC 6120 section 4.7), to whom the peer says it is.
    fn greeting(&self, peer: Option<&str>, id: &str) -> String {
        if self.is_component {
            return self.component_greeting(id);
        }
        let to = peer
            .and_then(|peer| address::jid(peer).ok())
            .map(|peer| format!(" to='{}'", escape(peer.into_bare().as_str())))
            .unwrap_or_default();
        let from = &self.domain;
        format!(
            "<?xml version='1.0'?><stream:stream xmlns='{CLIENT}' xmlns:stream='{STREAMS}' id='{id}' from='{from}'{to} \
             version='1.0' xml:lang='en'>"
        )
    }

    /// It has no version: features are not spoken of.
    fn component_greeting(&self, id: &str) -> String {
        let from = match &*self.domain {
            "" => String::new(),
            domain => format!(" from='{}'", escape(domain)),
        };
        format!("<?xml version='1.0'?><stream:stream xmlns='{COMPONENT}' xmlns:stream='{STREAMS}' id='{id}'{from}>")
    }
}

fn farewell(error: StreamError) -> String {
    format!(
        "<stream:error><{} xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>{}</stream:error></stream:stream>",
        error.condition(),
        error.details()
    )
}

async fn wait_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// Reads once, when the allowance permits it. Cancel-safe: what is read is in the reader.
async fn read<T: Transport>(
    transport: &mut T,
    reader: &mut Reader,
    allowance: &mut Option<Allowance>,
) -> io::Result<()> {
    if let Some(resume) = allowance.as_ref().and_then(|allowance| allowance.pause(Instant::now())) {
        sleep_until(resume).await;
    }
    match poll_fn(|context| poll_read(transport, context, |bytes| reader.push(bytes))).await? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        bytes => {
            if let Some(allowance) = allowance {
                allowance.spend(bytes, Instant::now());
            }
            Ok(())
        }
    }
}

fn poll_read<T: Transport>(
    transport: &mut T,
    context: &mut Context<'_>,
    take: impl FnOnce(&[u8]),
) -> Poll<io::Result<usize>> {
    let mut space = [MaybeUninit::uninit(); CHUNK];
    let mut chunk = ReadBuf::uninit(&mut space);
    ready!(Pin::new(transport).poll_read(context, &mut chunk))?;
    take(chunk.filled());
    Poll::Ready(Ok(chunk.filled().len()))
}

#[cfg(test)]
mod tests {
    use tokio::io::duplex;

    use super::*;

    #[tokio::test]
    async fn who_goes_on_sending_at_the_end_is_not_listened_to_for_long() {
        let pipe = 64 << 10;
        let (mut client, server) = duplex(pipe);
        let (_down, shutdown) = watch::channel(false);
        let domain = "localhost".parse::<jid::DomainPart>().unwrap();
        let stream = Box::new(Stream::new(server, &domain, Instant::now() + WRITE_TIMEOUT, shutdown));
        let sending = async {
            let mut sent = 0;
            while let Ok(bytes) = client.write(&[b'x'; 4096]).await {
                sent += bytes;
            }
            sent
        };
        let (sent, ()) = tokio::join!(sending, stream.end(StreamError::PolicyViolation.into()));
        assert!((LEFTOVERS..=LEFTOVERS + CHUNK + pipe).contains(&sent), "{sent} bytes were taken");
    }
}
