//! What was sent, for whoever asks the same next. Most requests are those of a moment ago: pages show the same icons, services poll the same
//! addresses.
//!
//! An answer is kept if it is the same for everybody and shows a user. Refusals are not, so that who is hidden and who does not exist are looked up
//! alike. It holds as long as the settings do and the user's [stamp](Host::stamp) does, which is looked at for each request: what a user changes is in
//! force with the next one, as it would be without this. With a host that has no stamps nothing is kept.
//!
//! An entry is one piece of memory. The user that is asked for, of a thousand, is not in the processor's cache, and each piece more would be one more wait
//! for memory, as each piece of what it stands for was.

use std::{
    collections::HashMap,
    hash::BuildHasher,
    sync::{PoisonError, RwLock},
};

use foldhash::fast::RandomState;
use plugin_api::{Host, Jid, Request, Response};
use smallvec::SmallVec;

use crate::{
    cache::Audience,
    query::Parameters,
    representation::{Body, Interface, Recipient, Representation},
    settings::Settings,
    users::Requester,
};

/// As many threads seldom wait for each other.
const SHELVES: usize = 16;
/// How many bytes of answers each shelf keeps: 4 MiB in all.
const ROOM: usize = (4 << 20) / SHELVES;
/// The longest target of a request whose answer is kept.
const LONGEST: usize = 1024;

/// The answers. There are none at first.
#[derive(Default)]
pub struct Memo {
    hasher: RandomState,
    shelves: [RwLock<Shelf>; SHELVES],
}

/// Answers by the hashes of their requests. When it is full it is cleared: what is in use is back at once, and nothing has to be noted when an answer is
/// taken.
#[derive(Default)]
struct Shelf {
    entries: HashMap<u64, Entry, RandomState>,
    bytes: usize,
}

/// An answer that was sent.
pub struct Entry {
    terms: Terms,
    audience: Audience,
    interface: Interface,
    written: Representation,
}

/// What was asked for, and under which conditions the answer holds.
struct Terms {
    /// The path and the query, as sent.
    target: SmallVec<[u8; 96]>,
    /// The user, a bare JID.
    user: SmallVec<[u8; 40]>,
    stamp: u64,
    edition: u64,
}

/// Where the answer to a request goes.
pub struct Place<'m> {
    memo: &'m Memo,
    hash: u64,
    terms: Terms,
}

impl Memo {
    /// What `give` makes of what was sent to a request like this one, if it would be made the same now.
    pub fn recall<R>(
        &self,
        host: Host,
        request: &Request<'_>,
        settings: &Settings,
        give: impl FnOnce(&Entry) -> R,
    ) -> Option<R> {
        let hash = self.hash(request)?;
        let shelf = self.shelf(hash).read().unwrap_or_else(PoisonError::into_inner);
        let entry = shelf.entries.get(&hash)?;
        let Terms { target, user, stamp, edition } = &entry.terms;
        let is_same = *edition == settings.edition && is_target(target, request);
        let user = str::from_utf8(user).ok().filter(|_| is_same)?;
        host.stamp(user).is_ok_and(|now| now == *stamp).then(|| give(entry))
    }

    /// Where the answer to a request about `user` is to be kept. To be asked before the user is looked up, and after these settings were read. `None`:
    /// nowhere, it is not the same for everybody who asks.
    pub fn place(
        &self,
        host: Host,
        request: &Request<'_>,
        settings: &Settings,
        user: Option<&Jid>,
        requester: &Requester,
    ) -> Option<Place<'_>> {
        let (hash, user) = (self.hash(request)?, user?.bare());
        // Who would wait is not answered like who would not.
        let waits = Parameters::new(request.query(), &[]).first("wait").is_some();
        if waits || !requester.is_nobody() || request.path().len() + request.query().len() > LONGEST {
            return None;
        }
        let stamp = host.stamp(user).ok()?;
        let target = [request.path().as_bytes(), b"?", request.query().as_bytes()].concat();
        let terms = Terms {
            target: SmallVec::from_slice(&target),
            user: SmallVec::from_slice(user.as_bytes()),
            stamp,
            edition: settings.edition,
        };
        Some(Place { memo: self, hash, terms })
    }

    /// The hash of a request whose answer depends on nothing but its target, the user and the settings, if it is one.
    fn hash(&self, request: &Request<'_>) -> Option<u64> {
        let is_plain = matches!(request.method(), "GET" | "HEAD") && request.header("Authorization").is_none();
        is_plain.then(|| self.hasher.hash_one((request.path(), request.query())))
    }

    fn shelf(&self, hash: u64) -> &RwLock<Shelf> {
        &self.shelves[hash as usize % SHELVES]
    }
}

impl Place<'_> {
    /// Keeps what shows the user to this recipient, and to everybody.
    pub fn keep(self, recipient: &Recipient<'_>, mut written: Representation) {
        written.body.shrink_to_fit();
        let Recipient { audience, interface, .. } = *recipient;
        let entry = Entry { terms: self.terms, audience, interface, written };
        self.memo.shelf(self.hash).write().unwrap_or_else(PoisonError::into_inner).put(self.hash, entry);
    }
}

impl Shelf {
    fn put(&mut self, hash: u64, entry: Entry) {
        if self.bytes + entry.bytes() > ROOM {
            *self = Shelf::default();
        }
        self.bytes += entry.bytes();
        let former = self.entries.insert(hash, entry);
        self.bytes -= former.map_or(0, |former| former.bytes());
    }
}

impl Entry {
    /// By which interface it was asked for.
    pub fn interface(&self) -> Interface {
        self.interface
    }

    /// The answer for whoever holds `if_none_match`.
    pub fn give(&self, if_none_match: Option<&str>) -> Response {
        let Entry { audience, interface, written, .. } = self;
        Recipient { audience: *audience, if_none_match, interface: *interface }.give(written)
    }

    /// What it takes, more or less. An icon counts for each entry that has it.
    fn bytes(&self) -> usize {
        let body = match &self.written.body {
            Body::Static(_) => 0,
            Body::Icon(icon) => icon.bytes.len(),
            Body::Own(bytes) => bytes.len(),
        };
        size_of::<Entry>() + self.terms.target.len() + self.terms.user.len() + body
    }
}

/// Whether a request has this target.
fn is_target(target: &[u8], request: &Request<'_>) -> bool {
    let (path, query) = (request.path().as_bytes(), request.query().as_bytes());
    target.len() == path.len() + 1 + query.len() && target.starts_with(path) && target.ends_with(query)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::representation::Media;

    fn entry(length: usize) -> Entry {
        let terms =
            Terms { target: SmallVec::from_slice(b"/?"), user: SmallVec::from_slice(b"ann@x"), stamp: 0, edition: 0 };
        let written = Representation::of(Media::Text, b't', vec![b'x'; length]);
        Entry { terms, audience: Audience::Nobody, interface: Interface::Status, written }
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
    }
}
