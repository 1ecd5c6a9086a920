//! What a component shares with this server. It is never written anywhere.

use std::{collections::BTreeMap, fmt, fmt::Write};

use jid::DomainPart;
use subtle::ConstantTimeEq;

use crate::xmpp::sasl::Hash;

/// The secrets of all components, by their domains.
pub type Secrets = BTreeMap<DomainPart, Secret>;

/// A secret. It shows itself to nobody.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// A secret of at least one character.
    pub fn new(text: &str) -> Option<Secret> {
        (!text.is_empty()).then(|| Secret(text.to_owned()))
    }

    /// Whether `proof` is the SHA-1 of the stream's id and this secret (XEP-0114 section 3), compared in constant time.
    pub fn is_proved_by(&self, proof: &str, stream: &str) -> bool {
        let digest = Hash::Sha1.digest(format!("{stream}{}", self.0).as_bytes());
        let expected = digest.iter().fold(String::new(), |mut text, byte| {
            write!(text, "{byte:02x}").expect("a string takes everything");
            text
        });
        proof.trim().to_ascii_lowercase().as_bytes().ct_eq(expected.as_bytes()).into()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The XEP does not tell the secret of its example. `printf 3BF96D32secret | sha1sum` says the same.
    #[test]
    fn a_secret_is_proved_by_its_hash_alone() {
        let secret = Secret::new("secret").unwrap();
        let proof = "b09ea9b3b7f586be8a08d0a3dd7466f110aeb136";
        assert!(secret.is_proved_by(proof, "3BF96D32") && secret.is_proved_by(&proof.to_uppercase(), "3BF96D32"));
        assert!(!secret.is_proved_by(proof, "3BF96D33"));
        assert!(!secret.is_proved_by("", "3BF96D32") && !secret.is_proved_by(&proof[..39], "3BF96D32"));
        assert_eq!(format!("{secret:?}"), "Secret");
        assert_eq!(Secret::new(""), None);
    }
}
