//! The one service behind the public listener: finds out whose a request is, and has it answered.

use std::sync::Arc;

use actix_http::Request;
use actix_web::{
    HttpResponse,
    dev::Payload,
    http::{Method, StatusCode},
};

use super::{
    body::{self, BodyError},
    front::Front,
    metrics::Metrics,
    path, reply,
    server::Peer,
};
use crate::plugin::{
    generation::{Call, CallError},
    pattern::Values,
    request,
    route::{Found, MOUNT, RouteTable, Routes},
};

/// What answers on the public listener.
pub struct Public {
    routes: Arc<Routes>,
    front: Front,
    metrics: Arc<Metrics>,
}

/// Leave to call a route.
struct Entered<'p> {
    call: Call,
    index: usize,
    values: Values<'p>,
}

/// Why a request reaches no route.
enum Missed {
    /// There is none at its path.
    Path,
    /// There is one, for these methods.
    Method { allowed: String },
    /// There is one with a slash behind the path.
    Slash,
    /// Its plugin is out of service.
    Disabled,
    /// The host is ending.
    Moment,
}

impl Public {
    /// The service over the route table of each moment.
    pub fn new(routes: Arc<Routes>, front: Front, metrics: Arc<Metrics>) -> Public {
        Public { routes, front, metrics }
    }

    /// Answers one request. What few requests come to is boxed, here and below, or the future of each would have room for it.
    pub async fn serve(&self, mut request: Request) -> HttpResponse {
        let payload = request.take_payload();
        let path = path::normalise(request.uri().path());
        let own = if path.starts_with(MOUNT) {
            match self.enter(request.method(), &path) {
                Ok(entered) => return self.call(&request, payload, entered).await,
                Err(why) => missed(&why, &path),
            }
        } else {
            Box::pin(self.front.answer(request.method(), &path, query(&request), &self.routes)).await
        };
        self.metrics.count_own(own.status());
        reply::without_reading(payload, own)
    }

    /// Finds the route of a request and keeps its generation from being stopped.
    fn enter<'p>(&self, method: &Method, path: &'p str) -> Result<Entered<'p>, Missed> {
        loop {
            let table = self.routes.load();
            match table.find(method.as_str(), path) {
                Found::Route { doors, index, values } => {
                    if let Some(call) = doors.enter() {
                        return Ok(Entered { call, index, values });
                    }
                }
                Found::Disabled => return Err(Missed::Disabled),
                Found::OtherMethods(methods) => return Err(Missed::Method { allowed: methods.join(", ") }),
                Found::Nothing if is_home(&table, path) => return Err(Missed::Slash),
                Found::Nothing => return Err(Missed::Path),
            }
            // A generation takes no more requests once another table is published, or when the host ends.
            if Arc::ptr_eq(&table, &self.routes.load()) {
                return Err(Missed::Moment);
            }
        }
    }

    async fn call(&self, request: &Request, mut payload: Payload, entered: Entered<'_>) -> HttpResponse {
        let Entered { call, index, values } = entered;
        let (manifest, number) = (call.generation().manifest(), call.generation().number());
        let route = &call.generation().routes()[index];
        let count = |status| self.metrics.count(&manifest.id, status);
        let mut unread = Payload::None;
        let body = match body::read(&request.head().headers, &mut payload, route.body_limit()).await {
            Ok(body) => body,
            Err(BodyError::TooLong(start)) if route.takes_any_length() => {
                unread = payload;
                start
            }
            Err(error) => {
                let response = refused(error, route.body_limit());
                count(response.status());
                return reply::without_reading(payload, response);
            }
        };
        let shown = request::Request {
            method: request.method().as_str(),
            path: request.uri().path(),
            query: query(request),
            headers: &request.head().headers,
            names: route.names(),
            values: &values,
            body: &body,
            peer: request.conn_data::<Peer>().map_or("", |peer| &peer.0),
        };
        match call.answer(index, &shown).await {
            Ok(answer) => {
                count(answer.status);
                reply::without_reading(unread, reply::answer(answer, call, request))
            }
            Err(error) => {
                let response = failed(&error);
                count(response.status());
                // What was sent may hold what no log should.
                log::warn!("http: {} {}: {}#{number}: {error:?}", shown.method, route.pattern(), manifest.id);
                reply::without_reading(unread, response)
            }
        }
    }
}

/// The query as sent, without the `?`; empty when there is none.
fn query(request: &Request) -> &str {
    request.uri().query().unwrap_or_default()
}

/// Whether a plugin has a page of its own at this path with a slash behind it.
fn is_home(table: &RouteTable, path: &str) -> bool {
    let is_mount = path.strip_prefix(MOUNT).is_some_and(|id| !id.contains('/'));
    is_mount && matches!(table.find("GET", &format!("{path}/")), Found::Route { .. })
}

fn missed(why: &Missed, path: &str) -> HttpResponse {
    match why {
        Missed::Path => reply::problem(StatusCode::NOT_FOUND, "There is nothing here."),
        Missed::Method { allowed } => {
            let detail = "This address does not answer to that method.";
            reply::allowing(allowed, reply::problem(StatusCode::METHOD_NOT_ALLOWED, detail))
        }
        Missed::Slash => reply::moved(&format!("{path}/")),
        Missed::Disabled => reply::unavailable("This plugin is disabled."),
        Missed::Moment => reply::unavailable("The server is stopping."),
    }
}

fn refused(error: BodyError, limit: usize) -> HttpResponse {
    match error {
        BodyError::TooLong(_) => {
            let detail = format!("The body is longer than this address takes: {limit} bytes.");
            reply::problem(StatusCode::PAYLOAD_TOO_LARGE, &detail)
        }
        BodyError::TooSlow => reply::problem(StatusCode::REQUEST_TIMEOUT, "The body took too long."),
        // What comes behind it is nothing that could be read.
        BodyError::Broken => reply::last(reply::problem(StatusCode::BAD_REQUEST, "The body is broken.")),
    }
}

/// What the client is told of a plugin's failure: nothing of its cause.
fn failed(error: &CallError) -> HttpResponse {
    match error {
        CallError::Abandoned(_) => reply::problem(StatusCode::INTERNAL_SERVER_ERROR, "The plugin failed to answer."),
        CallError::Busy => reply::unavailable("The plugin is busy."),
        CallError::TimedOut => reply::unavailable("The plugin took too long."),
    }
}

#[cfg(test)]
mod tests {
    use std::{
        net::{SocketAddr, TcpStream},
        time::Duration,
    };

    use super::*;
    use crate::http::{
        front::tests::front,
        listen,
        server::tests::{Running, exchange, get, run},
    };

    fn public(users: &'static [&'static str], metrics: &Arc<Metrics>) -> Running {
        let metrics = metrics.clone();
        run(move |listener| listen(listener, Arc::default(), front(users), metrics))
    }

    fn status(answer: &str) -> &str {
        answer.split(' ').nth(1).unwrap_or("none")
    }

    #[test]
    fn without_plugins_there_is_the_page_and_nothing_else() {
        let metrics = Arc::default();
        let host = public(&[], &metrics);
        let page = get(host.address, "/", "Host: x\r\n");
        assert!(status(&page) == "200" && page.contains("Nothing yet."), "{page}");
        assert!(page.contains("default-src 'none'") && !page.contains("unsafe"), "{page}");
        for target in
            ["/nothing", "/plugins", "/plugins/", "/plugins/a", "/plugins/a/b", "/%2e%2e/etc/passwd", "/../style.css"]
        {
            let answer = get(host.address, target, "Host: x\r\n");
            assert_eq!(status(&answer), "404", "{target}: {answer}");
            assert!(answer.contains("x-content-type-options: nosniff\r\n"), "{answer}");
            assert!(!answer.to_lowercase().contains("set-cookie"), "{answer}");
        }
        let counted = metrics.responses();
        assert_eq!(counted, [(String::new(), [0, 1, 0, 7, 0])]);
    }

    #[test]
    fn the_page_answers_to_get_and_head_only() {
        let host = public(&[], &Arc::default());
        let ask = |method: &str| {
            exchange(host.address, format!("{method} / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"))
        };
        let head = ask("HEAD");
        assert!(head.ends_with("\r\n\r\n") && !head.contains("content-length: 0\r\n"), "{head}");
        let post = ask("POST");
        assert!(status(&post) == "405" && post.contains("allow: GET, HEAD\r\n"), "{post}");
    }

    /// Row H28.
    #[test]
    fn a_host_that_the_client_made_up_is_nowhere_in_the_page() {
        let host = public(&["alice@localhost"], &Arc::default());
        let page =
            get(host.address, "/?live=0&evil.example", "Host: evil.example\r\nX-Forwarded-Host: evil.example\r\n");
        assert!(status(&page) == "200" && !page.contains("evil"), "{page}");
    }

    #[test]
    fn a_page_with_users_looks_again_until_it_is_told_not_to() {
        let host = public(&["alice@localhost"], &Arc::default());
        assert!(get(host.address, "/", "Host: x\r\n").contains("http-equiv=\"refresh\""));
        assert!(!get(host.address, "/?live=0", "Host: x\r\n").contains("http-equiv=\"refresh\""));
        let nobody = public(&[], &Arc::default());
        assert!(!get(nobody.address, "/", "Host: x\r\n").contains("http-equiv=\"refresh\""));
    }

    /// Rows H22 and H23: refused by actix, and the server goes on.
    #[test]
    fn what_is_no_request_is_refused() {
        let host = public(&[], &Arc::default());
        let many: String = (0..97).map(|number| format!("X-{number}: y\r\n")).collect();
        let twice = "Content-Length: 5\r\nContent-Length: 6\r\n";
        let both = "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n";
        for (target, fields) in
            [("a".repeat(64 << 10), ""), (String::new(), &many), (String::new(), twice), (String::new(), both)]
        {
            let answer = get(host.address, &format!("/{target}"), &format!("Host: x\r\n{fields}"));
            assert!(answer.is_empty() || status(&answer).starts_with('4'), "{answer}");
            assert_eq!(answer.matches("HTTP/1.1 ").count(), answer.len().min(1), "{answer}");
        }
        assert_eq!(status(&get(host.address, "/", "Host: x\r\n")), "200");
    }

    #[test]
    fn a_body_that_nobody_wants_does_not_keep_the_connection() {
        let host = public(&[], &Arc::default());
        for head in ["Transfer-Encoding: chunked", "Content-Length: 1000"] {
            let answer = exchange(host.address, format!("POST /nothing HTTP/1.1\r\nHost: x\r\n{head}\r\n\r\n1\r\n"));
            assert!(status(&answer) == "404" && answer.ends_with("There is nothing here.\n"), "{answer}");
        }
    }

    fn is_closed(address: SocketAddr) -> bool {
        TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_err()
    }

    #[test]
    fn the_caller_ends_it() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let server = listen(listener, Arc::default(), front(&[]), Arc::default()).unwrap();
            let handle = server.handle();
            let running = tokio::spawn(server);
            handle.stop(true).await;
            running.await.unwrap().unwrap();
        });
        assert!(is_closed(address));
    }
}
