//! What every loaded version keeps until this process ends: its mappings, and, if it uses thread-local destructors, a
//! thread key. A process that runs out of either dies, so a new version is refused in time.

use std::fs;

use super::{refusal::Refusal, sys};

/// How many thread keys must stay free.
const KEYS: usize = 64;
/// How many a process has (PTHREAD_KEYS_MAX of glibc).
const ALL_KEYS: usize = 1_024;
/// How many mappings a version takes: its segments, and what it has beside the file.
const MAPPINGS_OF_ONE: usize = 5;
/// How many memory mappings must stay free.
const MAPPINGS: usize = 4_000;
/// What the kernel allows a process if it does not say: `vm.max_map_count`.
const USUAL_MAPPINGS: usize = 65_530;

/// Checks that there is room for one more version.
///
/// # Errors
/// What runs out.
pub fn check() -> Result<(), Refusal> {
    // One more than must stay free, for the version to come.
    enough("thread keys", sys::free_thread_keys(KEYS + 1), KEYS)?;
    enough("memory mappings", free_mappings(), MAPPINGS)
}

/// How many more versions there is room for at least, after this many. Keys are not counted here but taken to be one a version: to
/// count them all is to hold them all for a moment, and whoever needs one then ends this process.
pub fn room(versions: usize) -> usize {
    let keys = (ALL_KEYS - KEYS).saturating_sub(versions);
    keys.min(free_mappings().saturating_sub(MAPPINGS) / MAPPINGS_OF_ONE)
}

fn enough(resource: &'static str, left: usize, floor: usize) -> Result<(), Refusal> {
    if left > floor { Ok(()) } else { Err(Refusal::Budget { resource, left, floor }) }
}

fn free_mappings() -> usize {
    let allowed = fs::read_to_string("/proc/sys/vm/max_map_count").ok().and_then(|text| text.trim().parse().ok());
    // Without /proc nothing is known, and nothing is refused.
    let used = fs::read("/proc/self/maps").map_or(0, |maps| maps.iter().filter(|byte| **byte == b'\n').count());
    allowed.unwrap_or(USUAL_MAPPINGS).saturating_sub(used)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_room_in_a_fresh_process() {
        assert_eq!(check(), Ok(()));
        assert!(free_mappings() > MAPPINGS);
    }

    #[test]
    fn a_shortage_says_what_to_do() {
        let refusal = enough("thread keys", 63, 64).unwrap_err();
        assert!(refusal.to_string().contains("thread keys run out (63 left, 64 must stay free): restart to reclaim"));
    }
}
