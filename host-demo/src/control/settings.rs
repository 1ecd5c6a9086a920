//! Settings as the administrator sees them: a value is checked against what the plugin declared, whether it runs or not.

use serde::{Deserialize, Serialize};

use super::{Answer, Executor, Refusal, Reply};
use crate::store::{Settings, quoted};

/// A setting and what holds for it. As JSON it is an object of `setting list --json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettingStatus {
    /// Its full name.
    pub name: String,
    /// What holds: the value that was set, or the default.
    pub value: String,
    /// The declared default; `None` where no plugin declared the setting yet.
    pub default: Option<String>,
    /// The title that the plugin gave it; empty where it is not declared.
    pub label: String,
    /// What values it takes, in words; `None` where it is not declared.
    pub takes: Option<String>,
    /// What the plugin says of it; empty where it is not declared.
    pub help: String,
    /// What is wrong with the value that was set, so that the default holds.
    pub reason: Option<String>,
}

impl SettingStatus {
    /// The declared settings, then those that were set for plugins not seen yet.
    pub fn all(settings: &Settings) -> Vec<SettingStatus> {
        let declared = settings.declared().map(|(name, schema)| SettingStatus {
            value: settings.effective(&name).unwrap_or_default().into(),
            default: Some(schema.default.clone()),
            label: schema.label.clone(),
            takes: Some(schema.kind.takes()),
            help: schema.help.clone(),
            reason: settings.values.get(&name).and_then(|set| {
                schema.kind.check(set).err().map(|reason| format!("{} was set: {reason}", quoted(set)))
            }),
            name,
        });
        let undeclared = settings.values.iter().filter(|(name, _)| settings.schema(name).is_none());
        let undeclared = undeclared.map(|(name, value)| SettingStatus {
            name: name.clone(),
            value: value.clone(),
            default: None,
            label: String::new(),
            takes: None,
            help: String::new(),
            reason: None,
        });
        declared.chain(undeclared).collect()
    }
}

impl Executor {
    pub(super) fn settings(&self) -> Vec<SettingStatus> {
        SettingStatus::all(&self.store.settings())
    }

    pub(super) fn setting(&self, name: &str) -> Result<String, Refusal> {
        let settings = self.store.settings();
        if let Some(value) = settings.effective(name) {
            return Ok(value.into());
        }
        full_name(name)?;
        settings.must_be_undeclared(name).map_err(|reason| refused(name, &reason))?;
        Err(refused(name, "no plugin has declared it yet: plugins declare their settings when the host runs them"))
    }

    pub(super) async fn set_setting(&self, name: &str, value: &str) -> Reply {
        full_name(name)?;
        let settings = self.store.settings();
        let answer = if value.is_empty() {
            self.clear_setting(&settings, name).await?
        } else {
            let wrong = |reason| refused(name, &format!("{}: {reason}", quoted(value)));
            let checked = settings.check(name, value).map_err(wrong)?;
            let note = checked.is_none().then(|| format!("setting: {name}: {NOT_SEEN}"));
            let value = checked.as_deref().unwrap_or(value);
            self.store.set_setting(name, value).await?;
            Answer::Done { text: format!("{name} = {value}"), note }
        };
        if let Some(host) = &self.running {
            host.setting_changed(name).await.map_err(|reason| refused(name, &reason))?;
        }
        Ok(answer)
    }

    async fn clear_setting(&self, settings: &Settings, name: &str) -> Result<Answer, Refusal> {
        let default = settings.schema(name).map(|schema| schema.default.clone());
        if default.is_none() && !settings.values.contains_key(name) {
            settings.must_be_undeclared(name).map_err(|reason| refused(name, &reason))?;
        }
        self.store.clear_setting(name).await?;
        Ok(Answer::done(match default {
            Some(default) => format!("{name} = {default} (the default)"),
            None => format!("{name} is not set any more"),
        }))
    }
}

const NOT_SEEN: &str =
    "its plugin was not seen here yet: the value is kept, and checked when the plugin declares its settings";

fn refused(name: &str, reason: &str) -> Refusal {
    Refusal::failed(format!("setting: {name}: {reason}"))
}

fn full_name(name: &str) -> Result<(), Refusal> {
    match name.split_once('.') {
        Some((plugin, setting)) if !plugin.is_empty() && !setting.is_empty() => Ok(()),
        _ => Err(Refusal::usage(format!("setting: {name:?}: expected PLUGIN.SETTING, such as presence.visibility"))),
    }
}
