//! The rows of the table of faults: what goes wrong with plugins, their files, and what is stored, and what clients do to the
//! stream; and that it harms nobody.
//!
//! # Layout
//! A row is one function with two extents: a short one of a few seconds, run by the suite, and a long one, run by
//! `make soak`, which has the figures of the table. It panics where the host does not keep what the row promises.
//!
//! ```text
//! watched      a host under load, counted before and after
//! report       what a row says of itself
//! writing      every way to write a file                     P1, P2, P4 to P6, P28, P30, P31
//! damaged      what was cut, never filled, or rots            P7 to P9
//! misfits      what is whole and no plugin for this host      P10 to P12, P39
//! entries      what else lies in the folder                   P32, P36
//! trust        whose files are taken                          P33 to P35
//! starts       plugins that start badly                       P13 to P16, P40
//! bad_plugins  what turns out bad in service                  P18, P19, P21, P22
//! requests     what happens to requests                       P17, P20, P25, P26
//! swaps        one version after the other                    P3, P41 to P43
//! settings     what an upgrade that fails leaves of settings  P29
//! restarts     kills, and what serves afterwards              P23, P24
//! folder       what happens to the folder and the disk        P27, P37, P38
//! data         what was acknowledged                          D1, D5, D9, R3
//! commits      who writes more than a roster holds            X18
//! bombs        stanzas larger than they may be                X4 to X6
//! strangers    clients that do not log in                     X9, X10
//! guessing     passwords, names, and who is there             X11, X15, H10
//! floods       clients that send too much or do not read      X16, X17
//! queries      requests made of hostile pieces                H25
//! sources      clients without number                         H24
//! probes       components that are asked for their presence   X14, H26
//! ```

mod bad_plugins;
mod bombs;
mod commits;
mod damaged;
mod data;
mod entries;
mod floods;
mod folder;
mod guessing;
mod misfits;
mod probes;
mod queries;
mod report;
mod requests;
mod restarts;
mod settings;
mod sources;
mod starts;
mod strangers;
mod swaps;
mod trust;
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
    Row { number: "P7", fault: "truncated files", try_out: damaged::truncated },
    Row { number: "P8", fault: "files that were never filled", try_out: damaged::never_filled },
    Row { number: "P9", fault: "rotten files", try_out: damaged::rotten },
    Row { number: "P10", fault: "files that are no plugins", try_out: misfits::no_plugins },
    Row { number: "P11", fault: "plugins for another host", try_out: misfits::other_hosts },
    Row { number: "P12", fault: "a symbol that nobody has", try_out: misfits::unresolved },
    Row { number: "P13", fault: "initialisers that take their process down", try_out: starts::constructors },
    Row { number: "P14", fault: "a start that fails", try_out: starts::fails },
    Row { number: "P15", fault: "a start that panics", try_out: starts::panics },
    Row { number: "P16", fault: "a start that hangs", try_out: starts::hangs },
    Row { number: "P17", fault: "handlers that panic", try_out: requests::panics },
    Row { number: "P18", fault: "a handler that takes the host down", try_out: bad_plugins::takes_down },
    Row { number: "P19", fault: "a crash loop", try_out: bad_plugins::crash_loop },
    Row { number: "P20", fault: "handlers that hang", try_out: requests::hangs },
    Row { number: "P21", fault: "memory, threads and descriptors kept", try_out: bad_plugins::leaks },
    Row { number: "P22", fault: "a new version that fails requests", try_out: bad_plugins::misbehaves },
    Row { number: "P23", fault: "a restart with a bad file", try_out: restarts::bad_file },
    Row { number: "P24", fault: "a kill at every step", try_out: restarts::kills },
    Row { number: "P25", fault: "swaps with requests in flight", try_out: requests::in_flight },
    Row { number: "P26", fault: "long requests and streams at a swap", try_out: requests::drains },
    Row { number: "P27", fault: "a plugin removed and dropped again", try_out: folder::removed },
    Row { number: "P28", fault: "a file that changes between two looks", try_out: writing::restless },
    Row { number: "P29", fault: "migrations that fail, and a downgrade", try_out: settings::migrations },
    Row { number: "P30", fault: "touch, and the same content again", try_out: writing::nothing_new },
    Row { number: "P31", fault: "time that goes back", try_out: writing::back_in_time },
    Row { number: "P32", fault: "entries that are no plugin files", try_out: entries::odd_entries },
    Row { number: "P33", fault: "what others can change", try_out: trust::loose },
    Row { number: "P34", fault: "a file swapped while it is verified", try_out: trust::race },
    Row { number: "P35", fault: "signatures that are missing, foreign, stale or old", try_out: trust::signatures },
    Row { number: "P36", fault: "two files with one plugin", try_out: entries::twins },
    Row { number: "P37", fault: "a folder that is gone, and no inotify", try_out: folder::vanished },
    Row { number: "P38", fault: "a full disk", try_out: folder::disk_full },
    Row { number: "P39", fault: "a huge file", try_out: misfits::huge },
    Row { number: "P40", fault: "many plugins at the start", try_out: starts::many },
    Row { number: "P41", fault: "files, commands and deletions at once", try_out: swaps::all_at_once },
    Row { number: "P42", fault: "calls after the stop", try_out: swaps::late_calls },
    Row { number: "P43", fault: "thread keys and mappings run out", try_out: swaps::budget },
    Row { number: "D1", fault: "kills under writers", try_out: data::kills },
    Row { number: "D5", fault: "a slow disk", try_out: data::slow_disk },
    Row { number: "D9", fault: "backups under a writer", try_out: data::backups },
    Row { number: "R3", fault: "SIGTERM under load", try_out: data::terminations },
    Row { number: "X4", fault: "a stanza deeper than any", try_out: bombs::deep },
    Row { number: "X5", fault: "attributes and namespaces without end", try_out: bombs::wide },
    Row { number: "X6", fault: "a stanza that never ends", try_out: bombs::long },
    Row { number: "X10", fault: "crowds that do not log in", try_out: strangers::crowds },
    Row { number: "X11", fault: "guessing passwords and names", try_out: guessing::passwords },
    Row { number: "X14", fault: "answers that nobody asked for", try_out: probes::forged },
    Row { number: "X15", fault: "asking who exists", try_out: guessing::presence },
    Row { number: "X16", fault: "a flood of presence", try_out: floods::presence },
    Row { number: "X17", fault: "a client that does not read", try_out: floods::unread },
    Row { number: "X18", fault: "a flood of contacts", try_out: commits::rosters },
    Row { number: "H10", fault: "names by the thousand", try_out: guessing::names },
    Row { number: "H24", fault: "clients without number", try_out: sources::without_number },
    Row { number: "H25", fault: "requests made of hostile pieces", try_out: queries::random },
    Row { number: "H26", fault: "a component that never answers", try_out: probes::mute },
];

/// The rows that take half a minute however short they are: only tried at length.
pub const ROWS_AT_LENGTH: &[Row] =
    &[Row { number: "X9", fault: "clients that take too long to log in", try_out: strangers::shown_out }];

/// The row of this number.
pub fn row(number: &str) -> Option<&'static Row> {
    ROWS.iter().chain(ROWS_AT_LENGTH).find(|row| row.number == number)
}
