//! What a process takes of the system, as /proc tells it: see proc(5).

use std::{fmt, fs};

/// A moment in the life of a process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// Bytes of memory that no file backs.
    pub anonymous: u64,
    /// Memory mappings.
    pub mappings: u64,
    /// Threads.
    pub threads: u64,
    /// Open descriptors.
    pub descriptors: u64,
}

impl Census {
    /// Counts. The process must be ours and alive.
    #[track_caller]
    pub fn of(process: u32) -> Census {
        let read = |file: &str| {
            let path = format!("/proc/{process}/{file}");
            fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
        };
        let entries = |folder: &str| {
            let path = format!("/proc/{process}/{folder}");
            fs::read_dir(&path).unwrap_or_else(|error| panic!("{path}: {error}")).count() as u64
        };
        Census {
            anonymous: anonymous(&read("smaps_rollup")),
            mappings: read("maps").lines().count() as u64,
            threads: entries("task"),
            descriptors: entries("fd"),
        }
    }
}

/// The bytes in the line `Anonymous:      112 kB`.
#[track_caller]
fn anonymous(rollup: &str) -> u64 {
    let line = rollup.lines().find_map(|line| line.strip_prefix("Anonymous:"));
    let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB")).and_then(|number| number.parse::<u64>().ok());
    kilobytes.expect("the kernel tells how much memory is anonymous") << 10
}

impl fmt::Display for Census {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Census { anonymous, mappings, threads, descriptors } = self;
        let megabytes = *anonymous as f64 / 1e6;
        write!(f, "{megabytes:.1} MB, {mappings} mappings, {threads} threads, {descriptors} fds")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_counts_what_it_takes() {
        let before = Census::of(std::process::id());
        let file = fs::File::open("/proc/self/exe").unwrap();
        let memory = vec![1_u8; 32 << 20];
        let after = Census::of(std::process::id());
        assert!(before.threads > 0 && before.mappings > 0, "{before}");
        assert!(after.anonymous > before.anonymous + (16 << 20), "{before}, then {after}");
        drop((file, memory));
    }
}
