//! What ended versions cost until this process ends: their libraries stay mapped. Read from smaps (proc(5)) when somebody
//! asks; nothing is counted on the way.

use std::{collections::HashSet, fmt, fs, path::Path};

use serde::{Deserialize, Serialize};

use super::{budget, staged};
use crate::plugin::shown;

/// What the ended versions of all plugins cost at this moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cost {
    /// How many there are.
    pub versions: u64,
    /// Their memory mappings.
    pub mappings: u64,
    /// The memory in bytes that is theirs alone; the rest is the file's and goes when it is needed.
    pub memory: u64,
    /// How many more versions can be loaded at least before a restart is asked for.
    pub room: u64,
}

impl Cost {
    /// Asks the kernel. `in_service` are the libraries of the versions that are not ended; `versions` is the number of those
    /// that are.
    pub fn now<'a>(versions: u64, in_service: impl IntoIterator<Item = &'a Path>) -> Cost {
        // Without /proc nothing is known: no mappings, no memory.
        let smaps = fs::read_to_string("/proc/self/smaps").unwrap_or_default();
        let (mappings, memory) = of_ended(&smaps, &in_service.into_iter().collect());
        Cost { versions, mappings, memory, room: budget::room(versions as usize) as u64 }
    }
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Cost { versions, mappings, memory, room } = self;
        let noun = if *versions == 1 { "version stays" } else { "versions stay" };
        write!(
            f,
            "{versions} ended {noun} mapped until a restart: {} of memory, {mappings} mappings",
            shown::size(*memory)
        )?;
        match room {
            0 => f.write_str("; a restart is due, the next may be refused"),
            _ => write!(f, "; room for at least {room} more"),
        }
    }
}

/// The mappings and the anonymous bytes of staged libraries that are not in service.
fn of_ended(smaps: &str, in_service: &HashSet<&Path>) -> (u64, u64) {
    let (mut mappings, mut memory) = (0, 0);
    let mut before = None;
    let mut ended = false;
    for line in smaps.lines() {
        if let Some(mapping) = Mapping::read(line) {
            ended = is_ended(mapping.path, in_service) || before.is_some_and(|before| mapping.belongs_to(before));
            before = Some(mapping).filter(|_| ended);
            mappings += u64::from(ended);
        } else if let Some(kibibytes) = line.strip_prefix("Anonymous:").filter(|_| ended) {
            memory += 1024 * kibibytes.trim().trim_end_matches(" kB").parse().unwrap_or(0);
        }
    }
    (mappings, memory)
}

/// The line that begins a mapping: `7f0c-7f0d r--p 00000000 fe:00 17 /path`.
#[derive(Clone, Copy)]
struct Mapping<'a> {
    start: &'a str,
    end: &'a str,
    rights: &'a str,
    path: &'a str,
}

impl<'a> Mapping<'a> {
    fn read(line: &'a str) -> Option<Mapping<'a>> {
        let (range, rest) = line.split_once(' ')?;
        let (start, end) = range.split_once('-')?;
        let (rights, rest) = rest.split_once(' ')?;
        let path = rest.splitn(4, ' ').nth(3).unwrap_or_default().trim_start();
        Some(Mapping { start, end, rights, path })
    }

    /// Whether this is another part of the library that was mapped right before.
    fn belongs_to(&self, before: Mapping<'_>) -> bool {
        self.is_bss_of(before) || self.is_relro_of(before)
    }

    /// What its relocations wrote to lies within, in a file without a name (`generation/relro.rs`); proc(5) gives it one that begins so.
    fn is_relro_of(&self, before: Mapping<'_>) -> bool {
        let (own, library) = (Path::new(self.path), Path::new(before.path));
        let is_nameless = own.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"#"));
        is_nameless && own.parent() == library.parent() && self.start == before.end
    }

    /// What a library has without content in the file follows its variables without a name. What else may come to lie behind it, a thread's
    /// stack for example, begins with other rights.
    fn is_bss_of(&self, before: Mapping<'_>) -> bool {
        let is_variables = !before.path.is_empty() && before.rights.starts_with("rw");
        is_variables && self.path.is_empty() && self.rights == before.rights && self.start == before.end
    }
}

fn is_ended(path: &str, in_service: &HashSet<&Path>) -> bool {
    let path = Path::new(path.strip_suffix(" (deleted)").unwrap_or(path));
    staged::is_staged(path) && !in_service.contains(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMAPS: &str = "\
7f00-7f10 rw-p 00000000 fe:00 17                         /s/staging/a-00-1.so (deleted)
Size:                 64 kB
Anonymous:             8 kB
7f10-7f20 rw-p 00000000 00:00 0 
Anonymous:             4 kB
7f20-7f30 rw-p 00000000 00:00 0 
Anonymous:           100 kB
7f30-7f40 rw-p 00000000 00:00 0 
Anonymous:           100 kB
7f40-7f50 r-xp 00000000 fe:00 18                         /s/staging/a-00-2.so
Anonymous:            16 kB
7f50-7f58 ---p 00000000 00:00 0 
Anonymous:           100 kB
7f58-7f60 rw-p 00000000 00:00 0                          [heap]
Anonymous:           200 kB
7f60-7f70 r-xp 00000000 fe:00 19                         /usr/lib/x.so
Anonymous:           300 kB
7f80-7f90 r-xp 00000000 fe:00 20                         /s/staging/a-00-3.so (deleted)
Anonymous:             0 kB
7f90-7f94 r--p 00000000 fe:00 99                         /s/staging/#99 (deleted)
Anonymous:             0 kB
7f94-7f95 rw-p 00004000 fe:00 20                         /s/staging/a-00-3.so (deleted)
Anonymous:             4 kB
7fa0-7fb0 r--p 00000000 fe:00 98                         /s/staging/#98 (deleted)
Anonymous:           100 kB
";

    #[test]
    fn ended_libraries_are_counted_with_what_they_have_beside_the_file() {
        let in_service = HashSet::from([Path::new("/s/staging/a-00-2.so")]);
        assert_eq!(of_ended(SMAPS, &in_service), (5, 16 << 10));
        assert_eq!(of_ended(SMAPS, &HashSet::new()), (6, 32 << 10));
    }

    #[test]
    fn a_cost_is_told_in_one_line() {
        let cost = Cost { versions: 1, mappings: 5, memory: 49_152, room: 900 };
        let line =
            "1 ended version stays mapped until a restart: 49 kB of memory, 5 mappings; room for at least 900 more";
        assert_eq!(cost.to_string(), line);
        assert!(Cost { room: 0, ..cost }.to_string().ends_with("; a restart is due, the next may be refused"));
    }
}
