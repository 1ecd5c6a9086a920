//! What an author writes.

use crate::{Host, Result, Routes, Setting, SettingsMap};

/// A plugin: one value, made by [`start`](Plugin::start), shared by all requests, dropped when the plugin is stopped.
///
/// A panic in any of its functions ends what was being done, never the server: a request is answered 500, a start is refused,
/// anything else is logged.
pub trait Plugin: Send + Sync + Sized + 'static {
    /// The version of the settings' names and values, from 1 on. Raise it when a name or the meaning of a value changes, and move what was
    /// set by [`migrate_settings`](Plugin::migrate_settings). A new setting with a default needs no new version.
    ///
    /// A version of the plugin with a lower number is refused once the settings have moved on, before any of its code runs; one with the
    /// same number is always taken.
    const SETTINGS_VERSION: u32 = 1;

    /// Whether this version of the plugin can serve with settings that a newer one has migrated: values that its declarations do not take
    /// give way to the defaults.
    const READS_NEWER_SETTINGS: bool = false;

    /// Moves the values that were set from version `from` to [`SETTINGS_VERSION`](Plugin::SETTINGS_VERSION); several versions may lie
    /// between. Runs before `start`, which reads the outcome. It is stored, together with the number, at the moment in which this version
    /// comes into service; if it does not, whatever the reason, nothing has changed. An error refuses the plugin with its text.
    ///
    /// Every value left must satisfy its declaration in [`settings`](Plugin::settings). Nothing but `settings` is to be touched: the earlier
    /// version is still serving.
    ///
    /// ```
    /// use plugin_api::prelude::*;
    ///
    /// struct Banner;
    ///
    /// impl Plugin for Banner {
    ///     const SETTINGS_VERSION: u32 = 2;
    ///
    ///     fn settings() -> Vec<Setting> {
    ///         vec![Setting::text("text", "Hello"), Setting::integer("seconds", 1..=60, 5)]
    ///     }
    ///
    ///     // Version 1 had `pause`, in milliseconds.
    ///     fn migrate_settings(_from: u32, settings: &mut SettingsMap) -> Result<()> {
    ///         if let Some(pause) = settings.remove("pause") {
    ///             settings.set("seconds", (pause.parse::<u32>()? / 1000).max(1).to_string());
    ///         }
    ///         Ok(())
    ///     }
    ///
    ///     fn start(_host: Host, _routes: &mut Routes<Self>) -> Result<Self> {
    ///         Ok(Banner)
    ///     }
    /// }
    ///
    /// export_plugin!(Banner, needs = [settings]);
    ///
    /// let mut settings = SettingsMap::from_iter([("pause", "4500")]);
    /// Banner::migrate_settings(1, &mut settings).unwrap();
    /// assert_eq!(settings.get("seconds"), Some("4"));
    /// ```
    fn migrate_settings(from: u32, settings: &mut SettingsMap) -> Result<()> {
        let _ = (from, settings);
        Ok(())
    }

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

    /// A stanza arrived at the plugin's XMPP [`address`](Host::address), or at one at it: XML text in the namespace `jabber:client`. One
    /// stanza after the other, in their order, on a thread that is there for this alone, so that it may block; meanwhile up to a thousand
    /// wait, and the senders of more are told `<resource-constraint/>`. A request (`<iq type='get'/>` or `'set'`) is owed an answer.
    ///
    /// While a version takes over from another, what may be an answer (a result, an error, presence) is told to both, until the other has
    /// finished what it was asked: either may have sent what it answers. Everything else goes to the one in service.
    ///
    /// Only for plugins that need `component`.
    fn stanza(&self, stanza: &str) {
        let _ = stanza;
    }

    /// No new request will come, though one that is under way may still open a stream; when the server itself ends, a few may come on
    /// connections that are open. Streams should tell their clients to come back, and finish: after 30 s they are cut, at the server's
    /// end after 5 s.
    fn drain(&self) {}
}
