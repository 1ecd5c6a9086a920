//! `make soak`: tries the rows of the table of faults at length, and prints one line a row.

use std::{
    panic::{self, AssertUnwindSafe},
    process::ExitCode,
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread,
    time::{Duration, Instant},
};

use clap::Parser;
use tests::{
    artefacts::artefacts,
    rows::{Extent, ROWS, ROWS_AT_LENGTH, Row, row},
};

/// The longest that a row may take: the longest of them swaps a thousand versions.
const ROW_LIMIT: Duration = Duration::from_secs(45 * 60);

/// Tries the rows of the table of faults at length.
#[derive(Parser)]
struct Arguments {
    /// The rows to try: P2. All of them if none is named.
    rows: Vec<String>,
    /// Only as far as the test suite goes.
    #[arg(long)]
    short: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let named: Option<Vec<_>> = arguments.rows.iter().map(|number| row(&number.to_uppercase())).collect();
    let Some(named) = named else {
        let known: Vec<_> = ROWS.iter().chain(ROWS_AT_LENGTH).map(|row| row.number).collect();
        eprintln!("soak: no such row among {}: it has {}", arguments.rows.join(" "), known.join(" "));
        return ExitCode::from(2);
    };
    let rows = if named.is_empty() { ROWS.iter().chain(ROWS_AT_LENGTH).collect() } else { named };
    let extent = if arguments.short { Extent::Short } else { Extent::Long };
    artefacts();
    let failed: Vec<_> = rows.iter().filter(|row| !holds(row, extent)).map(|row| row.number).collect();
    println!("{} of {} rows hold", rows.len() - failed.len(), rows.len());
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Tries a row on a thread of its own, which is left behind if it does not come back.
fn holds(row: &'static Row, extent: Extent) -> bool {
    let (tell, told) = mpsc::channel();
    let started = Instant::now();
    thread::spawn(move || {
        // Nobody listens any more if it took too long.
        let _ = tell.send(outcome(row, extent));
    });
    let outcome = told.recv_timeout(ROW_LIMIT).unwrap_or_else(|_| Err(format!("not over within {ROW_LIMIT:?}")));
    let (verdict, said) = match &outcome {
        Ok(report) => ("pass", report),
        Err(why) => ("FAIL", why),
    };
    println!("{:<4} {verdict}  {}: {said}; {:.0} s", row.number, row.fault, started.elapsed().as_secs_f64());
    outcome.is_ok()
}

/// What the row reports, or what its panic says. The log of its host is on standard error.
fn outcome(row: &Row, extent: Extent) -> Result<String, String> {
    let said = Arc::new(Mutex::new(String::new()));
    let heard = said.clone();
    panic::set_hook(Box::new(move |panic| {
        let mut said = heard.lock().unwrap_or_else(PoisonError::into_inner);
        if said.is_empty() {
            *said = panic.to_string().replace('\n', " ");
        }
    }));
    let result = panic::catch_unwind(AssertUnwindSafe(|| row.try_out(extent).to_string()));
    result.map_err(|_| said.lock().unwrap_or_else(PoisonError::into_inner).clone())
}
