//! How many may wait at a time, in all and from one client. A seat is given back when it is dropped.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

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
    /// This version of the plugin is on its way out: the next one takes new clients.
    Over,
}

/// The seats that are taken.
#[derive(Default)]
pub struct Seats(Mutex<Taken>);

#[derive(Default)]
struct Taken {
    all: u32,
    clients: HashMap<IpAddr, u32>,
}

/// One seat.
pub struct Seat {
    seats: Arc<Seats>,
    client: Option<IpAddr>,
}

impl Seats {
    /// Takes a seat for this client, if it is one whose seats are counted.
    ///
    /// # Errors
    /// There is none left.
    pub fn take(self: &Arc<Self>, client: Option<IpAddr>, bounds: Bounds) -> Result<Seat, Refused> {
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if taken.all >= bounds.all {
            return Err(Refused::Full);
        }
        if let Some(client) = client {
            let of_client = taken.clients.entry(client).or_default();
            if *of_client >= bounds.of_client {
                return Err(Refused::TooMany);
            }
            *of_client += 1;
        }
        taken.all += 1;
        Ok(Seat { seats: self.clone(), client })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.seats.0.lock().unwrap_or_else(PoisonError::into_inner);
        taken.all -= 1;
        let Some(client) = self.client else { return };
        let left = taken.clients.get_mut(&client).map(|seats| {
            *seats -= 1;
            *seats
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
        seats.take(client.parse().ok(), BOUNDS)
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
