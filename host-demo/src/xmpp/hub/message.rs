//! Delivering messages (RFC 6121 section 8.5, messages of its table 8.5.4).
//!
//! What the RFC leaves open is done as Prosody does it: a message that nobody is there for waits (section 8.5.2.2.1,
//! XEP-0160); what can't wait is answered with `<service-unavailable/>`; of the resources with the highest priority all
//! get a message. Unlike there, a message that is not of type `chat` never goes to another resource than the one that it
//! names, as section 8.5.3.2.1 forbids.

use std::{borrow::Cow, mem, sync::Arc};

use bytes::Bytes;
use jid::{BareJid, Jid};
use minidom::Element;

use super::{
    ConnectedResource, Hub,
    carbons::{is_private, may_be_copied},
    components::Spoken,
    offline::may_wait,
    stanza::{Condition, Stanza, ns, serialise_within_limit, set},
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

/// Who was sent a message itself, if it went anywhere.
enum Outcome {
    /// These resources.
    Sent(Vec<Arc<ConnectedResource>>),
    /// It waits for its user: what waits is handed out to one of the user's resources, if one is there.
    Waits,
    /// Nobody, and nobody is told.
    Dropped,
}

impl Hub {
    /// Takes a message of a session. One without `to` is for the sender's own account (RFC 6120 section 10.3.1).
    pub(super) async fn message(&self, from: &Arc<ConnectedResource>, stanza: &Stanza) -> Result<(), Condition> {
        let own = Jid::from(from.user().clone());
        let to = stanza.to.as_ref().unwrap_or(&own);
        let mut message = Cow::Borrowed(&stanza.element);
        if stanza.to.is_none() {
            set(message.to_mut(), "to", own.as_str());
        }
        self.converse(from.jid(), Some(from), Type::of(stanza), to, message).await
    }

    /// Takes a message that a component sent to this server.
    pub(super) async fn message_from_component(&self, spoken: &Spoken) -> Result<(), Condition> {
        let Spoken { from, to, stanza } = spoken;
        self.converse(from, None, Type::of(stanza), to, Cow::Borrowed(&stanza.element)).await
    }

    /// Sends a message, and copies it to those who take part in the conversation. `session`: that of the sender, if it is one of ours.
    async fn converse(
        &self,
        from: &Jid,
        session: Option<&Arc<ConnectedResource>>,
        kind: Type,
        to: &Jid,
        mut message: Cow<'_, Element>,
    ) -> Result<(), Condition> {
        let may_be_copied = may_be_copied(&message);
        if is_private(&message) {
            let _ = message.to_mut().remove_child("private", ns::CARBONS);
        }
        let outcome = match self.serves(to) {
            true => self.message_to(from, kind, to, &message).await?,
            false => self.post_away(to, &message).map(|()| Outcome::Sent(Vec::new()))?,
        };
        if may_be_copied {
            self.copy(from, session, to, &message, outcome);
        }
        Ok(())
    }

    /// What waits was sent to nobody yet, but will be to who hands it out: to copy it there would be to send it twice. While
    /// nobody is there to do so, whoever comes will be.
    fn copy(
        &self,
        from: &Jid,
        session: Option<&Arc<ConnectedResource>>,
        to: &Jid,
        message: &Element,
        outcome: Outcome,
    ) {
        let sent = match &outcome {
            Outcome::Sent(received) => &received[..],
            Outcome::Waits => &[],
            Outcome::Dropped => return,
        };
        if let Some(session) = session {
            self.copy_sent(session, message, sent);
        }
        match outcome {
            Outcome::Waits => {
                if let Some(holder) = self.hand_outs.holder(&to.to_bare()) {
                    self.copy_received(from, to, message, &[holder]);
                }
            }
            Outcome::Sent(received) => self.copy_received(from, to, message, &received),
            Outcome::Dropped => {}
        }
    }

    /// A resource need not be available for what is addressed to it (section 8.5.3.1). Unknown users have none: what is for
    /// them comes back, as it does from one who blocks the sender (XEP-0191 section 3.3), and from the server itself.
    async fn message_to(&self, from: &Jid, kind: Type, to: &Jid, message: &Element) -> Result<Outcome, Condition> {
        let bytes = serialise_within_limit(message)?;
        if self.is_self(to) {
            return Err(Condition::ServiceUnavailable);
        }
        let addressed = match to.try_as_full() {
            Ok(full) => {
                let found = self.registry.find(full).filter(|_| !self.are_parted(from, to));
                if let Some(resource) = found.filter(|resource| resource.post(bytes.clone())) {
                    return Ok(Outcome::Sent(vec![resource]));
                }
                Addressed::MissingResource
            }
            Err(_) => Addressed::Account,
        };
        let account = to.to_bare();
        let mut takers = self.registry.taking_messages(&account);
        takers.retain(|taker| !self.are_parted(from, taker.jid()));
        match rule(kind, addressed) {
            Rule::Best => self.message_to_best(from, &account, takers, message, &bytes).await,
            Rule::All => Ok(post_all(takers, &bytes).unwrap_or(Outcome::Dropped)),
            Rule::Refuse => Err(Condition::ServiceUnavailable),
            Rule::Drop => Ok(Outcome::Dropped),
        }
    }

    async fn message_to_best(
        &self,
        from: &Jid,
        account: &BareJid,
        mut takers: Vec<Arc<ConnectedResource>>,
        message: &Element,
        bytes: &Bytes,
    ) -> Result<Outcome, Condition> {
        let highest = takers.iter().filter_map(|taker| taker.priority()).max();
        takers.retain(|taker| taker.priority() >= highest);
        let may_wait = may_wait(message)
            && self.store.account_exists(account.as_str())
            && !self.are_parted(from, &Jid::from(account.clone()));
        // What waits comes first, from the moment at which its user is there on: handing it out begins a little later.
        let has_to_wait = may_wait && self.store.has_offline_messages(account);
        if !has_to_wait && let Some(sent) = post_all(mem::take(&mut takers), bytes) {
            return Ok(sent);
        }
        if !may_wait {
            return Err(Condition::ServiceUnavailable);
        }
        match self.keep(account, message).await {
            Ok(()) => Ok(Outcome::Waits),
            // Those that were not tried: better early than never.
            Err(cause) => post_all(takers, bytes).ok_or(cause),
        }
    }
}

/// Sends a message to all of these. `None`: none of them will get it.
fn post_all(mut takers: Vec<Arc<ConnectedResource>>, message: &Bytes) -> Option<Outcome> {
    takers.retain(|taker| taker.post(message.clone()));
    (!takers.is_empty()).then_some(Outcome::Sent(takers))
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
