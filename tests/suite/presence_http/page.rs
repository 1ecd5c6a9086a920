//! The plugin's own page: what it shows is there, and what was typed stays text.

use std::collections::BTreeSet;

use serde_json::Value;
use tests::{
    browser::Browser,
    host::{Host, PATIENCE},
    http::{Answer, encode},
    skip::skipped,
    wait,
};

use super::{open_host, show, widget::WITNESS, without_browser};

const HOME: &str = "/plugins/presence/";

#[track_caller]
fn page(host: &Host, query: &str) -> Answer {
    let page = host.http().get(&format!("{HOME}{query}"));
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")), "{page:?}");
    page
}

/// The addresses of this server that a page names outside of what is there to copy.
fn addresses(page: &str) -> BTreeSet<String> {
    let attributes = ["src=\"", "href=\"", "data-answer=\"", "action=\""];
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

/// It hears of changes by the icon that it shows, which shares its stream with all other pages of the site.
#[test]
fn it_follows_a_user_by_one_stream() {
    let host = open_host();
    let mut alice = host.new_user("alice");
    show(&mut alice, "away", "Lunch");
    let Some(mut browser) = Browser::start() else { return without_browser("the page") };
    browser.before_each_page(WITNESS);
    browser.open(&format!("http://{}{HOME}?jid=alice@localhost", host.process().ready().http));
    let mut until = |expression: &str, expected: &str| {
        wait::until(PATIENCE, expression, || (browser.value(expression) == expected).then_some(()));
    };
    let told = "document.querySelector('[role=status]')?.textContent";
    until(told, "alice@localhost is away: Lunch. This page follows.");
    show(&mut alice, "dnd", "");
    until(told, "alice@localhost is dnd. This page follows.");
    until("String(document.querySelector('[data-answer]').textContent.includes('\"state\":\"dnd\"'))", "true");
    until("document.querySelector('presence-icon').getAttribute('state')", "dnd");
    until("String(streams.length)", "1");
    let copied = "(navigator.clipboard.writeText = async (text) => { window.copied = text; }, \
                  document.querySelector('[aria-label=\"Copy command for JSON\"]').click(), copied)";
    let command = format!("curl 'http://{}{HOME}v1/users/alice@localhost.json'", host.process().ready().http);
    until(copied, &command);
}

/// On a phone, too, whoever copies an address by hand finds its parts whole.
#[test]
fn what_is_to_be_copied_breaks_between_words() {
    let Some(mut browser) = Browser::start() else { return without_browser("the page") };
    let host = open_host();
    let mut alice = host.new_user("alice");
    show(&mut alice, "away", "Lunch");
    browser.look_like(390, "light");
    browser.open(&format!("http://{}{HOME}?jid=alice@localhost&theme=dark", host.process().ready().http));
    let answered =
        "[...document.querySelectorAll('[data-answer]')].filter((pre) => pre.textContent.startsWith('$')).length";
    wait::until(PATIENCE, "three answers", || (browser.value(answered) == 3).then_some(()));
    assert_eq!(browser.value(BROKEN_WORDS), serde_json::json!([]));
}

/// The words of what is to be copied of which one part stands in another line than the rest.
const BROKEN_WORDS: &str = r#"
    [...document.querySelectorAll("pre code")].flatMap((code) => {
        const nodes = document.createTreeWalker(code, NodeFilter.SHOW_TEXT), broken = [];
        while (nodes.nextNode()) {
            for (const word of nodes.currentNode.data.matchAll(/[\w@.]+/g)) {
                const range = document.createRange();
                range.setStart(nodes.currentNode, word.index);
                range.setEnd(nodes.currentNode, word.index + word[0].length);
                if (new Set([...range.getClientRects()].map(({top}) => top)).size > 1) broken.push(word[0]);
            }
        }
        return broken;
    })"#;

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

/// axe-core, in the file that `AXE` names.
fn axe() -> Option<String> {
    let file = std::env::var("AXE").ok().filter(|file| !file.is_empty())?;
    Some(std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{file}: {error}")))
}

/// What axe finds serious or critical, a line each.
#[track_caller]
fn faults(browser: &mut Browser, axe: &str) -> Vec<String> {
    browser.value(&format!("{axe};0"));
    let found = browser.value(
        "axe.run().then(({violations}) => violations.filter(({impact}) => impact == 'serious' || impact == 'critical')
             .flatMap(({id, nodes}) => nodes.map(({target, failureSummary}) => `${id}: ${target}: ${failureSummary}`)))",
    );
    found.as_array().expect("a list").iter().map(Value::to_string).collect()
}

/// On a desk, on a phone and on a small one, by day and by night. With `PICTURES`, a folder, there is something to look at.
#[test]
fn nobody_is_kept_from_the_page() {
    let Some(axe) = axe() else {
        return skipped("the page before axe", "it needs axe-core, in AXE (`make test` installs it)");
    };
    let Some(mut browser) = Browser::start() else { return without_browser("the page before axe") };
    let host = open_host();
    let mut alice = host.new_user("alice");
    show(&mut alice, "away", "Lunch");
    let origin = format!("http://{}", host.process().ready().http);
    for (name, target) in [("front", "/"), ("home", HOME), ("alice", "/plugins/presence/?jid=alice@localhost&label=Me")]
    {
        for (width, scheme) in [1100, 375, 320].into_iter().flat_map(|width| [(width, "light"), (width, "dark")]) {
            browser.look_like(width, scheme);
            browser.open(&format!("{origin}{target}"));
            // The last that comes in says so.
            let is_there = if name == "alice" {
                "/Lunch.*follows/.test(document.body?.innerText)"
            } else {
                "document.readyState == 'complete'"
            };
            wait::until(PATIENCE, "the page is there", || (browser.value(is_there) == true).then_some(()));
            if let Ok(folder) = std::env::var("PICTURES") {
                let file = format!("{folder}/{name}-{width}-{scheme}.png");
                std::fs::write(file, browser.picture()).expect("a folder for pictures");
            }
            assert_eq!(faults(&mut browser, &axe), [""; 0], "{name}, {width} wide, {scheme}");
            let scrolls = browser.value("document.documentElement.scrollWidth > document.documentElement.clientWidth");
            assert_eq!(scrolls, false, "{name}: {width} wide");
        }
    }
    browser.value("document.body.append(new Image()); 0");
    assert!(faults(&mut browser, &axe).iter().any(|fault| fault.contains("image-alt")), "it would have been found");
}

/// Whom the setting shows to friends only is not shown to the page either, unless it asks as one.
#[test]
fn a_user_is_shown_as_seen_by_somebody() {
    let host = Host::with_presence();
    let mut alice = host.new_user("alice");
    show(&mut alice, "away", "Lunch");
    let page = page(&host, "?jid=alice@localhost&req_jid=alice@localhost");
    let asking = addresses(page.text()).into_iter().filter(|address| address.contains("users/alice@localhost"));
    let mut asked = 0;
    for address in asking.filter(|address| !address.contains("/events")) {
        let answer = host.http().get(&address);
        assert_eq!((answer.status, answer.header("cache-control")), (200, Some("private, no-store")), "{address}");
        asked += 1;
    }
    assert!(asked > 6, "{page:?}");
    assert!(page.text().contains("value=\"alice@localhost\" placeholder=\"user@localhost\""), "{page:?}");
}
