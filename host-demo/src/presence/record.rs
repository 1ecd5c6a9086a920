//! A user's presence in one piece of memory: a read of the table copies it whole, and each piece more would be one more wait for
//! memory, which is nearly all that a read costs.
//!
//! All numbers are little endian. A head, `since` of who left (8 bytes), how many resources there are (4) and the length of the last
//! status (4); then for each resource `since` (8), the lengths of its name and status (4 each), show and priority (1 each);
//! then all texts, the last status first.

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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resource<'a> {
    /// The resourcepart, normalised.
    pub name: &'a str,
    /// Its availability.
    pub show: Show,
    /// Its priority, -128 to 127.
    pub priority: i8,
    /// The text of its `<status/>` as sent; empty when it sent none.
    pub status: &'a str,
    /// When this presence was received, in milliseconds since the Unix epoch.
    pub since: u64,
}

/// All that is known of a user's presence: a copy of the record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserPresence {
    /// Empty: nothing is known.
    record: Vec<u8>,
}

const HEAD: usize = 16;
const ENTRY: usize = 18;
const SHOWS: [Show; 5] = [Show::Available, Show::Chat, Show::Away, Show::Xa, Show::Dnd];

/// Whether a record has a resource.
pub(super) fn is_online(record: &[u8]) -> bool {
    record.first_chunk::<HEAD>().is_some_and(|head| number(head, 8) > 0)
}

impl UserPresence {
    /// Nothing is known.
    pub const NOBODY: UserPresence = UserPresence { record: Vec::new() };

    /// Writes a record.
    pub(super) fn new<'a>(
        resources: impl Iterator<Item = Resource<'a>>,
        last_status: &str,
        last_since: u64,
    ) -> UserPresence {
        let resources: Vec<_> = resources.collect();
        let mut record = Vec::with_capacity(HEAD + ENTRY * resources.len());
        record.extend(last_since.to_le_bytes());
        record.extend(length(resources.len()));
        record.extend(length(last_status.len()));
        for resource in &resources {
            record.extend(resource.since.to_le_bytes());
            record.extend(length(resource.name.len()));
            record.extend(length(resource.status.len()));
            record.extend([resource.show as u8, resource.priority.to_le_bytes()[0]]);
        }
        record.extend(last_status.bytes());
        for resource in &resources {
            record.extend(resource.name.bytes().chain(resource.status.bytes()));
        }
        UserPresence { record }
    }

    /// The bytes of the record.
    pub(super) fn record(&self) -> &[u8] {
        &self.record
    }

    /// Takes another record, in the memory of this one.
    pub(super) fn copy_from(&mut self, record: &[u8]) {
        self.record.clear();
        self.record.extend_from_slice(record);
    }

    /// Nothing is known any more. The memory stays.
    pub(super) fn clear(&mut self) {
        self.record.clear();
    }

    /// The bytes that this copy keeps for the next one.
    pub fn capacity(&self) -> usize {
        self.record.capacity()
    }

    /// How many resources there are.
    pub fn count(&self) -> usize {
        self.record.first_chunk::<HEAD>().map_or(0, |head| number(head, 8))
    }

    /// The resources that sent available presence to everybody, oldest presence first. None: offline.
    pub fn resources(&self) -> impl Iterator<Item = Resource<'_>> {
        let (entries, mut texts) = match self.parts() {
            Some(parts) => (parts.entries, &parts.texts[parts.last_status..]),
            None => (&[][..], &[][..]),
        };
        let mut text = move |length| {
            let (text, rest) = texts.split_at(length);
            texts = rest;
            utf8(text)
        };
        entries.iter().map(move |entry| Resource {
            since: u64::from_le_bytes(part(entry, 0)),
            name: text(number(entry, 8)),
            status: text(number(entry, 12)),
            show: SHOWS[usize::from(entry[16])],
            priority: i8::from_le_bytes([entry[17]]),
        })
    }

    /// The text of the last unavailable stanza, cleared by the next login; empty when it had none.
    pub fn last_status(&self) -> &str {
        self.parts().map_or("", |parts| utf8(&parts.texts[..parts.last_status]))
    }

    /// When the last resource went away, in milliseconds since the Unix epoch; 0 while one is there, or when not known.
    pub fn last_since(&self) -> u64 {
        self.record.first_chunk::<HEAD>().map_or(0, |head| u64::from_le_bytes(part(head, 0)))
    }

    fn parts(&self) -> Option<Parts<'_>> {
        let (head, rest) = self.record.split_first_chunk::<HEAD>()?;
        let (entries, texts) = rest.split_at(ENTRY * number(head, 8));
        Some(Parts { entries: entries.as_chunks().0, texts, last_status: number(head, 12) })
    }
}

/// Where things are in a record.
struct Parts<'a> {
    entries: &'a [[u8; ENTRY]],
    texts: &'a [u8],
    /// How long the first of the texts is.
    last_status: usize,
}

impl From<&[u8]> for UserPresence {
    fn from(record: &[u8]) -> UserPresence {
        UserPresence { record: record.into() }
    }
}

/// What a stanza holds is far shorter.
fn length(length: usize) -> [u8; 4] {
    u32::try_from(length).expect("a stanza is shorter than 4 GiB").to_le_bytes()
}

fn number<const LENGTH: usize>(of: &[u8; LENGTH], at: usize) -> usize {
    u32::from_le_bytes(part(of, at)) as usize
}

fn part<const LENGTH: usize, const PART: usize>(of: &[u8; LENGTH], at: usize) -> [u8; PART] {
    *of[at..].first_chunk().expect("a number within what holds it")
}

fn utf8(text: &[u8]) -> &str {
    std::str::from_utf8(text).expect("a record is made of texts")
}

#[cfg(test)]
mod tests {
    use super::*;

    const PHONE: Resource<'_> =
        Resource { name: "phone ☎", show: Show::Xa, priority: -128, status: "Grüße", since: u64::MAX };
    const DESK: Resource<'_> = Resource { name: "desk", show: Show::Available, priority: 127, status: "", since: 1 };

    #[test]
    fn what_is_written_is_read_back() {
        for resources in [&[][..], &[PHONE], &[DESK, PHONE], &[PHONE, DESK, PHONE]] {
            for (status, since) in [("", 0), ("schöner Tag", 7)] {
                let user = UserPresence::new(resources.iter().copied(), status, since);
                assert_eq!(user.resources().collect::<Vec<_>>(), resources);
                assert_eq!((user.last_status(), user.last_since()), (status, since));
                assert_eq!(is_online(user.record()), !resources.is_empty());
            }
        }
    }

    #[test]
    fn every_show_is_read_back() {
        for show in SHOWS {
            let user = UserPresence::new([Resource { show, ..DESK }].into_iter(), "", 0);
            assert_eq!(user.resources().next().map(|resource| resource.show), Some(show));
        }
    }

    #[test]
    fn of_nobody_nothing_is_known() {
        let nobody = UserPresence::default();
        assert_eq!((nobody.resources().count(), nobody.last_status(), nobody.last_since()), (0, "", 0));
    }
}
