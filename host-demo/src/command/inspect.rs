//! `host-demo plugin inspect`: what a file is, read from its bytes without running any of it.

use std::path::{Path, PathBuf};

use super::{Server, misunderstood, print, table::table};
use crate::{
    config::{Config, Flags, default_state},
    control::{Answer, Refusal, Request},
    plugin::deploy::{
        check::{self, Inspection},
        status::{PluginStatus, State},
        vouch::Policy,
    },
};

/// Says what a plugin file is, and whether this host would take it: under the keys and pins of `config`, if there is one.
///
/// # Errors
/// It is no plugin, or none for this host; or the configuration can't be used.
pub(super) fn run(server: &Server, file: &Path, config: Option<PathBuf>) -> Result<(), Refusal> {
    let flags = Flags { config, ..Flags::default() };
    let state = Some(server.state.clone()).filter(|state| *state != default_state());
    let config = Config::load(flags, state).map_err(|error| Refusal::usage(error.to_string()))?;
    let refused = |reason| Refusal::failed(format!("inspect: {}: {reason}", file.display()));
    let inspection = check::inspect(file, &config.vouching).map_err(|reason| refused(reason.to_string()))?;
    print(&table(["", ""], &rows(&inspection)))?;
    let Inspection { manifest, sha256, verdict, .. } = inspection;
    let last = last_version(&config, &manifest.id)?;
    let progress = || config.vouching.check_progress(&manifest.id, &manifest.version, sha256, last.as_deref());
    verdict.and_then(|()| progress()).map_err(|reason| refused(reason.to_string()))
}

/// The version that must not be followed by an older one, as far as the server still has the plugin.
fn last_version(config: &Config, id: &str) -> Result<Option<String>, Refusal> {
    if config.vouching.policy != Policy::Enforce || !config.state.exists() {
        return Ok(None);
    }
    let server = Server { state: config.state.clone() };
    let Answer::Plugins { plugins, .. } = server.ask(&Request::Plugins)? else { return Err(misunderstood()) };
    let was_in_service = |plugin: &PluginStatus| match plugin.state {
        State::Active | State::Disabled => true,
        State::Stopped => plugin.generation.is_some(),
        _ => false,
    };
    let known = plugins.into_iter().find(|plugin| plugin.id.as_deref() == Some(id) && was_in_service(plugin));
    Ok(known.and_then(|plugin| plugin.version))
}

fn rows(inspection: &Inspection) -> Vec<[String; 2]> {
    let Inspection { manifest, sha256, size, signature, .. } = inspection;
    let rows = [
        ("id", manifest.id.clone()),
        ("version", manifest.version.clone()),
        ("name", manifest.name.clone()),
        ("description", manifest.description.clone()),
        ("authors", manifest.authors.replace(':', ", ")),
        ("licence", manifest.license.clone()),
        ("ABI", manifest.abi.clone()),
        ("host", manifest.min_host.as_ref().map_or("any".into(), |lowest| format!("{lowest} or later"))),
        ("needs", manifest.needs.join(", ")),
        ("settings", format!("version {}", manifest.settings_version)),
        ("target", manifest.target.clone()),
        ("rustc", manifest.rustc.clone()),
        ("sha256", sha256.to_string()),
        ("size", format!("{size} bytes")),
        ("signature", signature.clone()),
    ];
    rows.into_iter().map(|(name, value)| [name.into(), value]).collect()
}
