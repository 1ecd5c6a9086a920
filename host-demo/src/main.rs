//! An XMPP server that loads native plugins from a folder while it runs.

mod command;
mod config;
mod console;
mod control;
mod http;
mod plugin;
mod presence;
mod serve;
mod services;
mod store;
mod xmpp;

fn main() -> std::process::ExitCode {
    command::run()
}
