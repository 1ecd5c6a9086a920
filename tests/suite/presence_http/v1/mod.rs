//! The interface `/v1`: HTTP.md, section 3.

mod badges;
mod batches;
mod description;

use serde_json::{Value, json};
use tests::{
    host::Host,
    http::{Answer, encode, exchange},
};

use super::{ask, open_host, show};

const USERS: &str = "/plugins/presence/v1/users";

/// GET of a form of a user.
#[track_caller]
fn form(host: &Host, rest: &str) -> Answer {
    host.http().get(&format!("{USERS}/{rest}"))
}

#[track_caller]
fn accepting(host: &Host, rest: &str, accept: &str) -> Answer {
    host.http().request("GET", &format!("{USERS}/{rest}"), &[("Accept", accept)])
}

/// What an answer says is wrong, in the form of RFC 9457.
#[track_caller]
fn problem(answer: &Answer, status: u16) -> Value {
    assert_eq!(
        (answer.status, answer.header("content-type")),
        (status, Some("application/problem+json")),
        "{answer:?}"
    );
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{answer:?}");
    let problem: Value = serde_json::from_str(answer.text()).expect("JSON");
    assert_eq!(problem["status"], status, "{problem}");
    assert!(problem["title"].is_string() && problem["detail"].is_string(), "{problem}");
    problem
}

#[test]
fn a_suffix_names_the_form_and_beats_accept() {
    let host = open_host();
    let mut alice = host.new_user("alice");
    show(&mut alice, "away", "Lunch");
    for (suffix, kind, same_as) in [
        ("txt", "text/plain; charset=utf-8", Some("text")),
        ("xml", "text/xml; charset=utf-8", Some("xml")),
        ("svg", "image/svg+xml", Some("svg")),
        ("json", "application/json", None),
        ("png", "image/png", None),
        ("gif", "image/gif", None),
    ] {
        let answer = accepting(&host, &format!("alice@localhost.{suffix}"), "text/html");
        assert_eq!((answer.status, answer.header("content-type")), (200, Some(kind)), "{answer:?}");
        assert_eq!(answer.header("vary"), None, "{suffix}");
        if let Some(same) = same_as {
            let old = ask(&host, &format!("jid=alice@localhost&type={same}"));
            let mut new = answer.comparable();
            new.headers.retain(|(name, _)| name != "access-control-expose-headers");
            assert_eq!((new, suffix), (old.comparable(), suffix));
        }
    }
    let object: Value = serde_json::from_str(form(&host, "alice@localhost.json").text()).unwrap();
    assert_eq!((&object["state"], &object["status"]), (&json!("away"), &json!("Lunch")));
}

#[test]
fn without_a_suffix_the_client_chooses() {
    let host = open_host();
    host.add_user("alice");
    for (accept, kind) in [
        ("*/*", "application/json"),
        ("text/plain", "text/plain; charset=utf-8"),
        ("image/avif,image/webp,image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5", "image/svg+xml"),
        ("text/xml;q=0.5, image/png", "image/png"),
        ("image/avif,image/webp,*/*", "image/svg+xml"),
    ] {
        let answer = accepting(&host, "alice@localhost", accept);
        assert_eq!((answer.status, answer.header("content-type")), (200, Some(kind)), "{accept}: {answer:?}");
        assert_eq!(answer.header("vary"), Some("Accept"), "{accept}");
    }
    let [named, other] =
        ["text/xml", "text/xml;q=0, application/xml"].map(|accept| accepting(&host, "alice@localhost", accept));
    assert_eq!(other.header("content-type"), Some("application/xml; charset=utf-8"), "{other:?}");
    assert_eq!((other.header("vary"), &other.body), (Some("Accept"), &named.body));
    assert_eq!(other.header("content-security-policy"), named.header("content-security-policy"));
    assert_ne!(other.header("etag"), named.header("etag"), "the tags of two types are two");
    let nothing = accepting(&host, "alice@localhost", "text/html");
    assert!(problem(&nothing, 406)["detail"].as_str().unwrap().contains("image/svg+xml"));
    assert_eq!(nothing.header("vary"), Some("Accept"));
}

#[test]
fn an_icon_has_the_size_and_theme_asked_for() {
    let host = open_host();
    let mut alice = host.new_user("alice");
    show(&mut alice, "dnd", "");
    let png = form(&host, "alice@localhost/icon.png?size=48&theme=dark");
    assert_eq!((png.status, png.header("content-type")), (200, Some("image/png")));
    assert_eq!(png.body[..8], *b"\x89PNG\r\n\x1a\n");
    assert_eq!(png.body[16..24], *b"\0\0\0\x30\0\0\0\x30", "48 by 48");
    let gif = form(&host, "alice@localhost/icon.gif?size=200&theme=contrast");
    assert_eq!(gif.body[..10], *b"GIF89a\xC8\0\xC8\0");
    let svg = form(&host, "alice@localhost/icon.svg?size=24&theme=contrast");
    assert!(svg.text().contains("width=\"24\" height=\"24\" viewBox=\"0 0 16 16\""), "{svg:?}");
    assert_eq!(svg.header("content-security-policy"), Some("default-src 'none'; sandbox"));
    for icon in [&png, &gif, &svg] {
        assert_eq!(icon.header("cross-origin-resource-policy"), Some("cross-origin"));
        assert_eq!(icon.header("access-control-allow-origin"), Some("*"));
        assert_eq!(icon.header("cache-control"), Some("no-cache"));
    }
    let plain = form(&host, "alice@localhost/icon.svg");
    assert_eq!(plain.body, ask(&host, "jid=alice@localhost&type=svg").body, "the default is that of /status");
    show(&mut alice, "away", "");
    assert_ne!(form(&host, "alice@localhost/icon.png?size=48&theme=dark").body, png.body);
}

#[test]
fn what_is_out_of_bounds_is_named() {
    let host = open_host();
    host.add_user("alice");
    for (query, parameter, word) in [
        ("size=15", "size", "16 to 256"),
        ("size=257", "size", "16 to 256"),
        ("size=big", "size", "16 to 256"),
        ("theme=neon", "theme", "default, dark, contrast"),
        ("theme=%3Cscript%3E", "theme", "default, dark, contrast"),
    ] {
        for user in ["alice", "nobody"] {
            for rest in ["/icon.png", "/icon.svg", "/icon.gif", ".png"] {
                let problem = problem(&form(&host, &format!("{user}@localhost{rest}?{query}")), 400);
                assert_eq!(problem["parameter"], parameter, "{problem}");
                assert!(problem["detail"].as_str().unwrap().contains(word), "{problem}");
            }
        }
    }
    for (rest, word) in [("/icon.bmp", "icon.svg"), ("/badge.png", "badge.json"), ("/badge", "openapi.json")] {
        let unknown = form(&host, &format!("alice@localhost{rest}"));
        assert!(problem(&unknown, 404)["detail"].as_str().unwrap().contains(word), "{unknown:?}");
    }
}

/// The host itself would refuse in words.
#[test]
fn another_method_and_an_unknown_path_are_problems() {
    let host = open_host();
    let ask = |method: &str, rest: &str| host.http().send(method, &format!("/plugins/presence/v1{rest}"), &[], "{}");
    let get = Some("GET, HEAD, OPTIONS");
    for (rest, allowed) in [
        ("/users/alice@localhost", get),
        ("/users/alice%2Fx@localhost.json", get),
        ("/users/alice@localhost/icon.svg", get),
        ("/users/alice@localhost/badge.json", get),
        ("/users/alice@localhost/events", get),
        ("/u/x", get),
        ("/u/x/events", get),
        ("/icons/away.svg", get),
        ("/presence?jid=alice@localhost", get),
        ("/events", get),
        ("", None),
        ("/", None),
        ("/nothing", None),
        ("/users/", None),
        ("/users/alice@localhost/nothing", None),
        ("/presence/", None),
    ] {
        for method in ["POST", "PUT", "DELETE", "PATCH", "PROPFIND"] {
            let answer = ask(method, rest);
            problem(&answer, if allowed.is_some() { 405 } else { 404 });
            assert_eq!(answer.header("allow"), allowed, "{method} {rest}");
        }
    }
    for method in ["GET", "PUT"] {
        let answer = ask(method, "/presence/query");
        problem(&answer, 405);
        assert_eq!(answer.header("allow"), Some("POST, OPTIONS"));
    }
    problem(&ask("OPTIONS", "/nothing"), 404);
    let head = host.http().request("HEAD", "/plugins/presence/v1/nothing", &[]);
    assert_eq!((head.status, head.header("content-type")), (404, Some("application/problem+json")));
}

/// What never reaches the plugin: the host says it in the same form.
#[test]
fn what_the_host_refuses_for_the_plugin_is_a_problem() {
    let host = open_host();
    for path in ["users/%FF@localhost.json", "users/%ED%A0%80@localhost/icon.svg", "u/%FF", "%FF"] {
        let answer = host.http().get(&format!("/plugins/presence/v1/{path}"));
        problem(&answer, 404);
        assert_eq!(
            answer.header("cache-control"),
            Some("no-store"),
            "another plugin may answer in a moment: {answer:?}"
        );
    }
    let head = "POST /plugins/presence/v1/presence/query HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n";
    for (body, status) in
        [("Transfer-Encoding: chunked\r\n\r\nno length\r\n", 400), ("Content-Length: 9\r\n\r\n{", 408)]
    {
        let answer = exchange(host.process().ready().http, format!("{head}{body}")).expect("an answer");
        problem(&answer, status);
        assert_eq!(answer.header("connection"), Some("close"), "{answer:?}");
    }
    host.command(&["plugin", "disable", "presence"]).succeeds();
    let answer = form(&host, "alice@localhost.json");
    problem(&answer, 503);
    assert!(answer.header("retry-after").is_some(), "{answer:?}");
}

/// Row H11: every address says what pages of other origins may do, and repeats nothing of what they say.
#[test]
fn other_origins_may_ask_with_a_tag() {
    let host = open_host();
    let fields = [
        ("Origin", "https://page.example"),
        ("Access-Control-Request-Method", "GET"),
        ("Access-Control-Request-Headers", "if-none-match, x-odd"),
    ];
    for rest in
        ["users/a@localhost", "users/a@localhost.json", "users/a@localhost/icon.svg", "users/a@localhost/badge.json"]
            .into_iter()
            .chain(["%75sers/a@localhost", "users/a@localhost%2Fdesk/%69con.png"])
            .chain(["users/a@localhost/events", "u/x", "u/x/icon.png", "icons/away.svg", "presence", "events"])
    {
        let answer = host.http().request("OPTIONS", &format!("/plugins/presence/v1/{rest}"), &fields);
        let field = |name| answer.header(name).unwrap_or_default();
        assert_eq!((answer.status, field("allow"), answer.text()), (204, "GET, HEAD, OPTIONS", ""), "{rest}");
        assert_eq!(field("access-control-allow-methods"), "GET, HEAD, OPTIONS", "{rest}");
        assert_eq!(field("access-control-allow-headers"), "If-None-Match, Last-Event-ID, Content-Type", "{rest}");
        assert_eq!((field("access-control-allow-origin"), answer.header("vary")), ("*", None), "{rest}");
        assert!(answer.header("access-control-allow-credentials").is_none(), "{rest}");
    }
}

/// Row H11: what is the same for everybody is open to pages of other origins with its tag, and with when to come back; what is not, is not.
#[test]
fn other_origins_read_tags_and_when_to_come_back() {
    let host = open_host();
    host.add_user("alice");
    let get = |target: &str, fields: &[(&str, &str)]| {
        host.http().request("GET", &format!("/plugins/presence/{target}"), fields)
    };
    let exposed = |answer: &Answer| answer.header("access-control-expose-headers").map(str::to_owned);
    for target in ["v1/users/alice@localhost", "v1/users/alice@localhost.txt", "v1/users/alice@localhost.png"]
        .into_iter()
        .chain([
            "v1/users/alice@localhost/icon.svg",
            "v1/users/alice@localhost/badge.svg",
            "v1/u/x.json",
            "v1/icons/xa.gif",
        ])
        .chain(["v1/users/alice@localhost/badge.json", "v1/presence?jid=alice@localhost"])
    {
        let answer = get(target, &[]);
        let held = get(target, &[("If-None-Match", answer.header("etag").unwrap())]);
        assert_eq!((answer.status, held.status), (200, 304), "{target}");
        for answer in [answer, held] {
            assert_eq!(exposed(&answer).as_deref(), Some("ETag, Retry-After"), "{target}: {answer:?}");
        }
        if !target.starts_with("v1/u/") && !target.starts_with("v1/icons/") {
            let token = [("Authorization", "Bearer x")];
            assert_eq!(exposed(&get(target, &token)), None, "{target}: it depends on who asks");
        }
    }
    let refused = get("v1/users/alice@localhost?size=1", &[]);
    assert_eq!((refused.status, exposed(&refused).as_deref()), (400, Some("ETag, Retry-After")));
    assert_eq!(exposed(&get("status?jid=alice@localhost&type=json", &[])), None, "each field costs there");
}

/// Row X15: whoever may not be seen is shown as somebody who does not exist.
#[test]
fn hidden_and_unknown_are_the_same_in_every_form() {
    let host = Host::with_presence();
    let mut alice = host.new_user("alice");
    show(&mut alice, "away", "Lunch");
    for rest in [
        ".json",
        ".xml",
        ".txt",
        ".svg",
        ".png",
        ".gif",
        "/icon.png?size=64",
        "/icon.svg?theme=dark",
        "/badge.svg",
        "/badge.json",
    ] {
        let [hidden, unknown] = ["alice@localhost", "zelda@localhost"].map(|jid| {
            let mut answer = form(&host, &format!("{jid}{rest}")).comparable();
            answer.headers.retain(|(name, _)| name != "etag" || ![".json", ".xml"].contains(&rest));
            answer.body = String::from_utf8_lossy(&answer.body).replace(jid, "").into_bytes();
            answer
        });
        assert_eq!(hidden.status, 200, "{rest}");
        assert_eq!(hidden, unknown, "{rest}");
    }
    let by_herself = form(&host, "alice@localhost.json?req_jid=alice@localhost");
    assert!(by_herself.text().contains("Lunch"), "{by_herself:?}");
    assert_eq!(by_herself.header("cache-control"), Some("private, no-store"));
    assert_eq!(by_herself.header("access-control-allow-origin"), None);
}

#[test]
fn an_unchanged_form_is_304_and_head_has_no_body() {
    let host = open_host();
    let mut alice = host.new_user("alice");
    show(&mut alice, "away", "Lunch");
    for rest in
        [".json", ".xml", ".txt", ".png", "/icon.gif?size=32", "/icon.svg?size=32", "/badge.svg", "/badge.json", ""]
    {
        let target = format!("{USERS}/alice@localhost{rest}");
        let first = host.http().get(&target);
        let etag = first.header("etag").expect("a tag").to_owned();
        let held = host.http().request("GET", &target, &[("If-None-Match", &etag)]);
        assert_eq!((held.status, held.body.len(), held.header("etag")), (304, 0, Some(etag.as_str())), "{rest}");
        assert_eq!(held.header("vary"), first.header("vary"), "{rest}");
        let head = host.http().request("HEAD", &target, &[]);
        assert_eq!((head.status, head.body.len(), head.header("etag")), (200, 0, Some(etag.as_str())), "{rest}");
        show(&mut alice, "dnd", "Busy");
        let changed = host.http().request("GET", &target, &[("If-None-Match", &etag)]);
        assert_eq!(changed.status, 200, "{rest}");
        show(&mut alice, "away", "Lunch");
    }
}

#[test]
fn an_address_in_the_path_is_any_address() {
    let host = open_host();
    let mut alice = host.new_user("alice");
    show(&mut alice, "away", "Lunch");
    for address in ["alice@localhost", "ALICE%40LocalHost", "alice@localhost%2Fdesk", "alice@localhost%2F%40%2F"] {
        assert_eq!(form(&host, &format!("{address}.txt")).text(), "Lunch\n", "{address}");
    }
    for address in ["%40", "alice", "alice@localhost%2F", "alice@elsewhere.example", &encode("\"><script>")] {
        let answer = form(&host, &format!("{address}.json"));
        assert_eq!(answer.status, 200);
        assert!(answer.text().contains("\"state\":\"forbidden\""), "{address}: {answer:?}");
    }
}
