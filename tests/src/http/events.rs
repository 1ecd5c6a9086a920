//! A client of server-sent events (WHATWG HTML, section 9.2) that hears all that is sent, comments too.

use std::{
    fs,
    io::{self, BufRead, BufReader, ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use serde_json::Value;
use socket2::{Domain, Socket, Type};

use super::{Answer, raw::read_head};

/// The segments of a narrow connection, in bytes: the size that every host takes (RFC 9293 section 3.7.1).
const NARROW: u32 = 536;

/// A block of a stream, as it is sent between two empty lines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Block {
    /// The name of the event.
    pub event: Option<String>,
    /// What it says.
    pub data: Option<String>,
    /// Its id.
    pub id: Option<String>,
    /// How long to wait before the client comes back, in milliseconds.
    pub retry: Option<u64>,
}

impl Block {
    fn parse(text: &str) -> Block {
        let mut block = Block::default();
        for line in text.lines() {
            let (name, value) = line.split_once(": ").unwrap_or((line, ""));
            match name {
                "event" => block.event = Some(value.into()),
                "data" => block.data = Some(value.into()),
                "id" => block.id = Some(value.into()),
                "retry" => block.retry = value.parse().ok(),
                _ => assert!(line.starts_with(':'), "a line that is no field of an event: {line:?}"),
            }
        }
        block
    }

    /// Whether it says nothing: a comment.
    pub fn is_comment(&self) -> bool {
        *self == Block::default()
    }

    /// The object that it tells.
    #[track_caller]
    pub fn object(&self) -> Value {
        let data = self.data.as_ref().expect("it is an event");
        serde_json::from_str(data).expect("events hold objects")
    }
}

/// An open stream, or the answer that there is instead.
pub struct EventSource {
    /// Status and header fields.
    pub head: Answer,
    reader: BufReader<TcpStream>,
    text: Vec<u8>,
    taken: usize,
}

impl EventSource {
    /// Asks for a stream, with these header lines, each ended by CRLF.
    #[track_caller]
    pub fn open(address: SocketAddr, target: &str, fields: &str, patience: Duration) -> EventSource {
        EventSource::over(TcpStream::connect(address).expect("the host listens"), target, fields, patience)
    }

    /// The same, over a connection for which the two systems keep little: they size their queues by the size of its segments.
    #[track_caller]
    pub fn open_narrow(address: SocketAddr, target: &str, fields: &str, patience: Duration) -> EventSource {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).expect("there are sockets");
        socket.set_tcp_mss(NARROW).expect("the system takes it");
        socket.set_recv_buffer_size(4 * NARROW as usize).expect("the system takes it");
        socket.connect(&address.into()).expect("the host listens");
        EventSource::over(socket.into(), target, fields, patience)
    }

    #[track_caller]
    fn over(mut socket: TcpStream, target: &str, fields: &str, patience: Duration) -> EventSource {
        socket.set_read_timeout(Some(patience)).expect("a socket of ours");
        let request = format!("GET {target} HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n{fields}\r\n");
        socket.write_all(request.as_bytes()).expect("the host reads");
        let mut reader = BufReader::new(socket);
        let head = read_head(&mut reader).unwrap_or_else(|error| panic!("{target}: {error}"));
        EventSource { head, reader, text: Vec::new(), taken: 0 }
    }

    /// How many bytes of the body were taken in, with those that frame its chunks.
    pub fn taken(&self) -> usize {
        self.taken
    }

    /// How many bytes of what was sent the two systems have in their hands: what this one has not given out yet, and what it has not
    /// told the other to have (proc(5), `/proc/net/tcp`). What is left of an answer is with the server itself.
    #[track_caller]
    pub fn in_transit(&self) -> usize {
        let socket = self.reader.get_ref();
        let port = |address: io::Result<SocketAddr>| address.expect("a socket of ours").port();
        let (here, there) = (port(socket.local_addr()), port(socket.peer_addr()));
        let table = fs::read_to_string("/proc/net/tcp").expect("a system that tells");
        // A line may be there twice, where the table changed while it was read.
        let queues = |ends| table.lines().find_map(|line| queues_of(line, ends)).unwrap_or_default();
        let (_, unread) = queues((here, there));
        let (unacknowledged, _) = queues((there, here));
        unread + unacknowledged + self.reader.buffer().len()
    }

    /// The next block; `None` at the end of the stream. An error: nothing came in time, or the connection was cut.
    pub fn block(&mut self) -> io::Result<Option<Block>> {
        loop {
            if let Some(end) = self.text.windows(2).position(|two| two == b"\n\n") {
                let block = self.text.drain(..end + 2).collect::<Vec<_>>();
                let text = String::from_utf8(block).map_err(|_| ErrorKind::InvalidData)?;
                return Ok(Some(Block::parse(text.trim_end())));
            }
            if !self.chunk()? {
                return Ok(None);
            }
        }
    }

    /// The next event.
    #[track_caller]
    pub fn event(&mut self) -> Block {
        loop {
            let block = self.block().unwrap_or_else(|error| panic!("no event: {error}"));
            let block = block.unwrap_or_else(|| panic!("the stream has ended"));
            if block.data.is_some() {
                return block;
            }
        }
    }

    /// What the next event says of the state.
    #[track_caller]
    pub fn state(&mut self) -> String {
        self.event().object()["state"].as_str().expect("each has a state").to_owned()
    }

    /// Reads to the end of the stream, and answers all that was sent until then.
    #[track_caller]
    pub fn rest(mut self) -> Vec<Block> {
        std::iter::from_fn(|| self.block().unwrap_or_else(|error| panic!("no end of the stream: {error}"))).collect()
    }

    /// Takes one chunk in (RFC 9112 section 7.1). `false`: it was the last.
    fn chunk(&mut self) -> io::Result<bool> {
        let mut size = String::new();
        if self.reader.read_line(&mut size)? == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        let length = usize::from_str_radix(size.trim(), 16).map_err(|_| ErrorKind::InvalidData)?;
        let mut chunk = vec![0; length + 2];
        self.reader.read_exact(&mut chunk)?;
        self.text.extend_from_slice(&chunk[..length]);
        self.taken += size.len() + chunk.len();
        Ok(length > 0)
    }
}

/// How many bytes wait to be acknowledged and to be read, at the near end of the connection between these ports.
fn queues_of(line: &str, ends: (u16, u16)) -> Option<(usize, usize)> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let port = |field: &str| u16::from_str_radix(field.rsplit(':').next()?, 16).ok();
    let (unacknowledged, unread) = fields.get(4)?.split_once(':')?;
    let length = |text| usize::from_str_radix(text, 16).ok();
    let is_it = (port(fields[1])?, port(fields[2])?) == ends;
    is_it.then_some((length(unacknowledged)?, length(unread)?))
}
