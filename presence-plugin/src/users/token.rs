//! Tokens: text by which whoever holds it proves to come from a user of this server (compare RFC 6750). Signed by HMAC-SHA-256 (RFC 2104), the
//! first half of it; compact, and without escaping in URLs: `p1.` and one piece of base64url (RFC 4648 section 5).
//!
//! What is signed are the claims. Whether the token still counts is a matter of its record, which goes when the token is revoked.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::choice::Details;

/// The form of the text, which scanners for secrets can look for.
const PREFIX: &str = "p1.";
/// The bytes of the signature: half of what the hash gives, which section 5 of the RFC has as the least.
const SIGNATURE: usize = 16;
/// The longest text that is looked at: two numbers, a time, how much, two JIDs of the longest kind (RFC 7622 section 3.1) and the signature.
const LONGEST: usize = PREFIX.len() + (4 * (ID + ID + 8 + 1 + 2 * (2 + LONGEST_JID) + SIGNATURE)).div_ceil(3);
const LONGEST_JID: usize = 1023 + 1 + 1023;

/// The bytes of the number of a key, and of a token's.
pub const ID: usize = 8;
/// The number of a key or a token, drawn by lot.
pub type Id = [u8; ID];
/// What signs.
pub type Secret = [u8; 32];

/// What a token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// Its own number.
    pub id: Id,
    /// Who vouches for it, a bare JID: it speaks for this user.
    pub who: String,
    /// Whose presence it shows, a bare JID. `None`: that of everybody who lets `who` see.
    pub of: Option<String>,
    /// How much it shows at most.
    pub what: Details,
    /// From when on it is worth nothing, in seconds since the Unix epoch.
    pub expires: u64,
}

impl Claims {
    /// The text of a token, signed by the key of this number.
    pub fn sign(&self, key: Id, secret: &Secret) -> String {
        let mut bytes = key.to_vec();
        bytes.extend(self.id);
        bytes.extend(self.expires.to_be_bytes());
        bytes.push(match self.what {
            Details::State => 0,
            Details::Status => 1,
        });
        for jid in [&self.who, self.of.as_ref().unwrap_or(&String::new())] {
            bytes.extend((jid.len() as u16).to_be_bytes());
            bytes.extend(jid.bytes());
        }
        let signature = mac(secret, &bytes).finalize().into_bytes();
        bytes.extend(&signature[..SIGNATURE]);
        format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes))
    }

    /// Reads a token. `None`: it is none, or not signed by a key of ours. Nothing of it is read before its signature is found good, which
    /// takes the same time wherever it differs.
    pub fn read(text: &str, secret: impl FnOnce(Id) -> Option<Secret>) -> Option<Claims> {
        if text.len() > LONGEST {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode(text.strip_prefix(PREFIX)?).ok()?;
        let (claims, signature) = bytes.split_at_checked(bytes.len().checked_sub(SIGNATURE)?)?;
        let (key, rest) = claims.split_first_chunk::<ID>()?;
        mac(&secret(*key)?, claims).verify_truncated_left(signature).ok()?;
        Claims::parse(rest)
    }

    fn parse(bytes: &[u8]) -> Option<Claims> {
        let (id, bytes) = bytes.split_first_chunk::<ID>()?;
        let (expires, bytes) = bytes.split_first_chunk()?;
        let (what, bytes) = bytes.split_first()?;
        let (who, bytes) = text(bytes)?;
        let (of, _) = text(bytes)?;
        Some(Claims {
            id: *id,
            who: who.to_owned(),
            of: Some(of.to_owned()).filter(|of| !of.is_empty()),
            what: if *what == 1 { Details::Status } else { Details::State },
            expires: u64::from_be_bytes(*expires),
        })
    }
}

fn mac(secret: &Secret, bytes: &[u8]) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("a key may have any length");
    mac.update(bytes);
    mac
}

fn text(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let (length, bytes) = bytes.split_first_chunk()?;
    let (text, rest) = bytes.split_at_checked(u16::from_be_bytes(*length).into())?;
    Some((std::str::from_utf8(text).ok()?, rest))
}

/// A number as keys of records have it.
pub fn hexadecimal(id: &Id) -> String {
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: Id = *b"key 0001";
    const SECRET: Secret = [7; 32];

    fn claims() -> Claims {
        let (who, of) = ("bob@example.com".into(), Some("alice@example.com".into()));
        Claims { id: *b"token 01", who, of, what: Details::Status, expires: 1_800_000_000 }
    }

    fn read(text: &str) -> Option<Claims> {
        Claims::read(text, |key| (key == KEY).then_some(SECRET))
    }

    #[test]
    fn a_token_is_read_as_signed_and_needs_no_escaping() {
        for claims in [claims(), Claims { of: None, what: Details::State, ..claims() }] {
            let text = claims.sign(KEY, &SECRET);
            assert_eq!(read(&text), Some(claims));
            assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)), "{text}");
            assert!(text.len() < 128, "{text}");
        }
    }

    /// Each of the two parts of a bare JID may have 1,023 bytes (RFC 7622 section 3.1).
    #[test]
    fn a_token_of_the_longest_jids_is_one() {
        let jid = |letter: &str| [letter, letter].map(|letter| letter.repeat(1023)).join("@");
        let claims = Claims { who: jid("a"), of: Some(jid("b")), ..claims() };
        let text = claims.sign(KEY, &SECRET);
        assert_eq!((read(&text), text.len()), (Some(claims), LONGEST));
    }

    /// RFC 4231, test case 2: the hash is the one that it says it is.
    #[test]
    fn the_signature_is_hmac_sha_256() {
        let mut mac = Hmac::<Sha256>::new_from_slice(b"Jefe").unwrap();
        mac.update(b"what do ya want for nothing?");
        assert_eq!(mac.finalize().into_bytes()[..4], [0x5b, 0xdc, 0xc1, 0x46]);
    }

    #[test]
    fn a_token_that_was_touched_or_is_of_another_key_is_none() {
        let good = claims().sign(KEY, &SECRET);
        for at in PREFIX.len()..good.len() - 1 {
            let mut bytes = good.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            assert_eq!(read(&String::from_utf8(bytes).unwrap()), None, "{at}");
        }
        assert_eq!(Claims::read(&good, |_| Some([8; 32])), None);
        assert_eq!(Claims::read(&good, |_| None), None);
    }

    #[test]
    fn what_is_no_token_is_none() {
        let good = claims().sign(KEY, &SECRET);
        let long = format!("{PREFIX}{}", "A".repeat(LONGEST));
        for cut in 0..good.len() {
            assert_eq!(read(&good[..cut]), None, "{cut}");
        }
        for other in
            ["", "p1.", "p1.A", "p2.AAAA", "p1.====", "p1.a b", &long, &format!("{good}A"), &format!("{good}=")]
        {
            assert_eq!(read(other), None, "{other}");
        }
        // A key that signs nonsense, which none of ours does.
        let mut bytes = KEY.to_vec();
        bytes.extend([0; 20]);
        let signature = mac(&SECRET, &bytes).finalize().into_bytes();
        bytes.extend(&signature[..SIGNATURE]);
        assert_eq!(read(&format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes))), None);
    }
}
