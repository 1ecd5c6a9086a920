//! The presence of components: what has no account here is asked itself, by a probe (RFC 6121 section 4.3).
//!
//! A request waits for the answer without a thread, five seconds at most. One probe per address is under way at a time, and whoever asks for the same
//! meanwhile waits with the others; more than [`MOST_WAITING`] don't wait at all. Components have no roster: they are shown to everybody.
//!
//! An answer counts if it comes from exactly the address that was asked while somebody waits for it, and does not name another probe. Most name none:
//! what they send is presence as they last announced it, with the id of that or without one, though RFC 6120 section 8.1.3 wants that of the probe.
//! So one that comes too late for its probe may answer the next. It is the component's own word, and the latest that there is.

mod reply;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use plugin_api::{Host, Jid, Request, Responder, Timer, log};

use self::reply::Reply;
use crate::{
    answer::{Format, Question},
    cache::{self, Audience},
    form,
    moment::Moment,
    query::Parameters,
    settings::InForce,
    shown::Shown,
    users::Requester,
    xml::Parties,
};

/// How long a component has to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// The most requests that wait for components at a time.
const MOST_WAITING: usize = 100;

/// The probes that are under way.
pub struct Probes {
    host: Host,
    settings: Arc<InForce>,
    asked: Mutex<Asked>,
}

#[derive(Default)]
struct Asked {
    probes: BTreeMap<String, Probe>,
    /// The requests that wait for any of them.
    waiting: usize,
    /// The number of the last probe.
    number: u64,
}

struct Probe {
    number: u64,
    waiting: Vec<Waiting>,
    /// Held for the end of its patience.
    _timer: Timer,
}

/// A request that waits, and what of it matters for the answer.
pub struct Waiting {
    component: Jid,
    requester: Requester,
    format: Format,
    query: Box<str>,
    form: Box<[u8]>,
    if_none_match: Option<Box<str>>,
    navigation: bool,
    responder: Responder,
}

/// The address of a component that a request may be about: a domain other than the served one. `known` reads an address.
pub fn component(jid: Option<&str>, known: impl Fn(&str) -> Option<Jid>) -> Option<Jid> {
    // Most are users, who are not looked at any further.
    let text = jid.filter(|text| !text.split('/').next().unwrap_or_default().contains('@'))?;
    known(text).filter(|jid| jid.localpart().is_none() && !jid.is_local())
}

impl Probes {
    /// None yet. They are numbered from the moment on: those of the version before have other numbers.
    pub fn new(host: Host, settings: Arc<InForce>) -> Arc<Probes> {
        let asked = Asked { number: Moment::now().0, ..Asked::default() };
        Arc::new(Probes { host, settings, asked: Mutex::new(asked) })
    }

    /// Answers a request as soon as its component has, or too many wait already.
    pub fn ask(self: &Arc<Self>, waiting: Waiting) {
        let refused = self.join(waiting);
        if let Some(waiting) = refused {
            self.answer(waiting, &Shown::Forbidden);
        }
    }

    /// Has a request wait. Gives it back if it can't.
    fn join(self: &Arc<Self>, waiting: Waiting) -> Option<Waiting> {
        let component = waiting.component.bare().to_owned();
        let mut asked = self.asked();
        if asked.waiting >= MOST_WAITING {
            return Some(waiting);
        }
        if !asked.probes.contains_key(&component) {
            asked.number += 1;
            let Some(probe) = self.send(&component, asked.number) else { return Some(waiting) };
            asked.probes.insert(component.clone(), probe);
        }
        asked.waiting += 1;
        let probe = asked.probes.get_mut(&component).expect("it is under way");
        probe.waiting.push(waiting);
        None
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
        let answered = self.take(&from, |probe| number.is_none_or(|number| number == probe.number));
        let Some(probe) = answered else { return false };
        probe.waiting.into_iter().for_each(|waiting| self.answer(waiting, &presence.shown()));
        true
    }

    /// The end of a probe's patience, unless that was of an earlier one.
    fn give_up(&self, component: &str, number: u64) {
        if let Some(probe) = self.take(component, |probe| probe.number == number) {
            probe.waiting.into_iter().for_each(|waiting| self.answer(waiting, &Shown::Forbidden));
        }
    }

    fn take(&self, component: &str, fits: impl Fn(&Probe) -> bool) -> Option<Probe> {
        let mut asked = self.asked();
        let probe = asked.probes.get(component).is_some_and(fits).then(|| asked.probes.remove(component))??;
        asked.waiting -= probe.waiting.len();
        Some(probe)
    }

    fn answer(&self, waiting: Waiting, shown: &Shown<'_>) {
        let settings = self.settings.read();
        let Waiting { component, requester, format, query, form, if_none_match, navigation, responder } = waiting;
        let question = Question {
            parameters: Parameters::new(&query, &form),
            format,
            parties: Parties { user: Some(component.bare()), requester: requester.claim() },
            audience: Audience::of(&settings, &requester),
            if_none_match: if_none_match.as_deref(),
            navigation,
        };
        // Its client may be gone.
        responder.send(question.answer(shown, &settings));
    }

    fn asked(&self) -> MutexGuard<'_, Asked> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    /// What is kept of a request about a component.
    pub fn new(
        component: Jid,
        request: &Request<'_>,
        format: Format,
        requester: Requester,
        responder: Responder,
    ) -> Waiting {
        Waiting {
            component,
            requester,
            format,
            query: request.query().into(),
            form: form(request).into(),
            if_none_match: cache::held(request).map(|held| (&*held).into()),
            navigation: request.header("Sec-Fetch-Dest") == Some("document"),
            responder,
        }
    }
}
