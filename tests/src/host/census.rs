//! What a process takes of the system, as /proc tells it: see proc(5).

use std::{fmt, fs, time::Duration};

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

/// The processor time that a process has taken so far, to a hundredth of a second.
#[track_caller]
pub(super) fn processor_time(process: u32) -> Duration {
    let path = format!("/proc/{process}/stat");
    let stat = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    // Behind the name of the program, which may hold anything: the fields from the third on.
    let fields = stat.rsplit_once(") ").map(|(_, fields)| fields.split(' ')).expect("the name stands in brackets");
    let ticks: u64 = fields.skip(11).take(2).map(|field| field.parse::<u64>().expect("a number of ticks")).sum();
    // The kernel has told them in hundredths of a second ever since, whatever its own ticks are.
    Duration::from_millis(ticks * 10)
}

/// The most memory that a process has had in use since [`forget_peak`].
#[track_caller]
pub(super) fn peak(process: u32) -> u64 {
    let path = format!("/proc/{process}/status");
    let status = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    kilobytes(&status, "VmHWM:").expect("the kernel tells the peak")
}

/// Counts the peak anew.
#[track_caller]
pub(super) fn forget_peak(process: u32) {
    let path = format!("/proc/{process}/clear_refs");
    fs::write(&path, "5").unwrap_or_else(|error| panic!("{path}: {error}"));
}

/// The bytes in the line `Anonymous:      112 kB`.
#[track_caller]
fn anonymous(rollup: &str) -> u64 {
    kilobytes(rollup, "Anonymous:").expect("the kernel tells how much memory is anonymous")
}

fn kilobytes(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? << 10)
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
