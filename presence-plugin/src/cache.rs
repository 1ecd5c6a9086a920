//! Validators and cache directives (RFC 9110 sections 8.8.3 and 13.1.2, RFC 9111 section 5.2.2).

use std::borrow::Cow;

use plugin_api::Request;

use crate::{settings::Settings, users::Requester, visibility::Visibility};

/// For whom an answer is made.
///
/// It follows from the setting and the request alone, never from the user asked for: a refusal must carry the same fields
/// whatever its reason is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// The answer is the same for everybody, and may be used again for so many seconds without asking.
    Everyone {
        /// Zero: not at all.
        max_age: u32,
    },
    /// Nobody in particular asks, so that the answer is the same for everybody; it is kept nowhere, because each user decides who may see.
    Nobody,
    /// The answer depends on who asks.
    Requester,
}

impl Audience {
    /// The audience of an answer under these settings. Even where anyone may see, a requester may be blocked.
    pub fn of(settings: &Settings, requester: &Requester) -> Audience {
        match settings.visibility {
            _ if !requester.is_nobody() => Audience::Requester,
            Visibility::Anyone => Audience::Everyone { max_age: settings.max_age },
            Visibility::Subscribed | Visibility::Verified => Audience::Nobody,
        }
    }

    /// Whether the answer is the same for everybody, so that pages of any origin may read it (Fetch Standard, CORS protocol).
    pub fn is_public(self) -> bool {
        self != Audience::Requester
    }

    /// The value of `Cache-Control`.
    pub fn cache_control(self) -> Cow<'static, str> {
        match self {
            Audience::Everyone { max_age: 0 } => "no-cache".into(),
            Audience::Everyone { max_age } => format!("max-age={max_age}").into(),
            Audience::Nobody | Audience::Requester => "private, no-store".into(),
        }
    }
}

/// A strong entity tag: the type of the answer and a hash of its body, which is all that the answer shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ETag([u8; ETag::LENGTH]);

impl ETag {
    /// Two quotes, the letter of the type and sixteen hexadecimal digits.
    const LENGTH: usize = 19;

    /// The tag of a body; `letter` tells the types apart.
    pub const fn new(letter: u8, body: &[u8]) -> ETag {
        ETag::of_hash(letter, fnv1a(body))
    }

    /// The same for a body so long that it has to be hashed faster. It is another tag, and stays it in every build as well.
    pub fn of_long(letter: u8, body: &[u8]) -> ETag {
        ETag::of_hash(letter, folded(body))
    }

    const fn of_hash(letter: u8, hash: u64) -> ETag {
        assert!(letter.is_ascii_lowercase(), "the letter of a type is a-z");
        let mut text = [b'"'; ETag::LENGTH];
        text[1] = letter;
        let mut digit = 0;
        while digit < 16 {
            text[2 + digit] = b"0123456789abcdef"[(hash >> (60 - 4 * digit)) as usize & 15];
            digit += 1;
        }
        ETag(text)
    }

    /// The tag as a header field has it.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("a tag is made of ASCII")
    }
}

/// What the client holds, by the `If-None-Match` of a GET or HEAD, in however many lines.
pub fn held<'r>(request: &Request<'r>) -> Option<Cow<'r, str>> {
    request.list("If-None-Match").filter(|_| request.method() != "POST")
}

/// Whether the client already holds the representation of this tag, by its `If-None-Match`.
///
/// Our tags hold no comma, so that a list may be cut at every one: a piece of a foreign tag lacks one of its quotes.
pub fn is_held(etag: &str, if_none_match: &str) -> bool {
    let is_same = |tag: &str| tag.strip_prefix("W/").unwrap_or(tag) == etag;
    // A `*` stands alone; in a list it can only be a piece of a foreign tag.
    if_none_match.trim() == "*" || if_none_match.split(',').map(str::trim).any(is_same)
}

/// FNV-1a, 64 bits: short, the same in every build, and a tag is no secret.
pub const fn fnv1a(bytes: &[u8]) -> u64 {
    let mut hash = 0xCBF2_9CE4_8422_2325;
    let mut index = 0;
    while index < bytes.len() {
        hash = (hash ^ bytes[index] as u64).wrapping_mul(0x0000_0100_0000_01B3);
        index += 1;
    }
    hash
}

/// Eight bytes at a time: both halves of a product of 128 bits, so that every bit of a word reaches all of the hash.
fn folded(bytes: &[u8]) -> u64 {
    let fold = |hash: u64, word: [u8; 8]| {
        let product = u128::from(hash ^ u64::from_le_bytes(word)) * 0x9E37_79B9_7F4A_7C15;
        (product >> 64) as u64 ^ product as u64
    };
    let (words, rest) = bytes.as_chunks();
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    fold(words.iter().copied().fold(!(bytes.len() as u64), fold), last)
}

/// Row: "strong `ETag` with 304; `Cache-Control: no-cache` for public answers, `private, no-store` where the answer depends
/// on a requester".
#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::tests::settings;

    #[test]
    fn only_an_answer_for_everyone_is_public() {
        for (max_age, public) in [(0, "no-cache"), (60, "max-age=60")] {
            let of = |visibility, requester| {
                let audience = Audience::of(&Settings { max_age, ..settings(visibility) }, &requester);
                (audience.cache_control(), audience.is_public())
            };
            assert_eq!(of("anyone", Requester::nobody()), (public.into(), true));
            assert_eq!(of("anyone", Requester::somebody()), ("private, no-store".into(), false));
            assert_eq!(of("subscribed", Requester::nobody()), ("private, no-store".into(), true));
            assert_eq!(of("subscribed", Requester::somebody()), ("private, no-store".into(), false));
        }
    }

    #[test]
    fn the_tag_follows_type_and_body() {
        assert_eq!(ETag::new(b't', b"").as_str(), "\"tcbf29ce484222325\"", "the published offset basis");
        assert_eq!(ETag::new(b't', b"a").as_str(), "\"taf63dc4c8601ec8c\"", "a published test vector");
        assert_ne!(ETag::new(b't', b"a"), ETag::new(b'x', b"a"));
        assert_ne!(ETag::new(b't', b"a"), ETag::new(b't', b"b"));
    }

    #[test]
    fn the_tag_of_a_long_body_follows_every_byte_and_its_place() {
        let body: Vec<u8> = (0..1_000u32).map(|number| (number * 7) as u8).collect();
        let mut tags = std::collections::HashSet::from([ETag::of_long(b'm', &body).as_str().to_owned()]);
        for place in 0..body.len() {
            for change in [1, 0x80] {
                let mut other = body.clone();
                other[place] ^= change;
                assert!(tags.insert(ETag::of_long(b'm', &other).as_str().to_owned()), "{place}");
            }
            assert!(tags.insert(ETag::of_long(b'm', &body[..place]).as_str().to_owned()), "{place}");
        }
        assert_eq!(ETag::of_long(b'm', b"").as_str(), "\"mffffffffffffffff\"", "the same in every build");
    }

    #[test]
    fn a_held_tag_is_found_in_any_list() {
        let tag = ETag::new(b't', b"a");
        let own = tag.as_str();
        for held in
            [own, "*", " * ", &format!("W/{own}"), &format!("\"x\", {own}"), &format!("\"a,b\",W/\"y\" ,\t{own},")]
        {
            assert!(is_held(own, held), "{held}");
        }
        let bare = own.trim_matches('"');
        for other in [
            "\"a,*,b\"",
            "*, \"x\"",
            "",
            ",",
            "\"*\"",
            "W/",
            "w/*",
            bare,
            &format!("\"{bare}"),
            &format!("\"x,{bare},y\""),
            "\"taf63dc4c8601ec8d\"",
        ] {
            assert!(!is_held(own, other), "{other}");
        }
    }
}
