//! Cache lines of their own for threads. What every request counts or locks would else be passed from core to core for each of them.

use std::{
    cell::Cell,
    sync::atomic::{AtomicUsize, Ordering},
};

/// Enough for the HTTP workers of most machines; threads beyond that share.
pub const LINES: usize = 8;

/// Which of [`LINES`] this thread uses.
pub fn line_of_this_thread() -> usize {
    static THREADS: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static LINE: Cell<Option<usize>> = const { Cell::new(None) };
    }
    LINE.get().unwrap_or_else(|| {
        let line = THREADS.fetch_add(1, Ordering::Relaxed) % LINES;
        LINE.set(Some(line));
        line
    })
}
