//! What an author writes.

use crate::{Host, Result, Routes, Setting};

/// A plugin: one value, made by [`start`](Plugin::start), shared by all requests, dropped when the plugin is stopped.
///
/// A panic in any of its functions ends what was being done, never the server: a request is answered 500, a start is refused,
/// anything else is logged.
pub trait Plugin: Send + Sync + Sized + 'static {
    /// The settings that the administrator can change. Declared before `start` runs, which can read them already.
    fn settings() -> Vec<Setting> {
        Vec::new()
    }

    /// Makes the plugin and registers its routes. An error refuses the plugin with its text; an earlier version, if there is one,
    /// goes on serving. It may block, for 10 s at most.
    fn start(host: Host, routes: &mut Routes<Self>) -> Result<Self>;

    /// A setting was changed; the administrator's command waits for this to return.
    fn settings_changed(&self) {}

    /// No new request will come, though one that is under way may still open a stream. Streams should tell their clients to come
    /// back, and finish: after 30 s they are cut.
    fn drain(&self) {}
}
