//! Who writes more than a roster holds.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use super::{
    Extent,
    report::{Report, Times},
};
use crate::{
    host::Host,
    xmpp::{Session, stanza_error},
};

/// The most resources of a user.
const SESSIONS: usize = 10;
/// What the database may grow to, whatever is thrown at it.
const LARGEST_STATE: u64 = 16 << 20;

/// X18: a user who sets contacts without end gets so many and no more, and keeps nobody from the disk.
pub fn rosters(extent: Extent) -> Report {
    let host = Host::start();
    host.add_user("flooder");
    let mut other = host.new_user("other");
    let (sets, over) = (extent.of(300, 10_000), Arc::new(AtomicBool::new(false)));
    let flood: Vec<_> = (0..SESSIONS)
        .map(|place| {
            let mut session = host.login("flooder");
            thread::spawn(move || (0..sets).filter(|number| add(&mut session, place, *number).is_some()).count())
        })
        .collect();
    let watching = {
        let over = over.clone();
        thread::spawn(move || {
            let mut times = Times::default();
            for number in 0.. {
                let started = Instant::now();
                assert_eq!(add(&mut other, 0, number % 50), None);
                times.push(started.elapsed());
                if over.load(Ordering::Relaxed) {
                    break;
                }
                // Below what one client may send.
                thread::sleep(Duration::from_millis(20));
            }
            times
        })
    };
    let refused: usize = flood.into_iter().map(|thread| thread.join().expect("whoever floods stays connected")).sum();
    over.store(true, Ordering::Relaxed);
    let times = watching.join().expect("others write on");
    let contacts = host.login("flooder").roster().expect("there is a roster").len();
    let state =
        ["state.db", "state.db-wal"].map(|file| fs::metadata(host.state().join(file)).map_or(0, |file| file.len()));
    let state: u64 = state.iter().sum();
    assert!(contacts <= 1_000 && (contacts == 1_000) == (refused > 0), "{contacts} contacts, {refused} refused");
    assert!(state <= LARGEST_STATE, "{state} bytes on the disk");
    assert!(times.within(0.99) <= Duration::from_millis(extent.of(1_000, 50)), "others wait {times}");
    Report::new(format!("{} contacts set: {contacts} taken, {refused} refused", SESSIONS * sets))
        .note(format!("a change of somebody else took {times}; {} kB on the disk", state >> 10))
}

/// Sets a contact. Returns the condition of a refusal.
fn add(session: &mut Session, place: usize, number: usize) -> Option<String> {
    let item = format!("<item jid='c{place}-{number}@localhost' name='{}'/>", "n".repeat(20));
    let answer = session.request("set", "", &format!("<query xmlns='jabber:iq:roster'>{item}</query>"));
    stanza_error(&answer.expect("the session lives on"))
}
