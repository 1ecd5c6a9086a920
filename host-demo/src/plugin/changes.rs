//! Telling a generation of changes of presence, coalesced per user, and of timers that are due: on one thread of the generation's own.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, OnceLock, Weak},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex};
use plugin_api::abi::{plugin_presence::PluginPresenceRef, plugin_timers::PluginTimersRef};

use super::{
    mark::Mark,
    timers::{Full, Timers},
};
use crate::presence::{Listener, Source};

/// The subscriptions and timers of one generation, and what waits to be told.
pub struct Changes {
    name: String,
    state: Mutex<State>,
    changed: Condvar,
    teller: Mutex<Option<JoinHandle<()>>>,
    plugin: OnceLock<(Ends, &'static Mark)>,
    /// What the source of presence knows of this generation; gone when that stops.
    ear: Mutex<Option<Arc<Ear>>>,
}

/// Whom to tell in a plugin: of changes, and of timers.
#[derive(Default)]
pub struct Ends {
    /// Its end of subscriptions.
    pub presence: Option<PluginPresenceRef>,
    /// Its end of timers.
    pub timers: Option<PluginTimersRef>,
}

/// Why a timer was not set.
#[derive(Debug, PartialEq, Eq)]
pub enum Untimed {
    /// There are too many.
    Full,
    /// The generation has been stopped, or is about to be.
    Stopped,
}

/// Listens for a generation without keeping it.
struct Ear(Weak<Changes>);

#[derive(Default)]
struct State {
    by_user: HashMap<String, Vec<u64>>,
    everybody: Vec<u64>,
    /// Whom a subscription is about, unless it is about everybody.
    users: HashMap<u64, String>,
    /// Users whose change waits, in the order of their first one, with how many more came since.
    waiting: VecDeque<String>,
    lost: HashMap<String, u32>,
    timers: Timers,
    /// The last thing told was a timer: so that neither keeps the other waiting for ever.
    told_timer: bool,
    stopped: bool,
}

/// What is to be told next.
#[derive(Debug, PartialEq, Eq)]
enum News {
    Change { user: String, lost: u32, subscriptions: Vec<u64> },
    Due(u64),
}

impl Changes {
    /// No subscriptions yet. `name` is that of the generation.
    pub fn new(name: String) -> Arc<Changes> {
        Arc::new(Changes {
            name,
            state: Mutex::default(),
            changed: Condvar::new(),
            teller: Mutex::default(),
            plugin: OnceLock::new(),
            ear: Mutex::default(),
        })
    }

    /// Whom to tell. What came before waits for it.
    pub fn connect(self: &Arc<Self>, plugin: Ends, mark: &'static Mark) {
        if self.plugin.set((plugin, mark)).is_ok() && self.state.lock().has_work() {
            self.start_telling();
        }
    }

    /// Has the plugin told of this timer when `delay` has passed.
    ///
    /// # Errors
    /// It never will be.
    pub fn set_timer(self: &Arc<Self>, timer: u64, delay: Duration) -> Result<(), Untimed> {
        let mut state = self.state.lock();
        if state.stopped {
            return Err(Untimed::Stopped);
        }
        let is_next = state.timers.set(timer, Instant::now(), delay).map_err(|Full| Untimed::Full)?;
        drop(state);
        if is_next {
            self.changed.notify_one();
        }
        if self.plugin.get().is_some() {
            self.start_telling();
        }
        Ok(())
    }

    /// Forgets a timer. `false`: it is not waiting.
    pub fn cancel_timer(&self, timer: u64) -> bool {
        self.state.lock().timers.cancel(timer)
    }

    /// Adds a subscription to `user`, or to everybody if it is empty. Every change of `source` from here on will be told.
    pub fn subscribe(self: &Arc<Self>, source: &dyn Source, user: &str, subscription: u64) {
        self.listen(source);
        let mut state = self.state.lock();
        if state.stopped {
            return;
        }
        match user {
            "" => state.everybody.push(subscription),
            user => {
                state.by_user.entry(user.into()).or_default().push(subscription);
                state.users.insert(subscription, user.into());
            }
        }
        drop(state);
        if self.plugin.get().is_some() {
            self.start_telling();
        }
    }

    /// Has the source know this generation when it returns. Not under the lock of the state, which the source waits for.
    fn listen(self: &Arc<Self>, source: &dyn Source) {
        let mut ear = self.ear.lock();
        if ear.is_none() && !self.state.lock().stopped {
            let new: Arc<Ear> = Arc::new(Ear(Arc::downgrade(self)));
            let listener: Arc<dyn Listener> = new.clone();
            source.listen(Arc::downgrade(&listener));
            *ear = Some(new);
        }
    }

    /// Ends a subscription.
    pub fn unsubscribe(&self, subscription: u64) {
        let mut state = self.state.lock();
        let Some(user) = state.users.remove(&subscription) else {
            return state.everybody.retain(|known| *known != subscription);
        };
        if let Some(subscriptions) = state.by_user.get_mut(&user) {
            subscriptions.retain(|known| *known != subscription);
            if subscriptions.is_empty() {
                state.by_user.remove(&user);
            }
        }
    }

    /// Ends all subscriptions and timers.
    pub fn silence(&self) {
        *self.state.lock() = State { stopped: true, ..State::default() };
        self.ear.lock().take();
        self.changed.notify_all();
    }

    /// Ends all subscriptions and timers, and joins the thread, unless it is the one that calls.
    pub fn stop(&self) {
        self.silence();
        let teller = self.teller.lock().take();
        if let Some(teller) = teller.filter(|teller| teller.thread().id() != std::thread::current().id()) {
            // The funnel lets no panic through: there is nothing to learn from the result.
            let _ = teller.join();
        }
    }

    fn start_telling(self: &Arc<Self>) {
        let mut teller = self.teller.lock();
        if teller.is_some() || self.state.lock().stopped {
            return;
        }
        let changes = self.clone();
        let thread = std::thread::Builder::new().name(format!("{}-changes", self.name));
        match thread.spawn(move || changes.tell_all()) {
            Ok(thread) => *teller = Some(thread),
            Err(error) => log::error!("{}: no thread for changes of presence and timers: {error}", self.name),
        }
    }

    fn tell_all(&self) {
        let Some((plugin, mark)) = self.plugin.get() else { return };
        while let Some(news) = self.next() {
            mark.keep_thread(|| tell(plugin, &news));
        }
    }

    /// Waits for something to tell. `None`: stopped.
    fn next(&self) -> Option<News> {
        let mut state = self.state.lock();
        loop {
            if state.stopped {
                return None;
            }
            if let Some(news) = state.take_news() {
                return Some(news);
            }
            match state.timers.next() {
                Some(due) => drop(self.changed.wait_until(&mut state, due)),
                None => self.changed.wait(&mut state),
            }
        }
    }
}

fn tell(plugin: &Ends, news: &News) {
    match (news, plugin) {
        (News::Change { user, lost, subscriptions }, Ends { presence: Some(presence), .. }) => {
            for subscription in subscriptions {
                presence.changed()(*subscription, user.as_str().into(), *lost);
            }
        }
        (News::Due(timer), Ends { timers: Some(timers), .. }) => timers.due()(*timer),
        // It asked for what it has no end of.
        _ => {}
    }
}

impl Listener for Ear {
    fn presence_changed(&self, user: &str) {
        if let Some(changes) = self.0.upgrade() {
            changes.presence_changed(user);
        }
    }
}

impl Changes {
    fn presence_changed(&self, user: &str) {
        let mut state = self.state.lock();
        if state.everybody.is_empty() && !state.by_user.contains_key(user) {
            return;
        }
        if let Some(lost) = state.lost.get_mut(user) {
            *lost = lost.saturating_add(1);
            return;
        }
        state.lost.insert(user.into(), 0);
        state.waiting.push_back(user.into());
        self.changed.notify_one();
    }
}

impl State {
    fn has_work(&self) -> bool {
        !self.everybody.is_empty() || !self.by_user.is_empty() || self.timers.next().is_some()
    }

    /// A change or a timer that is due, in turn while there are both.
    fn take_news(&mut self) -> Option<News> {
        let now = Instant::now();
        let timer_is_first = !self.told_timer || self.waiting.is_empty();
        let due = if timer_is_first { self.timers.take_due(now) } else { None };
        self.told_timer = due.is_some();
        due.map(News::Due).or_else(|| self.take_change())
    }

    fn take_change(&mut self) -> Option<News> {
        let user = self.waiting.pop_front()?;
        let lost = self.lost.remove(&user).unwrap_or_default();
        let subscriptions = self.subscribers(&user);
        Some(News::Change { user, lost, subscriptions })
    }

    fn subscribers(&self, user: &str) -> Vec<u64> {
        let own = self.by_user.get(user).into_iter().flatten();
        self.everybody.iter().chain(own).copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::presence::Table;

    #[test]
    fn changes_of_one_user_are_told_once_with_the_count_of_those_left_out() {
        let (changes, source) = (Changes::new("test".into()), Table::default());
        changes.subscribe(&source, "ann@x", 1);
        changes.subscribe(&source, "", 2);
        for user in ["ann@x", "bob@x", "ann@x", "ann@x"] {
            source.forget(user);
        }
        let change = |user: &str, lost, subscriptions| News::Change { user: user.into(), lost, subscriptions };
        assert_eq!(changes.next(), Some(change("ann@x", 2, vec![2, 1])));
        assert_eq!(changes.next(), Some(change("bob@x", 0, vec![2])));
    }

    #[test]
    fn timers_and_changes_take_turns() {
        let (changes, source) = (Changes::new("test".into()), Table::default());
        changes.subscribe(&source, "", 1);
        for timer in [7, 8, 9] {
            changes.set_timer(timer, Duration::ZERO).unwrap();
        }
        for user in ["ann@x", "bob@x", "cid@x"] {
            source.forget(user);
        }
        let told: Vec<_> = (0..6).map(|_| matches!(changes.next(), Some(News::Due(_)))).collect();
        assert_eq!(told, [true, false, true, false, true, false]);
    }

    #[test]
    fn a_timer_is_waited_for_while_nothing_else_happens() {
        let (changes, begun) = (Changes::new("test".into()), Instant::now());
        let delay = Duration::from_millis(20);
        changes.set_timer(1, Duration::from_secs(3_600)).unwrap();
        changes.set_timer(2, delay).unwrap();
        assert_eq!(changes.next(), Some(News::Due(2)));
        assert!(begun.elapsed() >= delay, "it was early");
        assert!(changes.cancel_timer(1) && !changes.cancel_timer(2));
        assert!(!changes.state.lock().has_work());
    }

    #[test]
    fn nobody_is_told_of_users_not_subscribed_to() {
        let (changes, source) = (Changes::new("test".into()), Table::default());
        changes.subscribe(&source, "ann@x", 1);
        changes.unsubscribe(1);
        source.forget("ann@x");
        assert!(changes.state.lock().waiting.is_empty());
        assert!(changes.state.lock().by_user.is_empty());
    }

    #[test]
    fn a_stopped_generation_hears_and_keeps_nothing() {
        let (changes, source) = (Changes::new("test".into()), Table::default());
        changes.subscribe(&source, "", 1);
        changes.set_timer(1, Duration::ZERO).unwrap();
        let ear = Arc::downgrade(changes.ear.lock().as_ref().unwrap());
        source.forget("ann@x");
        changes.stop();
        assert_eq!(ear.strong_count(), 0, "the source would call it for ever");
        // A call that came through just before.
        changes.subscribe(&source, "", 2);
        assert_eq!(changes.set_timer(2, Duration::ZERO), Err(Untimed::Stopped));
        assert!(changes.ear.lock().is_none() && !changes.state.lock().has_work());
        source.forget("bob@x");
        assert_eq!(changes.next(), None);
        assert!(changes.state.lock().waiting.is_empty());
    }
}
