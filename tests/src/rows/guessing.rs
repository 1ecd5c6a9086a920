//! Guessing passwords, names, and who is there.

use std::{
    collections::BTreeMap,
    net::Ipv4Addr,
    time::{Duration, Instant},
};

use super::{Extent, Report};
use crate::{
    host::{DOMAIN, Host, password},
    http::Answer,
    xmpp::{Connection, Error, Mechanism, Session, Stream, ns},
};

/// How many passwords of one account are looked at from one address.
const LOOKED_AT: usize = 10;

/// X11: from each address a few passwords are looked at and no more, and the user is not locked out by it; names that are
/// no accounts take as long as those that are.
pub fn passwords(extent: Extent) -> Report {
    let host = Host::start();
    host.add_user("alice");
    let (sources, tries) = extent.of((3, 15), (20, 500));
    let mut outcomes = BTreeMap::new();
    for source in (1..=sources).map(|source| Ipv4Addr::new(127, 0, 1, source)) {
        let mut tried = Tried::default();
        while tried.looked_at + tried.turned_away < tries {
            guess(&host, source, &mut tried);
        }
        assert_eq!(tried.looked_at, LOOKED_AT, "passwords looked at from {source}");
        outcomes.insert(source, tried.turned_away);
    }
    // The right password from there is not looked at either; from elsewhere it is.
    let from = |source: Ipv4Addr| {
        secured(&host, source)
            .and_then(|mut stream| stream.try_password(Mechanism::ScramSha256, "alice", &password("alice")))
    };
    let there = from(Ipv4Addr::new(127, 0, 1, 1));
    assert!(matches!(&there, Err(Error::Sasl(condition)) if condition == "temporary-auth-failure"), "{there:?}");
    from(Ipv4Addr::new(127, 0, 2, 1)).expect("the user gets in from elsewhere");
    let turned_away: usize = outcomes.values().sum();
    let mut report = Report::new(format!("{sources} addresses, {LOOKED_AT} passwords each, {turned_away} turned away"));
    for mechanism in [Mechanism::ScramSha1, Mechanism::Plain] {
        let [known, unknown] = times(&host, mechanism, extent.of(30, 500));
        let difference = (unknown.as_secs_f64() / known.as_secs_f64() - 1.0) * 100.0;
        assert!(difference.abs() <= extent.of(75.0, 5.0), "{mechanism:?}: {known:?} for a user, {unknown:?} for none");
        let milliseconds = known.as_secs_f64() * 1e3;
        report = report.note(format!("{mechanism:?}: {milliseconds:.2} ms for a user, {difference:+.1} % for none"));
    }
    report
}

/// Whom a requester may ask about who may see nobody: a user whom the site or the user's own choice hides, one who shows everybody but the requester, and
/// what is no user here, all of the same length, for the answer may repeat it.
const HIDDEN: &str = "alice@localhost";
const BLOCKS: &str = "carol@localhost";
const UNKNOWN: &str = "nobod@localhost";
const REMOTE: &str = "alice@else.host";
const NO_JID: &str = "al@ce@localhost";

/// X15: of all that can't be seen, the web says the same, in the same time: whether the site hides a user or the user's own choice or blocklist does,
/// or there is no such user, and whoever asks.
pub fn presence(extent: Extent) -> Report {
    let host = Host::with_presence();
    let [mut alice, mut carol, mut eve] = ["alice", "carol", "eve"].map(|user| {
        let mut session = host.new_user(user);
        session.available("away", "secret").and_then(|()| session.settle()).expect("a presence can be sent");
        session
    });
    let block = "<block xmlns='urn:xmpp:blocking'><item jid='eve@localhost'/></block>";
    carol.request("set", "", block).expect("eve can be blocked");
    said(&mut carol, "who anyone");
    let by_token = format!("&token={}", said(&mut eve, "token").lines().next().expect("a token"));
    let by_name = "&req_jid=eve@localhost";
    let mut report = Report::new(format!("{} samples each", samples(extent)));
    for (setting, choice, requester) in [
        ("subscribed", "default", ""),
        ("anyone", "nobody", by_name),
        ("subscribed", "subscribers", by_name),
        ("verified", "subscribers", &by_token),
        ("verified", "nobody", &by_token),
    ] {
        host.set("presence.visibility", setting);
        said(&mut alice, &format!("who {choice}"));
        let mut asked = vec![UNKNOWN, HIDDEN, REMOTE, NO_JID];
        // She blocks eve, and nobody else.
        asked.extend(Some(BLOCKS).filter(|_| !requester.is_empty()));
        are_the_same(&host, &asked, requester);
        report = report.note(format!("{setting}, chosen: {choice}: {}", times_of(&host, &asked, requester, extent)));
    }
    report
}

/// What the presence service answers to a line of chat.
fn said(session: &mut Session, line: &str) -> String {
    session.message("presence.localhost", line).expect("a message can be sent");
    let is_answer = |stanza: &minidom::Element| stanza.has_child("body", ns::CLIENT);
    let answer = session.expect(is_answer).expect("the service answers");
    answer.get_child("body", ns::CLIENT).expect("it has one").text()
}

/// Compares the answers about all of these, to the byte but for the address that some repeat, and the tag, which is a hash of that.
fn are_the_same(host: &Host, asked: &[&str], requester: &str) {
    for kind in ["text", "image", "svg", "xml", "json"] {
        let repeats = ["xml", "json"].contains(&kind);
        // What is no address is not repeated.
        let asked = asked.iter().filter(|jid| !repeats || **jid != NO_JID);
        let answers: Vec<_> = asked.map(|jid| answer_without_address(host, jid, kind, requester)).collect();
        assert!(answers.iter().all(|answer| *answer == answers[0]), "{kind} {requester}: {answers:?}");
    }
}

fn answer_without_address(host: &Host, jid: &str, kind: &str, requester: &str) -> Answer {
    let mut answer = host.http().get(&status(jid, kind, requester)).comparable();
    if let Ok(text) = std::str::from_utf8(&answer.body)
        && text.contains(jid)
    {
        answer.body = text.replace(jid, "JID").into();
        answer.headers.retain(|(name, _)| name != "etag");
    }
    answer
}

fn status(jid: &str, kind: &str, requester: &str) -> String {
    format!("/plugins/presence/status?jid={jid}&type={kind}{requester}")
}

fn samples(extent: Extent) -> usize {
    extent.of(200, 1_000)
}

/// Compares the times that the answers about these take, asked for in turn, with that of the first.
fn times_of(host: &Host, asked: &[&str], requester: &str, extent: Extent) -> String {
    let client = host.http();
    let mut times = vec![Vec::new(); asked.len()];
    for number in 0..samples(extent) * asked.len() {
        let which = number % asked.len();
        let target = status(asked[which], "xml", requester);
        let started = Instant::now();
        client.get(&target);
        times[which].push(started.elapsed());
    }
    let medians: Vec<_> = times.into_iter().map(|times| percentile(times, 50).as_secs_f64()).collect();
    let differences = medians.iter().map(|median| (median / medians[0] - 1.0) * 100.0);
    let told: Vec<_> = asked.iter().zip(differences).skip(1).map(|(jid, percent)| (*jid, percent)).collect();
    let bound = extent.of(75.0, 5.0);
    assert!(told.iter().all(|(_, percent)| percent.abs() <= bound), "{told:?} % from {UNKNOWN}, {requester}");
    let told: Vec<_> = told.iter().map(|(jid, percent)| format!("{jid} {percent:+.1} %")).collect();
    format!("{:.0} us for {UNKNOWN}, {}", medians[0] * 1e6, told.join(", "))
}

/// H10: of a crowd of names, how long an answer takes does not tell which are users.
pub fn names(extent: Extent) -> Report {
    let host = Host::with_presence();
    let (users, rounds) = extent.of((20, 5), (500, 10));
    let name = |number: usize| format!("u{number:04}");
    // Every second name is a user's.
    (0..users).for_each(|number| host.add_user(&name(2 * number)));
    let client = host.http();
    let mut report = Report::new(format!("{} names asked for {rounds} times", 2 * users));
    for (who, requester) in [("by nobody", ""), ("by somebody", "&req_jid=eve@localhost")] {
        // The first time of each name counts most: what is read then may be in memory afterwards.
        for (which, rounds) in [("the first time", 1), ("later", rounds)] {
            let mut times = [Vec::new(), Vec::new()];
            for number in (0..rounds).flat_map(|round| shuffled(2 * users, round)) {
                let target = format!("/plugins/presence/status?jid={}@localhost&type=text{requester}", name(number));
                let started = Instant::now();
                client.get(&target);
                times[number % 2].push(started.elapsed());
            }
            let area = area(&times[0], &times[1]);
            let bounds = extent.of(0.25..0.75, 0.45..0.55);
            assert!(bounds.contains(&area), "{who}, {which}: {area:.3} of the answers about users take longer");
            report = report.note(format!("{who}, {which}: {area:.3}"));
        }
    }
    report
}

/// The numbers up to `count`, which is even, in another order each round.
fn shuffled(count: usize, round: usize) -> impl Iterator<Item = usize> {
    let stride = (count / 3 + 2 * round + 1) | 1;
    let stride = (stride..).step_by(2).find(|stride| gcd(*stride, count) == 1).unwrap_or(1);
    (0..count).map(move |number| (number * stride + round) % count)
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// The area under the curve of who takes a time for a user's: one half, if times tell nothing.
fn area(users: &[Duration], others: &[Duration]) -> f64 {
    let mut others = others.to_vec();
    others.sort();
    let longer = |time: &Duration| {
        let (below, up_to) =
            (others.partition_point(|other| other < time), others.partition_point(|other| other <= time));
        (below + up_to) as f64 / 2.0
    };
    users.iter().map(longer).sum::<f64>() / (users.len() * others.len()) as f64
}

#[derive(Default)]
struct Tried {
    looked_at: usize,
    turned_away: usize,
}

/// All tries that a stream has.
fn guess(host: &Host, source: Ipv4Addr, tried: &mut Tried) {
    let mut stream = secured(host, source).expect("strangers may connect");
    for number in 0..3 {
        match stream.try_password(Mechanism::Plain, "alice", &format!("guess {number}")) {
            Err(Error::Sasl(condition)) if condition == "not-authorized" => tried.looked_at += 1,
            Err(Error::Sasl(condition)) if condition == "temporary-auth-failure" => tried.turned_away += 1,
            outcome => panic!("{outcome:?}"),
        }
    }
    let end = stream.connection().stream_error().expect("the host ends the stream");
    assert_eq!(end.as_deref(), Some("policy-violation"));
}

fn secured(host: &Host, source: Ipv4Addr) -> Result<Stream, Error> {
    Connection::open_from(source, host.xmpp())?.begin(DOMAIN)?.starttls()
}

/// The times of failures, of an account and of none, tried in turn, each from an address of its own.
fn times(host: &Host, mechanism: Mechanism, count: usize) -> [Duration; 2] {
    let mut times = [Vec::new(), Vec::new()];
    for number in 0..2 * count {
        let (which, [high, low]) = (number % 2, u16::try_from(number).expect("a small number").to_be_bytes());
        let net = if mechanism == Mechanism::Plain { 3 } else { 16 };
        let mut stream = secured(host, Ipv4Addr::new(127, net + high, low, 7)).expect("strangers may connect");
        let started = Instant::now();
        let outcome = stream.try_password(mechanism, ["alice", "nobody"][which], "wrong");
        times[which].push(started.elapsed());
        assert!(matches!(&outcome, Err(Error::Sasl(condition)) if condition == "not-authorized"), "{outcome:?}");
    }
    // What else the machine does shows in the others.
    times.map(|times| percentile(times, 10))
}

/// Within which so many of a hundred were done.
fn percentile(mut times: Vec<Duration>, percent: usize) -> Duration {
    times.sort();
    times[times.len() * percent / 100]
}
