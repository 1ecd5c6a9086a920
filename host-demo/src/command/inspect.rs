//! `host-demo plugin inspect`: what a file is, read from its bytes without running any of it.

use std::path::Path;

use super::{print, table::table};
use crate::{
    control::Refusal,
    plugin::deploy::check::{self, Inspection},
};

/// Says what a plugin file is, and whether this host would take it.
///
/// # Errors
/// It is no plugin, or none for this host.
pub(super) fn run(file: &Path) -> Result<(), Refusal> {
    let refused = |reason| Refusal::failed(format!("inspect: {}: {reason}", file.display()));
    let inspection = check::inspect(file).map_err(|reason| refused(reason.to_string()))?;
    print(&table(["", ""], &rows(&inspection)))?;
    inspection.verdict.map_err(|reason| refused(reason.to_string()))
}

fn rows(inspection: &Inspection) -> Vec<[String; 2]> {
    let Inspection { manifest, sha256, size, .. } = inspection;
    let rows = [
        ("id", manifest.id.clone()),
        ("version", manifest.version.clone()),
        ("name", manifest.name.clone()),
        ("description", manifest.description.clone()),
        ("authors", manifest.authors.replace(':', ", ")),
        ("licence", manifest.license.clone()),
        ("ABI", manifest.abi.clone()),
        ("needs", manifest.needs.join(", ")),
        ("target", manifest.target.clone()),
        ("rustc", manifest.rustc.clone()),
        ("sha256", sha256.to_string()),
        ("size", format!("{size} bytes")),
    ];
    rows.into_iter().map(|(name, value)| [name.into(), value]).collect()
}
