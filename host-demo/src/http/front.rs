//! The page at `/`: what is deployed, and what plugins show of themselves.
//!
//! The host knows no plugin by name. One that answers `GET /example` with HTML is asked for it within this process, and what it says
//! becomes a part of the page; plugin-api documents this for authors, under `On the server's front page`.

use std::{sync::Arc, time::Duration};

use actix_web::{
    HttpResponse,
    http::{
        Method, StatusCode,
        header::{
            CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HeaderMap, REFERRER_POLICY,
            X_CONTENT_TYPE_OPTIONS,
        },
    },
};
use jiff::Timestamp;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::reply;
use crate::plugin::{
    exchange::{Answer, Body},
    generation::Generation,
    request::Request,
    route::{Found, MOUNT, RouteTable, Routes},
};

/// The style sheet of the host's pages. Plugins' pages may use it too: it styles plain elements.
pub const STYLE: &str = include_str!("style.css");
/// No script, nothing inline, nothing from elsewhere.
const POLICY: &str =
    "default-src 'none'; img-src 'self'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";
/// How long a plugin may take for its part of the page.
const PATIENCE: Duration = Duration::from_secs(2);
/// The most users that are shown.
const MOST_USERS: usize = 6;
/// Seconds from one look to the next, while users are shown.
const REFRESH: &str = "4";

/// Tells since when the plugin of an id has been active.
pub type Since = Box<dyn Fn(&str) -> Option<Timestamp> + Send + Sync>;

/// What the page shows beside the plugins.
pub struct Front {
    /// Where visitors reach this listener, without a slash at the end: `http://127.0.0.1:9090`. From the configuration, never from a
    /// request, which could name any host.
    pub origin: String,
    /// Users of this server, as bare JIDs, for examples that everybody may see. None: a placeholder stands for them.
    pub users: Box<dyn Fn() -> Vec<String> + Send + Sync>,
    /// Since when the plugin of this id has been active.
    pub since: Since,
}

/// A plugin's own part of the page.
struct Example {
    name: String,
    html: String,
}

impl Front {
    /// Answers a request for a path that no plugin is mounted at.
    pub async fn answer(&self, method: &Method, path: &str, query: &str, routes: &Routes) -> HttpResponse {
        if !matches!(path, "/" | "/style.css") {
            return reply::nothing();
        }
        if !matches!(*method, Method::GET | Method::HEAD) {
            return reply::other_methods("GET, HEAD");
        }
        if path == "/style.css" { style() } else { self.page(query, routes).await }
    }

    async fn page(&self, query: &str, routes: &Routes) -> HttpResponse {
        let table = routes.load_full();
        let mut users = (self.users)();
        users.truncate(MOST_USERS);
        let mut generations: Vec<_> = table.generations().collect();
        generations.sort_by_key(|generation| &generation.manifest().id);
        let mut examples = Vec::new();
        for generation in &generations {
            examples.extend(self.example(&table, generation, &users).await);
        }
        let paused = query.split('&').any(|pair| pair == "live=0");
        let refreshing = (!users.is_empty()).then_some(!paused);
        let page = document(
            refreshing,
            html! {
                (introduction(refreshing))
                @for example in &examples {
                    section { h2 { (example.name) } (PreEscaped(&example.html)) }
                }
                section {
                    h2 { "Deployed" }
                    (self.deployed(&table, &generations))
                }
            },
        );
        HttpResponse::Ok()
            .insert_header((CONTENT_TYPE, "text/html; charset=utf-8"))
            .insert_header((CACHE_CONTROL, "no-store"))
            .insert_header((CONTENT_SECURITY_POLICY, POLICY))
            .insert_header((REFERRER_POLICY, "no-referrer"))
            .insert_header((X_CONTENT_TYPE_OPTIONS, "nosniff"))
            .body(page.into_string())
    }

    /// What a plugin wants to be shown here, if anything.
    async fn example(&self, table: &RouteTable, generation: &Arc<Generation>, users: &[String]) -> Option<Example> {
        let manifest = generation.manifest();
        let path = format!("{MOUNT}{}/example", manifest.id);
        let Found::Route { doors, index, values } = table.find("GET", &path) else { return None };
        let call = doors.enter()?;
        let query = example_query(&self.origin, users);
        let headers = HeaderMap::new();
        let request = Request {
            method: "GET",
            path: &path,
            query: &query,
            headers: &headers,
            names: generation.routes()[index].names(),
            values: &values,
            body: &[],
            peer: "",
        };
        let answer = tokio::time::timeout(PATIENCE, call.answer(index, &request)).await;
        let html = answer.ok().and_then(Result::ok).and_then(page_part);
        if html.is_none() {
            log::debug!("http: {path} gave no HTML for the front page");
        }
        Some(Example { name: title(generation).to_owned(), html: html? })
    }

    fn deployed(&self, table: &RouteTable, generations: &[&Arc<Generation>]) -> Markup {
        html! {
            @if generations.is_empty() {
                p { "Nothing yet. Copy a plugin into the folder " code { "plugins/" } " and it is here within a second." }
            } @else {
                ul.cards {
                    @for generation in generations { li { (self.card(table, generation)) } }
                }
                p.hint {
                    "Copy a newer file over a plugin in " code { "plugins/" } " and the new version answers. Delete the file and it is gone. \
                     Nothing is restarted."
                }
            }
        }
    }

    fn card(&self, table: &RouteTable, generation: &Generation) -> Markup {
        let manifest = generation.manifest();
        let home = format!("{MOUNT}{}/", manifest.id);
        let has_home = matches!(table.find("GET", &home), Found::Route { .. });
        html! {
            h3 {
                @if has_home { a href=(home) { (title(generation)) } } @else { (title(generation)) }
                " " span.version { (manifest.version) }
            }
            @if !manifest.description.is_empty() { p { (manifest.description) } }
            ul.routes {
                @for route in generation.routes() {
                    li {
                        code {
                            (route.methods().join(" ")) " "
                            b { @for part in route.pattern().split_inclusive('/') { (part) wbr; } }
                        }
                    }
                }
            }
            @if let Some(since) = (self.since)(&manifest.id) {
                p.hint { "since " time datetime=(since) { (since.strftime("%F %T")) " UTC" } }
            }
        }
    }
}

fn style() -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, "text/css; charset=utf-8"))
        .insert_header((CACHE_CONTROL, "no-cache"))
        .insert_header((ETAG, concat!("\"", env!("CARGO_PKG_VERSION"), "\"")))
        .insert_header((X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .body(STYLE)
}

fn title(generation: &Generation) -> &str {
    let manifest = generation.manifest();
    if manifest.name.is_empty() { &manifest.id } else { &manifest.name }
}

fn example_query(origin: &str, users: &[String]) -> String {
    let mut query = format!("base={}", utf8_percent_encode(origin, NON_ALPHANUMERIC));
    for user in users {
        query.push_str("&jid=");
        query.extend(utf8_percent_encode(user, NON_ALPHANUMERIC));
    }
    query
}

fn page_part(answer: Answer) -> Option<String> {
    let is_html =
        answer.fields.iter().any(|(name, value)| *name == CONTENT_TYPE && value.as_bytes().starts_with(b"text/html"));
    match answer.body {
        Body::Whole(bytes) if is_html && answer.status == StatusCode::OK => String::from_utf8(bytes.into()).ok(),
        _ => None,
    }
}

/// The page around its content. `refreshing`: whether it looks again by itself, if there is anything to look at.
fn document(refreshing: Option<bool>, content: Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                @if refreshing == Some(true) { meta http-equiv="refresh" content=(REFRESH); }
                title { "This server" }
                link rel="stylesheet" href="/style.css";
            }
            body { main { (content) } }
        }
    }
}

fn introduction(refreshing: Option<bool>) -> Markup {
    html! {
        header {
            h1 { "This server is up" }
            p { "It speaks XMPP, and runs plugins that are dropped into a folder while it runs." }
            @match refreshing {
                Some(true) => p.hint { "This page looks again every " (REFRESH) " seconds. " a href="/?live=0" { "Pause" } },
                Some(false) => p.hint { "Paused. " a href="/" { "Go on" } },
                None => {},
            }
        }
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// A front page that shows these users.
    pub fn front(users: &'static [&'static str]) -> Front {
        Front {
            origin: "http://localhost:9090".into(),
            users: Box::new(|| users.iter().map(|user| (*user).to_owned()).collect()),
            since: Box::new(|_| None),
        }
    }

    #[test]
    fn plugins_are_asked_with_the_users_and_the_origin() {
        let users = ["a&b@localhost".to_owned(), "ü@localhost".to_owned()];
        let query = example_query("http://localhost:9090", &users);
        assert_eq!(query, "base=http%3A%2F%2Flocalhost%3A9090&jid=a%26b%40localhost&jid=%C3%BC%40localhost");
    }

    #[test]
    fn only_html_becomes_a_part_of_the_page() {
        let answer = |status, kind: &'static str| Answer {
            status,
            fields: vec![(CONTENT_TYPE, kind.parse().unwrap())],
            body: Body::Whole("<p>Hello</p>".into()),
        };
        assert_eq!(page_part(answer(StatusCode::OK, "text/html; charset=utf-8")).as_deref(), Some("<p>Hello</p>"));
        assert_eq!(page_part(answer(StatusCode::OK, "text/plain")), None);
        assert_eq!(page_part(answer(StatusCode::NOT_FOUND, "text/html")), None);
    }
}
