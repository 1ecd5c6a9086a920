//! What the administrator sees of the way of a file: one row a version in `plugin list`, one log line a step.

use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering},
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{digest::Digest, refusal::Refusal, vouch::Voucher};

/// Where a version is on its way. In logs these names are in capitals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// In service.
    Active,
    /// Switched off by the administrator.
    Disabled,
    /// Not taken; the row says why.
    Refused,
    /// In the folder, and still changing.
    Seen,
    /// Unchanged for a moment.
    Settled,
    /// Copied out of the folder.
    Staged,
    /// A whole plugin that fits this host.
    Checked,
    /// Passed its trial.
    Probed,
    /// Mapped into this process.
    Loaded,
    /// Its start returned.
    Started,
    /// Out of service: its last requests come to their end.
    Draining,
    /// Ended.
    Stopped,
    /// Ended, and mapped until this server ends.
    Retired,
}

impl State {
    /// Its name in lists and metrics.
    pub fn name(self) -> &'static str {
        match self {
            State::Active => "active",
            State::Disabled => "disabled",
            State::Refused => "refused",
            State::Seen => "seen",
            State::Settled => "settled",
            State::Staged => "staged",
            State::Checked => "checked",
            State::Probed => "probed",
            State::Loaded => "loaded",
            State::Started => "started",
            State::Draining => "draining",
            State::Stopped => "stopped",
            State::Retired => "retired",
        }
    }
}

/// Its name in logs.
impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name().to_uppercase())
    }
}

/// A row of `plugin list`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginStatus {
    /// The plugin, where the file could be read so far.
    pub id: Option<String>,
    /// Its version.
    pub version: Option<String>,
    /// Where it is on its way.
    pub state: State,
    /// The name of its file in the drop folder.
    pub file: Option<String>,
    /// The hash of its content.
    pub sha256: Option<String>,
    /// The full patterns of its routes, while it is active.
    pub routes: Vec<String>,
    /// Why it is in this state, or what is wrong with the file on disk.
    pub reason: Option<String>,
    /// The number of this version among those of the plugin that were loaded since the start.
    pub generation: Option<u64>,
    /// How many ended versions of the plugin are still mapped.
    pub retired: u64,
    /// Since when it is in this state, RFC 3339.
    #[serde(with = "rfc3339")]
    pub since: Timestamp,
}

mod rfc3339 {
    use jiff::Timestamp;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(time)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

impl PluginStatus {
    /// What is wrong, as opposed to what is taken with a warning.
    pub fn trouble(&self) -> Option<&str> {
        self.reason.as_deref().filter(|reason| !reason.starts_with(Voucher::TAKEN))
    }
}

/// Who set a version on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Actor {
    /// A change in the drop folder.
    File,
    /// The start of this server.
    Start,
    /// A command of the administrator's.
    Command,
    /// What a version did in its first seconds in service.
    Health,
    /// The end of this server.
    Shutdown,
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Actor::File => "file",
            Actor::Start => "start",
            Actor::Command => "command",
            Actor::Health => "health",
            Actor::Shutdown => "shutdown",
        })
    }
}

/// Whom a log line is about: as much of a version as is known so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// The plugin and its version, or else the file's name.
    pub name: String,
    /// The hash of its content.
    pub sha256: Option<Digest>,
}

impl Subject {
    /// A version whose manifest was read.
    pub fn plugin(id: &str, version: &str, sha256: Digest) -> Subject {
        Subject { name: format!("{id} {version}"), sha256: Some(sha256) }
    }

    /// A file of which no more than the name is known.
    pub fn file(name: impl fmt::Display) -> Subject {
        Subject { name: name.to_string(), sha256: None }
    }

    /// Writes the line of a step.
    pub fn step(&self, from: State, to: State, actor: Actor) {
        log::info!("{self} {from} -> {to} actor={actor}");
    }

    /// Writes the line of something that leads to no other state.
    pub fn stays(&self, what: &str) {
        log::info!("{self}: {what}");
    }

    /// Writes the line of something that is taken with a doubt.
    pub fn doubted(&self, doubt: &str) {
        log::warn!("{self}: {doubt}");
    }

    /// Writes the line of a refusal.
    pub fn refused(&self, from: State, refusal: &Refusal, actor: Actor) {
        log::warn!("{self} {from} -> REFUSED actor={actor} fault={}: {refusal}", refusal.fault());
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "plugin {}", self.name)?;
        match self.sha256 {
            // Enough to tell the versions of one plugin apart in a log.
            Some(digest) => write!(f, " sha256={:.12}..", digest.to_string()),
            None => f.write_str(" sha256=-"),
        }
    }
}

/// What is counted, for metrics.
#[derive(Debug, Default)]
pub struct Counters {
    loads: AtomicU64,
    refusals: AtomicU64,
    retired: AtomicU64,
}

impl Counters {
    /// Versions that came into service.
    pub fn loads(&self) -> u64 {
        self.loads.load(Ordering::Relaxed)
    }

    /// Contents that were refused.
    pub fn refusals(&self) -> u64 {
        self.refusals.load(Ordering::Relaxed)
    }

    /// Ended versions, which stay mapped.
    pub fn retired(&self) -> u64 {
        self.retired.load(Ordering::Relaxed)
    }

    pub(super) fn count_load(&self) {
        self.loads.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_refusal(&self) {
        self.refusals.fetch_add(1, Ordering::Relaxed);
    }

    /// Answers how many there are now.
    pub(super) fn count_retired(&self) -> u64 {
        self.retired.fetch_add(1, Ordering::Relaxed) + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_json_has_the_promised_keys() {
        let status = PluginStatus {
            id: Some("presence".into()),
            version: None,
            state: State::Active,
            file: None,
            sha256: None,
            routes: Vec::new(),
            reason: None,
            generation: Some(1),
            retired: 0,
            since: Timestamp::from_second(0).unwrap(),
        };
        let json = serde_json::to_value(&status).unwrap();
        let keys: Vec<_> = json.as_object().unwrap().keys().map(String::as_str).collect();
        let mut promised =
            ["id", "version", "state", "file", "sha256", "routes", "reason", "generation", "retired", "since"];
        promised.sort_unstable();
        let mut keys = keys;
        keys.sort_unstable();
        assert_eq!(keys, promised);
        assert_eq!((&json["state"], &json["since"]), (&"active".into(), &"1970-01-01T00:00:00Z".into()));
        assert_eq!(serde_json::from_value::<PluginStatus>(json).unwrap(), status);
    }

    #[test]
    fn a_log_line_says_who_and_what() {
        let digest = Digest::of(b"abc");
        assert_eq!(
            Subject::plugin("presence", "0.1.0", digest).to_string(),
            "plugin presence 0.1.0 sha256=ba7816bf8f01.."
        );
        assert_eq!(Subject::file("x.so").to_string(), "plugin x.so sha256=-");
        assert_eq!(State::Settled.to_string(), "SETTLED");
    }
}
