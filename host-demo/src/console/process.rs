//! What the kernel knows of this process (proc(5)).

use std::fs;

/// The clock ticks in a second that Linux shows to user space, whatever its own clock does (USER_HZ).
const TICKS: f64 = 100.0;

/// Numbers of this moment. What can't be read is not known.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Process {
    /// User and system time in seconds.
    pub cpu_seconds: Option<f64>,
    /// Resident memory in bytes.
    pub resident: Option<u64>,
    /// Open file descriptors.
    pub descriptors: Option<u64>,
    /// Threads.
    pub threads: Option<u64>,
}

impl Process {
    /// Reads them.
    pub fn now() -> Process {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
        Process {
            cpu_seconds: cpu_ticks(&stat).map(|ticks| ticks as f64 / TICKS),
            resident: field(&status, "VmRSS:").map(|kibibytes| kibibytes * 1024),
            // The folder is read through a descriptor of its own.
            descriptors: fs::read_dir("/proc/self/fd").ok().map(|open| (open.count() as u64).saturating_sub(1)),
            threads: field(&status, "Threads:"),
        }
    }
}

/// User and system time: the 14th and 15th field. The second, the program's name in parentheses, may hold anything.
fn cpu_ticks(stat: &str) -> Option<u64> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    Some(fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?)
}

fn field(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_the_program_does_not_confuse() {
        assert_eq!(cpu_ticks("1 (a) b) S 1 2 3 4 5 6 7 8 9 10 21 22 0"), Some(43));
        assert_eq!(cpu_ticks("1 (a"), None);
    }

    #[test]
    fn this_process_has_threads_files_and_memory() {
        let process = Process::now();
        assert!(
            process.threads >= Some(1) && process.descriptors >= Some(3) && process.resident > Some(1 << 20),
            "{process:?}"
        );
    }
}
