//! Unlisted addresses: whoever has one sees a user and is not told whom.

use tests::host::Host;

use super::{super::show, alice_away, say};

const FORMS: [&str; 9] = [".json", ".xml", ".txt", ".svg", ".png", ".gif", "/icon.svg", "/badge.svg", "/badge.json"];

#[track_caller]
fn made(said: &str) -> String {
    said.lines().next().unwrap().to_owned()
}

#[track_caller]
fn state(host: &Host, address: &str) -> String {
    let answer = host.http().get(&format!("{address}.json"));
    let object: serde_json::Value = serde_json::from_str(answer.text()).unwrap();
    assert_eq!((answer.status, object.get("jid")), (200, None));
    object["state"].as_str().unwrap().to_owned()
}

#[test]
fn an_address_shows_the_user_and_names_nobody() {
    let (host, mut alice) = alice_away("verified");
    say(&mut alice, "who nobody");
    let address = made(&say(&mut alice, "address My blog"));
    assert_eq!(state(&host, &address), "away");
    for form in FORMS {
        let answer = host.http().get(&format!("{address}{form}"));
        assert_eq!(answer.status, 200, "{form}");
        let whole = format!("{:?} {}", answer.headers, String::from_utf8_lossy(&answer.body)).to_lowercase();
        assert!(!whole.contains("alice") && !whole.contains("localhost"), "{form}: {whole}");
        assert_eq!(answer.header("cache-control"), Some("private, no-store"), "{form}");
        assert_eq!(answer.header("access-control-allow-origin"), Some("*"), "{form}");
    }
    assert!(host.http().get(&format!("{address}.txt")).text().contains("Lunch"));
    say(&mut alice, "what state");
    assert!(!host.http().get(&format!("{address}.txt")).text().contains("Lunch"));
    show(&mut alice, "dnd", "");
    assert_eq!(state(&host, &address), "dnd");
}

#[test]
fn a_revoked_address_is_like_one_that_never_was() {
    let (host, mut alice) = alice_away("anyone");
    let [first, second] = ["address One", "address Two"].map(|line| made(&say(&mut alice, line)));
    assert_ne!(first, second);
    let listed = say(&mut alice, "addresses");
    assert!(listed.contains(&format!("One: {first}")) && listed.contains(&format!("Two: {second}")), "{listed}");
    say(&mut alice, &format!("revoke {}", first.rsplit('/').next().unwrap()));
    assert_eq!((state(&host, &first), state(&host, &second)), ("forbidden".into(), "away".into()));
    let base = first.rsplit_once('/').unwrap().0;
    for never in ["AAAAAAAAAAAAAAAAAAAAAA", "x", "alice@localhost", "AAAAAAAAAAAAAAAAAAAAA%2F", "%F0%9F%98%80"] {
        for form in FORMS {
            let [revoked, never] = [first.clone(), format!("{base}/{never}")]
                .map(|address| host.http().get(&format!("{address}{form}")).comparable());
            assert_eq!(revoked, never, "{form}");
        }
    }
}

#[test]
fn nobody_revokes_what_is_anothers() {
    let (host, mut alice) = alice_away("verified");
    let mut eve = host.new_user("eve");
    let address = made(&say(&mut alice, "address"));
    let id = address.rsplit('/').next().unwrap();
    assert_eq!(say(&mut eve, &format!("revoke {id}")), "Nothing was revoked.");
    assert_eq!(state(&host, &address), "away");
}
