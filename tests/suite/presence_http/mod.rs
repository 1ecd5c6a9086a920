//! The presence service as web pages see it: HTTP.md, sections 1 and 2, row by row.
//!
//! Who may see is in [`visibility`] and [`own`], what is shown in [`states`] and [`json_and_svg`], how it is asked for in [`parameters`],
//! where custom images are in [`redirects`], components in [`components`], answers that are repeated in [`repeats`], methods and header
//! fields in [`answers`] and [`shared_cache`]. Of the table of faults, H1, H4 to H6, H8, H27, H28 and X14 are in [`abuse`], H2 in
//! [`redirects`], H3 and H7 in [`scripts`], H9 in [`own`], H10 in [`enumeration`], H11 in [`answers`], H24 in [`settings`], H25 in
//! [`parameters`], and H20 to H23 beside it in `abuse/http.rs`; H5, H10, H25, H26, X14 and X15 are rows that `make soak` tries at length.

mod abuse;
mod answers;
mod components;
mod enumeration;
mod json_and_svg;
mod long_polls;
mod own;
mod page;
mod parameters;
mod redirects;
mod repeats;
mod scripts;
mod settings;
mod shared_cache;
mod states;
mod streams;
mod v1;
mod visibility;
mod widget;

use tests::{
    host::Host,
    http::{Answer, encode},
    skip::skipped,
    xmpp::Session,
};

/// Where the service is mounted.
const STATUS: &str = "/plugins/presence/status";

/// A host with the service, whose users anyone may see.
fn open_host() -> Host {
    let host = Host::with_presence();
    host.set("presence.visibility", "anyone");
    host
}

/// Says that a test of this is left out, for want of a browser.
fn without_browser(what: &str) {
    skipped(what, "it needs Chromium, in CHROMIUM or in the system (Debian: chromium)");
}

/// GET with this query.
#[track_caller]
fn ask(host: &Host, query: &str) -> Answer {
    host.http().get(&format!("{STATUS}?{query}"))
}

/// The text about alice.
#[track_caller]
fn text_of_alice(host: &Host) -> String {
    ask(host, "type=text&jid=alice@localhost").text().to_owned()
}

/// Asks for alice with an `images` template and returns the state in the redirection.
#[track_caller]
fn state_of_alice(host: &Host) -> String {
    state(host, "jid=alice@localhost")
}

/// The state in the redirection of an `images` template.
#[track_caller]
fn state(host: &Host, query: &str) -> String {
    let answer = ask(host, &format!("{query}&images={}", encode("http://icons.example/--IMAGE--")));
    assert_eq!(answer.status, 302, "{answer:?}");
    let location = answer.header("location").expect("a redirection has a target");
    location.strip_prefix("http://icons.example/").expect("the target is the template's").to_owned()
}

/// Sends available presence and waits until the server has it.
#[track_caller]
fn show(session: &mut Session, show: &str, status: &str) {
    session.available(show, status).unwrap();
    session.settle().unwrap();
}

/// Sends available presence with a priority and waits until the server has it.
#[track_caller]
fn show_with_priority(session: &mut Session, show: &str, priority: i8) {
    let show = if show.is_empty() { String::new() } else { format!("<show>{show}</show>") };
    session.send(&format!("<presence>{show}<priority>{priority}</priority></presence>")).unwrap();
    session.settle().unwrap();
}
