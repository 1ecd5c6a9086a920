//! The hub: what RFC 6121 asks of a server, for the users of one domain, with the delivery rules and stanza errors of
//! RFC 6120 sections 8 and 10.
//!
//! # Layout
//! A stream that has authenticated a user binds a resource and receives a [`Session`]. It hands every stanza it reads to
//! [`Session::receive`]; what is sent back, and what others send, arrives in the session's outbox. [`stanza`] parses and answers, then
//! [`presence`], [`message`] or [`iq`] takes over; [`offline`] keeps what nobody is there for, [`carbons`] copies, [`documents`] keeps what
//! clients store, [`returned`] delivers what a session did not get; [`roster`] and [`handshake`] change rosters, by the tables of
//! [`subscription`]. [`audience`] says who sees a presence, [`probes`] answers who asks for one, [`blocking`] whom a user keeps away,
//! [`components`] who answers for other domains and [`unanswered`] what they still owe, [`anonymous`] what sessions without an account may
//! do. [`registry`] knows who is connected, [`locks`] keeps changes of one roster in order.
//!
//! Assumed: all users are of one domain. Of other domains only those of [`components`] are there, what they send is in
//! [`from_component`]; the rest is answered with `<remote-server-not-found/>`: there are no streams between servers yet.

mod anonymous;
mod audience;
mod availability;
mod blocking;
mod carbons;
pub mod components;
mod disco;
mod documents;
#[cfg(test)]
mod flows;
mod from_component;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod handshake;
mod iq;
mod last_activity;
mod locks;
mod message;
mod offline;
mod presence;
mod probes;
mod registration;
mod registry;
mod requests;
mod returned;
mod roster;
mod session;
mod stanza;
mod subscription;
mod unanswered;

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use jid::{BareJid, DomainPart, FullJid, Jid, ResourceRef};
use minidom::Element;

pub use self::session::Session;
use self::{
    components::Components,
    locks::Locks,
    offline::HandOuts,
    registry::{ConnectedResource, Registry},
    requests::Requests,
    stanza::Condition,
};
use crate::{
    presence::Table,
    store::{Store, StoreError},
    xmpp::{error::StreamError, outbox::Outbox},
};

/// The most sessions that one user may have at a time.
pub const MAX_SESSIONS: usize = 10;

/// Routes stanzas between the sessions of this server's users, and keeps their rosters and presence.
pub struct Hub {
    domain: DomainPart,
    store: Store,
    presence: Arc<Table>,
    registry: Registry,
    locks: Locks,
    hand_outs: HandOuts,
    /// For subscriptions.
    requests: Requests,
    /// For new passwords.
    passwords: Requests,
    components: Components,
    pushes: AtomicU64,
    started: Instant,
}

/// Why a resource can't be bound (RFC 6120 section 7.7.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BindError {
    /// The user has [`MAX_SESSIONS`] already, or there are too many anonymous ones: `<resource-constraint/>`.
    TooManySessions,
    /// The account was removed since the user authenticated: `<not-allowed/>`.
    NoAccount,
}

impl Hub {
    /// A hub for the users of `domain`. It publishes their presence in `presence`.
    pub fn new(domain: DomainPart, store: Store, presence: Arc<Table>) -> Arc<Hub> {
        Arc::new(Hub {
            domain,
            store,
            presence,
            registry: Registry::default(),
            locks: Locks::default(),
            hand_outs: HandOuts::default(),
            requests: Requests::default(),
            passwords: Requests::default(),
            components: Components::default(),
            pushes: AtomicU64::new(0),
            started: Instant::now(),
        })
    }

    /// Starts a session for an authenticated `user`. With `resource` that resource, taken from an older session of the
    /// same name, which ends with `<conflict/>`; without it one chosen here.
    ///
    /// # Errors
    /// The user may not have this session: see [`BindError`].
    pub async fn bind(
        self: &Arc<Self>,
        user: &BareJid,
        resource: Option<&ResourceRef>,
        outbox: Outbox,
    ) -> Result<Session, BindError> {
        // While the older one still has its place: whoever sends to it now waits, and does not overtake what it did not get.
        if let Some(older) = resource.and_then(|resource| self.registry.find(&user.with_resource(resource))) {
            older.outbox().break_off(StreamError::Conflict);
            self.give_back_to(&older, Some(&outbox)).await;
        }
        let connected = self.registry.connect(user, resource, outbox.clone(), false);
        let (resource, displaced) = match connected {
            Ok(connected) => connected,
            Err(refusal) => {
                self.disinherit(&outbox).await;
                return Err(refusal);
            }
        };
        let session = Session::new(self.clone(), resource);
        if let Some(older) = displaced {
            older.outbox().break_off(StreamError::Conflict);
            self.give_back(&older).await;
            self.end(&older);
        }
        // Asked last: an account that is removed at this moment is missed here, or its removal finds the session.
        if self.store.account_exists(user.as_str()) {
            return Ok(session);
        }
        session.finish().await;
        Err(BindError::NoAccount)
    }

    /// Ends all sessions of a user with a stream error.
    pub fn kick(&self, user: &BareJid, error: StreamError) {
        self.kick_but_for(user, None, error);
    }

    fn kick_but_for(&self, user: &BareJid, spared: Option<&Arc<ConnectedResource>>, error: StreamError) {
        let connected = self.registry.connected(user).into_iter();
        for resource in connected.filter(|resource| spared.is_none_or(|spared| !Arc::ptr_eq(resource, spared))) {
            resource.outbox().close(Some(error));
            self.end(&resource);
        }
    }

    /// Removes an account: its sessions end, its data goes, and whoever had it as a contact is told.
    ///
    /// # Errors
    /// There is no such account, or the store failed: then nothing is removed, though the sessions have ended.
    pub async fn remove_account(&self, user: &BareJid) -> Result<(), StoreError> {
        self.remove_account_for(user, None).await
    }

    /// As [`Hub::remove_account`]. The session that asked for it gets this answer when it is done, and ends last; if it fails, that
    /// session goes on.
    async fn remove_account_for(
        &self,
        user: &BareJid,
        asked: Option<(&Arc<ConnectedResource>, &Element)>,
    ) -> Result<(), StoreError> {
        let held = self.locks.hold([user]).await;
        // While there still is a roster that says who is to be told.
        self.kick_but_for(user, asked.map(|(session, _)| session), StreamError::NotAuthorized);
        let owners = self.store.remove_account(user).await?;
        drop(held);
        if let Some((session, answer)) = asked {
            session.answer(answer);
        }
        // With it goes a client that was quick to come back.
        self.kick(user, StreamError::NotAuthorized);
        self.presence.forget(user.as_str());
        for owner in &owners {
            self.push_current(owner, user).await;
        }
        self.requests.forget(user);
        self.passwords.forget(user);
        self.locks.sweep();
        Ok(())
    }

    /// The full JIDs of all sessions, in no order.
    pub fn sessions(&self) -> Vec<FullJid> {
        self.registry.jids()
    }

    /// Whether an address belongs to this server.
    fn serves(&self, jid: &Jid) -> bool {
        *jid.domain() == *self.domain
    }

    /// Whether an address is that of the server itself.
    fn is_self(&self, jid: &Jid) -> bool {
        self.serves(jid) && jid.node().is_none()
    }

    /// An id for a roster push.
    fn next_push(&self) -> String {
        format!("push-{}", self.pushes.fetch_add(1, Ordering::Relaxed))
    }
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BindError::TooManySessions => f.write_str("there are as many sessions as there may be"),
            BindError::NoAccount => f.write_str("the account was removed"),
        }
    }
}

impl std::error::Error for BindError {}

impl From<StoreError> for Condition {
    /// What a client is told of a failure of the store. Nothing of its request was kept.
    fn from(cause: StoreError) -> Condition {
        log::error!("a client's request could not be carried out: {cause}");
        match cause {
            StoreError::Database(cause) if is_full(&cause) => Condition::ResourceConstraint,
            _ => Condition::InternalServerError,
        }
    }
}

fn is_full(cause: &rusqlite::Error) -> bool {
    cause.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull)
}
