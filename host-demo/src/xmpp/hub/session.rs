//! A session: a stream that has bound a resource, as the hub sees it.

use std::sync::Arc;

use jid::FullJid;
use minidom::Element;

use super::{
    ConnectedResource, Hub,
    stanza::{Condition, Kind, Refusal, Stanza, error_reply},
};
use crate::{store::OfflineMessage, xmpp::error::StreamError};

/// The stream's end of a session. Dropping it is a lost connection: the resource goes unavailable.
pub struct Session {
    hub: Arc<Hub>,
    resource: Arc<ConnectedResource>,
}

impl Session {
    pub(super) fn new(hub: Arc<Hub>, resource: Arc<ConnectedResource>) -> Session {
        Session { hub, resource }
    }

    /// The full JID that was bound.
    pub fn jid(&self) -> &FullJid {
        self.resource.jid()
    }

    /// Whether its user has an account.
    pub fn has_account(&self) -> bool {
        !self.resource.is_anonymous()
    }

    /// Takes a stanza that the client sent. All answers, errors of the stanza included, go to the outbox. Let it finish:
    /// when the future is dropped half-way a change may be stored that nobody is told of.
    ///
    /// # Errors
    /// The client broke the protocol in a way that ends its stream.
    pub async fn receive(&mut self, stanza: Element) -> Result<(), StreamError> {
        // The outbox of a session that was ended from here says why; what its client still sends is void.
        if self.resource.presence.lock().ended {
            return Ok(());
        }
        match Stanza::accept(stanza, self.jid()) {
            Ok(stanza) => self.route(stanza).await,
            Err(Refusal::Stream(error)) => return Err(error),
            Err(Refusal::Stanza(stanza, condition)) => self.answer(error_reply(&stanza, condition)),
        }
        Ok(())
    }

    /// The next of the messages that waited for the user, if it is for this session to hand them out. They wait on until
    /// they are [handed over](Session::handed_over).
    pub fn waiting_messages(&self) -> Vec<OfflineMessage> {
        let messages = self.hub.waiting_messages(&self.resource);
        if !messages.is_empty() {
            self.hub.watch_hand_out(&self.resource);
        }
        messages
    }

    /// Takes out messages, by their numbers, that arrived at the client. The outbox asks for more, if more wait.
    pub async fn handed_over(&self, numbers: Vec<i64>) {
        self.hub.handed_over(&self.resource, numbers).await;
    }

    /// The client is gone and may come back. Its presence stays, and what is sent to it waits in the outbox; what waits in the
    /// store is for others to hand out.
    pub fn hibernate(&self) {
        self.resource.set_hibernates(true);
        self.hub.leave_hand_out(&self.resource);
    }

    /// The client has come back.
    pub fn wake(&self) {
        self.resource.set_hibernates(false);
        // A portion may have been lost with the old connection: it is read again.
        self.hub.leave_hand_out(&self.resource);
    }

    /// Ends the session in order: from now on it is sent nothing. What is in the outbox may still be written.
    pub fn close(&self) {
        self.hub.end(&self.resource);
    }

    /// Ends the session, whose connection is of no use any more. What was sent to it and did not arrive is delivered otherwise.
    pub async fn finish(self) {
        self.resource.outbox().break_off(StreamError::ConnectionTimeout);
        self.hub.give_back(&self.resource).await;
    }

    async fn route(&self, stanza: Stanza) {
        let reply = self.handle(&stanza).await;
        self.answer(reply.unwrap_or_else(|condition| error_reply(&stanza.element, condition)));
    }

    async fn handle(&self, stanza: &Stanza) -> Result<Option<Element>, Condition> {
        let (hub, from) = (&self.hub, &self.resource);
        from.refuse_anonymous(stanza)?;
        hub.refuse_blocked(from, stanza)?;
        match stanza.kind {
            Kind::Message => hub.message(from, stanza).await.map(|()| None),
            Kind::Presence => hub.presence(from, stanza).await.map(|()| None),
            Kind::Iq => hub.iq(from, stanza).await,
        }
    }

    fn answer(&self, reply: Option<Element>) {
        if let Some(reply) = reply {
            self.resource.answer(&reply);
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.hub.end(&self.resource);
    }
}
