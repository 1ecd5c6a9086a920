//! The plugin's own page: what it shows is there, and what was typed stays text.

use std::collections::BTreeSet;

use tests::{
    host::Host,
    http::{Answer, encode},
};

use super::{open_host, show};

const HOME: &str = "/plugins/presence/";

#[track_caller]
fn page(host: &Host, query: &str) -> Answer {
    let page = host.http().get(&format!("{HOME}{query}"));
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")), "{page:?}");
    page
}

/// The addresses of this server that a page names outside of what is there to copy.
fn addresses(page: &str) -> BTreeSet<String> {
    let attributes = ["src=\"", "href=\"", "data-answer=\"", "data-events=\"", "action=\""];
    let after = attributes.iter().flat_map(|attribute| page.split(attribute).skip(1));
    let values = after.filter_map(|rest| rest.split('"').next()).filter(|value| value.starts_with('/'));
    values.map(|value| value.replace("&amp;", "&")).collect()
}

#[test]
fn every_address_on_the_page_answers() {
    let host = open_host();
    let mut alice = host.new_user("alice");
    show(&mut alice, "away", "Lunch");
    for query in
        ["", "?jid=alice@localhost", "?jid=ALICE%40localhost&theme=dark&size=48&label=%C3%A9%26+%22&style=pill"]
    {
        let page = page(&host, query);
        let addresses = addresses(page.text());
        assert!(addresses.contains("/plugins/presence/page.js") && addresses.contains("/style.css"), "{addresses:?}");
        assert_eq!(addresses.iter().any(|address| address.contains("/icon.svg")), !query.is_empty(), "{addresses:?}");
        for address in addresses {
            // A stream has no end; its head has.
            let answer = host.http().request("HEAD", &address, &[]);
            assert_eq!(answer.status, 200, "{address}");
        }
    }
}

/// Rows H7 and H19.
#[test]
fn a_strict_policy_stands_before_what_was_typed() {
    let host = open_host();
    let nasty = encode("\"><script>alert(1)</script><img src=x onerror=alert(1)>@x");
    let page = page(&host, &format!("?jid={nasty}&label={nasty}&theme={nasty}&size={nasty}&style={nasty}"));
    let own = page.text().matches("<script src=\"/plugins/presence/").count();
    assert_eq!((own, page.text().matches("<script").count()), (2, 2), "{page:?}");
    assert!(!page.text().contains("<img src=x"), "{page:?}");
    let policy = page.header("content-security-policy").expect("a policy");
    assert!(
        policy.starts_with("default-src 'none'; ") && !policy.contains("unsafe") && !policy.contains('*'),
        "{policy}"
    );
    assert_eq!(page.header("referrer-policy"), Some("no-referrer"));
}

#[test]
fn its_files_are_asked_for_again_by_their_tags() {
    let host = open_host();
    for (file, kind) in [("page.js", "text/javascript; charset=utf-8"), ("page.css", "text/css; charset=utf-8")] {
        let target = format!("{HOME}{file}");
        let first = host.http().get(&target);
        assert_eq!((first.status, first.header("content-type")), (200, Some(kind)));
        let held = host.http().request("GET", &target, &[("If-None-Match", first.header("etag").expect("a tag"))]);
        assert_eq!((held.status, held.body.len()), (304, 0), "{file}");
    }
}
