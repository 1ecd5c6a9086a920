//! SCRAM, the server's half (RFC 5802, RFC 7677), with `tls-exporter` channel binding (RFC 9266).
//!
//! [`ClientFirst`] is parsed, [`Exchange::begin`] answers it with the challenge, [`Exchange::finish`] verifies the
//! proof. Whether the account exists makes no difference here: the keys of a decoy do.

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use subtle::ConstantTimeEq;

use super::{Failure, hash::Hash};
use crate::{store::Keys, xmpp::random};

/// What the client knows of channel binding: the flag of the GS2 header (RFC 5802 section 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Binding {
    /// `n`: it supports none.
    Unsupported,
    /// `y`: it does, and believes that the server does not.
    NotOffered,
    /// `p=tls-exporter`.
    Exporter,
}

/// The client's first message.
#[derive(Debug, PartialEq, Eq)]
pub struct ClientFirst {
    /// The user name as sent, unescaped.
    pub user: String,
    /// Whom the client wants to act as, if it says so.
    pub authorization: Option<String>,
    binding: Binding,
    gs2_header: String,
    bare: String,
    nonce: String,
}

impl ClientFirst {
    /// Parses the message for a mechanism with (`-PLUS`) or without channel binding.
    pub fn parse(message: &str, plus: bool) -> Result<ClientFirst, Failure> {
        let mut parts = message.splitn(3, ',');
        let mut part = || parts.next().ok_or(Failure::MalformedRequest);
        let (flag, authorization, bare) = (part()?, part()?, part()?);
        let binding = match flag {
            "n" if !plus => Binding::Unsupported,
            "y" if !plus => Binding::NotOffered,
            "p=tls-exporter" if plus => Binding::Exporter,
            _ => return Err(Failure::MalformedRequest),
        };
        let mut attributes = bare.split(',');
        // A mandatory extension (`m=`) stands first, so that it ends here as it must.
        let user = attribute(attributes.next(), "n=")?;
        let nonce = attribute(attributes.next(), "r=")?;
        if nonce.is_empty() {
            return Err(Failure::MalformedRequest);
        }
        Ok(ClientFirst {
            user: unescape(user)?,
            authorization: match authorization {
                "" => None,
                named => Some(unescape(attribute(Some(named), "a=")?)?),
            },
            binding,
            gs2_header: format!("{flag},{authorization},"),
            nonce: nonce.to_owned(),
            bare: bare.to_owned(),
        })
    }
}

/// An exchange whose challenge was sent.
pub struct Exchange {
    hash: Hash,
    keys: Keys,
    nonce: String,
    /// What `c=` has to be: the GS2 header with the data of the channel.
    binding: String,
    /// Client's first message without its header, and the server's.
    transcript: String,
}

impl Exchange {
    /// The exchange, and the server's first message. `exporter` is the channel binding data of this connection, if it
    /// has any.
    pub fn begin(
        hash: Hash,
        first: ClientFirst,
        keys: Keys,
        exporter: Option<&[u8]>,
    ) -> Result<(Exchange, String), Failure> {
        let nonce = BASE64.encode(random::bytes::<18>());
        Exchange::begin_with_nonce(hash, first, keys, exporter, &nonce)
    }

    pub(super) fn begin_with_nonce(
        hash: Hash,
        first: ClientFirst,
        keys: Keys,
        exporter: Option<&[u8]>,
        nonce: &str,
    ) -> Result<(Exchange, String), Failure> {
        let bound = match (first.binding, exporter) {
            (Binding::Exporter, Some(exporter)) => exporter,
            (Binding::Unsupported, _) | (Binding::NotOffered, None) => &[],
            // It was offered: somebody on the way took it out of our list (RFC 5802 section 6).
            (Binding::NotOffered, Some(_)) => return Err(Failure::NotAuthorized),
            (Binding::Exporter, None) => return Err(Failure::MalformedRequest),
        };
        let nonce = first.nonce + nonce;
        let challenge = format!("r={nonce},s={},i={}", BASE64.encode(&keys.salt), keys.iterations);
        let binding = BASE64.encode([first.gs2_header.as_bytes(), bound].concat());
        let transcript = format!("{},{challenge}", first.bare);
        Ok((Exchange { hash, keys, nonce, binding, transcript }, challenge))
    }

    /// Verifies the client's final message and gives the server's, which proves that the server knew the account.
    pub fn finish(self, message: &str) -> Result<String, Failure> {
        let (unproven, proof) = message.rsplit_once(",p=").ok_or(Failure::MalformedRequest)?;
        let mut attributes = unproven.split(',');
        let binding = attribute(attributes.next(), "c=")?;
        let nonce = attribute(attributes.next(), "r=")?;
        let proof = BASE64.decode(proof).map_err(|_| Failure::MalformedRequest)?;
        let signed = format!("{},{unproven}", self.transcript);
        let signature = self.hash.hmac(&self.keys.stored_key, signed.as_bytes());
        if proof.len() != signature.len() {
            return Err(Failure::MalformedRequest);
        }
        let client_key: Vec<u8> = proof.iter().zip(&signature).map(|(proof, signature)| proof ^ signature).collect();
        let proven = bool::from(self.hash.digest(&client_key).ct_eq(&self.keys.stored_key));
        if !proven || binding != self.binding || nonce != self.nonce {
            return Err(Failure::NotAuthorized);
        }
        Ok(format!("v={}", BASE64.encode(self.hash.hmac(&self.keys.server_key, signed.as_bytes()))))
    }
}

fn attribute<'a>(part: Option<&'a str>, name: &str) -> Result<&'a str, Failure> {
    part.and_then(|part| part.strip_prefix(name)).ok_or(Failure::MalformedRequest)
}

/// A `saslname` (RFC 5802 section 5.1): `=2C` is a comma, `=3D` an equals sign, no other `=` may be there.
fn unescape(name: &str) -> Result<String, Failure> {
    let mut parts = name.split('=');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (escaped, rest) = part.split_at_checked(2).ok_or(Failure::MalformedRequest)?;
        plain.push(match escaped {
            "2C" => ',',
            "3D" => '=',
            _ => return Err(Failure::MalformedRequest),
        });
        plain.push_str(rest);
    }
    if plain.is_empty() { Err(Failure::MalformedRequest) } else { Ok(plain) }
}

/// The client's half, for the tests of ours.
#[cfg(test)]
pub(super) mod client {
    use super::*;

    /// The client's final message to a challenge. `binding` is the GS2 header with the data of the channel.
    pub fn last(hash: Hash, password: &str, first_bare: &str, challenge: &str, binding: &[u8]) -> String {
        let part = |name: &str| challenge.split(',').find_map(|part| part.strip_prefix(name)).unwrap();
        let salt = BASE64.decode(part("s=")).unwrap();
        let client_key = hash.hmac(&hash.salted_password(password, &salt, part("i=").parse().unwrap()), b"Client Key");
        let unproven = format!("c={},r={}", BASE64.encode(binding), part("r="));
        let signed = format!("{first_bare},{challenge},{unproven}");
        let signature = hash.hmac(&hash.digest(&client_key), signed.as_bytes());
        let proof: Vec<u8> = client_key.iter().zip(signature).map(|(key, signature)| key ^ signature).collect();
        format!("{unproven},p={}", BASE64.encode(proof))
    }
}

#[cfg(test)]
mod tests {
    use super::{super::password::keys, *};

    struct Vector {
        hash: Hash,
        salt: &'static str,
        nonce: &'static str,
        messages: [&'static str; 4],
    }

    /// RFC 5802 section 5 and RFC 7677 section 3: user `user`, password `pencil`.
    const VECTORS: [Vector; 2] = [
        Vector {
            hash: Hash::Sha1,
            salt: "QSXCR+Q6sek8bf92",
            nonce: "3rfcNHYJY1ZVvWVs7j",
            messages: [
                "n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL",
                "r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096",
                "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
                "v=rmF9pqV8S7suAoZWja4dJRkFsKQ=",
            ],
        },
        Vector {
            hash: Hash::Sha256,
            salt: "W22ZaJ0SNY7soEsUEjb6gQ==",
            nonce: "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0",
            messages: [
                "n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
                "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
                "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                 p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
                "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
            ],
        },
    ];

    fn begin(vector: &Vector, password: &str) -> (Exchange, String) {
        let first = ClientFirst::parse(vector.messages[0], false).unwrap();
        assert_eq!((first.user.as_str(), first.authorization.as_deref()), ("user", None));
        let keys = keys(vector.hash, password, BASE64.decode(vector.salt).unwrap(), 4096);
        Exchange::begin_with_nonce(vector.hash, first, keys, None, vector.nonce).unwrap()
    }

    #[test]
    fn the_examples_of_the_rfcs_hold() {
        for vector in VECTORS {
            let (exchange, challenge) = begin(&vector, "pencil");
            assert_eq!(challenge, vector.messages[1]);
            assert_eq!(exchange.finish(vector.messages[2]).as_deref(), Ok(vector.messages[3]));
            let (exchange, _) = begin(&vector, "pencils");
            assert_eq!(exchange.finish(vector.messages[2]), Err(Failure::NotAuthorized));
        }
    }

    fn plus(exporter: Option<&[u8]>) -> Result<(Exchange, String), Failure> {
        let first = ClientFirst::parse("p=tls-exporter,,n=user,r=abc", true).unwrap();
        Exchange::begin(Hash::Sha1, first, keys(Hash::Sha1, "pencil", vec![1; 16], 4096), exporter)
    }

    #[test]
    fn a_login_bound_to_another_channel_is_refused() {
        let bound = |exporter: &[u8]| [b"p=tls-exporter,,", exporter].concat();
        for (claimed, expected) in [(&[7; 32], true), (&[8; 32], false)] {
            let (exchange, challenge) = plus(Some(&[7; 32])).unwrap();
            let message = client::last(Hash::Sha1, "pencil", "n=user,r=abc", &challenge, &bound(claimed));
            assert_eq!(exchange.finish(&message).is_ok(), expected);
        }
        assert!(matches!(plus(None), Err(Failure::MalformedRequest)));
    }

    #[test]
    fn a_downgrade_and_a_foreign_nonce_are_refused() {
        let first = || ClientFirst::parse("y,,n=user,r=abc", false).unwrap();
        let keys = keys(Hash::Sha1, "pencil", vec![1; 16], 4096);
        let offered = Exchange::begin(Hash::Sha1, first(), keys.clone(), Some(&[7; 32]));
        assert!(matches!(offered, Err(Failure::NotAuthorized)));
        let (exchange, challenge) = Exchange::begin(Hash::Sha1, first(), keys, None).unwrap();
        let foreign = challenge.replacen("r=abc", "r=abcd", 1);
        let message = client::last(Hash::Sha1, "pencil", "n=user,r=abc", &foreign, b"y,,");
        assert_eq!(exchange.finish(&message), Err(Failure::NotAuthorized));
    }

    #[test]
    fn malformed_messages_are_called_so() {
        for message in ["", "n", "n,", "n,,", "n,,n=", "n,,n=user", "n,,r=abc,n=user", "n,,m=x,n=user,r=abc"]
            .into_iter()
            .chain(["n,,n=user,r=", "n,,n=us=er,r=abc", "n,,n=us=2,r=abc", "x,,n=user,r=abc", "n,b=x,n=user,r=abc"])
            .chain(["p=tls-exporter,,n=user,r=abc", "n,a=,n=user,r=abc", "n,,n=us=é,r=abc"])
        {
            assert_eq!(ClientFirst::parse(message, false), Err(Failure::MalformedRequest), "{message}");
        }
        for message in ["n,,n=user,r=abc", "y,,n=user,r=abc", "p=tls-unique,,n=user,r=abc"] {
            assert_eq!(ClientFirst::parse(message, true), Err(Failure::MalformedRequest), "{message}");
        }
        for message in ["", "c=biws", "c=biws,r=x", "r=x,c=biws,p=AA==", "c=biws,r=x,p=?", "c=biws,r=x,p=AA=="] {
            assert_eq!(begin(&VECTORS[0], "pencil").0.finish(message), Err(Failure::MalformedRequest), "{message}");
        }
    }

    #[test]
    fn names_are_unescaped() {
        let first = ClientFirst::parse("n,a=a=3Db=2Cc,n=x=2Cy,r=abc,ext=1", false).unwrap();
        assert_eq!((first.user.as_str(), first.authorization.as_deref()), ("x,y", Some("a=b,c")));
    }
}
