//! The protocol around the answers: methods, validators, caching, header fields, and odd input.

use tests::{
    host::Host,
    http::{Answer, encode, exchange},
};

use super::{STATUS, ask, open_host, show};

const TYPES: [&str; 5] = ["image", "svg", "text", "xml", "json"];

#[test]
fn head_is_get_without_a_body() {
    let host = open_host();
    let mut alice = host.new_user("alice");
    show(&mut alice, "away", "Lunch");
    for query in ["", "&type=text", "&type=xml", "&type=svg", "&type=nonsense", "&away=http%3A%2F%2Fx.example%2F"] {
        let target = format!("{STATUS}?jid=alice@localhost{query}");
        let mut get = host.http().get(&target).comparable();
        let head = host.http().request("HEAD", &target, &[]).comparable();
        get.body.clear();
        assert_eq!(head, get, "{query}");
    }
}

/// RFC 9110 section 5.3: a list in several lines is one list.
#[test]
fn every_line_of_a_condition_counts() {
    let host = open_host();
    host.add_user("alice");
    for target in [
        "status?jid=alice@localhost",
        "status?jid=alice@localhost&type=json",
        "v1/users/alice@localhost",
        "v1/users/alice@localhost/badge.svg",
        "v1/presence?jid=alice@localhost",
        "v1/icons/away.svg",
        "widget.js",
        "openapi.json",
        "page.css",
    ] {
        let target = format!("/plugins/presence/{target}");
        let etag = host.http().get(&target).header("etag").expect("an ETag").to_owned();
        let lines = [("If-None-Match", "\"older\""), ("If-None-Match", &etag)];
        assert_eq!(host.http().request("GET", &target, &lines).status, 304, "{target}");
    }
}

#[test]
fn post_takes_parameters_from_query_and_form() {
    let host = open_host();
    let mut alice = host.new_user("alice");
    show(&mut alice, "away", "Lunch & more");
    let post = |query: &str, form: &str| host.http().post(&format!("{STATUS}{query}"), form);
    assert_eq!(post("", "jid=alice@localhost&type=text").text(), "Lunch & more\n");
    assert_eq!(post("?jid=alice@localhost", "type=text").text(), "Lunch & more\n");
    assert_eq!(post("?type=text", "jid=alice%40localhost").text(), "Lunch & more\n");
    let first = ask(&host, "jid=alice@localhost&type=text&type=xml&jid=nobody@localhost");
    assert_eq!(first.text(), "Lunch & more\n", "the first of a repeated parameter wins");
    assert_eq!(post("?jid=alice@localhost&type=text", "type=xml&jid=nobody@localhost").text(), "Lunch & more\n");
    assert_eq!(ask(&host, "type=text&jid=alice+x@localhost").text(), "Unavailable\n", "a plus is a space");
}

#[test]
fn an_unchanged_answer_is_304() {
    let host = open_host();
    let mut alice = host.new_user("alice");
    for kind in TYPES {
        show(&mut alice, "away", "Lunch");
        let target = format!("{STATUS}?jid=alice@localhost&type={kind}");
        let etag = host.http().get(&target).header("etag").expect("an ETag").to_owned();
        assert!(etag.starts_with('"') && etag.ends_with('"'), "{etag} is a strong validator");
        let ask_if = |condition: &str| host.http().request("GET", &target, &[("If-None-Match", condition)]);
        for condition in [etag.clone(), format!("\"other\", {etag}"), format!("W/{etag}"), "*".to_owned()] {
            let answer = ask_if(&condition);
            assert_eq!((answer.status, answer.body.len()), (304, 0), "{kind}: {condition}");
            assert_eq!(answer.header("etag"), Some(etag.as_str()));
        }
        assert_eq!(ask_if("\"other\"").status, 200);
        assert_eq!(host.http().request("HEAD", &target, &[("If-None-Match", &etag)]).status, 304);
        show(&mut alice, "dnd", "Busy");
        let changed = ask_if(&etag);
        assert_eq!(changed.status, 200, "{kind}");
        assert_ne!(changed.header("etag"), Some(etag.as_str()), "{kind}");
    }
}

#[test]
fn public_answers_may_be_kept_and_shared_and_others_not() {
    let host = open_host();
    host.new_user("alice");
    for query in
        ["jid=alice@localhost", "jid=alice@localhost&type=text", "jid=alice@localhost&type=xml", "jid=nobody@localhost"]
    {
        let answer = ask(&host, query);
        assert_eq!(answer.header("cache-control"), Some("no-cache"), "{query}");
        assert_eq!(answer.header("access-control-allow-origin"), Some("*"), "{query}");
    }
    host.set("presence.visibility", "subscribed");
    for query in ["jid=alice@localhost&req_jid=alice@localhost", "jid=alice@localhost&req_jid=nobody@localhost"] {
        for kind in TYPES {
            let answer = ask(&host, &format!("{query}&type={kind}"));
            assert_eq!(answer.header("cache-control"), Some("private, no-store"), "{query} {kind}");
            assert_eq!(answer.header("access-control-allow-origin"), None, "{query} {kind}");
        }
    }
}

#[test]
fn every_answer_carries_its_safety_fields() {
    let host = open_host();
    host.new_user("alice");
    let redirect = format!("jid=alice@localhost&offline={}", encode("http://x.example/"));
    for query in ["jid=alice@localhost", "type=text", "type=xml", "type=nonsense", &redirect] {
        let answer = ask(&host, query);
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{query}");
        assert_eq!(answer.header("set-cookie"), None, "{query}");
    }
    assert_eq!(ask(&host, "jid=alice@localhost").header("cross-origin-resource-policy"), Some("cross-origin"));
}

/// Also what the host answers for the plugin: an error page is sniffed like any other.
#[test]
fn refusals_of_the_host_are_safe_too() {
    let host = open_host();
    let long = format!("filler={}", "x".repeat(65536));
    let answers = [
        host.http().request("PUT", STATUS, &[]),
        host.http().get(&format!("{STATUS}/more")),
        host.http().request("GET", &format!("{STATUS}?type=text"), &[("If-None-Match", "*")]),
        raw_post(&host, &long),
    ];
    assert_eq!(answers.each_ref().map(|answer| answer.status), [405, 404, 304, 413]);
    for answer in answers {
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{answer:?}");
        assert_eq!(answer.header("set-cookie"), None, "{answer:?}");
        assert!(answer.header("content-type").is_none_or(|kind| kind == "application/problem+json"), "{answer:?}");
    }
}

/// Row H11: the field is `*` where nobody is named, or absent, whatever the page; and credentials never go with it.
#[test]
fn no_origin_is_ever_reflected() {
    let host = open_host();
    host.new_user("alice");
    let by_alice = "&req_jid=alice@localhost";
    for (visibility, requester, allowed) in [
        ("anyone", "", Some("*")),
        ("anyone", by_alice, None),
        ("subscribed", "", Some("*")),
        ("subscribed", by_alice, None),
    ] {
        host.set("presence.visibility", visibility);
        for origin in ["null", "http://evil.example", "http://localhost", "http://localhost.evil.example"] {
            for kind in TYPES {
                let target = format!("{STATUS}?jid=alice@localhost{requester}&type={kind}");
                let answer = host.http().request("GET", &target, &[("Origin", origin), ("Cookie", "a=b")]);
                assert_eq!(answer.header("access-control-allow-origin"), allowed, "{origin}: {answer:?}");
                assert_eq!(answer.header("access-control-allow-credentials"), None);
            }
        }
    }
}

#[test]
fn an_unknown_type_is_refused_by_naming_the_known_ones() {
    let host = open_host();
    for query in ["jid=alice@localhost&type=nonsense", "type=", "type=IMAGE", "type=%00"] {
        let answer = ask(&host, query);
        assert_eq!(answer.status, 400, "{query}");
        assert!(answer.header("content-type").is_some_and(|kind| kind.starts_with("text/plain")), "{answer:?}");
        assert!(TYPES.iter().all(|kind| answer.text().contains(kind)), "{answer:?}");
    }
}

#[test]
fn other_methods_get_405() {
    let host = open_host();
    for method in ["PUT", "DELETE", "PATCH", "OPTIONS", "PROPFIND"] {
        let answer = host.http().request(method, &format!("{STATUS}?jid=alice@localhost"), &[]);
        assert_eq!(answer.status, 405, "{method}");
        let allowed = answer.header("allow").expect("405 names what is allowed");
        let mut allowed: Vec<&str> = allowed.split(',').map(str::trim).collect();
        allowed.sort_unstable();
        assert_eq!(allowed, ["GET", "HEAD", "POST"], "{method}");
    }
}

#[test]
fn unknown_paths_below_the_plugin_are_404() {
    let host = open_host();
    for path in ["/nothing", "/status/", "/status/more", "/Status", "/../presence", "/%2e%2e/x"] {
        assert_eq!(host.http().get(&format!("/plugins/presence{path}")).status, 404, "{path:?}");
    }
    assert_eq!(host.http().get("/plugins/nobody/status").status, 404);
    assert_eq!(host.http().get("/nothing").status, 404);
}

#[test]
fn the_plugin_has_a_page_of_its_own() {
    let host = open_host();
    let page = host.http().get("/plugins/presence/");
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    let policy = page.header("content-security-policy").expect("a policy");
    assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe-inline"), "{policy}");
    let bare = host.http().get("/plugins/presence");
    assert_eq!((bare.status, bare.header("location")), (308, Some("/plugins/presence/")));
    assert_eq!(bare.header("content-type"), Some("text/plain; charset=utf-8"), "it is no problem");
}

#[test]
fn a_form_may_have_64_kib() {
    let host = open_host();
    let mut alice = host.new_user("alice");
    show(&mut alice, "", "here");
    let start = "jid=alice@localhost&type=text&filler=";
    let form = |length: usize| start.to_owned() + &"x".repeat(length - start.len());
    assert_eq!(host.http().post(STATUS, &form(65536)).text(), "here\n");
    let too_long = raw_post(&host, &form(65537));
    assert_eq!(too_long.status, 413);
    let chunked = format!("10001\r\n{}\r\n0\r\n\r\n", form(65537));
    let head = format!("POST {STATUS} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
    let unannounced = exchange(host.process().ready().http, format!("{head}{chunked}")).expect("an answer");
    assert_eq!(unannounced.status, 413, "its length is known only when it is there");
}

#[track_caller]
fn raw_post(host: &Host, form: &str) -> Answer {
    let length = form.len();
    let head = format!("POST {STATUS} HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\n");
    exchange(host.process().ready().http, format!("{head}Content-Length: {length}\r\n\r\n{form}")).expect("an answer")
}

#[test]
fn a_body_that_is_no_form_is_not_read_as_one() {
    let host = open_host();
    let body = "jid=alice@localhost&type=text";
    let head = format!(
        "POST {STATUS} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {}",
        body.len()
    );
    let answer = exchange(host.process().ready().http, format!("{head}\r\n\r\n{body}")).expect("an answer");
    assert!(answer.status < 500, "{answer:?}");
    assert_ne!(answer.header("content-type"), Some("text/plain; charset=utf-8"));
}

#[test]
fn odd_input_is_never_a_fault_of_the_server() {
    let host = open_host();
    host.new_user("alice");
    let long = "x".repeat(5000);
    let values =
        ["", "%", "%zz", "%00", "%ff%fe", "%ed%a0%80", "%0d%0aX:y", "+", "=", "a=b", "[]", "%3Cscript%3E", "☃", &long];
    let address = host.process().ready().http;
    for name in ["jid", "req_jid", "type", "images", "available", "offline", "forbidden", "jid[]", "", "%"] {
        for value in values {
            let request = format!("GET {STATUS}?{name}={value} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
            let answer = exchange(address, request).unwrap_or_else(|error| panic!("{name}={value}: {error}"));
            assert!(answer.status < 500, "{name}={value}: {answer:?}");
            assert_eq!(answer.header("x"), None, "{name}={value}: an injected field");
        }
    }
}

#[test]
fn control_characters_never_reach_a_document() {
    let host = open_host();
    host.new_user("alice");
    let answer = ask(&host, "type=xml&jid=alice@localhost%01&req_jid=%3C!--%22@x%0b");
    assert_eq!(answer.status, 200);
    let text = answer.text();
    assert!(!text.contains(|character: char| character.is_control() && character != '\n'), "{text:?}");
    assert!(!text.contains("<!--"), "{text:?}");
}
