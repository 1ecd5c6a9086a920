//! A hundred thousand random steps of two users, compared with the [`model`](super::model) after each: what every client
//! hears, what the rosters hold, what the presence table shows, and that a client that only asks for the changes since its
//! last version of the roster knows all of it.
//!
//! Many pairs of users take their steps at once, so that they share commits. A pair that diverges is replayed alone, with
//! fewer and fewer of its acts, until none can be left out: that is what the panic prints, with the seed.

use std::collections::BTreeMap;

use tokio::task::JoinSet;

use super::{model::Model, *};

const PAIRS: u64 = 50;
const STEPS: usize = 2_000;
const SEED: u64 = 20_261_126;
/// Each user's resources have these numbers.
const RESOURCES: usize = 2;

/// Something that a client does.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Act {
    user: usize,
    resource: usize,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    /// Connects and asks for the roster.
    LogIn,
    /// Connects, and asks for nothing.
    Connect,
    Available,
    Unavailable,
    Lose,
    Send(&'static str),
    Remove,
    Rename,
    Direct,
    TakeBack,
    Probe,
}
use Kind::*;

/// Each as often as it stands here.
const KINDS: [Kind; 29] = [
    LogIn,
    LogIn,
    LogIn,
    Connect,
    Available,
    Available,
    Available,
    Available,
    Unavailable,
    Unavailable,
    Lose,
    Lose,
    Send("subscribe"),
    Send("subscribe"),
    Send("subscribe"),
    Send("subscribe"),
    Send("subscribed"),
    Send("subscribed"),
    Send("subscribed"),
    Send("subscribed"),
    Send("unsubscribe"),
    Send("unsubscribed"),
    Send("unsubscribed"),
    Remove,
    Rename,
    Direct,
    Direct,
    TakeBack,
    Probe,
];

/// What a client keeps from one session to the next: the version of its roster, and its items.
#[derive(Default)]
struct Cache {
    version: String,
    items: BTreeMap<String, String>,
    /// The roster was asked for, so that pushes bring what was missed.
    catches_up: bool,
}

struct Pair<'a> {
    server: &'a Server,
    names: [String; 2],
    users: [BareJid; 2],
    model: Model,
    clients: BTreeMap<(usize, usize), Client>,
    caches: BTreeMap<(usize, usize), Cache>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_users_hear_and_keep_what_the_rfc_says() {
    // In memory where there is such a folder: that what is committed is on a disk is no matter here.
    let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let server = Arc::new(Server::start_in(folder).await);
    let mut pairs = JoinSet::new();
    for number in 0..PAIRS {
        let server = server.clone();
        pairs.spawn(async move {
            let acts = acts(SEED + number);
            let outcome = play(&server, &number.to_string(), &acts).await;
            (number, acts, outcome)
        });
    }
    while let Some(played) = pairs.join_next().await {
        let (number, acts, outcome) = played.unwrap();
        if let Err((step, _)) = outcome {
            let acts = shorten(&server, acts[..=step].to_vec()).await;
            let (_, why) = play(&server, "last", &acts).await.unwrap_err();
            let acts: String = acts.iter().map(|act| format!("  {act:?}\n")).collect();
            panic!("seed {}, step {step}, which takes no more than\n{acts}{why}", SEED + number);
        }
    }
}

fn acts(seed: u64) -> Vec<Act> {
    let mut random = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut below = |bound: usize| {
        // xorshift64 by Marsaglia.
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        (random >> 16) as usize % bound
    };
    (0..STEPS).map(|_| Act { user: below(2), resource: below(RESOURCES), kind: KINDS[below(KINDS.len())] }).collect()
}

/// Leaves out what is not needed for a divergence.
async fn shorten(server: &Server, mut acts: Vec<Act>) -> Vec<Act> {
    let (mut piece, mut round) = (acts.len(), 0);
    while piece > 0 {
        let mut at = 0;
        while at < acts.len() {
            let mut fewer = acts.clone();
            fewer.drain(at..(at + piece).min(acts.len()));
            round += 1;
            match play(server, &format!("again{round}"), &fewer).await {
                Err((step, _)) => acts = fewer[..=step].to_vec(),
                Ok(()) => at += piece,
            }
        }
        piece /= 2;
    }
    acts
}

/// Plays the acts with two new users. `Err`: after which step what diverges.
async fn play(server: &Server, pair: &str, acts: &[Act]) -> Result<(), (usize, String)> {
    let names = ["ann", "bob"].map(|name| format!("{name}{pair}"));
    for name in &names {
        server.add_account(name).await;
    }
    let model = Model::new(names.clone().map(|name| format!("{name}@here")));
    let users = names.clone().map(|name| account(&name));
    let mut pair = Pair { server, names, users, model, clients: BTreeMap::new(), caches: BTreeMap::new() };
    for (step, act) in acts.iter().enumerate() {
        server.hub.requests.forgive();
        pair.act(*act, &format!("w{step}")).await;
        pair.check().await.map_err(|why| (step, why))?;
    }
    Ok(())
}

impl Pair<'_> {
    /// Acts on both sides, unless the client is not there to act, or is there already.
    async fn act(&mut self, Act { user, resource, kind }: Act, words: &str) {
        let is_connected = self.clients.contains_key(&(user, resource));
        if is_connected == matches!(kind, LogIn | Connect) {
            return;
        }
        let contact = self.model.users[1 - user].jid.clone();
        let status = format!("<status>{words}</status>");
        let set = |item: &str| format!("<iq type='set' id='s'><query xmlns='jabber:iq:roster'>{item}</query></iq>");
        let stanza = match kind {
            LogIn | Connect => {
                self.model.connects(user, resource, kind == LogIn);
                let client = self.server.connect(&self.names[user], &resource.to_string()).await;
                self.clients.insert((user, resource), client);
                let cache = self.caches.entry((user, resource)).or_default();
                cache.catches_up = true;
                let version = &cache.version;
                format!("<iq type='get' id='g'><query xmlns='jabber:iq:roster' ver='{version}'/></iq>")
            }
            Lose => {
                self.model.goes(user, resource);
                self.clients.remove(&(user, resource));
                return;
            }
            Available => {
                self.model.available(user, resource, words);
                format!("<presence>{status}</presence>")
            }
            Unavailable => {
                self.model.unavailable(user, resource, words);
                format!("<presence type='unavailable'>{status}</presence>")
            }
            Send(kind) => {
                self.model.sends(kind, user, words);
                format!("<presence type='{kind}' to='{contact}'>{status}</presence>")
            }
            Remove => {
                self.model.remove(user, resource);
                set(&format!("<item jid='{contact}' subscription='remove'/>"))
            }
            Rename => {
                self.model.rename(user, resource, words);
                set(&format!("<item jid='{contact}' name='{words}'/>"))
            }
            Direct => {
                self.model.direct(user, resource, true, words);
                format!("<presence to='{contact}'>{status}</presence>")
            }
            TakeBack => {
                self.model.direct(user, resource, false, words);
                format!("<presence to='{contact}' type='unavailable'>{status}</presence>")
            }
            Probe => {
                self.model.probe(user, resource);
                format!("<presence type='probe' to='{contact}'/>")
            }
        };
        if kind != Connect {
            self.clients.get_mut(&(user, resource)).unwrap().sends(&stanza).await;
        }
    }

    /// Compares all that can be seen of a step with the model.
    async fn check(&mut self) -> Result<(), String> {
        let mut expected = std::mem::take(&mut self.model.heard);
        for (at, client) in &mut self.clients {
            let cache = self.caches.entry(*at).or_default();
            let mut heard: Vec<_> = client.reads_xml().await.iter().filter_map(|stanza| cache.hear(stanza)).collect();
            let mut expected = expected.remove(at).unwrap_or_default();
            cache.catches_up = false;
            heard.sort();
            expected.sort();
            if heard != expected {
                return Err(format!("{at:?} heard {heard:#?}\nnot {expected:#?}"));
            }
            let contact = &self.model.users[1 - at.0].jid;
            let known = cache.items.get(contact).cloned();
            if self.model.users[at.0].resources[&at.1].interested && known != self.model.users[at.0].item.shown(contact)
            {
                return Err(format!("{at:?} believes its roster to be {known:?}"));
            }
        }
        if let Some((at, lines)) = expected.into_iter().next() {
            return Err(format!("{at:?}, who is not there, was to hear {lines:?}"));
        }
        (0..2).try_for_each(|user| self.check_kept(user))
    }

    fn check_kept(&self, user: usize) -> Result<(), String> {
        let (owner, contact) = (&self.users[user], &self.users[1 - user]);
        let roster = self.server.store.roster(owner).unwrap();
        let item = roster.items.get(contact).cloned().unwrap_or_default();
        let model = &self.model.users[user].item;
        let kept = (item.to, item.from, item.ask, item.approved, item.listed, item.request.is_some());
        let has = |part| model.has(part);
        if kept != (has("To"), has("From"), has("Out"), model.approved, model.listed, model.request.is_some()) {
            return Err(format!("{owner} keeps {item:?}, not {model:?}"));
        }
        let seen = self.server.presence.read(owner.as_str()).unwrap_or_default();
        let mut shown: Vec<_> = seen.resources().map(|resource| resource.name.to_owned()).collect();
        shown.sort();
        let present: Vec<_> = self.model.present(user).into_iter().map(|(resource, _)| resource.to_string()).collect();
        if shown != present {
            return Err(format!("the table shows {owner} with {shown:?}, not {present:?}"));
        }
        let (kept, said) = (seen.last_status(), self.model.last_words(user));
        let is_kept = !present.is_empty() || kept == said;
        if is_kept { Ok(()) } else { Err(format!("the table has {owner} leave with {kept:?}, not {said:?}")) }
    }
}

impl Cache {
    /// Keeps what a stanza says of the roster, and puts the stanza in a line; `None` for the answer to a roster get, and
    /// for what it has missed.
    fn hear(&mut self, stanza: &Element) -> Option<String> {
        if stanza.name() == "presence" {
            return Some(presence(stanza));
        }
        if stanza.attr("id") == Some("g") {
            if let Some(query) = stanza.get_child("query", ns::ROSTER) {
                self.items.clear();
                query.children().for_each(|item| self.keep(item));
                self.version = query.attr("ver").unwrap().to_owned();
            }
            return None;
        }
        let Some(query) = stanza.get_child("query", ns::ROSTER) else {
            let error = stanza.get_child("error", ns::CLIENT).and_then(|error| error.children().next());
            return Some(error.map_or("result".into(), |condition| format!("error {}", condition.name())));
        };
        let item = query.children().next().unwrap();
        self.keep(item);
        let version = query.attr("ver").unwrap().to_owned();
        assert!(version.len() >= self.version.len() && version > self.version, "{version} after {}", self.version);
        self.version = version;
        (!self.catches_up).then(|| format!("push {}", described(item)))
    }

    fn keep(&mut self, item: &Element) {
        let jid = item.attr("jid").unwrap().to_owned();
        match item.attr("subscription") {
            Some("remove") => self.items.remove(&jid),
            _ => self.items.insert(jid, described(item)),
        };
    }
}

fn presence(stanza: &Element) -> String {
    let text = stanza.get_child("status", ns::CLIENT).map(Element::text).unwrap_or_default();
    let delayed = if stanza.has_child("delay", ns::DELAY) { " delayed" } else { "" };
    format!("{} {} {text}{delayed}", stanza.attr("type").unwrap_or("available"), stanza.attr("from").unwrap())
}

fn described(item: &Element) -> String {
    ["jid", "subscription", "ask", "approved", "name"].map(|name| item.attr(name).unwrap_or_default()).join("|")
}
