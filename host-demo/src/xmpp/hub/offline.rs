//! Offline messages (XEP-0160): what may wait, and how it is handed out.
//!
//! One session hands out what waited for its user, in step with what its client reads; for as long as any waits, whatever
//! else is sent to the user waits behind it, so that nothing overtakes (RFC 6120 section 10.1). If the session ends
//! half-way, another one goes on, or the next to come.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use jid::BareJid;
use jiff::Timestamp;
use minidom::Element;
use parking_lot::Mutex;
use tokio::time::sleep;

use super::{
    ConnectedResource, Hub,
    stanza::{Condition, element, ns, serialise},
};
use crate::store::{OfflineMessage, StoreError};

/// How many bytes of messages are handed out at once, and then taken out of the store by one commit.
const PORTION: usize = 64 << 10;

/// How long a session may take for one portion before another one of the user is asked: a client that does not read must not
/// keep the user's other clients waiting.
const PATIENCE: Duration = Duration::from_secs(5);

/// Which session hands out what waited, by user.
#[derive(Default)]
pub(super) struct HandOuts {
    turns: Mutex<HashMap<BareJid, Turn>>,
    /// How many portions were begun, in all turns.
    portions: AtomicU64,
}

struct Turn {
    holder: Arc<ConnectedResource>,
    /// The number of the portion that it began last. One of an earlier turn has another, even if the same session had that: it has
    /// come back since, and the time of its new portion begins anew.
    portion: u64,
}

impl Turn {
    fn of(holder: Arc<ConnectedResource>) -> Turn {
        Turn { holder, portion: 0 }
    }
}

impl HandOuts {
    fn belongs_to(&self, resource: &Arc<ConnectedResource>) -> bool {
        self.turns.lock().get(resource.user()).is_some_and(|turn| Arc::ptr_eq(&turn.holder, resource))
    }

    /// Who hands out what waits for a user.
    pub fn holder(&self, user: &BareJid) -> Option<Arc<ConnectedResource>> {
        self.turns.lock().get(user).map(|turn| turn.holder.clone())
    }

    fn leave(&self, resource: &Arc<ConnectedResource>) {
        let mut under_way = self.turns.lock();
        if under_way.get(resource.user()).is_some_and(|turn| Arc::ptr_eq(&turn.holder, resource)) {
            under_way.remove(resource.user());
        }
    }

    /// Counts a portion. Returns its number.
    fn begin_portion(&self, resource: &Arc<ConnectedResource>) -> u64 {
        let mut under_way = self.turns.lock();
        under_way.get_mut(resource.user()).filter(|turn| Arc::ptr_eq(&turn.holder, resource)).map_or(0, |turn| {
            turn.portion = 1 + self.portions.fetch_add(1, Relaxed);
            turn.portion
        })
    }
}

impl Hub {
    /// Keeps a message, with a note since when it waits, for a user to whom it can't be sent now. It is on the disk when this
    /// returns.
    pub(super) async fn keep(&self, user: &BareJid, delayed: &Element) -> Result<(), Condition> {
        match self.store.store_offline_message(user, serialise(delayed)).await {
            // The user may have come meanwhile.
            Ok(true) => self.hand_out(user),
            // Section 2: the queue is full.
            Ok(false) | Err(StoreError::UnknownAccount(_)) => return Err(Condition::ServiceUnavailable),
            Err(cause) => return Err(cause.into()),
        }
        Ok(())
    }

    /// Notes on a message since when it waits (XEP-0203), in the name of the server.
    pub(super) fn delayed(&self, message: &Element, since: Timestamp) -> Element {
        let mut delayed = message.clone();
        let stamp = format!("{since:.3}");
        delayed.append_child(element("delay", ns::DELAY, [("from", self.domain.as_str()), ("stamp", &stamp)]));
        delayed
    }

    /// Begins to hand out what waited for a user, unless that is under way or no session takes messages.
    pub(super) fn hand_out(&self, user: &BareJid) {
        if !self.store.has_offline_messages(user) {
            return;
        }
        let mut under_way = self.hand_outs.turns.lock();
        if under_way.contains_key(user) {
            return;
        }
        if let Some(best) = self.best_to_hand_out(user, None) {
            best.outbox().hand_out();
            under_way.insert(user.clone(), Turn::of(best));
        }
    }

    /// The resource of a user to hand out what waits, other than this one.
    fn best_to_hand_out(
        &self,
        user: &BareJid,
        except: Option<&Arc<ConnectedResource>>,
    ) -> Option<Arc<ConnectedResource>> {
        let takers = self.registry.taking_messages(user).into_iter();
        let takers = takers.filter(|taker| !taker.hibernates() && !taker.outbox().is_closed());
        let takers = takers.filter(|taker| except.is_none_or(|except| !Arc::ptr_eq(taker, except)));
        takers.max_by_key(|resource| resource.priority())
    }

    /// Has another session of the user hand out what waits, if this one does not get on.
    pub(super) fn watch_hand_out(self: &Arc<Self>, resource: &Arc<ConnectedResource>) {
        let (hub, resource) = (self.clone(), resource.clone());
        let portion = self.hand_outs.begin_portion(&resource);
        tokio::spawn(async move {
            sleep(PATIENCE).await;
            hub.pass_on(&resource, portion);
        });
    }

    fn pass_on(&self, resource: &Arc<ConnectedResource>, portion: u64) {
        let mut under_way = self.hand_outs.turns.lock();
        let turn = under_way.get_mut(resource.user());
        let stuck = turn.filter(|turn| Arc::ptr_eq(&turn.holder, resource) && turn.portion == portion);
        if let Some(turn) = stuck
            && let Some(other) = self.best_to_hand_out(resource.user(), Some(resource))
        {
            other.outbox().hand_out();
            *turn = Turn::of(other);
        }
    }

    /// A session that ends hands out nothing more; another one of the user goes on.
    pub(super) fn leave_hand_out(&self, resource: &Arc<ConnectedResource>) {
        self.hand_outs.leave(resource);
        self.hand_out(resource.user());
    }

    /// The next messages for a session to hand out. None: all were, or it is not for this session to do.
    pub(super) fn waiting_messages(&self, resource: &Arc<ConnectedResource>) -> Vec<OfflineMessage> {
        if !self.goes_on(resource) {
            return Vec::new();
        }
        let user = resource.user();
        let mut messages = self.store.offline_messages(user, PORTION).unwrap_or_else(|cause| {
            log::error!("{user}: the messages that wait can't be read: {cause}");
            Vec::new()
        });
        if messages.is_empty() {
            self.hand_outs.leave(resource);
        }
        // Nothing is left to write of these; they are taken out with the rest.
        for message in messages.iter_mut().filter(|message| self.is_from_blocked(user, message)) {
            message.stanza.clear();
        }
        messages
    }

    /// Whether the user has blocked the sender since the message was stored (XEP-0191 section 3.3).
    fn is_from_blocked(&self, user: &BareJid, message: &OfflineMessage) -> bool {
        if self.store.blocklist(user).is_empty() {
            return false;
        }
        let stanza = std::str::from_utf8(&message.stanza).ok().and_then(|stanza| stanza.parse::<Element>().ok());
        let sender = stanza.as_ref().and_then(|stanza| stanza.attr("from"));
        sender.is_some_and(|sender| self.store.blocks(user.as_str(), sender))
    }

    /// Takes out messages that were handed over.
    pub(super) async fn handed_over(&self, resource: &Arc<ConnectedResource>, ids: Vec<i64>) {
        match self.store.remove_offline_messages(resource.user(), ids).await {
            // The rest of what was written is still on its way: read now, it would be written twice.
            Ok(()) if resource.outbox().awaits_stored() => {}
            Ok(()) if self.hand_outs.belongs_to(resource) => resource.outbox().hand_out(),
            Ok(()) => {}
            // Read again, they would be the same ones: they come twice, at the next login.
            Err(cause) => {
                log::error!("{}: messages that were handed out can't be removed: {cause}", resource.user());
                self.hand_outs.leave(resource);
            }
        }
    }

    /// Whether a session still has messages to hand out. If not, its turn ends; what was stored at this very moment begins
    /// the next one.
    fn goes_on(&self, resource: &Arc<ConnectedResource>) -> bool {
        if !self.hand_outs.belongs_to(resource) {
            return false;
        }
        let goes_on =
            resource.takes_messages() && !resource.hibernates() && self.store.has_offline_messages(resource.user());
        if !goes_on {
            self.leave_hand_out(resource);
        }
        goes_on
    }
}

/// Whether a message may wait: one with something to read in it, or that asks for it, and that does not forbid it
/// (XEP-0160 section 3, XEP-0334). A chat state alone is stale by then. What must not be stored for good
/// (`<no-permanent-store/>`) may wait all the same: it is gone once it is delivered.
pub(super) fn may_wait(message: &Element) -> bool {
    let hint = |name| message.has_child(name, ns::HINTS);
    (message.has_child("body", ns::CLIENT) || hint("store")) && !hint("no-store")
}

#[cfg(test)]
mod tests {
    use super::{super::registry::Registry, *};
    use crate::xmpp::outbox::outbox;

    #[test]
    fn a_portion_is_not_taken_for_one_of_an_earlier_turn() {
        let user = BareJid::new("ann@here").unwrap();
        let (resource, _) = Registry::default().connect(&user, None, outbox().0, false).unwrap();
        let hand_outs = HandOuts::default();
        let begin = || {
            hand_outs.turns.lock().insert(user.clone(), Turn::of(resource.clone()));
            hand_outs.begin_portion(&resource)
        };
        assert_ne!(begin(), begin());
    }

    #[test]
    fn only_what_is_worth_it_waits() {
        let waits = |content: &str| {
            may_wait(&format!("<message xmlns='jabber:client'>{content}</message>").parse::<Element>().unwrap())
        };
        let state = "<composing xmlns='http://jabber.org/protocol/chatstates'/>";
        let hint = |name: &str| format!("<{name} xmlns='urn:xmpp:hints'/>");
        assert!(waits("<body>hi</body>") && waits(&format!("<body>hi</body>{state}")));
        assert!(waits(&format!("<encrypted xmlns='x'/>{}", hint("store"))));
        assert!(!waits("") && !waits(state) && !waits("<subject>a room</subject>") && !waits("<body xmlns='x'/>"));
        assert!(waits(&format!("<body>hi</body>{}", hint("no-permanent-store"))));
        assert!(!waits(&format!("<body>hi</body>{}", hint("no-store"))));
    }
}
