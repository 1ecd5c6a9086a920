//! What is larger than it may be: refused where it passes the limit, at a cost that does not depend on the rest of it.

use std::time::Duration;

use super::{Extent, Report};
use crate::{
    host::Host,
    xmpp::{Connection, Session},
};

/// How many sessions a user throws from.
const SESSIONS: usize = 8;

const HEADER: &str = "<stream:stream to='localhost' version='1.0' xmlns='jabber:client' \
                      xmlns:stream='http://etherx.jabber.org/streams'>";

/// X4: a stanza deeper than any. Neither reading it nor dropping it needs a stack of its depth.
pub fn deep(extent: Extent) -> Report {
    explode(extent, vec!["<a>".repeat(100_000)], 64 << 10, Duration::from_millis(5))
}

/// X5: attributes and namespaces without end.
pub fn wide(extent: Extent) -> Report {
    let many = |name: &str| (0..10_000).map(|number| format!(" {name}{number}='x'")).collect::<String>();
    let bombs = vec![
        format!("<message{}/>", many("a")),
        format!("<message{}/>", many("xmlns:p")),
        // As many as are allowed, again and again: what costs most and passes no limit until the last.
        format!("<message>{}", format!("<a{}/>", many("a")[..1_700].trim_end_matches(|c| c != '\'')).repeat(1_000)),
        format!("<message a='{}'/>", "x".repeat(5 << 20)),
        format!("<{}/>", "x".repeat(5 << 20)),
    ];
    // Four thousand attributes in a stanza of the largest size, each a node of a tree: 1 MB, for as long as it is read.
    explode(extent, bombs, 1 << 20, Duration::from_millis(5))
}

/// X6: a stanza that never ends.
pub fn long(extent: Extent) -> Report {
    explode(extent, vec![format!("<message><body>{}", "x".repeat(5 << 20))], 512 << 10, Duration::from_millis(5))
}

/// Sends each bomb as a stranger and as a user, several times, and looks at what the host took for it: of memory at most
/// `memory` a stanza, of processor time at most `time`.
fn explode(extent: Extent, bombs: Vec<String>, memory: u64, time: Duration) -> Report {
    let host = Host::start();
    host.add_user("alice");
    let mut report = Report::new(format!("{} bombs", bombs.len()));
    for (number, bomb) in bombs.iter().enumerate() {
        let stranger = measure(&host, extent.of(10, 100), || {
            throw(Connection::open(host.xmpp()).expect("the host listens"), &format!("{HEADER}{bomb}"));
        });
        let rounds = extent.of(1, 5);
        let mut user = Cost::default();
        for _ in 0..rounds {
            let mut sessions: Vec<Session> = (0..SESSIONS).map(|_| host.login("alice")).collect();
            user = user.max(measure(&host, SESSIONS, || {
                let mut session = sessions.pop().expect("there are as many sessions as throws");
                throw_within(session.stream().connection(), bomb);
            }));
        }
        // An unoptimised host on a busy machine is slower: what is quadratic is slower by far.
        let time = time * extent.of(20, 1);
        for cost in [stranger, user] {
            assert!(cost.time <= time, "bomb {number} took {:?} each", cost.time);
            assert!(cost.peak <= memory + extent.of(1 << 20, 256 << 10), "bomb {number} took {} bytes", cost.peak);
        }
        report = report.note(format!("{number}: stranger {stranger}, user {user}"));
    }
    host.login("alice").settle().expect("the host serves on");
    report
}

fn throw(mut connection: Connection, bomb: &str) {
    throw_within(&mut connection, bomb);
}

/// The error may be lost with the reset of a connection on which the client goes on sending.
fn throw_within(connection: &mut Connection, bomb: &str) {
    let _ = connection.send(bomb);
    let end = connection.stream_error().expect("the host ends the stream");
    assert!(matches!(end.as_deref(), None | Some("policy-violation" | "not-well-formed")), "{end:?}");
}

/// What one bomb cost.
#[derive(Clone, Copy, Default)]
struct Cost {
    time: Duration,
    peak: u64,
}

impl Cost {
    fn max(self, other: Cost) -> Cost {
        Cost { time: self.time.max(other.time), peak: self.peak.max(other.peak) }
    }
}

impl std::fmt::Display for Cost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.1} ms +{} kB", self.time.as_secs_f64() * 1e3, self.peak >> 10)
    }
}

fn measure(host: &Host, count: usize, mut throw: impl FnMut()) -> Cost {
    let process = host.process();
    process.forget_peak();
    let (time, before) = (process.processor_time(), process.peak());
    (0..count).for_each(|_| throw());
    let spent = process.processor_time() - time;
    Cost { time: spent / count as u32, peak: process.peak().saturating_sub(before) }
}
