//! A batch that waits for its components: all are asked at once, and it is answered with the last of them.

use std::{
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

use plugin_api::{Jid, Responder};

use super::{
    batch::{Batch, Heard, Known, Object},
    problem,
};
use crate::{
    brake::Brake,
    memo::Memo,
    pace,
    probe::Probes,
    send,
    settings::InForce,
    users::{Requester, Users},
};

/// A batch that waits for its components.
pub struct Gathering {
    /// Who is asked for.
    pub batch: Batch<'static>,
    /// By whom.
    pub requester: Requester,
    /// The address of its client, if it has one.
    pub client: Option<IpAddr>,
    /// What the client holds.
    pub held: Option<String>,
    /// The users of this server.
    pub users: Arc<Users>,
    /// What was sent of them before.
    pub objects: Arc<Memo<Object>>,
    /// The settings.
    pub settings: Arc<InForce>,
    /// What may have it wait once more.
    pub brake: Brake,
}

impl Gathering {
    /// Asks these components, each for itself, and answers when all have said something, or nothing for too long.
    pub fn ask(self, probes: &Arc<Probes>, components: Vec<Jid>, responder: Responder) {
        let heard = Heard::with_capacity(components.len());
        let (count, whole) = (components.len(), Arc::new(Mutex::new((heard, Some((self, responder))))));
        for component in components {
            let (name, whole) = (component.bare().to_owned(), whole.clone());
            probes.ask(&component, move |presence| {
                let mut whole = whole.lock().unwrap_or_else(PoisonError::into_inner);
                whole.0.insert(name, presence.clone());
                let is_all = whole.0.len() == count;
                if let Some((gathering, responder)) = whole.1.take_if(|_| is_all) {
                    gathering.answer(&whole.0, responder);
                }
            });
        }
    }

    fn answer(&self, heard: &Heard, responder: Responder) {
        let known = Known { users: &self.users, objects: &self.objects, heard, settings: &self.settings.read() };
        let answer = pace::watched(|| self.batch.answer(&known, &self.requester, self.held.as_deref()));
        let in_time = self.brake.in_time(self.client, answer, problem::too_many, responder, send);
        if let Some((response, responder)) = in_time {
            send(responder, response);
        }
    }
}
