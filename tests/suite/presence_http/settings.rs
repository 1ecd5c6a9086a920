//! What the administrator can set: checked when it is set, in force at the next request, kept by upgrades and restarts.

use std::collections::BTreeMap;

use serde_json::Value;
use tests::{
    artefacts::artefacts,
    host::Host,
    http::{Answer, encode},
    plugin_file::PluginFile,
};

use super::{STATUS, ask, open_host, show, text_of_alice};

/// Settings with a value, as it is given and as it is kept.
const VALUES: [(&str, &str, &str); 13] = [
    ("visibility", "anyone", "anyone"),
    ("available_text", " Am Platz ", "Am Platz"),
    ("unavailable_text", "Nicht da", "Nicht da"),
    ("redirect_hosts", "Icons.example, other.example", "icons.example,other.example"),
    ("max_age", "60", "60"),
    ("rate", "1", "1"),
    ("burst", "2", "2"),
    ("proxies", "192.0.2.1, ::1", "192.0.2.1,::1"),
    ("rate", "0", "0"),
    ("token_key", "7", "7"),
    ("trusted", "192.0.2.9", "192.0.2.9"),
    ("streams", "10", "10"),
    ("streams_of_client", "5", "5"),
];

#[track_caller]
fn value(host: &Host, name: &str) -> String {
    host.command(&["setting", "get", &format!("presence.{name}")]).succeeds().trim_end().to_owned()
}

#[test]
fn each_setting_is_checked_kept_and_restored_to_its_default() {
    let mut host = Host::with_presence();
    let defaults = VALUES.map(|(name, ..)| (name, value(&host, name)));
    for (name, given, kept) in VALUES {
        host.set(&format!("presence.{name}"), given);
        assert_eq!(value(&host, name), kept, "{name}");
    }
    // The later of two values holds.
    let are_kept = |host: &Host, when: &str| {
        let kept: BTreeMap<_, _> = VALUES.map(|(name, _, kept)| (name, kept)).into();
        kept.into_iter().for_each(|(name, kept)| assert_eq!(value(host, name), kept, "{name} {when}"));
        let answer = ask(host, "type=text");
        assert_eq!((answer.text(), answer.header("cache-control")), ("Nicht da\n", Some("max-age=60")), "{when}");
    };
    for version in ["0.1.1", "0.1.0"] {
        PluginFile::read(&artefacts().presence).with_version(version).write(&host.plugins(), "presence.so");
        host.until_version("presence", version);
        are_kept(&host, &format!("after {version} took over"));
    }
    host.crash_and_restart();
    are_kept(&host, "after a restart");
    for (name, default) in defaults {
        host.set(&format!("presence.{name}"), "");
        assert_eq!(value(&host, name), default, "{name}");
    }
    assert_eq!(ask(&host, "type=text").text(), "Unavailable\n");
}

/// What `subscribed` believes is said wherever an administrator reads of it.
#[test]
fn the_administrator_is_told_what_each_setting_means() {
    let host = Host::with_presence();
    let said = "nothing proves it, and whoever knows a subscriber's address can ask in its name";
    let shown = host.command(&["setting", "show", "presence.visibility"]).succeeds();
    for told in [said, "Who may see", "subscribed", "(is the default)", "one of anyone, subscribed, verified"] {
        assert!(shown.contains(told), "{told}: {shown}");
    }
    let bounds = host.command(&["setting", "show", "presence.max_age"]).succeeds();
    assert!(bounds.contains("a whole number from 0 to 3600"), "{bounds}");
    let listed = host.command(&["setting", "list", "--json"]).succeeds();
    let listed: Vec<Value> = serde_json::from_str(&listed).unwrap();
    let page = host.console().get("/").text().replace("&amp;", "&");
    for setting in &listed {
        for field in ["name", "label", "takes", "help"] {
            let told = setting[field].as_str().filter(|told| !told.is_empty());
            assert!(told.is_some_and(|told| page.contains(told)), "{field}: {setting}: {page}");
        }
    }
    assert!(page.contains(said), "{page}");
    let wrong = host.command(&["setting", "show", "presence.visible"]).fails(1);
    assert!(wrong.contains("it has presence.visibility, "), "{wrong}");
}

#[test]
fn a_value_that_is_none_is_refused_and_named() {
    let host = Host::with_presence();
    for (name, wrong, right) in [
        ("visibility", "everybody", "subscribed"),
        ("redirect_hosts", "https://icons.example", "host"),
        ("max_age", "3601", "3600"),
        ("max_age", "soon", "3600"),
        ("rate", "-1", "1000000"),
        ("burst", "0", "1000000"),
        ("proxies", "10.0.0.0/8", "192.0.2.7,2001:db8::1"),
        ("proxies", "127.0.0.1, x", "\"x\" is no IP address"),
        ("trusted", "*", "IP address"),
        ("trusted", "127.0.0.1:80", "IP address"),
        ("trusted", &"x".repeat(10_000), "IP address"),
        ("redirect_hosts", &"x".repeat(10_000), "host"),
    ] {
        let said = host.command(&["setting", "set", &format!("presence.{name}"), wrong]).fails(1);
        assert!(said.contains(name) && said.contains(right) && said.len() < 500, "{name}={wrong}: {said}");
    }
    assert_eq!((value(&host, "proxies"), value(&host, "trusted")), (String::new(), String::new()));
}

#[test]
fn public_answers_may_be_used_again_for_as_long_as_is_set() {
    let host = open_host();
    host.add_user("alice");
    let images = encode("http://icons.example/--IMAGE--");
    host.set("presence.max_age", "60");
    for rest in ["", "&type=text", "&type=json", &format!("&images={images}")] {
        let answer = ask(&host, &format!("jid=alice@localhost{rest}"));
        assert_eq!(answer.header("cache-control"), Some("max-age=60"), "{rest}");
        let asked = ask(&host, &format!("jid=alice@localhost&req_jid=alice@localhost{rest}"));
        assert_eq!(asked.header("cache-control"), Some("private, no-store"), "{rest}");
    }
    assert_eq!(ask(&host, "type=nonsense").header("cache-control"), Some("no-cache"));
    host.set("presence.max_age", "0");
    assert_eq!(ask(&host, "jid=alice@localhost").header("cache-control"), Some("no-cache"));
}

/// Row H24. The tests come from loopback, which is not limited: a proxy says for whom it asks.
#[test]
fn who_asks_too_often_is_told_to_wait() {
    let host = open_host();
    let mut alice = host.new_user("alice");
    show(&mut alice, "", "here");
    let ask_for = |client: &str, times: usize| -> Vec<Answer> {
        let target = format!("{STATUS}?jid=alice@localhost&type=text");
        (0..times).map(|_| host.http().request("GET", &target, &[("X-Forwarded-For", client)])).collect()
    };
    let good = |answers: &[Answer]| answers.iter().filter(|answer| answer.status == 200).count();
    host.set("presence.burst", "3");
    host.set("presence.rate", "1");
    assert_eq!(good(&ask_for("198.51.100.1", 10)), 10, "nobody is believed unless listed");
    host.set("presence.proxies", "127.0.0.1");
    let answers = ask_for("198.51.100.1", 20);
    // On a busy machine, a second or several go by meanwhile.
    assert!((3..15).contains(&good(&answers)), "{answers:?}");
    let refusal = answers.iter().find(|answer| answer.status != 200).expect("one too many");
    assert_eq!((refusal.status, refusal.header("retry-after")), (429, Some("1")), "{refusal:?}");
    assert_eq!(refusal.header("cache-control"), Some("no-store"));
    assert_eq!(refusal.header("content-type"), Some("text/plain; charset=utf-8"));
    assert_eq!(refusal.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(good(&ask_for("203.0.113.9, 198.51.100.2", 3)), 3, "another client");
    assert!(good(&ask_for("198.51.100.9, 198.51.100.1", 20)) < 15, "what a client writes in front changes nothing");
    let network = ["2001:db8::1", "2001:db8::2:3:4:5"].map(|client| good(&ask_for(client, 10)));
    assert!(network[0] >= 3 && network[1] < 10, "one subscriber of IPv6: {network:?}");
    assert_eq!(good(&ask_for("127.0.0.1", 10)), 10, "loopback is not limited");
    assert_eq!(text_of_alice(&host), "here\n", "nor the proxy itself, which names nobody");
    for client in ["198.51.100.3:1000", "[2001:db8:1::1]:5", "unknown"] {
        let answered = good(&ask_for(client, 20));
        assert!((3..15).contains(&answered), "{client}: {answered}");
    }
    assert!(good(&ask_for("_hidden", 20)) < 15, "all that can't be read are one client");
    for page in ["", "example", "v1/icons/away.png?size=256", "v1/presence?jid=x"] {
        let target = format!("/plugins/presence/{page}");
        let ask = || host.http().request("GET", &target, &[("X-Forwarded-For", "198.51.100.7")]).status;
        assert!((0..20).any(|_| ask() == 429), "what takes work counts, too: {target}");
    }
    host.set("presence.rate", "0");
    assert_eq!(good(&ask_for("198.51.100.1", 10)), 10, "no limit at all, from the next request on");
}
