//! HTTP clients: an ordinary one (`ureq`), a raw one for what no client sends, and a load generator.

pub mod events;
pub mod load;
mod raw;

use std::{fmt, net::SocketAddr, time::Duration};

use ureq::{
    Agent,
    http::{Request, Response},
};

pub use raw::{exchange, read_answer};

/// How long a request may take: the tests share two cores.
const PATIENCE: Duration = Duration::from_secs(15);

/// The server's answer to a request, whatever its status.
#[derive(Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The header fields in the order received, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// The value of the header field `name`; `None` if there is none.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The body as text. Panics if it is not UTF-8.
    #[track_caller]
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("the body is UTF-8")
    }

    /// The answer without the fields that differ from one moment to the next: what an observer could compare.
    pub fn comparable(mut self) -> Answer {
        self.headers.retain(|(name, _)| name != "date");
        self.headers.sort();
        self
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?} {:?}", self.status, self.headers, String::from_utf8_lossy(&self.body))
    }
}

/// An HTTP client of one server that follows no redirects and takes every status as an answer.
pub struct Client {
    agent: Agent,
    address: SocketAddr,
}

impl Client {
    /// A client of the server at `address`. Each request has a connection of its own.
    pub fn new(address: SocketAddr) -> Client {
        Client::with_patience(address, PATIENCE)
    }

    /// As [`new`](Client::new), for answers that take so long.
    pub fn with_patience(address: SocketAddr, patience: Duration) -> Client {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .max_idle_connections(0)
            .allow_non_standard_methods(true)
            .timeout_global(Some(patience));
        Client { agent: config.build().new_agent(), address }
    }

    /// GET of `target`, a path with its query.
    #[track_caller]
    pub fn get(&self, target: &str) -> Answer {
        self.request("GET", target, &[])
    }

    /// POST of a form.
    #[track_caller]
    pub fn post(&self, target: &str, form: &str) -> Answer {
        let form_type = ("Content-Type", "application/x-www-form-urlencoded");
        let request = self.build("POST", target, &[form_type]).body(form.to_owned());
        let request = request.expect("the request can be built");
        answer(self.agent.run(request))
    }

    /// A request with header fields and a body.
    #[track_caller]
    pub fn send(&self, method: &str, target: &str, fields: &[(&str, &str)], body: &str) -> Answer {
        let request = self.build(method, target, fields).body(body.to_owned());
        answer(self.agent.run(request.expect("the request can be built")))
    }

    /// A request with header fields and without a body.
    #[track_caller]
    pub fn request(&self, method: &str, target: &str, fields: &[(&str, &str)]) -> Answer {
        let request = self.build(method, target, fields).body(()).expect("the request can be built");
        answer(self.agent.run(request))
    }

    fn build(&self, method: &str, target: &str, fields: &[(&str, &str)]) -> ureq::http::request::Builder {
        let request = Request::builder().method(method).uri(format!("http://{}{target}", self.address));
        fields.iter().fold(request, |request, (name, value)| request.header(*name, *value))
    }
}

#[track_caller]
fn answer(response: Result<Response<ureq::Body>, ureq::Error>) -> Answer {
    let mut response = response.expect("the server answers");
    let field = |(name, value): (&ureq::http::HeaderName, &ureq::http::HeaderValue)| {
        (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
    };
    let headers = response.headers().iter().map(field).collect();
    let body = response.body_mut().read_to_vec().expect("the body arrives");
    Answer { status: response.status().as_u16(), headers, body }
}

/// `text` as it may stand in a query or a form (RFC 3986 section 2).
pub fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => encoded.push(byte.into()),
            other => encoded.push_str(&format!("%{other:02X}")),
        }
    }
    encoded
}
