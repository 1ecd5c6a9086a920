//! The mechanisms offered, strongest first (RFC 6120 section 6.3.3).

use std::fmt::Write;

use super::{NAMESPACE, hash::Hash};

/// A SASL mechanism of this server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mechanism {
    /// ANONYMOUS (RFC 4505).
    Anonymous,
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

const ALL: [(&str, Mechanism); 6] = [
    ("SCRAM-SHA-256-PLUS", Mechanism::Scram { hash: Hash::Sha256, plus: true }),
    ("SCRAM-SHA-256", Mechanism::Scram { hash: Hash::Sha256, plus: false }),
    ("SCRAM-SHA-1-PLUS", Mechanism::Scram { hash: Hash::Sha1, plus: true }),
    ("SCRAM-SHA-1", Mechanism::Scram { hash: Hash::Sha1, plus: false }),
    ("PLAIN", Mechanism::Plain),
    ("ANONYMOUS", Mechanism::Anonymous),
];

impl Mechanism {
    /// The mechanism of this name.
    pub fn parse(name: &str) -> Option<Mechanism> {
        ALL.iter().find(|(known, _)| *known == name).map(|(_, mechanism)| *mechanism)
    }

    fn is_offered(self, can_bind: bool, anonymous: bool) -> bool {
        match self {
            Mechanism::Anonymous => anonymous,
            Mechanism::Scram { plus, .. } => can_bind || !plus,
            Mechanism::Plain => true,
        }
    }
}

/// The stream features of this step: the mechanisms, ANONYMOUS among them if it is wanted, and, where the connection can be
/// bound, how (XEP-0440).
pub fn features(can_bind: bool, anonymous: bool) -> String {
    let mut features = format!("<mechanisms xmlns='{NAMESPACE}'>");
    for (name, _) in ALL.iter().filter(|(_, mechanism)| mechanism.is_offered(can_bind, anonymous)) {
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
    fn what_is_offered_depends_on_the_connection_and_the_administrator() {
        let bound = features(true, false);
        assert!(bound.contains("SCRAM-SHA-1-PLUS") && bound.contains("tls-exporter") && !bound.contains("ANONYMOUS"));
        let unbound = features(false, true);
        assert!(!unbound.contains("PLUS") && !unbound.contains("channel-binding") && unbound.contains("ANONYMOUS"));
        assert_eq!(Mechanism::parse("plain"), None);
    }
}
