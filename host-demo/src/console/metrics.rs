//! The numbers of the host in the text exposition format of Prometheus, version 0.0.4.

use std::fmt::{self, Display, Formatter};

use jiff::Timestamp;

use super::{Numbers, process::Process};
use crate::http::metrics::CLASSES;
use crate::plugin::deploy::status::{PluginStatus, State};

/// What a plugin has at this moment.
#[derive(Clone, Copy, Debug)]
pub struct Kept {
    /// Requests and streams that are not finished.
    pub in_flight: usize,
    /// Bytes that it allocated and did not free.
    pub memory: u64,
}

/// All that is written. As text it is the exposition.
pub struct Snapshot<'a> {
    /// What the parts of the host know.
    pub numbers: Numbers,
    /// All plugins.
    pub plugins: &'a [PluginStatus],
    /// Whether everything is up.
    pub healthy: bool,
    /// Responses of the public listener, by plugin and class.
    pub responses: &'a [(String, [u64; CLASSES.len()])],
    /// Calls of inline handlers that took too long, by plugin.
    pub stalls: &'a [(String, u64)],
    /// Crashes of this server, by the plugin that caused them.
    pub crashes: &'a [(String, u64)],
    /// What the records of each plugin take, in bytes.
    pub records: &'a [(String, u64)],
    /// What each active plugin has at this moment.
    pub kept: &'a [(String, Kept)],
    /// When the host started.
    pub started: Timestamp,
}

impl Display for Snapshot<'_> {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        self.host(out)?;
        self.plugins(out)?;
        self.http(out)?;
        self.process(out)
    }
}

impl Snapshot<'_> {
    fn host(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let Numbers { accounts, sessions, users_online, .. } = self.numbers;
        gauge(out, "host_demo_up", "1 while everything is up, as /healthz has it.", u8::from(self.healthy))?;
        head(out, "host_demo_build_info", "gauge", "The version of the host.")?;
        row(out, "host_demo_build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1)?;
        gauge(out, "host_demo_uptime_seconds", "Seconds since the start.", self.seconds_up())?;
        gauge(out, "host_demo_accounts", "Accounts.", accounts)?;
        gauge(out, "host_demo_xmpp_sessions", "XMPP sessions, available or not.", sessions)?;
        gauge(out, "host_demo_users_online", "Users with an available session.", users_online)
    }

    fn plugins(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let Numbers { loads, refusals, .. } = self.numbers;
        counter(out, "host_demo_plugin_loads_total", "Versions of plugins that came into service.", loads)?;
        counter(out, "host_demo_plugin_refusals_total", "Files of plugins that were refused.", refusals)?;
        let name = "host_demo_plugins";
        head(out, name, "gauge", "Plugins by their state.")?;
        let mut states: Vec<&str> = self.plugins.iter().map(|plugin| plugin.state.name()).collect();
        states.sort_unstable();
        for same in states.chunk_by(|a, b| a == b) {
            row(out, name, &[("state", same[0])], same.len())?;
        }
        let known = || self.plugins.iter().filter_map(|plugin| Some((plugin, plugin.id.as_deref()?)));
        let name = "host_demo_plugin_generation";
        head(out, name, "gauge", "The number of the version in service.")?;
        for (plugin, id) in known().filter(|(plugin, _)| plugin.state == State::Active) {
            let version = plugin.version.as_deref().unwrap_or_default();
            row(out, name, &[("plugin", id), ("version", version)], plugin.generation.unwrap_or_default())?;
        }
        let name = "host_demo_plugin_generations_retired";
        head(out, name, "gauge", "Ended versions that are still mapped, and will be until the host ends.")?;
        let mut retired: Vec<_> = known().map(|(plugin, id)| (id, plugin.retired)).collect();
        retired.sort_unstable();
        // A plugin has a row more while a file of it is refused.
        for same in retired.chunk_by(|a, b| a.0 == b.0) {
            row(out, name, &[("plugin", same[0].0)], same[same.len() - 1].1)?;
        }
        let name = "host_demo_plugin_memory_bytes";
        head(out, name, "gauge", "Memory that the version in service allocated and did not free.")?;
        self.kept.iter().try_for_each(|(plugin, kept)| row(out, name, &[("plugin", plugin)], kept.memory))?;
        let name = "host_demo_plugin_inline_stalls_total";
        head(out, name, "counter", "Calls of inline handlers that had not returned after 100 ms.")?;
        self.stalls.iter().try_for_each(|(plugin, count)| row(out, name, &[("plugin", plugin)], count))?;
        let name = "host_demo_plugin_crashes";
        head(
            out,
            name,
            "gauge",
            "Crashes of the host in the last 30 days, by the plugin that caused them; a retry forgets them.",
        )?;
        self.crashes.iter().try_for_each(|(plugin, count)| row(out, name, &[("plugin", plugin)], count))?;
        let name = "host_demo_plugin_records_bytes";
        head(
            out,
            name,
            "gauge",
            "What a plugin has the host keep in records, of 67108864 that it may, deployed or not.",
        )?;
        self.records.iter().try_for_each(|(plugin, bytes)| row(out, name, &[("plugin", plugin)], bytes))
    }

    fn http(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let name = "host_demo_http_responses_total";
        head(out, name, "counter", "Responses of the public listener; without a plugin they are the host's own.")?;
        for (plugin, counts) in self.responses {
            for (class, count) in CLASSES.iter().zip(counts) {
                row(out, name, &[("plugin", plugin.as_str()), ("class", class)], count)?;
            }
        }
        let name = "host_demo_http_requests_in_flight";
        head(out, name, "gauge", "Requests and streams that a plugin has not finished.")?;
        self.kept.iter().try_for_each(|(plugin, kept)| row(out, name, &[("plugin", plugin)], kept.in_flight))
    }

    fn process(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let process = Process::now();
        let started = self.started.as_millisecond() as f64 / 1e3;
        gauge(out, "process_start_time_seconds", "When the process started, in seconds since 1970.", started)?;
        if let Some(seconds) = process.cpu_seconds {
            counter(out, "process_cpu_seconds_total", "User and system time of the process.", seconds)?;
        }
        let gauges = [
            ("process_resident_memory_bytes", "Resident memory of the process.", process.resident),
            ("process_open_fds", "Open file descriptors.", process.descriptors),
            ("process_threads", "Threads.", process.threads),
        ];
        let known = gauges.into_iter().filter_map(|(name, help, value)| Some((name, help, value?)));
        known.into_iter().try_for_each(|(name, help, value)| gauge(out, name, help, value))
    }

    fn seconds_up(&self) -> u64 {
        // The wall clock may have been set back.
        u64::try_from(Timestamp::now().as_second() - self.started.as_second()).unwrap_or(0)
    }
}

fn gauge(out: &mut Formatter<'_>, name: &str, help: &str, value: impl Display) -> fmt::Result {
    head(out, name, "gauge", help)?;
    row(out, name, &[], value)
}

fn counter(out: &mut Formatter<'_>, name: &str, help: &str, value: impl Display) -> fmt::Result {
    head(out, name, "counter", help)?;
    row(out, name, &[], value)
}

fn head(out: &mut Formatter<'_>, name: &str, kind: &str, help: &str) -> fmt::Result {
    write!(out, "# HELP {name} {help}\n# TYPE {name} {kind}\n")
}

/// A label without a value is no label.
fn row(out: &mut Formatter<'_>, name: &str, labels: &[(&str, &str)], value: impl Display) -> fmt::Result {
    out.write_str(name)?;
    let mut separator = '{';
    for (label, text) in labels.iter().filter(|(_, text)| !text.is_empty()) {
        let escaped = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        write!(out, "{separator}{label}=\"{escaped}\"")?;
        separator = ',';
    }
    let close = if separator == ',' { "}" } else { "" };
    writeln!(out, "{close} {value}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plugin(id: &str, state: State, retired: u64) -> PluginStatus {
        PluginStatus {
            id: Some(id.into()),
            version: Some("1\"0\\\n".into()),
            state,
            file: None,
            sha256: None,
            routes: Vec::new(),
            reason: None,
            generation: Some(4),
            retired,
            since: Timestamp::UNIX_EPOCH,
        }
    }

    fn exposition() -> String {
        let snapshot = Snapshot {
            numbers: Numbers { accounts: 5, sessions: 3, users_online: 2, loads: 9, refusals: 1 },
            plugins: &[plugin("a", State::Active, 3), plugin("a", State::Refused, 0), plugin("b", State::Active, 0)],
            healthy: true,
            responses: &[(String::new(), [0, 1, 0, 2, 0]), ("a".into(), [0, 7, 0, 0, 0])],
            stalls: &[("a".into(), 12)],
            crashes: &[("b".into(), 2)],
            records: &[("c".into(), 900)],
            kept: &[("a".into(), Kept { in_flight: 6, memory: 7_000 })],
            started: Timestamp::from_second(1000).unwrap(),
        };
        snapshot.to_string()
    }

    #[test]
    fn each_number_has_its_row() {
        let text = exposition();
        for row in [
            "host_demo_up 1",
            "host_demo_accounts 5",
            "host_demo_xmpp_sessions 3",
            "host_demo_users_online 2",
            "host_demo_plugin_loads_total 9",
            "host_demo_plugin_refusals_total 1",
            "host_demo_plugins{state=\"active\"} 2",
            "host_demo_plugins{state=\"refused\"} 1",
            r#"host_demo_plugin_generation{plugin="a",version="1\"0\\\n"} 4"#,
            "host_demo_plugin_generations_retired{plugin=\"a\"} 3",
            "host_demo_http_responses_total{class=\"4xx\"} 2",
            "host_demo_http_responses_total{plugin=\"a\",class=\"2xx\"} 7",
            "host_demo_http_requests_in_flight{plugin=\"a\"} 6",
            "host_demo_plugin_memory_bytes{plugin=\"a\"} 7000",
            "host_demo_plugin_inline_stalls_total{plugin=\"a\"} 12",
            "host_demo_plugin_crashes{plugin=\"b\"} 2",
            "host_demo_plugin_records_bytes{plugin=\"c\"} 900",
            "process_start_time_seconds 1000",
        ] {
            assert!(text.lines().any(|line| line == row), "{row}\n{text}");
        }
    }

    /// The rules of the format: HELP and TYPE once and before the rows of their name, no row twice, a number at its end.
    #[test]
    fn the_text_is_well_formed() {
        let text = exposition();
        let (mut families, mut rows) = (Vec::new(), Vec::new());
        for line in text.lines() {
            if let Some(help) = line.strip_prefix("# HELP ") {
                families.push(help.split(' ').next().unwrap());
            } else if let Some(kind) = line.strip_prefix("# TYPE ") {
                assert_eq!(kind.split(' ').next(), families.last().copied());
            } else {
                let (row, value) = line.rsplit_once(' ').unwrap();
                assert!(value.parse::<f64>().is_ok(), "{line}");
                assert_eq!(row.split('{').next(), families.last().copied());
                rows.push(row);
            }
        }
        let count = (families.len(), rows.len());
        families.sort_unstable();
        families.dedup();
        rows.sort_unstable();
        rows.dedup();
        assert_eq!((families.len(), rows.len()), count, "{text}");
    }
}
