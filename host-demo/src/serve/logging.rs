//! The log on standard error, whose level can change while the server runs.

use std::sync::LazyLock;

use arc_swap::ArcSwap;
use log::{LevelFilter, Log, Metadata, Record};

static LOG: LazyLock<Current> = LazyLock::new(|| Current(ArcSwap::from_pointee(logger(LevelFilter::Info))));

/// The logger of the level that holds now.
struct Current(ArcSwap<env_logger::Logger>);

impl Log for Current {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.0.load().enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        self.0.load().log(record);
    }

    fn flush(&self) {
        self.0.load().flush();
    }
}

/// Logs from now on, or in another measure than before.
pub(super) fn set_level(level: LevelFilter) {
    let logger = logger(level);
    log::set_max_level(logger.filter());
    LOG.0.store(logger.into());
    // Fails from the second time on.
    let _ = log::set_logger(&*LOG);
}

fn logger(level: LevelFilter) -> env_logger::Logger {
    let mut logger = env_logger::Builder::new();
    logger.filter_level(level);
    // What the libraries below us say is for their authors, unless it is bad.
    for library in ["actix_server", "rustls", "tokio_rustls"] {
        logger.filter_module(library, level.min(LevelFilter::Warn));
    }
    // It calls every malformed request an error: any client could fill the log.
    logger.filter_module("actix_http", LevelFilter::Off);
    logger.format_timestamp_millis().build()
}
