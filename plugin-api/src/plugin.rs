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

    /// Whether the plugin can do its work: its files are there, its database answers. A version that takes over from an earlier one
    /// is asked right after and again towards the end of its first 10 s in service. An error, a panic or no answer within 3 s
    /// takes it out again: the earlier version comes back, and the administrator reads the error. It runs beside requests, on a
    /// thread of its own.
    ///
    /// The same happens to a version that fails more than one in twenty requests in that time: that answers 500 or above, panics,
    /// gives requests up or lets them time out.
    fn self_test(&self) -> Result<()> {
        Ok(())
    }

    /// No new request will come, though one that is under way may still open a stream. Streams should tell their clients to come
    /// back, and finish: after 30 s they are cut.
    fn drain(&self) {}
}
