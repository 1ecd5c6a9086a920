//! What passes a limit ends, alone.

use std::thread;

use tests::{host::Host, xmpp::Error};

use super::{after_header, ended_by};

#[test]
fn bombs_of_depth_and_attributes() {
    let attributes: String = (0..10_000).map(|number| format!(" a{number}='x'")).collect();
    let openings = [
        after_header("<a>".repeat(100_000)),
        after_header(format!("<a{attributes}/>")),
        after_header(format!("<a b='{}'/>", "x".repeat(5 << 20))),
        after_header(format!("<{}/>", "x".repeat(5 << 20))),
        after_header(format!("<a>{}", "x".repeat(5 << 20))),
    ];
    // [X4] [X5] [X6] A name that is longer than the parser takes may be called malformed; and on a client that goes on sending,
    // the error may be lost with the reset of the connection.
    ended_by(&Host::start(), &["policy-violation", "not-well-formed", "no stream error"], &openings);
}

#[test]
fn a_session_has_limits_too() {
    let host = Host::start();
    let nested = format!("<message to='bob@localhost'>{}", "<a>".repeat(100));
    let long = format!("<message to='bob@localhost'><body>{}", "x".repeat(300 << 10));
    for (number, stanza) in [nested, long].into_iter().enumerate() {
        let mut alice = host.new_user(&format!("alice{number}"));
        let _ = alice.send(&stanza);
        let end = alice.stream().connection().stream_error().expect("the server ends the stream");
        assert_eq!(end.as_deref(), Some("policy-violation"));
    }
}

#[test]
fn an_account_has_ten_sessions() {
    let host = Host::start();
    host.add_user("alice");
    let log_in = || tests::xmpp::login(host.xmpp(), "alice@localhost", &tests::host::password("alice"));
    let mut sessions: Vec<_> = thread::scope(|scope| {
        let tries: Vec<_> = (0..30).map(|_| scope.spawn(log_in)).collect();
        tries.into_iter().filter_map(|login| login.join().unwrap().ok()).collect()
    });
    assert_eq!(sessions.len(), 10); // [X20]
    sessions.iter_mut().for_each(|session| session.settle().unwrap());
    let refused = log_in().map(drop);
    assert!(matches!(&refused, Err(Error::Unexpected(why)) if why.contains("resource-constraint")), "{refused:?}");
    sessions.pop().unwrap().close().unwrap();
    log_in().unwrap().settle().unwrap();
}
