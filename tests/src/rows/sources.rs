//! Clients without number, each of which is a name that a proxy gives.

use std::{
    net::{Ipv4Addr, Ipv6Addr},
    thread,
};

use super::{Extent, Report, queries::answer};
use crate::host::Host;

const CONNECTIONS: u32 = 4;
/// What all that is remembered of clients may take.
const MOST: u64 = 16 << 20;

/// H24: a million clients, each refused a name, are remembered within a bound.
pub fn without_number(extent: Extent) -> Report {
    let host = Host::with_presence();
    host.set("presence.proxies", "127.0.0.1");
    let each = extent.of(1_000, 250_000);
    ask(&host, 0..each / 10);
    let before = host.process().census();
    thread::scope(|scope| {
        for part in 1..=CONNECTIONS {
            let host = &host;
            scope.spawn(move || ask(host, part * each..(part + 1) * each));
        }
    });
    let after = host.process().census();
    let grown = after.anonymous.saturating_sub(before.anonymous);
    assert!(grown <= MOST, "{grown} bytes more than before");
    Report::new(format!("{} clients", CONNECTIONS * each)).census(before, after)
}

/// Asks for each of these clients about a name that only that one asks for.
fn ask(host: &Host, clients: std::ops::Range<u32>) {
    let mut connection = None;
    for number in clients {
        let v6 = Ipv6Addr::from_bits(0x2001_0DB8 << 96 | u128::from(number) << 64);
        let client =
            if number % 2 == 0 { v6.to_string() } else { Ipv4Addr::from_bits(0x0A00_0000 + number).to_string() };
        let request = format!(
            "GET /plugins/presence/status?jid=nobody{number}@localhost&type=text HTTP/1.1\r\n\
             Host: x\r\nX-Forwarded-For: {client}\r\n\r\n"
        );
        let answer = answer(host, &mut connection, &request);
        assert_eq!((answer.status, answer.text()), (200, "Unavailable\n"), "{client}");
    }
}
