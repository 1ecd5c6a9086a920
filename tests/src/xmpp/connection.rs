//! A connection to the server: bytes out, XML in, in the clear or inside TLS.

use std::{
    io::{self, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use rustix::net::{self, AddressFamily, SocketFlags, SocketType};
use rustls::{ClientConnection, StreamOwned, pki_types::ServerName};

use super::{Error, Incoming, Result, Stream, tls, xml::StreamReader};

/// How long the client waits for an answer unless a test says otherwise. Generous: the tests share two cores.
pub(super) const PATIENCE: Duration = Duration::from_secs(15);

/// A socket to the server on which no stream is open yet.
pub struct Connection {
    transport: Transport,
    reader: StreamReader,
}

enum Transport {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Connection {
    /// Connects to the server.
    pub fn open(address: SocketAddr) -> Result<Connection> {
        Connection::over(TcpStream::connect_timeout(&address, PATIENCE)?)
    }

    fn over(socket: TcpStream) -> Result<Connection> {
        socket.set_nodelay(true)?;
        socket.set_write_timeout(Some(PATIENCE))?;
        Ok(Connection { transport: Transport::Plain(socket), reader: StreamReader::default() })
    }

    /// Connects to the server from this address of ours: all that begin with 127 are.
    pub fn open_from(source: Ipv4Addr, address: SocketAddr) -> Result<Connection> {
        let socket = net::socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None)
            .map_err(io::Error::from)?;
        net::bind(&socket, &SocketAddr::from((source, 0))).map_err(io::Error::from)?;
        net::connect(&socket, &address).map_err(io::Error::from)?;
        Connection::over(socket.into())
    }

    /// Opens a stream to `domain` and waits for the server's header and features (RFC 6120 section 4.3).
    pub fn begin(self, domain: &str) -> Result<Stream> {
        Stream::begin(self, domain)
    }

    /// Makes this a TLS connection: the server's certificate is taken as it is, the tests' servers sign their own.
    pub fn secure(self, domain: &str) -> Result<Connection> {
        let Transport::Plain(socket) = self.transport else {
            return Err(Error::Unexpected("the connection is inside TLS already".into()));
        };
        socket.set_read_timeout(Some(PATIENCE))?;
        let name = ServerName::try_from(domain.to_owned())
            .map_err(|_| Error::Unexpected(format!("{domain:?} is no server name")))?;
        let client = ClientConnection::new(tls::config(), name).map_err(io::Error::other)?;
        let mut stream = StreamOwned::new(client, socket);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        Ok(Connection { transport: Transport::Tls(Box::new(stream)), reader: StreamReader::default() })
    }

    /// The certificate that the server showed, in DER form; `None` before TLS.
    pub fn certificate(&self) -> Option<Vec<u8>> {
        let Transport::Tls(stream) = &self.transport else { return None };
        stream.conn.peer_certificates()?.first().map(|certificate| certificate.to_vec())
    }

    /// Sends bytes as they are.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> Result<()> {
        let writer: &mut dyn Write = match &mut self.transport {
            Transport::Plain(socket) => socket,
            Transport::Tls(stream) => stream,
        };
        writer.write_all(bytes.as_ref())?;
        Ok(writer.flush()?)
    }

    /// Sends bytes as they are, for which the server may take `limit` to make room. After a failure some of them are sent.
    pub fn send_within(&mut self, bytes: impl AsRef<[u8]>, limit: Duration) -> Result<()> {
        self.socket()?.set_write_timeout(Some(limit))?;
        let sent = self.send(bytes);
        self.socket()?.set_write_timeout(Some(PATIENCE))?;
        sent
    }

    /// The next part of the server's stream.
    pub fn receive(&mut self) -> Result<Incoming> {
        self.receive_until(Instant::now() + PATIENCE)
    }

    /// The next part of the server's stream, if it comes before `deadline`.
    pub fn receive_until(&mut self, deadline: Instant) -> Result<Incoming> {
        let mut buffer = [0; 4096];
        loop {
            if let Some(incoming) = self.reader.next()? {
                return Ok(incoming);
            }
            match self.read(&mut buffer, deadline)? {
                0 => return Err(Error::Closed),
                length => self.reader.feed(&buffer[..length]),
            }
        }
    }

    /// Reads the rest of the server's stream and returns the condition of its stream error, or `None` if it closed the
    /// connection without one. Fails if the connection is still open at the end of the client's patience.
    pub fn stream_error(&mut self) -> Result<Option<String>> {
        let deadline = Instant::now() + PATIENCE;
        let mut condition = None;
        loop {
            match self.receive_until(deadline) {
                Ok(Incoming::Child(element)) if element.is("error", super::ns::STREAM) => {
                    condition = Some(error_condition(&element, super::ns::STREAM_ERRORS));
                }
                Ok(_) => {}
                Err(Error::Closed) => return Ok(condition),
                Err(error) => return Err(error),
            }
        }
    }

    /// What a login is bound to on this TLS connection: its `tls-exporter` (RFC 9266).
    pub(super) fn exporter(&self) -> Result<[u8; 32]> {
        let Transport::Tls(stream) = &self.transport else {
            return Err(Error::Unexpected("there is no TLS to be bound to".into()));
        };
        let exported = stream.conn.export_keying_material([0; 32], b"EXPORTER-Channel-Binding", Some(b""));
        exported.map_err(|error| Error::Unexpected(error.to_string()))
    }

    /// Forgets what was read: the stream restarts (RFC 6120 section 4.3.3).
    pub(super) fn restart(&mut self) {
        self.reader = StreamReader::default();
    }

    fn socket(&self) -> io::Result<TcpStream> {
        match &self.transport {
            Transport::Plain(socket) => socket.try_clone(),
            Transport::Tls(stream) => stream.sock.try_clone(),
        }
    }

    fn read(&mut self, buffer: &mut [u8], deadline: Instant) -> Result<usize> {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Error::TimedOut);
        }
        self.socket()?.set_read_timeout(Some(left))?;
        let reader: &mut dyn Read = match &mut self.transport {
            Transport::Plain(socket) => socket,
            Transport::Tls(stream) => stream,
        };
        Ok(reader.read(buffer)?)
    }
}

/// The name of the first child in the namespace of conditions: what an error is about (RFC 6120 sections 4.9.2, 8.3.2).
pub(super) fn error_condition(error: &minidom::Element, namespace: &str) -> String {
    let condition = error.children().find(|child| child.has_ns(namespace) && child.name() != "text");
    condition.map_or_else(|| "an error without a condition".into(), |child| child.name().to_owned())
}
