//! Icons of the page's own: `images`, one address a state, and what is never redirected to.

use std::{io::ErrorKind, net::TcpListener};

use tests::{host::Host, http::encode};

use super::{STATUS, ask, open_host, show};

/// The target of the redirection that a query is answered with; `None` for the built-in icon.
#[track_caller]
fn target(host: &Host, query: &str) -> Option<String> {
    let answer = ask(host, query);
    if answer.status == 302 {
        return Some(answer.header("location").expect("a redirection has a target").to_owned());
    }
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("image/gif")), "{query}: {answer:?}");
    None
}

/// The target for alice when `parameter` has this value, which is encoded here.
#[track_caller]
fn target_by(host: &Host, parameter: &str, value: &str) -> Option<String> {
    target(host, &format!("jid=alice@localhost&{parameter}={}", encode(value)))
}

#[test]
fn every_token_becomes_the_state() {
    let host = open_host();
    host.new_user("alice");
    let template = "https://--IMAGE--.example/a/--IMAGE--.png?x=--IMAGE--";
    assert_eq!(
        target_by(&host, "images", template).as_deref(),
        Some("https://offline.example/a/offline.png?x=offline")
    );
}

#[test]
fn the_address_of_a_state_beats_the_template() {
    let host = open_host();
    let mut alice = host.new_user("alice");
    let mut query = format!("jid=alice@localhost&images={}", encode("http://t.example/--IMAGE--.png"));
    for state in ["available", "chat", "away", "xa", "dnd", "offline", "forbidden"] {
        query.push_str(&format!("&{state}={}", encode(&format!("http://{state}.example/own.png"))));
    }
    assert_eq!(target(&host, &query).as_deref(), Some("http://offline.example/own.png"));
    for state in ["available", "chat", "away", "xa", "dnd"] {
        show(&mut alice, if state == "available" { "" } else { state }, "");
        assert_eq!(target(&host, &query), Some(format!("http://{state}.example/own.png")));
    }
    show(&mut alice, "", "");
    assert_eq!(target_by(&host, "away", "http://a.example/"), None, "another state's address");
}

#[test]
fn images_mean_nothing_to_text_and_xml() {
    let host = open_host();
    host.new_user("alice");
    for kind in ["text", "xml"] {
        let images = encode("http://t.example/--IMAGE--.png");
        assert_eq!(ask(&host, &format!("jid=alice@localhost&type={kind}&images={images}")).status, 200);
    }
}

/// Row H2, in forty ways.
#[test]
fn only_plain_web_addresses_are_redirected_to() {
    let host = open_host();
    host.new_user("alice");
    let refused = [
        "javascript:alert('--IMAGE--')",
        "data:image/gif;base64,--IMAGE--",
        "ftp://example.com/--IMAGE--",
        "file:///etc/passwd?--IMAGE--",
        "gopher://example.com/--IMAGE--",
        "//evil.example/--IMAGE--",
        "\\\\evil.example\\--IMAGE--",
        "/local/--IMAGE--",
        "--IMAGE--",
        "http:--IMAGE--",
        "http:///--IMAGE--",
        "http://user@evil.example/--IMAGE--",
        "http://user:secret@evil.example/--IMAGE--",
        "http://evil.example\\@good.example/--IMAGE--",
        "http://evil.example/\r\nSet-Cookie: x=--IMAGE--",
        "http://evil.example/\n--IMAGE--",
        "http://evil.example/\t--IMAGE--",
        "http://evil.example/\0--IMAGE--",
        "http://evil.example/\u{7f}--IMAGE--",
        " http://evil.example/--IMAGE--",
        "http://@evil.example/--IMAGE--",
        "http://evil.example\u{a0}/--IMAGE--",
        "http://evil.example\u{85}/--IMAGE--",
        "http:/evil.example/--IMAGE--",
        "http:\\\\evil.example/--IMAGE--",
        "https:\\evil.example/--IMAGE--",
        "\u{feff}http://evil.example/--IMAGE--",
        "ht\ttp://evil.example/--IMAGE--",
        "jav\nascript:alert('--IMAGE--')",
        "vbscript:--IMAGE--",
        "blob:http://evil.example/--IMAGE--",
        "view-source:http://evil.example/--IMAGE--",
        "http://evil.example:65536/--IMAGE--",
        "http://evil.example:/--IMAGE--",
        "http://[::1/--IMAGE--",
        "http://[evil.example]/--IMAGE--",
        "http://evil%2eexample/--IMAGE--",
        "http://\u{ff45}vil.example/--IMAGE--",
        "http://évil.example/--IMAGE--",
        "http://?--IMAGE--",
        "http://#--IMAGE--",
        "http://evil.example/no-token",
        "",
    ];
    assert!(refused.len() >= 40);
    for url in refused {
        assert_eq!(target_by(&host, "images", url), None, "images={url:?}");
        let url = url.replace("--IMAGE--", "x");
        if url != "http://evil.example/no-token" {
            assert_eq!(target_by(&host, "offline", &url), None, "offline={url:?}");
        }
    }
    assert!(target_by(&host, "offline", "http://good.example/no-token").is_some());
    assert!(target_by(&host, "offline", "HTTPS://good.example:8443/a?b=c&d").is_some());
}

#[test]
fn a_target_may_have_2048_bytes() {
    let host = open_host();
    host.new_user("alice");
    let address = |length: usize| format!("{:a<length$}", "http://long.example/");
    assert_eq!(target_by(&host, "offline", &address(2048)), Some(address(2048)));
    assert_eq!(target_by(&host, "offline", &address(2049)), None);
    let template = format!("{}--IMAGE--", address(2041));
    assert_eq!(target_by(&host, "images", &template), Some(format!("{}offline", address(2041))));
}

#[test]
fn an_unusable_address_of_the_state_gives_the_built_in_icon() {
    let host = open_host();
    host.new_user("alice");
    let images = encode("http://t.example/--IMAGE--.png");
    assert_eq!(target(&host, &format!("jid=alice@localhost&images={images}&offline=javascript:x")), None);
}

#[test]
fn the_administrator_names_the_hosts_to_redirect_to() {
    let host = open_host();
    host.new_user("alice");
    host.set("presence.redirect_hosts", "icons.example, other.example., Müller.example");
    for (url, allowed) in [
        ("http://icons.example/x", true),
        ("https://ICONS.example:8443/x", true),
        ("http://other.example", true),
        ("http://icons.example./x", true),
        ("http://other.example:80/x", true),
        ("http://xn--mller-kva.example/x", true),
        ("http://icons.example../x", false),
        ("http://evil.example/x", false),
        ("http://icons.example.evil.example/x", false),
        ("http://evil.example/icons.example", false),
        ("http://xicons.example/x", false),
    ] {
        assert_eq!(target_by(&host, "offline", url).is_some(), allowed, "{url}");
    }
    host.set("presence.redirect_hosts", "");
    assert!(target_by(&host, "offline", "http://evil.example/x").is_some());
}

#[test]
fn a_page_of_its_own_is_never_redirected() {
    let host = open_host();
    host.new_user("alice");
    let query = format!("{STATUS}?jid=alice@localhost&offline={}", encode("http://icons.example/x"));
    let asked_as = |destination| host.http().request("GET", &query, &[("Sec-Fetch-Dest", destination)]);
    assert_eq!(asked_as("image").status, 302);
    let page = asked_as("document");
    assert_eq!((page.status, page.header("content-type")), (200, Some("image/gif")));
}

#[test]
fn the_server_never_fetches_an_address_of_a_request() {
    let host = open_host();
    host.new_user("alice");
    let trap = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/--IMAGE--", trap.local_addr().unwrap());
    for parameter in ["images", "offline", "forbidden", "available"] {
        target_by(&host, parameter, &url);
        ask(&host, &format!("jid=nobody@localhost&{parameter}={}", encode(&url)));
    }
    trap.set_nonblocking(true).unwrap();
    assert_eq!(trap.accept().map(drop).unwrap_err().kind(), ErrorKind::WouldBlock, "the server connected to the trap");
}
