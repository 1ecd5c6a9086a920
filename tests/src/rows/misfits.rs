//! Files that are whole and still no plugins for this host: another kind of file, another interface, something that is not
//! there, too much.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use super::{
    Extent,
    report::{Report, Times},
    watched::{Watched, copies, version},
};
use crate::{
    artefacts::artefacts,
    drop_style::DropStyle,
    foreign,
    host::{Host, PATIENCE},
    plugin_file::PluginFile,
};

/// What deciding on a file that is too large may take.
const VERDICT: Duration = Duration::from_millis(10);

/// P10: what is no plugin at all is told apart, in one line of the log however often it is looked at.
pub fn no_plugins(extent: Extent) -> Report {
    let watched = Watched::with_hello();
    let cases = kinds(&watched.host.plugins());
    let refused = cases.iter().map(|(file, words)| watched.host.until_refused(file, words).text("reason").to_owned());
    let reasons: BTreeSet<_> = refused.collect();
    assert_eq!(reasons.len(), cases.len(), "{reasons:?}");
    let looks = extent.of(1, 20);
    for look in 1..=looks {
        for (file, _) in &cases {
            let touched = Command::new("touch").arg(watched.host.plugins().join(file)).status();
            assert!(touched.expect("touch starts").success());
        }
        // What settles with them shows that they were looked at.
        watched.upgrade(look, DropStyle::Copy);
    }
    let log = watched.host.process().log();
    for (file, words) in &cases {
        let told = log.lines().filter(|line| line.contains(&format!("plugin {file} ")) && line.contains("REFUSED"));
        let told: Vec<_> = told.collect();
        assert!(told.len() == 1 && told[0].contains(words), "{told:?}");
    }
    watched.end(format!("{} kinds of files told apart, {looks} times touched, one line each", cases.len()))
}

/// Writes files that are no plugins. Returns their names, and what each is told by.
fn kinds(folder: &Path) -> [(&'static str, &'static str); 6] {
    let hello = PluginFile::read(artefacts().fixture("hello"));
    let write =
        |name: &str, content: &str| fs::write(folder.join(name), content).expect("the folder can be written to");
    let copy = |file: &Path, name: &str| DropStyle::Copy.drop(file, &folder.join(name));
    write("text.so", "Dear plugin folder,\n");
    write("archive.so", "!<arch>\nhello.o/        0           0     0     644     4         `\n....");
    // The class and the processor in the ELF header, see elf(5): ELFCLASS32, EM_AARCH64 or, there, EM_X86_64.
    hello.with_bytes(4, &[1]).write(folder, "narrow.so");
    let (number, other) =
        if cfg!(target_arch = "aarch64") { (62, "built for x86_64") } else { (183, "built for aarch64") };
    hello.with_bytes(18, &[number, 0]).write(folder, "foreign.so");
    copy(artefacts().fixture("no_manifest"), "library.so");
    copy(Path::new("/bin/sh"), "program.so");
    [
        ("text.so", "not a shared library: it begins with \"Dear plugin"),
        ("narrow.so", "(32 bit, "),
        ("foreign.so", other),
        ("library.so", "no plugin: it holds no manifest"),
        ("program.so", "a program, not a shared library"),
        ("archive.so", "a static library (.a)"),
    ]
}

/// P11: what was built for another interface or a later host is refused by what its manifest says, before any of its code runs.
pub fn other_hosts(extent: Extent) -> Report {
    let watched = Watched::with_hello();
    let marks = watched.host.folder().join("marks");
    let (rounds, here) = (extent.of(1, 20), plugin_api::abi::VERSION);
    let (others, later) = (neighbours(here), PluginFile::read(artefacts().fixture("needs_later_host")));
    let old = format!("needs version 99.0.0 of this host or later, this is {}: ", env!("CARGO_PKG_VERSION"));
    // A trial, which would run it, comes after CHECKED.
    let refuses = |file: &PluginFile, words: &str| {
        let told = watched.refuses(file, words);
        assert!(told.contains("STAGED -> REFUSED"), "{told}");
    };
    for round in 1..=rounds {
        for other in &others {
            let file = marking(&watched, round, &format!("abi={other}"), &marks);
            refuses(&file, &format!("built for plugin ABI {other}, this host speaks {here}"));
        }
        refuses(&marking(&watched, round, &format!("abi={here}\nmin_host=99.0.0"), &marks), &old);
        refuses(&later.with_version(&version(round)), &old);
    }
    let file = watched.target().display().to_string();
    assert!(watched.host.command(&["plugin", "inspect", &file]).fails(1).contains(&old));
    assert!(!marks.exists(), "code of a plugin for another host ran");
    // With the right version it gets as far as its trial, and leaves its mark.
    watched.refuses(&marking(&watched, 0, &format!("abi={here}"), &marks), "");
    assert!(marks.exists());
    watched.until_build(0);
    let (others, builds) = (others.join(", "), rounds * (others.len() + 2));
    watched.end(format!("{builds} builds for ABI {others} and for host 99.0.0, none of their code run"))
}

/// The versions of the interface right before and after this one, and one far away.
fn neighbours(here: &str) -> Vec<String> {
    let (line, minor) = here.rsplit_once('.').expect("the version has two parts");
    let minor: u32 = minor.parse().expect("the minor version is a number");
    let beside = minor.checked_sub(1).into_iter().chain([minor + 1]).map(|minor| format!("{line}.{minor}"));
    beside.chain(["99.0".to_owned()]).collect()
}

/// A library that leaves a mark once it is opened, and says that it is `hello`, with this in the place of the version of its interface.
fn marking(watched: &Watched, round: usize, abi: &str, marks: &Path) -> PluginFile {
    let manifest = PluginFile::hello(&version(round)).manifest().to_owned();
    let here = format!("\nabi={}\n", plugin_api::abi::VERSION);
    assert!(manifest.contains(&here), "{manifest}");
    let manifest = manifest.replace(&here, &format!("\n{abi}\n"));
    PluginFile::read(&foreign::marking(&manifest, "(void)0", marks, watched.host.folder()))
}

/// P12: what imports a symbol that nobody has is refused by its name.
pub fn unresolved(extent: Extent) -> Report {
    let watched = Watched::with_hello();
    let rounds = extent.of(1, 50);
    for round in 1..=rounds {
        // A name in the table of dynamic symbols: std imports it from the C library.
        let lacking = PluginFile::hello(&version(round)).with_text("\0pthread_key_create\0", "\0pthread_key_creatX\0");
        watched.refuses(&lacking, "undefined symbol: pthread_key_creatX");
    }
    watched.until_build(0);
    watched.end(format!("{rounds} libraries that import what nobody exports, each refused by its name"))
}

/// P39: a file that is too large is refused for its size alone.
pub fn huge(extent: Extent) -> Report {
    let watched = Watched::with_hello();
    let (rounds, before, mut times) = (extent.of(1, 20), memory_peak(&watched.host), Times::default());
    for round in 1..=rounds {
        let mark = watched.host.process().log_mark();
        let size = (10_u64 << 30) + round;
        let file = File::create(watched.host.plugins().join("huge.so")).expect("the folder can be written to");
        file.set_len(size).expect("a file can have holes");
        drop(file);
        let words = format!("too large: {size} bytes, the limit is 67108864");
        let about = |line: &str| line.contains("plugin huge.so ");
        let refused = watched.host.process().until_logged(mark, PATIENCE, |line| about(line) && line.contains(&words));
        let log = watched.host.process().log();
        let settled = log[mark..].lines().find(|line| about(line) && line.contains("-> SETTLED "));
        times.push(since(settled.expect("it settled first"), &refused));
    }
    let grown = memory_peak(&watched.host) - before;
    assert!(grown < 32 << 20, "{grown} bytes");
    assert!(!extent.is_long() || times.within(0.5) <= VERDICT, "{times}");
    assert_eq!(copies(&watched.host).len(), 1);
    watched.until_build(0);
    let report = watched.end(format!("{rounds} files of 10 GiB, refused unread"));
    report.note(format!("decided on in {times}; the most memory ever grew by {} kB", grown >> 10))
}

/// The most memory that the host ever had, in bytes.
fn memory_peak(host: &Host) -> u64 {
    let path = PathBuf::from(format!("/proc/{}/status", host.process().id()));
    let status = fs::read_to_string(path).expect("the host is ours to look at");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("the kernel tells the peak");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number of kB") << 10
}

/// The time between two lines of the log, which are within a day of each other: `[2026-11-26T00:10:17.551Z ...`.
fn since(earlier: &str, later: &str) -> Duration {
    let milliseconds = |line: &str| {
        let time = line.split(['T', 'Z']).nth(1).expect("a line begins with its time");
        let parts: Vec<f64> = time.split(':').map(|part| part.parse().expect("times are numbers")).collect();
        ((parts[0] * 60.0 + parts[1]) * 60.0 + parts[2]) * 1_000.0
    };
    const DAY: f64 = 86_400_000.0;
    Duration::from_millis((milliseconds(later) - milliseconds(earlier)).rem_euclid(DAY).round() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_the_log_are_subtracted() {
        let line = |time: &str| format!("[2026-11-26T{time}Z INFO  host] plugin huge.so");
        assert_eq!(since(&line("00:10:17.551"), &line("00:10:17.573")), Duration::from_millis(22));
        assert_eq!(since(&line("23:59:59.999"), &line("00:00:00.001")), Duration::from_millis(2));
    }
}
