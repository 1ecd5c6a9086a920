//! One call of the host by a plugin that reads the presence of a user who is online: to the host, into its table, back into the
//! plugin's visitor, and back.

use tests::{artefacts::artefacts, host::Host};

use crate::Spread;

/// How often it is measured.
const ROUNDS: usize = 9;
/// How many reads in a row.
const READS: u32 = 2_000_000;

/// Prints one line.
pub fn measure() {
    let mut host = Host::prepare();
    host.drop_plugin(artefacts().fixture("measured"), "measured.so");
    host.run();
    let mut alice = host.new_user("alice");
    alice.available("away", "Lunch").expect("alice may be away");
    alice.settle().expect("alice's presence arrives");
    let read = || host.http().get(&format!("/plugins/measured/reads/alice/{READS}")).text().parse().expect("a number");
    let times = Spread::of((0..ROUNDS).map(|_| read()).collect());
    println!(
        "One call through the boundary with one read of presence: {:.1} ns ({:.1}..{:.1})",
        times.median, times.lowest, times.highest
    );
}
