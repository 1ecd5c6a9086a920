//! The presence of components: what has no account here is asked itself, by a probe (RFC 6121 section 4.3).
//!
//! Whoever wants to know waits for the answer without a thread, five seconds at most. One probe per address is under way at a time, and whoever
//! asks for the same meanwhile waits with the others; more than [`MOST_WAITING`] don't wait at all. Components have no roster: they are shown to
//! everybody.
//!
//! The first answer counts that comes from the address that was asked, or from a resource there, and does not name another probe, if somebody waits
//! for it. Most name none: what they send is presence as they last announced it, with the id of that or without one, though RFC 6120 section 8.1.3
//! wants that of the probe. So one that comes too late for its probe may answer the next. It is the component's own word, and the latest that there is.
//!
//! Nobody can subscribe to a component by this. One that is watched is remembered, and asked anew once in a while.

mod reply;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use plugin_api::{Host, Jid, Timer, log};

pub use self::reply::Presence;
use self::reply::Reply;
use crate::{moment::Moment, pace, shown::Shown};

/// How long a component has to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// The most that wait for components at a time.
const MOST_WAITING: usize = 100;
/// The most components that are watched at a time: each is asked all the time.
const MOST_WATCHED: usize = 100;

/// The probes that are under way, and the components that are watched.
pub struct Probes {
    host: Host,
    asked: Mutex<Asked>,
}

#[derive(Default)]
struct Asked {
    probes: BTreeMap<String, Probe>,
    watched: BTreeMap<String, Watched>,
    /// How many wait for any of them.
    waiting: usize,
    /// The number of the last probe, or watch.
    number: u64,
}

struct Probe {
    number: u64,
    waiting: Vec<Box<Then>>,
    /// Held for the end of its patience.
    _timer: Timer,
}

/// What is done with a component's answer.
type Then = dyn FnOnce(&Presence) + Send;

struct Watched {
    number: u64,
    /// Whether it is asked by itself: one of too many is not.
    is_asked: bool,
    /// What it said last.
    presence: Option<Presence>,
    changed: Arc<dyn Fn() + Send + Sync>,
}

/// Has a component be watched until it is dropped.
pub struct Watch {
    probes: Arc<Probes>,
    component: String,
    number: u64,
}

/// The address of a component that a request may be about: a domain other than the served one. `known` reads an address.
pub fn component(jid: Option<&str>, known: impl Fn(&str) -> Option<Jid>) -> Option<Jid> {
    // Most are users, who are not looked at any further.
    let text = jid.filter(|text| !text.split('/').next().unwrap_or_default().contains('@'))?;
    known(text).filter(is_component)
}

/// Whether this is the address of a component, if of anybody.
pub fn is_component(jid: &Jid) -> bool {
    jid.localpart().is_none() && !jid.is_local()
}

impl Probes {
    /// None yet. They are numbered from the moment on: those of the version before have other numbers.
    pub fn new(host: Host) -> Arc<Probes> {
        let asked = Asked { number: Moment::now().0, ..Asked::default() };
        Arc::new(Probes { host, asked: Mutex::new(asked) })
    }

    /// Does something as soon as a component has answered: on another thread, or at once where too many wait already.
    pub fn ask(self: &Arc<Self>, component: &Jid, then: impl FnOnce(&Presence) + Send + 'static) {
        if let Err(then) = self.join(component.bare(), Box::new(then)) {
            then(&Presence::Refused);
        }
    }

    /// Has somebody wait, or gives back what was to be done.
    fn join(self: &Arc<Self>, component: &str, then: Box<Then>) -> Result<(), Box<Then>> {
        let mut asked = self.asked();
        if asked.waiting >= MOST_WAITING {
            return Err(then);
        }
        if !asked.probes.contains_key(component) {
            asked.number += 1;
            let Some(probe) = self.send(component, asked.number) else { return Err(then) };
            asked.probes.insert(component.to_owned(), probe);
        }
        asked.waiting += 1;
        let probe = asked.probes.get_mut(component).expect("it is under way");
        probe.waiting.push(then);
        Ok(())
    }

    /// Sends a probe. Under the lock: its answer must find who waits for it.
    fn send(self: &Arc<Self>, component: &str, number: u64) -> Option<Probe> {
        let (probes, asked) = (Arc::downgrade(self), component.to_owned());
        let timer = self.host.after(PATIENCE, move || {
            if let Some(probes) = probes.upgrade() {
                probes.give_up(&asked, number);
            }
        });
        let own = self.host.address();
        let sent = own.and_then(|own| self.host.send(&reply::probe(&own, component, number)));
        match (sent, timer) {
            (Ok(()), Ok(timer)) => Some(Probe { number, waiting: Vec::new(), _timer: timer }),
            (sent, timer) => {
                let cause = sent.err().or(timer.err()).map(|cause| cause.to_string()).unwrap_or_default();
                log::warn!("{component} is not asked for its presence: {cause}");
                None
            }
        }
    }

    /// Takes a stanza that was sent to the plugin. `false`: it is none that somebody waits for.
    pub fn heard(&self, stanza: &str) -> bool {
        let Some(Reply { from, number, presence }) = Reply::read(stanza) else { return false };
        self.conclude(&from, |probe| number.is_none_or(|number| number == probe.number), &presence)
    }

    /// The end of a probe's patience, unless that was of an earlier one.
    fn give_up(&self, component: &str, number: u64) {
        self.conclude(component, |probe| probe.number == number, &Presence::Refused);
    }

    /// Ends the probe of a component, if there is one that fits, by what is known of the component then.
    fn conclude(&self, component: &str, fits: impl Fn(&Probe) -> bool, presence: &Presence) -> bool {
        let mut asked = self.asked();
        if !asked.probes.get(component).is_some_and(fits) {
            return false;
        }
        let probe = asked.probes.remove(component).expect("it is under way");
        asked.waiting -= probe.waiting.len();
        let changed = asked.watched.get_mut(component).and_then(|watched| watched.hear(presence));
        drop(asked);
        probe.waiting.into_iter().for_each(|then| then(presence));
        if let Some(changed) = changed {
            changed();
        }
        true
    }

    /// Remembers from now on what a component says. `changed` is called when it says something else, which it does as soon as it is
    /// [asked](Probes::ask), or [asked anew](Probes::ask_watched). Of more than [`MOST_WATCHED`] nothing is to be seen.
    pub fn watch(self: &Arc<Self>, component: &Jid, changed: impl Fn() + Send + Sync + 'static) -> Watch {
        let component = component.bare().to_owned();
        let mut asked = self.asked();
        asked.number += 1;
        let (number, is_asked) = (asked.number, asked.watched.len() < MOST_WATCHED);
        let presence = (!is_asked).then_some(Presence::Refused);
        let watched = Watched { number, is_asked, presence, changed: Arc::new(changed) };
        asked.watched.insert(component.clone(), watched);
        Watch { probes: self.clone(), component, number }
    }

    /// What a component that is watched said last. `None`: nothing yet.
    pub fn last(&self, component: &Jid) -> Option<Presence> {
        self.asked().watched.get(component.bare())?.presence.clone()
    }

    /// Asks one of so many parts of the components that are watched.
    pub fn ask_watched(self: &Arc<Self>, part: u64, of: u64) {
        let watched: Vec<String> = {
            let asked = self.asked();
            let is_due = |watched: &Watched| watched.is_asked && watched.number % of == part % of;
            let due = asked.watched.iter().filter(|(_, watched)| is_due(watched));
            due.map(|(component, _)| component.clone()).collect()
        };
        for component in watched {
            // Where too many wait, the next time will do.
            let _ = self.join(&component, Box::new(|_| ()));
        }
    }

    fn asked(&self) -> MutexGuard<'_, Asked> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watched {
    /// Notes what it says. Answers whom to tell if that is something else.
    fn hear(&mut self, presence: &Presence) -> Option<Arc<dyn Fn() + Send + Sync>> {
        if self.presence.as_ref() == Some(presence) {
            return None;
        }
        self.presence = Some(presence.clone());
        Some(self.changed.clone())
    }
}

impl Presence {
    /// Shows what `component` says to anybody. Who does not tell counts as [refused](pace::refused), as a user does who may not be seen.
    pub fn show<R>(&self, component: Option<&Jid>, answer: impl FnOnce(&Shown<'_>) -> R) -> R {
        if *self == Presence::Refused {
            pace::refused(component.map(Jid::bare));
        }
        answer(&self.shown())
    }

    /// How it is shown. When it was sent is not known: a component answers a probe by what has been so for some time.
    fn shown(&self) -> Shown<'_> {
        match self {
            Presence::Online { show, status, priority } => {
                Shown::Online { show: *show, status, priority: *priority, since: None }
            }
            Presence::Offline { status } => Shown::Offline { status, since: None },
            Presence::Refused => Shown::Forbidden,
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut asked = self.probes.asked();
        // It may be watched anew already.
        let is_own = asked.watched.get(&self.component).is_some_and(|watched| watched.number == self.number);
        let watched = is_own.then(|| asked.watched.remove(&self.component));
        drop(asked);
        // Without the lock: what it owns may come back here.
        drop(watched);
    }
}
