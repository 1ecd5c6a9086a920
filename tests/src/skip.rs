//! Saying that a test is left out, and why.

use std::{
    fmt::Display,
    io::{self, Write},
};

/// Says on standard error that `what` is not tried here. Written by hand: the test harness would keep what `eprintln!` and `println!` say of a
/// test that passes.
pub fn skipped(what: impl Display, why: impl Display) {
    let notice = format!("SKIPPED: {what}: {why}\n");
    io::stderr().write_all(notice.as_bytes()).expect("standard error is open");
}
