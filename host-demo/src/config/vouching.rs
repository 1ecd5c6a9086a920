//! The sections of the configuration that say who must vouch for plugins.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::plugin::deploy::{
    digest::Digest,
    vouch::{Key, Policy, Vouching},
};

/// The section `[signatures]`.
#[derive(Default, Deserialize)]
#[serde(try_from = "AnySignatures")]
pub(super) struct Signatures {
    policy: Policy,
    keys: Vec<Key>,
}

/// The section as written: with a policy that asks for signatures, but perhaps without a key that could make one.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct AnySignatures {
    policy: Policy,
    keys: Vec<Key>,
}

impl TryFrom<AnySignatures> for Signatures {
    type Error = &'static str;

    fn try_from(AnySignatures { policy, keys }: AnySignatures) -> Result<Signatures, &'static str> {
        match policy {
            Policy::Warn | Policy::Enforce if keys.is_empty() => {
                Err("the policy asks for signatures, but keys names none: expected keys = [\"RW...\"]")
            }
            _ => Ok(Signatures { policy, keys }),
        }
    }
}

/// The section `[pins]`: by plugin, the contents that are taken.
pub(super) type Pins = BTreeMap<String, Pinned>;

/// The contents that are taken for one plugin.
#[derive(Deserialize)]
#[serde(try_from = "OneOrMore")]
pub(super) struct Pinned(Vec<Digest>);

/// A hash, or a list of them.
#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a SHA-256, or a list of them")]
enum OneOrMore {
    One(String),
    More(Vec<String>),
}

impl TryFrom<OneOrMore> for Pinned {
    type Error = String;

    fn try_from(written: OneOrMore) -> Result<Pinned, String> {
        let hashes = match written {
            OneOrMore::One(hash) => vec![hash],
            OneOrMore::More(hashes) if hashes.is_empty() => return Err("[]: expected at least one SHA-256".into()),
            OneOrMore::More(hashes) => hashes,
        };
        let expected = |text: &str| format!("{text:?}: expected a SHA-256: 64 hexadecimal digits, as sha256sum prints");
        let read = |text: &String| Digest::parse(text).ok_or_else(|| expected(text));
        hashes.iter().map(read).collect::<Result<_, _>>().map(Pinned)
    }
}

/// Both together.
pub(super) fn of(Signatures { policy, keys }: Signatures, pins: Pins) -> Vouching {
    Vouching { policy, keys, pins: pins.into_iter().map(|(id, Pinned(digests))| (id, digests)).collect() }
}
