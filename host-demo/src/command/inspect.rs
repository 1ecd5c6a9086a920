//! `host-demo plugin inspect`: what a file is, read from its bytes without running any of it.

use std::path::Path;

use crate::control::Refusal;

/// Says what a plugin file is, or why it is none.
pub(super) fn run(file: &Path) -> Result<(), Refusal> {
    Err(Refusal::failed(format!("inspect: {}: this build has no plugins", file.display())))
}
