//! Users who send more than anybody can read, and users who do not read.

use std::{
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

use super::{Extent, Report, report::Times};
use crate::{
    host::{Host, PATIENCE},
    wait,
    xmpp::{Error, Session, befriend},
};

/// X16: presence as fast as the socket takes it. Whoever reads goes on, whoever sends is slowed down, and nobody else
/// notices.
pub fn presence(extent: Extent) -> Report {
    let host = Host::start();
    let mut flooder = host.new_user("flooder");
    let contacts: Vec<_> = (0..extent.of(4, 100)).map(|number| contact(&host, &mut flooder, number)).collect();
    let (mut one, mut other) = (host.new_user("one"), host.new_user("other"));
    other.available("", "").expect("a presence can be sent");
    let before = chat(&mut one, &mut other, extent.of(50, 500));
    let (over, lasting) = (AtomicBool::new(false), Duration::from_secs(extent.of(3, 20)));
    host.process().forget_peak();
    let peak = host.process().peak();
    let (during, seen, sent) = thread::scope(|scope| {
        let readers: Vec<_> =
            contacts.into_iter().map(|contact| scope.spawn(|| count_presence(contact, &over))).collect();
        let flood = scope.spawn(|| send_presence(&mut flooder, lasting));
        let during = chat(&mut one, &mut other, extent.of(50, 500));
        let sent = flood.join().expect("the flood does not panic");
        over.store(true, Relaxed);
        let seen: Vec<_> = readers.into_iter().map(|reader| reader.join().expect("a reader does not panic")).collect();
        (during, seen, sent)
    });
    let least = seen.iter().min().copied().unwrap_or_default();
    let grown = host.process().peak().saturating_sub(peak);
    assert!(least > 0, "some saw nothing");
    let allowed = extent
        .of(20 * before.within(0.99) + Duration::from_millis(500), 2 * before.within(0.99) + Duration::from_millis(20));
    assert!(during.within(0.99) <= allowed, "a message took {during}, and {before} before");
    assert!(grown <= (seen.len() as u64 + 1) * (256 << 10) + (4 << 20), "{grown} bytes more");
    let others = seen.len();
    Report::new(format!("{sent} presences written, {others} contacts who read saw {least} and more"))
        .note(format!("a message of others took {before} before, {during} meanwhile; +{} kB", grown >> 10))
}

/// A contact who sees the flooder's presence.
fn contact(host: &Host, flooder: &mut Session, number: usize) -> Session {
    let mut contact = host.new_user(&format!("contact{number}"));
    befriend(flooder, &mut contact).expect("a subscription can be had");
    contact.available("", "").expect("a presence can be sent");
    contact.settle().expect("the session lives on");
    contact
}

/// Reads until the flood is over, and then what it left, by which the session must still live.
fn count_presence(mut contact: Session, over: &AtomicBool) -> usize {
    let mut count = 0;
    while !over.load(Relaxed) {
        let stanza = contact.next_within(Duration::from_millis(200)).expect("whoever reads stays connected");
        count += usize::from(stanza.is_some_and(|stanza| stanza.name() == "presence"));
    }
    contact.settle().expect("whoever reads stays connected");
    count
}

/// Writes until the time is over. The host stops reading, so that in the end a write fails for its time.
fn send_presence(flooder: &mut Session, lasting: Duration) -> usize {
    let (started, mut sent) = (Instant::now(), 0);
    while started.elapsed() < lasting {
        let many: String =
            (sent..sent + 100).map(|number| format!("<presence><status>{number}</status></presence>")).collect();
        match flooder.stream().connection().send_within(&many, lasting) {
            Ok(()) => sent += 100,
            Err(Error::TimedOut) => break,
            Err(error) => panic!("whoever sends stays connected: {error}"),
        }
    }
    sent
}

fn chat(one: &mut Session, other: &mut Session, count: usize) -> Times {
    let mut times = Times::default();
    for number in 0..count {
        let (started, text) = (Instant::now(), number.to_string());
        one.message(other.jid(), &text).expect("a message can be sent");
        other.expect(|stanza| stanza.name() == "message").expect("a message arrives");
        times.push(started.elapsed());
    }
    times
}

/// X17: a client that asks and does not read loses its session, at the cost of what may wait for one.
pub fn unread(extent: Extent) -> Report {
    let host = Host::start();
    let mut alice = host.new_user("alice");
    let name = "n".repeat(1_000);
    for number in 0..extent.of(100, 250) {
        let item = format!("<item jid='c{number}@localhost' name='{name}'/>");
        alice
            .request("set", "", &format!("<query xmlns='jabber:iq:roster'>{item}</query>"))
            .expect("a contact is added");
    }
    let (mut bob, mut deaf) = (host.new_user("bob"), host.login("alice"));
    deaf.settle().expect("the session lives");
    host.process().forget_peak();
    let (peak, mut asked) = (host.process().peak(), 0);
    // Until what the kernel takes for it is full, and the host waits for the client.
    let ask = "<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>";
    while asked < 500 && deaf.stream().connection().send_within(ask, Duration::from_secs(1)).is_ok() {
        asked += 1;
    }
    assert_eq!(sessions(&host), 3);
    let started = Instant::now();
    wait::until(PATIENCE, "the session that does not read is over", || {
        (0..100).for_each(|_| bob.message(deaf.jid(), "Are you there?").expect("a message can be sent"));
        bob.settle().expect("whoever writes stays connected");
        (sessions(&host) == 2).then_some(())
    });
    let (took, grown) = (started.elapsed(), host.process().peak().saturating_sub(peak));
    assert!(grown <= extent.of(4 << 20, 2 << 20), "{grown} bytes for a client that does not read");
    alice.settle().expect("whoever reads stays connected");
    Report::new(format!("{asked} rosters asked for and not read: over {:.1} s after others wrote", took.as_secs_f64()))
        .note(format!("+{} kB", grown >> 10))
}

/// How many sessions the console counts.
fn sessions(host: &Host) -> usize {
    let metrics = host.console().get("/metrics").text().to_owned();
    let line = metrics
        .lines()
        .find(|line| line.starts_with("host_demo_xmpp_sessions "))
        .unwrap_or_else(|| panic!("{metrics}"));
    line.rsplit(' ').next().and_then(|number| number.parse().ok()).expect("a metric has a number")
}
