//! What must hold for anything that a client says to prove who it is: nobody but the user who knows the password is let in.

use jid::DomainPart;
use stringprep::saslprep;

use super::{
    decode,
    hash::Hash,
    mechanism::Mechanism,
    password::{keys, verify},
    plain::Plain,
    scram::{ClientFirst, Exchange},
    user,
};
use crate::store::Keys;

/// The only account is that of the examples of RFC 5802 section 5 and RFC 7677 section 3.
const USER: &str = "user@example.com";
const PASSWORD: &str = "pencil";
/// The server's part of the nonce: always the same here, so that a proof can be right.
const NONCE: &str = "3rfcNHYJY1ZVvWVs7j";
const EXPORTER: [u8; 32] = [7; 32];

/// The fuzz target `sasl`: the name of a mechanism and the client's messages, each on a line, not encoded.
pub fn sasl(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    // Base64 or not, decoding gives text or a failure.
    let _ = text.lines().map(decode).count();
    let (mechanism, messages) = text.split_once('\n').unwrap_or((text, ""));
    match Mechanism::parse(mechanism) {
        None | Some(Mechanism::Anonymous) => {}
        Some(Mechanism::Plain) => plain(messages),
        Some(Mechanism::Scram { hash, plus }) => scram(hash, plus, messages),
    }
}

fn plain(message: &str) {
    let Ok(plain) = Plain::parse(message) else { return };
    let Ok(user) = user(&domain(), plain.user, plain.authorization) else { return };
    if verify(plain.password, &keys_of(user.as_str(), Hash::Sha256)) {
        assert_eq!(user.as_str(), USER, "{message:?}");
        assert_eq!(saslprep(plain.password).ok().as_deref(), Some(PASSWORD), "{message:?}");
    }
}

fn scram(hash: Hash, plus: bool, messages: &str) {
    let (first, last) = messages.split_once('\n').unwrap_or((messages, ""));
    let Ok(first) = ClientFirst::parse(first, plus) else { return };
    let Ok(user) = user(&domain(), &first.user, first.authorization.as_deref()) else { return };
    let keys = keys_of(user.as_str(), hash);
    // A connection that can't be bound, unless the client binds: else the flag `y` is always refused.
    let Ok((exchange, _)) = Exchange::begin_with_nonce(hash, first, keys, plus.then_some(&EXPORTER), NONCE) else {
        return;
    };
    if exchange.finish(last).is_ok() {
        assert_eq!(user.as_str(), USER, "{messages:?}");
    }
}

fn domain() -> DomainPart {
    "example.com".parse().expect("a constant domain")
}

/// The keys of an account, or those of none. One round: what is tried here is not how long it takes.
fn keys_of(user: &str, hash: Hash) -> Keys {
    let keys = keys(hash, PASSWORD, b"salt".to_vec(), 1);
    if user == USER { keys } else { Keys { stored_key: vec![0; keys.stored_key.len()], ..keys } }
}

#[cfg(test)]
mod tests {
    use super::{super::scram::client, *};

    /// The corpus holds right proofs too, or what is asserted of them would be asserted of nothing.
    #[test]
    fn a_right_proof_is_one_here() {
        let first = ClientFirst::parse("n,,n=user,r=abc", false).unwrap();
        let keys = keys_of(USER, Hash::Sha256);
        let (exchange, challenge) = Exchange::begin_with_nonce(Hash::Sha256, first, keys, None, NONCE).unwrap();
        let last = client::last(Hash::Sha256, PASSWORD, "n=user,r=abc", &challenge, b"n,,");
        assert!(exchange.finish(&last).is_ok());
        let corpus = include_str!("../../../../fuzz/corpus/sasl/scram_sha_256");
        assert_eq!(corpus, format!("SCRAM-SHA-256\nn,,n=user,r=abc\n{last}"));
    }
}
