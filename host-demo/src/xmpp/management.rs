//! Stream management (XEP-0198): acknowledgements in both directions, and sessions that outlive their connection.
//!
//! # Layout
//! A client enables it and gets a [`Managed`] session: stanzas that were written stay in the outbox until they are
//! acknowledged. If its connection breaks, the session [hibernates](hibernate): its presence stays, and what is sent to it
//! waits in the outbox. Who [resumes](resume) it claims it from whoever holds it, a connection that did not notice yet or one
//! that waits; the way back is in the claim. A session that is not resumed in time ends, and what was not acknowledged is
//! delivered otherwise.

use std::{collections::HashMap, future::pending, sync::Arc, time::Duration};

use jid::BareJid;
use minidom::Element;
use parking_lot::Mutex;
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, sleep_until, timeout},
};

use super::{bind::Bound, connection::is_down, error::StreamError, random, stream::Shutdown, xml::escape};

/// The namespace of its elements.
pub const NAMESPACE: &str = "urn:xmpp:sm:3";
/// How long a session waits for its client, unless the client wants less. What is sent to it meanwhile is in memory alone.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long whoever holds a session may take to give it away: what its client sent last may be on its way to the disk.
const GIVING: Duration = Duration::from_secs(10);

/// The sessions that may be resumed, by their ids.
#[derive(Clone, Default)]
pub struct Detached(Arc<Mutex<HashMap<String, Known>>>);

struct Known {
    user: BareJid,
    claims: mpsc::Sender<Claim>,
}

/// Asks whoever holds a session to give it away.
pub struct Claim(oneshot::Sender<Box<Bound>>);

/// What a session knows whose client acknowledges.
pub struct Managed {
    /// The stanzas of the client that were handled, modulo 2^32.
    handled: u32,
    resumable: Option<Resumable>,
}

struct Resumable {
    id: String,
    patience: Duration,
    claims: mpsc::Receiver<Claim>,
    known: Detached,
}

/// What a session is to do about an element of this protocol.
pub enum Answer {
    /// Write this at once.
    Write(String),
    /// Take these messages out of the store: they have arrived.
    Arrived(Vec<i64>),
    /// Nothing.
    None,
}

impl Claim {
    /// Gives a session away. Returns it, if nobody wants it any more.
    pub fn give(self, bound: Bound) -> Result<(), Box<Bound>> {
        self.0.send(Box::new(bound))
    }
}

impl Managed {
    /// A stanza of the client was handled.
    pub fn count(&mut self) {
        self.handled = self.handled.wrapping_add(1);
    }
}

impl Bound {
    /// Takes an element of this protocol that the client sent in its session.
    ///
    /// # Errors
    /// The client acknowledges what it was not sent.
    pub fn manage(&mut self, element: &Element, detached: &Detached) -> Result<Answer, StreamError> {
        match (element.name(), &self.managed) {
            ("enable", None) => Ok(Answer::Write(self.enable(element, detached))),
            ("r", Some(managed)) => {
                self.outgoing.answer(format!("<a xmlns='{NAMESPACE}' h='{}'/>", managed.handled));
                Ok(Answer::None)
            }
            ("a", Some(_)) => {
                let handled = count(element).ok_or(StreamError::BadFormat)?;
                let too_high = |sent| StreamError::HandledCountTooHigh { handled, sent };
                self.outgoing.acknowledge(handled).map(Answer::Arrived).map_err(|error| too_high(error.sent))
            }
            // Section 3: also for what is enabled twice, and for what is resumed in the midst of a session.
            _ => Ok(Answer::Write(failed("unexpected-request"))),
        }
    }

    fn enable(&mut self, request: &Element, detached: &Detached) -> String {
        let wants_resumption = matches!(request.attr("resume"), Some("true" | "1"));
        let wanted = request.attr("max").and_then(|max| max.parse().ok()).map(Duration::from_secs);
        let patience = wanted.unwrap_or(PATIENCE).min(PATIENCE);
        let resumable = (wants_resumption && self.session.has_account())
            .then(|| detached.make_resumable(&self.session.jid().to_bare(), patience));
        let resumption = resumable
            .as_ref()
            .map(|resumable| format!(" id='{}' resume='true' max='{}'", resumable.id, resumable.patience.as_secs()));
        self.managed = Some(Managed { handled: 0, resumable });
        format!("<enabled xmlns='{NAMESPACE}'{}/>", resumption.unwrap_or_default())
    }

    /// Whether the session may outlive its connection.
    pub fn is_resumable(&self) -> bool {
        self.managed.as_ref().is_some_and(|managed| managed.resumable.is_some()) && !self.outbox.is_closed()
    }
}

/// Waits until a new connection wants the session. Cancel-safe.
pub async fn claimed(managed: &mut Option<Managed>) -> Claim {
    match managed.as_mut().and_then(|managed| managed.resumable.as_mut()) {
        // The sender is kept beside the receiver.
        Some(resumable) => resumable.claims.recv().await.expect("whoever holds a session is known"),
        None => pending().await,
    }
}

impl Detached {
    fn make_resumable(&self, user: &BareJid, patience: Duration) -> Resumable {
        let id = random::identifier();
        let (sender, claims) = mpsc::channel(1);
        self.0.lock().insert(id.clone(), Known { user: user.clone(), claims: sender });
        Resumable { id, patience, claims, known: self.clone() }
    }

    /// Claims a session of a user from whoever holds it.
    async fn claim(&self, user: &BareJid, id: &str) -> Option<Box<Bound>> {
        let claims = self.0.lock().get(id).filter(|known| known.user == *user)?.claims.clone();
        let (sender, mut given) = oneshot::channel();
        claims.send(Claim(sender)).await.ok()?;
        match timeout(GIVING, &mut given).await {
            Ok(bound) => bound.ok(),
            Err(_) => {
                // What is given at this very moment must not be lost.
                given.close();
                given.try_recv().ok()
            }
        }
    }
}

impl Drop for Resumable {
    fn drop(&mut self) {
        self.known.0.lock().remove(&self.id);
    }
}

/// Keeps a session whose connection is lost until its client comes back, or has not come in time.
pub async fn hibernate(mut bound: Bound, shutdown: Shutdown) {
    let resumable = bound.managed.as_ref().and_then(|managed| managed.resumable.as_ref());
    let deadline = Instant::now() + resumable.map_or(Duration::ZERO, |resumable| resumable.patience);
    bound.session.hibernate();
    loop {
        let claim = tokio::select! {
            claim = claimed(&mut bound.managed) => claim,
            () = sleep_until(deadline) => break,
            () = bound.outgoing.closed() => break,
            () = is_down(shutdown.clone()) => break,
        };
        match claim.give(bound) {
            Ok(()) => return,
            Err(unwanted) => bound = *unwanted,
        }
    }
    log::debug!("{} did not come back", bound.session.jid());
    bound.session.finish().await;
}

/// Takes the request of a client, which has authenticated as `user`, before it is bound (section 5). Returns the session that
/// it resumes.
///
/// # Errors
/// What to tell the client instead; it may bind a resource then.
pub async fn resume(
    request: &Element,
    user: Option<&BareJid>,
    lang: Option<&str>,
    detached: &Detached,
) -> Result<Bound, String> {
    if request.name() != "resume" {
        return Err(failed("unexpected-request"));
    }
    let (Some(user), Some(id)) = (user, request.attr("previd")) else { return Err(failed("item-not-found")) };
    let handled = count(request).ok_or_else(|| failed("bad-request"))?;
    let bound = detached.claim(user, id).await.ok_or_else(|| failed("item-not-found"))?;
    let mut bound = *bound;
    bound.lang = lang.map(str::to_owned);
    match bound.outgoing.acknowledge(handled) {
        Ok(arrived) if !bound.outbox.is_closed() => {
            bound.greeting = bound.managed.as_ref().map_or_else(String::new, |managed| {
                format!("<resumed xmlns='{NAMESPACE}' previd='{}' h='{}'/>", escape(id), managed.handled)
            });
            bound.outgoing.resend();
            // XEP-0352 section 5.1: a client that comes back is active until it says otherwise.
            bound.outgoing.set_active(true);
            if !arrived.is_empty() {
                bound.session.handed_over(arrived).await;
            }
            bound.session.wake();
            Ok(bound)
        }
        _ => {
            bound.session.finish().await;
            Err(failed("item-not-found"))
        }
    }
}

/// The `h` of an element: how many stanzas were handled.
fn count(element: &Element) -> Option<u32> {
    element.attr("h")?.parse().ok()
}

fn failed(condition: &str) -> String {
    format!("<failed xmlns='{NAMESPACE}'><{condition} xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></failed>")
}
