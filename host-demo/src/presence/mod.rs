//! The presence table: who is available, with which resources (RFC 6121 section 4).
//!
//! Written by the XMPP hub, read by plugins on HTTP threads. Reads take no lock and give a copy: what a reader does with it, and for how
//! long, keeps nothing of the table from being freed. The copy is cheap: a user's presence is one piece of memory ([`record`]), which
//! mostly lies in the table's entry ([`Inline`]), and a reader may use its own again. Keys are bare JIDs in normalised text form (RFC
//! 7622), so that a reader that already holds a normalised JID looks it up without parsing.

mod record;

use std::{
    borrow::Borrow,
    sync::{Arc, Weak},
};

use foldhash::fast::RandomState;
use parking_lot::RwLock;

pub use self::record::{Resource, Show, UserPresence};
use crate::{inline::Inline, stamps::Stamps};

/// Is told of every change of presence, after it can be read. Called on the thread that made the change: be brief.
pub trait Listener: Send + Sync {
    /// The presence of `user` (a bare JID) changed.
    fn presence_changed(&self, user: &str);
}

/// Where presence comes from: this server's own table today, a component of another server or a cluster later.
pub trait Source: Send + Sync {
    /// Copies the presence of `user`, a normalised bare JID, into `seen`. `false`: never seen, offline; `seen` says that too.
    fn read_into(&self, user: &str, seen: &mut UserPresence) -> bool;
    /// Adds a listener for all changes, for as long as somebody else holds it.
    fn listen(&self, listener: Weak<dyn Listener>);
}

/// An address, as `alice@example.com`.
type Key = Inline<30>;
/// A record with one resource and a short status. With its key it takes 120 bytes, which fill what the allocator has for it.
type Value = Inline<86>;

/// The presence of the users of this server.
///
/// The hash is keyed at random, but is none for cryptography: that would cost as much as all else of a read. Who may choose
/// the keys is who has an account under the name.
#[derive(Default)]
pub struct Table {
    users: papaya::HashMap<Key, Value, RandomState>,
    stamps: Arc<Stamps>,
    listeners: RwLock<Vec<Weak<dyn Listener>>>,
}

impl Table {
    /// A table with room for so many users, whose stamps move on with each change of their presence. It grows beyond them, but just before
    /// it does, it is full, and then each read takes many steps: with a million users four times as long.
    pub fn with_capacity(users: usize, stamps: Arc<Stamps>) -> Table {
        let users = papaya::HashMap::with_capacity_and_hasher(users, RandomState::default());
        Table { users, stamps, ..Table::default() }
    }

    /// Sets the presence of one resource, replacing an earlier one of the same name.
    pub fn set(&self, user: &str, resource: Resource<'_>) {
        self.replace(user, |old| {
            let resources = without(old, resource.name).chain([resource]);
            UserPresence::new(resources, "", 0)
        });
    }

    /// Removes a resource that went unavailable at this moment. `last_status` is the text of its unavailable stanza, kept for
    /// the time in which the user has no other resource.
    pub fn clear(&self, user: &str, resource: &str, last_status: &str, at: u64) {
        self.replace(user, |old| {
            let is_last = without(old, resource).next().is_none();
            UserPresence::new(without(old, resource), last_status, if is_last { at } else { 0 })
        });
    }

    /// Changes the last status of a user who is offline, and says since when that is. `None`: a resource is there, and nothing changes.
    pub fn reword(&self, user: &str, last_status: &str) -> Option<u64> {
        let mut seen = UserPresence::default();
        self.read_into(user, &mut seen);
        if seen.count() > 0 {
            return None;
        }
        // Of somebody who comes at this moment it is not shown.
        self.replace(user, |old| UserPresence::new(old.resources(), last_status, old.last_since()));
        Some(seen.last_since())
    }

    /// Puts back how an offline user left, as stored before a restart: the last status, and when.
    pub fn restore(&self, user: &str, last_status: &str, at: u64) {
        self.replace(user, |old| UserPresence::new(old.resources(), last_status, at));
    }

    /// Forgets a user: the account is gone.
    pub fn forget(&self, user: &str) {
        self.users.pin().remove(user.as_bytes());
        self.tell(user);
    }

    /// How many users have an available resource.
    pub fn online(&self) -> usize {
        self.users.pin().values().filter(|user| record::is_online((*user).borrow())).count()
    }

    /// A copy of the presence of `user`.
    #[cfg(any(test, fuzzing))]
    pub fn read(&self, user: &str) -> Option<UserPresence> {
        let mut seen = UserPresence::default();
        self.read_into(user, &mut seen).then_some(seen)
    }

    fn replace(&self, user: &str, change: impl Fn(&UserPresence) -> UserPresence) {
        let changed = |old: &UserPresence| Value::from(change(old).record());
        self.users.pin().update_or_insert_with(
            user.as_bytes().into(),
            |old| changed(&UserPresence::from(Borrow::<[u8]>::borrow(old))),
            || changed(&UserPresence::NOBODY),
        );
        self.tell(user);
    }

    fn tell(&self, user: &str) {
        self.stamps.advance(user);
        for listener in self.listeners.read().iter().filter_map(Weak::upgrade) {
            listener.presence_changed(user);
        }
    }
}

impl Source for Table {
    fn read_into(&self, user: &str, seen: &mut UserPresence) -> bool {
        match self.users.pin().get(user.as_bytes()) {
            Some(record) => {
                seen.copy_from(record.borrow());
                true
            }
            None => {
                seen.clear();
                false
            }
        }
    }

    fn listen(&self, listener: Weak<dyn Listener>) {
        let mut listeners = self.listeners.write();
        listeners.retain(|known| known.strong_count() > 0);
        listeners.push(listener);
    }
}

fn without<'a>(user: &'a UserPresence, resource: &'a str) -> impl Iterator<Item = Resource<'a>> {
    user.resources().filter(move |known| known.name != resource)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resource(name: &str, show: Show) -> Resource<'_> {
        Resource { name, show, priority: 0, status: "", since: 0 }
    }

    #[test]
    fn a_new_presence_replaces_the_old_one_of_the_same_resource() {
        let table = Table::default();
        table.set("ann@x", resource("phone", Show::Available));
        table.set("ann@x", resource("desk", Show::Dnd));
        table.set("ann@x", resource("phone", Show::Away));
        let ann = table.read("ann@x").expect("ann is online");
        let seen: Vec<_> = ann.resources().map(|r| (r.name, r.show)).collect();
        assert_eq!(seen, [("desk", Show::Dnd), ("phone", Show::Away)]);
    }

    #[test]
    fn the_last_status_and_its_time_live_until_the_next_login() {
        let table = Table::default();
        let last = || table.read("ann@x").map(|ann| (ann.last_status().to_owned(), ann.last_since()));
        table.set("ann@x", resource("phone", Show::Available));
        table.set("ann@x", resource("desk", Show::Available));
        table.clear("ann@x", "phone", "off the phone", 6);
        assert_eq!(last(), Some(("off the phone".into(), 0)), "the desk is still there");
        table.clear("ann@x", "desk", "gone home", 7);
        assert_eq!(last(), Some(("gone home".into(), 7)));
        assert_eq!((table.reword("ann@x", "gone to bed"), last()), (Some(7), Some(("gone to bed".into(), 7))));
        table.set("ann@x", resource("phone", Show::Available));
        assert_eq!(last(), Some((String::new(), 0)));
        assert_eq!((table.reword("ann@x", "gone"), last()), (None, Some((String::new(), 0))));
    }

    #[test]
    fn who_is_gone_is_not_counted() {
        let table = Table::default();
        table.set("ann@x", resource("phone", Show::Available));
        table.restore("bob@x", "gone", 1);
        assert_eq!(table.online(), 1);
        table.forget("ann@x");
        assert_eq!((table.online(), table.read("ann@x")), (0, None));
    }

    #[test]
    fn a_buffer_that_is_used_again_keeps_nothing_of_the_user_before() {
        let table = Table::default();
        table.set("ann@x", resource("phone", Show::Available));
        let mut seen = UserPresence::default();
        assert!(table.read_into("ann@x", &mut seen) && seen.resources().count() == 1);
        assert!(!table.read_into("bob@x", &mut seen) && seen == UserPresence::default());
    }
}
