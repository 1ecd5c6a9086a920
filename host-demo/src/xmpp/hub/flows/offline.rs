//! Messages that wait (XEP-0160), and how they are handed out.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use tokio::task::yield_now;

use super::*;

/// The bodies of what a client reads, in order.
async fn bodies(client: &mut Client) -> Vec<String> {
    bodies_of(&client.reads_xml().await)
}

fn bodies_of(read: &[Element]) -> Vec<String> {
    read.iter().filter_map(|stanza| stanza.get_child("body", ns::CLIENT)).map(Element::text).collect()
}

fn chat(to: &str, body: impl std::fmt::Display) -> String {
    format!("<message type='chat' to='{to}'><body>{body}</body></message>")
}

#[tokio::test]
async fn what_waited_comes_in_order_once_with_the_time_since_when_it_waits() {
    let server = Server::start().await;
    let mut bob = server.login("bob", "phone").await;
    for body in ["one", "two", "three"] {
        bob.sends(&chat("ann@here", body)).await;
    }
    assert_eq!(bob.reads().await, [""; 0], "nothing comes back");
    let mut ann = server.connect("ann", "desk").await;
    assert_eq!(ann.reads().await, [""; 0], "not before she is available");
    ann.sends("<presence/>").await;
    let read = ann.reads_xml().await;
    assert_eq!(read.len(), 4);
    assert_eq!(read[0].name(), "presence");
    let delay = read[1].get_child("delay", ns::DELAY).unwrap();
    assert_eq!(delay.attr("from"), Some("here"));
    let stamp: jiff::Timestamp = delay.attr("stamp").unwrap().parse().unwrap();
    assert!(jiff::Timestamp::now().duration_since(stamp).as_secs() < 60);
    let bodies: Vec<_> = read[1..].iter().map(|stanza| stanza.get_child("body", ns::CLIENT).unwrap().text()).collect();
    assert_eq!(bodies, ["one", "two", "three"]);
    drop(ann);
    assert_eq!(server.login("ann", "desk").await.reads().await, [""; 0], "once");
}

#[tokio::test]
async fn a_negative_priority_takes_nothing_until_it_is_raised() {
    let server = Server::start().await;
    let (mut bob, mut ann) = (server.login("bob", "phone").await, server.connect("ann", "desk").await);
    bob.sends(&chat("ann@here", "hi")).await;
    ann.sends("<presence><priority>-1</priority></presence>").await;
    bob.sends(&chat("ann@here", "again")).await;
    assert_eq!(bodies(&mut ann).await, [""; 0]);
    ann.sends("<presence/>").await;
    assert_eq!(bodies(&mut ann).await, ["hi", "again"]);
}

#[tokio::test]
async fn a_thousand_messages_do_not_overfill_a_session_and_one_more_comes_back() {
    let server = Server::start().await;
    let mut bob = server.login("bob", "phone").await;
    let long = "x".repeat(1_500);
    for number in 0..1_000 {
        bob.sends(&chat("ann@here", format!("{number} {long}"))).await;
    }
    assert_eq!(bob.reads().await, [""; 0]);
    bob.sends(&chat("ann@here", "one too many")).await;
    assert_eq!(bob.reads().await, ["message:error service-unavailable"]);
    let mut ann = server.connect("ann", "desk").await;
    ann.sends("<presence/>").await;
    let bodies = bodies(&mut ann).await;
    assert_eq!(bodies.len(), 1_000);
    assert!(bodies.iter().enumerate().all(|(number, body)| body.starts_with(&format!("{number} "))));
    assert_eq!(ann.is_closed().await, None);
}

#[tokio::test]
async fn the_bytes_that_wait_are_bounded() {
    let server = Server::start().await;
    let mut bob = server.login("bob", "phone").await;
    let long = "x".repeat(255 << 10);
    for _ in 0..16 {
        bob.sends(&chat("ann@here", &long)).await;
        assert_eq!(bob.reads().await, [""; 0]);
    }
    bob.sends(&chat("ann@here", &long)).await;
    assert_eq!(bob.reads().await, ["message:error service-unavailable"]);
}

#[tokio::test]
async fn what_is_sent_meanwhile_does_not_overtake() {
    let server = Server::start().await;
    let (mut bob, mut ann) = (server.login("bob", "phone").await, server.connect("ann", "desk").await);
    bob.sends(&chat("ann@here", "early")).await;
    ann.sends("<presence/>").await;
    bob.sends(&chat("ann@here", "late")).await;
    bob.sends("<message to='ann@here' type='headline'/>").await;
    assert_eq!(bodies(&mut ann).await, ["early", "late"]);
    bob.sends(&chat("ann@here", "live")).await;
    let read = ann.reads_xml().await;
    assert!(read.len() == 1 && !read[0].has_child("delay", ns::DELAY), "{read:?}");
}

/// A user is available before all contacts are shown, and whoever sees that may write at once.
#[test]
fn what_is_sent_while_its_user_is_greeted_does_not_overtake() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let server = runtime.block_on(Server::start());
    let (mut ann, bob, mut cat) = runtime.block_on(async {
        let (mut ann, mut bob) = (server.login("ann", "desk").await, server.login("bob", "phone").await);
        server.befriend(&mut ann, &mut bob).await;
        drop(ann);
        (server.connect("ann", "desk").await, bob, server.login("cat", "home").await)
    });
    runtime.block_on(cat.sends(&chat("ann@here", "early")));
    let shown = server.hub.registry.find(bob.session.jid()).unwrap();
    // Ann's greeting waits for this to show her Bob.
    let presence = shown.presence.lock();
    thread::scope(|scope| {
        let comes = scope.spawn(|| runtime.block_on(ann.sends("<presence/>")));
        let deadline = Instant::now() + Duration::from_secs(10);
        while server.hub.registry.taking_messages(&account("ann")).is_empty() {
            assert!(Instant::now() < deadline, "she does not come");
            thread::yield_now();
        }
        runtime.block_on(cat.sends(&chat("ann@here", "late")));
        drop(presence);
        comes.join().unwrap();
    });
    assert_eq!(runtime.block_on(bodies(&mut ann)), ["early", "late"]);
}

#[tokio::test]
async fn what_waited_does_not_come_from_whom_the_user_blocks_by_then() {
    let server = Server::start().await;
    let (mut bob, mut cat) = (server.login("bob", "phone").await, server.login("cat", "home").await);
    let mut ann = server.connect("ann", "desk").await;
    bob.sends(&chat("ann@here", "let me in")).await;
    cat.sends(&chat("ann@here", "hi")).await;
    ann.sends("<iq type='set' id='b'><block xmlns='urn:xmpp:blocking'><item jid='bob@here'/></block></iq>").await;
    ann.sends("<presence/>").await;
    assert_eq!(bodies(&mut ann).await, ["hi"]);
    assert!(!server.store.has_offline_messages(&account("ann")), "nor later");
}

#[tokio::test]
async fn another_session_goes_on_where_one_ends() {
    let server = Server::start().await;
    let mut bob = server.login("bob", "phone").await;
    bob.sends(&chat("ann@here", "hi")).await;
    let (mut desk, mut phone) = (server.connect("ann", "desk").await, server.connect("ann", "phone").await);
    desk.sends("<presence/>").await;
    phone.sends("<presence/>").await;
    assert_eq!(bodies(&mut phone).await, [""; 0], "it is for the desk to hand out");
    // Its stream broke while it wrote them.
    assert_eq!(desk.session.waiting_messages().len(), 1);
    drop(desk);
    assert_eq!(bodies(&mut phone).await, ["hi"]);
}

#[tokio::test]
async fn a_client_that_does_not_read_does_not_keep_the_others_waiting() {
    let server = Server::start().await;
    let mut bob = server.login("bob", "phone").await;
    bob.sends(&chat("ann@here", "hi")).await;
    let (mut deaf, mut phone) = (server.connect("ann", "desk").await, server.connect("ann", "phone").await);
    deaf.sends("<presence/>").await;
    phone.sends("<presence/>").await;
    deaf.outgoing.next_now();
    // It is stuck in writing them.
    let stuck = deaf.session.waiting_messages();
    assert_eq!(stuck.len(), 1);
    assert_eq!(bodies(&mut phone).await, [""; 0]);
    let Ok(Next::HandOut) = tokio::time::timeout(Duration::from_secs(30), phone.outgoing.next()).await else {
        panic!("the phone waits in vain")
    };
    let passed_on = phone.session.waiting_messages();
    assert_eq!(passed_on, stuck);
    phone.session.handed_over(vec![passed_on[0].id]).await;
    // It is too late, and harms nobody.
    deaf.session.handed_over(vec![stuck[0].id]).await;
    bob.sends(&chat("ann@here", "live")).await;
    assert_eq!(bodies(&mut phone).await, ["live"]);
}

#[tokio::test]
async fn a_session_that_goes_away_keeps_nothing_back() {
    let server = Server::start().await;
    let mut bob = server.login("bob", "phone").await;
    bob.sends(&chat("ann@here", "hi")).await;
    let (mut desk, mut phone) = (server.connect("ann", "desk").await, server.connect("ann", "phone").await);
    desk.sends("<presence/>").await;
    phone.sends("<presence/>").await;
    desk.sends("<presence type='unavailable'/>").await;
    assert_eq!(bodies(&mut desk).await, [""; 0]);
    assert_eq!(bodies(&mut phone).await, ["hi"]);
}

#[tokio::test]
async fn what_may_not_wait_comes_back() {
    let server = Server::start().await;
    let mut bob = server.login("bob", "phone").await;
    for content in [
        "<composing xmlns='http://jabber.org/protocol/chatstates'/>",
        "",
        "<body>secret</body><no-store xmlns='urn:xmpp:hints'/>",
    ] {
        bob.sends(&format!("<message type='chat' to='ann@here'>{content}</message>")).await;
        assert_eq!(bob.reads().await, ["message:error service-unavailable"], "{content}");
    }
    bob.sends("<message to='ann@here'><seal xmlns='x'/><store xmlns='urn:xmpp:hints'/></message>").await;
    assert_eq!(bob.reads().await, [""; 0]);
    assert_eq!(server.store.offline_messages(&account("ann"), 1 << 20).unwrap().len(), 1);
}

#[tokio::test]
async fn whom_a_user_blocks_finds_nobody_there() {
    let server = Server::start().await;
    let (mut ann, mut bob) = (server.login("ann", "desk").await, server.login("bob", "phone").await);
    ann.sends("<iq type='set' id='b'><block xmlns='urn:xmpp:blocking'><item jid='bob@here'/></block></iq>").await;
    drop(ann);
    bob.sends(&chat("ann@here", "let me in")).await;
    assert_eq!(bob.reads().await, ["message:error service-unavailable"]);
    assert!(!server.store.has_offline_messages(&account("ann")));
}

#[tokio::test]
async fn a_removed_account_takes_its_messages_with_it() {
    let server = Server::start().await;
    let mut bob = server.login("bob", "phone").await;
    bob.sends(&chat("ann@here", "hi")).await;
    server.hub.remove_account(&account("ann")).await.unwrap();
    assert!(!server.store.has_offline_messages(&account("ann")));
    server.add_account("ann").await;
    assert_eq!(bodies(&mut server.login("ann", "desk").await).await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn who_comes_and_goes_reads_each_message_once_and_in_order() {
    const MESSAGES: usize = 600;
    let (server, got) = (Server::start().await, Arc::new(AtomicUsize::new(0)));
    let (mut bob, seen) = (server.login("bob", "phone").await, got.clone());
    let sending = tokio::spawn(async move {
        for number in 0..MESSAGES {
            // Fewer on their way than overfill a session.
            while number >= seen.load(Ordering::Relaxed) + 100 {
                yield_now().await;
            }
            bob.sends(&chat("ann@here", number)).await;
        }
        bob.reads().await
    });
    let (mut read, begun) = (Vec::new(), Instant::now());
    for session in 0.. {
        if read.len() >= MESSAGES || begun.elapsed() > Duration::from_secs(60) {
            break;
        }
        let mut ann = server.connect("ann", "desk").await;
        ann.sends("<presence/>").await;
        for _ in 0..session % 50 {
            read.extend(bodies(&mut ann).await);
            got.store(read.len(), Ordering::Relaxed);
            yield_now().await;
        }
        read.extend(bodies_of(&close(&server, ann).await));
        got.store(read.len(), Ordering::Relaxed);
    }
    assert_eq!(read, (0..MESSAGES).map(|number| number.to_string()).collect::<Vec<_>>());
    assert_eq!(sending.await.unwrap(), [""; 0]);
}

/// Ends a session as its stream does, and reads what was posted before.
async fn close(server: &Server, client: Client) -> Vec<Element> {
    let outbox = server.hub.registry.find(client.session.jid()).unwrap().outbox().clone();
    let Client { session, mut outgoing } = client;
    session.close();
    outbox.close(None);
    let mut read = Vec::new();
    while let Next::Write(pieces) = outgoing.next().await {
        read.extend(elements(&pieces));
    }
    read
}
