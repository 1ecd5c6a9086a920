//! One loaded version of a plugin.
//!
//! The order of its life is a chain of types: [`Loaded`] has been opened and its root checked, [`Generation`] has been started. Requests go
//! through a [`Call`]. A library is never closed: unloading Rust code is unsafe in ways that nobody can check, so a stopped generation stays
//! mapped.

mod call;
#[allow(unsafe_code, reason = "opens a library and reads its root")]
mod load;
#[allow(unsafe_code, reason = "maps pages of a library anew")]
mod relro;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use plugin_api::{
    abi::{plugin_http::PluginHttpRef, plugin_life::PluginLifeRef},
    manifest::Manifest,
};

pub use self::{
    call::{Call, CallError, Doors},
    load::{LoadError, Loaded, StartError},
};
use super::{
    calls::{Calls, Tally},
    context::Context,
    route::Route,
    shown,
    stanzas::{Handed, Stanzas},
    threads::Threads,
};
use crate::store::{SettingSchema, SettingsChange};

/// How long a handler that is cut may take to notice. It was told to come to its end long before, and a version is to be gone
/// within a second of the cut (`make soak ROW=P26`).
pub const JOB_PATIENCE: Duration = Duration::from_millis(750);

/// A started plugin.
pub struct Generation {
    context: &'static Context,
    library: PathBuf,
    number: u64,
    life: PluginLifeRef,
    http: Option<PluginHttpRef>,
    routes: Vec<Route>,
    stanzas: Option<Arc<Stanzas>>,
    threads: Threads,
    calls: Calls,
    cut: AtomicBool,
    /// Its streams were sent away.
    drains: AtomicBool,
}

impl Generation {
    /// What the plugin says of itself.
    pub fn manifest(&self) -> &Manifest {
        &self.context.manifest
    }

    /// The staged copy that is mapped.
    pub fn library(&self) -> &Path {
        &self.library
    }

    /// The number of this generation among all of this plugin.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Its routes.
    pub fn routes(&self) -> &[Route] {
        &self.routes
    }

    /// The settings that it declared.
    pub fn settings(&self) -> Vec<SettingSchema> {
        self.context.declared()
    }

    /// What is to be stored of its settings when it comes into service, if anything is.
    pub fn settings_change(&self) -> Option<SettingsChange> {
        self.context.settings_change()
    }

    /// Has it read these values of its settings from here on, whatever is stored; `None`: those that are.
    pub fn show_settings(&self, values: Option<BTreeMap<String, String>>) {
        self.context.show_settings(values);
    }

    /// Whether it answers for an XMPP address of its own.
    pub fn is_component(&self) -> bool {
        self.stanzas.is_some()
    }

    /// Hands it a stanza that was sent to that address, though it takes no more calls: what it still has to finish may wait for this
    /// answer. `Gone`: it has nothing to finish, and is not to have a thread made for it at its end.
    pub fn hand_while_draining(&self, stanza: String) -> Handed {
        match &self.stanzas {
            Some(stanzas) if self.in_flight() > 0 => stanzas.hand(stanza, None),
            _ => Handed::Gone,
        }
    }

    /// How many requests and streams are not finished.
    pub fn in_flight(&self) -> usize {
        self.calls.open()
    }

    /// Its name in logs and of its threads: `presence#3`.
    pub fn name(&self) -> &str {
        self.threads.name()
    }

    /// The bytes that the plugin has allocated and not freed.
    pub fn memory(&self) -> u64 {
        self.context.mark.run(|| self.life.memory()())
    }

    /// How its requests went so far.
    pub fn tally(&self) -> Tally {
        self.calls.tally()
    }

    /// Tells the plugin that a setting changed, and waits for it to have taken note.
    pub fn settings_changed(&self) {
        self.context.mark.keep_thread(|| self.life.settings_changed()());
    }

    /// Tells the plugin which records are written from now on.
    pub fn log_level_changed(&self) {
        self.context.mark.run(|| self.life.log_level_changed()(log::max_level() as u8));
    }

    /// Asks the plugin whether it can do its work. Blocks for as long as it takes to find out.
    ///
    /// # Errors
    /// It can't, for this reason.
    pub fn self_test(&self) -> Result<(), String> {
        self.context.mark.keep_thread(|| self.life.self_test()()).into_result().map_err(|reason| shown::line(&reason))
    }

    /// Takes no more calls: whoever comes with an old table looks the route up again. To be called when a table without this
    /// generation has been published.
    pub fn close(&self) {
        self.calls.close();
    }

    /// Tells the plugin to send its streams' clients away, once.
    pub fn drain(&self) {
        if !self.drains.swap(true, Ordering::SeqCst) {
            self.context.mark.keep_thread(|| self.life.drain()());
        }
    }

    /// Answers all calls of the plugin `CLOSED` from now on, whatever became of its stop.
    pub fn disown(&self) {
        self.context.disown();
    }

    /// Waits until nothing is in flight. To be asked when it takes no more calls.
    pub async fn drained(&self) {
        self.calls.ended().await;
    }

    /// Takes no more calls, and gives up those that are left. Answers how many there were.
    pub fn cut(&self) -> usize {
        self.close();
        self.cut.store(true, Ordering::SeqCst);
        let stanzas = self.stanzas.as_ref().map_or(0, |stanzas| stanzas.cut());
        stanzas + self.context.exchanges.abandon_all("the plugin was replaced or removed")
    }

    /// Ends the plugin: its threads joined, the plugin dropped, its late calls answered `CLOSED`. Blocks. Answers how many of its
    /// handlers are still running after a while; with any, the plugin can't be dropped and its memory is lost.
    pub fn stop(&self) -> usize {
        self.cut();
        self.context.changes.stop();
        let idle = self.stanzas.as_ref().is_none_or(|stanzas| stanzas.stop(JOB_PATIENCE));
        let busy = self.threads.stop(JOB_PATIENCE) + usize::from(!idle);
        if busy == 0 {
            self.context.mark.keep_thread(|| self.life.stop()());
        }
        self.context.stop();
        busy
    }
}

#[cfg(test)]
pub(super) mod tests;
