//! A steady load of requests over connections that are kept alive, counting everything a visitor would notice.

use std::{
    collections::BTreeMap,
    fmt,
    io::{self, BufReader, Write},
    net::{SocketAddr, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use super::{Answer, read_answer};

/// How long a visitor waits before a request counts as timed out.
const TIMEOUT: Duration = Duration::from_secs(10);

/// What the load has seen. `Default` is the tally of nothing.
#[derive(Debug, Default)]
pub struct Tally {
    /// Requests answered with 2xx or 302.
    pub good: u64,
    /// How often each distinct body was seen in a good answer.
    pub bodies: BTreeMap<Vec<u8>, u64>,
    /// Answers of any other status, by status.
    pub bad: BTreeMap<u16, u64>,
    /// Connections that were refused, reset or closed within a request.
    pub resets: u64,
    /// Requests without an answer in time.
    pub timeouts: u64,
    /// Answers that were not HTTP.
    pub broken: u64,
    /// How many answers took how long, in tenths of a millisecond.
    pub delays: BTreeMap<u64, u64>,
}

impl Tally {
    /// Requests that did not get what they came for.
    pub fn failures(&self) -> u64 {
        self.bad.values().sum::<u64>() + self.resets + self.timeouts + self.broken
    }

    /// How many requests ended, well or not.
    pub fn requests(&self) -> u64 {
        self.good + self.failures()
    }

    /// Within which time this share of the requests ended: 0.99 for the 99th percentile.
    pub fn delay(&self, share: f64) -> Duration {
        let wanted = (self.requests() as f64 * share).ceil() as u64;
        let mut counted = 0;
        let within = self.delays.iter().find(|(_, count)| {
            counted += **count;
            counted >= wanted
        });
        Duration::from_micros(within.map_or(0, |(delay, _)| delay * 100))
    }

    /// Adds what another load has seen.
    pub fn add(&mut self, other: Tally) {
        self.good += other.good;
        self.resets += other.resets;
        self.timeouts += other.timeouts;
        self.broken += other.broken;
        other.bodies.into_iter().for_each(|(body, count)| *self.bodies.entry(body).or_default() += count);
        other.delays.into_iter().for_each(|(delay, count)| *self.delays.entry(delay).or_default() += count);
        other.bad.into_iter().for_each(|(status, count)| *self.bad.entry(status).or_default() += count);
    }

    fn count(&mut self, outcome: io::Result<Answer>, took: Duration) {
        let delay = u64::try_from(took.as_micros() / 100).unwrap_or(u64::MAX);
        *self.delays.entry(delay).or_default() += 1;
        match outcome {
            Ok(answer) if matches!(answer.status, 200..=299 | 302) => {
                self.good += 1;
                *self.bodies.entry(answer.body).or_default() += 1;
            }
            Ok(answer) => *self.bad.entry(answer.status).or_default() += 1,
            Err(error) => match error.kind() {
                io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => self.timeouts += 1,
                io::ErrorKind::InvalidData => self.broken += 1,
                _ => self.resets += 1,
            },
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} good, {} failed: ", self.good, self.failures())?;
        write!(f, "statuses {:?}, resets {}, timeouts {}, broken {}", self.bad, self.resets, self.timeouts, self.broken)
    }
}

/// A running load. Dropping it ends it too, without a tally.
pub struct Load {
    shared: Arc<Shared>,
    connections: Vec<JoinHandle<Tally>>,
}

struct Shared {
    address: SocketAddr,
    request: String,
    pause: Duration,
    stop: AtomicBool,
    answered: AtomicU64,
}

impl Load {
    /// Starts `connections` visitors that GET `target` again and again, each with a `pause` between its requests.
    pub fn start(address: SocketAddr, target: &str, connections: usize, pause: Duration) -> Load {
        let request = format!("GET {target} HTTP/1.1\r\nHost: {address}\r\n\r\n");
        let shared = Shared { address, request, pause, stop: AtomicBool::new(false), answered: AtomicU64::new(0) };
        let shared = Arc::new(shared);
        let visitor = |_| {
            let shared = shared.clone();
            thread::spawn(move || visit(&shared))
        };
        Load { connections: (0..connections).map(visitor).collect(), shared }
    }

    /// How many requests have ended so far, well or not.
    pub fn answered(&self) -> u64 {
        self.shared.answered.load(Ordering::Relaxed)
    }

    /// Ends the load and tells what it saw.
    pub fn stop(mut self) -> Tally {
        self.shared.stop.store(true, Ordering::Relaxed);
        let mut tally = Tally::default();
        for connection in self.connections.drain(..) {
            tally.add(connection.join().expect("a visitor does not panic"));
        }
        tally
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
    }
}

fn visit(shared: &Shared) -> Tally {
    let mut tally = Tally::default();
    let mut connection = None;
    while !shared.stop.load(Ordering::Relaxed) {
        let started = Instant::now();
        let outcome = request(shared, &mut connection);
        let closing = outcome.as_ref().map_or(true, |answer| answer.header("connection") == Some("close"));
        if closing {
            connection = None;
        }
        tally.count(outcome, started.elapsed());
        shared.answered.fetch_add(1, Ordering::Relaxed);
        thread::sleep(shared.pause.saturating_sub(started.elapsed()));
    }
    tally
}

fn request(shared: &Shared, connection: &mut Option<BufReader<TcpStream>>) -> io::Result<Answer> {
    let reader = match connection {
        Some(reader) => reader,
        none => none.insert(BufReader::new(connect(shared.address)?)),
    };
    reader.get_mut().write_all(shared.request.as_bytes())?;
    read_answer(reader)
}

fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let socket = TcpStream::connect_timeout(&address, TIMEOUT)?;
    socket.set_nodelay(true)?;
    socket.set_read_timeout(Some(TIMEOUT))?;
    socket.set_write_timeout(Some(TIMEOUT))?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_count_every_request() {
        let mut tally = Tally { good: 100, ..Tally::default() };
        tally.delays = [(10, 98), (500, 1), (7_000, 1)].into();
        assert_eq!(tally.delay(0.5), Duration::from_millis(1));
        assert_eq!(tally.delay(0.99), Duration::from_millis(50));
        assert_eq!(tally.delay(1.0), Duration::from_millis(700));
        assert_eq!(Tally::default().delay(0.99), Duration::ZERO);
    }
}
