//! Plugins as the administrator sees them.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{Acting, Answer, Executor, Refusal, Reply, Running};
use crate::{
    plugin::deploy::{
        self,
        status::{PluginStatus, State},
    },
    store::{PluginRecord, Quarantined, StoreError},
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

/// The plugins of a host that does not run, and what it will not try again: the latest of each plugin, as far as it is not the version on record.
fn at_rest(records: Vec<PluginRecord>, quarantined: Vec<Quarantined>) -> Vec<PluginStatus> {
    let mut rows: Vec<_> = records.into_iter().map(PluginStatus::from).collect();
    let latest: BTreeMap<String, Quarantined> =
        quarantined.into_iter().map(|entry| (entry.plugin.clone(), entry)).collect();
    for (plugin, entry) in latest {
        let refused = PluginStatus::from(entry);
        match rows.iter_mut().find(|row| row.sha256 == refused.sha256) {
            Some(row) => row.reason = refused.reason,
            None => {
                let behind = rows.iter().rposition(|row| row.id.as_deref() == Some(&*plugin));
                rows.insert(behind.map_or(rows.len(), |place| place + 1), refused);
            }
        }
    }
    rows
}

/// A content that is not tried again.
impl From<Quarantined> for PluginStatus {
    fn from(entry: Quarantined) -> Self {
        let reason = deploy::refusal::Refusal::Quarantined { reason: entry.reason, retry: entry.plugin.clone() };
        PluginStatus {
            state: State::Refused,
            reason: Some(reason.to_string()),
            ..PluginStatus::from(PluginRecord {
                id: entry.plugin,
                sha256: entry.sha256,
                since: entry.since,
                ..PluginRecord::default()
            })
        }
    }
}

impl Executor {
    pub(super) fn plugins(&self) -> Result<Vec<PluginStatus>, Refusal> {
        match &self.running {
            Some(host) => Ok(host.plugins().to_vec()),
            None => Ok(at_rest(self.store.plugins()?, self.store.quarantined()?)),
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

#[cfg(test)]
mod tests {
    use super::*;

    fn record(id: &str) -> PluginRecord {
        PluginRecord { id: id.into(), sha256: format!("hash of {id}"), ..PluginRecord::default() }
    }

    fn quarantined(plugin: &str, sha256: &str) -> Quarantined {
        Quarantined { plugin: plugin.into(), sha256: sha256.into(), reason: format!("{sha256} crashed"), since: 0 }
    }

    #[test]
    fn what_is_in_quarantine_is_told_with_its_plugin() {
        let bad = [("a", "older"), ("b", "hash of b"), ("a", "newer"), ("gone", "last")];
        let rows =
            at_rest(vec![record("a"), record("b")], bad.map(|(plugin, sha256)| quarantined(plugin, sha256)).into());
        let shown = rows.iter().map(|row| (row.id.as_deref().unwrap(), row.state, row.reason.as_deref().unwrap_or("")));
        let shown: Vec<_> =
            shown.map(|(id, state, reason)| (id, state, reason.split(": ").nth(1).unwrap_or(""))).collect();
        let expected = [
            ("a", State::Stopped, ""),
            ("a", State::Refused, "newer crashed; to try once more"),
            ("b", State::Stopped, "hash of b crashed; to try once more"),
            ("gone", State::Refused, "last crashed; to try once more"),
        ];
        assert_eq!(shown, expected);
    }
}
