//! Files that were damaged on their way: cut, never filled, or rotten.

use std::{
    collections::BTreeSet,
    fs::{self, File, OpenOptions},
    io::Write,
    time::Duration,
};

use rustix::fs::{FallocateFlags, fallocate};

use super::{
    Extent,
    report::Report,
    watched::{HELLO, Watched, version},
};
use crate::{
    artefacts::artefacts,
    author::{Author, signature_of},
    drop_style::DropStyle,
    host::{Host, Outcome},
    http::load::Tally,
    plugin_file::PluginFile,
    wait,
};

/// How many rotten files lie side by side, each under a name and with an id of its own.
const SIDE_BY_SIDE: usize = 16;
/// How many rotten files one host is given. Most of them run: a flipped bit is rarely in what they use. A version that has run
/// keeps a thread key, and there are not many.
const A_HOST: usize = 500;
/// How long a host may take for as many of them as lie side by side. One that hangs is tried for five seconds, and once more alone.
const BATCH_LIMIT: Duration = Duration::from_secs(200);
/// A block of the disk.
const BLOCK: usize = 4_096;

/// P7: every beginning of a file is told from the whole by its bytes alone.
pub fn truncated(extent: Extent) -> Report {
    let watched = Watched::with_hello();
    let whole = PluginFile::read(&artefacts().presence);
    let length = whole.bytes().len();
    let step = extent.of(length.div_ceil(40).next_multiple_of(512), 512);
    let cut = watched.host.folder().join("cut.so");
    let mut prefixes = 0;
    for end in (512..length).step_by(step) {
        fs::write(&cut, &whole.bytes()[..end]).expect("a file can be written");
        let said = Outcome::of(&["plugin", "inspect", &cut.display().to_string()], "").fails(1);
        assert!(said.contains("truncated") && said.contains(&format!("file has {end}")), "{end}: {said}");
        prefixes += 1;
    }
    let drops = extent.of(2, 20);
    for part in 1..=drops {
        let half = PluginFile::hello(&version(part)).truncated(part, drops + 1).write(watched.host.folder(), "half.so");
        DropStyle::Copy.drop(&half, &watched.target());
        let has = format!("file has {}", fs::metadata(&half).expect("it was written").len());
        watched.host.until_refused("hello.so", &has);
    }
    assert_eq!(watched.loads("hello"), 1);
    watched.end(format!("{prefixes} beginnings of a file inspected and {drops} dropped, all called truncated"))
}

/// P8: a file that was never filled to its end is told from a whole one, and taken once it is whole.
pub fn never_filled(extent: Extent) -> Report {
    let watched = Watched::with_hello();
    let rounds = extent.of(1, 20);
    for round in 1..=rounds {
        let build = PluginFile::hello(&version(round));
        for quarter in 1..=3 {
            watched.refuses(&build.with_zeros_from(quarter, 4), "damaged");
        }
        make_room(&watched, build.bytes().len());
        watched.host.until_refused("hello.so", "not a shared library");
        watched.until_build(round - 1);
        fill(&watched, build.bytes());
        watched.until_build(round);
    }
    assert_eq!(watched.loads("hello"), 1 + rounds);
    watched.end(format!("{} files with an end of zeros refused, {rounds} taken that were filled after all", 3 * rounds))
}

/// Reserves the blocks of a file, which are zeros, and closes it: a moment comes in which nobody writes to it.
fn make_room(watched: &Watched, length: usize) {
    let file = File::create(watched.target()).expect("the target can be overwritten");
    if fallocate(&file, FallocateFlags::empty(), 0, length as u64).is_err() {
        // Not every file system can; it looks the same from outside.
        file.set_len(length as u64).expect("a file can be made longer");
    }
}

fn fill(watched: &Watched, content: &[u8]) {
    let mut file = OpenOptions::new().write(true).open(watched.target()).expect("the target is there");
    file.write_all(content).expect("the target can be written to");
}

/// P9: bits flip and blocks are overwritten. Where signatures are asked for, none of it is taken. Where they are not, what
/// crashes does so in its trial; what does not is taken, since it may be as good as before.
pub fn rotten(extent: Extent) -> Report {
    let each = extent.of(8, 1_000);
    let (taken, tally) = rotten_unsigned(each);
    let report = rotten_signed(each);
    report.note(format!(
        "without signatures {} refused and {taken} taken of {}, no host died, {} bad of {} requests",
        2 * each - taken,
        2 * each,
        tally.failures(),
        tally.requests()
    ))
}

fn rotten_signed(each: usize) -> Report {
    let author = Author::new();
    let (whole, mut rot) = (PluginFile::hello("1.0.1"), Rot::default());
    let mut host = Host::prepare();
    host.configure(&author.section("enforce"));
    author.put(&PluginFile::hello("1.0.0"), &host.plugins());
    host.run();
    let watched = Watched::new(host, HELLO);
    for number in 0..SIDE_BY_SIDE {
        let signature = watched.host.plugins().join(signature_of(&name(number)));
        fs::write(signature, author.sign(&whole, "")).expect("the folder is ours");
    }
    for _ in 0..2 * each / SIDE_BY_SIDE {
        let batch: Vec<_> = (0..SIDE_BY_SIDE).map(|_| rot.spoil(&whole)).collect();
        assert_eq!(taken(&watched.host, &batch), 0, "a rotten file was taken for the one that was signed");
    }
    watched.end(format!("{each} flips of a bit and {each} overwritten blocks: with signatures all refused"))
}

/// How many of them were taken, and what visitors of another plugin saw meanwhile.
fn rotten_unsigned(each: usize) -> (usize, Tally) {
    let (mut count, mut tally, mut rot) = (0, Tally::default(), Rot::default());
    let wholes: Vec<_> = (0..SIDE_BY_SIDE).map(with_id).collect();
    let batches: Vec<_> = (0..2 * each / SIDE_BY_SIDE).collect();
    for batches in batches.chunks(A_HOST / SIDE_BY_SIDE) {
        let watched = Watched::with_hello();
        for _ in batches {
            let batch: Vec<_> = wholes.iter().map(|whole| rot.spoil(whole)).collect();
            count += taken(&watched.host, &batch);
        }
        tally.add(watched.end_with_tally("").1);
    }
    (count, tally)
}

fn name(number: usize) -> String {
    format!("rotten{number}.so")
}

/// `hello` as a plugin of its own.
fn with_id(number: usize) -> PluginFile {
    PluginFile::hello("1.0.0").with_text("id=hello\n", &format!("id=r{number:04}\n"))
}

/// Drops these files and waits until the host has decided on each. Returns how many it took.
fn taken(host: &Host, batch: &[PluginFile]) -> usize {
    let mark = host.process().log_mark();
    for (number, file) in batch.iter().enumerate() {
        file.write(&host.plugins(), &name(number));
    }
    let abouts: Vec<_> = batch.iter().map(PluginFile::about).collect();
    wait::until(BATCH_LIMIT, "all of them are decided", || {
        assert_eq!(host.http().get(HELLO).status, 200, "the host serves on");
        let log = host.process().log();
        let ended = |about: &str, end: &str| log[mark..].lines().any(|line| line.contains(about) && line.contains(end));
        let taken = abouts.iter().filter(|about| ended(about, " -> ACTIVE ")).count();
        let all = abouts.iter().all(|about| ended(about, " -> ACTIVE ") || ended(about, " -> REFUSED "));
        all.then_some(taken)
    })
}

/// What spoils files, in the same places every time and never twice in the same way.
struct Rot {
    /// See xorshift, Marsaglia 2003.
    random: u64,
    seen: BTreeSet<String>,
}

impl Default for Rot {
    fn default() -> Rot {
        Rot { random: 88_172_645_463_325_252, seen: BTreeSet::new() }
    }
}

impl Rot {
    /// The same file with a bit flipped and with a block overwritten, by turns.
    fn spoil(&mut self, whole: &PluginFile) -> PluginFile {
        loop {
            let spoiled = if self.seen.len().is_multiple_of(2) { self.flip(whole) } else { self.overwrite(whole) };
            if self.seen.insert(spoiled.sha256()) {
                return spoiled;
            }
        }
    }

    fn flip(&mut self, whole: &PluginFile) -> PluginFile {
        let at = self.below(whole.bytes().len());
        whole.with_bytes(at, &[whole.bytes()[at] ^ (1 << self.below(8))])
    }

    fn overwrite(&mut self, whole: &PluginFile) -> PluginFile {
        let at = self.below(whole.bytes().len() / BLOCK) * BLOCK;
        let block: Vec<_> = (0..BLOCK).map(|_| self.below(256) as u8).collect();
        whole.with_bytes(at, &block)
    }

    fn below(&mut self, bound: usize) -> usize {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random % bound as u64) as usize
    }
}
