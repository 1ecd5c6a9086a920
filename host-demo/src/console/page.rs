//! The page of plugins and their settings. What files and plugins say of themselves is foreign text; maud escapes all of it.

use std::collections::HashMap;

use jiff::Timestamp;
use maud::{DOCTYPE, Markup, html};

use crate::{
    control::SettingStatus,
    plugin::{
        deploy::status::{PluginStatus, State},
        generation::Generation,
        route::RouteTable,
        shown,
    },
};

/// The characters of a hash that tell versions apart well enough; the whole stands in the title.
const SHORT_HASH: usize = 12;

/// The page of these plugins and settings. `told` is what is not up, and what plugins have too much of.
pub fn render(
    (plugins, settings): (&[PluginStatus], &[SettingStatus]),
    told: &[String],
    table: &RouteTable,
    started: Timestamp,
) -> Markup {
    let active: HashMap<&str, &Generation> =
        table.generations().map(|generation| (generation.manifest().id.as_str(), &**generation)).collect();
    let now = Timestamp::now();
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta http-equiv="refresh" content="5";
                title { "Console" }
                link rel="stylesheet" href="/style.css";
            }
            body { main {
                header {
                    h1 { "Console" }
                    p.hint {
                        "host-demo " (env!("CARGO_PKG_VERSION")) ", up for " (span(started, now)) " · "
                        a href="/healthz" { "health" } " · " a href="/metrics" { "metrics" }
                    }
                    @for sentence in told { p.fault { (sentence) } }
                }
                section {
                    h2 { "Plugins" }
                    @if plugins.is_empty() {
                        p { "None. Copy one into the folder " code { "plugins/" } "." }
                    } @else {
                        ul.cards { @for plugin in plugins { li { (card(plugin, &active, now)) } } }
                    }
                }
                @if !settings.is_empty() {
                    section {
                        h2 { "Settings" }
                        p.hint { "To change one: " code { "host-demo setting set NAME VALUE" } }
                        ul.cards { @for setting in settings { li { (explained(setting)) } } }
                    }
                }
            } }
        }
    }
}

fn card(plugin: &PluginStatus, active: &HashMap<&str, &Generation>, now: Timestamp) -> Markup {
    let is_active = plugin.state == State::Active;
    let generation = plugin.id.as_deref().filter(|_| is_active).and_then(|id| active.get(id).copied());
    let name = plugin.id.as_ref().or(plugin.file.as_ref());
    html! {
        h3 {
            (name.map_or("unnamed", String::as_str)) " "
            @if let Some(version) = &plugin.version { span.version { (version) } }
            " " span class=(badge(plugin.state)) { (plugin.state.name()) }
        }
        @if let Some(reason) = &plugin.reason { p.reason { (reason) } }
        @if let Some(generation) = generation {
            @let manifest = generation.manifest();
            @if !manifest.description.is_empty() { p { (manifest.description) } }
        }
        @if !plugin.routes.is_empty() {
            ul.routes { @for route in &plugin.routes { li { code { (route) } } } }
        }
        dl {
            dt { "Since" } dd { time datetime=(plugin.since) { (span(plugin.since, now)) " ago" } }
            @if let Some(file) = &plugin.file { dt { "File" } dd { code { (file) } } }
            @if let Some(hash) = &plugin.sha256 {
                dt { "SHA-256" } dd { code title=(hash) { (hash.chars().take(SHORT_HASH).collect::<String>()) } }
            }
            @if let Some(number) = plugin.generation { dt { "Generation" } dd { (number) } }
            @if plugin.retired > 0 { dt { "Retired" } dd { (plugin.retired) ", mapped until the host ends" } }
            @if let Some(generation) = generation { (of_generation(generation)) }
        }
    }
}

fn of_generation(generation: &Generation) -> Markup {
    let manifest = generation.manifest();
    html! {
        dt { "In flight" } dd { (generation.in_flight()) }
        dt { "Memory" } dd { (shown::size(generation.memory())) }
        @if !manifest.needs.is_empty() { dt { "Needs" } dd { (manifest.needs.join(", ")) } }
        @if !manifest.authors.is_empty() { dt { "By" } dd { (manifest.authors.replace(':', ", ")) } }
        @if !manifest.license.is_empty() { dt { "Licence" } dd { (manifest.license) } }
        @if !manifest.rustc.is_empty() { dt { "Built with" } dd { "rustc " (manifest.rustc) } }
    }
}

fn explained(setting: &SettingStatus) -> Markup {
    html! {
        h3 { (setting.name) " " span.version { (setting.label) } }
        @if let Some(reason) = &setting.reason { p.reason { (reason) } }
        @if !setting.help.is_empty() { p { (setting.help) } }
        dl {
            dt { "Value" } dd { @if setting.value.is_empty() { "empty" } @else { (setting.value) } }
            @match &setting.default {
                Some(default) if *default == setting.value => {}
                Some(default) => { dt { "Default" } dd { (default) } }
                None => { dt { "Default" } dd { "not declared yet" } }
            }
            @if let Some(takes) = &setting.takes { dt { "Takes" } dd { (takes) } }
        }
    }
}

fn badge(state: State) -> &'static str {
    match state {
        State::Active => "badge good",
        State::Refused => "badge bad",
        _ => "badge",
    }
}

/// A length of time in its largest unit.
fn span(from: Timestamp, to: Timestamp) -> String {
    let seconds = (to.as_second() - from.as_second()).max(0);
    let (count, unit) = match seconds {
        0..60 => (seconds, "second"),
        60..3600 => (seconds / 60, "minute"),
        3600..86_400 => (seconds / 3600, "hour"),
        _ => (seconds / 86_400, "day"),
    };
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_told_in_its_largest_unit() {
        let after = |seconds| span(Timestamp::UNIX_EPOCH, Timestamp::from_second(seconds).unwrap());
        assert_eq!(
            [0, 1, 59, 60, 7199, 7200, 200_000].map(after),
            ["0 seconds", "1 second", "59 seconds", "1 minute", "1 hour", "2 hours", "2 days"]
        );
        assert_eq!(after(-5), "0 seconds", "the clock was set back");
    }
}
