//! `widget.js` in a real browser, on a page of another origin with a policy that forbids whatever can be forbidden.

use std::{
    fs,
    io::{self, BufRead, BufReader, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;
use tests::{
    browser::Browser,
    host::{Host, PATIENCE},
    http::events::EventSource,
    wait,
    xmpp::Session,
};

use super::{open_host, show, without_browser};

/// Notes what the page's policy has forbidden, and which streams there were.
pub const WITNESS: &str = "window.forbidden = []; document.addEventListener('securitypolicyviolation', \
    (event) => window.forbidden.push(event.violatedDirective + ' ' + event.blockedURI)); \
    window.streams = []; window.EventSource = class extends EventSource { \
    constructor(address) { super(address); window.streams.push(this); } };";
/// How many streams are open, or about to be.
const STREAMS: &str = "streams.filter((stream) => stream.readyState < 2).length";
/// The icon of a page that has one.
const IMAGE: &str = "document.querySelector('presence-icon')?.shadowRoot.querySelector('img')";

/// A page with this body that loads the widget from this server, by an address with this query, under a policy that forbids the rest.
fn serve(server: SocketAddr, query: &str, body: &str) -> SocketAddr {
    let service = format!("http://{server}");
    let policy = format!(
        "default-src 'none'; frame-src 'self'; script-src {service}; img-src {service}; connect-src {service}; \
         require-trusted-types-for 'script'; base-uri 'none'"
    );
    let script = format!("<script src=\"{service}/plugins/presence/widget.js{query}\"></script>");
    serve_page(&format!("{script}<body>{body}</body>"), &policy)
}

/// A page with this content and policy, served at an origin of its own for as long as somebody asks.
pub fn serve_page(content: &str, policy: &str) -> SocketAddr {
    let page = format!("<!doctype html><title>Who is there</title>{content}");
    let answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nContent-Security-Policy: {policy}\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{page}",
        page.len()
    );
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = listener.local_addr().expect("it is bound");
    thread::spawn(move || listener.incoming().flatten().for_each(|client| drop(give(client, &answer))));
    address
}

fn give(mut client: TcpStream, answer: &str) -> io::Result<()> {
    client.set_read_timeout(Some(PATIENCE))?;
    let head = BufReader::new(&client).lines().take_while(|line| line.as_ref().is_ok_and(|line| !line.is_empty()));
    head.for_each(drop);
    client.write_all(answer.as_bytes())
}

/// Where the same server answers, but each connection that asks for a stream breaks.
fn without_streams(server: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = listener.local_addr().expect("it is bound");
    let relay = move || {
        for client in listener.incoming().flatten() {
            thread::spawn(move || pass_on(client, server));
        }
    };
    thread::spawn(relay);
    address
}

/// Passes one request on, unless it is for a stream.
fn pass_on(mut client: TcpStream, server: SocketAddr) -> io::Result<u64> {
    client.set_read_timeout(Some(PATIENCE))?;
    let lines = BufReader::new(&client).lines().map_while(Result::ok).take_while(|line| !line.is_empty());
    let head: Vec<_> = lines.filter(|line| !line.starts_with("Connection:")).collect();
    if head.is_empty() || head[0].contains("/v1/events?") {
        return Ok(0);
    }
    let mut server = TcpStream::connect(server)?;
    write!(server, "{}\r\nConnection: close\r\n\r\n", head.join("\r\n"))?;
    io::copy(&mut server, &mut client)
}

/// A page with this body, open in a browser.
struct Page(Browser);

impl Page {
    /// Says that there is no browser, if there is none.
    #[track_caller]
    fn open(host: &Host, body: &str) -> Option<Page> {
        Page::asking(host, "", body)
    }

    /// The same, with a query in the address of the script.
    #[track_caller]
    fn asking(host: &Host, query: &str, body: &str) -> Option<Page> {
        Page::of(host.process().ready().http, query, body)
    }

    #[track_caller]
    fn of(server: SocketAddr, query: &str, body: &str) -> Option<Page> {
        let Some(mut browser) = Browser::start() else {
            without_browser("widget.js");
            return None;
        };
        browser.before_each_page(WITNESS);
        browser.open(&format!("http://{}/", serve(server, query, body)));
        Some(Page(browser))
    }

    #[track_caller]
    fn until(&mut self, expression: &str, expected: impl Into<Value>) {
        let expected = expected.into();
        let mut last = Value::Null;
        let limit = Instant::now() + 2 * PATIENCE;
        while Instant::now() < limit {
            last = self.0.value(expression);
            if last == expected {
                return;
            }
            thread::sleep(Duration::from_millis(5));
        }
        panic!("{expression} is {last}, not {expected}; forbidden: {}", self.0.value("window.forbidden"));
    }

    /// The states of all icons, as far as they are known.
    #[track_caller]
    fn until_states(&mut self, states: &str) {
        self.until(
            "[...document.querySelectorAll('presence-icon')].map((icon) => icon.getAttribute('state')).join()",
            states,
        );
    }
}

/// An icon of this user, as a page has it.
fn icon(user: &str) -> String {
    format!("<presence-icon jid=\"{user}@localhost\"></presence-icon>")
}

fn with_alice() -> (Host, Session) {
    let host = open_host();
    let mut alice = host.new_user("alice");
    show(&mut alice, "away", "Lunch");
    (host, alice)
}

#[test]
fn an_icon_follows_a_user_within_a_second() {
    let (host, mut alice) = with_alice();
    let body = "<presence-icon jid=\"Alice@Localhost/desk\" size=\"32\" theme=\"dark\"></presence-icon>";
    let Some(mut page) = Page::open(&host, body) else { return };
    page.until_states("away");
    let changes = ["dnd", "chat", "xa"].map(|state| {
        let begun = Instant::now();
        show(&mut alice, state, "");
        page.until_states(state);
        begun.elapsed()
    });
    assert!(changes.iter().min().is_some_and(|fastest| *fastest < Duration::from_secs(1)), "{changes:?}");

    page.until(&format!("{IMAGE}.complete && {IMAGE}.naturalWidth"), 32);
    assert_eq!(
        page.0.value(&format!("new URL({IMAGE}.src).pathname + new URL({IMAGE}.src).search")),
        "/plugins/presence/v1/icons/xa.svg?theme=dark&size=32"
    );
    assert_eq!(page.0.value(&format!("{IMAGE}.parentNode.href")), "xmpp:alice@localhost");
    let told = page.0.accessible();
    let is_told = |role: &str, name: &str| told.iter().any(|(one, other)| one == role && other == name);
    assert!(
        is_told("image", "alice@localhost: away for long") || is_told("img", "alice@localhost: away for long"),
        "{told:?}"
    );
    assert!(is_told("link", "alice@localhost: away for long"), "{told:?}");
    assert_eq!(page.0.value("window.forbidden.join()"), "", "the page's policy");
}

/// All icons of a page share one stream: there is room for no other. It goes with the last icon, and while the page is not to be seen.
#[test]
fn icons_share_one_stream_and_let_it_go() {
    let (host, mut alice) = with_alice();
    host.add_user("bob");
    host.set("presence.streams", "1");
    let is_free = || {
        let target = "/plugins/presence/v1/events?jid=alice@localhost";
        EventSource::open(host.process().ready().http, target, "", PATIENCE).head.status == 200
    };
    let body = [icon("alice"), icon("bob"), icon("alice"), icon("nobody")].concat();
    let Some(mut page) = Page::open(&host, &body) else { return };
    page.until_states("away,offline,away,forbidden");
    assert!(!is_free());
    page.0.value(&hide(true));
    wait::until(PATIENCE, "a page that is not to be seen lets go", || is_free().then_some(()));
    show(&mut alice, "chat", "");
    page.0.value(&hide(false));
    page.until_states("chat,offline,chat,forbidden");

    page.0.value("document.querySelectorAll('presence-icon')[1].setAttribute('jid', 'alice@localhost')");
    page.until_states("chat,chat,chat,forbidden");
    page.0.value("document.querySelectorAll('presence-icon')[0].setAttribute('size', '48')");
    assert_eq!(page.0.value("document.querySelector('presence-icon').shadowRoot.querySelector('img').width"), 48);
    page.0.value("document.querySelectorAll('presence-icon').forEach((icon) => icon.remove())");
    wait::until(PATIENCE, "a page without icons lets go", || is_free().then_some(()));
}

#[test]
fn where_streams_are_refused_it_asks() {
    let (host, mut alice) = with_alice();
    host.set("presence.streams", "0");
    let Some(mut page) = Page::open(&host, &icon("alice")) else { return };
    page.until_states("away");
    show(&mut alice, "dnd", "");
    page.until_states("dnd");
    assert_eq!(page.0.value("window.forbidden.join()"), "");
}

/// Lets this page be seen, or not.
fn hide(hidden: bool) -> String {
    format!(
        "Object.defineProperty(document, 'hidden', {{ get: () => {hidden}, configurable: true }});
             document.dispatchEvent(new Event('visibilitychange'))"
    )
}

/// Each time that it is refused it stays away for twice as long, whatever happens on the page.
#[test]
fn a_stream_that_is_refused_is_tried_again_later_and_later() {
    let (host, mut alice) = with_alice();
    host.set("presence.streams", "0");
    let Some(mut page) = Page::open(&host, &icon("alice")) else { return };
    let refused = |count: usize| format!("streams.length === {count} && streams[{count} - 1].readyState === 2");
    page.until(&refused(1), true);
    let now = page.0.value("window.now = Date.now(); Date.now = () => window.now; window.now").as_f64().unwrap();
    for (count, pause) in [(1, 5_000.0), (2, 10_000.0), (3, 20_000.0)] {
        // A page that is seen again looks at once, and asks.
        let state = ["dnd", "chat", "xa"][count - 1];
        show(&mut alice, state, "");
        page.0.value(&format!("{}; {}", hide(true), hide(false)));
        page.until_states(state);
        assert_eq!(page.0.value(&refused(count)), true, "tried too early");
        page.0.value(&format!("window.now += {pause} + 100; {}; {}", hide(true), hide(false)));
        page.until(&refused(count + 1), true);
    }
    assert!(page.0.value("window.now").as_f64().is_some_and(|later| later > now));
    host.set("presence.streams", "1");
    page.0.value(&format!("window.now += 40100; {}; {}", hide(true), hide(false)));
    page.until(STREAMS, 1);
    show(&mut alice, "away", "");
    page.until_states("away");
}

/// A browser has six connections to a server, for all pages: one stream each would leave none for the seventh.
#[test]
fn pages_of_a_site_share_one_stream() {
    let (host, mut alice) = with_alice();
    host.add_user("bob");
    let Some(mut page) = Page::open(&host, &icon("alice")) else { return };
    page.until_states("away");
    page.0.value(
        "for (let number = 0; number < 7; number++) {
             const frame = document.createElement('iframe');
             frame.src = '/' + number;
             document.body.append(frame);
         }
         window.pages = () => [window, ...Array.from(frames)];
         window.open_streams = () => pages().flatMap((page) => page.streams ?? []).filter((stream) => stream.readyState < 2);
         window.icons = () => pages().map((page) => page.document.querySelector('presence-icon'));",
    );
    let told = "icons().map((icon) => icon?.getAttribute('state')).join()";
    page.until(told, ["away"; 8].join(","));
    show(&mut alice, "dnd", "");
    page.until(told, ["dnd"; 8].join(","));
    page.until("open_streams().length", 1);

    // One of them wants somebody else, and the stream tells of both.
    page.0.value("icons()[3].setAttribute('jid', 'bob@localhost')");
    page.until("open_streams().map((stream) => stream.url.includes('bob')).join()", "true");

    // Whoever leads goes, and another one does.
    page.0.value(
        "window.former = open_streams()[0];
         pages().find((page) => page.streams.includes(former)).document.querySelector('presence-icon').remove()",
    );
    page.until("open_streams().length === 1 && open_streams()[0] !== former", true);
    show(&mut alice, "chat", "");
    page.until("icons().filter((icon) => icon?.getAttribute('state') === 'chat').length > 4", true);
    assert_eq!(page.0.value("window.forbidden.join()"), "");
}

/// There each page has a stream of its own.
#[test]
fn where_pages_can_not_speak_to_each_other_icons_follow_all_the_same() {
    let (host, mut alice) = with_alice();
    let Some(mut browser) = Browser::start() else { return without_browser("widget.js") };
    browser.before_each_page(WITNESS);
    browser.before_each_page("delete window.BroadcastChannel");
    browser.open(&format!("http://{}/", serve(host.process().ready().http, "", &icon("alice"))));
    let mut page = Page(browser);
    page.until_states("away");
    show(&mut alice, "dnd", "");
    page.until_states("dnd");
    page.until(STREAMS, 1);
}

/// A page of another origin may read nothing that depends on who asks, but show it.
#[test]
fn in_somebodys_name_icons_are_pictures_on_other_origins() {
    let host = Host::with_presence();
    let mut alice = host.new_user("alice");
    show(&mut alice, "away", "Lunch");
    let body = "<presence-icon jid=\"alice@localhost\" size=\"32\"></presence-icon>";
    let Some(mut page) = Page::asking(&host, "?req_jid=alice@localhost", body) else { return };
    page.until("document.querySelector('presence-icon')?.shadowRoot != null", true);
    page.until(&format!("{IMAGE}.complete && {IMAGE}.naturalWidth"), 32);
    let source = page.0.value(&format!("{IMAGE}.src"));
    let target = source.as_str().and_then(|source| source.split_once("/plugins/")).expect("it is on this server").1;
    assert!(target.starts_with("presence/v1/users/alice%40localhost/icon.svg?req_jid=alice@localhost&"), "{target}");
    assert!(host.http().get(&format!("/plugins/{target}")).text().contains("aria-label=\"away"), "{target}");
    // In the next share of time it is asked for by another address.
    page.0.value("Date.now = () => 0; document.dispatchEvent(new Event('visibilitychange'))");
    page.until(&format!("{IMAGE}.src != {source}"), true);
    page.until(&format!("{IMAGE}.complete && {IMAGE}.naturalWidth"), 32);
    assert_eq!(page.0.value("window.forbidden.join()"), "");
}

/// A browser has six connections to a server: streams for all of these icons would take them up, and nothing else got through (HTTP/1.1).
#[test]
fn many_icons_leave_room_for_other_requests() {
    let (host, mut alice) = with_alice();
    let others: String = (0..299).map(|number| icon(&format!("user{number}"))).collect();
    let Some(mut page) = Page::open(&host, &(others + &icon("alice"))) else { return };
    let count = |state: &str| format!("document.querySelectorAll('presence-icon[state={state}]').length");
    page.until(&count("forbidden"), 299);
    page.until(&count("away"), 1);
    assert_eq!(page.0.value(STREAMS), 1);
    let base = format!("http://{}/plugins/presence", host.process().ready().http);
    let fetched = format!("fetch('{base}/v1/users/alice@localhost.json').then((answer) => answer.status)");
    assert_eq!(page.0.value(&fetched), 200);

    // She is not among those whom the stream tells of.
    show(&mut alice, "dnd", "");
    page.until(&count("dnd"), 1);
    // What comes to a page later is asked about then, and the stream stays.
    page.0.value("document.querySelector('presence-icon:last-of-type').setAttribute('jid', 'nobody@localhost')");
    page.until(&count("forbidden"), 300);
    assert_eq!(page.0.value("streams.length"), 1);
}

/// A browser tries for ever to open a stream that nobody lets through.
#[test]
fn where_streams_do_not_get_through_it_asks_at_once() {
    let (host, _alice) = with_alice();
    let server = without_streams(host.process().ready().http);
    let Some(mut page) = Page::of(server, "", &icon("alice")) else { return };
    page.until_states("away");
    let told = page.0.value("performance.now()");
    assert!(told.as_f64().is_some_and(|told| told < 10_000.0), "after {told} ms");
    assert_ne!(page.0.value("streams.length"), 0);
}

/// The plugin is taken away and copied back: what was told is marked meanwhile, and then the stream comes back soon.
#[test]
fn what_is_not_known_any_more_is_marked_until_there_is_a_stream_again() {
    let (host, mut alice) = with_alice();
    let Some(mut page) = Page::open(&host, &icon("alice")) else { return };
    page.until_states("away");
    let (file, aside) = (host.plugins().join("presence.so"), host.folder().join("aside.so"));
    fs::rename(&file, &aside).unwrap();
    page.until(&format!("{IMAGE}.title"), "alice@localhost: not known now, last away, Lunch");
    assert_eq!(page.0.value("document.querySelector('presence-icon').hasAttribute('state')"), false);
    assert_eq!(page.0.value(&format!("{IMAGE}.style.opacity")), "0.5");
    show(&mut alice, "dnd", "");
    fs::rename(&aside, &file).unwrap();
    page.until("streams.filter((stream) => stream.readyState === 1).length", 1);
    page.until_states("dnd");
    page.until(&format!("{IMAGE}.title + {IMAGE}.style.opacity"), "alice@localhost: do not disturb");
    assert_eq!(page.0.value("window.forbidden.join()"), "");
}

/// What an author of a page may get wrong.
#[test]
fn an_unknown_theme_an_invalid_address_and_none() {
    let (host, _alice) = with_alice();
    let body = "<presence-icon jid=\"alice@localhost\" theme=\"zzz\" size=\"32\"></presence-icon>\
                <presence-icon jid=\"@@\"></presence-icon><presence-icon jid=\" \"></presence-icon><presence-icon></presence-icon>";
    let Some(mut page) = Page::open(&host, body) else { return };
    page.until_states("away,forbidden,,");
    page.until(&format!("{IMAGE}.complete && {IMAGE}.naturalWidth"), 32);
    let told = page.0.accessible();
    let links: Vec<_> = told.iter().filter(|(role, _)| role == "link").map(|(_, name)| name.as_str()).collect();
    assert_eq!(links, ["alice@localhost: away, Lunch", "@@: not shown"]);
}

#[test]
fn a_long_status_is_cut_in_the_name_of_an_icon() {
    let (host, mut alice) = with_alice();
    show(&mut alice, "away", &"é".repeat(250));
    let Some(mut page) = Page::open(&host, &icon("alice")) else { return };
    page.until(&format!("{IMAGE}.alt"), format!("alice@localhost: away, {}…", "é".repeat(100)));
}

#[test]
fn the_script_is_held_for_an_hour_and_then_asked_for_by_its_tag() {
    let host = Host::with_presence();
    let get = |fields: &[(&str, &str)]| host.http().request("GET", "/plugins/presence/widget.js", fields);
    let answer = get(&[]);
    let fields = ["content-type", "cache-control", "cross-origin-resource-policy"].map(|name| answer.header(name));
    assert_eq!(fields, [Some("text/javascript; charset=utf-8"), Some("max-age=3600"), Some("cross-origin")]);
    let tag = answer.header("etag").expect("it has a tag");
    let held = get(&[("If-None-Match", tag)]);
    assert_eq!((held.status, held.header("etag"), held.body.len()), (304, Some(tag), 0));
    let icon = host.http().get("/plugins/presence/v1/icons/away.svg?theme=dark&size=64");
    assert_eq!((icon.status, icon.header("cache-control")), (200, Some("max-age=86400")));
    assert!(icon.text().contains("aria-label=\"away"), "{icon:?}");
    for (target, status) in [("gone.svg", 404), ("away.bmp", 404), ("away.png?size=7", 400)] {
        assert_eq!(host.http().get(&format!("/plugins/presence/v1/icons/{target}")).status, status, "{target}");
    }
}
