//! What is remembered of clients, within a bound.
//!
//! A client is an IPv4 address or the first 64 bits of an IPv6 one, which are what a single subscriber is given.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
};

/// How many clients are remembered. Those that were not seen for longest are forgotten, which lets them start anew.
const MOST: usize = 65_536;

/// Least recently seen clients go first, half of them at a time: who is not asked for while the newer half fills up goes with the
/// older one. That needs no list of who came when.
#[derive(Default)]
pub struct Clients<T> {
    newer: HashMap<IpAddr, T>,
    older: HashMap<IpAddr, T>,
}

impl<T: Default> Clients<T> {
    /// What is remembered of this client; the default of one that is not.
    pub fn entry(&mut self, client: IpAddr) -> &mut T {
        let client = network(client);
        if !self.newer.contains_key(&client) {
            if self.newer.len() >= MOST / 2 {
                self.older = std::mem::take(&mut self.newer);
            }
            let known = self.older.remove(&client).unwrap_or_default();
            self.newer.insert(client, known);
        }
        self.newer.entry(client).or_default()
    }

    /// The same, if the client has not been forgotten.
    pub fn known(&mut self, client: IpAddr) -> Option<&mut T> {
        let client = network(client);
        self.newer.get_mut(&client).or_else(|| self.older.get_mut(&client))
    }
}

/// What one subscriber is given.
pub fn network(client: IpAddr) -> IpAddr {
    match client {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_million_clients_take_no_more_room_than_the_last() {
        let mut clients = Clients::default();
        let [busy, first] = ["10.0.0.1", "11.0.0.0"].map(|text| text.parse().unwrap());
        *clients.entry(busy) = 7_u64;
        for number in 0..1_000_000_u32 {
            *clients.entry(IpAddr::V4((0x0B00_0000 + number).into())) = 1;
            if number % 10_000 == 0 {
                assert_eq!(*clients.entry(busy), 7, "who goes on asking is remembered");
            }
        }
        assert!(clients.newer.len() + clients.older.len() <= MOST);
        assert!(clients.newer.capacity() + clients.older.capacity() <= 2 * MOST, "of 32 bytes each: 4 MiB");
        assert!(clients.known(busy).is_some() && clients.known(first).is_none());
        assert_eq!(*clients.entry(first), 0, "the first are forgotten");
    }

    #[test]
    fn a_network_of_ipv6_is_one_client() {
        let mut clients = Clients::default();
        *clients.entry("2001:db8::1".parse().unwrap()) = 1;
        assert_eq!(*clients.entry("2001:db8::2:3:4:5".parse().unwrap()), 1);
        assert_eq!(*clients.entry("2001:db8:0:1::1".parse().unwrap()), 0);
    }
}
