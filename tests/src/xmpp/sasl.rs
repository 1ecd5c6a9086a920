//! The client's side of SASL: PLAIN (RFC 4616) and SCRAM (RFC 5802, RFC 7677), with channel binding (RFC 9266) where asked.

use base64::prelude::{BASE64_STANDARD, Engine};
use hmac::{Hmac, KeyInit, Mac};
use minidom::Element;
use pbkdf2::pbkdf2_hmac;
use sha1::Sha1;
use sha2::{Digest, Sha256};

use super::{Error, Result, ns};

/// The header of a client that does no channel binding (RFC 5802 section 7, `gs2-header`), and of one that does.
const NO_CHANNEL_BINDING: &str = "n,,";
const CHANNEL_BINDING: &str = "p=tls-exporter,,";

/// A SASL mechanism this client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mechanism {
    /// The password as it is.
    Plain,
    /// Salted challenge response over SHA-1.
    ScramSha1,
    /// Salted challenge response over SHA-256.
    ScramSha256,
    /// Over SHA-1, bound to the TLS connection.
    ScramSha1Plus,
    /// Over SHA-256, bound to the TLS connection.
    ScramSha256Plus,
}

impl Mechanism {
    /// Without channel binding: another server under test may not have it.
    const BY_STRENGTH: [Mechanism; 3] = [Mechanism::ScramSha256, Mechanism::ScramSha1, Mechanism::Plain];

    /// Whether the login is bound to the TLS connection.
    pub(super) fn is_bound(self) -> bool {
        matches!(self, Mechanism::ScramSha1Plus | Mechanism::ScramSha256Plus)
    }

    /// The registered name.
    pub fn name(self) -> &'static str {
        match self {
            Mechanism::Plain => "PLAIN",
            Mechanism::ScramSha1 => "SCRAM-SHA-1",
            Mechanism::ScramSha256 => "SCRAM-SHA-256",
            Mechanism::ScramSha1Plus => "SCRAM-SHA-1-PLUS",
            Mechanism::ScramSha256Plus => "SCRAM-SHA-256-PLUS",
        }
    }

    /// The strongest mechanism that `features` offer.
    pub fn strongest(features: &Element) -> Result<Mechanism> {
        let offered = Mechanism::offered(features);
        let known = |mechanism: &Mechanism| offered.iter().any(|name| name == mechanism.name());
        let strongest = Mechanism::BY_STRENGTH.into_iter().find(known);
        strongest.ok_or_else(|| Error::Unexpected(format!("no known mechanism among {offered:?}")))
    }

    /// The names of all mechanisms that `features` offer.
    pub fn offered(features: &Element) -> Vec<String> {
        let list = features.get_child("mechanisms", ns::SASL);
        list.into_iter().flat_map(Element::children).map(Element::text).collect()
    }
}

/// A SCRAM conversation after its first message.
pub(super) struct Scram {
    hash: Hash,
    password: String,
    nonce: String,
    first_bare: String,
    /// The header, and what of the TLS connection goes with it.
    binding: Vec<u8>,
}

/// A SCRAM conversation after its second message: waiting for the server to prove that it knows the user.
pub(super) struct Proven {
    server_signature: Vec<u8>,
}

#[derive(Clone, Copy)]
enum Hash {
    Sha1,
    Sha256,
}

/// The initial response of PLAIN.
pub(super) fn plain(user: &str, password: &str) -> String {
    BASE64_STANDARD.encode(format!("\0{user}\0{password}"))
}

impl Scram {
    /// Starts a conversation; also returns the initial response to send. `None` for a mechanism that is not SCRAM. `exporter`
    /// is that of the TLS connection, and counts for a mechanism that is bound to it.
    pub(super) fn start(mechanism: Mechanism, user: &str, password: &str, exporter: &[u8]) -> Option<(Scram, String)> {
        let hash = match mechanism {
            Mechanism::Plain => return None,
            Mechanism::ScramSha1 | Mechanism::ScramSha1Plus => Hash::Sha1,
            Mechanism::ScramSha256 | Mechanism::ScramSha256Plus => Hash::Sha256,
        };
        let (header, bound) =
            if mechanism.is_bound() { (CHANNEL_BINDING, exporter) } else { (NO_CHANNEL_BINDING, &[][..]) };
        let mut random = [0; 18];
        getrandom::fill(&mut random).expect("the system has random bytes");
        let nonce = BASE64_STANDARD.encode(random);
        let first_bare = format!("n={},r={nonce}", user.replace('=', "=3D").replace(',', "=2C"));
        let response = BASE64_STANDARD.encode(format!("{header}{first_bare}"));
        let binding = [header.as_bytes(), bound].concat();
        Some((Scram { hash, password: password.to_owned(), nonce, first_bare, binding }, response))
    }

    /// Answers the server's challenge.
    pub(super) fn answer(self, challenge: &str) -> Result<(Proven, String)> {
        let server_first = decode(challenge)?;
        let nonce = field(&server_first, 'r')?;
        if !nonce.starts_with(&self.nonce) || nonce.len() == self.nonce.len() {
            return Err(Error::Unexpected(format!("the nonce {nonce:?} does not continue {:?}", self.nonce)));
        }
        let salt = BASE64_STANDARD.decode(field(&server_first, 's')?).map_err(|_| unreadable(&server_first))?;
        let rounds = field(&server_first, 'i')?.parse().map_err(|_| unreadable(&server_first))?;

        let without_proof = format!("c={},r={nonce}", BASE64_STANDARD.encode(&self.binding));
        let signed = format!("{},{server_first},{without_proof}", self.first_bare);
        let salted = self.hash.stretch(&self.password, &salt, rounds);
        let client_key = self.hash.hmac(&salted, b"Client Key");
        let signature = self.hash.hmac(&self.hash.digest(&client_key), signed.as_bytes());
        let proof: Vec<u8> = client_key.iter().zip(signature).map(|(key, sign)| key ^ sign).collect();
        let server_signature = self.hash.hmac(&self.hash.hmac(&salted, b"Server Key"), signed.as_bytes());
        let response = format!("{without_proof},p={}", BASE64_STANDARD.encode(proof));
        Ok((Proven { server_signature }, BASE64_STANDARD.encode(response)))
    }
}

impl Proven {
    /// Checks the data of the server's `<success/>`.
    pub(super) fn verify(self, success: &str) -> Result<()> {
        let server_final = decode(success)?;
        let signature = BASE64_STANDARD.decode(field(&server_final, 'v')?).map_err(|_| unreadable(&server_final))?;
        if signature != self.server_signature {
            return Err(Error::Unexpected("the server does not know the password either".into()));
        }
        Ok(())
    }
}

impl Hash {
    fn hmac(self, key: &[u8], data: &[u8]) -> Vec<u8> {
        const ANY_KEY: &str = "HMAC takes a key of any length";
        match self {
            Hash::Sha1 => {
                Hmac::<Sha1>::new_from_slice(key).expect(ANY_KEY).chain_update(data).finalize().as_bytes().to_vec()
            }
            Hash::Sha256 => {
                Hmac::<Sha256>::new_from_slice(key).expect(ANY_KEY).chain_update(data).finalize().as_bytes().to_vec()
            }
        }
    }

    fn digest(self, data: &[u8]) -> Vec<u8> {
        match self {
            Hash::Sha1 => Sha1::digest(data).to_vec(),
            Hash::Sha256 => Sha256::digest(data).to_vec(),
        }
    }

    fn stretch(self, password: &str, salt: &[u8], rounds: u32) -> Vec<u8> {
        match self {
            Hash::Sha1 => {
                let mut key = [0; 20];
                pbkdf2_hmac::<Sha1>(password.as_bytes(), salt, rounds, &mut key);
                key.to_vec()
            }
            Hash::Sha256 => {
                let mut key = [0; 32];
                pbkdf2_hmac::<Sha256>(password.as_bytes(), salt, rounds, &mut key);
                key.to_vec()
            }
        }
    }
}

fn decode(data: &str) -> Result<String> {
    let bytes = BASE64_STANDARD.decode(data).map_err(|_| unreadable(data))?;
    String::from_utf8(bytes).map_err(|_| unreadable(data))
}

/// The value of the attribute `name` of a SCRAM message (RFC 5802 section 5.1).
fn field(message: &str, name: char) -> Result<&str> {
    let found = message.split(',').find_map(|part| part.strip_prefix(name)?.strip_prefix('='));
    found.ok_or_else(|| unreadable(message))
}

fn unreadable(message: &str) -> Error {
    Error::Unexpected(format!("the SASL message {message:?} is not as its mechanism wants it"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The conversation printed in RFC 7677 section 3.
    #[test]
    fn scram_sha_256_computes_what_the_rfc_prints() {
        let scram = Scram {
            hash: Hash::Sha256,
            password: "pencil".into(),
            nonce: "rOprNGfwEbeRWgbNEkqO".into(),
            first_bare: "n=user,r=rOprNGfwEbeRWgbNEkqO".into(),
            binding: NO_CHANNEL_BINDING.into(),
        };
        let challenge = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
        let (proven, response) = scram.answer(&BASE64_STANDARD.encode(challenge)).expect("the challenge is valid");
        let response = decode(&response).expect("the response is base64");
        assert_eq!(field(&response, 'p').unwrap(), "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=");
        let success = BASE64_STANDARD.encode("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
        proven.verify(&success).expect("the server's signature is right");
    }

    #[test]
    fn a_nonce_that_is_not_ours_is_refused() {
        let (scram, _) = Scram::start(Mechanism::ScramSha1, "user", "pencil", &[]).unwrap();
        let challenge = BASE64_STANDARD.encode("r=somebody-else,s=QSXCR+Q6sek8bf92,i=4096");
        assert!(matches!(scram.answer(&challenge), Err(Error::Unexpected(_))));
    }
}
