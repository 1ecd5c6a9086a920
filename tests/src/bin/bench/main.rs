//! `make bench`: the figures of the README, each printed by the code that measures it. Meant for a quiet machine; ratios are
//! taken between neighbours in one run. Nothing here decides about a test.
//!
//! # Layout
//! [`routes`] sets a plugin's routes against the same bodies from a [`native`] actix-web server, asked by the [`drive`]r; [`boundary`]
//! times a read of presence from inside a plugin; [`swaps`] overwrites a plugin again and again. [`sessions`] logs thousands of
//! clients in, [`presence`] asks for a thousand of them over HTTP, [`streams`] has thousands told of one, [`strangers`] connects and does not. The presence table is measured by `host-demo/examples/presence_table.rs`.

mod boundary;
mod drive;
mod native;
mod presence;
mod routes;
mod sessions;
mod strangers;
mod streams;
mod swaps;

use std::process::Command;

use clap::{Parser, ValueEnum};
use tests::artefacts::artefacts;

/// Measures the server as it is built in release.
#[derive(Parser)]
struct Arguments {
    /// What to measure; everything, if nothing is named
    what: Vec<What>,
    /// Serve the bodies to compare with, on a port of the system's choice, until standard input ends
    #[arg(long, hide = true)]
    native: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum What {
    /// A plugin's routes against native ones
    Routes,
    /// A call through the boundary with a read of presence
    Boundary,
    /// From an overwritten file to the new version serving, and what that costs
    Swaps,
    /// Logins, idle sessions, and a change of presence to many subscribers
    Sessions,
    /// The presence service with a thousand users online
    Presence,
    /// Thousands of event streams about one user
    Streams,
    /// Connections before a login
    Strangers,
    /// The presence table with a million users
    Table,
}

fn main() -> std::io::Result<()> {
    let arguments = Arguments::parse();
    if arguments.native {
        return native::serve();
    }
    if cfg!(debug_assertions) {
        eprintln!("bench: not a release build: the figures mean nothing");
    }
    let wanted = |what| arguments.what.is_empty() || arguments.what.contains(&what);
    if wanted(What::Routes) {
        routes::measure();
    }
    if wanted(What::Boundary) {
        boundary::measure();
    }
    if wanted(What::Swaps) {
        swaps::measure();
    }
    if wanted(What::Sessions) {
        sessions::measure();
    }
    if wanted(What::Presence) {
        presence::measure();
    }
    if wanted(What::Streams) {
        streams::measure();
    }
    if wanted(What::Strangers) {
        strangers::measure();
    }
    if wanted(What::Table) {
        measure_table();
    }
    Ok(())
}

/// The table has no door to the outside: a program of its package measures it.
fn measure_table() {
    let status = Command::new(&artefacts().presence_table).status();
    assert!(status.is_ok_and(|status| status.success()), "the table is measured");
}

/// The median, the lowest and the highest of some figures.
struct Spread {
    median: f64,
    lowest: f64,
    highest: f64,
}

impl Spread {
    fn of(mut figures: Vec<f64>) -> Spread {
        figures.sort_by(f64::total_cmp);
        let last = figures.len() - 1;
        Spread { median: figures[last / 2], lowest: figures[0], highest: figures[last] }
    }
}
