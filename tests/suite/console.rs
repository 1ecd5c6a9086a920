//! The administrator's listener and the page at `/`.

use tests::{artefacts::artefacts, host::Host};

#[test]
fn health_and_metrics_are_told() {
    let host = Host::with_presence();
    assert_eq!(host.console().get("/healthz").status, 200);
    let before = host.console().get("/metrics");
    assert_eq!(before.status, 200);
    assert!(before.header("content-type").is_some_and(|kind| kind.starts_with("text/plain")));
    assert!(before.text().lines().any(|line| line.starts_with("# TYPE ")), "{}", before.text());
}

#[test]
fn the_page_of_plugins_shows_states_and_reasons_escaped() {
    let host = Host::with_presence();
    host.drop_plugin(artefacts().fixture("start_fails"), "bad.so");
    host.until_refused("bad.so", "no coffee");
    let page = host.console().get("/");
    assert_eq!(page.status, 200);
    assert!(page.text().contains("presence"));
    assert!(page.text().contains("no coffee &lt;in&gt; the pot"), "{}", page.text());
    assert_eq!(page.header("x-content-type-options"), Some("nosniff"));
    let policy = page.header("content-security-policy").expect("a policy");
    assert!(!policy.contains("unsafe-inline") && policy.contains("frame-ancestors 'none'"), "{policy}");
}

/// Row H11: no page of another origin reads the console.
#[test]
fn the_console_is_shared_with_no_origin() {
    let host = Host::start();
    for origin in ["null", "http://evil.example", "http://localhost", "http://127.0.0.1"] {
        for path in ["/", "/healthz", "/metrics", "/nothing"] {
            for method in ["GET", "OPTIONS", "POST"] {
                let answer = host.console().request(method, path, &[("Origin", origin)]);
                let shared = answer.headers.iter().find(|(name, _)| name.starts_with("access-control-"));
                assert_eq!(shared, None, "{method} {path} from {origin}");
            }
        }
    }
}

#[test]
fn the_console_is_not_on_the_public_listener() {
    let host = Host::start();
    for path in ["/healthz", "/metrics"] {
        assert_eq!(host.http().get(path).status, 404, "{path}");
    }
}

#[test]
fn the_first_page_shows_what_is_deployed() {
    let host = Host::with_presence();
    host.add_user("alice");
    let page = host.http().get("/");
    assert_eq!(page.status, 200);
    assert!(page.header("content-type").is_some_and(|kind| kind.starts_with("text/html")));
    let text = page.text().replace("<wbr>", "");
    assert!(text.contains("GET HEAD POST <b>/plugins/presence/status</b>"), "{text}");
}
