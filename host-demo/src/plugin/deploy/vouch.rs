//! Who vouches for a content: its author, by a detached signature in the format of minisign
//! (<https://jedisct1.github.io/minisign/>) under a key that the administrator configured, or the administrator, who
//! pinned its hash. An attacker who can write to the drop folder has neither, and can't go back to an old build either.

use std::{cmp::Ordering, collections::BTreeMap, fmt, str::FromStr};

use base64::{Engine, prelude::BASE64_STANDARD};
use minisign_verify::{PublicKey, Signature};
use plugin_api::manifest::Manifest;
use serde::Deserialize;

use super::{digest::Digest, refusal::Refusal, version::Version};
use crate::plugin::shown;

/// How the name of a signature ends: `presence.so.minisig`.
pub const SIGNATURE_SUFFIX: &str = ".minisig";
/// The largest signature file. minisign's own have comments of 8 KiB at most.
pub const SIGNATURE_LIMIT: u64 = 16 << 10;

/// What becomes of a content that nobody vouches for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Policy {
    /// It is taken.
    #[default]
    Off,
    /// It is taken with a warning.
    Warn,
    /// It is refused.
    Enforce,
}

/// A public key, as `minisign -G` prints it: `RWQ...`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Key {
    number: String,
    key: PublicKey,
}

/// Whose word counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Vouching {
    /// What is done without it.
    pub policy: Policy,
    /// Who may sign.
    pub keys: Vec<Key>,
    /// By plugin: the only contents that are taken.
    pub pins: BTreeMap<String, Vec<Digest>>,
}

/// What stands behind a content that is taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Voucher {
    /// Nothing, and nothing was asked for.
    Nobody,
    /// The administrator's own pin.
    Pin,
    /// A signature.
    Key {
        /// The number of the key.
        number: String,
        /// The comment that was signed with the content.
        comment: String,
    },
    /// Nothing, which is worth a warning.
    Doubt(Refusal),
}

/// Who signed a content, as far as can be told.
enum Signer {
    Known { number: String, comment: String },
    Unknown { number: String },
}

impl Vouching {
    /// Whether signatures and hashes are looked at at all.
    pub fn asks(&self) -> bool {
        !self.keys.is_empty() || !self.pins.is_empty() || self.policy != Policy::Off
    }

    /// Says who vouches for a content, given the text of the signature beside it.
    ///
    /// # Errors
    /// It is not the content that was pinned or signed, or nobody vouches for it and somebody must.
    pub fn judge(
        &self,
        manifest: &Manifest,
        digest: Digest,
        bytes: &[u8],
        signature: Option<&str>,
    ) -> Result<Voucher, Refusal> {
        self.check_pins(&manifest.id, digest)?;
        match self.signer(bytes, signature)? {
            Some(Signer::Known { number, comment }) => Ok(Voucher::Key { number, comment }),
            _ if self.is_pinned(&manifest.id, digest) => Ok(Voucher::Pin),
            Some(Signer::Unknown { number }) => self.without_voucher(Refusal::UnknownKey { key: number }),
            None => self.without_voucher(Refusal::Unsigned),
        }
    }

    /// Refuses what is older than the last good version: a signature does not age, but builds do.
    ///
    /// # Errors
    /// It is older, or can't be compared.
    pub fn check_progress(&self, id: &str, version: &str, digest: Digest, last: Option<&str>) -> Result<(), Refusal> {
        let Some(last) = last.filter(|_| self.policy == Policy::Enforce && !self.is_pinned(id, digest)) else {
            return Ok(());
        };
        // What was taken without a usable version, under another policy, holds nothing up.
        let Ok(former) = last.parse::<Version>() else { return Ok(()) };
        match version.parse::<Version>().map(|version| version.cmp(&former)) {
            Ok(Ordering::Equal | Ordering::Greater) => Ok(()),
            _ => Err(Refusal::Downgrade { version: version.into(), last: last.into() }),
        }
    }

    fn is_pinned(&self, id: &str, digest: Digest) -> bool {
        self.pins.get(id).is_some_and(|pinned| pinned.contains(&digest))
    }

    fn check_pins(&self, id: &str, digest: Digest) -> Result<(), Refusal> {
        match self.pins.get(id) {
            Some(pinned) if !pinned.contains(&digest) => {
                Err(Refusal::NotPinned { id: id.into(), sha256: digest, pinned: pinned.clone() })
            }
            _ => Ok(()),
        }
    }

    fn signer(&self, bytes: &[u8], signature: Option<&str>) -> Result<Option<Signer>, Refusal> {
        let Some(text) = signature.filter(|_| !self.keys.is_empty()) else { return Ok(None) };
        let signature =
            Signature::decode(text).map_err(|_| Refusal::Signature("it is no minisign signature".into()))?;
        let number = number_in(text.lines().nth(1).unwrap_or_default()).unwrap_or_default();
        let mut keys = self.keys.iter().filter(|key| key.number == number).peekable();
        if keys.peek().is_none() {
            return Ok(Some(Signer::Unknown { number }));
        }
        // Signatures of minisign before 0.10 are over the content itself, not its hash: no weaker, and we have it at hand.
        match keys.any(|key| key.key.verify(bytes, &signature, true).is_ok()) {
            true => Ok(Some(Signer::Known { number, comment: shown::line(signature.trusted_comment()) })),
            false => Err(Refusal::Altered { key: number }),
        }
    }

    fn without_voucher(&self, refusal: Refusal) -> Result<Voucher, Refusal> {
        match self.policy {
            Policy::Off => Ok(Voucher::Nobody),
            Policy::Warn => Ok(Voucher::Doubt(refusal)),
            Policy::Enforce => Err(refusal),
        }
    }
}

/// What a signature says of itself, verified or not: the number of its key, and its comment.
pub fn claims(text: &str) -> Option<(String, String)> {
    let signature = Signature::decode(text).ok()?;
    Some((number_in(text.lines().nth(1)?)?, shown::line(signature.trusted_comment())))
}

/// The number of the key in a key or in the second line of a signature, written as minisign does: it stands behind two
/// letters, little-endian.
fn number_in(base64: &str) -> Option<String> {
    let bytes = BASE64_STANDARD.decode(base64.trim()).ok()?;
    let number = bytes.get(2..10)?.try_into().expect("eight bytes are eight bytes");
    Some(format!("{:X}", u64::from_le_bytes(number)))
}

impl FromStr for Key {
    type Err = String;

    fn from_str(text: &str) -> Result<Key, String> {
        let expected =
            || format!("{text:?}: expected a minisign public key: the 56 letters beginning with RW in minisign.pub");
        let key = PublicKey::from_base64(text).map_err(|_| expected())?;
        Ok(Key { number: number_in(text).ok_or_else(expected)?, key })
    }
}

impl TryFrom<String> for Key {
    type Error = String;

    fn try_from(text: String) -> Result<Key, String> {
        text.parse()
    }
}

impl Voucher {
    /// How a row begins that tells of a doubt.
    pub const TAKEN: &str = "taken with a warning: ";

    /// What there is to say against the content, though it is taken.
    pub fn doubt(&self) -> Option<String> {
        match self {
            Voucher::Doubt(refusal) => Some(format!("{}{refusal}", Voucher::TAKEN)),
            _ => None,
        }
    }
}

/// As `plugin inspect` and the log show it.
impl fmt::Display for Voucher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Voucher::Nobody => f.write_str("not asked for"),
            Voucher::Pin => f.write_str("its hash is pinned"),
            Voucher::Key { number, comment } if comment.is_empty() => write!(f, "good, by key {number}"),
            Voucher::Key { number, comment } => write!(f, "good, by key {number}: {comment}"),
            Voucher::Doubt(refusal) => refusal.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use minisign::KeyPair;

    use super::*;

    const CONTENT: &[u8] = b"the content of a plugin";

    /// Somebody who signs.
    pub struct Author(KeyPair);

    impl Author {
        pub fn new() -> Author {
            Author(KeyPair::generate_unencrypted_keypair().unwrap())
        }

        pub fn key(&self) -> Key {
            self.0.pk.to_base64().parse().unwrap()
        }

        pub fn sign(&self, content: &[u8]) -> String {
            minisign::sign(None, &self.0.sk, content, Some("hello 1.0.0\x1b"), None).unwrap().into_string()
        }
    }

    fn manifest(id: &str) -> Manifest {
        Manifest::parse(format!("id={id}\nversion=1.0.0\nabi=0.1\ntarget=t\n").as_bytes()).unwrap()
    }

    fn vouching(policy: Policy, author: &Author) -> Vouching {
        Vouching { policy, keys: vec![author.key()], ..Vouching::default() }
    }

    fn judge(vouching: &Vouching, content: &[u8], signature: Option<&str>) -> Result<Voucher, Refusal> {
        vouching.judge(&manifest("hello"), Digest::of(content), content, signature)
    }

    const POLICIES: [Policy; 3] = [Policy::Off, Policy::Warn, Policy::Enforce];

    #[test]
    fn a_good_signature_is_taken_under_every_policy() {
        let author = Author::new();
        for policy in POLICIES {
            let voucher = judge(&vouching(policy, &author), CONTENT, Some(&author.sign(CONTENT))).unwrap();
            assert_eq!(voucher, Voucher::Key { number: author.key().number, comment: r"hello 1.0.0\u{1b}".into() });
        }
    }

    #[test]
    fn unsigned_and_signed_by_a_stranger_go_by_the_policy() {
        let (author, stranger) = (Author::new(), Author::new());
        let foreign = stranger.sign(CONTENT);
        let unknown = Refusal::UnknownKey { key: stranger.key().number };
        for (signature, refusal) in [(None, Refusal::Unsigned), (Some(foreign.as_str()), unknown)] {
            let judged = POLICIES.map(|policy| judge(&vouching(policy, &author), CONTENT, signature));
            assert_eq!(judged, [Ok(Voucher::Nobody), Ok(Voucher::Doubt(refusal.clone())), Err(refusal)]);
        }
    }

    #[test]
    fn what_was_changed_after_signing_is_refused_under_every_policy() {
        let author = Author::new();
        let signature = author.sign(CONTENT);
        let other_comment = signature.replace("hello 1.0.0", "hello 9.9.9");
        for policy in POLICIES {
            let refused = [(&b"another content"[..], &signature), (CONTENT, &other_comment)]
                .map(|(content, signature)| judge(&vouching(policy, &author), content, Some(signature)));
            assert_eq!(refused, [(); 2].map(|()| Err(Refusal::Altered { key: author.key().number })));
        }
        // A pin does not make a lie true.
        let pins = BTreeMap::from([("hello".into(), vec![Digest::of(b"another content")])]);
        let pinned = Vouching { pins, ..vouching(Policy::Off, &author) };
        assert!(matches!(judge(&pinned, b"another content", Some(&signature)), Err(Refusal::Altered { .. })));
    }

    #[test]
    fn rotten_content_and_rotten_signatures_are_never_taken() {
        let author = Author::new();
        let enforcing = vouching(Policy::Enforce, &author);
        let content: Vec<u8> = (0..4_096_u32).map(|number| (number.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        let signature = author.sign(&content);
        for bit in (0..content.len() * 8).step_by(17) {
            let mut rotten = content.clone();
            rotten[bit / 8] ^= 1 << (bit % 8);
            assert!(judge(&enforcing, &rotten, Some(&signature)).is_err(), "bit {bit}");
        }
        for block in content.chunks(256).enumerate().map(|(number, _)| number * 256) {
            let mut rotten = content.clone();
            rotten[block..block + 256].fill(0);
            assert!(judge(&enforcing, &rotten, Some(&signature)).is_err(), "block at {block}");
        }
        for end in (0..signature.trim_end().len() - 1).filter(|end| signature.is_char_boundary(*end)) {
            assert!(judge(&enforcing, &content, Some(&signature[..end])).is_err(), "the first {end} bytes");
        }
        assert!(judge(&enforcing, &content, Some(&signature)).is_ok());
    }

    #[test]
    fn a_pin_takes_one_content_and_no_other() {
        let author = Author::new();
        for vouching in POLICIES.map(|policy| vouching(policy, &author)).into_iter().chain([Vouching::default()]) {
            let pins = BTreeMap::from([("hello".into(), vec![Digest::of(b"a"), Digest::of(CONTENT)])]);
            let pinning = Vouching { pins, ..vouching };
            assert_eq!(judge(&pinning, CONTENT, None), Ok(Voucher::Pin));
            let refusal = judge(&pinning, b"other", Some(&author.sign(b"other"))).unwrap_err().to_string();
            for digest in [&b"other"[..], b"a", CONTENT].map(|content| Digest::of(content).to_string()) {
                assert!(refusal.contains(&digest), "{refusal}");
            }
            let other = pinning.judge(&manifest("other"), Digest::of(b"other"), b"other", None);
            assert_eq!(other.is_ok(), pinning.policy != Policy::Enforce);
        }
    }

    #[test]
    fn an_older_version_is_no_progress() {
        let author = Author::new();
        let digest = Digest::of(CONTENT);
        let check = |vouching: &Vouching, version, last| vouching.check_progress("hello", version, digest, last);
        let enforcing = vouching(Policy::Enforce, &author);
        let refusal = check(&enforcing, "1.9.0", Some("1.10.0")).unwrap_err().to_string();
        assert!(refusal.contains("1.9.0") && refusal.contains("1.10.0"), "{refusal}");
        for (version, last) in
            [("1.10.0", Some("1.10.0")), ("1.10.1", Some("1.9.9")), ("1.0.0", None), ("1", Some("x"))]
        {
            assert_eq!(check(&enforcing, version, last), Ok(()), "{version} after {last:?}");
        }
        assert!(check(&enforcing, "nightly", Some("1.0.0")).is_err());
        assert_eq!(check(&vouching(Policy::Warn, &author), "1.0.0", Some("2.0.0")), Ok(()));
        let pins = BTreeMap::from([("hello".into(), vec![digest])]);
        assert_eq!(check(&Vouching { pins, ..enforcing }, "1.0.0", Some("2.0.0")), Ok(()));
    }

    /// Made by minisign 0.11 of Debian 12 with a key whose secret half was thrown away: `KEY`, and the two kinds of
    /// signature, with a hash in between and, by `-l`, without.
    #[test]
    fn signatures_of_minisign_itself_are_understood() {
        const KEY: &str = "RWQoEZSVzp+HC/aAesOMXieL3rGnyWVty1HSxqLmU4SIiXpnKgBEikc7";
        const HASHED: &str = "untrusted comment: signature from minisign secret key\n\
             RUQoEZSVzp+HC+Ysq15t4DiOyW8Tq6HJzhXb2ow/Gp+oI9/kjzG95onwAeizLo8xDwbp2LBV72N5VTStCZ2N8cvrDQoWuNEAIQg=\n\
             trusted comment: hello 1.0.0\n\
             XR44VMtxmr5Y9WCp6vx/gSdjrxk3sY0lbzxlxRl/DldfxIek7P6qwYNjH+1xEEJIYYQyLJs3rgbG2xvipmSUAQ==";
        const LEGACY: &str = "untrusted comment: signature from minisign secret key\n\
             RWQoEZSVzp+HC9SZpiJDkdWHz/AXB/HnhLWnqjyeRb7/JduZaQ3JSq6fRhc6UMrYe+ShzABF4Nf3ohew3I6D0kClwX3bE0GdhgM=\n\
             trusted comment: hello 1.0.0\n\
             5MXIVH+QBaB5qKu5Yn4TS52dz7AQgw0d90+jz0qLrRgRaiDFNQsoJt+xjy5IYBEFKuCYNxilPI+KWRILrjL0Aw==";
        let key: Key = KEY.parse().unwrap();
        assert_eq!(key.number, "B879FCE95941128");
        let vouching = Vouching { policy: Policy::Enforce, keys: vec![key], ..Vouching::default() };
        for signature in [HASHED, LEGACY] {
            assert!(matches!(judge(&vouching, CONTENT, Some(signature)), Ok(Voucher::Key { .. })), "{signature}");
            assert_eq!(claims(signature).unwrap().0, "B879FCE95941128");
        }
    }

    #[test]
    fn what_is_no_key_says_what_a_key_is() {
        for text in
            ["", "RWQ", "untrusted comment: minisign public key", &"R".repeat(56), &format!("RW{}", "é".repeat(27))]
        {
            assert!(text.parse::<Key>().unwrap_err().contains("expected a minisign public key"), "{text}");
        }
    }
}
