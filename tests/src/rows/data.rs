//! What was acknowledged is there afterwards, whatever ends the host, and however it is copied.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use super::{
    Extent,
    report::{Report, Times},
};
use crate::{
    host::Host,
    http::load::Load,
    xmpp::{Result, RosterItem, Session, befriend, ns, stanza_error},
};

/// How many contacts a writer has: each is changed again and again.
const CONTACTS: u64 = 50;
/// How long a slow disk takes to synchronise.
const SLOW: Duration = Duration::from_millis(300);
/// How many contacts each user sets on one.
const SETS: u64 = 5;

/// D1: killed in the middle of everything, the host has all that it acknowledged, and nothing by halves.
pub fn kills(extent: Extent) -> Report {
    let mut host = Host::start();
    for user in ["w0", "w1", "left", "right", "sender", "sink"] {
        host.add_user(user);
    }
    let (rounds, mut times, ledger) = (extent.of(6, 1_000), Times::default(), Ledger::default());
    for _ in 0..rounds {
        let writers = Writers::start(&host, &ledger);
        thread::sleep(Duration::from_millis(50 + random() % 450));
        let killed = Instant::now();
        host.crash_and_restart();
        times.push(killed.elapsed());
        writers.end();
        ledger.compare(&host);
    }
    assert!(!extent.is_long() || times.within(0.99) <= Duration::from_secs(1), "{times}");
    let acknowledged = ledger.acknowledged.load(Ordering::Relaxed);
    Report::new(format!(
        "{rounds} kills under four writers, {acknowledged} acknowledged changes all there, none by halves"
    ))
    .note(format!("ready after {times}"))
}

/// D9: a backup under load is what was there at one moment, and a host starts on it.
pub fn backups(extent: Extent) -> Report {
    let host = Host::start();
    host.add_user("writer");
    let (stop, written) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let writer = thread::spawn({
        let (stop, written, mut session) = (stop.clone(), written.clone(), host.login("writer"));
        move || {
            while !stop.load(Ordering::Relaxed) && written.load(Ordering::Relaxed) < 900 {
                let number = written.load(Ordering::Relaxed);
                set_contact(&mut session, number, number).expect("the host takes it");
                written.store(number + 1, Ordering::Relaxed);
            }
        }
    });
    let rounds = extent.of(4, 100);
    for round in 0..rounds {
        let file = host.folder().join(format!("backup-{round}.db"));
        let before = written.load(Ordering::Relaxed);
        let told = host.command(&["backup", &file.display().to_string()]).succeeds();
        let after = written.load(Ordering::Relaxed);
        assert!(told.starts_with("backed up 1 accounts into "), "{told}");
        assert_eq!(fs::metadata(&file).expect("the backup is there").permissions().mode() & 0o777, 0o600);
        let contacts = contacts_in(&file);
        assert!((before..=after + 1).contains(&contacts), "{contacts} contacts, written were {before} to {after}");
    }
    stop.store(true, Ordering::Relaxed);
    writer.join().expect("the writer does not panic");
    Report::new(format!("{rounds} backups while contacts were added: each holds the first of them, without a gap"))
}

/// D5: on a disk that takes 300 ms to synchronise, the changes of many users share its turns, and who only reads waits for nobody.
pub fn slow_disk(extent: Extent) -> Report {
    let mut host = Host::with_presence();
    host.set("presence.visibility", "anyone");
    let users: Vec<_> = (0..extent.of(30, 400)).map(|number| format!("u{number}")).collect();
    users.iter().for_each(|user| host.add_user(user));
    assert_eq!(host.terminate(), Some(0));
    if let Err(why) = host.on_a_slow_disk(SLOW.as_millis() as u32) {
        return Report::new("not tried").note(format!("no slow disk: {why}"));
    }
    host.run();
    let sessions: Vec<_> = users.iter().map(|user| host.login(user)).collect();
    let target = "/plugins/presence/status?type=text&jid=u0@localhost";
    let load = Load::start(host.process().ready().http, target, 2, Duration::from_millis(5));
    let started = Instant::now();
    let writers: Vec<_> = sessions.into_iter().map(|session| thread::spawn(|| set_contacts(session))).collect();
    writers.into_iter().for_each(|writer| writer.join().expect("the host takes all"));
    let (took, tally, changes) = (started.elapsed(), load.stop(), users.len() as u64 * SETS);
    assert_eq!(tally.failures(), 0, "{tally}");
    assert!(took < SLOW * changes as u32 / 4, "{changes} changes shared no turns: {took:?}");
    let (rate, delay) = (changes as f64 / took.as_secs_f64(), tally.delay(0.99));
    assert!(!extent.is_long() || (rate >= 500.0 && delay <= Duration::from_millis(20)), "{rate} a second, {delay:?}");
    Report::new(format!(
        "{changes} changes of {} users at {} ms each: {rate:.0} a second",
        users.len(),
        SLOW.as_millis()
    ))
    .note(format!("presence on the web beside it: p99 {} ms", delay.as_millis()))
    .requests(&tally)
}

fn set_contacts(mut session: Session) {
    (0..SETS).for_each(|contact| set_contact(&mut session, contact, 0).expect("the host takes it"));
}

/// R3: ended by SIGTERM under load, the host answers what it has accepted and ends well.
pub fn terminations(extent: Extent) -> Report {
    let (rounds, mut times, mut requests) = (extent.of(3, 100), Times::default(), 0);
    let mut host = Host::with_presence();
    host.set("presence.visibility", "anyone");
    host.add_user("alice");
    for _ in 0..rounds {
        let mut alice = host.login("alice");
        alice.available("", "").expect("alice can be available");
        let target = "/plugins/presence/status?type=text&jid=alice@localhost";
        let load = Load::start(host.process().ready().http, target, 8, Duration::ZERO);
        while load.answered() < 200 {
            thread::yield_now();
        }
        let started = Instant::now();
        assert_eq!(host.terminate(), Some(0));
        times.push(started.elapsed());
        let tally = load.stop();
        // A connection may be closed between two requests; one that got an answer got all of it, and a good one.
        assert!(tally.bad.is_empty() && tally.broken == 0 && tally.timeouts == 0, "{tally}");
        requests += tally.good;
        assert!(!host.state().join("state.db-wal").exists(), "the log is emptied");
        host.run();
    }
    assert!(times.within(1.0) <= Duration::from_secs(10), "{times}");
    Report::new(format!(
        "{rounds} times SIGTERM under load: {requests} requests, none answered badly or by halves, exit 0"
    ))
    .note(format!("ended after {times}"))
}

/// What the host has acknowledged, kept outside of it.
#[derive(Clone, Default)]
struct Ledger {
    changes: Arc<Mutex<Changes>>,
    messages: Arc<Mutex<Messages>>,
    acknowledged: Arc<AtomicU64>,
}

/// By writer and contact, the number of the last change that was acknowledged, and of the last that was sent.
type Changes = BTreeMap<(usize, u64), (u64, u64)>;

/// The numbered messages to `sink`.
#[derive(Default)]
struct Messages {
    sent: u64,
    acknowledged: BTreeSet<u64>,
    /// Those that came.
    seen: BTreeSet<u64>,
}

impl Ledger {
    #[track_caller]
    fn compare(&self, host: &Host) {
        let changes = self.changes.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for (number, writer) in ["w0", "w1"].into_iter().enumerate() {
            let roster = host.login(writer).roster().expect("there is a roster");
            let kept: BTreeMap<_, _> = roster.into_iter().map(|item| (item.jid, item.name)).collect();
            for ((_, contact), (acknowledged, sent)) in changes.range((number, 0)..(number + 1, 0)) {
                let name = kept.get(&format!("c{contact}@localhost")).map(|name| name.parse::<u64>());
                let fits = match &name {
                    Some(Ok(name)) => (*acknowledged..=*sent).contains(name),
                    Some(Err(_)) => false,
                    None => *acknowledged == 0,
                };
                assert!(fits, "{writer}: c{contact} is {name:?}, acknowledged {acknowledged}, sent {sent}");
            }
        }
        let state_of = |user: &str, contact: &str| {
            let roster = host.login(user).roster().expect("there is a roster");
            let item = roster.into_iter().find(|item| item.jid == contact);
            item.map_or_else(|| "none".to_owned(), |item| item.subscription)
        };
        let (left, right) = (state_of("left", "right@localhost"), state_of("right", "left@localhost"));
        let mirrored = match left.as_str() {
            "to" => "from",
            "from" => "to",
            same => same,
        };
        assert_eq!(right, mirrored, "half a subscription: left has {left}");
        self.compare_messages(host);
    }

    /// What waits for `sink` is handed out in order, and all that was acknowledged has come by now.
    #[track_caller]
    fn compare_messages(&self, host: &Host) {
        let mut sink = host.login("sink");
        sink.available("", "").expect("sink can be available");
        let mut messages = self.messages.lock().unwrap_or_else(PoisonError::into_inner);
        let mut last = 0;
        while let Some(missing) = messages.acknowledged.difference(&messages.seen).next() {
            let message = sink.expect(|stanza| stanza.name() == "message");
            let message = message.unwrap_or_else(|error| panic!("message {missing} was acknowledged: {error}"));
            let body = message.get_child("body", ns::CLIENT).expect("it has a body").text();
            let number = body.parse().expect("it is a number");
            assert!(number > last, "{number} after {last}");
            last = number;
            messages.seen.insert(number);
        }
        sink.close().expect("the session can be closed");
    }
}

/// Those who change things until their connection breaks.
struct Writers(Vec<JoinHandle<()>>);

impl Writers {
    fn start(host: &Host, ledger: &Ledger) -> Writers {
        let mut threads = Vec::new();
        for (number, name) in ["w0", "w1"].into_iter().enumerate() {
            let (mut session, ledger) = (host.login(name), ledger.clone());
            threads.push(thread::spawn(move || while change(&mut session, number, &ledger).is_ok() {}));
        }
        let (mut left, mut right) = (host.login("left"), host.login("right"));
        threads.push(thread::spawn(move || while make_and_break(&mut left, &mut right).is_ok() {}));
        let (mut sender, ledger) = (host.login("sender"), ledger.clone());
        threads.push(thread::spawn(move || while message(&mut sender, &ledger).is_ok() {}));
        Writers(threads)
    }

    #[track_caller]
    fn end(self) {
        self.0.into_iter().for_each(|writer| writer.join().expect("a writer does not panic"));
    }
}

fn change(session: &mut Session, writer: usize, ledger: &Ledger) -> Result<()> {
    let number = ledger.acknowledged.fetch_add(1, Ordering::Relaxed) + 1;
    let place = (writer, number % CONTACTS);
    ledger.changes.lock().unwrap_or_else(PoisonError::into_inner).entry(place).or_default().1 = number;
    set_contact(session, place.1, number)?;
    ledger.changes.lock().unwrap_or_else(PoisonError::into_inner).entry(place).or_default().0 = number;
    Ok(())
}

fn make_and_break(left: &mut Session, right: &mut Session) -> Result<()> {
    befriend(left, right)?;
    let item = "<query xmlns='jabber:iq:roster'><item jid='right@localhost' subscription='remove'/></query>";
    left.request("set", "", item).map(drop)
}

fn message(sender: &mut Session, ledger: &Ledger) -> Result<()> {
    let number = {
        let mut messages = ledger.messages.lock().unwrap_or_else(PoisonError::into_inner);
        messages.sent += 1;
        messages.sent
    };
    sender.message("sink@localhost", &number.to_string())?;
    sender.settle()?;
    ledger.messages.lock().unwrap_or_else(PoisonError::into_inner).acknowledged.insert(number);
    ledger.acknowledged.fetch_add(1, Ordering::Relaxed);
    Ok(())
}

fn set_contact(session: &mut Session, contact: u64, name: u64) -> Result<()> {
    let item = format!("<item jid='c{contact}@localhost' name='{name}'/>");
    let answer = session.request("set", "", &format!("<query xmlns='jabber:iq:roster'>{item}</query>"))?;
    assert_eq!(stanza_error(&answer), None, "c{contact} {name}");
    Ok(())
}

/// How many contacts the user `writer` has in a backup. They must be the first ones.
#[track_caller]
fn contacts_in(backup: &Path) -> u64 {
    let mut host = Host::prepare();
    fs::DirBuilder::new().mode(0o700).create(host.state()).expect("the state folder can be made");
    fs::copy(backup, host.state().join("state.db")).expect("the backup can be restored");
    host.run();
    let mut numbers: Vec<u64> = host.login("writer").roster().expect("there is a roster").iter().map(contact).collect();
    numbers.sort_unstable();
    assert!(numbers.iter().enumerate().all(|(place, number)| place as u64 == *number), "{numbers:?}");
    numbers.len() as u64
}

fn contact(item: &RosterItem) -> u64 {
    let number = item.jid.strip_prefix('c').and_then(|rest| rest.split('@').next()).map(str::parse);
    number.and_then(std::result::Result::ok).expect("contacts are numbered")
}

fn random() -> u64 {
    getrandom::u64().expect("the system has random numbers")
}
