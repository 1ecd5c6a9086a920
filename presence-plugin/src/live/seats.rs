//! How many may wait at a time, in all and from one client, and for how many users. A seat is given back when it is dropped.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

/// So many users may be watched by one client: what all may watch together must not be for a few to take.
pub const MOST_OF_CLIENT: u32 = 1_000;

/// The bounds by the settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// How many may wait in all.
    pub all: u32,
    /// How many of one client may.
    pub of_client: u32,
}

/// Why somebody may not wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Too many wait already.
    Full,
    /// Too many of this client wait already.
    TooMany,
    /// This client watches too many users already.
    TooManyUsers,
    /// This version of the plugin is on its way out: the next one takes new clients.
    Over,
}

/// The seats that are taken.
#[derive(Default)]
pub struct Seats(Mutex<Taken>);

#[derive(Default)]
struct Taken {
    all: u32,
    clients: HashMap<IpAddr, OfClient>,
}

/// What one client has taken.
#[derive(Default)]
struct OfClient {
    seats: u32,
    users: u32,
}

/// One seat.
pub struct Seat {
    seats: Arc<Seats>,
    client: Option<IpAddr>,
    users: u32,
}

impl Seats {
    /// Takes a seat to watch so many users from, for this client if it is one whose seats are counted.
    ///
    /// # Errors
    /// There is none left.
    pub fn take(self: &Arc<Self>, client: Option<IpAddr>, users: u32, bounds: Bounds) -> Result<Seat, Refused> {
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if taken.all >= bounds.all {
            return Err(Refused::Full);
        }
        if let Some(client) = client {
            let of_client = taken.clients.entry(client).or_default();
            if of_client.seats >= bounds.of_client {
                return Err(Refused::TooMany);
            }
            if of_client.users.saturating_add(users) > MOST_OF_CLIENT {
                return Err(Refused::TooManyUsers);
            }
            of_client.seats += 1;
            of_client.users += users;
        }
        taken.all += 1;
        Ok(Seat { seats: self.clone(), client, users })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.seats.0.lock().unwrap_or_else(PoisonError::into_inner);
        taken.all -= 1;
        let Some(client) = self.client else { return };
        let left = taken.clients.get_mut(&client).map(|of_client| {
            of_client.seats -= 1;
            of_client.users -= self.users;
            of_client.seats
        });
        if left == Some(0) {
            taken.clients.remove(&client);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds { all: 3, of_client: 2 };

    fn take(seats: &Arc<Seats>, client: &str) -> Result<Seat, Refused> {
        seats.take(client.parse().ok(), 1, BOUNDS)
    }

    #[test]
    fn seats_are_bounded_for_a_client_and_in_all() {
        let seats = Arc::new(Seats::default());
        let held = [take(&seats, "192.0.2.1"), take(&seats, "192.0.2.1")];
        assert_eq!(take(&seats, "192.0.2.1").err(), Some(Refused::TooMany));
        let other = take(&seats, "192.0.2.2");
        assert_eq!(take(&seats, "192.0.2.3").err(), Some(Refused::Full));
        drop(held);
        assert!(take(&seats, "192.0.2.1").is_ok() && other.is_ok());
    }

    #[test]
    fn one_client_watches_only_so_many_users() {
        let seats = Arc::new(Seats::default());
        let bounds = Bounds { all: 100, of_client: 100 };
        let take = |client: &str, users| seats.take(client.parse().ok(), users, bounds);
        let held: Vec<_> = (0..20).map(|_| take("192.0.2.1", 50)).collect();
        assert!(held.iter().all(Result::is_ok));
        assert_eq!(take("192.0.2.1", 1).err(), Some(Refused::TooManyUsers));
        assert!(take("192.0.2.2", 50).is_ok() && take("not counted", 50).is_ok());
        drop(held);
        assert!(take("192.0.2.1", 50).is_ok());
    }

    #[test]
    fn a_client_that_is_gone_is_forgotten() {
        let seats = Arc::new(Seats::default());
        drop((take(&seats, "192.0.2.1"), take(&seats, "not counted")));
        let taken = seats.0.lock().unwrap();
        assert!(taken.all == 0 && taken.clients.is_empty());
    }

    #[test]
    fn those_who_are_not_counted_share_the_bound_of_all() {
        let seats = Arc::new(Seats::default());
        let held = [take(&seats, ""), take(&seats, ""), take(&seats, "")];
        assert_eq!(take(&seats, "").err(), Some(Refused::Full));
        drop(held);
    }
}
