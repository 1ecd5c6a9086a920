//! The presence service with a thousand users online, each asked for as often as the next: every type of answer, and icons of other sizes
//! and themes once they were made, against a native route that gives the same answer to the same requests; a 304 against the 200 it stands
//! for, and a batch of fifty against a single answer.

use std::time::Duration;

use tests::{
    host::Host,
    other_times::{counted, counting_presence},
};

use crate::{
    Spread,
    drive::{Load, get, in_turn},
    native::Native,
    sessions::{divide, in_parallel},
};

const USERS: usize = 1_000;
/// How many users a batch asks for.
const BATCH: usize = 50;
/// How often each is measured.
const ROUNDS: usize = 101;
/// How many requests are sent to find out how often the plugin allocates for each.
const REPEATED: usize = 500;
/// How long each time.
const LENGTH: Duration = Duration::from_millis(100);

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
    println!("The presence service with {USERS} users online ({ROUNDS} rounds, median, range):");
    let types = ["image", "svg", "text", "xml", "json"].map(|kind| (kind, Targets::Status(kind)));
    let icons = ["icon.png?size=64&theme=dark", "icon.gif?size=48&theme=contrast", "icon.svg?size=32"];
    for (name, targets) in types.into_iter().chain(icons.map(|icon| (icon, Targets::V1(icon)))) {
        println!("  {name:>5}: {} of a native route", against_native(&host, targets));
    }
    println!("  a batch of {BATCH}: {}", batches(&host));
    println!("  a 304 instead of a 200 as text: {} of it", held(&host));
    drop(sessions);
    println!("  allocations of the plugin for an answer, of a request that was sent before / that was not:");
    allocations(&[
        ("image", Targets::Status("image")),
        ("json", Targets::Status("json")),
        (icons[0], Targets::V1(icons[0])),
    ]);
}

/// All names, and so all answers, are of one length.
fn name(user: usize) -> String {
    format!("u{user:04}")
}

/// What is asked for of each user.
#[derive(Clone, Copy)]
enum Targets {
    Status(&'static str),
    V1(&'static str),
}

impl Targets {
    fn of(self, user: usize) -> String {
        self.of_named(&name(user))
    }

    fn of_named(self, user: &str) -> String {
        match self {
            Targets::Status(kind) => format!("/plugins/presence/status?jid={user}@localhost&type={kind}"),
            Targets::V1(form) => format!("/plugins/presence/v1/users/{user}@localhost/{form}"),
        }
    }

    /// The pattern of the path that all of them have.
    fn pattern(self) -> String {
        let target = self.of_named("{user}");
        target.split('?').next().unwrap_or_default().to_owned()
    }

    fn requests(self, fields: &str) -> Vec<String> {
        (0..USERS).map(|user| get(&self.of(user), fields)).collect()
    }
}

/// Every user is away, and so all answers are of one length. Both servers are sent the same requests.
fn against_native(host: &Host, targets: Targets) -> String {
    let native = Native::start(Some((&targets.pattern(), &host.http().get(&targets.of(0)))));
    let requests = targets.requests("");
    let (address, server) = (host.process().ready().http, host.process().id());
    let ours = Load { address, requests: &requests, server };
    compare(&ours, &Load { address: native.address, requests: &requests, server: native.id() })
}

/// How often the plugin allocates, as counted by its own allocator in a build that is changed for that.
fn allocations(kinds: &[(&str, Targets)]) {
    let mut host = Host::prepare();
    host.drop_plugin(&counting_presence(), "presence.so");
    host.run();
    host.set("presence.visibility", "anyone");
    let mut session = host.new_user(&name(0));
    session.available("away", "Back in five minutes").and_then(|()| session.settle()).expect("the user is there");
    let each = |targets: &dyn Fn(usize) -> String| {
        // What is made once is made before.
        (0..REPEATED).for_each(|number| drop(host.http().get(&targets(number))));
        let before = counted(&host);
        (REPEATED..2 * REPEATED).for_each(|number| drop(host.http().get(&targets(number))));
        (counted(&host) - before) as f64 / REPEATED as f64
    };
    for (kind, targets) in kinds {
        let target = targets.of(0);
        let separator = if target.contains('?') { '&' } else { '?' };
        let (known, fresh) = (each(&|_| target.clone()), each(&|number| format!("{target}{separator}n={number}")));
        println!("    {kind}: {known:.1} / {fresh:.1}");
    }
}

/// How much more a batch costs than one answer as JSON, by processor time and by answers a second.
fn batches(host: &Host) -> String {
    let users =
        |first: usize| (first..first + BATCH).map(|user| format!("jid={}@localhost&", name(user))).collect::<String>();
    let batch = |number: usize| get(&format!("/plugins/presence/v1/presence?{}", users(number * BATCH)), "");
    let (batches, singles): (Vec<_>, _) =
        ((0..USERS / BATCH).map(batch).collect(), Targets::Status("json").requests(""));
    let (address, process) = (host.process().ready().http, host.process().id());
    let [batches, singles] = [&batches, &singles].map(|requests| Load { address, requests, server: process });
    let pairs = in_turn([&batches, &singles], ROUNDS, LENGTH);
    let times = Spread::of(pairs.iter().map(|[batch, single]| single.rate / batch.rate).collect());
    let cost = Spread::of(pairs.iter().map(|[batch, single]| batch.cost / single.cost).collect());
    format!(
        "as long as {:.1} single answers ({:.1}..{:.1}), the processor time of {:.1}",
        times.median, times.lowest, times.highest, cost.median
    )
}

/// The text is the same for all, and so is its tag.
fn held(host: &Host) -> String {
    let texts = Targets::Status("text");
    let answer = host.http().get(&texts.of(0));
    let tag = answer.header("etag").expect("a tag");
    let (sent, held) = (texts.requests(""), texts.requests(&format!("If-None-Match: {tag}\r\n")));
    let (address, process) = (host.process().ready().http, host.process().id());
    let [held, sent] = [&held, &sent].map(|requests| Load { address, requests, server: process });
    compare(&held, &sent)
}

/// Throughput, and the processor time of an answer, which tells more on a machine that is busy with something else.
fn compare(ours: &Load<'_>, theirs: &Load<'_>) -> String {
    let pairs = in_turn([ours, theirs], ROUNDS, LENGTH);
    let rates = Spread::of(pairs.iter().map(|[ours, theirs]| ours.rate / theirs.rate).collect());
    let [ours, theirs] = [0, 1].map(|place| Spread::of(pairs.iter().map(|pair| pair[place].cost).collect()).median);
    format!(
        "{:.2} ({:.2}..{:.2}) of the throughput, {ours:.1} us of processor time for {theirs:.1} us",
        rates.median, rates.lowest, rates.highest
    )
}
