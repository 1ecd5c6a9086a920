//! What was sent, for whoever asks the same next. Most requests are those of a moment ago: pages show the same icons, services poll the same
//! addresses, one by one or many at once.
//!
//! What is kept is the same for everybody, and shows a user. Refusals are not, so that who is hidden and who does not exist are looked up
//! alike. It holds as long as the settings do and the user's [stamp](Host::stamp) does, which is looked at for each request: what a user
//! changes is in force with the next one, as it would be without this. With a host that has no stamps nothing is kept.
//!
//! An entry is one piece of memory, in which what is looked at stands together. The user that is asked for, of a thousand, is not in the
//! processor's cache, and each piece more would be one more wait for memory, as each piece of what it stands for was.

use std::{
    collections::HashMap,
    hash::BuildHasher,
    sync::{PoisonError, RwLock},
};

use foldhash::fast::RandomState;
use plugin_api::{Host, Jid, Request, Responder};

use crate::{
    cache::Audience,
    compact::Compact,
    query::Parameters,
    representation::{Body, Interface, Recipient, Representation},
    settings::Settings,
    users::Requester,
};

/// As many threads seldom wait for each other.
const SHELVES: usize = 16;
/// How many bytes each shelf keeps: 4 MiB in all, beside the free places of its table, which are some more than the others at most.
const ROOM: usize = (4 << 20) / SHELVES;
/// The longest name of what is kept.
const LONGEST: usize = 1024;

/// What was sent, by its names. There is nothing at first.
pub struct Memo<K> {
    hasher: RandomState,
    shelves: [RwLock<Shelf<K>>; SHELVES],
}

/// What is kept of what was sent.
pub trait Weighed {
    /// How many bytes it takes beside itself, more or less.
    fn bytes(&self) -> usize;
}

/// What is asked for, by two texts that may be anything: the path and the query of a request, or nothing and an address as it was sent.
#[derive(Clone, Copy, Hash)]
pub struct Name<'a>(&'a str, &'a str);

/// What is kept by the hashes of its names. When it is full it is cleared: what is in use is back at once, and nothing has to be noted when
/// something is taken.
struct Shelf<K> {
    entries: HashMap<u64, Entry<K>, RandomState>,
    bytes: usize,
}

#[repr(C)]
struct Entry<K> {
    terms: Terms,
    kept: K,
}

/// What was asked for, and under which conditions what was sent holds.
#[repr(C)]
struct Terms {
    stamp: u64,
    edition: u64,
    /// The length of the name.
    name: u16,
    /// The name, with a byte between its texts, and the user, a bare JID.
    texts: Compact<120>,
}

/// Where something is to be kept.
pub struct Place<'m, K> {
    memo: &'m Memo<K>,
    hash: u64,
    terms: Terms,
}

impl<'a> Name<'a> {
    /// The name of a request whose answer depends on nothing but its target, the user and the settings, if it is one.
    pub fn of_request(request: &Request<'a>) -> Option<Name<'a>> {
        let is_plain = matches!(request.method(), "GET" | "HEAD") && request.header("Authorization").is_none();
        is_plain.then(|| Name(request.path(), request.query()))
    }

    /// The name of a user among many, by an address as it was sent.
    pub fn of_user(address: &'a str) -> Name<'a> {
        Name("", address)
    }

    fn is(self, name: &[u8]) -> bool {
        let (first, second) = (self.0.as_bytes(), self.1.as_bytes());
        name.len() == first.len() + 1 + second.len() && name.starts_with(first) && name.ends_with(second)
    }
}

impl<K> Default for Memo<K> {
    fn default() -> Memo<K> {
        Memo { hasher: RandomState::default(), shelves: std::array::from_fn(|_| RwLock::default()) }
    }
}

impl<K: Weighed> Memo<K> {
    /// What `give` makes of what was sent under this name, if it would be sent again now.
    pub fn recall<R>(&self, host: Host, name: Name<'_>, settings: &Settings, give: impl FnOnce(&K) -> R) -> Option<R> {
        let hash = self.hasher.hash_one(name);
        let shelf = self.shelf(hash).read().unwrap_or_else(PoisonError::into_inner);
        let Entry { terms, kept } = shelf.entries.get(&hash)?;
        let (known, user) = terms.texts.split_at(terms.name.into());
        let is_same = terms.edition == settings.edition && name.is(known);
        let user = str::from_utf8(user).ok().filter(|_| is_same)?;
        host.stamp(user).is_ok_and(|now| now == terms.stamp).then(|| give(kept))
    }

    /// Where what is sent of `user` is to be kept, if it shows the user to everybody. To be asked before the user is looked up, and after
    /// these settings were read. `None`: nowhere.
    pub fn place(&self, host: Host, name: Name<'_>, settings: &Settings, user: &Jid) -> Option<Place<'_, K>> {
        if name.0.len() + name.1.len() > LONGEST {
            return None;
        }
        let stamp = host.stamp(user.bare()).ok()?;
        let texts = [name.0, "?", name.1, user.bare()].concat();
        let length = (texts.len() - user.bare().len()) as u16;
        let terms = Terms { stamp, edition: settings.edition, name: length, texts: texts.into_bytes().into() };
        Some(Place { memo: self, hash: self.hasher.hash_one(name), terms })
    }

    fn shelf(&self, hash: u64) -> &RwLock<Shelf<K>> {
        &self.shelves[hash as usize % SHELVES]
    }
}

impl<K: Weighed> Place<'_, K> {
    /// Takes away what was kept there: the user is not shown any more. To be asked whatever the reason is, and whether anything was kept or
    /// not, so that who was shown once is not looked up longer than who never was.
    pub fn clear(self) {
        self.memo.shelf(self.hash).write().unwrap_or_else(PoisonError::into_inner).remove(self.hash);
    }

    /// Keeps it there.
    pub fn keep(self, kept: K) {
        let entry = Entry { terms: self.terms, kept };
        self.memo.shelf(self.hash).write().unwrap_or_else(PoisonError::into_inner).put(self.hash, entry);
    }
}

impl<K> Default for Shelf<K> {
    fn default() -> Shelf<K> {
        Shelf { entries: HashMap::default(), bytes: 0 }
    }
}

impl<K: Weighed> Shelf<K> {
    fn put(&mut self, hash: u64, entry: Entry<K>) {
        if self.bytes + entry.bytes() > ROOM {
            *self = Shelf::default();
        }
        self.remove(hash);
        self.bytes += entry.bytes();
        self.entries.insert(hash, entry);
    }

    fn remove(&mut self, hash: u64) {
        let former = self.entries.remove(&hash);
        self.bytes -= former.map_or(0, |former| former.bytes());
    }
}

impl<K: Weighed> Entry<K> {
    fn bytes(&self) -> usize {
        size_of::<Entry<K>>() + self.terms.texts.elsewhere() + self.kept.bytes()
    }
}

/// The answer to a request.
#[repr(C)]
pub struct Answer {
    audience: Audience,
    interface: Interface,
    written: Representation,
}

impl Answer {
    /// What was sent to this recipient.
    pub fn new(recipient: &Recipient<'_>, mut written: Representation) -> Answer {
        written.body.shrink_to_fit();
        Answer { audience: recipient.audience, interface: recipient.interface, written }
    }

    /// By which interface it was asked for.
    pub fn interface(&self) -> Interface {
        self.interface
    }

    /// Gives the answer to whoever holds `if_none_match`.
    pub fn give(&self, if_none_match: Option<&str>, responder: Responder) {
        let Answer { audience, interface, written } = self;
        Recipient { audience: *audience, if_none_match, interface: *interface }.lend(written, responder);
    }
}

impl Weighed for Answer {
    /// An icon counts for each answer that has it.
    fn bytes(&self) -> usize {
        match &self.written.body {
            Body::Static(_) => 0,
            Body::Icon(icon) => icon.bytes.len(),
            Body::Own(bytes) => bytes.elsewhere(),
        }
    }
}

impl Memo<Answer> {
    /// Where the answer to a request about `user` is to be kept ([`place`](Memo::place)).
    pub fn place_of(
        &self,
        host: Host,
        request: &Request<'_>,
        settings: &Settings,
        user: Option<&Jid>,
        requester: &Requester,
    ) -> Option<Place<'_, Answer>> {
        // Who would wait is not answered like who would not.
        let waits = Parameters::new(request.query(), &[]).first("wait").is_some();
        let name = Name::of_request(request).filter(|_| !waits && requester.is_nobody())?;
        self.place(host, name, settings, user?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::representation::Media;

    fn entry(length: usize) -> Entry<Answer> {
        let terms = Terms { stamp: 0, edition: 0, name: 2, texts: Compact::copy_of(b"/?ann@x") };
        let written = Representation::of(Media::Text, b't', vec![b'x'; length]);
        Entry { terms, kept: Answer { audience: Audience::Nobody, interface: Interface::Status, written } }
    }

    #[test]
    fn a_shelf_never_holds_more_than_there_is_room() {
        let mut shelf = Shelf::default();
        for number in 0..1_000 {
            shelf.put(number % 300, entry(number as usize * 16));
            assert!(shelf.bytes <= ROOM && shelf.entries.contains_key(&(number % 300)), "{number}");
            assert_eq!(shelf.entries.values().map(Entry::bytes).sum::<usize>(), shelf.bytes, "{number}");
        }
        assert!(shelf.entries.len() > 1);
        (0..300).for_each(|number| shelf.remove(number));
        assert!(shelf.entries.is_empty() && shelf.bytes == 0);
    }
}
