//! Five thousand event streams about one user: what each costs the server, and how soon all hear of a change. The clients are ours, on the
//! same two cores, and their work is part of every figure.

use std::{
    sync::{Barrier, Mutex},
    thread,
    time::{Duration, Instant},
};

use tests::{host::Host, http::events::EventSource, xmpp::Session};

use crate::sessions::in_parallel;

/// How many streams there are.
const STREAMS: usize = 5_000;
/// So many are opened and closed before: what the server makes once is no part of a stream.
const WARMING_UP: usize = 200;
/// How many threads hear, each its share of the streams.
const THREADS: usize = 8;
/// How often the presence changes.
const CHANGES: usize = 20;
const PATIENCE: Duration = Duration::from_secs(60);

/// Prints two lines.
pub fn measure() {
    let host = Host::with_presence();
    host.set("presence.visibility", "anyone");
    let mut star = host.new_user("star");
    star.available("away", "ready").and_then(|()| star.settle()).expect("the star shines");
    drop(in_parallel(WARMING_UP, |_| open(&host)));
    let before = host.process().census();
    let mut streams = in_parallel(STREAMS, |_| open(&host));
    let after = host.process().census();
    let of_one = after.anonymous.saturating_sub(before.anonymous) as f64 / STREAMS as f64;
    println!("{STREAMS} event streams: {:.1} kB of memory each", of_one / 1e3);
    let mut times = spread(&mut star, &mut streams);
    times.sort();
    let at = |share: f64| times[((times.len() - 1) as f64 * share).round() as usize].as_secs_f64() * 1e3;
    let (median, most, longest) = (at(0.5), at(0.99), at(1.0));
    println!("A change of presence to all of them: median {median:.1} ms, p99 {most:.1} ms, longest {longest:.1} ms");
}

/// A stream that has told what is shown at first.
fn open(host: &Host) -> EventSource {
    let target = "/plugins/presence/v1/users/star@localhost/events";
    let mut stream = EventSource::open(host.process().ready().http, target, "", PATIENCE);
    assert_eq!(stream.state(), "away");
    stream
}

/// Changes on their way to all streams. Each thread hears its share one after the other, so that a time is never too short, though it
/// may be too long.
fn spread(star: &mut Session, streams: &mut [EventSource]) -> Vec<Duration> {
    let (barrier, sent) = (Barrier::new(THREADS + 1), Mutex::new(Instant::now()));
    let (barrier, sent) = (&barrier, &sent);
    thread::scope(|scope| {
        let shares = streams.chunks_mut(STREAMS.div_ceil(THREADS));
        let hearing: Vec<_> = shares.map(|share| scope.spawn(move || hear(share, barrier, sent))).collect();
        assert_eq!(hearing.len(), THREADS, "everybody waits at the barrier");
        for change in 0..CHANGES {
            barrier.wait();
            *sent.lock().expect("no thread panics") = Instant::now();
            star.available("away", &change.to_string()).expect("the star may change");
            barrier.wait();
        }
        hearing.into_iter().flat_map(|thread| thread.join().expect("everybody hears")).collect()
    })
}

fn hear(share: &mut [EventSource], barrier: &Barrier, sent: &Mutex<Instant>) -> Vec<Duration> {
    let mut times = Vec::new();
    for change in 0..CHANGES {
        barrier.wait();
        for stream in &mut *share {
            let status = stream.event().object()["status"].as_str().map(str::to_owned);
            assert_eq!(status, Some(change.to_string()), "nothing is told twice or left out");
            times.push(sent.lock().expect("no thread panics").elapsed());
        }
        barrier.wait();
    }
    times
}
