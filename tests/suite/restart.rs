//! What survives: a kill in the middle of everything, and an orderly end.

use std::{fs, os::unix::fs::PermissionsExt};

use tests::{
    artefacts::artefacts,
    host::{Host, PATIENCE},
    http::load::Load,
    plugin_file::PluginFile,
    wait,
    xmpp::{Error, befriend},
};

#[test]
fn a_kill_loses_nothing_that_was_acknowledged() {
    let mut host = Host::with_presence();
    host.set("presence.visibility", "anyone");
    host.set("presence.available_text", "Am Platz");
    let (mut alice, mut bob) = (host.new_user("alice"), host.new_user("bob"));
    befriend(&mut alice, &mut bob).unwrap();
    alice.request("set", "", "<query xmlns='jabber:iq:roster'><item jid='bob@localhost' name='Bob'/></query>").unwrap();
    let (roster_of_alice, roster_of_bob) = (alice.roster().unwrap(), bob.roster().unwrap());

    let load =
        Load::start(host.process().ready().http, "/plugins/presence/status?jid=alice@localhost", 8, Default::default());
    wait::until(PATIENCE, "traffic flows", || (load.answered() > 100).then_some(()));
    host.crash_and_restart();
    drop(load);

    assert_eq!(host.http().get("/plugins/presence/status?type=text&jid=alice@localhost").text(), "Unavailable\n");
    assert_eq!(host.command(&["setting", "get", "presence.available_text"]).succeeds().trim_end(), "Am Platz");
    assert_eq!(host.login("alice").roster().unwrap(), roster_of_alice);
    assert_eq!(host.login("bob").roster().unwrap(), roster_of_bob);
    assert_eq!(roster_of_alice[0].subscription, "both");
    assert_eq!(roster_of_alice[0].name, "Bob");
}

#[test]
fn the_last_status_survives_a_kill() {
    let mut host = Host::with_presence();
    host.set("presence.visibility", "anyone");
    let mut alice = host.new_user("alice");
    alice.available("", "").unwrap();
    alice.unavailable("gone fishing").unwrap();
    alice.settle().unwrap();
    // The last status is written behind. A roster set that is acknowledged after it went through the same writer.
    alice.request("set", "", "<query xmlns='jabber:iq:roster'><item jid='bob@localhost'/></query>").unwrap();
    host.crash_and_restart();
    let text = || host.http().get("/plugins/presence/status?type=text&jid=alice@localhost");
    assert_eq!(text().text(), "gone fishing\n");
}

#[test]
fn sigterm_ends_everything_in_order() {
    let mut host = Host::with_presence();
    let mut alice = host.new_user("alice");
    alice.available("", "").unwrap();
    assert_eq!(host.terminate(), Some(0));
    let end = loop {
        match alice.next_within(PATIENCE) {
            Ok(Some(_)) => {}
            Ok(None) => panic!("the stream is still open"),
            Err(end) => break end,
        }
    };
    assert!(matches!(&end, Error::Stream(condition) if condition == "system-shutdown"), "{end}");
    host.run();
    host.login("alice");
}

#[test]
fn a_plugin_deleted_while_the_host_was_down_stays_gone() {
    let mut host = Host::prepare();
    host.drop_plugin(artefacts().fixture("hello"), "hello.so");
    host.run();
    assert_eq!(host.terminate(), Some(0));
    fs::remove_file(host.plugins().join("hello.so")).unwrap();
    host.run();
    assert_eq!(host.http().get("/plugins/hello/version").status, 404);
}

#[test]
fn a_disabled_plugin_stays_disabled() {
    let mut host = Host::prepare();
    host.drop_plugin(artefacts().fixture("hello"), "hello.so");
    host.run();
    host.command(&["plugin", "disable", "hello"]).succeeds();
    host.crash_and_restart();
    assert_ne!(host.http().get("/plugins/hello/version").status, 200);
    host.command(&["plugin", "enable", "hello"]).succeeds();
    wait::until(PATIENCE, "hello serves", || (host.http().get("/plugins/hello/version").status == 200).then_some(()));
}

#[test]
fn another_plugin_under_the_name_of_a_former_one_is_the_one_that_serves() {
    let mut host = Host::prepare();
    host.drop_plugin(artefacts().fixture("hello"), "plugin.so");
    host.run();
    assert_eq!(host.terminate(), Some(0));
    host.drop_plugin(artefacts().fixture("answers_later"), "plugin.so");
    for _ in 0..2 {
        host.run();
        assert_eq!(host.http().get("/plugins/answers-later/").status, 200);
        assert_eq!(host.http().get("/plugins/hello/version").status, 404);
        assert_eq!(host.terminate(), Some(0));
    }
}

#[test]
fn a_refused_plugin_under_the_name_of_a_good_one_is_a_bad_file() {
    let mut host = Host::prepare();
    host.drop_plugin(artefacts().fixture("hello"), "plugin.so");
    host.run();
    assert_eq!(host.terminate(), Some(0));
    let other = PluginFile::read(artefacts().fixture("answers_later")).with_text("\nabi=0.", "\nabi=7.");
    other.write(&host.plugins(), "plugin.so");
    host.run();
    assert_eq!(host.http().get("/plugins/hello/version").status, 200);
    host.until_refused("plugin.so", "7.");
}

#[test]
fn a_last_good_version_that_the_disk_did_not_take_comes_back_when_it_does() {
    let mut host = Host::prepare();
    if let Err(why) = host.as_user(65_534) {
        return println!("SKIPPED: a state folder that takes no copies: {why}");
    }
    host.drop_plugin(artefacts().fixture("hello"), "hello.so");
    host.run();
    host.command(&["plugin", "disable", "hello"]).succeeds();
    fs::rename(host.plugins(), host.folder().join("aside")).unwrap();
    let staging = host.state().join("staging");
    fs::set_permissions(&staging, fs::Permissions::from_mode(0o500)).unwrap();
    let refused = host.command(&["plugin", "enable", "hello"]).fails(1);
    assert!(refused.contains("no copy could be kept"), "{refused}");
    assert!(host.command(&["plugin", "list"]).succeeds().contains("no copy could be kept"));
    fs::set_permissions(&staging, fs::Permissions::from_mode(0o700)).unwrap();
    wait::until(PATIENCE, "hello serves", || (host.http().get("/plugins/hello/version").status == 200).then_some(()));
}
