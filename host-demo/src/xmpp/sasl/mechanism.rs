//! The mechanisms offered, strongest first (RFC 6120 section 6.3.3).

use std::fmt::Write;

use super::{NAMESPACE, hash::Hash};

/// A SASL mechanism of this server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mechanism {
    /// PLAIN (RFC 4616).
    Plain,
    /// SCRAM (RFC 5802, RFC 7677).
    Scram {
        /// The hash it is built on.
        hash: Hash,
        /// Whether the login is bound to the TLS connection.
        plus: bool,
    },
}

const ALL: [(&str, Mechanism); 5] = [
    ("SCRAM-SHA-256-PLUS", Mechanism::Scram { hash: Hash::Sha256, plus: true }),
    ("SCRAM-SHA-256", Mechanism::Scram { hash: Hash::Sha256, plus: false }),
    ("SCRAM-SHA-1-PLUS", Mechanism::Scram { hash: Hash::Sha1, plus: true }),
    ("SCRAM-SHA-1", Mechanism::Scram { hash: Hash::Sha1, plus: false }),
    ("PLAIN", Mechanism::Plain),
];

impl Mechanism {
    /// The mechanism of this name.
    pub fn parse(name: &str) -> Option<Mechanism> {
        ALL.iter().find(|(known, _)| *known == name).map(|(_, mechanism)| *mechanism)
    }

    fn needs_binding(self) -> bool {
        matches!(self, Mechanism::Scram { plus: true, .. })
    }
}

/// The stream features of this step: the mechanisms and, where the connection can be bound, how (XEP-0440).
pub fn features(can_bind: bool) -> String {
    let mut features = format!("<mechanisms xmlns='{NAMESPACE}'>");
    for (name, _) in ALL.iter().filter(|(_, mechanism)| can_bind || !mechanism.needs_binding()) {
        write!(features, "<mechanism>{name}</mechanism>").expect("a string takes any text");
    }
    features += "</mechanisms>";
    if can_bind {
        features += "<sasl-channel-binding xmlns='urn:xmpp:sasl-cb:0'><channel-binding type='tls-exporter'/>\
                     </sasl-channel-binding>";
    }
    features
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn binding_is_offered_only_where_it_can_be_had() {
        assert!(features(true).contains("SCRAM-SHA-1-PLUS") && features(true).contains("tls-exporter"));
        assert!(!features(false).contains("PLUS") && !features(false).contains("channel-binding"));
        assert_eq!(Mechanism::parse("plain"), None);
    }
}
