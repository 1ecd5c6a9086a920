//! A load that costs little itself: two threads, each with sixteen connections that it asks all together and then hears one by one.

use std::{
    fs::{self, DirEntry},
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    thread,
    time::{Duration, Instant},
};

const THREADS: usize = 2;
const CONNECTIONS: usize = 16;
/// From one request to the next, in a list that it reaches all of: a prime.
const STRIDE: usize = 7_919;
/// `HTTP/1.1 200`
const START: usize = 12;

/// What a load found out.
#[derive(Clone, Copy, Debug, Default)]
pub struct Drive {
    /// Answers a second.
    pub rate: f64,
    /// Microseconds of processor time that the server took for one.
    pub cost: f64,
}

/// A request for a target, with header fields, each ended by CRLF.
pub fn get(target: &str, fields: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: localhost:9090\r\n{fields}\r\n")
}

/// What is asked, and who answers.
pub struct Load<'a> {
    /// Where.
    pub address: SocketAddr,
    /// All answers must be as long as the first, with its status, which is 200 or 304.
    pub requests: &'a [String],
    /// The process that answers.
    pub server: u32,
}

impl Load<'_> {
    /// Asks for so long, in an order that jumps about.
    fn drive(&self, length: Duration) -> Drive {
        let (started, before) = (Instant::now(), processor_time(self.server));
        let counts = thread::scope(|scope| {
            let asking: Vec<_> =
                (0..THREADS).map(|_| scope.spawn(|| ask(self.address, self.requests, length))).collect();
            asking.into_iter().map(|thread| thread.join().expect("the server answers")).sum::<u64>()
        });
        let (time, processor) = (started.elapsed().as_secs_f64(), processor_time(self.server) - before);
        Drive { rate: counts as f64 / time, cost: processor * 1e6 / counts as f64 }
    }
}

/// Drives both so often and for so long each time. They take turns at being the first, so that what a machine does by and by does not tell
/// for one of them.
pub fn in_turn(loads: [&Load<'_>; 2], rounds: usize, length: Duration) -> Vec<[Drive; 2]> {
    let once = |round: usize| {
        let mut drives = [Drive::default(); 2];
        for turn in 0..2 {
            let next = (round + turn) % 2;
            drives[next] = loads[next].drive(length);
        }
        drives
    };
    (0..rounds).map(once).collect()
}

fn ask(address: SocketAddr, requests: &[String], length: Duration) -> u64 {
    let mut connections: Vec<_> = (0..CONNECTIONS).map(|_| Connection::open(address, requests[0].as_bytes())).collect();
    let mut place = 0;
    let deadline = Instant::now() + length;
    let mut count = 0;
    while Instant::now() < deadline {
        for connection in &mut connections {
            place = (place + STRIDE) % requests.len();
            connection.socket.write_all(requests[place].as_bytes()).expect("the server reads");
        }
        for connection in &mut connections {
            connection.hear();
        }
        count += connections.len() as u64;
    }
    count
}

/// A connection on which every answer is as long as the first.
struct Connection {
    socket: TcpStream,
    start: Vec<u8>,
    answer: Vec<u8>,
}

impl Connection {
    fn open(address: SocketAddr, request: &[u8]) -> Connection {
        let mut socket = TcpStream::connect(address).expect("the server listens");
        socket.set_nodelay(true).expect("a socket of ours");
        socket.set_read_timeout(Some(Duration::from_secs(10))).expect("a socket of ours");
        socket.write_all(request).expect("the server reads");
        let (start, length) = first_answer(&mut socket);
        let mut connection = Connection { answer: vec![0; length], start, socket };
        connection.socket.write_all(request).expect("the server reads");
        connection.hear();
        connection
    }

    fn hear(&mut self) {
        self.socket.read_exact(&mut self.answer).expect("the server answers");
        assert!(self.answer.starts_with(&self.start), "{}", String::from_utf8_lossy(&self.answer));
    }
}

/// Reads one answer and says how it began, and how long it was, head and body.
fn first_answer(socket: &mut TcpStream) -> (Vec<u8>, usize) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        socket.read_exact(&mut byte).expect("the server answers");
        head.push(byte[0]);
    }
    let text = String::from_utf8_lossy(&head).to_lowercase();
    let field = text.lines().find_map(|line| line.strip_prefix("content-length: "));
    let body = match &text[..START] {
        "http/1.1 304" => 0,
        "http/1.1 200" => field.and_then(|length| length.parse().ok()).unwrap_or_else(|| panic!("no length in {text}")),
        _ => panic!("{text}"),
    };
    socket.read_exact(&mut vec![0; body]).expect("the server answers");
    (head[..START].to_vec(), head.len() + body)
}

/// Seconds of processor time that a process has taken so far, by its threads. Those that have ended are left out.
fn processor_time(process: u32) -> f64 {
    let threads = fs::read_dir(format!("/proc/{process}/task")).expect("the server runs");
    let nanoseconds = |thread: DirEntry| {
        // The first number is the time on a processor. One that ends meanwhile has none.
        let text = fs::read_to_string(thread.path().join("schedstat")).unwrap_or_default();
        text.split(' ').next().and_then(|number| number.parse::<f64>().ok()).unwrap_or_default()
    };
    threads.filter_map(Result::ok).map(nanoseconds).sum::<f64>() / 1e9
}
