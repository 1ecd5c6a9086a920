//! `host-demo setting`: what plugins let the administrator decide.

use clap::Subcommand;

use super::{Server, misunderstood, plain, print, print_json, table::table};
use crate::control::{Answer, Refusal, Request, SettingStatus};

const EXAMPLES: &str = "\
Examples:
  host-demo setting set presence.visibility anyone
  host-demo setting set presence.available_text ''     an empty value restores the default
  host-demo setting show presence.visibility           what it takes, and what it means
  host-demo setting get presence.visibility";

/// What is done with settings.
#[derive(Subcommand)]
#[command(after_help = EXAMPLES)]
pub(super) enum Setting {
    /// List the settings with what holds for them
    List {
        /// As JSON: name, value, default, label, takes, help, reason
        #[arg(long)]
        json: bool,
    },
    /// Show all about a setting: what holds, what it takes, and what the plugin says of it
    Show {
        /// PLUGIN.SETTING, such as presence.visibility
        name: String,
    },
    /// Print what holds for a setting: the value that was set, or the default
    Get {
        /// PLUGIN.SETTING, such as presence.visibility
        name: String,
    },
    /// Change a setting; the plugin is told at once
    Set {
        /// PLUGIN.SETTING, such as presence.visibility
        name: String,
        /// The value; empty restores the default
        #[arg(allow_hyphen_values = true)]
        value: String,
    },
}

pub(super) fn run(server: &Server, command: Setting) -> Result<(), Refusal> {
    match command {
        Setting::List { json } => list(server, json),
        Setting::Show { name } => show(server, name),
        Setting::Get { name } => match server.ask(&Request::Setting { name })? {
            Answer::Value(value) => print(&value),
            _ => Err(misunderstood()),
        },
        Setting::Set { name, value } => server.act(&Request::SetSetting { name, value }),
    }
}

fn list(server: &Server, json: bool) -> Result<(), Refusal> {
    let Answer::Settings(settings) = server.ask(&Request::Settings)? else { return Err(misunderstood()) };
    if json {
        return print_json(&settings);
    }
    if settings.is_empty() {
        return print("no settings: plugins declare theirs when a host runs them");
    }
    let rows: Vec<_> = settings.iter().map(row).collect();
    print(&table(["NAME", "VALUE", "DEFAULT", "WHAT"], &rows))
}

fn row(setting: &SettingStatus) -> [String; 4] {
    let what = setting.reason.clone().unwrap_or_else(|| setting.label.clone());
    [setting.name.clone(), setting.value.clone(), default_of(setting), what]
}

fn default_of(setting: &SettingStatus) -> String {
    match &setting.default {
        Some(default) if *default == setting.value => "(is the default)".into(),
        Some(default) => default.clone(),
        None => "(not declared yet)".into(),
    }
}

fn show(server: &Server, name: String) -> Result<(), Refusal> {
    let Answer::Settings(settings) = server.ask(&Request::Settings)? else { return Err(misunderstood()) };
    let Some(setting) = settings.iter().find(|setting| setting.name == name) else {
        // Whoever says what holds for it says what is wrong with the name.
        return server.ask(&Request::Setting { name }).and(Err(misunderstood()));
    };
    let default = default_of(setting);
    let lines = [
        ("value", Some(if setting.value.is_empty() { "(empty)" } else { &setting.value })),
        ("default", Some(&*default)),
        ("takes", setting.takes.as_deref()),
        ("fault", setting.reason.as_deref()),
    ];
    let lines = lines.iter().filter_map(|(what, said)| Some(format!("{what:<8} {}\n", plain((*said)?))));
    let title = [plain(&setting.name), plain(&setting.label)].join("  ");
    print(format!("{}\n{}\n{}", title.trim_end(), lines.collect::<String>(), plain(&setting.help)).trim_end())
}
