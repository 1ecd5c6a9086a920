//! Stream management (XEP-0198): what survives a connection, and that no message is lost with one.

use std::{
    collections::BTreeSet,
    thread,
    time::{Duration, Instant},
};

use minidom::Element;
use tests::{
    host::{Host, password},
    xmpp::{self, Managed, Session, Stream, ns},
};

const PATIENCE: Duration = Duration::from_secs(15);
/// How long a client listens to silence before it tries its luck elsewhere.
const PAUSE: Duration = Duration::from_millis(200);

fn authenticate(host: &Host, user: &str) -> Stream {
    xmpp::authenticate(host.xmpp(), &format!("{user}@localhost"), &password(user)).unwrap()
}

/// A client that is available, and whose session waits for so many seconds.
fn managed(host: &Host, user: &str, resource: &str, max: u64) -> Managed {
    let session = authenticate(host, user).bind(Some(resource)).unwrap();
    let mut client = Managed::enable(session, max).unwrap();
    client.send("<presence/>").unwrap();
    client.handled_by_server().unwrap();
    client
}

fn body(stanza: &Element) -> Option<String> {
    Some(stanza.get_child("body", ns::CLIENT)?.text())
}

fn next_body(client: &mut Managed) -> String {
    body(&client.expect(|stanza| stanza.name() == "message").unwrap()).expect("it has a body")
}

fn bodies(session: &mut Session) -> Vec<String> {
    session.arrived().unwrap().iter().filter_map(body).collect()
}

/// The old connection is cut; the new one is of no use until the session is resumed.
fn lose_connection(client: &mut Managed, replacement: Stream) {
    *client.stream() = replacement;
}

#[test]
fn a_session_is_resumed_with_all_that_was_not_acknowledged() {
    let host = Host::start();
    host.add_user("alice");
    let mut bob = host.new_user("bob");
    let mut alice = managed(&host, "alice", "desk", 60);
    bob.message("alice@localhost", "acknowledged").unwrap();
    assert_eq!(next_body(&mut alice), "acknowledged");
    alice.acknowledge().unwrap();
    bob.message("alice@localhost", "on its way").unwrap();
    bob.settle().unwrap();
    lose_connection(&mut alice, authenticate(&host, "alice"));
    bob.message("alice@localhost/desk", "meanwhile").unwrap();
    bob.settle().unwrap();
    alice.resume(authenticate(&host, "alice")).unwrap();
    assert_eq!([next_body(&mut alice), next_body(&mut alice)], ["on its way", "meanwhile"]);
    bob.message("alice@localhost", "live").unwrap();
    assert_eq!(next_body(&mut alice), "live");
    assert_eq!(bodies(&mut bob), [""; 0]);
}

#[test]
fn presence_stays_until_the_session_has_waited_long_enough() {
    let host = Host::start();
    let (mut alice, mut bob) = (host.new_user("alice"), host.new_user("bob"));
    xmpp::befriend(&mut alice, &mut bob).unwrap();
    bob.available("", "").unwrap();
    drop(alice);
    let mut desk = managed(&host, "alice", "desk", 60);
    bob.expect_presence("", "alice@localhost/desk").unwrap();
    lose_connection(&mut desk, authenticate(&host, "alice"));
    desk.resume(authenticate(&host, "alice")).unwrap();
    bob.message("alice@localhost", "still there").unwrap();
    assert_eq!(next_body(&mut desk), "still there");
    assert!(!bob.arrived().unwrap().iter().any(|stanza| stanza.attr("type") == Some("unavailable")));

    let mut phone = managed(&host, "alice", "phone", 1);
    bob.expect_presence("", "alice@localhost/phone").unwrap();
    bob.message("alice@localhost/phone", "to one").unwrap();
    bob.settle().unwrap();
    lose_connection(&mut phone, authenticate(&host, "alice"));
    bob.expect_presence("unavailable", "alice@localhost/phone").unwrap();
    let late = desk.expect(|stanza| body(stanza).as_deref() == Some("to one")).unwrap();
    assert!(late.has_child("delay", "urn:xmpp:delay"), "{late:?}");
    let gone = phone.resume(authenticate(&host, "alice")).unwrap_err();
    assert!(gone.to_string().contains("item-not-found"), "{gone}");
}

#[test]
fn what_a_session_did_not_acknowledge_waits_when_nobody_comes_back() {
    let host = Host::start();
    host.add_user("alice");
    let mut bob = host.new_user("bob");
    let mut alice = managed(&host, "alice", "desk", 0);
    for number in 0..5 {
        bob.message("alice@localhost", &number.to_string()).unwrap();
    }
    bob.settle().unwrap();
    // Read, but not acknowledged.
    assert_eq!(next_body(&mut alice), "0");
    drop(alice);
    let mut alice = host.login("alice");
    alice.available("", "").unwrap();
    let read: Vec<_> =
        (0..5).map(|_| body(&alice.expect(|stanza| stanza.name() == "message").unwrap()).unwrap()).collect();
    assert_eq!(read, ["0", "1", "2", "3", "4"]);
}

/// What waited is taken out of the store when it has arrived, not when the system has taken it to send.
#[test]
fn what_is_handed_out_waits_until_it_is_acknowledged() {
    let host = Host::start();
    host.add_user("alice");
    let mut bob = host.new_user("bob");
    for number in 0..3 {
        bob.message("alice@localhost", &number.to_string()).unwrap();
    }
    bob.settle().unwrap();
    let come = || managed(&host, "alice", "desk", 0);
    let mut alice = come();
    assert_eq!([next_body(&mut alice), next_body(&mut alice)], ["0", "1"]);
    alice.acknowledge().unwrap();
    alice.handled_by_server().unwrap();
    drop(alice);
    let mut alice = come();
    assert_eq!(next_body(&mut alice), "2");
    alice.acknowledge().unwrap();
    alice.handled_by_server().unwrap();
    drop(alice);
    let mut alice = host.login("alice");
    alice.available("", "").unwrap();
    assert_eq!(bodies(&mut alice), [""; 0]);
}

#[test]
fn what_is_handed_out_comes_once_however_it_is_acknowledged() {
    let host = Host::start();
    host.add_user("alice");
    let mut bob = host.new_user("bob");
    for number in 0..10 {
        bob.message("alice@localhost", &number.to_string()).unwrap();
    }
    bob.settle().unwrap();
    let mut alice = managed(&host, "alice", "desk", 60);
    bob.message("alice@localhost", "10").unwrap();
    for number in 0..=10 {
        assert_eq!(next_body(&mut alice), number.to_string());
        alice.acknowledge().unwrap();
        // The server has taken it out by then.
        alice.handled_by_server().unwrap();
    }
}

/// Four portions: the first is written before the client is asked about anything but its own presence.
#[test]
fn what_is_handed_out_goes_on_for_who_acknowledges_when_asked() {
    const MESSAGES: usize = 100;
    let host = Host::start();
    host.add_user("alice");
    let mut bob = host.new_user("bob");
    let rest = "x".repeat(2_000);
    for number in 0..MESSAGES {
        bob.message("alice@localhost", &format!("{number} {rest}")).unwrap();
    }
    bob.settle().unwrap();
    let mut alice = Managed::enable(authenticate(&host, "alice").bind(Some("desk")).unwrap(), 60).unwrap();
    alice.acknowledge_when_asked();
    alice.send("<presence/>").unwrap();
    for number in 0..MESSAGES {
        assert!(next_body(&mut alice).starts_with(&format!("{number} ")));
    }
}

#[test]
fn a_client_is_heard_however_much_it_has_not_acknowledged() {
    let host = Host::start();
    let mut desk = host.new_user("alice");
    let card = format!("<vCard xmlns='vcard-temp'><NOTE>{}</NOTE></vCard>", "x".repeat(100 << 10));
    desk.request("set", "", &card).unwrap();
    let mut alice = Managed::enable(desk, 60).unwrap();
    let answer = |alice: &mut Managed, id: &str| alice.expect(|stanza| stanza.attr("id") == Some(id)).map(drop);
    // More than 1 MiB, after which nothing is written until it is acknowledged.
    for _ in 0..11 {
        alice.send("<iq type='get' id='card'><vCard xmlns='vcard-temp'/></iq>").unwrap();
        answer(&mut alice, "card").unwrap();
    }
    alice.send("<iq type='get' id='roster'><query xmlns='jabber:iq:roster'/></iq>").unwrap();
    assert_eq!(alice.handled_by_server().unwrap(), 12);
    alice.acknowledge().unwrap();
    answer(&mut alice, "roster").unwrap();
}

#[test]
fn what_is_handed_out_moves_with_the_session() {
    let host = Host::start();
    host.add_user("alice");
    let mut bob = host.new_user("bob");
    for number in 0..3 {
        bob.message("alice@localhost", &number.to_string()).unwrap();
    }
    bob.settle().unwrap();
    let mut alice = managed(&host, "alice", "desk", 60);
    // It is written, and not read.
    let _old = std::mem::replace(alice.stream(), authenticate(&host, "alice"));
    alice.resume(authenticate(&host, "alice")).unwrap();
    for number in 0..3 {
        assert_eq!(next_body(&mut alice), number.to_string());
    }
}

#[test]
fn a_session_is_resumed_by_its_user_alone_and_before_anything_is_bound() {
    let host = Host::start();
    host.add_user("alice");
    host.add_user("bob");
    let mut alice = managed(&host, "alice", "desk", 60);
    let mut bob = managed(&host, "bob", "home", 60);
    let resume = format!("<resume xmlns='{}' previd='{}' h='0'/>", ns::MANAGEMENT, alice.id());
    let mut stream = authenticate(&host, "bob");
    for (request, condition) in [
        (resume.as_str(), "item-not-found"),
        ("<resume xmlns='urn:xmpp:sm:3' previd='nonsense' h='0'/>", "item-not-found"),
        ("<enable xmlns='urn:xmpp:sm:3'/>", "unexpected-request"),
    ] {
        stream.send(request).unwrap();
        let refused = stream.receive().unwrap();
        assert!(refused.is("failed", ns::MANAGEMENT) && refused.has_child(condition, ns::STANZA_ERRORS), "{refused:?}");
    }
    let mut other = stream.bind(Some("other")).unwrap();
    other.settle().unwrap();
    // His own, in the midst of a session.
    bob.send("<presence/>").unwrap();
    bob.stream().send(&format!("<resume xmlns='{}' previd='{}' h='0'/>", ns::MANAGEMENT, "x")).unwrap();
    loop {
        let answer = bob.stream().receive().unwrap();
        if answer.is("failed", ns::MANAGEMENT) {
            break assert!(answer.has_child("unexpected-request", ns::STANZA_ERRORS));
        }
    }
    alice.send("<presence/>").unwrap();
    assert_eq!(alice.handled_by_server().unwrap(), 2);
}

/// A client of which the server still believes that it is there goes on elsewhere.
#[test]
fn a_session_moves_to_a_new_connection_while_the_old_one_seems_alive() {
    let host = Host::start();
    host.add_user("alice");
    let mut bob = host.new_user("bob");
    let mut alice = managed(&host, "alice", "desk", 60);
    for number in 0..20 {
        bob.message("alice@localhost", &number.to_string()).unwrap();
    }
    bob.settle().unwrap();
    let mut old = std::mem::replace(alice.stream(), authenticate(&host, "alice"));
    alice.resume(authenticate(&host, "alice")).unwrap();
    for number in 0..20 {
        assert_eq!(next_body(&mut alice), number.to_string());
    }
    assert_eq!(old.connection().stream_error().unwrap().as_deref(), Some("conflict"));
}

/// Sockets are cut at random places of a conversation, on both sides of it; sometimes the client comes back for its session,
/// sometimes it begins anew. Each message arrives, in order and, where a session was resumed, once.
#[test]
fn no_message_is_lost_with_a_connection() {
    const MESSAGES: usize = 300;
    let host = Host::start();
    host.add_user("alice");
    host.add_user("bob");
    let numbers: BTreeSet<_> = (0..MESSAGES).collect();
    let mut random = Random(0x9e37_79b9);
    let seed = random.0;
    let mut got = Vec::new();
    thread::scope(|scope| {
        let sending = scope.spawn(|| send_through_cuts(&host, MESSAGES));
        let mut alice = managed(&host, "alice", "desk", 60);
        let deadline = Instant::now() + 4 * PATIENCE;
        while got.iter().collect::<BTreeSet<_>>().len() < MESSAGES {
            assert!(Instant::now() < deadline, "{:?} are missing", numbers.difference(&got.iter().copied().collect()));
            for _ in 0..random.below(40) {
                let Some(stanza) = alice.next_within(PAUSE).unwrap() else { break };
                got.extend(body(&stanza).map(|body| body.parse::<usize>().unwrap()));
                if random.below(4) == 0 {
                    alice.acknowledge().unwrap();
                }
            }
            match random.below(3) {
                0 => alice = managed(&host, "alice", "desk", 60),
                _ => alice.resume(authenticate(&host, "alice")).unwrap(),
            }
        }
        sending.join().unwrap();
    });
    assert_eq!(got.iter().copied().collect::<BTreeSet<_>>(), numbers, "seed {seed}");
    let mut first = BTreeSet::new();
    let order: Vec<_> = got.into_iter().filter(|number| first.insert(*number)).collect();
    assert!(order.is_sorted(), "seed {seed}: {order:?}");
}

/// Sends messages, each of them once, over connections that break.
fn send_through_cuts(host: &Host, messages: usize) {
    let mut random = Random(0x2545_f491);
    let mut bob = Managed::enable(authenticate(host, "bob").bind(None).unwrap(), 60).unwrap();
    for number in 0..messages {
        bob.send(&format!("<message type='chat' to='alice@localhost'><body>{number}</body></message>")).unwrap();
        if random.below(25) == 0 {
            bob.resume(authenticate(host, "bob")).unwrap();
        }
    }
    assert_eq!(bob.handled_by_server().unwrap() as usize, messages);
}

/// Small, and the same each time (xorshift, Marsaglia 2003).
struct Random(u32);

impl Random {
    fn below(&mut self, bound: u32) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        self.0 % bound
    }
}
