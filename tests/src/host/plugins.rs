//! What the host says of its plugins.

use serde_json::Value;

use super::{Host, PATIENCE};
use crate::wait;

/// A plugin as `plugin list --json` shows it.
#[derive(Clone, Debug)]
pub struct Deployed(Value);

impl Deployed {
    /// A field as text; empty if it is absent or null.
    pub fn text(&self, field: &str) -> &str {
        self.0[field].as_str().unwrap_or_default()
    }

    /// A field as it is.
    pub fn field(&self, field: &str) -> &Value {
        &self.0[field]
    }

    /// The identity from the manifest; may be empty for a file that is no plugin.
    pub fn id(&self) -> &str {
        self.text("id")
    }

    /// The version that serves.
    pub fn version(&self) -> &str {
        self.text("version")
    }
}

impl Host {
    /// Every plugin the host knows of, by `plugin list --json`.
    #[track_caller]
    pub fn deployed(&self) -> Vec<Deployed> {
        let json = self.command(&["plugin", "list", "--json"]).succeeds();
        let list: Value = serde_json::from_str(&json).unwrap_or_else(|error| panic!("{error} in {json:?}"));
        let list = list.as_array().unwrap_or_else(|| panic!("not an array: {json}"));
        list.iter().cloned().map(Deployed).collect()
    }

    /// How many bytes a plugin says that it has in use, if the console tells of it.
    pub fn memory_of(&self, id: &str) -> Option<u64> {
        let (metrics, name) =
            (self.console().get("/metrics"), format!("host_demo_plugin_memory_bytes{{plugin={id:?}}} "));
        metrics.text().lines().find_map(|line| line.strip_prefix(&name)?.parse().ok())
    }

    /// Waits until a plugin in the list `fits`.
    #[track_caller]
    pub fn until_deployed(&self, what: &str, fits: impl Fn(&Deployed) -> bool) -> Deployed {
        wait::until(PATIENCE, what, || self.deployed().into_iter().find(&fits))
    }

    /// Waits until the given version of a plugin serves.
    #[track_caller]
    pub fn until_version(&self, id: &str, version: &str) -> Deployed {
        let what = format!("{id} {version} serves");
        self.until_deployed(&what, |plugin| {
            plugin.id() == id && plugin.version() == version && plugin.text("state") == "active"
        })
    }

    /// Waits until the host gives a reason, for the file `name`, that contains `words`.
    #[track_caller]
    pub fn until_refused(&self, name: &str, words: &str) -> Deployed {
        let what = format!("{name} is refused because of {words:?}");
        self.until_deployed(&what, |plugin| {
            plugin.text("file").ends_with(name) && plugin.text("reason").contains(words)
        })
    }
}
