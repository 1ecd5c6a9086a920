//! Why a file was not taken, in words that an administrator understands and can act on.

use std::fmt;

use super::{digest::Digest, probation::Misconduct};
use crate::plugin::settings;

/// Who can put it right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Who built the plugin.
    Author,
    /// Who copied it here, or configured this server.
    Administrator,
    /// This machine, or this server.
    Host,
}

/// What lies in the folder under a plugin's name without being a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A symbolic link, dangling or not.
    Link,
    /// A directory.
    Directory,
    /// A named pipe.
    Pipe,
    /// A socket.
    Socket,
    /// A block or character device.
    Device,
}

/// Why a file was not taken. `Display` is one sentence: what is wrong, where, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// A plugin's name, but no regular file.
    NotAFile(Kind),
    /// The system would not let us read it.
    Unreadable(String),
    /// It, or a folder on the way to it, belongs to somebody else.
    Owner {
        /// The file or folder.
        place: String,
        /// The owner's number.
        uid: u32,
    },
    /// It, or a folder on the way to it, can be changed by others.
    Writable {
        /// The file or folder.
        place: String,
        /// Its permission bits.
        mode: u32,
    },
    /// Over the size limit. Nothing of it was read.
    TooLarge {
        /// Its size in bytes.
        size: u64,
        /// The most that is taken.
        limit: u64,
    },
    /// No byte in it.
    Empty,
    /// Not an ELF file at all.
    NotElf {
        /// Its first bytes, printable.
        starts: String,
    },
    /// A static library.
    Archive,
    /// The end is missing.
    Truncated {
        /// What should be there: `section headers`.
        part: &'static str,
        /// Where that part ends.
        ends: u64,
        /// How many bytes there are.
        has: u64,
    },
    /// The size is right, the content is not.
    Damaged(String),
    /// Built for another processor.
    Machine {
        /// What the file is for.
        file: String,
        /// What this host is.
        host: String,
    },
    /// ELF, but not a shared library.
    NotALibrary(&'static str),
    /// A shared library that is no plugin.
    NoManifest,
    /// A manifest that can't be understood.
    Manifest(String),
    /// Built against another major version of the interface.
    Abi {
        /// What the plugin was built with.
        plugin: String,
        /// What this host speaks.
        host: String,
    },
    /// Needs a later version of this host.
    OlderHost {
        /// The lowest that the plugin runs on.
        lowest: String,
        /// What this host is.
        host: String,
    },
    /// Needs interfaces that this host does not have.
    Needs {
        /// What it needs and does not find.
        missing: Vec<String>,
        /// What there is.
        offered: Vec<String>,
    },
    /// No signature beside it.
    Unsigned,
    /// A signature by nobody that the administrator named.
    UnknownKey {
        /// The number of the key.
        key: String,
    },
    /// A signature by a known key, over another content.
    Altered {
        /// The number of the key.
        key: String,
    },
    /// The signature file can't be used.
    Signature(String),
    /// Signed once, and older than the last good version.
    Downgrade {
        /// Its version.
        version: String,
        /// The last good version.
        last: String,
    },
    /// Not the content that the administrator pinned.
    NotPinned {
        /// The plugin.
        id: String,
        /// The hash of the file.
        sha256: Digest,
        /// The hashes that are taken.
        pinned: Vec<Digest>,
    },
    /// Its settings were migrated by a newer version.
    OlderSettings(settings::Downgrade),
    /// Another file holds the same plugin.
    SameId {
        /// The plugin.
        id: String,
        /// The file that stays.
        stays: String,
        /// The file that is refused.
        refused: String,
    },
    /// The content was tried before and took its process down.
    Quarantined {
        /// What it did.
        reason: String,
        /// What to give to `plugin retry`.
        retry: String,
    },
    /// One of its routes can't be mounted.
    Route(String),
    /// The trial process died.
    Crashed {
        /// The signal's name, or the exit code.
        how: String,
        /// The last line it wrote to standard error.
        last_words: Option<String>,
    },
    /// The trial process did not come to an end.
    ProbeTimeout {
        /// How long it had.
        seconds: u64,
    },
    /// The loader, or the check of the interface, said no.
    Load(String),
    /// The plugin's own start said no, or panicked.
    Start(String),
    /// The plugin's start did not return.
    StartTimeout {
        /// How long it had.
        seconds: u64,
    },
    /// It came into service and did not do its work there.
    Misconduct(Misconduct),
    /// Too many versions were loaded since this server was started.
    Budget {
        /// What runs out.
        resource: &'static str,
        /// How much is left.
        left: usize,
        /// How much must be left.
        floor: usize,
    },
    /// The copy could not be kept.
    Staging(String),
    /// On record as good, and this time it took too long: the machine's fault, as far as anybody knows.
    Slow {
        /// What took too long: `trial`.
        step: &'static str,
        /// How long it had.
        seconds: u64,
    },
    /// This host could not do its part.
    Host(String),
}

impl Refusal {
    /// Who can put it right.
    pub fn fault(&self) -> Fault {
        use Refusal::*;
        match self {
            NoManifest | Manifest(_) | Abi { .. } | OlderHost { .. } | Needs { .. } => Fault::Author,
            Quarantined { .. } | Route(_) => Fault::Author,
            Crashed { .. } | ProbeTimeout { .. } | Load(_) | Start(_) | StartTimeout { .. } => Fault::Author,
            Misconduct(_) => Fault::Author,
            Budget { .. } | Staging(_) | Slow { .. } | Host(_) => Fault::Host,
            _ => Fault::Administrator,
        }
    }

    /// Whether the same content may be taken a moment later, with nothing changed in the folder.
    pub fn passes_by_itself(&self) -> bool {
        matches!(self, Refusal::Staging(_) | Refusal::Slow { .. } | Refusal::Host(_))
    }

    /// The same, where the content is on record as good: no time that it takes is held against it.
    pub fn of_good(self) -> Refusal {
        match self {
            Refusal::ProbeTimeout { seconds } => Refusal::Slow { step: "trial", seconds },
            Refusal::StartTimeout { seconds } => Refusal::Slow { step: "start", seconds },
            other => other,
        }
    }

    /// Whether the content took its process down, never came back or failed in service, so that trying it again needs
    /// somebody's word.
    pub fn calls_for_quarantine(&self) -> bool {
        use Refusal::*;
        matches!(self, Crashed { .. } | ProbeTimeout { .. } | StartTimeout { .. } | Misconduct(_))
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use Refusal::*;
        match self {
            NotAFile(kind) => write!(f, "{kind}, not a file: copy the plugin itself into the folder"),
            Unreadable(cause) => write!(f, "can't be read: {cause}"),
            Owner { place, uid } => write!(
                f,
                "refusing: {place} belongs to user {uid}, who could change what is run: chown it to this server's user or root"
            ),
            Writable { place, mode } => write!(
                f,
                "refusing: mode {mode:04o} of {place} lets other users change what is run: chmod go-w {place}"
            ),
            TooLarge { size, limit } => write!(f, "too large: {size} bytes, the limit is {limit}"),
            Empty => f.write_str("empty: copy the plugin again"),
            NotElf { starts } => {
                write!(f, "not a shared library: it begins with \"{starts}\", a Linux library begins with \"\\x7fELF\"")
            }
            Archive => f.write_str("a static library (.a): build the plugin with crate-type = [\"cdylib\"]"),
            Truncated { part, ends, has } => {
                write!(f, "truncated: {part} end at {ends}, file has {has}: copy it again, completely")
            }
            Damaged(what) => write!(f, "damaged: {what}: copy it again"),
            Machine { file, host } => write!(f, "built for {file}, this host is {host}: get the build for this host"),
            NotALibrary(kind) => {
                write!(f, "{kind}, not a shared library: build the plugin with crate-type = [\"cdylib\"]")
            }
            NoManifest => f.write_str(
                "a shared library, but no plugin: it holds no manifest (plugin-api's export_plugin! writes one)",
            ),
            Manifest(cause) => write!(f, "its manifest can't be understood: {cause}"),
            Abi { plugin, host } => {
                write!(f, "built for plugin ABI {plugin}, this host speaks {host}: get a build for ABI {host}")
            }
            OlderHost { lowest, host } => write!(
                f,
                "needs version {lowest} of this host or later, this is {host}: upgrade the host or use an older plugin"
            ),
            Needs { missing, offered } => write!(
                f,
                "needs {}, which this host does not offer (it offers {}): upgrade the host or use an older plugin",
                missing.join(", "),
                offered.join(", ")
            ),
            Unsigned => f.write_str(
                "not signed: no .minisig file beside it: get the signature from its author, or pin its hash in the configuration",
            ),
            UnknownKey { key } => write!(
                f,
                "signed by the unknown key {key}: if you trust it, add it to the keys in the configuration, or pin the hash of \
                 the file"
            ),
            Altered { key } => write!(
                f,
                "changed after signing: the .minisig file beside it is by key {key}, but over another content: get both files again"
            ),
            Signature(cause) => write!(f, "the .minisig file beside it can't be used: {cause}: get it again, or delete it"),
            Downgrade { version, last } => write!(
                f,
                "older than the last good version, {version} after {last}, which a signature does not excuse: use a later build, \
                 or pin the hash of this one in the configuration"
            ),
            NotPinned { id, sha256, pinned } => {
                write!(f, "its SHA-256 is {sha256}, but what is pinned for {id} is ")?;
                let pinned: Vec<_> = pinned.iter().map(ToString::to_string).collect();
                write!(f, "{}: get that build, or change the pin in the configuration", pinned.join(" or "))
            }
            OlderSettings(downgrade) => downgrade.fmt(f),
            SameId { id, stays, refused } => {
                write!(f, "{refused} holds the plugin {id}, which {stays} serves already: delete one of the two files")
            }
            Quarantined { reason, retry } => {
                write!(
                    f,
                    "quarantined, this content was tried before: {reason}; to try once more: plugin retry {retry}"
                )
            }
            Route(conflict) => write!(f, "its routes can't be served: {conflict}"),
            Crashed { how, last_words } => {
                write!(f, "crashed in its trial process: {how}")?;
                last_words.iter().try_for_each(|line| write!(f, ", after \"{line}\""))
            }
            ProbeTimeout { seconds } => write!(f, "hung in its trial process: killed after {seconds} s"),
            Load(cause) => write!(f, "can't be loaded: {cause}"),
            Start(cause) => write!(f, "did not start: {cause}"),
            StartTimeout { seconds } => write!(f, "did not start: no answer within {seconds} s"),
            Misconduct(misconduct) => misconduct.fmt(f),
            Budget { resource, left, floor } => write!(
                f,
                "too many versions were loaded since the start, {resource} run out ({left} left, {floor} must stay free): \
                 restart to reclaim"
            ),
            Staging(cause) => write!(f, "no copy could be kept in the state folder: {cause}; tried again by itself"),
            Slow { step, seconds } => write!(
                f,
                "it ran well before, and now its {step} takes more than {seconds} s; tried again by itself, after longer and longer pauses"
            ),
            Host(cause) => write!(f, "this host failed: {cause}; tried again by itself"),
        }
    }
}

impl std::error::Error for Refusal {}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Link => "a symbolic link",
            Kind::Directory => "a directory",
            Kind::Pipe => "a named pipe",
            Kind::Socket => "a socket",
            Kind::Device => "a device",
        })
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Fault::Author => "author",
            Fault::Administrator => "administrator",
            Fault::Host => "host",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_truncated_file_is_told_in_figures() {
        let refusal = Refusal::Truncated { part: "section headers", ends: 5_321, has: 4_096 };
        assert_eq!(
            refusal.to_string(),
            "truncated: section headers end at 5321, file has 4096: copy it again, completely"
        );
        assert_eq!(refusal.fault(), Fault::Administrator);
    }

    #[test]
    fn modes_are_octal() {
        let refusal = Refusal::Writable { place: "plugins/x.so".into(), mode: 0o777 };
        assert!(refusal.to_string().starts_with("refusing: mode 0777 of plugins/x.so"), "{refusal}");
    }

    #[test]
    fn only_what_the_host_lacked_passes_by_itself() {
        assert!(Refusal::Staging("no space left".into()).passes_by_itself());
        assert!(!Refusal::Empty.passes_by_itself());
        assert!(Refusal::ProbeTimeout { seconds: 5 }.calls_for_quarantine());
        assert!(!Refusal::Start("no".into()).calls_for_quarantine());
    }

    #[test]
    fn no_time_is_held_against_what_is_good() {
        for slow in [Refusal::ProbeTimeout { seconds: 5 }, Refusal::StartTimeout { seconds: 10 }] {
            assert!(slow.calls_for_quarantine() && !slow.passes_by_itself());
            let slow = slow.of_good();
            assert!(!slow.calls_for_quarantine() && slow.passes_by_itself(), "{slow}");
        }
        assert_eq!(Refusal::Start("no".into()).of_good(), Refusal::Start("no".into()));
    }
}
