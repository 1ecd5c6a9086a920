//! The rows P1 to P43 of the table of faults: what goes wrong with plugins and their files, and that it harms nobody.
//!
//! # Layout
//! A row is one function with two extents: a short one of a few seconds, run by the suite, and a long one, run by
//! `make soak`, which has the figures of the table. It panics where the host does not keep what the row promises.
//!
//! ```text
//! watched      a host under load, counted before and after
//! report       what a row says of itself
//! writing      every way to write a file                     P1, P2, P4 to P6, P28, P30, P31
//! swaps        one version after the other                    P3
//! ```

mod report;
mod swaps;
mod watched;
mod writing;

pub use report::Report;

/// How far a row goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// A few seconds: whether it holds at all.
    Short,
    /// As long as its figure takes.
    Long,
}

impl Extent {
    /// The one or the other.
    pub fn of<T>(self, short: T, long: T) -> T {
        match self {
            Extent::Short => short,
            Extent::Long => long,
        }
    }

    /// Whether figures that a loaded machine may miss are to be kept.
    pub fn is_long(self) -> bool {
        self == Extent::Long
    }
}

/// A row of the table.
#[derive(Clone, Copy)]
pub struct Row {
    /// Its number: `P1`.
    pub number: &'static str,
    /// What goes wrong.
    pub fault: &'static str,
    try_out: fn(Extent) -> Report,
}

impl Row {
    /// Tries it. Panics if it does not hold.
    pub fn try_out(&self, extent: Extent) -> Report {
        (self.try_out)(extent)
    }
}

/// The rows that are tried here, in the order of the table.
pub const ROWS: &[Row] = &[
    Row { number: "P1", fault: "cp over the live plugin", try_out: writing::copied_over },
    Row { number: "P2", fault: "a storm of overwrites", try_out: writing::storm },
    Row { number: "P3", fault: "many distinct versions", try_out: swaps::many_versions },
    Row { number: "P4", fault: "every style of copying", try_out: writing::every_style },
    Row { number: "P5", fault: "a slow copy", try_out: writing::slow_copy },
    Row { number: "P6", fault: "a copy in two parts", try_out: writing::two_parts },
    Row { number: "P28", fault: "a file that changes between two looks", try_out: writing::restless },
    Row { number: "P30", fault: "touch, and the same content again", try_out: writing::nothing_new },
    Row { number: "P31", fault: "a time of change that goes back", try_out: writing::back_in_time },
];

/// The row of this number.
pub fn row(number: &str) -> Option<&'static Row> {
    ROWS.iter().find(|row| row.number == number)
}
