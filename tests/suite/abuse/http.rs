//! What the HTTP listener is sent, and what is no XMPP on the other one.

use std::{
    io::{BufReader, Write},
    net::{SocketAddr, TcpStream},
};

use tests::{
    host::{Host, PATIENCE},
    http::{exchange, read_answer},
};

use super::{HEADER, end_of};

#[test]
fn other_protocols_on_either_port() {
    let host = Host::start();
    let openings: [&[u8]; 3] = [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x00\x01\x02\xff\xfe", b"EHLO example.com\r\n"];
    for opening in openings {
        end_of(&host, opening); // [X25]
    }
    let answer = exchange(host.process().ready().http, HEADER);
    assert!(answer.as_ref().map_or(true, |answer| answer.status == 400), "{answer:?}");
    host.new_user("alice").settle().unwrap();
}

#[test]
fn a_request_that_is_two() {
    let host = Host::with_presence();
    let address = host.process().ready().http;
    let smuggled = "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n";
    let post = "POST /plugins/presence/status HTTP/1.1\r\nHost: x\r\n";
    for head in [
        format!("{post}Content-Length: {}\r\nTransfer-Encoding: chunked", smuggled.len() + 5),
        format!("{post}Content-Length: 5\r\nContent-Length: 6"),
        format!("{post}Content-Length: +5"),
        format!("{post}Content-Length: 5, 5"),
        format!("{post}Content-Length: -1"),
        format!("{post}Content-Length: 0x5"),
        format!("{post}Transfer-Encoding: xchunked"),
        format!("{post}Transfer-Encoding: chunked, identity"),
        format!("{post}Transfer-Encoding:\r\n chunked"),
        format!("{post}Transfer-Encoding : chunked"),
        format!("{post}X: y\r\n folded: z"),
        post.replace("1.1", "1.0") + "Transfer-Encoding: chunked",
    ] {
        let answers = answers(address, &format!("{head}\r\n\r\n0\r\n\r\n{smuggled}"));
        assert!(matches!(answers.as_slice(), [] | [400 | 501]), "{head:?}: {answers:?}"); // [H22]
    }
    assert_eq!(host.http().get("/plugins/presence/status?type=text").status, 200);
}

/// The status of each answer, up to the end of the connection.
fn answers(address: SocketAddr, bytes: &str) -> Vec<u16> {
    let mut socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    // The server may refuse before it has read everything.
    let _ = socket.write_all(bytes.as_bytes());
    let mut reader = BufReader::new(socket);
    std::iter::from_fn(|| read_answer(&mut reader).ok().map(|answer| answer.status)).collect()
}

#[test]
fn oversized_requests() {
    let host = Host::with_presence();
    let address = host.process().ready().http;
    let many = (0..500).map(|number| format!("X-{number}: y\r\n")).collect::<String>();
    let parameters = "a=b&".repeat(10_000);
    for request in [
        format!("GET /plugins/presence/status?jid={} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(64 << 10)),
        format!("GET /plugins/presence/status HTTP/1.1\r\nHost: x\r\n{many}\r\n"),
        format!("GET /plugins/presence/status?{parameters} HTTP/1.1\r\nHost: x\r\n\r\n"),
        format!("GET /plugins/presence/status HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n", "y".repeat(1 << 20)),
    ] {
        let answer = exchange(address, &request);
        assert!(answer.as_ref().map_or(true, |answer| answer.status < 500), "{answer:?}"); // [H23]
    }
    assert_eq!(host.http().get("/plugins/presence/status?type=text").status, 200);
}
