//! Sessions without an account (RFC 4505, XEP-0175), where the administrator wants them.
//!
//! Such a session has an address that was made for it and goes with it. It may write to local users and show them its
//! presence directly, which is what it is for, and use what the server itself offers. It has nothing that would outlast it
//! or make it known: no roster, no blocklist, no subscriptions in either direction, no offline messages, no place in the
//! presence table. Once it has gone, or while it says nothing, its address is that of an unknown user.

use std::sync::Arc;

use jid::{BareJid, NodePart, ResourceRef};

use super::{
    BindError, ConnectedResource, Hub, Session,
    stanza::{Condition, Kind, Stanza, ns},
    subscription::Request,
};
use crate::xmpp::{outbox::Outbox, random};

/// The most anonymous sessions at a time: anybody may have one, and no password slows them down.
pub(super) const MAX_ANONYMOUS: usize = 1_000;

impl Hub {
    /// Starts a session for somebody without an account.
    ///
    /// # Errors
    /// There are too many such sessions.
    pub fn bind_anonymous(
        self: &Arc<Self>,
        resource: Option<&ResourceRef>,
        outbox: Outbox,
    ) -> Result<Session, BindError> {
        let (resource, _) = self.registry.connect(&self.invented_user(), resource, outbox, true)?;
        Ok(Session::new(self.clone(), resource))
    }

    /// An address that nobody has, had or can guess.
    fn invented_user(&self) -> BareJid {
        let node = NodePart::new(&random::identifier()).expect("hexadecimal digits are a localpart").into_owned();
        self.domain.with_node(&node)
    }
}

impl ConnectedResource {
    /// Refuses a user without an account what only an account can have: subscriptions, and what is stored.
    pub(super) fn refuse_anonymous(&self, stanza: &Stanza) -> Result<(), Condition> {
        let needs_account = match stanza.kind {
            Kind::Message => false,
            Kind::Presence => stanza.kind_attribute().and_then(Request::parse).is_some(),
            Kind::Iq => {
                let is_own = stanza.to.as_ref().is_none_or(|to| *to == *self.user());
                let is_set = stanza.kind_attribute() == Some("set");
                is_own && is_set && !stanza.element.has_child("session", ns::SESSION)
            }
        };
        if needs_account && self.is_anonymous() { Err(Condition::NotAllowed) } else { Ok(()) }
    }
}
