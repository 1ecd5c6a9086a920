//! A user's own choice beats the setting of the site.

use tests::xmpp::befriend;

use super::{super::show, STATUS, alice, alice_away, say, state};

const REQUESTERS: [&str; 4] = ["", "&req_jid=eve@localhost", "&req_jid=bob@localhost", "&req_jid=alice@localhost"];

/// Row H9. Nobody, a stranger, a subscriber, and who says to be alice herself: nothing proves any of it.
#[test]
fn every_choice_beats_every_setting() {
    let (host, mut alice) = alice_away("subscribed");
    let mut bob = host.new_user("bob");
    host.add_user("eve");
    befriend(&mut alice, &mut bob).unwrap();
    for (setting, choice, expected) in [
        ("subscribed", "default", [false, false, true, true]),
        ("subscribed", "anyone", [true; 4]),
        ("subscribed", "subscribers", [false, false, true, true]),
        ("subscribed", "nobody", [false; 4]),
        ("anyone", "default", [true; 4]),
        ("anyone", "anyone", [true; 4]),
        ("anyone", "subscribers", [false, false, true, true]),
        ("anyone", "nobody", [false; 4]),
        ("verified", "default", [false; 4]),
        ("verified", "anyone", [true; 4]),
        ("verified", "subscribers", [false; 4]),
        ("verified", "nobody", [false; 4]),
    ] {
        host.set("presence.visibility", setting);
        say(&mut alice, &format!("who {choice}"));
        let seen = REQUESTERS.map(|requester| state(&host, requester) == "away");
        assert_eq!(seen, expected, "{setting} {choice}");
    }
}

#[test]
fn a_blocked_requester_sees_nothing_whatever_is_chosen() {
    let (host, mut alice) = alice_away("anyone");
    let mut bob = host.new_user("bob");
    befriend(&mut alice, &mut bob).unwrap();
    let token = super::token(&mut bob, "");
    alice.request("set", "", "<block xmlns='urn:xmpp:blocking'><item jid='bob@localhost'/></block>").unwrap();
    for choice in ["default", "anyone", "subscribers", "nobody"] {
        say(&mut alice, &format!("who {choice}"));
        assert_eq!(state(&host, "&req_jid=bob@localhost"), "forbidden", "{choice}");
        assert_eq!(super::state_by(&host, &token), "forbidden", "{choice}");
    }
}

#[test]
fn of_the_state_alone_no_word_is_told_in_any_form() {
    let (host, mut alice) = alice_away("anyone");
    let forms = ["image", "svg", "text", "xml", "json"];
    let words = |host: &tests::host::Host| {
        forms.map(|form| {
            let answer = host.http().get(&format!("{STATUS}?jid=alice@localhost&type={form}"));
            String::from_utf8_lossy(&answer.body).contains("Lunch")
        })
    };
    assert_eq!(words(&host), [false, false, true, true, true]);
    say(&mut alice, "what state");
    assert_eq!((words(&host), state(&host, "")), ([false; 5], "away".into()));
    alice.unavailable("Lunch is over").unwrap();
    alice.settle().unwrap();
    assert_eq!((words(&host), state(&host, "")), ([false; 5], "offline".into()));
    show(&mut alice, "dnd", "Lunch");
    say(&mut alice, "what status");
    assert_eq!(words(&host), [false, false, true, true, true]);
}

/// Row X15, H8: a user who chose to be seen by nobody is like one who does not exist, to the last field, and so is one who chose otherwise to whoever
/// may not see.
#[test]
fn who_has_chosen_cannot_be_told_from_who_does_not_exist() {
    let (host, mut session) = alice_away("subscribed");
    for choice in ["nobody", "subscribers", "default"] {
        say(&mut session, &format!("who {choice}"));
        for setting in ["anyone", "subscribed", "verified"] {
            host.set("presence.visibility", setting);
            let requesters: &[&str] = if (setting, choice) == ("anyone", "default") {
                &[]
            } else {
                &["", "&req_jid=eve@localhost", "&token=p1.AAAA"]
            };
            for requester in requesters {
                for form in ["", "&type=text", "&type=xml", "&type=json", "&type=svg"] {
                    let [hidden, unknown] = ["alice", "zelda"].map(|user| {
                        let answer = host.http().get(&format!("{STATUS}?jid={user}@localhost{requester}{form}"));
                        let mut answer = answer.comparable();
                        answer
                            .headers
                            .retain(|(name, _)| name != "etag" || !["&type=xml", "&type=json"].contains(&form));
                        answer.body = String::from_utf8_lossy(&answer.body).replace(user, "USER").into_bytes();
                        answer
                    });
                    assert_eq!(hidden, unknown, "{setting} {choice} {requester} {form}");
                }
            }
        }
    }
}

/// Row H8: for whom an answer is, is told by the request alone.
#[test]
fn the_fields_of_an_answer_do_not_tell_what_was_chosen() {
    let (host, mut session) = alice_away("anyone");
    for (setting, expected) in
        [("anyone", "no-cache"), ("subscribed", "private, no-store"), ("verified", "private, no-store")]
    {
        host.set("presence.visibility", setting);
        for choice in ["default", "anyone", "subscribers", "nobody"] {
            say(&mut session, &format!("who {choice}"));
            let public = alice(&host, "");
            assert_eq!(public.header("cache-control"), Some(expected), "{setting} {choice}");
            assert_eq!(public.header("access-control-allow-origin"), Some("*"), "{setting} {choice}");
            for requester in ["&req_jid=alice@localhost", "&token=p1.AAAA"] {
                let private = alice(&host, requester);
                assert_eq!(private.header("cache-control"), Some("private, no-store"), "{setting} {choice}");
                assert_eq!(private.header("access-control-allow-origin"), None, "{setting} {choice}");
            }
        }
    }
}
