//! A plugin's routes against native ones: throughput, and what an answer costs the server. Neighbours in time are compared.

use std::time::Duration;

use tests::{artefacts::artefacts, host::Host};

use crate::{
    Spread,
    drive::{Load, get, in_turn},
    native::Native,
};

/// How often each is measured.
const ROUNDS: usize = 15;
/// How long each time.
const LENGTH: Duration = Duration::from_secs(1);

/// Prints a line for each size of body and kind of route.
pub fn measure() {
    let mut host = Host::prepare();
    host.drop_plugin(artefacts().fixture("measured"), "measured.so");
    host.run();
    let native = Native::start(None);
    println!("A plugin's route against the same body from a native actix-web route ({ROUNDS} rounds, median, range):");
    for (size, bytes) in [("small", "16 B"), ("large", "4 KiB")] {
        for kind in ["inline", "thread"] {
            println!("  {bytes:>5}, {kind}: {}", compare(&host, &native, kind, size));
        }
    }
}

fn compare(host: &Host, native: &Native, kind: &str, size: &str) -> String {
    let plugin = [get(&format!("/plugins/measured/{kind}/{size}"), "")];
    let theirs = [get(&format!("/{size}"), "")];
    let (address, process) = (host.process().ready().http, host.process().id());
    let plugin = Load { address, requests: &plugin, server: process };
    let theirs = Load { address: native.address, requests: &theirs, server: native.id() };
    let pairs = in_turn([&plugin, &theirs], ROUNDS, LENGTH);
    let rates = Spread::of(pairs.iter().map(|[ours, theirs]| ours.rate / theirs.rate).collect());
    let ours = Spread::of(pairs.iter().map(|[ours, _]| ours.cost).collect());
    let theirs = Spread::of(pairs.iter().map(|[_, theirs]| theirs.cost).collect());
    let rate = Spread::of(pairs.iter().map(|[ours, _]| ours.rate).collect());
    format!(
        "{:.2} of its throughput ({:.2}..{:.2}), {:.0} answers/s; {:.1} us of processor time an answer, native {:.1} us",
        rates.median, rates.lowest, rates.highest, rate.median, ours.median, theirs.median
    )
}
