//! How often one client may ask: the generic cell rate algorithm (ITU-T I.371), which is a token bucket with one number a client.
//!
//! Loopback is never limited. Behind a proxy that the administrator named, the client is the one that the proxy names in `X-Forwarded-For`.

use std::{
    net::{IpAddr, Ipv6Addr, SocketAddr},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use crate::{clients::Clients, settings};

/// The limit by the settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Requests a second; zero for no limit.
    pub per_second: u32,
    /// How many may come at once.
    pub burst: u32,
}

/// All clients that a proxy names in a way that can't be read. No client has the unspecified address (RFC 4291 section 2.5.2).
const UNREADABLE: IpAddr = IpAddr::V6(Ipv6Addr::UNSPECIFIED);

/// The addresses of proxies that are believed.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Proxies(Vec<IpAddr>);

impl Proxies {
    /// Reads the setting: addresses separated by commas, as the host has checked.
    pub fn parse(setting: &str) -> Proxies {
        Proxies(settings::addresses(setting))
    }

    /// The client that a request came from: the peer, or whoever the last proxies in a row name. Read from the end, because whatever
    /// stands before what our own proxies added was written by the client. A proxy that names nobody asks for itself.
    pub fn client<'a>(&self, peer: IpAddr, forwarded_for: impl DoubleEndedIterator<Item = &'a str>) -> IpAddr {
        let mut client = peer;
        let entries = forwarded_for.rev().flat_map(|line| line.rsplit(',')).map(str::trim);
        let mut hops = entries.filter(|entry| !entry.is_empty()).map(|entry| read(entry).unwrap_or(UNREADABLE));
        while self.0.contains(&client)
            && let Some(hop) = hops.next()
        {
            client = hop;
        }
        client
    }
}

/// An address as proxies write it: alone or with a port, and then one of IPv6 in brackets.
fn read(entry: &str) -> Option<IpAddr> {
    let in_brackets = || entry.strip_prefix('[')?.strip_suffix(']')?.parse::<Ipv6Addr>().ok().map(IpAddr::V6);
    let alone = entry.parse::<IpAddr>().ok().or_else(in_brackets);
    let address = alone.or_else(|| Some(entry.parse::<SocketAddr>().ok()?.ip()))?;
    Some(address.to_canonical())
}

/// Who asked when.
pub struct Limiter {
    start: Instant,
    /// When the bucket of each will be full again, in nanoseconds since the start; zero for one that is not remembered.
    clients: Mutex<Clients<u64>>,
}

impl Limiter {
    /// Remembers nobody yet.
    pub fn new() -> Limiter {
        Limiter { start: Instant::now(), clients: Mutex::default() }
    }

    /// Counts what a client asks: as many requests as there are users in it. More than may come at once counts as that.
    ///
    /// # Errors
    /// It comes too soon. What it is to wait for is returned.
    pub fn admit(&self, client: IpAddr, rate: Rate, count: usize) -> Result<(), Duration> {
        if rate.per_second == 0 || client.is_loopback() {
            return Ok(());
        }
        let now = u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        admit(clients.entry(client), now, rate, count)
    }
}

fn admit(full_at: &mut u64, now: u64, rate: Rate, count: usize) -> Result<(), Duration> {
    let (interval, burst) = (1_000_000_000 / u64::from(rate.per_second), u64::from(rate.burst.max(1)));
    let after = now.max(*full_at) + interval * burst.min(count as u64);
    let allowed = now + interval * burst;
    if after > allowed {
        return Err(Duration::from_nanos(after - allowed));
    }
    *full_at = after;
    Ok(())
}

/// Row H24.
#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate { per_second: 2, burst: 3 };
    const SECOND: u64 = 1_000_000_000;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn client(peer: &str, fields: &[&str], proxies: &str) -> String {
        Proxies::parse(proxies).client(address(peer), fields.iter().copied()).to_string()
    }

    #[test]
    fn a_burst_then_so_many_a_second() {
        let mut full_at = 0;
        let mut admitted = |now| admit(&mut full_at, now, RATE, 1);
        assert!((0..3).all(|_| admitted(SECOND).is_ok()));
        assert_eq!(admitted(SECOND), Err(Duration::from_millis(500)));
        assert_eq!(admitted(SECOND + SECOND / 4), Err(Duration::from_millis(250)), "a refusal costs nothing");
        assert_eq!(admitted(SECOND + SECOND / 2), Ok(()));
        assert!(admitted(SECOND + SECOND / 2).is_err());
        assert!((0..3).all(|_| admitted(100 * SECOND).is_ok()), "full again, and no fuller");
        assert!(admitted(100 * SECOND).is_err());
    }

    #[test]
    fn many_at_once_count_as_many() {
        let mut full_at = 0;
        let mut admitted = |now, count| admit(&mut full_at, now, RATE, count);
        assert!(admitted(SECOND, 2).is_ok() && admitted(SECOND, 2).is_err() && admitted(SECOND, 1).is_ok());
        assert_eq!(admitted(SECOND, 2), Err(Duration::from_nanos(SECOND)));
        assert!(admitted(100 * SECOND, 500).is_ok(), "no burst is too small for one request");
        assert!(admitted(100 * SECOND, 1).is_err());
    }

    #[test]
    fn clients_are_counted_apart_and_an_ipv6_network_as_one() {
        let limiter = Limiter::new();
        let once = Rate { per_second: 1, burst: 1 };
        let admitted = |text| limiter.admit(address(text), once, 1).is_ok();
        assert!(admitted("192.0.2.1") && admitted("192.0.2.2") && !admitted("192.0.2.1"));
        assert!(admitted("2001:db8::1") && !admitted("2001:db8::ffff:1") && admitted("2001:db8:0:1::1"));
    }

    #[test]
    fn neither_loopback_nor_a_rate_of_zero_is_limited() {
        let limiter = Limiter::new();
        let once = Rate { per_second: 1, burst: 1 };
        for _ in 0..10 {
            assert!(
                limiter.admit(address("127.0.0.9"), once, 1).is_ok() && limiter.admit(address("::1"), once, 1).is_ok()
            );
            assert!(limiter.admit(address("192.0.2.1"), Rate { per_second: 0, burst: 0 }, 1).is_ok());
        }
        assert!(
            ["127.0.0.9", "192.0.2.1"].iter().all(|text| limiter
                .clients
                .lock()
                .unwrap()
                .known(address(text))
                .is_none())
        );
    }

    #[test]
    fn only_a_proxy_on_the_list_is_believed() {
        assert_eq!(client("192.0.2.9", &["203.0.113.1"], ""), "192.0.2.9");
        assert_eq!(client("192.0.2.9", &["203.0.113.1"], "192.0.2.8"), "192.0.2.9");
        assert_eq!(client("192.0.2.9", &["203.0.113.1"], "192.0.2.9"), "203.0.113.1");
        assert_eq!(client("192.0.2.9", &["10.9.9.9, 203.0.113.1"], "192.0.2.9"), "203.0.113.1", "the last one");
        assert_eq!(client("192.0.2.9", &["203.0.113.1", "198.51.100.1"], "192.0.2.9,198.51.100.1"), "203.0.113.1");
        assert_eq!(client("192.0.2.9", &["203.0.113.1 ,198.51.100.1"], " 192.0.2.9 , 198.51.100.1"), "203.0.113.1");
        assert_eq!(client("192.0.2.9", &["::ffff:203.0.113.1"], "192.0.2.9"), "203.0.113.1");
        for nobody in [&[][..], &[""], &[" , ,"]] {
            assert_eq!(client("127.0.0.1", nobody, "127.0.0.1"), "127.0.0.1", "{nobody:?}");
        }
    }

    #[test]
    fn a_client_may_be_named_with_its_port() {
        for (entry, expected) in [
            ("203.0.113.1:1000", "203.0.113.1"),
            ("[2001:db8::1]:5", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("[::ffff:203.0.113.1]:5", "203.0.113.1"),
            ("203.0.113.1:1000, ,", "203.0.113.1"),
        ] {
            assert_eq!(client("127.0.0.1", &[entry], "127.0.0.1"), expected, "{entry}");
        }
    }

    #[test]
    fn clients_that_cannot_be_read_are_one_which_is_limited() {
        let (limiter, once) = (Limiter::new(), Rate { per_second: 1, burst: 1 });
        let unreadable = ["unknown", "_hidden", "1.2.3.4, x", "203.0.113.1:x", "[203.0.113.1]:1", "::1]", "\u{FFFD}"];
        for nonsense in unreadable {
            assert_eq!(client("127.0.0.1", &[nonsense], "127.0.0.1, 1.2.3.4"), "::", "{nonsense}");
        }
        assert!(limiter.admit(UNREADABLE, once, 1).is_ok() && limiter.admit(UNREADABLE, once, 1).is_err());
    }

    #[test]
    fn a_proxy_is_known_in_any_writing() {
        assert_eq!(
            Proxies::parse("192.0.2.1,, ::ffff:192.0.2.2 "),
            Proxies(vec![address("192.0.2.1"), address("192.0.2.2")])
        );
    }
}
