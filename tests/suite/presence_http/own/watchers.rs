//! Who watches is told at once of what a user chooses and revokes.

use std::time::Duration;

use tests::{host::Host, http::events::EventSource};

use super::{alice_away, say, token};

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
fn a_stream_goes_dark_with_its_token() {
    let (host, mut alice) = alice_away("verified");
    let own = token(&mut alice, "");
    let mut streams = [watch(&host, &format!("?token={own}")), watch(&host, "")];
    assert_eq!(streams.each_mut().map(EventSource::state), ["away", "forbidden"]);
    assert_eq!(say(&mut alice, "revoke all"), "1 token was revoked.");
    assert_eq!(streams[0].state(), "forbidden");
}
