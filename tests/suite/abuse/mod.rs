//! Abuse of the stream and of the HTTP listener: the protocol's own error, and the server serves on. The names in brackets
//! are the rows of the table of faults; what has to be measured is in `rows`.

mod http;
mod limits;
mod login;
mod traffic;
mod xml;

use tests::{host::Host, xmpp::Connection};

const HEADER: &str = "<?xml version='1.0'?><stream:stream to='localhost' version='1.0' xmlns='jabber:client' \
                      xmlns:stream='http://etherx.jabber.org/streams'>";

/// Sends bytes on a fresh connection and returns how the server ends it: with a stream error, or without (`None`).
#[track_caller]
fn end_of(host: &Host, bytes: &[u8]) -> Option<String> {
    let mut connection = Connection::open(host.xmpp()).unwrap();
    // The server may close before everything is sent.
    let _ = connection.send(bytes);
    connection
        .stream_error()
        .unwrap_or_else(|error| panic!("{}: {error}", String::from_utf8_lossy(&bytes[..80.min(bytes.len())])))
}

/// Expects each of the openings to be ended by one of the conditions.
#[track_caller]
fn ended_by(host: &Host, conditions: &[&str], openings: &[Vec<u8>]) {
    for bytes in openings {
        let end = end_of(host, bytes);
        let end = end.as_deref().unwrap_or("no stream error");
        assert!(conditions.contains(&end), "{end} for {}", String::from_utf8_lossy(&bytes[..120.min(bytes.len())]));
    }
    let mut alice = host.new_user("alice");
    alice.settle().expect("the server serves on");
}

fn after_header(xml: impl AsRef<[u8]>) -> Vec<u8> {
    [HEADER.as_bytes(), xml.as_ref()].concat()
}
