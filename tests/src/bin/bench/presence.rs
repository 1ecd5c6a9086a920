//! The presence service with a thousand users online, each asked for as often as the next: every type of answer against a native
//! route with a body of that length and as many fields, and a 304 against the 200 it stands for; icons of other sizes and themes once they
//! were made, and a batch of fifty against a single answer.

use std::time::Duration;

use tests::host::Host;

use crate::{
    Spread,
    drive::{Drive, drive, get},
    native::Native,
    sessions::{divide, in_parallel},
};

const USERS: usize = 1_000;
/// How many users a batch asks for.
const BATCH: usize = 50;
/// How often each is measured.
const ROUNDS: usize = 7;
/// How long each time.
const LENGTH: Duration = Duration::from_secs(1);

/// Prints a line for each type.
pub fn measure() {
    let host = Host::with_presence();
    host.set("presence.visibility", "anyone");
    divide(USERS, |user| host.add_user(&name(user)));
    let sessions = in_parallel(USERS, |user| {
        let mut session = host.login(&name(user));
        session.available("away", "Back in five minutes").and_then(|()| session.settle()).expect("the user is there");
        session
    });
    let native = Native::start();
    println!("The presence service with {USERS} users online ({ROUNDS} rounds, median, range):");
    for kind in ["image", "svg", "text", "xml", "json"] {
        println!("  {kind:>5}: {} of a native route", against_native(&host, &native, kind));
    }
    for icon in ["icon.png?size=64&theme=dark", "icon.gif?size=48&theme=contrast", "icon.svg?size=32"] {
        println!("  {icon}: {} of a native route", icons(&host, &native, icon));
    }
    println!("  a batch of {BATCH}: {}", batches(&host));
    println!("  a 304 instead of a 200 as text: {} of it", held(&host));
    drop(sessions);
}

/// All names, and so all answers, are of one length.
fn name(user: usize) -> String {
    format!("u{user:04}")
}

/// Every user is away, and so all answers are of one length.
fn icons(host: &Host, native: &Native, icon: &str) -> String {
    let target = |user| format!("/plugins/presence/v1/users/{}@localhost/{icon}", name(user));
    let answer = host.http().get(&target(0));
    let theirs = [get(&format!("/public?length={}", answer.body.len()), "")];
    let ours: Vec<_> = (0..USERS).map(|user| get(&target(user), "")).collect();
    let (address, process) = (host.process().ready().http, host.process().id());
    compare(|| (drive(address, &ours, process, LENGTH), drive(native.address, &theirs, native.id(), LENGTH)))
}

/// How much more a batch costs than one answer as JSON, by processor time and by answers a second.
fn batches(host: &Host) -> String {
    let users =
        |first: usize| (first..first + BATCH).map(|user| format!("jid={}@localhost&", name(user))).collect::<String>();
    let batch = |number: usize| get(&format!("/plugins/presence/v1/presence?{}", users(number * BATCH)), "");
    let (batches, singles): (Vec<_>, _) = ((0..USERS / BATCH).map(batch).collect(), requests("json", ""));
    let (address, process) = (host.process().ready().http, host.process().id());
    let once = || (drive(address, &batches, process, LENGTH), drive(address, &singles, process, LENGTH));
    let pairs: Vec<_> = std::iter::repeat_with(once).take(ROUNDS).collect();
    let times = Spread::of(pairs.iter().map(|(batch, single)| single.rate / batch.rate).collect());
    let cost = Spread::of(pairs.iter().map(|(batch, single)| batch.cost / single.cost).collect());
    format!(
        "as long as {:.1} single answers ({:.1}..{:.1}), the processor time of {:.1}",
        times.median, times.lowest, times.highest, cost.median
    )
}

fn requests(kind: &str, fields: &str) -> Vec<String> {
    let target = |user| format!("/plugins/presence/status?jid={}@localhost&type={kind}", name(user));
    (0..USERS).map(|user| get(&target(user), fields)).collect()
}

fn against_native(host: &Host, native: &Native, kind: &str) -> String {
    let answer = host.http().get(&format!("/plugins/presence/status?jid={}@localhost&type={kind}", name(0)));
    let theirs = [get(&format!("/public?length={}", answer.body.len()), "")];
    let ours = requests(kind, "");
    let (address, process) = (host.process().ready().http, host.process().id());
    compare(|| (drive(address, &ours, process, LENGTH), drive(native.address, &theirs, native.id(), LENGTH)))
}

/// The text is the same for all, and so is its tag.
fn held(host: &Host) -> String {
    let answer = host.http().get(&format!("/plugins/presence/status?jid={}@localhost&type=text", name(0)));
    let tag = answer.header("etag").expect("a tag");
    let (sent, held) = (requests("text", ""), requests("text", &format!("If-None-Match: {tag}\r\n")));
    let (address, process) = (host.process().ready().http, host.process().id());
    compare(|| (drive(address, &held, process, LENGTH), drive(address, &sent, process, LENGTH)))
}

/// Throughput, and the processor time of an answer, which tells more on a machine that is busy with something else.
fn compare(once: impl FnMut() -> (Drive, Drive)) -> String {
    let pairs: Vec<_> = std::iter::repeat_with(once).take(ROUNDS).collect();
    let rates = Spread::of(pairs.iter().map(|(ours, theirs)| ours.rate / theirs.rate).collect());
    let [ours, theirs] = [|pair: &(Drive, Drive)| pair.0.cost, |pair: &(Drive, Drive)| pair.1.cost]
        .map(|cost| Spread::of(pairs.iter().map(cost).collect()).median);
    format!(
        "{:.2} ({:.2}..{:.2}) of the throughput, {ours:.1} us of processor time for {theirs:.1} us",
        rates.median, rates.lowest, rates.highest
    )
}
