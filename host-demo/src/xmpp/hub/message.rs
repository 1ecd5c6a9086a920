//! Delivering messages (RFC 6121 section 8.5, messages of its table 8.5.4).
//!
//! What the RFC leaves open is done as Prosody does it: a message that nobody is there for waits (section 8.5.2.2.1,
//! XEP-0160); what can't wait is answered with `<service-unavailable/>`; of the resources with the highest priority all
//! get a message. Unlike there, a message that is not of type `chat` never goes to another resource than the one that it
//! names, as section 8.5.3.2.1 forbids.

use std::sync::Arc;

use bytes::Bytes;
use jid::{BareJid, Jid};
use minidom::Element;

use super::{
    ConnectedResource, Hub,
    offline::may_wait,
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

/// Where a message goes that did not find the very resource that it names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Addressed {
    /// To an account.
    Account,
    /// To a resource that is not connected.
    MissingResource,
}

/// What becomes of such a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    /// It goes to the resources with the highest priority, or waits for one to come.
    Best,
    /// It goes to all resources, or nowhere.
    All,
    /// It comes back.
    Refuse,
    /// It goes nowhere.
    Drop,
}

/// Sections 8.5.2 and 8.5.3.2. Only resources with a priority that is not negative count.
fn rule(kind: Type, addressed: Addressed) -> Rule {
    use Addressed::{Account, MissingResource};
    match (kind, addressed) {
        (Type::Normal, Account) => Rule::Best,
        (Type::Normal, MissingResource) => Rule::Refuse,
        (Type::Chat, Account | MissingResource) => Rule::Best,
        (Type::Groupchat, Account | MissingResource) => Rule::Refuse,
        (Type::Headline, Account) => Rule::All,
        (Type::Headline, MissingResource) => Rule::Drop,
        (Type::Error, Account | MissingResource) => Rule::Drop,
    }
}

impl Hub {
    /// Takes a message of a session. One without `to` is for the sender's own account (RFC 6120 section 10.3.1).
    pub(super) async fn message(&self, from: &Arc<ConnectedResource>, stanza: &Stanza) -> Result<(), Condition> {
        let Some(to) = &stanza.to else {
            let mut message = stanza.element.clone();
            set(&mut message, "to", from.user().as_str());
            return self.message_to(from, Type::of(stanza), &Jid::from(from.user().clone()), &message).await;
        };
        if !self.serves(to) {
            return Err(Condition::RemoteServerNotFound);
        }
        self.message_to(from, Type::of(stanza), to, &stanza.element).await
    }

    /// A resource need not be available for what is addressed to it (section 8.5.3.1). Unknown users have none: what is for
    /// them comes back, as it does from one who blocks the sender (XEP-0191 section 3.3), and from the server itself.
    async fn message_to(
        &self,
        from: &ConnectedResource,
        kind: Type,
        to: &Jid,
        message: &Element,
    ) -> Result<(), Condition> {
        let bytes = serialise_within_limit(message)?;
        if self.is_self(to) {
            return Err(Condition::ServiceUnavailable);
        }
        let addressed = match to.try_as_full() {
            Ok(full) => {
                let found = self.registry.find(full).filter(|_| !self.are_parted(from.jid(), to));
                if found.is_some_and(|resource| resource.post(bytes.clone())) {
                    return Ok(());
                }
                Addressed::MissingResource
            }
            Err(_) => Addressed::Account,
        };
        let account = to.to_bare();
        let mut takers = self.registry.taking_messages(&account);
        takers.retain(|taker| !self.are_parted(from.jid(), taker.jid()));
        match rule(kind, addressed) {
            Rule::Best => self.message_to_best(from, &account, takers, message, &bytes).await,
            Rule::All => {
                post_all(&takers, &bytes);
                Ok(())
            }
            Rule::Refuse => Err(Condition::ServiceUnavailable),
            Rule::Drop => Ok(()),
        }
    }

    async fn message_to_best(
        &self,
        from: &ConnectedResource,
        account: &BareJid,
        mut takers: Vec<Arc<ConnectedResource>>,
        message: &Element,
        bytes: &Bytes,
    ) -> Result<(), Condition> {
        let highest = takers.iter().filter_map(|taker| taker.priority()).max();
        takers.retain(|taker| taker.priority() >= highest);
        let may_wait = may_wait(message)
            && self.store.account_exists(account.as_str())
            && !self.are_parted(from.jid(), &Jid::from(account.clone()));
        // What waits comes first, from the moment at which its user is there on: handing it out begins a little later.
        let has_to_wait = may_wait && self.store.has_offline_messages(account);
        if !has_to_wait && post_all(&takers, bytes) {
            return Ok(());
        }
        if !may_wait {
            return Err(Condition::ServiceUnavailable);
        }
        match self.keep(account, message).await {
            // Better early than never.
            Err(_) if has_to_wait && post_all(&takers, bytes) => Ok(()),
            outcome => outcome,
        }
    }
}

/// Sends a message to all of these. `false`: none of them will get it.
fn post_all(takers: &[Arc<ConnectedResource>], message: &Bytes) -> bool {
    takers.iter().filter(|taker| taker.post(message.clone())).count() > 0
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
