//! Events as they are written (WHATWG HTML, section 9.2.6), and their ids.
//!
//! An id says what the client has: a tag for each user of its stream, in the order in which it named them. A tag is a hash of what is shown,
//! so that every version of the plugin gives the same one, and nothing of a client need be kept for when it comes back.

use crate::{
    cache,
    json::{Document, dated},
    moment::Moment,
    shown::Shown,
};

/// The digits of an id: six bits each (RFC 4648 section 5).
const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
/// How many make up the tag of one user.
const LENGTH: usize = 6;

/// The longest text of a status in an event, in bytes: all that a stream has to tell at once fits into what the host holds for a client that
/// reads slowly.
const LONGEST_STATUS: usize = 512;

/// A hash of what is shown of a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tag([u8; LENGTH]);

impl Tag {
    /// The tag of a document.
    fn of(document: &[u8]) -> Tag {
        let hash = cache::fnv1a(document);
        // Its high bits are the better ones.
        let mut bits = hash ^ hash >> 32;
        let mut digits = [0; LENGTH];
        for digit in &mut digits {
            *digit = DIGITS[(bits & 63) as usize];
            bits >>= 6;
        }
        Tag(digits)
    }

    /// The tags in an id, for so many users. One that is not of this many says nothing.
    pub fn read_all(id: Option<&str>, users: usize) -> Vec<Option<Tag>> {
        let id = id.map(str::trim).filter(|id| id.len() == users * LENGTH).unwrap_or_default();
        let mut tags: Vec<_> = id.as_bytes().as_chunks().0.iter().map(|digits| Some(Tag(*digits))).collect();
        tags.resize(users, None);
        tags
    }
}

/// What is shown of a user: its tag and the object that tells it. The moment of telling is no part of the tag.
pub fn document(shown: &Shown<'_>, user: Option<&str>) -> (Tag, Vec<u8>) {
    let shown = shortened(*shown);
    let document = Document::new(&shown, user);
    let text = document.render();
    let tag = Tag::of(&text);
    (tag, if document.is_dated() { dated(&text, Moment::now()) } else { text })
}

fn shortened(mut shown: Shown<'_>) -> Shown<'_> {
    if let Shown::Online { status, .. } | Shown::Offline { status, .. } = &mut shown {
        *status = &status[..status.floor_char_boundary(LONGEST_STATUS)];
    }
    shown
}

/// Appends an event for each object, and says in the last what the client has then: should the connection break in between, it is told
/// of all of them again.
pub fn write<D: AsRef<[u8]>>(out: &mut Vec<u8>, documents: &[D], tags: impl Iterator<Item = Tag>) {
    let id: Vec<u8> = if documents.is_empty() { Vec::new() } else { tags.flat_map(|tag| tag.0).collect() };
    for (index, document) in documents.iter().enumerate() {
        if index + 1 == documents.len() {
            out.extend_from_slice(b"id: ");
            out.extend_from_slice(&id);
            out.push(b'\n');
        }
        // It holds no line break, but the one at its end.
        out.extend_from_slice(b"event: presence\ndata: ");
        out.extend_from_slice(document.as_ref());
        out.push(b'\n');
    }
}

#[cfg(test)]
mod tests {
    use plugin_api::Show;

    use super::*;

    fn away(status: &str) -> (Tag, Vec<u8>) {
        let shown = Shown::Online { show: Show::Away, status, priority: 0, since: Some(Moment(0)) };
        document(&shown, Some("alice@example.com"))
    }

    #[test]
    fn a_tag_is_of_what_is_shown_and_of_whom() {
        let forbidden = |user| document(&Shown::Forbidden, Some(user)).0;
        assert_eq!(away("Lunch").0, away("Lunch").0);
        assert_ne!(away("Lunch").0, away("Dinner").0);
        assert_ne!(forbidden("alice@example.com"), forbidden("bob@example.com"));
    }

    #[test]
    fn an_id_is_read_back_if_it_is_of_as_many_users() {
        let tags = [Some(away("Lunch").0), Some(away("Dinner").0)];
        let mut text = Vec::new();
        write(&mut text, &["{}\n"], tags.into_iter().flatten());
        let text = String::from_utf8(text).unwrap();
        let id = text.strip_prefix("id: ").and_then(|rest| rest.split('\n').next()).unwrap();
        assert_eq!(Tag::read_all(Some(id), 2), tags);
        assert_eq!(Tag::read_all(Some(&format!(" {id} ")), 2), tags);
        for (id, users) in [(Some(id), 1), (Some(id), 3), (Some(""), 1), (None, 2)] {
            assert_eq!(Tag::read_all(id, users), vec![None; users], "{id:?}");
        }
    }

    #[test]
    fn a_long_status_is_cut_between_characters() {
        let (_, document) = away(&"é".repeat(300));
        let text = String::from_utf8(document).unwrap();
        assert!(text.contains(&format!("\"{}\"", "é".repeat(256))), "{text}");
    }

    #[test]
    fn only_the_last_event_has_an_id_and_no_text_ends_one() {
        let (tag, nasty) = away("a\n\ndata: b\r\nid: c\u{2028}");
        let mut text = Vec::new();
        write(&mut text, &[away("Lunch").1, nasty], [tag, tag].into_iter());
        let text = String::from_utf8(text).unwrap();
        let events: Vec<_> = text.strip_suffix("\n\n").unwrap().split("\n\n").collect();
        assert_eq!(events.len(), 2, "{text}");
        assert!(events[0].starts_with("event: presence\ndata: {\"jid\":"), "{text}");
        assert!(events[1].starts_with("id: ") && events[1].lines().count() == 3, "{text}");
        assert!(!text.contains('\r'), "{text}");
    }
}
