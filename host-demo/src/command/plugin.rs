//! `host-demo plugin`: what is deployed, and why something is not.

use std::path::PathBuf;

use clap::Subcommand;

use super::{Server, inspect, misunderstood, print, print_json, table::table};
use crate::{
    control::{Answer, Refusal, Request},
    plugin::deploy::status::PluginStatus,
};

/// The characters of a hash that tell versions apart well enough, as in the log. JSON has it whole.
const SHORT_HASH: usize = 12;

const EXAMPLES: &str = "\
Examples:
  cp presence.so plugins/              deploys or upgrades, by the running host
  host-demo plugin inspect presence.so says what a file is without running it
  host-demo plugin list --json         for scripts: an array of objects
  host-demo plugin disable presence    stops it, and keeps it off after a restart";

/// What is done with plugins.
#[derive(Subcommand)]
#[command(after_help = EXAMPLES)]
pub(super) enum Plugin {
    /// List the plugins with state and reason
    List {
        /// As JSON: id, version, state, file, sha256, routes, reason, generation, retired, since
        #[arg(long)]
        json: bool,
    },
    /// Say what a plugin file is, without running any of it
    Inspect {
        /// The file; a signature is looked for beside it, in FILE.minisig
        file: PathBuf,
        /// The configuration with the keys and pins to judge it by
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
    /// Stop a plugin and keep it off
    Disable {
        /// The id of the plugin
        id: String,
    },
    /// Deploy a plugin that was disabled
    Enable {
        /// The id of the plugin
        id: String,
    },
    /// Try a refused file again
    Retry {
        /// The id of the plugin
        id: String,
    },
}

pub(super) fn run(server: &Server, command: Plugin) -> Result<(), Refusal> {
    match command {
        Plugin::List { json } => list(server, json),
        Plugin::Inspect { file, config } => inspect::run(server, &file, config),
        Plugin::Disable { id } => server.act(&Request::DisablePlugin { id }),
        Plugin::Enable { id } => server.act(&Request::EnablePlugin { id }),
        Plugin::Retry { id } => server.act(&Request::RetryPlugin { id }),
    }
}

fn list(server: &Server, json: bool) -> Result<(), Refusal> {
    let Answer::Plugins { plugins, cost } = server.ask(&Request::Plugins)? else { return Err(misunderstood()) };
    if json {
        return print_json(&plugins);
    }
    if plugins.is_empty() {
        return print("no plugins: copy one into the plugins folder of a running host");
    }
    let rows: Vec<_> = plugins.iter().map(row).collect();
    print(&table(["ID", "VERSION", "STATE", "SINCE", "FILE", "SHA-256", "ROUTES", "REASON"], &rows))?;
    match cost.filter(|cost| cost.versions > 0) {
        Some(cost) => print(&cost.to_string()),
        None => Ok(()),
    }
}

fn row(plugin: &PluginStatus) -> [String; 8] {
    [
        text(&plugin.id),
        text(&plugin.version),
        plugin.state.name().into(),
        plugin.since.strftime("%Y-%m-%d %H:%M:%SZ").to_string(),
        text(&plugin.file),
        text(&plugin.sha256).chars().take(SHORT_HASH).collect(),
        plugin.routes.len().to_string(),
        plugin.reason.clone().unwrap_or_default(),
    ]
}

fn text(known: &Option<String>) -> String {
    known.clone().unwrap_or_else(|| "-".into())
}
