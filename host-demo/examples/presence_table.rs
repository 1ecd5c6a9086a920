//! The presence table with a million users who are online: how much memory each takes, and how often it can be read. `make bench
//! WHAT=table` runs this.

#[path = "../src/inline.rs"]
mod inline;
#[expect(dead_code, reason = "only what a login and a request on the web do is measured")]
#[path = "../src/presence/mod.rs"]
mod presence;
#[expect(dead_code, reason = "nothing is read of a whole server here")]
#[path = "../src/stamps.rs"]
mod stamps;

use std::{
    fs,
    hint::black_box,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use presence::{Resource, Show, Source, Table, UserPresence};

const USERS: usize = 1_000_000;
/// How long each kind of reading lasts.
const LENGTH: Duration = Duration::from_secs(2);
/// The clocks are looked at only after so many reads.
const STRIDE: usize = 1_024;

fn main() {
    let users: Vec<_> = (0..USERS).map(|number| format!("user{number}@example.com")).collect();
    let before = anonymous_memory();
    let table = Table::with_capacity(USERS, Arc::default());
    users.iter().for_each(|user| table.set(user, resource()));
    let each = (anonymous_memory() - before) as f64 / USERS as f64;
    println!("Presence table of {USERS} users with one resource: {each:.0} bytes each");
    let any = reads(&table, |number| &users[scattered(number)]);
    println!("  read at random on one core: {:.1} million a second", any / 1e6);
    let hot = thread::scope(|scope| {
        let readers = [(); 2].map(|()| scope.spawn(|| reads(&table, |_| &users[0])));
        readers.map(|reader| reader.join().expect("a reader does not panic"))
    });
    println!("  one user read on two cores at once: {:.1} million a second on each", (hot[0] + hot[1]) / 2e6);
}

fn resource() -> Resource<'static> {
    Resource { name: "phone", show: Show::Away, priority: 5, status: "Lunch", since: 0 }
}

/// Users in no order that a processor could guess: a full cycle modulo the power of two below the number of users.
fn scattered(number: usize) -> usize {
    number.wrapping_mul(0x9E37_79B1).wrapping_add(0x7F4A_7C15) & ((1 << USERS.ilog2()) - 1)
}

/// Reads in a second of processor time, by this thread: what else runs on the machine takes less of that than of the clock's. The
/// addresses are copied beforehand, as that of a request is at hand.
fn reads<'a>(table: &Table, user: impl Fn(usize) -> &'a str) -> f64 {
    let (started, mut count, mut time) = (Instant::now(), 0, 0.0);
    let (mut asked, mut seen) = (vec![String::new(); STRIDE], UserPresence::default());
    while started.elapsed() < LENGTH {
        asked.iter_mut().zip(count..).for_each(|(asked, number)| user(number).clone_into(asked));
        let before = processor_time();
        for user in &asked {
            assert!(table.read_into(user, &mut seen), "everybody is online");
            black_box(seen.resources().next());
        }
        time += processor_time() - before;
        count += STRIDE;
    }
    count as f64 / time
}

/// Seconds for which this thread has run, proc_pid_schedstat(5).
fn processor_time() -> f64 {
    let line = fs::read_to_string("/proc/thread-self/schedstat").expect("the kernel tells of our time");
    line.split(' ').next().and_then(|time| time.parse::<f64>().ok()).expect("nanoseconds") / 1e9
}

/// Bytes of this process's memory that no file backs, proc_pid_smaps(5).
fn anonymous_memory() -> u64 {
    let rollup = fs::read_to_string("/proc/self/smaps_rollup").expect("the kernel tells of our memory");
    let line = rollup.lines().find_map(|line| line.strip_prefix("Anonymous:")).expect("a line of anonymous memory");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("kilobytes") << 10
}
