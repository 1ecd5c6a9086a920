//! Delivering messages (RFC 6121 section 8.5, messages of its table).

use std::sync::Arc;

use bytes::Bytes;
use jid::{BareJid, FullJid, Jid};

use super::{
    ConnectedResource, Hub,
    stanza::{Condition, Stanza, serialise_within_limit, set},
};

/// The type of a message (section 5.2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Type {
    Normal,
    Chat,
    Groupchat,
    Headline,
    Error,
}

impl Hub {
    /// Takes a message of a session. One without `to` is for the sender's own account (RFC 6120 section 10.3.1).
    pub(super) fn message(&self, from: &Arc<ConnectedResource>, stanza: &Stanza) -> Result<(), Condition> {
        let kind = Type::of(stanza);
        let Some(to) = &stanza.to else {
            let mut message = stanza.element.clone();
            set(&mut message, "to", from.user().as_str());
            return self.message_to_account(from, kind, from.user(), &serialise_within_limit(&message)?);
        };
        if !self.serves(to) {
            return Err(Condition::RemoteServerNotFound);
        }
        let message = serialise_within_limit(&stanza.element)?;
        match to.try_as_full() {
            Ok(full) => self.message_to_resource(from, kind, full, &message),
            Err(account) => self.message_to_account(from, kind, account, &message),
        }
    }

    /// Section 8.5.2. The server itself and unknown users have no resources: they answer as a user who is offline does,
    /// and so does one who blocks the sender (XEP-0191 section 3.3).
    fn message_to_account(
        &self,
        from: &ConnectedResource,
        kind: Type,
        account: &BareJid,
        message: &Bytes,
    ) -> Result<(), Condition> {
        let mut resources = self.registry.available(account);
        resources.retain(|resource| !self.are_parted(from.jid(), resource.jid()));
        let best = resources.iter().filter_map(|resource| resource.priority()).max();
        // A negative priority says: nothing that is not addressed to this very resource.
        let least = match kind {
            Type::Headline => 0,
            Type::Normal | Type::Chat => best.unwrap_or_default().max(0),
            Type::Groupchat => return Err(Condition::ServiceUnavailable),
            Type::Error => return Ok(()),
        };
        resources.retain(|resource| resource.priority() >= Some(least));
        let delivered = resources.iter().filter(|resource| resource.post(message.clone())).count();
        match kind {
            Type::Headline => Ok(()),
            _ if delivered > 0 => Ok(()),
            _ => Err(Condition::ServiceUnavailable),
        }
    }

    /// Section 8.5.3. A resource need not be available for what is addressed to it.
    fn message_to_resource(
        &self,
        from: &ConnectedResource,
        kind: Type,
        to: &FullJid,
        message: &Bytes,
    ) -> Result<(), Condition> {
        let found = self.registry.find(to).filter(|_| !self.are_parted(from.jid(), to));
        match kind {
            _ if found.is_some_and(|resource| resource.post(message.clone())) => Ok(()),
            Type::Chat => self.message_to_account(from, kind, &Jid::from(to.clone()).into_bare(), message),
            Type::Normal | Type::Groupchat => Err(Condition::ServiceUnavailable),
            Type::Headline | Type::Error => Ok(()),
        }
    }
}

impl Type {
    /// A type that is not defined counts as `normal`.
    fn of(stanza: &Stanza) -> Type {
        match stanza.kind_attribute() {
            Some("chat") => Type::Chat,
            Some("groupchat") => Type::Groupchat,
            Some("headline") => Type::Headline,
            Some("error") => Type::Error,
            _ => Type::Normal,
        }
    }
}
