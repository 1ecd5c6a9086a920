//! A token proves for whom a request speaks. Where proof is asked for, nothing else does.

use tests::{
    host::{Host, PATIENCE},
    http::{Answer, events::EventSource},
    records, wait,
    xmpp::{Session, befriend},
};

use super::{super::show, STATUS, alice, alice_away, now, restarted, say, state, state_by, token};

/// Alice, who is away, and bob, who is subscribed to her, where requesters have to prove who they are.
fn alice_and_bob() -> (Host, Session, Session) {
    let (host, mut alice) = alice_away("verified");
    let mut bob = host.new_user("bob");
    befriend(&mut alice, &mut bob).unwrap();
    (host, alice, bob)
}

/// Row H9.
#[test]
fn a_claim_needs_proof_and_a_token_is_one() {
    let (host, mut alice, mut bob) = alice_and_bob();
    let mut eve = host.new_user("eve");
    assert_eq!(state(&host, "&req_jid=bob@localhost"), "forbidden");
    assert_eq!(state_by(&host, &token(&mut bob, "")), "away");
    assert_eq!(state_by(&host, &token(&mut eve, "")), "forbidden");
    let own = token(&mut alice, "");
    assert_eq!(state_by(&host, &own), "away");
    say(&mut alice, "who nobody");
    assert_eq!(state_by(&host, &own), "away", "nobody but herself");
    assert_eq!(state_by(&host, &token(&mut bob, "")), "forbidden");
}

#[test]
fn a_token_is_good_for_whom_and_what_it_says() {
    let (host, mut alice, mut bob) = alice_and_bob();
    let mut carol = host.new_user("carol");
    befriend(&mut carol, &mut bob).unwrap();
    show(&mut carol, "dnd", "");
    let of_carol = token(&mut bob, "of carol");
    assert_eq!(state_by(&host, &of_carol), "forbidden");
    let carol_is = |token: &str| host.http().get(&format!("{STATUS}?jid=carol@localhost&type=json&token={token}"));
    assert!(carol_is(&of_carol).text().contains("\"state\":\"dnd\""));
    let (state_only, both) = (token(&mut bob, "of alice state"), token(&mut bob, "of alice"));
    let words = |token: &str| super::alice(&host, &format!("&token={token}")).text().contains("Lunch");
    assert_eq!((state_by(&host, &state_only).as_str(), words(&state_only), words(&both)), ("away", false, true));
    say(&mut alice, "what state");
    assert!(!words(&both), "her own choice is narrower");
}

/// One that was revoked, changed, made up or never there is like none: under every setting the claim counts as it does without.
#[test]
fn a_token_that_is_worth_nothing_is_like_none() {
    let (host, _alice, mut bob) = alice_and_bob();
    let good = token(&mut bob, "as First");
    let listed = say(&mut bob, "tokens");
    let id = listed.split(' ').next().unwrap();
    assert!(listed.contains("First: status of everybody, until "), "{listed}");
    assert_eq!(state_by(&host, &good), "away");
    say(&mut bob, &format!("revoke {id}"));
    let another = token(&mut bob, "");
    let mut forged = another.clone();
    forged.replace_range(20..21, if &another[20..21] == "A" { "B" } else { "A" });
    let worthless = [good.as_str(), &forged, "p1.", "p1.AAAA", "x", &"A".repeat(5_000)];
    for setting in ["verified", "subscribed", "anyone"] {
        host.set("presence.visibility", setting);
        for claim in ["", "&req_jid=bob@localhost", "&req_jid=eve@localhost"] {
            let without = state(&host, claim);
            for token in worthless {
                let with = alice(&host, &format!("{claim}&token={token}"));
                assert!(with.text().contains(&format!("\"state\":\"{without}\"")), "{setting} {claim} {token}");
                assert_eq!(with.header("cache-control"), Some("private, no-store"));
                assert_eq!(with.header("access-control-allow-origin"), None);
            }
        }
    }
    host.set("presence.visibility", "verified");
    assert_eq!(state_by(&host, &another), "away");
    assert_eq!(say(&mut bob, "revoke all"), "1 token was revoked.");
    assert_eq!(state_by(&host, &another), "forbidden");
}

/// None of the service's own lives can be waited for: this one was signed without it.
#[test]
fn a_token_is_good_until_it_expires_and_then_like_none() {
    const LIFE: u64 = 10;
    let (mut host, _alice) = alice_away("verified");
    let expires = now() + LIFE;
    let (token, stored) = records::token("alice@localhost", now(), expires);
    let mut alice = restarted(&mut host, |state| records::write(state, &stored));
    let target = format!("/plugins/presence/v1/users/alice@localhost/events?token={token}");
    // It looks again every 20 s, and the machine is busy.
    let mut stream = EventSource::open(host.process().ready().http, &target, "", 3 * PATIENCE);
    assert_eq!(stream.state(), "away");
    assert!(say(&mut alice, "tokens").contains("status of everybody, until "));
    let mut times_good = 0;
    wait::until(PATIENCE, "it expires", || {
        let (before, state, after) = (now(), state(&host, &format!("&token={token}")), now());
        assert!(after >= expires || state == "away", "{state} at {after}, until {expires}");
        assert!(before < expires || state == "forbidden", "{state} at {before}, until {expires}");
        times_good += usize::from(state == "away");
        (before >= expires).then_some(())
    });
    assert!(times_good > 0, "the machine was too slow to see it good");
    let refused = |setting: &str, token: &str| {
        host.set("presence.visibility", setting);
        ["", "&req_jid=eve@localhost"].map(|claim| alice_by(&host, &format!("&token={token}{claim}")))
    };
    for setting in ["subscribed", "verified"] {
        assert_eq!(refused(setting, &token), refused(setting, "p1.AAAA"), "{setting}");
    }
    assert_eq!(say(&mut alice, "tokens"), "You have no tokens.");
    assert_eq!(stream.state(), "forbidden");
}

/// The answer about alice, whenever it was given.
#[track_caller]
fn alice_by(host: &Host, query: &str) -> Answer {
    alice(host, query).comparable()
}

#[test]
fn another_key_makes_all_tokens_worthless_for_good_and_signs_the_next_ones() {
    let (mut host, mut alice, mut bob) = alice_and_bob();
    let first = [token(&mut alice, ""), token(&mut bob, "")];
    let target = format!("/plugins/presence/v1/users/alice@localhost/events?token={}", first[1]);
    let mut stream = EventSource::open(host.process().ready().http, &target, "", PATIENCE);
    assert_eq!(stream.state(), "away");
    host.set("presence.token_key", "2");
    assert_eq!(first.each_ref().map(|token| state_by(&host, token)), ["forbidden"; 2]);
    assert_eq!(stream.state(), "forbidden");
    assert_eq!(
        (say(&mut alice, "tokens"), say(&mut bob, "tokens")),
        ("You have no tokens.".into(), "You have no tokens.".into())
    );
    let second = token(&mut bob, "");
    assert_eq!(state_by(&host, &second), "away");
    // Any other setting leaves them alone.
    host.set("presence.max_age", "1");
    assert_eq!(state_by(&host, &second), "away");
    let alice = restarted(&mut host, |_| {});
    assert_eq!((state_by(&host, &second).as_str(), state_by(&host, &first[1]).as_str()), ("away", "forbidden"));
    host.set("presence.token_key", "1");
    assert_eq!([&first[0], &first[1], &second].map(|token| state_by(&host, token)), ["forbidden"; 3]);
    // Set while nobody is there to hear of it.
    let third = token(&mut host.login("bob"), "");
    assert_eq!(state_by(&host, &third), "away");
    drop(alice);
    assert_eq!(host.terminate(), Some(0));
    host.set("presence.token_key", "3");
    host.run();
    show(&mut host.login("alice"), "away", "");
    assert_eq!(state_by(&host, &third), "forbidden");
}

#[test]
fn a_user_has_so_many_tokens_and_addresses_and_no_more() {
    let (_host, mut alice) = alice_away("verified");
    (0..32).for_each(|_| drop(token(&mut alice, "")));
    assert!(say(&mut alice, "token").contains("revoke one first"));
    assert_eq!(say(&mut alice, "revoke all"), "32 tokens were revoked.");
    token(&mut alice, "");
    (0..32).for_each(|_| assert!(say(&mut alice, "address").contains("/v1/u/")));
    assert!(say(&mut alice, "address").contains("revoke one first"));
}

/// By the address that connects, never by what it says of others.
#[test]
fn who_comes_from_a_trusted_address_is_believed() {
    let (host, _alice, _bob) = alice_and_bob();
    let bob = "&req_jid=bob@localhost";
    assert_eq!(state(&host, bob), "forbidden");
    host.set("presence.trusted", "192.0.2.1");
    let target = format!("{STATUS}?jid=alice@localhost&type=json{bob}");
    let forwarded = host.http().request("GET", &target, &[("X-Forwarded-For", "192.0.2.1")]);
    assert!(forwarded.text().contains("forbidden"), "{forwarded:?}");
    host.set("presence.trusted", "192.0.2.1, 127.0.0.1");
    assert_eq!(state(&host, bob), "away");
    assert_eq!(state(&host, "&req_jid=eve@localhost"), "forbidden");
    assert_eq!(state(&host, ""), "forbidden");
    host.set("presence.trusted", "");
    assert_eq!(state(&host, bob), "forbidden");
}

/// Whatever the log is told to tell.
#[test]
fn a_token_is_in_no_log() {
    let mut host = Host::prepare();
    host.drop_plugin(&tests::artefacts::artefacts().presence, "presence.so");
    host.configure("log = 'trace'\n");
    host.run();
    host.set("presence.visibility", "verified");
    let mut alice = host.new_user("alice");
    show(&mut alice, "away", "");
    let token = token(&mut alice, "");
    let said = say(&mut alice, "address");
    let address = said.lines().next().unwrap().rsplit('/').next().unwrap();
    assert_eq!(state_by(&host, &token), "away");
    for target in [&format!("{STATUS}/nowhere?token={token}"), &format!("/nowhere?token={token}")] {
        assert_eq!(host.http().get(target).status, 404);
    }
    host.http().request("PUT", &format!("{STATUS}?token={token}"), &[("Authorization", &format!("Bearer {token}"))]);
    assert!(host.http().get(&format!("/plugins/presence/v1/u/{address}.json")).text().contains("away"));
    let log = host.process().log();
    assert!(log.contains("TRACE"), "nothing is left out");
    let secret = &token["p1.".len()..];
    assert!(!log.contains(secret) && !log.contains(address), "a secret is in the log");
}
