//! The administrator's listener: `/healthz`, `/metrics` in the Prometheus text format, and a page of plugins and their settings at `/`. It can only be read.
//!
//! # Layout
//! A request is answered only if its Host is one of this listener's own ([`authority`]). [`page`] shows plugins and settings, [`metrics`] writes
//! the exposition with [`process`] as the source of what is known of the process itself. All of them learn from [`Facts`], which the
//! parts of the host implement together.

mod authority;
mod metrics;
mod page;
mod process;

use std::{io, net::TcpListener, sync::Arc};

use actix_http::Request;
use actix_web::{
    HttpResponse,
    dev::Server,
    http::{
        Method, StatusCode,
        header::{
            CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, HeaderValue, REFERRER_POLICY,
            X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
        },
    },
};
use jiff::Timestamp;

use self::{authority::Authorities, metrics::Kept};
use crate::{
    control::SettingStatus,
    http::{self, Metrics, reply, server},
    plugin::{deploy::status::PluginStatus, route::Routes},
};

/// On every response, refusals too: nothing of the console is kept, framed, guessed at, or told to other sites.
const FIELDS: [(HeaderName, &str); 5] = [
    (CACHE_CONTROL, "no-store"),
    (
        CONTENT_SECURITY_POLICY,
        "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (REFERRER_POLICY, "no-referrer"),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (X_FRAME_OPTIONS, "DENY"),
];

/// Numbers that the parts of the host know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Numbers {
    /// Accounts.
    pub accounts: u64,
    /// XMPP sessions, available or not.
    pub sessions: u64,
    /// Users with an available session.
    pub users_online: u64,
    /// Versions of plugins that came into service since the start.
    pub loads: u64,
    /// Files of plugins that were refused since the start.
    pub refusals: u64,
}

/// What the console shows. Asked at each request, on a thread that must not wait long.
pub trait Facts: Send + Sync + 'static {
    /// All plugins, as `plugin list` has them.
    fn plugins(&self) -> Arc<[PluginStatus]>;
    /// All settings, as `setting list` has them.
    fn settings(&self) -> Vec<SettingStatus>;
    /// What is not up, each in a few words; nothing while all is well.
    fn faults(&self) -> Vec<String>;
    /// What plugins have too much of, a sentence each. The host is up nevertheless.
    fn warnings(&self) -> Arc<Vec<String>>;
    /// The numbers of this moment.
    fn numbers(&self) -> Numbers;
    /// How many calls of inline handlers took more than 100 ms since the start, by plugin.
    fn stalls(&self) -> Vec<(String, u64)>;
    /// How often each plugin took this server down in the last thirty days.
    fn crashes(&self) -> Vec<(String, u64)>;
    /// What the records of each plugin take, in bytes, whether it is deployed or not.
    fn records(&self) -> Vec<(String, u64)>;
}

struct Console {
    facts: Arc<dyn Facts>,
    routes: Arc<Routes>,
    http: Arc<Metrics>,
    authorities: Authorities,
    started: Timestamp,
}

/// Serves the console on a bound listener. `names` are host names under which it may be asked, beside `localhost` and its
/// address: a name that a foreign site could point here must not be among them.
///
/// # Errors
/// The listener can't be used.
pub fn listen(
    listener: TcpListener,
    facts: Arc<dyn Facts>,
    routes: Arc<Routes>,
    http: Arc<Metrics>,
    names: Vec<String>,
) -> io::Result<Server> {
    let authorities = Authorities::new(listener.local_addr()?.ip(), names);
    let console = Arc::new(Console { facts, routes, http, authorities, started: Timestamp::now() });
    server::build(listener, Some(1), move |request| {
        let console = console.clone();
        async move { console.serve(&request) }
    })
}

impl Console {
    fn serve(&self, request: &Request) -> HttpResponse {
        let mut response = self.answer(request);
        for (name, value) in FIELDS {
            response.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        response
    }

    fn answer(&self, request: &Request) -> HttpResponse {
        if !self.authorities.accept(request.head()) {
            let line = "This address is not known by that name. Ask by its IP address, or as localhost.\n";
            return reply::refusal(StatusCode::MISDIRECTED_REQUEST, line);
        }
        let content: fn(&Console) -> HttpResponse = match request.uri().path() {
            "/" => Console::page,
            "/style.css" => |_| text("text/css; charset=utf-8", http::STYLE),
            "/healthz" => Console::health,
            "/metrics" => Console::metrics,
            _ => return reply::nothing(),
        };
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return reply::other_methods("GET, HEAD");
        }
        content(self)
    }

    fn page(&self) -> HttpResponse {
        let (plugins, faults) = (self.facts.plugins(), self.facts.faults());
        let told = [&faults[..], &self.facts.warnings()].concat();
        let page = page::render((&plugins, &self.facts.settings()), &told, &self.routes.load(), self.started);
        text("text/html; charset=utf-8", page.into_string())
    }

    fn health(&self) -> HttpResponse {
        let faults = self.facts.faults();
        if faults.is_empty() {
            return text("text/plain; charset=utf-8", "ok\n");
        }
        let mut response = text("text/plain; charset=utf-8", faults.join("\n") + "\n");
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        response
    }

    fn metrics(&self) -> HttpResponse {
        let exposition = metrics::Snapshot {
            numbers: self.facts.numbers(),
            plugins: &self.facts.plugins(),
            healthy: self.facts.faults().is_empty(),
            responses: &self.http.responses(),
            stalls: &self.facts.stalls(),
            crashes: &self.facts.crashes(),
            records: &self.facts.records(),
            kept: &self
                .routes
                .load()
                .generations()
                .map(|g| (g.manifest().id.clone(), Kept { in_flight: g.in_flight(), memory: g.memory() }))
                .collect::<Vec<_>>(),
            started: self.started,
        };
        text("text/plain; version=0.0.4; charset=utf-8", exposition.to_string())
    }
}

fn text(kind: &'static str, body: impl Into<String>) -> HttpResponse {
    HttpResponse::Ok().insert_header((CONTENT_TYPE, kind)).body(body.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::server::tests::{Running, exchange, get, run};
    use crate::plugin::deploy::status::State;

    struct Few(Vec<String>);

    impl Facts for Few {
        fn plugins(&self) -> Arc<[PluginStatus]> {
            Arc::new([PluginStatus {
                id: None,
                version: None,
                state: State::Refused,
                file: Some("<b>.so".into()),
                sha256: None,
                routes: Vec::new(),
                reason: Some("\"no\" coffee in <the> pot".into()),
                generation: None,
                retired: 0,
                since: Timestamp::UNIX_EPOCH,
            }])
        }

        fn settings(&self) -> Vec<SettingStatus> {
            vec![SettingStatus {
                name: "tea.pot".into(),
                value: "<full>".into(),
                default: Some("empty".into()),
                label: "The pot".into(),
                takes: Some("one line of text".into()),
                help: "Is there <tea>?".into(),
                reason: None,
            }]
        }

        fn faults(&self) -> Vec<String> {
            self.0.clone()
        }

        fn warnings(&self) -> Arc<Vec<String>> {
            Arc::new(vec!["plugin a#1 has <much> memory".into()])
        }

        fn numbers(&self) -> Numbers {
            Numbers { sessions: 3, ..Numbers::default() }
        }

        fn stalls(&self) -> Vec<(String, u64)> {
            Vec::new()
        }

        fn crashes(&self) -> Vec<(String, u64)> {
            Vec::new()
        }

        fn records(&self) -> Vec<(String, u64)> {
            Vec::new()
        }
    }

    fn console(faults: &'static [&'static str]) -> Running {
        run(|listener| {
            let facts = Arc::new(Few(faults.iter().map(|fault| (*fault).to_owned()).collect()));
            listen(listener, facts, Arc::default(), Arc::default(), vec!["console.example".into()])
        })
    }

    /// Row H12.
    #[test]
    fn every_response_carries_the_fields() {
        let console = console(&[]);
        let ask = |line: &str, host: &str| {
            exchange(console.address, format!("{line} HTTP/1.1\r\nConnection: close\r\nHost: {host}\r\n\r\n"))
        };
        for (answer, status) in [
            (ask("GET /", "localhost"), "200"),
            (ask("GET /metrics", "localhost"), "200"),
            (ask("HEAD /healthz", "localhost"), "200"),
            (ask("GET /nothing", "localhost"), "404"),
            (ask("GET /../healthz", "localhost"), "404"),
            (ask("POST /", "localhost"), "405"),
            (ask("GET /", "evil.example"), "421"),
        ] {
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{status}: {answer}");
            for (name, value) in FIELDS {
                assert!(answer.contains(&format!("{name}: {value}\r\n")), "{name}: {answer}");
            }
            assert!(!answer.to_lowercase().contains("set-cookie"));
        }
    }

    #[test]
    fn the_page_escapes_what_a_plugin_says() {
        let page = get(console(&[]).address, "/", "Host: localhost\r\n");
        assert!(page.contains("&quot;no&quot; coffee in &lt;the&gt; pot") && page.contains("&lt;b&gt;.so"), "{page}");
        assert!(page.contains("plugin a#1 has &lt;much&gt; memory"), "{page}");
        assert!(!page.contains("<the>") && !page.contains("<b>.so"));
    }

    #[test]
    fn health_names_what_is_not_up() {
        let healthy = get(console(&[]).address, "/healthz", "Host: console.example\r\n");
        assert!(healthy.starts_with("HTTP/1.1 200 ") && healthy.ends_with("\r\n\r\nok\n"), "{healthy}");
        let ill = get(console(&["store: the disk is full"]).address, "/healthz", "Host: localhost\r\n");
        assert!(ill.starts_with("HTTP/1.1 503 ") && ill.ends_with("store: the disk is full\n"), "{ill}");
    }

    #[test]
    fn metrics_are_served_as_prometheus_reads_them() {
        let metrics = get(console(&[]).address, "/metrics", "Host: localhost\r\n");
        assert!(metrics.contains("content-type: text/plain; version=0.0.4; charset=utf-8\r\n"), "{metrics}");
        assert!(metrics.contains("\nhost_demo_xmpp_sessions 3\n"), "{metrics}");
    }
}
