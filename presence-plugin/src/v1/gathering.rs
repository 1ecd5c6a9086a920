//! A batch that waits for its components: all are asked at once, and it is answered with the last of them.

use std::sync::{Arc, Mutex, PoisonError};

use plugin_api::{Jid, Responder, Response};

use super::batch::{Batch, Heard, Known};
use crate::{
    probe::Probes,
    settings::InForce,
    users::{Requester, Users},
};

/// A batch that waits for its components.
pub struct Gathering {
    /// Who is asked for.
    pub batch: Batch<'static>,
    /// By whom.
    pub requester: Requester,
    /// What the client holds.
    pub held: Option<String>,
    /// The users of this server.
    pub users: Arc<Users>,
    /// The settings.
    pub settings: Arc<InForce>,
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
                    responder.send(gathering.answer(&whole.0));
                }
            });
        }
    }

    fn answer(&self, heard: &Heard) -> Response {
        let known = Known { users: &self.users, heard, settings: &self.settings.read() };
        self.batch.answer(&known, &self.requester, self.held.as_deref())
    }
}
