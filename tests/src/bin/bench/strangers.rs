//! What a connection costs before its client has logged in, and whether all of it comes back: ten thousand at a time, cut off, again
//! and again.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use rustix::net::sockopt::set_socket_linger;
use tests::{
    host::{Census, Host, PATIENCE},
    wait,
    xmpp::{Connection, Stream},
};

/// How many connections are open at a time.
const CONNECTIONS: usize = 10_000;
/// How often they are opened and cut.
const ROUNDS: usize = 20;
/// How many go on to TLS.
const ENCRYPTED: usize = 2_000;
/// What the server may have opened for itself meanwhile.
const FEW: u64 = 20;
const HEADER: &str = "<stream:stream to='localhost' version='1.0' xmlns='jabber:client' \
                      xmlns:stream='http://etherx.jabber.org/streams'>";

/// Prints two lines.
pub fn measure() {
    in_the_clear();
    inside_tls();
}

fn in_the_clear() {
    let host = Host::start();
    let empty = host.process().census();
    let rounds: Vec<_> = (0..ROUNDS).map(|_| open_and_cut(&host, &empty)).collect();
    let megabytes = |round: usize| rounds[round].1 as f64 / 1e6;
    println!(
        "{CONNECTIONS} streams before TLS: {:.1} kB each. All cut: {:.1} MB of memory after three such rounds, {:.1} MB after {ROUNDS}",
        (rounds[0].0 - empty.anonymous) as f64 / CONNECTIONS as f64 / 1e3,
        megabytes(2),
        megabytes(ROUNDS - 1)
    );
}

/// How many bytes of memory the host takes while all connections are open, and once they are gone.
fn open_and_cut(host: &Host, empty: &Census) -> (u64, u64) {
    let streams: Vec<_> = (0..CONNECTIONS).map(|_| greeted(host.xmpp())).collect();
    let open = host.process().census().anonymous;
    streams.iter().for_each(cut);
    drop(streams);
    let gone = || Some(host.process().census()).filter(|census| census.descriptors < empty.descriptors + FEW);
    (open, wait::until(PATIENCE, "all of them are gone", gone).anonymous)
}

fn inside_tls() {
    let host = Host::start();
    let empty = host.process().census().anonymous;
    let streams: Vec<_> = (0..ENCRYPTED).map(|_| secured(host.xmpp())).collect();
    let taken = host.process().census().anonymous - empty;
    println!(
        "{} streams inside TLS, before the login: {:.1} kB each",
        streams.len(),
        taken as f64 / ENCRYPTED as f64 / 1e3
    );
}

/// A connection on which both headers and the features were exchanged.
fn greeted(address: SocketAddr) -> TcpStream {
    let mut socket = TcpStream::connect(address).expect("the server listens");
    socket.set_read_timeout(Some(PATIENCE)).expect("a socket of ours");
    socket.write_all(HEADER.as_bytes()).expect("the server reads");
    let (mut heard, mut chunk) = (Vec::new(), [0; 1_024]);
    while !heard.ends_with(b"</stream:features>") {
        let length = socket.read(&mut chunk).expect("the server answers");
        assert!(length > 0, "the server hung up");
        heard.extend_from_slice(&chunk[..length]);
    }
    socket
}

fn secured(address: SocketAddr) -> Stream {
    let stream =
        Connection::open(address).and_then(|connection| connection.begin("localhost")).and_then(Stream::starttls);
    stream.expect("the server speaks TLS")
}

/// Closes without a goodbye, and without the port being kept for a minute: there are not enough of them for all rounds.
fn cut(socket: &TcpStream) {
    set_socket_linger(socket, Some(Duration::ZERO)).expect("a socket of ours");
}
