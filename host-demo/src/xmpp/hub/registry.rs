//! Who is connected: the resources of each user (RFC 6120 section 7, RFC 6121 section 4).

use std::{
    collections::{BTreeSet, HashMap},
    mem,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI16, AtomicU64, AtomicUsize, Ordering::SeqCst},
    },
};

use bytes::{Bytes, BytesMut};
use jid::{BareJid, FullJid, Jid, ResourcePart, ResourceRef};
use minidom::Element;
use parking_lot::{Mutex, RwLock};
use tokio::sync::Mutex as AsyncMutex;

use super::{
    BindError, MAX_SESSIONS,
    anonymous::MAX_ANONYMOUS,
    audience::Audience,
    stanza::{serialise, serialise_to},
};
use crate::xmpp::outbox::{Outbox, Share};

/// A greeting is posted in pieces of about this size.
const BATCH: usize = 64 << 10;
/// The reach of a resource that is connected but not available.
const UNAVAILABLE: i16 = i16::MIN;

/// All connected resources.
#[derive(Default)]
pub(super) struct Registry {
    users: RwLock<HashMap<BareJid, Vec<Arc<ConnectedResource>>>>,
    /// How many of them have no account.
    anonymous: AtomicUsize,
    /// How many there ever were.
    numbers: AtomicU64,
}

/// A resource bound to a session.
///
/// Its presence is guarded by a lock that is held while that presence is sent to anybody: so whoever receives it twice
/// (a broadcast, the answer to a probe, the end of a subscription) receives the latest last. Under this lock only the
/// parts of *other* resources that need no such lock are touched: `reach`, `interested`, `follows_blocklist`, `takes_copies`, `batch` and the outbox.
pub(super) struct ConnectedResource {
    /// No other resource of this run has it.
    number: u64,
    jid: FullJid,
    user: BareJid,
    outbox: Outbox,
    anonymous: bool,
    /// Stanzas gathered into one piece while a crowd of them is due.
    batch: Mutex<Option<Batch>>,
    /// The priority, or [`UNAVAILABLE`].
    reach: AtomicI16,
    interested: AtomicBool,
    follows_blocklist: AtomicBool,
    takes_copies: AtomicBool,
    /// Its connection is lost, and the client may come back for it (XEP-0198 section 5).
    hibernates: AtomicBool,
    /// Held while what the session did not get is delivered otherwise.
    pub returning: AsyncMutex<()>,
    pub presence: Mutex<Presence>,
}

/// Stanzas in one piece, and how many they are.
#[derive(Default)]
struct Batch {
    stanzas: BytesMut,
    count: u32,
}

/// What a resource has told about its presence.
#[derive(Default)]
pub(super) struct Presence {
    /// The session is over; nothing more may be sent in its name.
    pub ended: bool,
    /// The last available presence without `to`, while it holds.
    pub current: Option<Broadcast>,
    /// There has been one.
    pub was_available: bool,
    /// To whom it was available by directed presence only (RFC 6121 section 4.6).
    pub directed: BTreeSet<Jid>,
}

/// An available presence that was sent to all subscribers.
pub(super) struct Broadcast {
    /// As stamped, without `to`.
    pub stanza: Element,
    /// To whom it was shown. They must see its end, even if the subscription ends at the same moment.
    pub audience: Audience,
}

impl Registry {
    /// Connects a resource; `None` asks for one chosen here. `anonymous`: of a user without an account. Also returns those
    /// whose place it took: the older resource of that name or, if there are too many, the one that hibernates for longest.
    pub fn connect(
        &self,
        user: &BareJid,
        resource: Option<&ResourceRef>,
        outbox: Outbox,
        anonymous: bool,
    ) -> Result<(Arc<ConnectedResource>, Option<Arc<ConnectedResource>>), BindError> {
        let jid = match resource {
            Some(resource) => user.with_resource(resource),
            None => user.with_resource(&generated()),
        };
        let mut users = self.users.write();
        // Under the lock, so that it is exact.
        if anonymous && self.anonymous.load(SeqCst) >= MAX_ANONYMOUS {
            return Err(BindError::TooManySessions);
        }
        let connected = users.entry(user.clone()).or_default();
        let mut displaced = connected.iter().position(|known| known.jid == jid);
        if displaced.is_none() && connected.len() >= MAX_SESSIONS {
            // A client that does not come back for its sessions must not lock itself out.
            let oldest = connected.iter().enumerate().filter(|(_, known)| known.hibernates());
            let oldest = oldest.min_by_key(|(_, known)| known.number).ok_or(BindError::TooManySessions)?;
            displaced = Some(oldest.0);
        }
        let displaced = displaced.map(|at| connected.swap_remove(at));
        let number = self.numbers.fetch_add(1, SeqCst);
        let resource = Arc::new(ConnectedResource::new(number, jid, user.clone(), outbox, anonymous));
        connected.push(resource.clone());
        self.anonymous.fetch_add(anonymous.into(), SeqCst);
        Ok((resource, displaced))
    }

    /// Takes a resource out, if it still has its place.
    pub fn disconnect(&self, resource: &Arc<ConnectedResource>) {
        let mut users = self.users.write();
        if let Some(connected) = users.get_mut(&resource.user) {
            let before = connected.len();
            connected.retain(|known| !Arc::ptr_eq(known, resource));
            if resource.anonymous {
                self.anonymous.fetch_sub(before - connected.len(), SeqCst);
            }
            if connected.is_empty() {
                users.remove(&resource.user);
            }
        }
    }

    /// The resource of this full JID, available or only connected.
    pub fn find(&self, jid: &FullJid) -> Option<Arc<ConnectedResource>> {
        self.users.read().get(&jid.to_bare())?.iter().find(|known| known.jid == *jid).cloned()
    }

    /// The connected resources of a user.
    pub fn connected(&self, user: &BareJid) -> Vec<Arc<ConnectedResource>> {
        self.users.read().get(user).cloned().unwrap_or_default()
    }

    /// The available resources of a user.
    pub fn available(&self, user: &BareJid) -> Vec<Arc<ConnectedResource>> {
        self.filtered(user, |resource| resource.priority().is_some())
    }

    /// The resources of a user that take messages addressed to the user.
    pub fn taking_messages(&self, user: &BareJid) -> Vec<Arc<ConnectedResource>> {
        self.filtered(user, ConnectedResource::takes_messages)
    }

    /// The resources of a user that asked for the roster (RFC 6121 section 2.2).
    pub fn interested(&self, user: &BareJid) -> Vec<Arc<ConnectedResource>> {
        self.filtered(user, |resource| resource.interested.load(SeqCst))
    }

    /// The resources of a user that asked for the blocklist (XEP-0191 section 3.2).
    pub fn blocklist_followers(&self, user: &BareJid) -> Vec<Arc<ConnectedResource>> {
        self.filtered(user, |resource| resource.follows_blocklist.load(SeqCst))
    }

    /// The resources of a user that asked for copies of messages (XEP-0280 section 4).
    pub fn taking_copies(&self, user: &BareJid) -> Vec<Arc<ConnectedResource>> {
        self.filtered(user, |resource| resource.takes_copies.load(SeqCst))
    }

    /// Where a presence with this `to` goes: to that resource, available or not, or to the available ones of the account.
    pub fn addressed(&self, to: &Jid) -> Vec<Arc<ConnectedResource>> {
        match to.try_as_full() {
            Ok(full) => self.find(full).into_iter().collect(),
            Err(bare) => self.available(bare),
        }
    }

    /// The full JIDs of all connected resources.
    pub fn jids(&self) -> Vec<FullJid> {
        self.users.read().values().flatten().map(|resource| resource.jid.clone()).collect()
    }

    fn filtered(&self, user: &BareJid, keep: impl Fn(&ConnectedResource) -> bool) -> Vec<Arc<ConnectedResource>> {
        let users = self.users.read();
        let connected = users.get(user).into_iter().flatten();
        connected.filter(|resource| keep(resource)).cloned().collect()
    }
}

impl ConnectedResource {
    fn new(number: u64, jid: FullJid, user: BareJid, outbox: Outbox, anonymous: bool) -> ConnectedResource {
        ConnectedResource {
            number,
            jid,
            user,
            outbox,
            anonymous,
            batch: Mutex::default(),
            reach: AtomicI16::new(UNAVAILABLE),
            interested: AtomicBool::new(false),
            follows_blocklist: AtomicBool::new(false),
            takes_copies: AtomicBool::new(false),
            hibernates: AtomicBool::new(false),
            returning: AsyncMutex::default(),
            presence: Mutex::default(),
        }
    }

    pub fn jid(&self) -> &FullJid {
        &self.jid
    }

    /// The bare JID of the user.
    pub fn user(&self) -> &BareJid {
        &self.user
    }

    pub fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    /// Whether its user has no account.
    pub fn is_anonymous(&self) -> bool {
        self.anonymous
    }

    /// The priority of an available resource; `None` while it is only connected.
    pub fn priority(&self) -> Option<i8> {
        i8::try_from(self.reach.load(SeqCst)).ok()
    }

    /// Whether the resource takes messages that are addressed to its user (RFC 6121 section 8.5.2.1).
    pub fn takes_messages(&self) -> bool {
        self.priority() >= Some(0)
    }

    /// Makes the resource available with this priority, or unavailable.
    pub fn set_priority(&self, priority: Option<i8>) {
        self.reach.store(priority.map_or(UNAVAILABLE, i16::from), SeqCst);
    }

    /// From now on the resource receives roster pushes.
    pub fn become_interested(&self) {
        self.interested.store(true, SeqCst);
    }

    /// From now on the resource receives pushes of the blocklist.
    pub fn follow_blocklist(&self) {
        self.follows_blocklist.store(true, SeqCst);
    }

    /// Whether its client is away and may come back for it.
    pub fn hibernates(&self) -> bool {
        self.hibernates.load(SeqCst)
    }

    /// Its client is away, or is back.
    pub fn set_hibernates(&self, hibernates: bool) {
        self.hibernates.store(hibernates, SeqCst);
    }

    /// From now on the resource receives copies of messages, or none.
    pub fn take_copies(&self, wanted: bool) {
        self.takes_copies.store(wanted, SeqCst);
    }

    /// Sends a stanza. `false`: it will not arrive.
    pub fn post(&self, stanza: Bytes) -> bool {
        self.gather_or(stanza, |outbox, stanza| outbox.post(stanza))
    }

    /// Sends a stanza, addressed to this resource.
    pub fn post_to(&self, stanza: &Element) {
        self.post(serialise_to(stanza, &self.jid));
    }

    /// Sends a presence that is addressed to this resource, or takes one back.
    pub fn post_any_presence(&self, stanza: Bytes) -> bool {
        self.gather_or(stanza, Outbox::post_any_presence)
    }

    /// Sends the presence that another resource shows to everybody, in the place of an older one that waits.
    pub fn post_presence(&self, stanza: Bytes, of: &ConnectedResource) -> bool {
        self.gather_or(stanza, |outbox, stanza| outbox.post_presence(stanza, of.number))
    }

    /// Sends a message, or a request, that is [given back](Hub::give_back) if it does not arrive; with a share, only if no
    /// other resource gets it.
    pub fn post_message(&self, stanza: Bytes, share: Option<Share>) -> bool {
        let mut batch = self.batch.lock();
        match batch.as_mut() {
            Some(gathered) => gathered.post_to(&self.outbox) && self.outbox.post_returnable_owed(stanza, share),
            None => self.outbox.post_returnable(stanza, share),
        }
    }

    fn gather_or(&self, stanza: Bytes, post: impl FnOnce(&Outbox, Bytes) -> bool) -> bool {
        let mut batch = self.batch.lock();
        let Some(gathered) = batch.as_mut() else { return post(&self.outbox, stanza) };
        gathered.stanzas.extend_from_slice(&stanza);
        gathered.count += 1;
        gathered.stanzas.len() < BATCH || gathered.post_to(&self.outbox)
    }

    /// Sends a stanza that is already addressed to this resource.
    pub fn send(&self, stanza: &Element) -> bool {
        self.post(serialise(stanza))
    }

    /// Answers a request of its own client, which is owed the answer however large it is.
    pub fn answer(&self, answer: &Element) {
        self.gather_or(serialise(answer), |outbox, answer| outbox.post_owed(answer, 1));
    }

    /// Runs `send_many`, gathering what is sent to this resource meanwhile, by whomever. A login with hundreds of
    /// contacts online would otherwise overfill the outbox, which counts pieces, before the stream had a chance to read.
    pub fn gather(&self, send_many: impl FnOnce()) {
        *self.batch.lock() = Some(Batch::default());
        send_many();
        let mut batch = self.batch.lock();
        if let Some(mut rest) = batch.take() {
            rest.post_to(&self.outbox);
        }
    }
}

impl Batch {
    /// Posts what was gathered so far. `false`: it will not arrive.
    fn post_to(&mut self, outbox: &Outbox) -> bool {
        let count = mem::take(&mut self.count);
        count == 0 || outbox.post_owed(self.stanzas.split().freeze(), count)
    }
}

/// A resourcepart that nobody can guess (RFC 6120 section 7.6).
fn generated() -> ResourcePart {
    let random = getrandom::u64().expect("the system has random numbers");
    ResourcePart::new(&format!("{random:016x}")).expect("hexadecimal digits are a resourcepart").into_owned()
}
