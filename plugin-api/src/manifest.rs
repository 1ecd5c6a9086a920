//! The manifest: what a plugin says of itself in an ELF note, readable from the file's bytes before any of its code runs.
//!
//! The note stands in a section and segment of its own ([`SECTION`]), with the name [`NOTE_NAME`] and the type
//! [`NOTE_TYPE`]. Its descriptor is UTF-8 text, a `key=value` a line; blank lines and unknown keys are passed over, so that
//! later hosts can add keys. [`export_plugin!`](crate::export_plugin) writes it from the package's own data.

use std::fmt;

/// The ELF section that holds the note.
pub const SECTION: &str = ".note.plugin";
/// The name of the note, without its terminating NUL.
pub const NOTE_NAME: &str = "plugin";
/// The type of the note.
pub const NOTE_TYPE: u32 = 1;
/// The longest id.
pub const MAX_ID: usize = 64;

/// What a plugin says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// The identity, and the name of the mount: `/plugins/<id>/`. 1 to 64 of `a-z`, `0-9` and `-`, not beginning with `-`.
    pub id: String,
    /// The plugin's own version.
    pub version: String,
    /// A name for people.
    pub name: String,
    /// One sentence on what it does.
    pub description: String,
    /// Who wrote it, separated by colons as Cargo does.
    pub authors: String,
    /// An SPDX expression.
    pub license: String,
    /// The version of the ABI that it was built for, [`abi::VERSION`](crate::abi::VERSION).
    pub abi: String,
    /// The lowest version of the host that it runs on, one to three numbers: `0.2.0`. `None`: any that has what it needs.
    pub min_host: Option<String>,
    /// The ids of the host interfaces that it cannot do without.
    pub needs: Vec<String>,
    /// The ids of the host interfaces that it uses where they are.
    pub wants: Vec<String>,
    /// The version of its settings, [`Plugin::SETTINGS_VERSION`](crate::Plugin::SETTINGS_VERSION).
    pub settings_version: u32,
    /// Whether it reads settings of newer versions, [`Plugin::READS_NEWER_SETTINGS`](crate::Plugin::READS_NEWER_SETTINGS).
    pub reads_newer_settings: bool,
    /// The target triple that it was built for.
    pub target: String,
    /// The version of the compiler that built it.
    pub rustc: String,
}

/// Why a note is no manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ManifestError {
    /// The descriptor is not UTF-8.
    NotText,
    /// A line without `=`.
    NotKeyValue(String),
    /// A key that must be there is not.
    Missing(&'static str),
    /// The id holds other characters than it may, or too many.
    BadId(String),
    /// The version of the settings is no number from 1 on.
    BadSettingsVersion(String),
    /// The lowest version of the host is no version.
    BadMinHost(String),
}

impl fmt::Display for ManifestError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ManifestError::NotText => write!(out, "the manifest is not UTF-8 text"),
            ManifestError::NotKeyValue(line) => {
                write!(out, "the manifest's line {line:?} is not of the form key=value")
            }
            ManifestError::Missing(key) => write!(out, "the manifest has no {key}"),
            ManifestError::BadId(id) => {
                write!(out, "the manifest's id {id:?} is not 1 to {MAX_ID} of a-z, 0-9 and '-', beginning with no '-'")
            }
            ManifestError::BadSettingsVersion(text) => {
                write!(out, "the manifest's settings_version {text:?} is no whole number from 1 on")
            }
            ManifestError::BadMinHost(text) => {
                write!(out, "the manifest's min_host {text:?} is not one to three numbers with dots between: 0.2.0")
            }
        }
    }
}

impl std::error::Error for ManifestError {}

impl Manifest {
    /// Reads the descriptor of the note.
    pub fn parse(descriptor: &[u8]) -> Result<Manifest, ManifestError> {
        let text = std::str::from_utf8(descriptor).map_err(|_| ManifestError::NotText)?;
        let mut pairs = Vec::new();
        for line in text.lines().filter(|line| !line.is_empty()) {
            pairs
                .push(line.split_once('=').ok_or_else(|| ManifestError::NotKeyValue(line.chars().take(80).collect()))?);
        }
        let find = |key| pairs.iter().find(|(known, _)| *known == key).map(|(_, value)| value.to_string());
        let required = |key| find(key).filter(|value| !value.is_empty()).ok_or(ManifestError::Missing(key));
        let optional = |key| find(key).unwrap_or_default();
        let list = |key| optional(key).split(',').filter(|item| !item.is_empty()).map(Into::into).collect();
        let id = required("id")?;
        if !is_id(&id) {
            return Err(ManifestError::BadId(id.chars().take(MAX_ID).collect()));
        }
        let settings_version = match optional("settings_version").as_str() {
            "" => 1,
            text => settings_version(text)?,
        };
        Ok(Manifest {
            id,
            version: required("version")?,
            name: optional("name"),
            description: optional("description"),
            authors: optional("authors"),
            license: optional("license"),
            abi: required("abi")?,
            min_host: find("min_host").map(min_host).transpose()?,
            needs: list("needs"),
            wants: list("wants"),
            settings_version,
            reads_newer_settings: optional("reads_newer_settings") == "true",
            target: required("target")?,
            rustc: optional("rustc"),
        })
    }
}

fn settings_version(text: &str) -> Result<u32, ManifestError> {
    let version = text.parse().ok().filter(|version| *version > 0);
    version.ok_or_else(|| ManifestError::BadSettingsVersion(text.chars().take(80).collect()))
}

fn min_host(text: String) -> Result<String, ManifestError> {
    if is_host_version(&text) { Ok(text) } else { Err(ManifestError::BadMinHost(text.chars().take(80).collect())) }
}

/// One to three numbers, of nine digits at most, with dots between.
const fn is_host_version(text: &str) -> bool {
    let bytes = text.as_bytes();
    let (mut index, mut dots, mut digits) = (0, 0, 0);
    while index < bytes.len() {
        match bytes[index] {
            b'0'..=b'9' => digits += 1,
            b'.' if digits > 0 => (dots, digits) = (dots + 1, 0),
            _ => return false,
        }
        if digits > 9 {
            return false;
        }
        index += 1;
    }
    digits > 0 && dots < 3
}

const fn is_id(id: &str) -> bool {
    let bytes = id.as_bytes();
    let mut index = 0;
    while index < bytes.len() {
        if !matches!(bytes[index], b'a'..=b'z' | b'0'..=b'9' | b'-') {
            return false;
        }
        index += 1;
    }
    !bytes.is_empty() && bytes.len() <= MAX_ID && bytes[0] != b'-'
}

/// The note as it stands in the file.
#[doc(hidden)]
#[repr(C, align(4))]
pub struct Note<const LENGTH: usize> {
    name_size: u32,
    descriptor_size: u32,
    kind: u32,
    name: [u8; 8],
    descriptor: [u8; LENGTH],
}

/// The values that [`export_plugin!`](crate::export_plugin) puts into the note.
#[doc(hidden)]
pub struct Source {
    pub id: &'static str,
    pub version: &'static str,
    pub name: &'static str,
    pub description: &'static str,
    pub authors: &'static str,
    pub license: &'static str,
    pub min_host: Option<&'static str>,
    pub needs: &'static [&'static str],
    pub wants: &'static [&'static str],
    pub settings_version: u32,
    pub reads_newer_settings: bool,
}

impl Source {
    const fn lines(&self) -> [(&'static str, &'static str); 9] {
        [
            ("id", self.id),
            ("version", self.version),
            ("name", self.name),
            ("description", self.description),
            ("authors", self.authors),
            ("license", self.license),
            ("abi", crate::abi::VERSION),
            ("target", env!("PLUGIN_TARGET")),
            ("rustc", env!("PLUGIN_RUSTC")),
        ]
    }

    /// The length of the descriptor: a multiple of four, so that nothing needs padding behind it.
    #[doc(hidden)]
    pub const fn length(&self) -> usize {
        let mut counter = Writer { bytes: [0; 0], length: 0 };
        self.write(&mut counter);
        counter.length.next_multiple_of(4)
    }

    /// Makes the note. `LENGTH` must be [`length`](Source::length); what no host takes does not compile.
    #[doc(hidden)]
    pub const fn note<const LENGTH: usize>(&self) -> Note<LENGTH> {
        assert!(is_id(self.id), "a plugin's id is 1 to 64 of a-z, 0-9 and '-', beginning with no '-'");
        assert!(self.settings_version > 0, "the first version of a plugin's settings is 1");
        if let Some(version) = self.min_host {
            assert!(is_host_version(version), "min_host is one to three numbers with dots between: \"0.2.0\"");
        }
        let mut writer = Writer { bytes: [b'\n'; LENGTH], length: 0 };
        self.write(&mut writer);
        Note {
            name_size: NOTE_NAME.len() as u32 + 1,
            descriptor_size: LENGTH as u32,
            kind: NOTE_TYPE,
            name: *b"plugin\0\0",
            descriptor: writer.bytes,
        }
    }

    const fn write<const LENGTH: usize>(&self, writer: &mut Writer<LENGTH>) {
        let lines = self.lines();
        let mut index = 0;
        while index < lines.len() {
            writer.text(lines[index].0);
            writer.byte(b'=');
            writer.text(lines[index].1);
            writer.byte(b'\n');
            index += 1;
        }
        if let Some(version) = self.min_host {
            writer.text("min_host=");
            writer.text(version);
            writer.byte(b'\n');
        }
        writer.list("needs=", self.needs);
        writer.list("wants=", self.wants);
        writer.text("settings_version=");
        writer.number(self.settings_version);
        writer.byte(b'\n');
        if self.reads_newer_settings {
            writer.text("reads_newer_settings=true");
            writer.byte(b'\n');
        }
    }
}

/// Writes into an array while compiling; with an array of no length it only counts.
struct Writer<const LENGTH: usize> {
    bytes: [u8; LENGTH],
    length: usize,
}

impl<const LENGTH: usize> Writer<LENGTH> {
    /// A line break within a value would end its line: it becomes a space.
    const fn text(&mut self, text: &str) {
        let bytes = text.as_bytes();
        let mut index = 0;
        while index < bytes.len() {
            self.byte(if matches!(bytes[index], b'\n' | b'\r') { b' ' } else { bytes[index] });
            index += 1;
        }
    }

    const fn list(&mut self, key: &str, items: &[&str]) {
        self.text(key);
        let mut index = 0;
        while index < items.len() {
            if index > 0 {
                self.byte(b',');
            }
            self.text(items[index]);
            index += 1;
        }
        self.byte(b'\n');
    }

    const fn number(&mut self, number: u32) {
        if number >= 10 {
            self.number(number / 10);
        }
        self.byte(b'0' + (number % 10) as u8);
    }

    const fn byte(&mut self, byte: u8) {
        if LENGTH > 0 {
            self.bytes[self.length] = byte;
        }
        self.length += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: Source = Source {
        id: "hello",
        version: "1.2.3",
        name: "Hello",
        description: "Greets\neverybody",
        authors: "A <a@example.com>:B",
        license: "MIT",
        min_host: Some("0.2.0"),
        needs: &["host.presence/1", "host.roster/1"],
        wants: &["host.data/1"],
        settings_version: 12,
        reads_newer_settings: true,
    };

    #[test]
    fn what_is_written_is_read_back() {
        const LENGTH: usize = SOURCE.length();
        static NOTE: Note<LENGTH> = SOURCE.note();
        let manifest = Manifest::parse(&NOTE.descriptor).expect("our own note parses");
        assert_eq!(manifest.id, "hello");
        assert_eq!(manifest.version, "1.2.3");
        assert_eq!(manifest.description, "Greets everybody");
        assert_eq!(manifest.min_host.as_deref(), Some("0.2.0"));
        assert_eq!(manifest.needs, ["host.presence/1", "host.roster/1"]);
        assert_eq!(manifest.wants, ["host.data/1"]);
        assert_eq!((manifest.settings_version, manifest.reads_newer_settings), (12, true));
        assert_eq!(manifest.abi, crate::abi::VERSION);
        assert_eq!(LENGTH % 4, 0);
    }

    #[test]
    fn a_faulty_note_is_refused_by_name() {
        assert_eq!(Manifest::parse(b"\xff"), Err(ManifestError::NotText));
        assert_eq!(Manifest::parse(b"id"), Err(ManifestError::NotKeyValue("id".into())));
        assert_eq!(Manifest::parse(b"version=1\n"), Err(ManifestError::Missing("id")));
        let zero = b"id=a\nversion=1\nabi=0.1\ntarget=t\nsettings_version=0\n";
        assert_eq!(Manifest::parse(zero), Err(ManifestError::BadSettingsVersion("0".into())));
        for text in ["", "1.x", "0.1.2.3", ".1", "1..2", "1.", "0.2.0-rc.1", "1234567890"] {
            let note = format!("id=a\nversion=1\nabi=0.1\ntarget=t\nmin_host={text}\n");
            assert_eq!(Manifest::parse(note.as_bytes()), Err(ManifestError::BadMinHost(text.into())));
        }
        let escape = b"id=../etc\nversion=1\nabi=0.1\ntarget=t\n";
        assert_eq!(Manifest::parse(escape), Err(ManifestError::BadId("../etc".into())));
    }

    #[test]
    fn unknown_keys_are_passed_over() {
        let manifest = Manifest::parse(b"future=1\nid=a\nversion=1\nabi=0.1\ntarget=t\n\n").unwrap();
        assert_eq!((manifest.id.as_str(), manifest.needs.len()), ("a", 0));
        assert_eq!((manifest.settings_version, manifest.reads_newer_settings, manifest.min_host), (1, false, None));
    }
}
