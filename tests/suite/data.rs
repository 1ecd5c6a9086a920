//! What is stored: it survives, is refused when it is bad, waits when the disk does, and goes with its account.

use std::{
    fs::{self, OpenOptions},
    io::Write,
    os::unix::fs::PermissionsExt,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use tests::{
    faulty_disk::FaultyDisk,
    host::{Host, PATIENCE, password},
    http::load::Load,
    skip::skipped,
    wait,
    xmpp::{Session, login, ns, stanza_error},
};

/// Adds a contact and returns the condition of the error, if it is one.
#[track_caller]
fn add_contact(session: &mut Session, contact: &str) -> Option<String> {
    let query = format!("<query xmlns='jabber:iq:roster'><item jid='{contact}@localhost'/></query>");
    stanza_error(&session.request("set", "", &query).unwrap())
}

#[track_caller]
fn contacts(session: &mut Session) -> Vec<String> {
    session.roster().unwrap().into_iter().map(|item| item.jid.replace("@localhost", "")).collect()
}

fn status_of(host: &Host, user: &str) -> String {
    host.http().get(&format!("/plugins/presence/status?type=text&jid={user}@localhost")).text().trim_end().to_owned()
}

#[track_caller]
fn bodies(session: &mut Session, count: usize) -> Vec<String> {
    let messages = (0..count).map(|_| session.expect(|stanza| stanza.name() == "message").unwrap());
    messages.map(|message| message.get_child("body", ns::CLIENT).unwrap().text()).collect()
}

/// XEP-0160.
#[test]
fn messages_for_who_is_offline_survive_a_kill_and_come_once() {
    let mut host = Host::start();
    host.add_user("bob");
    let mut alice = host.new_user("alice");
    for number in 0..3 {
        alice.message("bob@localhost", &format!("message {number}")).unwrap();
    }
    alice.settle().unwrap();
    host.crash_and_restart();
    let mut bob = host.login("bob");
    bob.available("", "").unwrap();
    assert_eq!(bodies(&mut bob, 3), ["message 0", "message 1", "message 2"]);
    bob.settle().unwrap();
    host.crash_and_restart();
    let mut bob = host.login("bob");
    bob.available("", "").unwrap();
    assert!(!bob.arrived().unwrap().iter().any(|stanza| stanza.name() == "message"));
}

/// Four times what an outbox holds, and as much as is kept.
#[test]
fn a_thousand_messages_come_in_order_once_and_one_more_comes_back() {
    let host = Host::start();
    host.add_user("bob");
    let mut alice = host.new_user("alice");
    let long = "x".repeat(120);
    for number in 0..1_000 {
        alice.message("bob@localhost", &format!("{number:03} {long}")).unwrap();
        // Each waits for the disk, and an answer waits for all before it: a deadline for a hundred, not for a thousand.
        if number % 100 == 99 {
            assert_eq!(alice.arrived().unwrap(), []);
        }
    }
    alice.message("bob@localhost", "one too many").unwrap();
    let refused = alice.expect(|stanza| stanza.name() == "message").unwrap();
    assert_eq!(stanza_error(&refused).as_deref(), Some("service-unavailable"));
    let mut bob = host.login("bob");
    bob.available("", "").unwrap();
    let bodies = bodies(&mut bob, 1_000);
    assert!(bodies.iter().enumerate().all(|(number, body)| body.starts_with(&format!("{number:03} "))));
    assert!(!bob.arrived().unwrap().iter().any(|stanza| stanza.name() == "message"));
}

/// Row D3.
#[test]
fn a_disk_that_fails_has_nothing_acknowledged_and_is_told() {
    let mut host = Host::with_presence();
    host.set("presence.visibility", "anyone");
    let mut alice = host.new_user("alice");
    let before: Vec<_> = (0..30).map(|number| format!("before{number:02}")).collect();
    for contact in &before {
        assert_eq!(add_contact(&mut alice, contact), None);
    }
    let log = host.state().join("state.db-wal");
    let log_before = fs::metadata(&log).unwrap().len();
    let disk = match FaultyDisk::under(&host, "error=EIO") {
        Ok(disk) => disk,
        Err(why) => return skipped("a disk that fails", why),
    };
    assert_eq!(add_contact(&mut alice, "during").as_deref(), Some("internal-server-error"));
    let health = host.console().get("/healthz");
    assert!(health.status == 503 && health.text().contains("the database does not take changes"), "{}", health.text());
    alice.available("away", "still here").unwrap();
    alice.settle().unwrap();
    assert_eq!(status_of(&host, "alice"), "still here");
    drop(host.login("alice"));
    drop(disk);

    wait::until(PATIENCE, "it heals", || add_contact(&mut alice, "after").is_none().then_some(()));
    assert_eq!(host.console().get("/healthz").status, 200);
    // What could not be put on the disk must not stand before what is.
    let log_after = fs::metadata(&log).unwrap().len();
    assert!(log_after < log_before, "{log_before} bytes of log, {log_after} afterwards");
    let mut seen = contacts(&mut alice);
    host.crash_and_restart();
    let mut kept = contacts(&mut host.login("alice"));
    seen.sort();
    kept.sort();
    assert_eq!(kept, seen, "what was shown is what is there");
    assert!(before.iter().chain([&"after".to_owned()]).all(|contact| kept.contains(contact)), "{kept:?}");
}

#[test]
fn a_user_whose_account_can_not_be_removed_is_told_so() {
    let host = Host::start();
    let mut alice = host.new_user("alice");
    let disk = match FaultyDisk::under(&host, "error=EIO") {
        Ok(disk) => disk,
        Err(why) => return skipped("a disk that fails", why),
    };
    let remove = "<query xmlns='jabber:iq:register'><remove/></query>";
    let refused = alice.request("set", "", remove).unwrap();
    assert_eq!(stanza_error(&refused).as_deref(), Some("internal-server-error"));
    alice.settle().unwrap();
    drop(host.login("alice"));
    drop(disk);
    let mut removed = || alice.request("set", "", remove).unwrap().attr("type") == Some("result");
    wait::until(PATIENCE, "it heals", || removed().then_some(()));
}

/// Row D4.
#[test]
fn a_full_disk_is_a_resource_constraint_and_heals_by_itself() {
    if !Host::has_namespaces() {
        return skipped("a full disk", "no user namespaces here");
    }
    let mut host = Host::prepare();
    fs::create_dir(host.state()).unwrap();
    host.in_namespace(&format!("mount -t tmpfs -o size=2m,mode=700 none '{}'", host.state().display()));
    host.run();
    host.add_user("bob");
    let mut alice = host.new_user("alice");
    assert_eq!(add_contact(&mut alice, "before"), None);
    let ballast = host.visible(&host.state()).join("ballast");
    fill(&ballast);
    let refused = wait::until(PATIENCE, "nothing more fits", || {
        alice.message("bob@localhost", &"x".repeat(50_000)).unwrap();
        alice.settle().unwrap();
        alice.arrived().unwrap().iter().find_map(stanza_error)
    });
    assert_eq!(refused, "resource-constraint");
    // Login and presence go on.
    let mut other = host.login("alice");
    other.available("away", "").unwrap();
    alice.available("", "").unwrap();
    alice.expect_presence("", other.jid()).unwrap();
    assert_eq!(contacts(&mut other), ["before"]);
    fs::remove_file(&ballast).unwrap();
    wait::until(PATIENCE, "it heals", || add_contact(&mut alice, "after").is_none().then_some(()));
    let mut kept = contacts(&mut alice);
    kept.sort();
    assert_eq!(kept, ["after", "before"]);
}

/// Writes until nothing more fits.
fn fill(ballast: &Path) {
    let mut file = OpenOptions::new().create(true).append(true).open(ballast).unwrap();
    for size in [1 << 16, 4_096, 1] {
        while file.write_all(&vec![0; size]).is_ok() {}
    }
}

/// Row D5.
#[test]
fn a_slow_disk_holds_up_nobody_who_only_reads() {
    let mut host = Host::prepare();
    if let Err(why) = host.on_a_slow_disk(300) {
        return skipped("a slow disk", why);
    }
    host.drop_plugin(&tests::artefacts::artefacts().presence, "presence.so");
    host.run();
    host.set("presence.visibility", "anyone");
    let mut alice = host.new_user("alice");
    alice.available("", "Here").unwrap();
    alice.settle().unwrap();
    let target = "/plugins/presence/status?type=text&jid=alice@localhost";
    let load = Load::start(host.process().ready().http, target, 2, Duration::from_millis(5));
    let started = Instant::now();
    for contact in ["one", "two", "three", "four", "five"] {
        assert_eq!(add_contact(&mut alice, contact), None);
    }
    let writing = started.elapsed();
    let tally = load.stop();
    assert!(writing >= Duration::from_millis(5 * 300), "the disk is slow: {writing:?}");
    assert_eq!(tally.failures(), 0, "{tally}");
    assert!(tally.requests() > 20 && tally.delay(0.99) < Duration::from_millis(250), "{:?}", tally.delay(0.99));
}

/// Row D7.
#[test]
fn a_database_that_is_no_good_is_refused_with_advice_and_left_alone() {
    type Damage = fn(&Path);
    let cases: [(&str, Damage, &str); 6] = [
        ("empty", |database| fs::write(database, "").unwrap(), "choose another --state"),
        ("no database", |database| fs::write(database, [b'x'; 9000]).unwrap(), "choose another --state"),
        ("of another program", |database| overwrite(database, 68, b"else"), "choose another --state"),
        // The version of the schema (SQLite file format, section 1.3).
        ("newer", |database| overwrite(database, 60, &99_u32.to_be_bytes()), "run the newer release"),
        ("damaged", |database| overwrite(database, 4096, &[0xff; 64]), "restore it from a backup"),
        ("cut", |database| truncate(database), "restore it from a backup"),
    ];
    let mut host = Host::start();
    host.add_user("alice");
    assert_eq!(host.terminate(), Some(0));
    let database = host.state().join("state.db");
    let good = fs::read(&database).unwrap();
    for (what, damage, advice) in cases {
        damage(&database);
        let bad = fs::read(&database).unwrap();
        let error = serve_fails(&host);
        assert!(error.contains(database.to_str().unwrap()) && error.contains(advice), "{what}: {error}");
        assert_eq!(fs::read(&database).unwrap(), bad, "{what}: it is left alone");
        fs::write(&database, &good).unwrap();
    }
    host.run();
    host.login("alice");
}

/// Row D7, of a log that is gone.
#[test]
fn a_log_that_is_gone_is_missed_with_advice() {
    let mut host = Host::start();
    host.add_user("alice");
    host.crash();
    fs::remove_file(host.state().join("state.db-wal")).unwrap();
    let error = serve_fails(&host);
    assert!(error.contains("state.db-wal is missing") && error.contains("put it back, or delete"), "{error}");
    fs::remove_file(host.state().join("state.db-in-use")).unwrap();
    host.run();
}

#[track_caller]
fn serve_fails(host: &Host) -> String {
    let plugins = host.plugins().display().to_string();
    let ports = ["--xmpp", "127.0.0.1:0", "--http", "127.0.0.1:0", "--console", "127.0.0.1:0"];
    host.command(&[&["serve", "--plugins", &plugins], ports.as_slice()].concat()).fails(1)
}

fn overwrite(file: &Path, at: usize, with: &[u8]) {
    let mut bytes = fs::read(file).unwrap();
    bytes[at..at + with.len()].copy_from_slice(with);
    fs::write(file, bytes).unwrap();
}

fn truncate(file: &Path) {
    let bytes = fs::read(file).unwrap();
    fs::write(file, &bytes[..bytes.len() / 2]).unwrap();
}

/// Row D9, besides what the row itself tries.
#[test]
fn a_backup_is_made_with_and_without_a_host_and_never_over_a_file() {
    let mut host = Host::start();
    host.add_user("alice");
    let folder = host.folder().to_owned();
    let file = |name: &str| folder.join(name);
    let backup = |host: &Host, name: &str| host.command(&["backup", file(name).to_str().unwrap()]);
    backup(&host, "running.db").succeeds();
    let made = fs::read(file("running.db")).unwrap();
    let refused = backup(&host, "running.db").fails(1);
    assert!(refused.contains("running.db") && refused.contains("it is there already"), "{refused}");
    assert_eq!(fs::read(file("running.db")).unwrap(), made);
    assert!(backup(&host, "nowhere/at.db").fails(1).contains("nowhere/at.db"));

    let running = host.folder().join("running.db");
    host.crash();
    backup(&host, "crashed.db").succeeds();
    host.run();
    assert_eq!(host.terminate(), Some(0));
    let told = backup(&host, "stopped.db").succeeds();
    assert!(told.starts_with("backed up 1 accounts into "), "{told}");
    let left: Vec<_> = names(host.folder()).into_iter().filter(|name| name.contains(".db")).collect();
    assert_eq!(left, ["crashed.db", "running.db", "stopped.db"]);
    assert_eq!(fs::metadata(&running).unwrap().permissions().mode() & 0o777, 0o600);

    // As the README says it.
    fs::rename(host.state(), host.folder().join("state.old")).unwrap();
    fs::create_dir(host.state()).unwrap();
    fs::copy(&running, host.state().join("state.db")).unwrap();
    host.run();
    login(host.xmpp(), "alice@localhost", &password("alice")).unwrap();
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Row D11.
#[test]
fn last_statuses_are_at_most_a_second_old_after_a_kill() {
    let mut host = Host::with_presence();
    host.set("presence.visibility", "anyone");
    let users: Vec<_> = (0..20).map(|number| format!("user{number}")).collect();
    let mut sessions: Vec<_> = users.iter().map(|user| host.new_user(user)).collect();
    for round in 0..3 {
        for (user, session) in users.iter().zip(&mut sessions) {
            session.available("", "").unwrap();
            session.unavailable(&format!("{user} left in round {round}")).unwrap();
        }
    }
    sessions.iter_mut().for_each(|session| session.settle().unwrap());
    // The second that may be lost.
    thread::sleep(Duration::from_secs(1));
    host.crash_and_restart();
    for user in &users {
        assert_eq!(status_of(&host, user), format!("{user} left in round 2"));
    }
}

/// Whatever the account had is gone, from the disk byte by byte, from memory as far as a new owner of the name can see.
#[test]
fn a_removed_account_leaves_nothing_behind() {
    let host = Host::with_presence();
    host.set("presence.visibility", "anyone");
    let user = "zoe.quaint";
    let (mut zoe, mut bob) = (host.new_user(user), host.new_user("bob"));
    let wrong = |password: &str| login(host.xmpp(), &format!("{user}@localhost"), password).is_err();
    assert_eq!(add_contact(&mut zoe, "friend-of-zoe"), None);
    zoe.request("set", "", "<block xmlns='urn:xmpp:blocking'><item jid='eve@localhost'/></block>").unwrap();
    zoe.available("", "").unwrap();
    zoe.unavailable("zoe.quaint has left the building").unwrap();
    bob.message("zoe.quaint@localhost", "for zoe.quaint's eyes only").unwrap();
    bob.settle().unwrap();
    zoe.settle().unwrap();
    assert_eq!(status_of(&host, user), "zoe.quaint has left the building");
    // Ten failures shut a name out.
    assert!((0..10).all(|_| wrong("guess")) && wrong(&password(user)));
    assert!(!holding(&host.state(), user).is_empty());

    host.command(&["user", "remove", "zoe.quaint@localhost"]).succeeds();
    assert_eq!(holding(&host.state(), user), [""; 0]);
    assert_ne!(status_of(&host, user), "zoe.quaint has left the building");
    let mut zoe = host.new_user(user);
    zoe.available("", "").unwrap();
    assert_eq!(contacts(&mut zoe), [""; 0]);
    let blocked = zoe.request("get", "", "<blocklist xmlns='urn:xmpp:blocking'/>").unwrap();
    assert_eq!(blocked.children().next().unwrap().children().count(), 0);
    assert!(!zoe.arrived().unwrap().iter().any(|stanza| stanza.name() == "message"));
}

/// The files below a folder in which a text stands.
fn holding(folder: &Path, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(holding(&path, text));
        } else if path.is_file() && memchr::memmem::find(&fs::read(&path).unwrap(), text.as_bytes()).is_some() {
            found.push(path.display().to_string());
        }
    }
    found
}
