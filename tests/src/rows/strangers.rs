//! Clients that connect and do not log in: how long they may stay, and what they cost.

use std::{
    io::{ErrorKind, Read, Write},
    net::TcpStream,
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Resource, getrlimit};

use super::{Extent, Report};
use crate::{
    host::{Host, PATIENCE},
    wait,
};

/// How long a client may take to log in.
const TIME_TO_LOG_IN: Duration = Duration::from_secs(30);

/// So many descriptors of its own a host that has just started may open or close.
const FEW: u64 = 16;

/// So many connections wait to be accepted at least.
const BACKLOG: usize = 500;

const HEADER: &[u8] = b"<stream:stream to='localhost' version='1.0' xmlns='jabber:client' \
                        xmlns:stream='http://etherx.jabber.org/streams'>";

/// X9: silent and slow clients are shown out in time, whatever they send, and leave nothing behind. In the suite a unit test
/// of the host stands for it, which need not wait for half a minute.
pub fn shown_out(extent: Extent) -> Report {
    let host = Host::start();
    let before = host.process().census();
    let open = |number| (stranger(&host, number), Instant::now(), None);
    let mut sockets: Vec<_> = (0..room_for(extent.of(200, 5_000))).map(open).collect();
    let (count, all_open) = (sockets.len(), Instant::now());
    while sockets.iter().any(|(.., gone)| gone.is_none()) {
        assert!(all_open.elapsed() < 2 * TIME_TO_LOG_IN, "some are still there");
        for (socket, opened, gone) in sockets.iter_mut().filter(|(.., gone)| gone.is_none()) {
            let _ = socket.write(b" ");
            *gone = is_over(socket).then(|| opened.elapsed());
        }
        thread::sleep(Duration::from_millis(500));
    }
    let times = || sockets.iter().filter_map(|(.., gone)| *gone);
    let (first, last) = (times().min().unwrap_or_default(), times().max().unwrap_or_default());
    drop(sockets);
    until_gone(&host, before.descriptors);
    let after = host.process().census();
    assert!(first > TIME_TO_LOG_IN - Duration::from_secs(3), "the first one was shown out after {first:?}");
    assert!(
        last <= TIME_TO_LOG_IN + extent.of(Duration::from_secs(6), Duration::from_secs(2)),
        "the last one after {last:?}"
    );
    Report::new(format!("{count} clients, gone after {:.1} to {:.1} s", first.as_secs_f64(), last.as_secs_f64()))
        .census(before, after)
}

/// One that says nothing, one that opens a stream, one that stays in the middle of a handshake.
fn stranger(host: &Host, number: usize) -> TcpStream {
    let mut socket = TcpStream::connect(host.xmpp()).expect("the host listens");
    match number % 3 {
        0 => {}
        1 => socket.write_all(HEADER).expect("a header can be sent"),
        _ => socket.write_all(&[0x16, 3, 1, 2, 0]).expect("the beginning of a record can be sent"),
    }
    socket.set_nonblocking(true).expect("a socket can be made so");
    socket
}

fn is_over(socket: &mut TcpStream) -> bool {
    let mut buffer = [0; 1024];
    loop {
        match socket.read(&mut buffer) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) => return error.kind() != ErrorKind::WouldBlock,
        }
    }
}

/// X10: what a connection costs before its login, silent and after a first exchange, and that nothing of it stays.
pub fn crowds(extent: Extent) -> Report {
    let (count, rounds) = (room_for(extent.of(400, 10_000)), extent.of(4, 20));
    let mut report = Report::new(format!("{rounds} rounds of {count} clients"));
    for (kind, talks) in [("silent", false), ("greeting", true)] {
        let host = Host::start();
        let before = host.process().census();
        let mut left = Vec::new();
        let mut most = 0;
        for _ in 0..rounds {
            let crowd = gather(&host, before.descriptors, count, talks);
            most = most.max(host.process().census().anonymous.saturating_sub(before.anonymous) / count as u64);
            drop(crowd);
            until_gone(&host, before.descriptors);
            left.push(host.process().census().anonymous);
        }
        let grown = left[rounds - 1].saturating_sub(left[2]);
        report = report.note(format!(
            "{kind}: {:.1} kB each, {} kB more after the last round than after the third",
            most as f64 / 1e3,
            grown >> 10
        ));
        assert!(most <= extent.of(48 << 10, 16 << 10), "{kind}: {most} bytes each");
        assert!(grown <= extent.of(2 << 20, left[2] / 10), "{kind}: {grown} bytes more after the last round");
    }
    report
}

/// Connects them, no more at a time than the kernel keeps for a host that has not accepted them yet. A greeting crowd has
/// opened its streams and knows what is offered.
fn gather(host: &Host, descriptors: u64, count: usize, talks: bool) -> Vec<TcpStream> {
    let mut crowd = Vec::with_capacity(count);
    while crowd.len() < count {
        let more = BACKLOG.min(count - crowd.len());
        crowd.extend((0..more).map(|_| TcpStream::connect(host.xmpp()).expect("the host listens")));
        wait::until(PATIENCE * 3, "all are accepted", || {
            (host.process().census().descriptors + FEW >= descriptors + crowd.len() as u64).then_some(())
        });
    }
    if talks {
        crowd.iter_mut().for_each(|socket| socket.write_all(HEADER).expect("a header can be sent"));
        for socket in &mut crowd {
            let mut heard = Vec::new();
            while !heard.ends_with(b"</stream:features>") {
                let mut buffer = [0; 1024];
                let read = socket.read(&mut buffer).expect("the host answers");
                assert!(read > 0, "the host hung up after {}", String::from_utf8_lossy(&heard));
                heard.extend_from_slice(&buffer[..read]);
            }
        }
    }
    crowd
}

/// How many connections this process and the host may have at a time, at most.
fn room_for(wanted: usize) -> usize {
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    wanted.min(usize::try_from(limit.saturating_sub(500)).unwrap_or(usize::MAX))
}

fn until_gone(host: &Host, descriptors: u64) {
    wait::until(PATIENCE * 3, "all are gone", || {
        (host.process().census().descriptors <= descriptors + FEW).then_some(())
    });
}
