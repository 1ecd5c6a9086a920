//! Plugins as the administrator sees them.

use jiff::Timestamp;

use super::{Acting, Answer, Executor, Refusal, Reply, Running};
use crate::{
    plugin::deploy::status::{PluginStatus, State},
    store::{PluginRecord, StoreError},
};

/// A plugin of a host that does not run: nothing of it is active.
impl From<PluginRecord> for PluginStatus {
    fn from(record: PluginRecord) -> Self {
        let known = |text: String| Some(text).filter(|text| !text.is_empty());
        PluginStatus {
            state: if record.disabled { State::Disabled } else { State::Stopped },
            since: Timestamp::from_millisecond(record.since).unwrap_or(Timestamp::UNIX_EPOCH),
            id: Some(record.id),
            version: known(record.version),
            file: known(record.file),
            sha256: known(record.sha256),
            routes: record.routes,
            reason: record.reason,
            generation: Some(record.generation).filter(|generation| *generation > 0),
            retired: 0,
        }
    }
}

impl Executor {
    pub(super) fn plugins(&self) -> Result<Vec<PluginStatus>, Refusal> {
        match &self.running {
            Some(host) => Ok(host.plugins().to_vec()),
            None => Ok(self.store.plugins()?.into_iter().map(PluginStatus::from).collect()),
        }
    }

    pub(super) async fn disable_plugin(&self, id: &str) -> Reply {
        self.store.disable_plugin(id, true).await.map_err(unknown)?;
        self.act(id, |host| host.disable(id)).await?;
        Ok(Answer::done(format!("plugin {id} is disabled")))
    }

    pub(super) async fn enable_plugin(&self, id: &str) -> Reply {
        match self.store.disable_plugin(id, false).await {
            // The host may know more: a plugin that was removed and switched off at the same moment has no record any more.
            Err(StoreError::UnknownPlugin(_)) if self.running.is_some() => {}
            stored => stored.map_err(unknown)?,
        }
        self.act(id, |host| host.enable(id)).await?;
        self.outcome(id, "is enabled", "enabled")
    }

    pub(super) async fn retry_plugin(&self, id: &str) -> Reply {
        let released = self.store.release(id).await?;
        let named = |name: &Option<String>| name.as_deref() == Some(id);
        let known = released > 0 || self.plugins()?.iter().any(|plugin| named(&plugin.id) || named(&plugin.file));
        if !known {
            return Err(unknown(StoreError::UnknownPlugin(id.into())));
        }
        self.act(id, |host| host.retry(id)).await?;
        self.outcome(id, "was tried again", "tried again")
    }

    /// What became of a plugin whose command was carried out.
    fn outcome(&self, id: &str, done: &str, but: &str) -> Reply {
        let named = |name: &Option<String>| name.as_deref() == Some(id);
        let outcome = self.plugins()?.into_iter().find(|plugin| named(&plugin.id) || named(&plugin.file));
        match outcome.as_ref().filter(|_| self.running.is_some()).and_then(PluginStatus::trouble) {
            Some(reason) => Err(Refusal::failed(format!("plugin: {id}: {but}: {reason}"))),
            None => Ok(self.deployed(id, done)),
        }
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
