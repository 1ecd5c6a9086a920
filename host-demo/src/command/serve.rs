//! `host-demo serve`: the server itself.

use std::path::PathBuf;

use crate::{
    config::{Config, Flags},
    control::Refusal,
    serve,
};

/// Reads the configuration and runs the server until it is told to end.
pub(super) fn run(flags: Flags, state: Option<PathBuf>) -> Result<(), Refusal> {
    let read = || Config::load(flags.clone(), state.clone());
    let config = read().map_err(|error| Refusal::usage(error.to_string()))?;
    serve::run(&config, &read)
}
