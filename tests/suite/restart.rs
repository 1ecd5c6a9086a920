//! What survives: a kill in the middle of everything, and an orderly end.

use std::{
    fs,
    net::TcpStream,
    os::unix::fs::PermissionsExt,
    thread,
    time::{Duration, Instant},
};

use rustix::process::Signal;
use serde_json::Value;
use tests::{
    artefacts::artefacts,
    host::{DOMAIN, Host, PATIENCE},
    http::{self, load::Load},
    plugin_file::PluginFile,
    skip::skipped,
    wait,
    xmpp::{Connection, Error, Mechanism, Session, befriend, ns},
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

/// Of bob it is only known when he left.
#[test]
fn the_last_status_and_its_time_survive_a_kill() {
    let mut host = Host::with_presence();
    host.set("presence.visibility", "anyone");
    let (mut alice, mut bob) = (host.new_user("alice"), host.new_user("bob"));
    for (session, words) in [(&mut alice, "gone fishing"), (&mut bob, "")] {
        session.available("", "").unwrap();
        session.unavailable(words).unwrap();
        session.settle().unwrap();
    }
    let since = |host: &Host, user: &str| {
        let answer = host.http().get(&format!("/plugins/presence/status?type=json&jid={user}@localhost"));
        let document: Value = serde_json::from_str(answer.text()).unwrap();
        document["since"].as_str().unwrap_or_else(|| panic!("no time in {document}")).to_owned()
    };
    let before = [since(&host, "alice"), since(&host, "bob")];
    // The last status is written behind. A roster set that is acknowledged after it went through the same writer.
    alice.request("set", "", "<query xmlns='jabber:iq:roster'><item jid='bob@localhost'/></query>").unwrap();
    host.crash_and_restart();
    let text = || host.http().get("/plugins/presence/status?type=text&jid=alice@localhost");
    assert_eq!(text().text(), "gone fishing\n");
    assert_eq!([since(&host, "alice"), since(&host, "bob")], before);
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

/// A client that reads nothing, on a stream that is stuck in writing: each of its small requests has a large answer. Between them
/// it sends something else.
fn deaf(host: &Host, beside: &str) -> Session {
    let mut deaf = host.new_user("deaf");
    let name = "n".repeat(1_000);
    for contact in 0..16 {
        let item = format!("<item jid='c{contact}@localhost' name='{name}'/>");
        deaf.request("set", "", &format!("<query xmlns='jabber:iq:roster'>{item}</query>")).unwrap();
    }
    for _ in 0..600 {
        deaf.send(&format!("{beside}<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>")).unwrap();
    }
    deaf
}

/// Row R3, of those who are stuck.
#[test]
fn sigterm_ends_within_ten_seconds_whoever_is_stuck() {
    let mut host = Host::prepare();
    host.drop_plugin(artefacts().fixture("waits"), "waits.so");
    host.run();
    let (address, file) = (host.process().ready().http, host.folder().join("go"));
    let ask = |query: &str| {
        let target = format!("/plugins/waits/patient?{query}");
        let mark = host.process().log_mark();
        let answer = thread::spawn(move || http::Client::with_patience(address, PATIENCE).get(&target));
        host.process().until_logged(mark, PATIENCE, |line| line.contains("a request waits"));
        answer
    };
    let (good, _stuck) = (ask(file.to_str().unwrap()), ask("/nowhere"));
    let _deaf = deaf(&host, "");
    host.process().signal(Signal::TERM);
    let told = Instant::now();
    host.process().until_logged(0, PATIENCE, |line| line.contains("ending: no new connections"));
    fs::write(&file, "").unwrap();
    assert_eq!(host.await_end().code(), Some(0));
    assert!(told.elapsed() <= Duration::from_secs(10), "{:?}", told.elapsed());
    assert_eq!(good.join().expect("what was accepted is answered").status, 200);
    assert!(!host.state().join("state.db-in-use").exists(), "the database was closed in order");
}

/// What the server has accepted is not lost with those who don't read it.
#[test]
fn sigterm_keeps_messages_for_who_is_stuck() {
    let mut host = Host::start();
    let mut bob = host.new_user("bob");
    let deaf = deaf(&host, &format!("<message to='{}'><body>not stuck yet</body></message>", bob.jid()));
    while bob.next_within(Duration::from_secs(1)).unwrap().is_some() {}
    bob.message(deaf.jid(), "accepted").unwrap();
    bob.settle().unwrap();
    assert_eq!(host.terminate(), Some(0));
    host.run();
    let mut back = host.login("deaf");
    back.available("", "").unwrap();
    back.expect(|stanza| stanza.get_child("body", ns::CLIENT).is_some_and(|body| body.text() == "accepted")).unwrap();
}

/// Row R4.
#[test]
fn sighup_reads_configuration_and_certificate_again_without_dropping_anybody() {
    let mut host = Host::prepare();
    host.drop_plugin(&artefacts().presence, "presence.so");
    host.drop_plugin(artefacts().fixture("measured"), "measured.so");
    let file = host.folder().join("host.toml");
    fs::write(&file, "log = 'info'\n").unwrap();
    host.flag("--config", &file);
    host.run();
    let mut alice = host.new_user("alice");
    let shown = |session: &mut Session| session.stream().connection().certificate().unwrap();
    let old = shown(&mut alice);
    let reload = |host: &Host, word: &str| {
        let mark = host.process().log_mark();
        host.process().signal(Signal::HUP);
        host.process().until_logged(mark, PATIENCE, |line| line.contains(word))
    };

    // Without its files the host makes itself another certificate.
    fs::remove_dir_all(host.state().join("tls")).unwrap();
    fs::write(&file, "log = 'debug'\nfront_page_users = true\nanonymous = true\nplugin_memory = 100\npublic_url = 'https://example.org'\n").unwrap();
    let told = reload(&host, "reloaded: ");
    let changes =
        "front_page_users, log, anonymous, plugin_memory changed; public_url changed too, which takes a restart";
    assert!(told.contains(changes), "{told}");
    let stream = Connection::open(host.xmpp()).unwrap().begin(DOMAIN).unwrap().starttls().unwrap();
    assert!(Mechanism::offered(stream.features()).contains(&"ANONYMOUS".to_owned()));
    let mark = host.process().log_mark();
    let new = shown(&mut host.login("alice"));
    assert_ne!(new, old);
    host.process().until_logged(mark, PATIENCE, |line| line.contains("DEBUG"));
    let mark = host.process().log_mark();
    assert_eq!(host.http().get("/plugins/measured/reads/alice/many").status, 400);
    let of_plugin = |line: &str| line.contains("DEBUG") && line.contains("plugin::measured");
    host.process().until_logged(mark, PATIENCE, of_plugin);
    assert!(host.http().get("/").text().contains("alice@localhost"));

    fs::write(&file, "log = 'info'\n\ncolour = 'red'\n").unwrap();
    let told = reload(&host, "nothing is reloaded");
    assert!(told.contains("host.toml: line 3") && told.contains("colour"), "{told}");
    fs::write(&file, "[tls]\ncertificate = 'missing.pem'\nkey = 'missing.pem'\n").unwrap();
    let told = reload(&host, "nothing is reloaded");
    assert!(told.contains("missing.pem"), "{told}");
    assert_eq!(shown(&mut host.login("alice")), new);
    alice.settle().expect("the session goes on");
}

/// Row R4.
#[test]
fn a_pause_of_the_process_and_a_broken_pipe_drop_nobody() {
    let host = Host::with_presence();
    host.set("presence.visibility", "anyone");
    let mut alice = host.new_user("alice");
    alice.available("", "Here").unwrap();
    host.process().signal(Signal::PIPE);
    host.process().signal(Signal::STOP);
    alice.send("<iq type='get' id='during' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>").unwrap();
    // The pause itself.
    thread::sleep(Duration::from_secs(3));
    host.process().signal(Signal::CONT);
    alice.expect(|stanza| stanza.attr("id") == Some("during")).expect("the session goes on");
    assert_eq!(host.http().get("/plugins/presence/status?type=text&jid=alice@localhost").text(), "Here\n");
}

/// As many as the kernel keeps for a host that is busy otherwise, on each listener.
#[test]
fn a_crowd_that_comes_during_a_pause_is_let_in() {
    let host = Host::start();
    let ready = host.process().ready();
    host.process().signal(Signal::STOP);
    for listener in [ready.xmpp, ready.http, ready.console] {
        let come = || TcpStream::connect_timeout(&listener, Duration::from_secs(5));
        let crowd: std::io::Result<Vec<_>> = (0..500).map(|_| come()).collect();
        assert!(crowd.is_ok(), "{listener}: {:?}", crowd.err());
    }
    host.process().signal(Signal::CONT);
    host.new_user("alice").settle().unwrap();
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

/// P36: whatever it is called, and although the other comes first in the alphabet and into the folder.
#[test]
fn of_two_files_with_one_plugin_the_one_that_served_before_stays() {
    let mut host = Host::prepare();
    let version = |host: &Host| host.http().get("/plugins/hello/version").text().trim_end().to_owned();
    PluginFile::hello("1.0.0").write(&host.plugins(), "m.so");
    host.run();
    assert_eq!(host.terminate(), Some(0));
    PluginFile::hello("1.0.1").write(&host.plugins(), "a.so");
    for (was, is) in [("m.so", "m.so"), ("m.so", "z.so")] {
        fs::rename(host.plugins().join(was), host.plugins().join(is)).unwrap();
        host.run();
        assert_eq!(version(&host), "this is build 1.0.0");
        host.until_refused("a.so", &format!("which {is} serves already"));
        assert_eq!(host.terminate(), Some(0));
    }
    fs::remove_file(host.plugins().join("z.so")).unwrap();
    host.run();
    assert_eq!(version(&host), "this is build 1.0.1");
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
        return skipped("a state folder that takes no copies", why);
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
