//! Stanzas on their way into a generation: one after the other, on one thread of the generation's own.

use std::{
    collections::VecDeque,
    sync::Arc,
    thread::JoinHandle,
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex};
use plugin_api::abi::plugin_component::PluginComponentRef;

use super::{generation::Call, mark::Mark};

/// The most stanzas that may wait for one generation.
pub const MAX_STANZAS: usize = 1_000;
/// The most bytes that may wait for one generation.
pub const MAX_BYTES: usize = 1 << 20;

/// What became of a stanza that was handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handed {
    /// It is with the plugin, or will be.
    Over,
    /// Too much waits.
    Full,
    /// Nobody takes stanzas here, or not any more.
    Gone,
}

/// The stanzas that wait for one generation.
pub struct Stanzas {
    name: String,
    plugin: PluginComponentRef,
    mark: &'static Mark,
    state: Mutex<State>,
    /// Told when a stanza came, when one was taken by the plugin, and at the end.
    changed: Condvar,
    giver: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Waiting>,
    bytes: usize,
    /// The plugin has one at this moment.
    busy: bool,
    stopped: bool,
}

/// A stanza, and what keeps its generation from being stopped before it is handled, if anything does.
struct Waiting {
    stanza: String,
    call: Option<Call>,
}

impl Stanzas {
    /// None yet, and no thread. `name` is that of the generation.
    pub fn new(name: String, plugin: PluginComponentRef, mark: &'static Mark) -> Arc<Stanzas> {
        let (state, giver) = (Mutex::default(), Mutex::default());
        Arc::new(Stanzas { name, plugin, mark, state, changed: Condvar::new(), giver })
    }

    /// Queues a stanza. `call` keeps the generation from being stopped until it is handled; without one it may be given up with the generation.
    pub fn hand(self: &Arc<Self>, stanza: String, call: Option<Call>) -> Handed {
        let mut state = self.state.lock();
        if state.stopped {
            return Handed::Gone;
        }
        if state.waiting.len() >= MAX_STANZAS || state.bytes + stanza.len() > MAX_BYTES {
            return Handed::Full;
        }
        if !self.has_giver() {
            return Handed::Gone;
        }
        state.bytes += stanza.len();
        state.waiting.push_back(Waiting { stanza, call });
        self.changed.notify_all();
        Handed::Over
    }

    /// Makes the thread with the first stanza: most generations never get one.
    fn has_giver(self: &Arc<Self>) -> bool {
        let mut giver = self.giver.lock();
        if giver.is_none() {
            let stanzas = self.clone();
            let thread = std::thread::Builder::new().name(format!("{}-stanzas", self.name));
            match thread.spawn(move || stanzas.give_all()) {
                Ok(thread) => *giver = Some(thread),
                Err(error) => log::error!("{}: no thread for stanzas: {error}", self.name),
            }
        }
        giver.is_some()
    }

    fn give_all(&self) {
        while let Some(Waiting { stanza, call }) = self.next() {
            self.mark.keep_thread(|| self.plugin.stanza()(stanza.as_str().into()));
            drop(call);
            self.state.lock().busy = false;
            self.changed.notify_all();
        }
    }

    /// Waits for a stanza. `None`: stopped.
    fn next(&self) -> Option<Waiting> {
        let mut state = self.state.lock();
        loop {
            if state.stopped {
                return None;
            }
            if let Some(next) = state.waiting.pop_front() {
                state.bytes -= next.stanza.len();
                state.busy = true;
                return Some(next);
            }
            self.changed.wait(&mut state);
        }
    }

    /// Takes no more, and gives up those that wait. Answers how many there were.
    pub fn cut(&self) -> usize {
        let mut state = self.state.lock();
        state.stopped = true;
        let left = std::mem::take(&mut state.waiting);
        drop(state);
        self.changed.notify_all();
        left.len()
    }

    /// As [`cut`](Stanzas::cut); then waits up to `patience` for the plugin to return from the one that it has, and joins the thread.
    /// `false`: it has not returned.
    pub fn stop(&self, patience: Duration) -> bool {
        self.cut();
        let deadline = Instant::now() + patience;
        let mut state = self.state.lock();
        while state.busy {
            if self.changed.wait_until(&mut state, deadline).timed_out() {
                return false;
            }
        }
        drop(state);
        let giver = self.giver.lock().take();
        if let Some(giver) = giver.filter(|giver| giver.thread().id() != std::thread::current().id()) {
            // The funnel lets no panic through: there is nothing to learn from the result.
            let _ = giver.join();
        }
        true
    }
}
