//! `host-demo plugin inspect`: what a file is, read from its bytes without running any of it.

use std::path::{Path, PathBuf};

use super::{print, table::table};
use crate::{
    config::{Config, Flags},
    control::Refusal,
    plugin::deploy::check::{self, Inspection},
};

/// Says what a plugin file is, and whether this host would take it: under the keys and pins of `config`, if there is one.
///
/// # Errors
/// It is no plugin, or none for this host; or the configuration can't be used.
pub(super) fn run(file: &Path, config: Option<PathBuf>) -> Result<(), Refusal> {
    let config = Config::load(Flags { config, ..Flags::default() }, None);
    let config = config.map_err(|error| Refusal::usage(error.to_string()))?;
    let refused = |reason| Refusal::failed(format!("inspect: {}: {reason}", file.display()));
    let inspection = check::inspect(file, &config.vouching).map_err(|reason| refused(reason.to_string()))?;
    print(&table(["", ""], &rows(&inspection)))?;
    inspection.verdict.map_err(|reason| refused(reason.to_string()))
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
