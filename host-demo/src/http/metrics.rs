//! What the public listener counts: responses by their class and by the plugin that gave them.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use actix_web::http::StatusCode;
use arc_swap::ArcSwap;

use crate::lines::{LINES, line_of_this_thread};

/// The classes of status codes (RFC 9110 section 15), as metrics call them.
pub const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// Counters, from the start of the host on.
#[derive(Default)]
pub struct Metrics {
    own: Responses,
    /// There are few: to look for one of them costs less than its hash.
    plugins: ArcSwap<Vec<(String, Arc<Responses>)>>,
}

/// Each thread counts on a line of its own.
#[derive(Default)]
struct Responses([Line; LINES]);

#[derive(Default)]
#[repr(align(64))]
struct Line([AtomicU64; CLASSES.len()]);

impl Metrics {
    /// Counts a response of the host's own.
    pub fn count_own(&self, status: StatusCode) {
        self.own.count(status);
    }

    /// Counts a response to a request that was a plugin's to answer.
    pub fn count(&self, plugin: &str, status: StatusCode) {
        if !self.count_known(plugin, status) {
            self.plugins.rcu(|known| {
                let mut plugins = Vec::clone(known);
                // Another thread may have met it first.
                if plugins.iter().all(|(id, _)| id != plugin) {
                    plugins.push((plugin.to_owned(), Arc::default()));
                }
                plugins
            });
            self.count_known(plugin, status);
        }
    }

    fn count_known(&self, plugin: &str, status: StatusCode) -> bool {
        let plugins = self.plugins.load();
        let known = plugins.iter().find(|(id, _)| id == plugin);
        known.inspect(|(_, responses)| responses.count(status)).is_some()
    }

    /// How many responses there were in each of [`CLASSES`], by plugin; those of the host itself have an empty name and come first.
    pub fn responses(&self) -> Vec<(String, [u64; CLASSES.len()])> {
        let mut rows: Vec<_> = self.plugins.load().iter().map(|(id, counts)| (id.clone(), counts.read())).collect();
        rows.push((String::new(), self.own.read()));
        rows.sort();
        rows
    }
}

impl Responses {
    fn count(&self, status: StatusCode) {
        let class = usize::from(status.as_u16() / 100);
        if let Some(counter) = self.0[line_of_this_thread()].0.get(class.wrapping_sub(1)) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn read(&self) -> [u64; CLASSES.len()] {
        std::array::from_fn(|class| self.0.iter().map(|line| line.0[class].load(Ordering::Relaxed)).sum())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn responses_are_counted_by_plugin_and_class() {
        let metrics = Metrics::default();
        metrics.count_own(StatusCode::NOT_FOUND);
        metrics.count("hello", StatusCode::OK);
        metrics.count("hello", StatusCode::NO_CONTENT);
        metrics.count("hello", StatusCode::from_u16(999).unwrap());
        let expected = [(String::new(), [0, 0, 0, 1, 0]), ("hello".to_owned(), [0, 2, 0, 0, 0])];
        assert_eq!(metrics.responses(), expected);
    }
}
