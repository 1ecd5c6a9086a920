//! Plugins as the administrator sees them.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Acting, Answer, Executor, Refusal, Reply, Running};
use crate::store::{PluginRecord, StoreError};

/// A plugin and its state. As JSON it is an object of `plugin list --json`: scripts depend on its keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginStatus {
    /// Its id.
    pub id: String,
    /// Its version.
    pub version: String,
    /// Its state: `active`, `refused`, `disabled`, `stopped`...
    pub state: String,
    /// The name of its file in the plugins folder.
    pub file: String,
    /// The SHA-256 of the file, in lower-case hexadecimal.
    pub sha256: String,
    /// The full patterns of its routes.
    pub routes: Vec<String>,
    /// Why it is in that state, where there is something to say.
    pub reason: Option<String>,
    /// The number of this generation.
    pub generation: u64,
    /// How many earlier generations are still mapped.
    pub retired: u64,
    /// When it got into its state; in JSON as RFC 3339, in UTC.
    #[serde(with = "rfc3339")]
    pub since: Timestamp,
}

/// A plugin of a host that does not run: nothing of it is active.
impl From<PluginRecord> for PluginStatus {
    fn from(record: PluginRecord) -> Self {
        PluginStatus {
            state: if record.disabled { "disabled" } else { "stopped" }.into(),
            since: Timestamp::from_millisecond(record.since).unwrap_or(Timestamp::UNIX_EPOCH),
            id: record.id,
            version: record.version,
            file: record.file,
            sha256: record.sha256,
            routes: record.routes,
            reason: record.reason,
            generation: record.generation,
            retired: 0,
        }
    }
}

impl Executor {
    pub(super) fn plugins(&self) -> Result<Vec<PluginStatus>, Refusal> {
        match &self.running {
            Some(host) => Ok(host.plugins()),
            None => Ok(self.store.plugins()?.into_iter().map(PluginStatus::from).collect()),
        }
    }

    pub(super) async fn disable_plugin(&self, id: &str) -> Reply {
        self.store.disable_plugin(id, true).await.map_err(unknown)?;
        self.act(id, |host| host.disable(id)).await?;
        Ok(Answer::done(format!("plugin {id} is disabled")))
    }

    pub(super) async fn enable_plugin(&self, id: &str) -> Reply {
        self.store.disable_plugin(id, false).await.map_err(unknown)?;
        self.act(id, |host| host.enable(id)).await?;
        Ok(self.deployed(id, "is enabled"))
    }

    pub(super) async fn retry_plugin(&self, id: &str) -> Reply {
        let released = self.store.release(id).await?;
        let known = released > 0 || self.plugins()?.iter().any(|plugin| plugin.id == id);
        if !known {
            return Err(unknown(StoreError::UnknownPlugin(id.into())));
        }
        self.act(id, |host| host.retry(id)).await?;
        Ok(self.deployed(id, "was tried again"))
    }

    async fn act<'a>(&'a self, id: &str, action: impl FnOnce(&'a dyn Running) -> Acting<'a>) -> Result<(), Refusal> {
        match &self.running {
            Some(host) => {
                action(host.as_ref()).await.map_err(|reason| Refusal::failed(format!("plugin: {id}: {reason}")))
            }
            None => Ok(()),
        }
    }

    fn deployed(&self, id: &str, done: &str) -> Answer {
        let when = if self.running.is_some() { "" } else { "; it takes effect when the host starts" };
        Answer::done(format!("plugin {id} {done}{when}"))
    }
}

fn unknown(error: StoreError) -> Refusal {
    match error {
        StoreError::UnknownPlugin(id) => {
            Refusal::failed(format!("plugin: {id} is not known here: `plugin list` shows those that are"))
        }
        other => other.into(),
    }
}

/// Times as RFC 3339 text in UTC.
mod rfc3339 {
    use jiff::Timestamp;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(time)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_json_has_the_keys_that_scripts_depend_on() {
        let record = PluginRecord { id: "echo".into(), since: 1_700_000_000_000, retired: 3, ..Default::default() };
        let json = serde_json::to_string(&PluginStatus::from(record)).unwrap();
        let expected = r#"{"id":"echo","version":"","state":"stopped","file":"","sha256":"","routes":[],"reason":null,"generation":0,"retired":0,"since":"2023-11-14T22:13:20Z"}"#;
        assert_eq!(json, expected);
        let back: PluginStatus = serde_json::from_str(&json).unwrap();
        assert_eq!(serde_json::to_string(&back).unwrap(), expected);
    }
}
