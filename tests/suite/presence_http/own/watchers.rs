//! Who watches is told at once of what a user chooses and revokes.

use std::time::Duration;

use tests::{host::Host, http::events::EventSource};

use super::{super::show, alice_away, say, token};

/// Every watcher looks again after 20 s anyway.
const AT_ONCE: Duration = Duration::from_secs(8);

#[track_caller]
fn watch(host: &Host, query: &str) -> EventSource {
    let target = format!("/plugins/presence/v1/users/alice@localhost/events{query}");
    EventSource::open(host.process().ready().http, &target, "", AT_ONCE)
}

#[test]
fn a_choice_reaches_the_streams_that_are_open() {
    let (host, mut alice) = alice_away("anyone");
    let mut stream = watch(&host, "");
    assert_eq!(stream.state(), "away");
    for (choice, state) in [("nobody", "forbidden"), ("default", "away"), ("subscribers", "forbidden")] {
        say(&mut alice, &format!("who {choice}"));
        assert_eq!(stream.state(), state, "{choice}");
    }
    say(&mut alice, "forget");
    assert_eq!(stream.state(), "away");
}

#[test]
fn an_unlisted_address_has_a_stream_that_names_nobody_and_ends_with_it() {
    let (host, mut alice) = alice_away("anyone");
    say(&mut alice, "who nobody");
    let said = say(&mut alice, "address My blog");
    let address = said.lines().next().unwrap();
    let target = format!("{address}/events");
    let mut stream = EventSource::open(host.process().ready().http, &target, "", AT_ONCE);
    assert_eq!(stream.head.header("access-control-allow-origin"), Some("*"));
    let first = stream.event();
    assert_eq!((&first.object()["state"], first.object().get("jid")), (&"away".into(), None));
    show(&mut alice, "dnd", "Busy");
    let told = stream.event().object();
    assert_eq!((&told["state"], &told["status"], told.get("jid")), (&"dnd".into(), &"Busy".into(), None));

    say(&mut alice, "who anyone");
    let id = address.rsplit('/').next().unwrap();
    let revoked = say(&mut alice, &format!("revoke {id}"));
    assert_eq!(stream.state(), "forbidden", "{revoked}: for this address, though she may be seen by her own");
    assert_eq!(watch(&host, "").state(), "dnd");
    let nobody = EventSource::open(host.process().ready().http, &target, "", AT_ONCE).event().data;
    assert_eq!(nobody.as_deref(), Some(r#"{"state":"forbidden","available":false}"#));
}

#[test]
fn a_stream_goes_dark_with_its_token() {
    let (host, mut alice) = alice_away("verified");
    let own = token(&mut alice, "");
    let mut streams = [watch(&host, &format!("?token={own}")), watch(&host, "")];
    assert_eq!(streams.each_mut().map(EventSource::state), ["away", "forbidden"]);
    assert_eq!(say(&mut alice, "revoke all"), "1 token was revoked.");
    assert_eq!(streams[0].state(), "forbidden");
}
