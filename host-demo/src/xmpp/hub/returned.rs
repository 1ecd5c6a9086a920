//! What was sent to a session that ended before it arrived: it is delivered as if the resource had been gone already (RFC 6121
//! section 8.5.3.2), to another resource or to the store, or its sender is told.

use jid::Jid;
use minidom::Element;

use super::{
    ConnectedResource, Hub,
    message::Type,
    stanza::{Condition, error_reply, serialise_within_limit},
};
use crate::{
    address,
    xmpp::{
        error::StreamError,
        outbox::{Outbox, Returned},
    },
};

impl Hub {
    /// Delivers otherwise what a session whose outbox is broken will not get. Whoever sends to it meanwhile waits for this, so
    /// that nothing overtakes.
    pub(super) async fn give_back(&self, resource: &ConnectedResource) {
        self.give_back_to(resource, None).await;
    }

    /// As [`Hub::give_back`]; messages to the resource itself go to the outbox of the session that takes its place.
    pub(super) async fn give_back_to(&self, resource: &ConnectedResource, heir: Option<&Outbox>) {
        let _turn = resource.returning.lock().await;
        self.deliver_rest(resource.outbox(), heir).await;
    }

    /// Delivers otherwise what was given to a session that did not come about.
    pub(super) async fn disinherit(&self, outbox: &Outbox) {
        outbox.break_off(StreamError::ConnectionTimeout);
        self.deliver_rest(outbox, None).await;
    }

    async fn deliver_rest(&self, outbox: &Outbox, heir: Option<&Outbox>) {
        for returned in outbox.take_back() {
            let Some(stanza) = parse(&returned) else { continue };
            if let Err(condition) = self.deliver_otherwise(heir, &stanza, &returned).await {
                self.return_to_sender(&stanza, condition);
            }
        }
    }

    async fn deliver_otherwise(
        &self,
        heir: Option<&Outbox>,
        stanza: &Element,
        returned: &Returned,
    ) -> Result<(), Condition> {
        let (Some(from), Some(to)) = (address_in(stanza, "from"), address_in(stanza, "to")) else { return Ok(()) };
        if stanza.name() != "message" {
            return Err(Condition::ServiceUnavailable);
        }
        let message = self.delayed(stanza, returned.since);
        let bytes = serialise_within_limit(&message)?;
        if heir.is_some_and(|heir| to.is_full() && heir.post_returnable(bytes, None)) {
            return Ok(());
        }
        self.message_elsewhere(&from, Type::of(&message), &to, &message).await
    }

    /// Tells the sender of a stanza, if it is to be told, that it was not delivered.
    pub(super) fn return_to_sender(&self, stanza: &Element, condition: Condition) {
        let (Some(from), Some(reply)) = (address_in(stanza, "from"), error_reply(stanza, condition)) else { return };
        if !self.serves(&from) {
            // A component that takes no more errors has to do without.
            let _ = self.post_away(&from, &reply);
        } else if let Some(sender) = from.try_as_full().ok().and_then(|full| self.registry.find(full)) {
            sender.send(&reply);
        }
    }
}

pub(super) fn parse(returned: &Returned) -> Option<Element> {
    std::str::from_utf8(&returned.stanza).ok()?.parse().ok()
}

pub(super) fn address_in(stanza: &Element, attribute: &str) -> Option<Jid> {
    stanza.attr(attribute).and_then(|jid| address::jid(jid).ok())
}
