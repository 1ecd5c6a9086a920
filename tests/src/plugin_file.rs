//! Plugin files: builds made of one another by changing bytes, whole and in pieces.

use std::{
    fs,
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};

use crate::artefacts::artefacts;

/// The name of the manifest note, as it stands in the file behind the note's three numbers.
const NOTE_NAME: &[u8] = b"plugin\0\0";
/// How many bytes of numbers stand in front of the name of a note: size of name, size of descriptor, type.
const NOTE_NUMBERS: usize = 12;

/// The bytes of a plugin file.
#[derive(Clone)]
pub struct PluginFile(Vec<u8>);

impl PluginFile {
    /// Reads a built plugin.
    #[track_caller]
    pub fn read(path: &Path) -> PluginFile {
        PluginFile(fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
    }

    /// A build of the fixture `hello` that says this version, of five characters, in its manifest and in its answers.
    #[track_caller]
    pub fn hello(version: &str) -> PluginFile {
        PluginFile::read(artefacts().fixture("hello")).with_build(version)
    }

    /// Another build of a fixture that says `1.0.0` in its manifest and in its answers.
    #[track_caller]
    pub fn with_build(&self, version: &str) -> PluginFile {
        self.with_version(version).with_text("this is build 1.0.0", &format!("this is build {version}"))
    }

    /// Another build: the same plugin whose manifest says `version`, which must be as long as the one it says now.
    #[track_caller]
    pub fn with_version(&self, version: &str) -> PluginFile {
        let (start, end) = self.descriptor();
        let key = b"\nversion=";
        let place = start + find(&self.0[start..end], key).expect("the manifest has a version") + key.len();
        let length = find(&self.0[place..end], b"\n").expect("a line ends");
        assert_eq!(length, version.len(), "the note has no room for another length");
        let mut bytes = self.0.clone();
        bytes[place..place + length].copy_from_slice(version.as_bytes());
        PluginFile(bytes)
    }

    /// The same file with every `old` replaced by `new`, of the same length.
    #[track_caller]
    pub fn with_text(&self, old: &str, new: &str) -> PluginFile {
        assert_eq!(old.len(), new.len(), "nothing may move");
        let mut bytes = self.0.clone();
        let mut from = 0;
        while let Some(distance) = find(&bytes[from..], old.as_bytes()) {
            let (place, end) = (from + distance, from + distance + new.len());
            bytes[place..end].copy_from_slice(new.as_bytes());
            from = end;
        }
        assert!(from > 0, "{old:?} is not in the file");
        PluginFile(bytes)
    }

    /// The first `numerator` of `denominator` parts.
    pub fn truncated(&self, numerator: usize, denominator: usize) -> PluginFile {
        PluginFile(self.0[..self.0.len() * numerator / denominator].to_vec())
    }

    /// The same file with `bytes` in the place of what stands at `offset`.
    #[track_caller]
    pub fn with_bytes(&self, offset: usize, bytes: &[u8]) -> PluginFile {
        let mut patched = self.0.clone();
        patched[offset..offset + bytes.len()].copy_from_slice(bytes);
        PluginFile(patched)
    }

    /// The same file with nothing but zeros from `numerator` of `denominator` parts on.
    pub fn with_zeros_from(&self, numerator: usize, denominator: usize) -> PluginFile {
        let mut bytes = self.0.clone();
        let from = bytes.len() * numerator / denominator;
        bytes[from..].fill(0);
        PluginFile(bytes)
    }

    /// The content.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Its SHA-256, as the host shows it.
    pub fn sha256(&self) -> String {
        Sha256::digest(&self.0).iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// How the lines of the log that are about this content tell it from others.
    pub fn about(&self) -> String {
        format!(" sha256={:.12}.. ", self.sha256())
    }

    /// Writes the file into `folder` and returns its path.
    #[track_caller]
    pub fn write(&self, folder: &Path, name: &str) -> PathBuf {
        let path = folder.join(name);
        fs::write(&path, &self.0).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        path
    }

    /// The text of its manifest.
    #[track_caller]
    pub fn manifest(&self) -> &str {
        let (start, end) = self.descriptor();
        std::str::from_utf8(&self.0[start..end]).expect("a manifest is text")
    }

    /// Where the descriptor of the manifest note stands.
    #[track_caller]
    fn descriptor(&self) -> (usize, usize) {
        let name = find(&self.0, &[&[1, 0, 0, 0], NOTE_NAME].concat()).expect("the file holds a manifest note") + 4;
        let numbers = &self.0[name - NOTE_NUMBERS..name];
        let length = u32::from_le_bytes([numbers[4], numbers[5], numbers[6], numbers[7]]);
        let start = name + NOTE_NAME.len();
        (start, start + usize::try_from(length).expect("a note is small"))
    }
}

/// Libraries have megabytes, and tests are not optimised: the search must not be naive.
fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    memchr::memmem::find(bytes, wanted)
}
