//! Badges: a label and a word.

use serde_json::{Value, json};
use tests::http::encode;

use super::{form, open_host, problem, show};

#[test]
fn a_badge_has_the_label_and_the_state_in_words() {
    let host = open_host();
    let mut alice = host.new_user("alice");
    show(&mut alice, "dnd", "");
    for (query, label) in [("", "presence"), ("?label=Alice", "Alice"), ("?style=pill&label=Al%20ice", "Al ice")] {
        let badge = form(&host, &format!("alice@localhost/badge.svg{query}"));
        assert_eq!((badge.status, badge.header("content-type")), (200, Some("image/svg+xml")), "{badge:?}");
        assert_eq!(badge.header("content-security-policy"), Some("default-src 'none'; sandbox"));
        assert_eq!(badge.header("cross-origin-resource-policy"), Some("cross-origin"));
        let svg: minidom::Element = badge.text().parse().expect("well-formed");
        assert_eq!(
            (svg.attr("role"), svg.attr("aria-label")),
            (Some("img"), Some(&*format!("{label}: do not disturb")))
        );
        let texts: Vec<_> = svg.children().filter(|child| child.name() == "text").map(minidom::Element::text).collect();
        assert_eq!(texts, [label, "do not disturb"]);
    }
    let endpoint: Value = serde_json::from_str(form(&host, "alice@localhost/badge.json?label=Alice").text()).unwrap();
    let expected = json!({"schemaVersion": 1, "label": "Alice", "message": "do not disturb", "color": "#cf2233",
        "labelColor": "#3b434d", "namedLogo": "xmpp"});
    assert_eq!(endpoint, expected);
}

/// Row H7: whatever a label is, no markup comes of it.
#[test]
fn a_label_is_text() {
    let host = open_host();
    host.add_user("alice");
    for label in [
        "</title><script>alert(1)</script>",
        "\"onload=\"alert(1)",
        "]]>&#x3c;",
        "<![CDATA[",
        "\u{5E9}\u{5DC}\u{5D5}\u{5DD}",
    ] {
        let badge = form(&host, &format!("alice@localhost/badge.svg?label={}", encode(label)));
        let svg: minidom::Element = badge.text().parse().expect("well-formed");
        let names: Vec<_> = svg.children().map(minidom::Element::name).collect();
        assert_eq!(names, ["title", "path", "path", "text", "text"], "{badge:?}");
        assert_eq!(svg.attr("onload"), None, "{badge:?}");
        assert_eq!(svg.children().find(|child| child.name() == "text").unwrap().text(), label);
        let endpoint = form(&host, &format!("alice@localhost/badge.json?label={}", encode(label)));
        assert_eq!(serde_json::from_str::<Value>(endpoint.text()).unwrap()["label"], label);
    }
}

#[test]
fn what_is_out_of_bounds_is_named() {
    let host = open_host();
    for (query, parameter, limit) in
        [(format!("label={}", "x".repeat(65)), "label", json!(64)), ("style=plastic".to_owned(), "style", Value::Null)]
    {
        for kind in ["svg", "json"] {
            let problem = problem(&form(&host, &format!("nobody@localhost/badge.{kind}?{query}")), 400);
            assert_eq!((&problem["parameter"], &problem["limit"]), (&json!(parameter), &limit), "{problem}");
        }
    }
}
