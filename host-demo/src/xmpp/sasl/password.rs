//! From a password to what is stored of it, and to what stands in for an account that does not exist.
//!
//! Only the keys of SCRAM are stored (RFC 5802 section 3): they verify a password and are of no use to log in with.

use std::{fmt, path::Path};

use stringprep::saslprep;
use subtle::ConstantTimeEq;

use super::hash::Hash;
use crate::{
    store::{Credentials, Keys},
    xmpp::{
        private_file::{self, PrivateFileError},
        random,
    },
};

/// How often a password is hashed: what RFC 5802 and RFC 7677 ask for at least. The client bears the cost at each login;
/// with 10,000 the hash alone takes 3.9 of the 5 ms of processor time that 400 logins a second leave to each on two cores.
const ITERATIONS: u32 = 4096;
const SALT_BYTES: usize = 16;

/// A password that can't be one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PasswordError {
    /// Nothing is left of it after normalisation.
    Empty,
    /// It holds a character that SASLprep (RFC 4013) prohibits, a control character for instance.
    Prohibited,
}

impl fmt::Display for PasswordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PasswordError::Empty => "the password is empty",
            PasswordError::Prohibited => {
                "the password holds a character that XMPP clients can't send (a control or unassigned character, or a \
                 mix of writing directions)"
            }
        })
    }
}

impl std::error::Error for PasswordError {}

/// Makes what is stored of a new password, with fresh salts.
pub fn derive(password: &str) -> Result<Credentials, PasswordError> {
    let password = saslprep(password).map_err(|_| PasswordError::Prohibited)?;
    if password.is_empty() {
        return Err(PasswordError::Empty);
    }
    let keys = |hash| keys(hash, &password, random::bytes::<SALT_BYTES>().to_vec(), ITERATIONS);
    Ok(Credentials { scram_sha_1: keys(Hash::Sha1), scram_sha_256: keys(Hash::Sha256) })
}

/// Whether `password`, as a client sent it, belongs to `keys`. As costly for a wrong one as for the right one.
pub fn verify(password: &str, keys: &Keys) -> bool {
    // One that SASLprep refuses was never stored: the work is done all the same, and in vain.
    let prepared = saslprep(password).unwrap_or_default();
    let offered = self::keys(Hash::Sha256, &prepared, keys.salt.clone(), keys.iterations);
    !prepared.is_empty() & bool::from(offered.stored_key.ct_eq(&keys.stored_key))
}

/// The keys of a password (RFC 5802 section 3).
pub(super) fn keys(hash: Hash, password: &str, salt: Vec<u8>, iterations: u32) -> Keys {
    let salted = hash.salted_password(password, &salt, iterations);
    Keys {
        stored_key: hash.digest(&hash.hmac(&salted, b"Client Key")),
        server_key: hash.hmac(&salted, b"Server Key"),
        salt,
        iterations,
    }
}

/// Credentials for accounts that do not exist: the same at each try, and of no password.
pub struct Decoys {
    secret: [u8; 32],
}

impl Decoys {
    /// Reads the secret behind the decoys from the state folder, or makes it. A secret made anew at each start would
    /// show in the salts which accounts are invented.
    pub fn open(state: &Path) -> Result<Decoys, PrivateFileError> {
        let bytes = private_file::read_or_create(&state.join("sasl-secret"), || random::bytes::<32>().to_vec())?;
        Ok(Decoys { secret: Hash::Sha256.digest(&bytes).try_into().expect("SHA-256 gives 32 bytes") })
    }

    /// What a client sees of an account that does not exist.
    pub fn credentials(&self, user: &str) -> Credentials {
        Credentials { scram_sha_1: self.keys(user, Hash::Sha1), scram_sha_256: self.keys(user, Hash::Sha256) }
    }

    fn keys(&self, user: &str, hash: Hash) -> Keys {
        let made = |what: &str| hash.hmac(&self.secret, format!("{what}\0{user}").as_bytes());
        let mut salt = made("salt");
        salt.truncate(SALT_BYTES);
        Keys { salt, iterations: ITERATIONS, stored_key: made("stored key"), server_key: made("server key") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_verified_in_any_spelling_of_it() {
        let credentials = derive("pass\u{AD}word I\u{2168}").unwrap();
        assert!(verify("password IIX", &credentials.scram_sha_256));
        assert!(!verify("password", &credentials.scram_sha_256));
        assert!(!verify("", &credentials.scram_sha_256));
        assert!(!verify("\u{7}", &credentials.scram_sha_256));
    }

    #[test]
    fn what_no_client_can_send_is_no_password() {
        assert_eq!(derive("").err(), Some(PasswordError::Empty));
        assert_eq!(derive("\u{AD}").err(), Some(PasswordError::Empty));
        assert_eq!(derive("bell\u{7}").err(), Some(PasswordError::Prohibited));
    }

    #[test]
    fn a_decoy_looks_like_an_account_and_stays_the_same() {
        let state = tempfile::tempdir().unwrap();
        let first = Decoys::open(state.path()).unwrap().credentials("nobody@x");
        let second = Decoys::open(state.path()).unwrap().credentials("nobody@x");
        let real = derive("secret").unwrap();
        for (first, second, real) in [
            (&first.scram_sha_1, &second.scram_sha_1, &real.scram_sha_1),
            (&first.scram_sha_256, &second.scram_sha_256, &real.scram_sha_256),
        ] {
            assert_eq!(first.salt, second.salt);
            assert_eq!((first.salt.len(), first.iterations), (real.salt.len(), real.iterations));
            assert_eq!(first.stored_key.len(), real.stored_key.len());
        }
        assert_ne!(first.scram_sha_1.salt, first.scram_sha_256.salt);
        assert!(!verify("secret", &first.scram_sha_256));
    }
}
