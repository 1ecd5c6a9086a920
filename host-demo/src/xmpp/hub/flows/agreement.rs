//! What must hold whatever is sent, and in whatever order: rosters agree, and clients know what the server knows.

use std::collections::BTreeMap;

use super::*;
use crate::store::roster::Roster;

/// What a client knows by what it has read: of its contacts the subscription, of each resource the last presence.
#[derive(Default)]
struct View {
    roster: BTreeMap<String, String>,
    presence: BTreeMap<String, String>,
}

impl View {
    async fn update(&mut self, client: &mut Client) {
        for line in client.reads().await {
            let (kind, rest) = line.split_once(' ').unwrap_or((&line, ""));
            let (subject, state) = rest.split_once(' ').unwrap_or((rest, ""));
            match kind {
                "push" if state == "remove" => drop(self.roster.remove(subject)),
                "push" => drop(self.roster.insert(subject.into(), state.into())),
                "presence:plain" | "presence:away" | "presence:unavailable" => {
                    self.presence.insert(subject.into(), kind.into());
                }
                _ => {}
            }
        }
    }

    /// Compares with what the server knows. `shows` is the contact's presence, if it is available and neither user blocks
    /// the other.
    fn check(&self, own: &Roster, contact: &str, contact_jid: &str, shows: Option<&str>) {
        let item = own.items.get(&BareJid::new(contact).unwrap()).cloned().unwrap_or_default();
        let subscription = ["none", "to", "from", "both"][usize::from(item.to) + 2 * usize::from(item.from)];
        let ask = if item.ask { " subscribe" } else { "" };
        let approved = if item.approved { " approved" } else { "" };
        let stored = item.listed.then(|| format!("{subscription}{ask}{approved}"));
        assert_eq!(self.roster.get(contact), stored.as_ref());
        let visible = shows.filter(|_| item.to).unwrap_or("presence:unavailable");
        let seen = self.presence.get(contact_jid).map_or("presence:unavailable", String::as_str);
        assert_eq!(seen, visible, "{contact_jid}");
    }
}

/// Whether two rosters agree on what their owners are to each other. A request may have been lost if one was blocked.
fn assert_agreement(ann: &Roster, bob: &Roster, may_lose_requests: bool) {
    let ann_of_bob = ann.items.get(&account("bob")).cloned().unwrap_or_default();
    let bob_of_ann = bob.items.get(&account("ann")).cloned().unwrap_or_default();
    for (one, other) in [(&ann_of_bob, &bob_of_ann), (&bob_of_ann, &ann_of_bob)] {
        assert_eq!(one.to, other.from, "{one:?} {other:?}");
        assert!(one.ask || other.request.is_none(), "{one:?} {other:?}");
        assert!(!one.ask || other.request.is_some() || may_lose_requests, "{one:?} {other:?}");
    }
}

/// Something that a user does to the other one.
#[derive(Clone, Copy, PartialEq)]
enum Act {
    Subscribe,
    Subscribed,
    Unsubscribe,
    Unsubscribed,
    Remove,
    Rename,
    Leave,
    Away,
    Block,
    Unblock,
}
use Act::*;

impl Act {
    fn stanza(self, contact: &str, step: usize) -> String {
        let set = |payload: String| format!("<iq type='set' id='{step}'>{payload}</iq>");
        let roster = |item: &str| set(format!("<query xmlns='jabber:iq:roster'>{item}</query>"));
        let request = |kind| format!("<presence type='{kind}' to='{contact}'/>");
        match self {
            Subscribe => request("subscribe"),
            Subscribed => request("subscribed"),
            Unsubscribe => request("unsubscribe"),
            Unsubscribed => request("unsubscribed"),
            Remove => roster(&format!("<item jid='{contact}' subscription='remove'/>")),
            Rename => roster(&format!("<item jid='{contact}' name='{step}'/>")),
            Leave => "<presence type='unavailable'/>".to_owned(),
            Away => "<presence><show>away</show></presence>".to_owned(),
            Block => set(format!("<block xmlns='urn:xmpp:blocking'><item jid='{contact}'/></block>")),
            Unblock => set("<unblock xmlns='urn:xmpp:blocking'/>".to_owned()),
        }
    }
}

#[tokio::test]
async fn whatever_two_users_send_their_rosters_agree_and_their_clients_know() {
    let acts = [Subscribe, Subscribe, Subscribed, Subscribed, Unsubscribe, Unsubscribed, Remove, Rename, Leave, Away];
    check_agreement(&acts).await;
}

#[tokio::test]
async fn whomever_they_block_their_rosters_agree_and_their_clients_know() {
    let often = [Subscribe, Subscribed, Away, Unblock];
    let rarely = [Unsubscribe, Unsubscribed, Remove, Leave, Block];
    check_agreement(&[&often[..], &often, &often, &rarely].concat()).await;
}

/// Has two users do any of these.
async fn check_agreement(acts: &[Act]) {
    let server = Server::start().await;
    let mut clients = [server.login("ann", "1").await, server.login("bob", "1").await];
    let (users, jids) = (["ann@here", "bob@here"], ["ann@here/1", "bob@here/1"]);
    let mut views = [View::default(), View::default()];
    let mut shows = [Some("presence:plain"); 2];
    let mut blocks = [false; 2];
    let mut random = 20_260_101_u64;
    for step in 0..600 {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        server.hub.requests.forgive();
        let (actor, act) = ((random >> 40) as usize % 2, acts[(random >> 50) as usize % acts.len()]);
        match act {
            Leave => shows[actor] = None,
            Away => shows[actor] = Some("presence:away"),
            Block | Unblock => blocks[actor] = act == Block,
            _ => {}
        }
        clients[actor].sends(&act.stanza(users[1 - actor], step)).await;
        let rosters = [account("ann"), account("bob")].map(|user| server.store.roster(&user).unwrap());
        assert_agreement(&rosters[0], &rosters[1], acts.contains(&Block));
        for (at, view) in views.iter_mut().enumerate() {
            view.update(&mut clients[at]).await;
            // Who is unavailable himself hears of no presence until the next login.
            if shows[at].is_some() {
                let shown = shows[1 - at].filter(|_| blocks == [false; 2]);
                view.check(&rosters[at], users[1 - at], jids[1 - at], shown);
            } else {
                view.presence.clear();
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_last_presence_that_arrives_is_the_latest() {
    for round in 0..20 {
        let server = Server::start().await;
        let mut ann = server.login("ann", "1").await;
        let (mut bob, mut phone) = (server.login("bob", "1").await, server.login("bob", "phone").await);
        ann.sends("<presence type='subscribe' to='bob@here'/>").await;
        let toggles = tokio::spawn(async move {
            for _ in 0..20 {
                phone.sends("<presence type='unavailable'/>").await;
                phone.sends("<presence><show>away</show></presence>").await;
                tokio::task::yield_now().await;
            }
            phone.sends("<presence/>").await;
            phone
        });
        let approvals = tokio::spawn(async move {
            bob.sends("<presence type='subscribed' to='ann@here'/>").await;
            if round % 2 == 0 {
                bob.sends("<presence type='unsubscribed' to='ann@here'/>").await;
            }
            bob
        });
        let (_phone, _bob) = (toggles.await.unwrap(), approvals.await.unwrap());
        let mut view = View::default();
        view.roster.insert("bob@here".into(), String::new());
        view.update(&mut ann).await;
        let roster = server.store.roster(&account("ann")).unwrap();
        assert_eq!(roster.items[&account("bob")].to, round % 2 == 1);
        view.check(&roster, "bob@here", "bob@here/phone", Some("presence:plain"));
    }
}
