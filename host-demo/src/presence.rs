//! The presence table: who is available, with which resources (RFC 6121 section 4).
//!
//! Written by the XMPP hub, read by plugins on HTTP threads. Reads take no lock: the value of a user is an immutable
//! [`UserPresence`], replaced whole. Keys are bare JIDs in normalised text form (RFC 7622), so that a reader that already
//! holds a normalised JID looks it up without parsing.

use std::{
    sync::{Arc, Weak},
    time::{SystemTime, UNIX_EPOCH},
};

use parking_lot::RwLock;

/// The availability of a resource (RFC 6121 section 4.7.2.1), declared from most to least reachable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Show {
    /// No `<show/>`: plainly available.
    Available,
    /// Actively interested in chatting.
    Chat,
    /// Temporarily away.
    Away,
    /// Away for an extended period.
    Xa,
    /// Busy, do not disturb.
    Dnd,
}

/// One available resource of a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    /// The resourcepart, normalised.
    pub name: Box<str>,
    /// Its availability.
    pub show: Show,
    /// Its priority, -128 to 127.
    pub priority: i8,
    /// The text of its `<status/>` as sent; empty when it sent none.
    pub status: Box<str>,
    /// When this presence was received, in milliseconds since the Unix epoch.
    pub since: u64,
}

/// All that is known of a user's presence.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserPresence {
    /// The resources that sent available presence to everybody, oldest presence first. Empty: offline.
    pub resources: Box<[Resource]>,
    /// The text of the last unavailable stanza, if it had one; cleared by the next login.
    pub last_status: Option<Box<str>>,
    /// When the last resource went away, in milliseconds since the Unix epoch; 0 while one is there, or when not known.
    pub last_since: u64,
}

/// Is told of every change of presence, after it can be read. Called on the thread that made the change: be brief.
pub trait Listener: Send + Sync {
    /// The presence of `user` (a bare JID) changed.
    fn presence_changed(&self, user: &str);
}

/// Where presence comes from: this server's own table today, a component of another server or a cluster later.
pub trait Source: Send + Sync {
    /// The presence of `user`, a normalised bare JID. `None`: never seen, offline.
    fn read(&self, user: &str) -> Option<Arc<UserPresence>>;
    /// Adds a listener for all changes, for as long as somebody else holds it.
    fn listen(&self, listener: Weak<dyn Listener>);
}

/// The presence of the users of this server.
#[derive(Default)]
pub struct Table {
    users: papaya::HashMap<Box<str>, Arc<UserPresence>>,
    listeners: RwLock<Vec<Weak<dyn Listener>>>,
}

impl Table {
    /// A table with room for so many users. It grows beyond them, but just before it does, it is full, and then each read
    /// takes many steps: with a million users four times as long.
    pub fn with_capacity(users: usize) -> Table {
        Table { users: papaya::HashMap::with_capacity(users), ..Table::default() }
    }

    /// Sets the presence of one resource, replacing an earlier one of the same name.
    pub fn set(&self, user: &str, resource: Resource) {
        self.replace(user, |old| {
            let mut resources = without(old, &resource.name);
            resources.push(resource.clone());
            UserPresence { resources: resources.into(), ..UserPresence::default() }
        });
    }

    /// Removes a resource that went unavailable. `last_status` is the text of its unavailable stanza, kept for the time
    /// in which the user has no other resource.
    pub fn clear(&self, user: &str, resource: &str, last_status: Option<&str>) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_millis() as u64);
        self.replace(user, |old| {
            let resources = without(old, resource);
            let last_since = if resources.is_empty() { now } else { 0 };
            UserPresence { resources: resources.into(), last_status: last_status.map(Into::into), last_since }
        });
    }

    /// Puts back the last status of an offline user, as stored before a restart.
    pub fn restore(&self, user: &str, last_status: &str) {
        self.replace(user, |old| UserPresence {
            resources: old.resources.clone(),
            last_status: Some(last_status.into()),
            last_since: 0,
        });
    }

    /// Forgets a user: the account is gone.
    pub fn forget(&self, user: &str) {
        self.users.pin().remove(user);
        self.tell(user);
    }

    /// How many users have an available resource.
    pub fn online(&self) -> usize {
        self.users.pin().values().filter(|user| !user.resources.is_empty()).count()
    }

    fn replace(&self, user: &str, change: impl Fn(&UserPresence) -> UserPresence) {
        let nobody = UserPresence::default();
        self.users.pin().update_or_insert_with(user.into(), |old| Arc::new(change(old)), || Arc::new(change(&nobody)));
        self.tell(user);
    }

    fn tell(&self, user: &str) {
        for listener in self.listeners.read().iter().filter_map(Weak::upgrade) {
            listener.presence_changed(user);
        }
    }
}

impl Source for Table {
    fn read(&self, user: &str) -> Option<Arc<UserPresence>> {
        self.users.pin().get(user).cloned()
    }

    fn listen(&self, listener: Weak<dyn Listener>) {
        let mut listeners = self.listeners.write();
        listeners.retain(|known| known.strong_count() > 0);
        listeners.push(listener);
    }
}

fn without(user: &UserPresence, resource: &str) -> Vec<Resource> {
    user.resources.iter().filter(|known| &*known.name != resource).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resource(name: &str, show: Show) -> Resource {
        Resource { name: name.into(), show, priority: 0, status: "".into(), since: 0 }
    }

    #[test]
    fn a_new_presence_replaces_the_old_one_of_the_same_resource() {
        let table = Table::default();
        table.set("ann@x", resource("phone", Show::Available));
        table.set("ann@x", resource("desk", Show::Dnd));
        table.set("ann@x", resource("phone", Show::Away));
        let ann = table.read("ann@x").expect("ann is online");
        let seen: Vec<_> = ann.resources.iter().map(|r| (&*r.name, r.show)).collect();
        assert_eq!(seen, [("desk", Show::Dnd), ("phone", Show::Away)]);
    }

    #[test]
    fn the_last_status_lives_until_the_next_login() {
        let table = Table::default();
        table.set("ann@x", resource("phone", Show::Available));
        table.clear("ann@x", "phone", Some("gone home"));
        assert_eq!(table.read("ann@x").unwrap().last_status.as_deref(), Some("gone home"));
        table.set("ann@x", resource("phone", Show::Available));
        assert_eq!(table.read("ann@x").unwrap().last_status, None);
    }
}
