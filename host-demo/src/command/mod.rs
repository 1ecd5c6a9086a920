//! The command line: one file a command. Scripts depend on its names, flags, exit codes and JSON.
//!
//! Exit codes: 0 done, 1 the operation failed, 2 wrong usage or configuration.

mod admin;
mod backup;
mod inspect;
mod password;
mod plugin;
mod probe;
mod serve;
mod setting;
mod table;
mod user;

use std::{
    io::{self, ErrorKind, Write},
    path::PathBuf,
    process::ExitCode,
};

use clap::{Parser, Subcommand};
use serde::Serialize;

use crate::{
    config,
    control::{self, Answer, Refusal, Request},
};

const EXAMPLES: &str = "\
Examples:
  host-demo serve                                  start with the defaults
  host-demo serve --config /etc/host-demo.toml     start with a configuration
  host-demo user add alice                         asks for the password
  pwgen 20 1 | host-demo user add bob --password-stdin
  cp presence.so plugins/                          deploys a plugin; overwrite upgrades, rm undeploys
  host-demo plugin list                            what is deployed, and why something is not
  host-demo setting set presence.visibility anyone
  host-demo backup /var/backups/host-demo.db       while it runs or not

Commands reach a running host through its state folder; without one they change the folder themselves.";

/// A messaging server (XMPP) that loads plugins from a folder while it runs
#[derive(Parser)]
#[command(name = "host-demo", version, after_help = EXAMPLES, max_term_width = 100)]
struct Cli {
    /// The folder of all that survives a restart [default: ./state]
    #[arg(long, global = true, value_name = "DIR")]
    state: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the server until SIGTERM
    Serve(config::Flags),
    /// Add, change, remove and list the users of the server
    #[command(subcommand)]
    User(user::User),
    /// See and steer the plugins
    #[command(subcommand)]
    Plugin(plugin::Plugin),
    /// See and change the settings of plugins
    #[command(subcommand)]
    Setting(setting::Setting),
    /// Copy the database into a new file: accounts, rosters, waiting messages, settings; the server may run meanwhile
    Backup {
        /// The file, which must not be there yet
        file: PathBuf,
    },
    /// The administrator's console
    #[command(subcommand)]
    Admin(admin::Admin),
    /// Open a staged plugin file and report; run by the host in a process of its own
    #[command(hide = true)]
    Probe {
        /// The staged file
        file: PathBuf,
    },
}

/// Runs the command that this process was started with.
pub fn run() -> ExitCode {
    // Wrong usage ends here, with exit code 2 and the usage text.
    let Cli { state, command } = Cli::parse();
    match execute(state, command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(refusal) => {
            warn(&refusal.text);
            ExitCode::from(if refusal.usage { 2 } else { 1 })
        }
    }
}

fn execute(state: Option<PathBuf>, command: Command) -> Result<(), Refusal> {
    let server = Server { state: state.clone().unwrap_or_else(config::default_state) };
    match command {
        Command::Serve(flags) => serve::run(flags, state),
        Command::User(command) => user::run(&server, command),
        Command::Plugin(command) => plugin::run(&server, command),
        Command::Setting(command) => setting::run(&server, command),
        Command::Backup { file } => backup::run(&server, &file),
        Command::Admin(command) => admin::run(&server, command),
        Command::Probe { file } => probe::run(&file),
    }
}

/// The server that a command is about.
struct Server {
    state: PathBuf,
}

impl Server {
    fn ask(&self, request: &Request) -> Result<Answer, Refusal> {
        control::call(&self.state, request)
    }

    /// Has something done and says so.
    fn act(&self, request: &Request) -> Result<(), Refusal> {
        match self.ask(request)? {
            Answer::Done { text, note } => {
                if let Some(note) = note {
                    warn(&note);
                }
                print(&text)
            }
            _ => Err(misunderstood()),
        }
    }
}

/// The host answered something else than was asked for.
fn misunderstood() -> Refusal {
    Refusal::failed(
        "control: the host gave an answer that does not fit: is the command of another release than the host?",
    )
}

/// Prints a line to standard error.
fn warn(text: &str) {
    eprintln!("host-demo: {}", plain(text));
}

/// One line without control characters: what a plugin or a file says must not move the cursor.
fn plain(text: &str) -> String {
    text.chars().map(|char| if char.is_control() { ' ' } else { char }).collect()
}

/// Prints a line, or several, to standard output. A reader that has seen enough is no failure.
fn print(text: &str) -> Result<(), Refusal> {
    match writeln!(io::stdout(), "{text}") {
        Err(cause) if cause.kind() != ErrorKind::BrokenPipe => {
            Err(Refusal::failed(format!("standard output: {cause}")))
        }
        _ => Ok(()),
    }
}

fn print_json(value: &impl Serialize) -> Result<(), Refusal> {
    let json = serde_json::to_string_pretty(value).map_err(|cause| Refusal::failed(format!("JSON: {cause}")))?;
    print(&json)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_takes_the_state_folder() {
        for line in ["serve", "user list", "plugin list --json", "setting get a.b", "admin password --password-stdin"] {
            let words = std::iter::once("host-demo").chain(line.split(' ')).chain(["--state", "/s"]);
            let cli = Cli::try_parse_from(words).unwrap_or_else(|error| panic!("{line}: {error}"));
            assert_eq!(cli.state, Some("/s".into()), "{line}");
        }
    }

    #[test]
    fn what_is_not_a_flag_is_wrong_usage() {
        for line in ["serve --port 1", "serve --xmpp localhost", "serve --domain a@b", "user add", "plugin", ""] {
            let words = std::iter::once("host-demo").chain(line.split_whitespace());
            let error = Cli::try_parse_from(words).err().unwrap_or_else(|| panic!("{line} was taken"));
            assert_eq!(error.exit_code(), 2, "{line}");
        }
    }
}
