//! An XMPP server that loads native plugins from a folder while it runs.
//!
//! A library only so that the fuzz targets in `fuzz/` can be linked with it: its modules are private, and nobody depends
//! on it but the command and these targets.

mod address;
mod command;
mod config;
mod console;
mod control;
mod http;
mod inline;
mod lines;
mod plugin;
mod presence;
mod serve;
mod services;
mod stamps;
mod store;
mod xmpp;

#[cfg(fuzzing)]
pub use xmpp::fuzz;

/// Runs the command that the arguments of this process name, to its end.
pub fn run() -> std::process::ExitCode {
    command::run()
}
