//! `host-demo probe`: opens a staged plugin in a process that may die of it. Run by the host, not by people.

use std::path::Path;

use crate::{control::Refusal, plugin::deploy::verdict};

/// Tries one staged file.
pub(super) fn run(file: &Path) -> Result<(), Refusal> {
    verdict::run_probe(file).map_err(|cause| Refusal::failed(format!("probe: {}: {cause}", file.display())))
}
