//! Which plugin a thread runs at this moment, so that a process which dies of it can leave the name behind.
//!
//! Set around every call into a plugin, read by the handlers in [`crash`](super::crash). The thread-local value is made
//! at compile time and has nothing to drop: reading it in a signal handler allocates nothing and takes no lock.

use std::{
    cell::Cell,
    path::Path,
    sync::{
        OnceLock,
        atomic::{Ordering, compiler_fence},
    },
};

use parking_lot::Mutex;
use plugin_api::manifest::Manifest;

use super::route::Route;

/// One version of a plugin under the names by which it is remembered, as they are written. Never freed.
pub struct Mark {
    number: usize,
    plugin: String,
    name: String,
    lines: String,
    routes: OnceLock<Vec<String>>,
}

/// What a thread runs.
#[derive(Clone, Copy)]
struct Running {
    mark: Option<&'static Mark>,
    route: usize,
    /// It has run a plugin before: a thread of this host's.
    is_lent: bool,
}

const NO_ROUTE: usize = usize::MAX;

/// All marks, by their numbers.
static MARKS: Mutex<Vec<&'static Mark>> = Mutex::new(Vec::new());

thread_local! {
    static RUNNING: Cell<Running> = const { Cell::new(Running { mark: None, route: NO_ROUTE, is_lent: false }) };
}

impl Mark {
    /// A mark for what is in a staged copy.
    pub fn new(manifest: &Manifest, staged: &Path) -> &'static Mark {
        let copy = staged.file_name().unwrap_or_default().display();
        let lines = format!("plugin={}\nversion={}\ncopy={copy}\n", manifest.id, manifest.version);
        let (plugin, name) = (manifest.id.clone(), format!("{} {}", manifest.id, manifest.version));
        let mut marks = MARKS.lock();
        let mark = Box::leak(Box::new(Mark { number: marks.len(), plugin, name, lines, routes: OnceLock::new() }));
        marks.push(mark);
        mark
    }

    /// The mark with this number.
    pub fn numbered(number: usize) -> Option<&'static Mark> {
        MARKS.lock().get(number).copied()
    }

    /// What it is known by where a reference can't be kept.
    pub fn number(&self) -> usize {
        self.number
    }

    /// The id of the plugin.
    pub fn plugin(&self) -> &str {
        &self.plugin
    }

    /// The plugin and its version.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The full pattern of one of its routes; nothing, if it is none.
    pub fn route(&self, route: usize) -> &str {
        self.route_line(route).trim_start_matches("route=").trim_end()
    }

    /// Makes its routes known, once it has started.
    pub fn know_routes(&self, routes: &[Route]) {
        // They are known once and do not change.
        let _ = self.routes.set(routes.iter().map(|route| format!("route={}\n", route.pattern())).collect());
    }

    /// Runs code of the plugin.
    pub fn run<R>(&'static self, code: impl FnOnce() -> R) -> R {
        self.run_route(NO_ROUTE, code)
    }

    /// Runs the route of this index.
    pub fn run_route<R>(&'static self, route: usize, code: impl FnOnce() -> R) -> R {
        let _former = Former(RUNNING.replace(Running { mark: Some(self), route, is_lent: true }));
        // A signal handler reads it: it must stand there before the call and until its end.
        compiler_fence(Ordering::SeqCst);
        code()
    }

    /// Runs code of the plugin on a thread that is there for nothing else: the mark stays. When such a thread ends, it
    /// runs what destructors the plugin has left in thread-local values.
    pub fn keep_thread<R>(&'static self, code: impl FnOnce() -> R) -> R {
        RUNNING.set(Running { mark: Some(self), route: NO_ROUTE, is_lent: true });
        self.run(code)
    }

    /// What is written of it.
    pub fn lines(&self) -> &str {
        &self.lines
    }

    /// What is written of one of its routes; nothing, if it is none.
    fn route_line(&self, route: usize) -> &str {
        self.routes.get().and_then(|routes| routes.get(route)).map_or("", String::as_str)
    }
}

/// What a thread ran before.
struct Former(Running);

impl Drop for Former {
    fn drop(&mut self) {
        compiler_fence(Ordering::SeqCst);
        RUNNING.set(Running { is_lent: true, ..self.0 });
    }
}

/// Whether this thread is the host's and was lent to a plugin before. Then what it does without a mark is the host's own
/// doing, whatever an earlier call has left on its stack.
pub fn is_lent() -> bool {
    RUNNING.get().is_lent
}

/// What this thread runs, and what is written of the route.
pub fn running() -> Option<(&'static Mark, &'static str)> {
    let Running { mark, route, .. } = RUNNING.get();
    mark.map(|mark| (mark, mark.route_line(route)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(id: &str) -> &'static Mark {
        let manifest = Manifest::parse(format!("id={id}\nversion=1.2.3\nabi=0.1\ntarget=t\n").as_bytes()).unwrap();
        Mark::new(&manifest, Path::new("/state/staging/a-00-7.so"))
    }

    fn seen() -> Option<&'static str> {
        running().map(|(mark, _)| mark.lines())
    }

    #[test]
    fn a_thread_is_marked_for_as_long_as_it_runs_a_plugin() {
        assert_eq!((seen(), is_lent()), (None, false));
        let inner = || mark("inner").run(seen);
        let (inside, after) = mark("outer").run(|| (inner(), seen()));
        assert_eq!(inside, Some("plugin=inner\nversion=1.2.3\ncopy=a-00-7.so\n"));
        assert!(after.unwrap().starts_with("plugin=outer\n"));
        assert_eq!((seen(), is_lent()), (None, true));
    }

    #[test]
    fn a_panic_takes_the_mark_with_it() {
        let panicked = std::panic::catch_unwind(|| mark("a").run(|| panic!("on purpose")));
        assert!(panicked.is_err());
        assert_eq!(seen(), None);
    }

    #[test]
    fn a_thread_of_a_plugin_is_marked_to_its_end() {
        let end = std::thread::spawn(|| {
            mark("a").keep_thread(|| ());
            mark("a").run_route(3, || ());
            seen()
        });
        assert!(end.join().unwrap().unwrap().starts_with("plugin=a\n"));
    }

    #[test]
    fn a_route_that_is_none_is_not_written() {
        assert_eq!(mark("a").run_route(3, || running().unwrap().1), "");
    }
}
