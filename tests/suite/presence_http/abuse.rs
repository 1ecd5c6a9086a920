//! Abuse of the presence service, by the rows of the table of faults, which stand in brackets.

use std::{
    collections::BTreeSet,
    io::{BufReader, Write},
    net::TcpStream,
    process::{Child, Command, Stdio},
    time::Duration,
};

use tests::{
    host::{Host, PATIENCE},
    http::{Answer, encode, exchange, read_answer},
    skip::skipped,
    wait,
    xmpp::escape,
};

use super::{STATUS, ask, open_host, show, state_of_alice, text_of_alice};

const PARAMETERS: [&str; 12] =
    ["jid", "req_jid", "type", "images", "available", "chat", "away", "xa", "dnd", "offline", "forbidden", "other"];

/// A connection that is kept for many requests.
struct Kept(BufReader<TcpStream>);

impl Kept {
    #[track_caller]
    fn open(host: &Host) -> Kept {
        let socket = TcpStream::connect(host.process().ready().http).expect("the host listens");
        socket.set_read_timeout(Some(PATIENCE)).expect("a socket of ours");
        socket.set_nodelay(true).expect("a socket of ours");
        Kept(BufReader::new(socket))
    }

    #[track_caller]
    fn get(&mut self, target: &str) -> Answer {
        self.ask("GET", target, "\r\n")
    }

    #[track_caller]
    fn post(&mut self, target: &str, kind: &str, body: &str) -> Answer {
        let length = body.len();
        self.ask("POST", target, &format!("Content-Type: {kind}\r\nContent-Length: {length}\r\n\r\n{body}"))
    }

    fn ask(&mut self, method: &str, target: &str, rest: &str) -> Answer {
        let fields = "Host: evil.example\r\nX-Forwarded-Host: evil.example\r\nForwarded: host=evil.example";
        let request = format!("{method} {target} HTTP/1.1\r\n{fields}\r\n{rest}");
        self.0.get_mut().write_all(request.as_bytes()).expect("the host reads");
        read_answer(&mut self.0).unwrap_or_else(|error| panic!("{target}: {error}"))
    }
}

/// A system call tracer on the host; `None` where there is none, or it may not trace.
struct Trace {
    tracer: Child,
    file: std::path::PathBuf,
}

impl Trace {
    fn start(host: &Host) -> Option<Trace> {
        let file = host.folder().join("calls");
        let mut strace = Command::new("strace");
        strace.args(["-f", "-qq", "-e", "trace=connect,accept4,openat", "-o"]).arg(&file);
        strace.args(["-p", &host.process().id().to_string()]);
        let tracer = strace.stdin(Stdio::null()).stderr(Stdio::null()).spawn().ok()?;
        let mut trace = Trace { tracer, file };
        let mut ended = false;
        // It traces as soon as it sees what we do.
        wait::until(PATIENCE, "the tracer sees a connection, or ends", || {
            ended = trace.tracer.try_wait().is_ok_and(|status| status.is_some());
            let seen = || host.http().get("/").status == 200 && trace.calls().contains("accept4(");
            (ended || seen()).then_some(())
        });
        (!ended).then_some(trace)
    }

    fn calls(&self) -> String {
        std::fs::read_to_string(&self.file).unwrap_or_default()
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.tracer.kill();
        let _ = self.tracer.wait();
    }
}

/// [H1] Watched by its system calls, the host opens no connection and no file for an address in a request.
#[test]
fn no_address_in_a_request_is_fetched() {
    let host = open_host();
    host.add_user("alice");
    let Some(trace) = Trace::start(&host) else {
        return skipped("what the host connects to", "it needs strace, and leave to trace");
    };
    let before = trace.calls().matches("accept4(").count();
    let mut kept = Kept::open(&host);
    for url in [
        "http://127.0.0.1:9/--IMAGE--",
        "http://169.254.169.254/latest/meta-data/--IMAGE--",
        "http://localhost/--IMAGE--",
        "https://[::1]/--IMAGE--",
        "file:///etc/passwd?--IMAGE--",
        "gopher://127.0.0.1:25/_--IMAGE--",
        "ftp://127.0.0.1/--IMAGE--",
        "/etc/passwd?--IMAGE--",
    ] {
        for name in PARAMETERS {
            let query = format!("jid=alice@localhost&{name}={}", encode(url));
            for path in [STATUS, "/plugins/presence/v1/users/alice@localhost", "/plugins/presence/v1/presence"] {
                kept.get(&format!("{path}?{query}"));
            }
            kept.post(STATUS, "application/x-www-form-urlencoded", &query);
        }
        kept.post("/plugins/presence/v1/presence/query", "application/json", &format!("{{\"jids\": [\"{url}\"]}}"));
    }
    let done = || Some(trace.calls()).filter(|calls| calls.matches("accept4(").count() > before);
    let calls = wait::until(PATIENCE, "the tracer has seen this connection", done);
    assert!(!calls.contains(" connect("), "{calls}");
    assert!(!calls.contains("passwd"), "{calls}");
}

/// [H4] Whatever byte stands in whatever parameter, it makes no header field.
#[test]
fn no_byte_in_a_parameter_becomes_a_field() {
    let host = open_host();
    host.add_user("alice");
    let mut kept = Kept::open(&host);
    let mut names = BTreeSet::new();
    for name in PARAMETERS {
        for byte in 0..=255u8 {
            let injected = format!("http%3A%2F%2Fh%2F--IMAGE--%{byte:02X}%{byte:02X}X-Injected:%20y%{byte:02X}z");
            let answer = kept.get(&format!("{STATUS}?{name}={injected}&jid=alice@localhost"));
            assert!(matches!(answer.status, 200 | 302 | 400), "{name} {byte:02X}: {answer:?}");
            for (field, value) in &answer.headers {
                assert!(
                    value.bytes().all(|byte| (b' '..=b'~').contains(&byte)),
                    "{name} {byte:02X}: {field}: {value:?}"
                );
            }
            names.extend(answer.headers.into_iter().map(|(field, _)| field));
        }
    }
    let expected = [
        "access-control-allow-origin",
        "cache-control",
        "content-length",
        "content-type",
        "cross-origin-resource-policy",
        "date",
        "etag",
        "location",
        "vary",
        "x-content-type-options",
    ];
    assert_eq!(names.into_iter().collect::<Vec<_>>(), expected);
}

/// [H4] As they are, without percent-encoding.
#[test]
fn no_raw_byte_in_a_query_harms() {
    let host = open_host();
    host.add_user("alice");
    for byte in 0..=255u8 {
        let start = format!("GET {STATUS}?jid=alice@localhost&type=text&offline=a");
        let request = [start.as_bytes(), &[byte], b"b HTTP/1.1\r\nHost: x\r\n\r\n"].concat();
        let answer =
            exchange(host.process().ready().http, request).unwrap_or_else(|error| panic!("{byte:02X}: {error}"));
        assert!(matches!(answer.status, 200 | 400), "{byte:02X}: {answer:?}");
        assert_eq!(answer.header("x-injected"), None);
    }
}

/// Texts that are hard on whoever writes XML, all of them such as a client may send.
fn hard_texts() -> Vec<String> {
    let pieces = [
        "<",
        ">",
        "&",
        "\"",
        "'",
        "]]>",
        "<!--",
        "-->",
        "<![CDATA[",
        "&amp;",
        "&#0;",
        "<?x?>",
        "</status>",
        "</presence>",
        "<x xmlns='y'>",
        "\t",
        "\n",
        "\r\n",
        " ",
        "\u{85}",
        "\u{A0}",
        "\u{2028}",
        "\u{FEFF}",
        "\u{FFFD}",
        "é",
        "☕",
        "\u{1F600}",
        "\u{10FFFF}",
        "\u{202E}",
        "a",
        "{\"",
        "\\",
        "\u{7F}",
        "\u{E000}",
    ];
    let twos = (0..pieces.len()).map(|index| format!("x{}{}x", pieces[index], pieces[(index * 7 + 3) % pieces.len()]));
    let all = std::iter::once(pieces.concat());
    twos.chain(all).chain(pieces.map(|piece| format!("{piece}.{piece}"))).collect()
}

/// [H5] [H6] [H7] XML, JSON and text of any status: well-formed, with the status that was sent, and markup of nobody's but ours.
#[test]
fn any_status_is_well_formed_and_reads_back() {
    let host = open_host();
    let mut alice = host.new_user("alice");
    let mut kept = Kept::open(&host);
    for status in hard_texts() {
        alice.send(&format!("<presence><status>{}</status></presence>", escape(&status))).unwrap();
        alice.settle().unwrap();
        // A parser of XML reads a line break as one, however it was sent (XML 1.0 section 2.11).
        let sent = status.replace("\r\n", "\n");
        let xml = kept.get(&format!("{STATUS}?jid=alice@localhost&type=xml"));
        let stanza: minidom::Element = format!("<x xmlns='y'>{}</x>", xml.text()).parse().expect("well-formed");
        let stanza = stanza.children().next().expect("the stanza");
        assert_eq!(stanza.children().next().expect("the status").text(), sent, "{xml:?}");
        assert_eq!(xml.header("content-security-policy"), Some("default-src 'none'; sandbox"));
        assert_eq!(stanza.children().count(), 2, "status and priority: {xml:?}");
        let json = kept.get(&format!("{STATUS}?jid=alice@localhost&type=json"));
        let json: serde_json::Value = serde_json::from_str(json.text()).expect("JSON");
        assert_eq!(json["status"], sent);
        let text = kept.get(&format!("{STATUS}?jid=alice@localhost&type=text"));
        let line = text.text().strip_suffix('\n').expect("a line");
        assert!(!line.contains(char::is_control), "{line:?}");
        assert_eq!(text.header("content-type"), Some("text/plain; charset=utf-8"), "no browser takes it for HTML");
        assert_eq!(text.header("x-content-type-options"), Some("nosniff"));
    }
}

/// [H8] A cache keeps an answer by its address alone: no field of a request changes one that may be kept, but for those that `Vary` names.
#[test]
fn no_field_of_a_request_changes_what_may_be_kept() {
    let host = open_host();
    let mut alice = host.new_user("alice");
    show(&mut alice, "away", "Lunch");
    alice.request("set", "", "<block xmlns='urn:xmpp:blocking'><item jid='bob@localhost'/></block>").unwrap();
    let fields = [
        ("X-Forwarded-Host", "evil.example"),
        ("X-Forwarded-For", "192.0.2.1"),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Prefix", "/evil"),
        ("Forwarded", "for=192.0.2.1;host=evil.example"),
        ("X-Original-URL", "/plugins/presence/status?jid=nobody@localhost"),
        ("X-Rewrite-URL", "/plugins/presence/status?jid=nobody@localhost"),
        ("X-HTTP-Method-Override", "POST"),
        ("X-Requester", "bob@localhost"),
        ("From", "bob@localhost"),
        ("Cookie", "req_jid=bob@localhost"),
        ("Referer", "http://evil.example/?req_jid=bob@localhost"),
        ("Origin", "http://evil.example"),
        ("Accept", "text/html"),
        ("Accept-Language", "de"),
        ("Accept-Encoding", "gzip"),
        ("User-Agent", "evil"),
        ("Range", "bytes=0-3"),
        ("If-Modified-Since", "Thu, 26 Nov 2099 09:00:00 GMT"),
        ("Content-Type", "application/x-www-form-urlencoded"),
    ];
    let status = |rest: &str| format!("{STATUS}?jid=alice@localhost&type={rest}");
    let of_v1 = |rest: &str| format!("/plugins/presence/v1/{rest}");
    let images = "&images=http%3A%2F%2Fh%2F--IMAGE--";
    let targets =
        ["image", &format!("image{images}"), "svg", "text", &format!("text{images}"), "xml", "json"].map(status);
    let user = "users/alice@localhost";
    let forms = [".json", "/icon.png?size=32", "/badge.svg"].map(|form| of_v1(&format!("{user}{form}")));
    for target in targets.into_iter().chain(forms).chain([of_v1("presence?jid=alice@localhost")]) {
        let plain = undated(host.http().get(&target));
        assert_eq!(plain.header("cache-control"), Some("no-cache"), "{target}");
        for field in fields {
            let answer = undated(host.http().request("GET", &target, &[field]));
            assert_eq!(answer, plain, "{target} {field:?}");
        }
    }
}

/// An answer without what its moment says.
fn undated(answer: Answer) -> Answer {
    const AS_OF: &[u8] = b"\"asOf\":\"";
    let mut answer = answer.comparable();
    if let Some(at) = memchr::memmem::find(&answer.body, AS_OF) {
        answer.body.drain(at..at + AS_OF.len() + "2026-11-26T09:00:00.000Z".len());
    }
    answer
}

/// [H27] Nothing of the file system is served, however the way to it is written.
#[test]
fn no_path_leads_to_a_file() {
    let host = open_host();
    let mut kept = Kept::open(&host);
    let ups = [
        "..",
        "%2e%2e",
        "%2E.",
        ".%2e",
        "..%2f",
        "..%5c",
        "%252e%252e",
        "..;",
        "%c0%ae%c0%ae",
        "%u002e%u002e",
        "....",
        ".%00.",
        "%5c..%5c..",
    ];
    let files = ["etc/passwd", "state/state.db", "plugins/presence.so", "proc/self/environ"];
    for mount in ["", "/plugins", "/plugins/presence", "/plugins/presence/status"] {
        for up in ups {
            for (depth, file) in files.iter().enumerate() {
                let way = format!("{up}/").repeat(depth * 3 + 1);
                let answer = kept.get(&format!("{mount}/{way}{file}"));
                assert_eq!(answer.status, 404, "{mount}/{way}{file}");
                assert!(answer.text().contains("There is nothing here."), "{answer:?}");
            }
        }
    }
}

/// [H28] A host that the client made up, in its head (see [`Kept::get`]) or in a parameter by which the host says where it is, is nowhere in an
/// answer.
#[test]
fn a_made_up_host_is_never_repeated() {
    let host = open_host();
    let mut alice = host.new_user("alice");
    show(&mut alice, "away", "Lunch");
    let mut kept = Kept::open(&host);
    for target in [
        "/",
        "/plugins/presence",
        "/plugins/presence/",
        "/plugins/presence/?jid=alice@localhost",
        "/plugins/presence/example",
        "/plugins/presence/example?base=http://evil.example",
        "/plugins/presence/nothing",
        &format!("{STATUS}?jid=alice@localhost&type=xml"),
        &format!("{STATUS}?jid=alice@localhost&type=json"),
        &format!("{STATUS}?jid=alice@localhost&images=http://h/--IMAGE--"),
        &format!("{STATUS}?type=nonsense"),
        "/plugins/presence/v1/users/alice@localhost",
        "/plugins/presence/v1/presence?jid=alice@localhost",
        "/plugins/presence/v1/nothing",
        "/plugins/presence/v1/openapi.json",
        "/plugins/presence/widget.js",
        "/plugins/presence/page.js",
        "http://evil.example/plugins/presence/",
        "http://evil.example/plugins/presence",
        &format!("http://evil.example{STATUS}?jid=alice@localhost&type=xml"),
    ] {
        let answer = kept.get(target);
        assert!(matches!(answer.status, 200 | 302 | 308 | 400 | 404), "{target}: {answer:?}");
        assert!(!format!("{answer:?}").contains("evil"), "{target}: {answer:?}");
    }
}

/// [X14] What another user sends in alice's name, or to her, changes nothing of what is shown of her.
#[test]
fn nobody_else_changes_what_is_shown_of_a_user() {
    let host = open_host();
    let (mut alice, _mallory) = (host.new_user("alice"), host.add_user("mallory"));
    show(&mut alice, "away", "Lunch");
    for stanza in [
        "<presence from='alice@localhost'><show>dnd</show><status>forged</status></presence>",
        "<presence from='alice@localhost/desk' type='unavailable'/>",
        "<presence from='localhost'><status>forged</status></presence>",
        "<presence to='alice@localhost'><show>dnd</show><status>forged</status></presence>",
        "<presence to='alice@localhost' type='unavailable'><status>forged</status></presence>",
        "<presence to='localhost' type='probe' id='1'/>",
        "<presence to='alice@localhost' type='error'><status>forged</status></presence>",
        "<presence to='alice@localhost' type='unsubscribed'/>",
    ] {
        let mut mallory = host.login("mallory");
        mallory.send(stanza).unwrap();
        // A forged sender may end the stream (RFC 6120 section 8.1.2.1).
        let _ = mallory.settle();
        assert_eq!((state_of_alice(&host).as_str(), text_of_alice(&host).as_str()), ("away", "Lunch\n"), "{stanza}");
    }
    let own = ask(&host, "jid=mallory@localhost&type=text");
    assert!(!own.text().contains("Lunch"), "{own:?}");
    alice.settle().expect("alice is still there");
    drop(alice);
    wait::until(Duration::from_secs(20), "alice is offline", || (state_of_alice(&host) == "offline").then_some(()));
}
