//! Sends the records of the plugin's own copy of `log` to the host, which would otherwise never see them.

use std::sync::atomic::{AtomicBool, Ordering};

use log::{LevelFilter, Log, Metadata, Record};

use crate::Host;

struct Forward;

static FORWARD: Forward = Forward;
/// Whether the records go to the host.
static CONNECTED: AtomicBool = AtomicBool::new(false);

impl Log for Forward {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &Record<'_>) {
        let Some(host) = Host::current().filter(|_| self.enabled(record.metadata())) else { return };
        let level = record.level() as u8;
        match record.args().as_str() {
            Some(text) => host.log(level, record.target(), text),
            None => host.log(level, record.target(), &record.args().to_string()),
        }
    }

    fn flush(&self) {}
}

/// Connects `log` to the host, at the host's level.
pub(crate) fn install(host: Host) {
    // A plugin that installed a logger of its own keeps it.
    if log::set_logger(&FORWARD).is_ok() {
        CONNECTED.store(true, Ordering::Relaxed);
        set_level(host.max_log_level());
    }
}

/// Takes over a level of the host. A plugin with a logger of its own keeps its level too.
pub(crate) fn set_level(level: u8) {
    if CONNECTED.load(Ordering::Relaxed) {
        log::set_max_level(LevelFilter::iter().nth(level.into()).unwrap_or(LevelFilter::Trace));
    }
}
