//! What clients cost: how many log in within a second, what an idle session keeps, and how soon a thousand subscribers hear of a
//! change of presence. The clients are ours, on the same two cores, and their work is part of every figure.

use std::{
    net::SocketAddr,
    sync::{
        Barrier, Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use tests::{
    host::{Host, password},
    xmpp::{Connection, Mechanism, Result, Session},
};

/// How many accounts there are, and subscribers to one of them.
const USERS: usize = 1_000;
/// How many sessions each has.
const SESSIONS: usize = 5;
/// How many clients are at work at a time.
const THREADS: usize = 8;
/// How often the presence changes.
const CHANGES: usize = 20;
/// So many are asked for a subscription at a time: their answers fit into one outbox.
const BATCH: usize = 100;

/// Prints three lines.
pub fn measure() {
    let host = Host::start();
    divide(USERS, |user| host.add_user(&name(user)));
    let before = host.process().census();
    let started = Instant::now();
    let mut sessions = in_parallel(USERS * SESSIONS, |number| online(host.xmpp(), number % USERS));
    let rate = sessions.len() as f64 / started.elapsed().as_secs_f64();
    println!("Logins, SCRAM-SHA-1 inside TLS, with an initial presence: {rate:.0} a second");
    let after = host.process().census();
    let of_one = (after.anonymous - before.anonymous) as f64 / sessions.len() as f64;
    println!("{} idle TLS sessions: {:.1} kB of memory each", sessions.len(), of_one / 1e3);
    sessions.truncate(USERS);
    sessions.iter_mut().for_each(|session| session.settle().expect("the session is alive"));
    spread(&host, sessions);
}

fn name(user: usize) -> String {
    format!("u{user}")
}

/// A session of this user that has announced itself.
fn online(address: SocketAddr, user: usize) -> Session {
    let name = name(user);
    let login = || -> Result<Session> {
        let stream = Connection::open(address)?.begin("localhost")?.starttls()?;
        let mut session = stream.authenticate(Mechanism::ScramSha1, &name, &password(&name))?.bind(None)?;
        session.available("", "")?;
        session.settle()?;
        Ok(session)
    };
    login().unwrap_or_else(|error| panic!("{name} can't log in: {error}"))
}

/// Makes `count` of something, in the order of their numbers.
pub fn in_parallel<T: Send>(count: usize, make: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let made = Mutex::new(Vec::with_capacity(count));
    divide(count, |number| {
        let one = make(number);
        made.lock().expect("no thread panics").push((number, one));
    });
    let mut made = made.into_inner().expect("no thread panics");
    made.sort_by_key(|(number, _)| *number);
    made.into_iter().map(|(_, one)| one).collect()
}

/// Does some work for all numbers up to `count`, on several threads.
pub fn divide(count: usize, work: impl Fn(usize) + Sync) {
    let next = AtomicUsize::new(0);
    let take = || Some(next.fetch_add(1, Relaxed)).filter(|number| *number < count);
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| std::iter::from_fn(take).for_each(&work));
        }
    });
}

/// A change of presence on its way to all subscribers. Each thread hears its share one after the other, so that a time is never
/// too short, though it may be too long.
fn spread(host: &Host, mut subscribers: Vec<Session>) {
    let mut star = host.new_user("star");
    for batch in subscribers.chunks_mut(BATCH) {
        befriend(&mut star, batch).expect("the star takes everybody");
    }
    star.available("", "ready").and_then(|()| star.settle()).expect("the star shines");
    let (barrier, sent) = (Barrier::new(THREADS + 1), Mutex::new(Instant::now()));
    let (barrier, sent) = (&barrier, &sent);
    let mut times = thread::scope(|scope| {
        let shares = subscribers.chunks_mut(USERS.div_ceil(THREADS));
        let hearing: Vec<_> = shares.map(|share| scope.spawn(move || hear_changes(share, barrier, sent))).collect();
        assert_eq!(hearing.len(), THREADS, "everybody waits at the barrier");
        for change in 0..CHANGES {
            barrier.wait();
            *sent.lock().expect("no thread panics") = Instant::now();
            star.available("away", &change.to_string()).expect("the star may change");
            barrier.wait();
        }
        hearing.into_iter().flat_map(|thread| thread.join().expect("everybody hears")).collect::<Vec<_>>()
    });
    times.sort();
    let at = |share: f64| times[((times.len() - 1) as f64 * share).round() as usize].as_secs_f64() * 1e3;
    println!(
        "A change of presence to {USERS} subscribers: median {:.1} ms, p99 {:.1} ms, longest {:.1} ms",
        at(0.5),
        at(0.99),
        at(1.0)
    );
}

fn befriend(star: &mut Session, fans: &mut [Session]) -> Result<()> {
    for fan in &mut *fans {
        fan.subscription("subscribe", star.bare_jid())?;
    }
    for fan in &mut *fans {
        fan.settle()?;
        star.subscription("subscribed", fan.bare_jid())?;
    }
    star.settle()?;
    fans.iter_mut().try_for_each(Session::settle)
}

fn hear_changes(share: &mut [Session], barrier: &Barrier, sent: &Mutex<Instant>) -> Vec<Duration> {
    let mut times = Vec::new();
    for change in 0..CHANGES {
        barrier.wait();
        for session in &mut *share {
            hear(session, &change.to_string());
            times.push(sent.lock().expect("no thread panics").elapsed());
        }
        barrier.wait();
    }
    times
}

fn hear(session: &mut Session, status: &str) {
    let heard =
        session.expect(|stanza| stanza.children().any(|child| child.name() == "status" && child.text() == status));
    heard.expect("the change arrives");
}
