//! Delivering messages (RFC 6121 section 8.5, messages of its table 8.5.4).
//!
//! What the RFC leaves open is done as Prosody does it: a message that nobody is there for waits (section 8.5.2.2.1,
//! XEP-0160); what can't wait is answered with `<service-unavailable/>`; of the resources with the highest priority all
//! get a message. Unlike there, a message that is not of type `chat` never goes to another resource than the one that it
//! names, as section 8.5.3.2.1 forbids.

use std::{borrow::Cow, mem, sync::Arc};

use bytes::Bytes;
use jid::{BareJid, Jid};
use jiff::Timestamp;
use minidom::Element;

use super::{
    ConnectedResource, Hub,
    carbons::{is_private, may_be_copied},
    components::Spoken,
    offline::may_wait,
    stanza::{Condition, Stanza, ns, serialise_within_limit, set},
};
use crate::xmpp::outbox::Share;

/// The type of a message (section 5.2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
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
        self.converse(from.jid(), Some(from), to, message).await
    }

    /// Takes a message that a component sent to this server.
    pub(super) async fn message_from_component(&self, spoken: &Spoken) -> Result<(), Condition> {
        let Spoken { from, to, stanza } = spoken;
        self.converse(from, None, to, Cow::Borrowed(&stanza.element)).await
    }

    /// Sends a message, and copies it to those who take part in the conversation. `session`: that of the sender, if it is one of ours.
    async fn converse(
        &self,
        from: &Jid,
        session: Option<&Arc<ConnectedResource>>,
        to: &Jid,
        mut message: Cow<'_, Element>,
    ) -> Result<(), Condition> {
        let may_be_copied = may_be_copied(&message);
        if is_private(&message) {
            let _ = message.to_mut().remove_child("private", ns::CARBONS);
        }
        let outcome = match self.serves(to) {
            true => self.message_to(from, Type::of(&message), to, &message).await?,
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
        if let Ok(full) = to.try_as_full()
            && let Some(resource) = self.registry.find(full).filter(|_| !self.are_parted(from, to))
        {
            if resource.post_message(bytes.clone(), None) {
                return Ok(Outcome::Sent(vec![resource]));
            }
            self.settle(&[resource]).await;
        }
        self.route(Routed { from, to, kind, message, bytes, is_delayed: false }).await
    }

    /// Delivers a message that did not arrive where it was sent, with a note of the delay, as if nobody had been there.
    pub(super) async fn message_elsewhere(
        &self,
        from: &Jid,
        kind: Type,
        to: &Jid,
        delayed: &Element,
    ) -> Result<(), Condition> {
        // The other resources had a headline when it came.
        if kind == Type::Headline {
            return Ok(());
        }
        let bytes = serialise_within_limit(delayed)?;
        self.route(Routed { from, to, kind, message: delayed, bytes, is_delayed: true }).await.map(drop)
    }

    async fn route(&self, routed: Routed<'_>) -> Result<Outcome, Condition> {
        let account = routed.to.to_bare();
        let mut takers = self.registry.taking_messages(&account);
        takers.retain(|taker| !self.are_parted(routed.from, taker.jid()));
        let addressed = if routed.to.is_full() { Addressed::MissingResource } else { Addressed::Account };
        match rule(routed.kind, addressed) {
            Rule::Best => self.route_to_best(&account, takers, &routed).await,
            Rule::All => Ok(post_all(takers, &routed.bytes).0.unwrap_or(Outcome::Dropped)),
            Rule::Refuse => Err(Condition::ServiceUnavailable),
            Rule::Drop => Ok(Outcome::Dropped),
        }
    }

    async fn route_to_best(
        &self,
        account: &BareJid,
        mut takers: Vec<Arc<ConnectedResource>>,
        routed: &Routed<'_>,
    ) -> Result<Outcome, Condition> {
        let Routed { message, bytes, is_delayed, .. } = routed;
        if !is_delayed {
            self.settle(&takers).await;
        }
        takers.retain(|taker| !taker.outbox().is_broken());
        let highest = takers.iter().filter_map(|taker| taker.priority()).max();
        takers.retain(|taker| taker.priority() >= highest);
        let may_wait = may_wait(message)
            && self.store.account_exists(account.as_str())
            && !self.are_parted(routed.from, &Jid::from(account.clone()));
        // What waits comes first, from the moment at which its user is there on: handing it out begins a little later.
        let has_to_wait = may_wait && self.store.has_offline_messages(account);
        if !has_to_wait {
            let (sent, failed) = post_all(mem::take(&mut takers), bytes);
            if !is_delayed {
                self.settle(&failed).await;
            }
            if let Some(sent) = sent {
                return Ok(sent);
            }
        }
        if !may_wait {
            return Err(Condition::ServiceUnavailable);
        }
        let kept = match is_delayed {
            true => self.keep(account, message).await,
            false => self.keep(account, &self.delayed(message, Timestamp::now())).await,
        };
        match kept {
            Ok(()) => Ok(Outcome::Waits),
            // Those that were not tried: better early than never.
            Err(cause) => post_all(takers, bytes).0.ok_or(cause),
        }
    }

    /// What was sent before to resources that take nothing more goes first. Boxed, as it leads back here, though never twice:
    /// what comes back is not given back again.
    async fn settle(&self, resources: &[Arc<ConnectedResource>]) {
        for resource in resources.iter().filter(|resource| resource.outbox().is_broken()) {
            Box::pin(self.give_back(resource)).await;
        }
    }
}

/// A message on its way to an account.
struct Routed<'a> {
    from: &'a Jid,
    to: &'a Jid,
    kind: Type,
    message: &'a Element,
    bytes: Bytes,
    /// It has been on its way before, and bears a note of that.
    is_delayed: bool,
}

/// Sends a message to all of these. Returns who is to get it, if anybody is, and who can't take it.
fn post_all(takers: Vec<Arc<ConnectedResource>>, message: &Bytes) -> (Option<Outcome>, Vec<Arc<ConnectedResource>>) {
    let share = (takers.len() > 1).then(Share::new);
    let post = |taker: &Arc<ConnectedResource>| taker.post_message(message.clone(), share.clone());
    let (sent, failed): (Vec<_>, Vec<_>) = takers.into_iter().partition(post);
    // They may all have lost it again by now.
    let is_lost = share.is_some_and(Share::lose);
    ((!sent.is_empty() && !is_lost).then_some(Outcome::Sent(sent)), failed)
}

impl Type {
    /// A type that is not defined counts as `normal`.
    pub fn of(message: &Element) -> Type {
        match message.attr("type") {
            Some("chat") => Type::Chat,
            Some("groupchat") => Type::Groupchat,
            Some("headline") => Type::Headline,
            Some("error") => Type::Error,
            _ => Type::Normal,
        }
    }
}
