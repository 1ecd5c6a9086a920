//! Somebody who signs plugins, in the format of minisign.

use std::{fs, path::Path};

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

    /// The section of a configuration by which this author's word counts, and how much.
    pub fn section(&self, policy: &str) -> String {
        format!("[signatures]\npolicy = \"{policy}\"\nkeys = [\"{}\"]\n", self.key())
    }

    /// Puts a file into the folder as `hello.so`, behind its signature.
    #[track_caller]
    pub fn put(&self, file: &PluginFile, folder: &Path) {
        put(file, &self.sign(file, ""), folder);
    }
}

/// Puts a file into the folder as `hello.so`, behind what passes for its signature.
#[track_caller]
pub fn put(file: &PluginFile, signature: &str, folder: &Path) {
    fs::write(folder.join(signature_of("hello.so")), signature).expect("the folder can be written to");
    file.write(folder, "hello.so");
}

/// The name under which the signature of a file lies beside it.
pub fn signature_of(name: &str) -> String {
    format!("{name}.minisig")
}

impl Default for Author {
    fn default() -> Author {
        Author::new()
    }
}
