//! Requests to the presence service made of hostile pieces, always the same ones: none is a fault of the server, and each document is well-formed.

use std::{
    collections::BTreeMap,
    io::{BufReader, Write},
    net::TcpStream,
    thread,
};

use serde_json::Value;

use super::{Extent, Report};
use crate::{
    host::{Host, PATIENCE},
    http::{Answer, read_answer},
};

const CONNECTIONS: u64 = 4;
const METHODS: [&str; 8] = ["GET", "GET", "GET", "GET", "GET", "POST", "POST", "PUT"];
const PATHS: [&str; 6] = [
    "/plugins/presence/status",
    "/plugins/presence/status",
    "/plugins/presence/status",
    "/plugins/presence/",
    "/plugins/presence/example",
    "/",
];
const NAMES: [&str; 14] = [
    "jid",
    "req_jid",
    "type",
    "images",
    "available",
    "away",
    "offline",
    "forbidden",
    "jid[]",
    "%6Aid",
    "%",
    "",
    "base",
    "live",
];
const PIECES: [&str; 44] = [
    "alice@localhost",
    "localhost",
    "nobody",
    "@",
    "/",
    "%2F",
    "%40",
    "%",
    "%4",
    "%zz",
    "%00",
    "%0d%0aX:y",
    "%FF",
    "%C3%A9",
    "%ED%A0%80",
    "+",
    "=",
    "&",
    ";",
    "xml",
    "json",
    "svg",
    "text",
    "image",
    "http://",
    "https://",
    "//",
    "%5C",
    "u:p@",
    "[::1]",
    ":80",
    ":99999",
    "h",
    "--IMAGE--",
    "%2D-IMAGE--",
    "javascript:",
    "data:",
    "%3Cscript%3E",
    "%EF%BF%BE",
    "%F0%9F%98%80",
    "%E2%80%AE",
    "'",
    "[]",
    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
];

const TYPES: [&str; 5] = ["image", "svg", "text", "xml", "json"];

/// Xorshift (Marsaglia 2003): the same sequence in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }

    fn of<'a>(&mut self, some: &[&'a str]) -> &'a str {
        some[self.below(some.len())]
    }

    fn parameters(&mut self) -> String {
        let pair = |dice: &mut Dice| {
            let value: String = (0..dice.below(6)).map(|_| dice.of(&PIECES)).collect();
            format!("{}={value}", dice.of(&NAMES))
        };
        let mut pairs: Vec<_> = (0..self.below(5)).map(|_| pair(self)).collect();
        if self.below(4) == 0 {
            // The pieces alone seldom make a target that is nearly right.
            pairs.push(format!("images=http://{}/--IMAGE--{}", self.of(&PIECES), self.of(&PIECES)));
        }
        if self.below(4) == 0 {
            // The first of a name counts.
            pairs.insert(0, format!("jid=alice@localhost&type={}", self.of(&TYPES)));
        }
        pairs.join("&")
    }

    fn request(&mut self) -> String {
        let (method, path, query) = (self.of(&METHODS), self.of(&PATHS), self.parameters());
        let held = if self.below(8) == 0 { "If-None-Match: *, \"x\r\n" } else { "" };
        let form = if method == "POST" { self.parameters() } else { String::new() };
        let kind = "Content-Type: application/x-www-form-urlencoded";
        let length = form.len();
        format!("{method} {path}?{query} HTTP/1.1\r\nHost: x\r\n{held}{kind}\r\nContent-Length: {length}\r\n\r\n{form}")
    }
}

/// H25 and H5: thousands of random requests, a million at length; no answer of a status of 500 or more, and no document that is none.
pub fn random(extent: Extent) -> Report {
    let host = Host::with_presence();
    host.set("presence.visibility", "anyone");
    let mut alice = host.new_user("alice");
    alice.available("away", "<Lunch> & \"more\"").expect("alice is there");
    alice.settle().expect("alice is there");
    let each = extent.of(1_000, 250_000);
    let kinds = thread::scope(|scope| {
        let asked: Vec<_> = (1..=CONNECTIONS)
            .map(|seed| {
                scope.spawn({
                    let host = &host;
                    move || ask(host, seed, each)
                })
            })
            .collect();
        let mut all = BTreeMap::new();
        for kinds in asked.into_iter().map(|asked| asked.join().expect("every request is answered")) {
            kinds.into_iter().for_each(|(kind, count)| *all.entry(kind).or_insert(0) += count);
        }
        all
    });
    let tried = |start: &str| kinds.keys().any(|kind| kind.starts_with(start));
    let expected = [
        "200 text/xml",
        "200 application/json",
        "200 image/svg",
        "200 image/gif",
        "200 text/plain",
        "302",
        "400",
        "405",
    ];
    assert!(expected.into_iter().all(tried), "tried little: {kinds:?}");
    alice.settle().expect("alice is still there");
    Report::new(format!("{} random requests", each * CONNECTIONS as usize)).note(format!("{kinds:?}"))
}

/// How many answers there were of each status and type.
fn ask(host: &Host, seed: u64, times: usize) -> BTreeMap<String, usize> {
    let mut dice = Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    let mut kinds = BTreeMap::new();
    let mut connection = None;
    for _ in 0..times {
        let request = dice.request();
        let answer = answer(host, &mut connection, &request);
        assert!(answer.status < 500 && is_what_it_says(&answer), "{request:?}: {answer:?}");
        if answer.header("connection") == Some("close") {
            connection = None;
        }
        let kind = format!("{} {}", answer.status, answer.header("content-type").unwrap_or_default());
        *kinds.entry(kind).or_insert(0) += 1;
    }
    kinds
}

/// Whether a body is of the type that its field names.
fn is_what_it_says(answer: &Answer) -> bool {
    let text = || std::str::from_utf8(&answer.body).ok();
    match answer.header("content-type") {
        Some("text/xml; charset=utf-8") => is_xml(&format!("<x xmlns=\"y\">{}</x>", text().unwrap_or("<"))),
        Some("image/svg+xml") => is_xml(text().unwrap_or_default()),
        Some("application/json" | "application/problem+json") => serde_json::from_slice::<Value>(&answer.body).is_ok(),
        Some("image/gif") => answer.body.starts_with(b"GIF89a"),
        Some("text/plain; charset=utf-8" | "text/html; charset=utf-8") => text().is_some(),
        other => other.is_none(),
    }
}

fn is_xml(text: &str) -> bool {
    text.parse::<minidom::Element>().is_ok()
}

/// The answer to a request, on a connection that is opened if there is none.
pub(super) fn answer(host: &Host, connection: &mut Option<BufReader<TcpStream>>, request: &str) -> Answer {
    let reader = connection.get_or_insert_with(|| {
        let socket = TcpStream::connect(host.process().ready().http).expect("the host listens");
        socket.set_read_timeout(Some(PATIENCE)).expect("a socket of ours");
        socket.set_nodelay(true).expect("a socket of ours");
        BufReader::new(socket)
    });
    reader.get_mut().write_all(request.as_bytes()).expect("the host reads");
    read_answer(reader).unwrap_or_else(|error| panic!("{request:?}: {error}"))
}
