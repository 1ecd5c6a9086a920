//! Somebody who signs plugins, in the format of minisign.

use minisign::KeyPair;

use crate::plugin_file::PluginFile;

/// A pair of keys that lives as long as the test.
pub struct Author(KeyPair);

impl Author {
    /// Makes the keys.
    pub fn new() -> Author {
        Author(KeyPair::generate_unencrypted_keypair().expect("the system has random numbers"))
    }

    /// The public key, as it stands in a configuration.
    pub fn key(&self) -> String {
        self.0.pk.to_base64()
    }

    /// The text of a signature over this file, with `comment` under the author's word too.
    pub fn sign(&self, file: &PluginFile, comment: &str) -> String {
        let signed = minisign::sign(None, &self.0.sk, file.bytes(), Some(comment), None);
        signed.expect("a key without a password signs").into_string()
    }
}

impl Default for Author {
    fn default() -> Author {
        Author::new()
    }
}
