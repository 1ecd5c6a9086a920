//! An XMPP server that loads native plugins from a folder while it runs.

mod command;
mod config;
mod control;
mod presence;
mod store;
mod xmpp;

fn main() -> std::process::ExitCode {
    command::run()
}
