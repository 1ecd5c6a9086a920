//! `make bench`: the figures of the README, each printed by the code that measures it. Meant for a quiet machine; ratios are
//! taken between neighbours in one run. Nothing here decides about a test.
//!
//! # Layout
//! [`routes`] sets a plugin's routes against the same bodies from a [`native`] actix-web server, asked by the [`drive`]r; [`boundary`]
//! times a read of presence from inside a plugin; [`swaps`] overwrites a plugin again and again.

mod boundary;
mod drive;
mod native;
mod routes;
mod swaps;

use clap::{Parser, ValueEnum};

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
    Ok(())
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
