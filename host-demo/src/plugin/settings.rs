//! Which settings a version starts with: those that are stored, those that it migrates, or those from before a newer version's
//! migration.
//!
//! Nothing is stored before the version comes into service: until then it reads its own view, and the version before it reads the store.

use std::{collections::BTreeMap, fmt};

use plugin_api::manifest::Manifest;

use crate::store::{PluginSettings, SettingsChange};

/// What is stored of a plugin's settings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoredSettings {
    /// As they are.
    pub now: PluginSettings,
    /// As they were before the last migrations.
    pub before: Vec<PluginSettings>,
}

/// What a version of a plugin does with the settings that are stored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Plan {
    /// Reads them.
    #[default]
    Follow,
    /// Moves them forward to this version.
    Migrate {
        /// As they are.
        from: PluginSettings,
        /// The version that they get.
        to: u32,
    },
    /// Takes a newer version's migration back: this host returns to the version before it.
    TakeBack(SettingsChange),
}

/// A plugin's settings were migrated by a newer version of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Downgrade {
    /// The version of the settings that are stored.
    pub stored: u32,
    /// The newest that the plugin reads.
    pub reads: u32,
}

impl Plan {
    /// Decides, before any of the plugin's code runs. `returns`: it is this host that goes back to its last good version.
    ///
    /// # Errors
    /// The settings are newer than the plugin.
    pub fn of(
        manifest: &Manifest,
        StoredSettings { now, before }: StoredSettings,
        returns: bool,
    ) -> Result<Plan, Downgrade> {
        let (stored, reads) = (now.version, manifest.settings_version);
        // 0: nothing was in service yet. What the administrator set beforehand is meant for this version.
        if stored == 0 || stored == reads {
            return Ok(Plan::Follow);
        }
        if stored < reads {
            return Ok(Plan::Migrate { from: now, to: reads });
        }
        match before.into_iter().find(|before| returns && before.version == reads) {
            Some(before) => Ok(Plan::TakeBack(SettingsChange { from: now, to: before })),
            None if manifest.reads_newer_settings => Ok(Plan::Follow),
            None => Err(Downgrade { stored, reads }),
        }
    }

    /// What the version sees instead of the store.
    pub fn view(&self) -> Option<&BTreeMap<String, String>> {
        match self {
            Plan::Follow => None,
            Plan::Migrate { from, .. } => Some(&from.values),
            Plan::TakeBack(change) => Some(&change.to.values),
        }
    }

    /// What is to be stored when the version comes into service, if its view then holds `values`.
    pub fn change(&self, values: BTreeMap<String, String>) -> Option<SettingsChange> {
        match self {
            Plan::Follow => None,
            Plan::Migrate { from, to } => {
                Some(SettingsChange { from: from.clone(), to: PluginSettings { version: *to, values } })
            }
            Plan::TakeBack(change) => Some(change.clone()),
        }
    }
}

impl fmt::Display for Downgrade {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Downgrade { stored, reads } = self;
        write!(
            out,
            "reads settings of version {reads}, those stored here are of version {stored}, written by a newer version of this plugin: copy \
             one that reads version {stored} here"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(version: u32, value: &str) -> PluginSettings {
        PluginSettings { version, values: BTreeMap::from([("tone".into(), value.into())]) }
    }

    fn manifest(version: u32, more: &str) -> Manifest {
        let text = format!("id=a\nversion=1\nabi=0.1\ntarget=t\nsettings_version={version}\n{more}");
        Manifest::parse(text.as_bytes()).unwrap()
    }

    fn stored(version: u32) -> StoredSettings {
        StoredSettings { now: settings(version, "now"), before: vec![settings(1, "before")] }
    }

    #[test]
    fn settings_move_forward_only() {
        assert_eq!(Plan::of(&manifest(2, ""), stored(0), false), Ok(Plan::Follow), "set before the plugin came");
        assert_eq!(Plan::of(&manifest(2, ""), stored(2), false), Ok(Plan::Follow), "the same version");
        let forward = Plan::of(&manifest(3, ""), stored(2), false).unwrap();
        assert_eq!(forward, Plan::Migrate { from: settings(2, "now"), to: 3 });
        let change = forward.change(settings(3, "moved").values).unwrap();
        assert_eq!(change, SettingsChange { from: settings(2, "now"), to: settings(3, "moved") });
    }

    #[test]
    fn an_older_version_is_refused_unless_it_reads_newer_settings_or_is_returned_to() {
        let refused = Plan::of(&manifest(1, ""), stored(2), false).unwrap_err();
        assert_eq!(refused, Downgrade { stored: 2, reads: 1 });
        assert!(refused.to_string().starts_with("reads settings of version 1, those stored here are of version 2"));
        assert_eq!(Plan::of(&manifest(1, "reads_newer_settings=true\n"), stored(2), false), Ok(Plan::Follow));
        let back = Plan::of(&manifest(1, ""), stored(2), true).unwrap();
        assert_eq!(back.view(), Some(&settings(1, "before").values));
        assert_eq!(back.change(BTreeMap::new()).map(|change| change.to), Some(settings(1, "before")));
        assert!(Plan::of(&manifest(1, ""), StoredSettings { before: Vec::new(), ..stored(2) }, true).is_err());
    }
}
