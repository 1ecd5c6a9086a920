//! What users have chosen and made is there after an upgrade, a restart and a way back, and goes with the account.

use std::{fs, thread};

use tests::{
    artefacts::artefacts,
    host::{Host, PATIENCE},
    plugin_file::PluginFile,
    records, wait,
    xmpp::Session,
};

use super::{super::show, STATUS, alice, alice_away, now, restarted, say, state, state_by, token};

/// What alice has.
struct Own {
    token: String,
    worthless: Vec<String>,
    address: String,
}

/// Makes one of everything, and has the administrator set something.
#[track_caller]
fn own(host: &Host, alice: &mut Session) -> Own {
    host.set("presence.unavailable_text", "Elsewhere");
    let revoked = token(alice, "");
    say(alice, "revoke all");
    let of_earlier_key = token(alice, "");
    host.set("presence.token_key", "2");
    let token = token(alice, "as Blog");
    let address = say(alice, "address Blog").lines().next().unwrap().to_owned();
    say(alice, "who nobody");
    say(alice, "what state");
    Own { token, worthless: vec![revoked, of_earlier_key], address }
}

/// All of it is as it was. `etag`: what a poller held before.
#[track_caller]
fn is_kept(host: &Host, alice: &mut Session, own: &Own, etag: Option<&str>, when: &str) {
    assert_eq!((state(host, ""), state_by(host, &own.token).as_str()), ("forbidden".into(), "away"), "{when}");
    for worthless in &own.worthless {
        assert_eq!(state_by(host, worthless), "forbidden", "{when}");
    }
    let by_address = host.http().get(&format!("{}.json", own.address));
    assert!(by_address.text().contains("\"state\":\"away\"") && !by_address.text().contains("Lunch"), "{when}");
    assert!(say(alice, "show").contains("nobody can see your state, without"), "{when}");
    assert!(say(alice, "tokens").contains("Blog: status of everybody"), "{when}");
    assert!(say(alice, "addresses").contains(&format!("Blog: {}", own.address)), "{when}");
    assert_eq!(super::super::ask(host, "type=text").text(), "Elsewhere\n", "{when}");
    if let Some(etag) = etag {
        let target = format!("{STATUS}?jid=alice@localhost&type=svg&token={}", own.token);
        assert_eq!(host.http().request("GET", &target, &[("If-None-Match", etag)]).status, 304, "{when}");
    }
}

fn deploy(host: &Host, version: &str) {
    PluginFile::read(&artefacts().presence).with_version(version).write(&host.plugins(), "presence.so");
    host.until_version("presence", version);
}

#[test]
fn nothing_is_forgotten_by_upgrade_downgrade_restart_or_undeployment() {
    let (mut host, mut alice) = alice_away("verified");
    let mut own = own(&host, &mut alice);
    let (expired, stored) = records::token("alice@localhost", now() - 1, now());
    let mut alice = restarted(&mut host, |state| records::write(state, &stored));
    own.worthless.push(expired);
    let etag = super::alice(&host, &format!("&type=svg&token={}", own.token));
    assert_eq!(etag.status, 200);
    let target = format!("{STATUS}?jid=alice@localhost&type=svg&token={}", own.token);
    let etag = host.http().get(&target).header("etag").unwrap().to_owned();
    let etag = Some(etag.as_str());
    is_kept(&host, &mut alice, &own, etag, "at first");
    deploy(&host, "0.1.1");
    is_kept(&host, &mut alice, &own, etag, "after an upgrade");
    deploy(&host, "0.1.0");
    is_kept(&host, &mut alice, &own, etag, "after a downgrade");

    fs::remove_file(host.plugins().join("presence.so")).unwrap();
    wait::until(PATIENCE, "the service is gone", || (host.http().get(STATUS).status == 404).then_some(()));
    deploy(&host, "0.1.2");
    is_kept(&host, &mut alice, &own, etag, "after an undeployment");

    let mut alice = restarted(&mut host, |_| {});
    is_kept(&host, &mut alice, &own, etag, "after a restart");
    host.crash_and_restart();
    let mut alice = host.login("alice");
    show(&mut alice, "away", "Lunch");
    is_kept(&host, &mut alice, &own, etag, "after a crash");
}

/// The backup is of the whole state: what is restored has the tokens of the day on which it was made.
#[test]
fn a_backup_holds_what_users_have_made() {
    let (mut host, mut alice) = alice_away("verified");
    let own = own(&host, &mut alice);
    let saved = host.folder().join("saved.db");
    host.command(&["backup", saved.to_str().unwrap()]).succeeds();
    say(&mut alice, "forget");
    assert_eq!(state_by(&host, &own.token), "forbidden");
    assert_eq!(host.terminate(), Some(0));
    fs::copy(&saved, host.state().join("state.db")).unwrap();
    host.run();
    let mut alice = host.login("alice");
    show(&mut alice, "away", "Lunch");
    is_kept(&host, &mut alice, &own, None, "from a backup");
}

/// Whoever gets the name next has nothing of it.
#[test]
fn all_of_it_goes_with_the_account() {
    let (host, mut alice) = alice_away("verified");
    let own = own(&host, &mut alice);
    host.command(&["user", "remove", "alice@localhost"]).succeeds();
    let mut next = host.new_user("alice");
    show(&mut next, "away", "Lunch");
    assert_eq!(state_by(&host, &own.token), "forbidden");
    assert!(host.http().get(&format!("{}.json", own.address)).text().contains("forbidden"));
    assert!(say(&mut next, "show").contains("whoever this server lets see can see your state and"));
    assert_eq!(say(&mut next, "tokens"), "You have no tokens.");
    assert_eq!(say(&mut next, "addresses"), "You have no unlisted addresses.");
    host.set("presence.visibility", "anyone");
    assert!(alice_is_seen(&host));
}

fn alice_is_seen(host: &Host) -> bool {
    alice(host, "").text().contains("Lunch")
}

/// What the service says is done is done, whichever version says so, and is in force for the next request, whichever version answers that.
#[test]
fn choices_made_during_upgrades_hold() {
    let (host, mut alice) = alice_away("verified");
    let upgrades = (1..=4).map(|number| format!("0.2.{number}"));
    thread::scope(|scope| {
        let upgrading = scope.spawn(|| upgrades.for_each(|version| deploy(&host, &version)));
        let mut rounds = 0;
        while !upgrading.is_finished() || rounds % 2 > 0 {
            let (choice, expected) = [("anyone", "away"), ("nobody", "forbidden")][rounds % 2];
            assert!(say(&mut alice, &format!("who {choice}")).starts_with("On the web, "));
            assert_eq!(state(&host, ""), expected, "round {rounds}");
            rounds += 1;
        }
        assert!(rounds > 8, "{rounds} rounds are too few to tell");
    });
}

/// What was acknowledged was on the disk before.
#[test]
fn a_choice_survives_the_end_of_the_process_that_follows_its_answer() {
    let (mut host, mut alice) = alice_away("anyone");
    for (choice, expected) in [("nobody", "forbidden"), ("anyone", "away"), ("subscribers", "forbidden")] {
        say(&mut alice, &format!("who {choice}"));
        host.crash_and_restart();
        alice = host.login("alice");
        show(&mut alice, "away", "Lunch");
        assert_eq!(state(&host, ""), expected, "{choice}");
    }
}
