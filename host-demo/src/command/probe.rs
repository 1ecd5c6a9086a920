//! `host-demo probe`: opens a staged plugin in a process that may die of it. Run by the host, not by people.

use std::path::Path;

use crate::control::Refusal;

/// Probes one staged file.
pub(super) fn run(file: &Path) -> Result<(), Refusal> {
    Err(Refusal::failed(format!("probe: {}: this build has no plugins", file.display())))
}
