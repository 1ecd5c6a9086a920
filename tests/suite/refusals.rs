//! The way of a bad file: refused with a reason that names its fault, while the earlier version goes on serving.

use std::{fs, os::unix::fs::PermissionsExt, path::Path, process::Command};

use sha2::{Digest, Sha256};
use tests::{
    artefacts::artefacts,
    host::{Deployed, Host, PATIENCE},
    plugin_file::PluginFile,
    wait,
};

const VERSION: &str = "/plugins/hello/version";

/// A running host with the fixture `hello` deployed as `hello.so`.
fn host_with_hello() -> Host {
    let mut host = Host::prepare();
    host.drop_plugin(artefacts().fixture("hello"), "hello.so");
    host.run();
    host
}

#[track_caller]
fn still_serves(host: &Host) {
    assert_eq!(host.http().get(VERSION).text(), "this is build 1.0.0\n");
    assert_eq!(host.until_version("hello", "1.0.0").text("state"), "active");
}

/// Overwrites the good file by `file`, expects a refusal because of `words`, and the old version serving.
#[track_caller]
fn overwritten_by(file: &Path, words: &str) -> Deployed {
    let host = host_with_hello();
    let pid = host.process().id();
    host.drop_plugin(file, "hello.so");
    let refused = host.until_refused("hello.so", words);
    still_serves(&host);
    assert!(host.process().log().contains(words), "the log does not say {words:?}");
    assert_eq!(host.process().id(), pid);

    host.drop_plugin(artefacts().fixture("hello"), "hello.so");
    host.until_deployed("the good file is back", |plugin| plugin.id() == "hello" && plugin.text("reason").is_empty());
    refused
}

#[test]
fn a_truncated_file() {
    let folder = tempfile::tempdir().unwrap();
    let whole = PluginFile::read(artefacts().fixture("hello"));
    for (numerator, denominator) in [(1, 2), (99, 100)] {
        overwritten_by(&whole.truncated(numerator, denominator).write(folder.path(), "cut.so"), "truncated");
    }
}

#[test]
fn a_text_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("notes.so");
    fs::write(&file, "Dear plugin folder,\n".repeat(100)).unwrap();
    overwritten_by(&file, "ELF");
}

#[test]
fn an_empty_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("empty.so");
    fs::write(&file, "").unwrap();
    overwritten_by(&file, "empty");
}

#[test]
fn a_library_without_a_manifest() {
    overwritten_by(artefacts().fixture("no_manifest"), "manifest");
}

#[test]
fn a_plugin_for_another_abi() {
    let folder = tempfile::tempdir().unwrap();
    let built = PluginFile::read(artefacts().fixture("hello"));
    let other = built.with_text("\nabi=0.", "\nabi=7.").write(folder.path(), "other.so");
    overwritten_by(&other, "7.");
}

#[test]
fn a_plugin_whose_start_fails() {
    overwritten_by(artefacts().fixture("start_fails"), "no coffee <in> the pot");
}

#[test]
fn a_bad_file_alone_is_refused_too() {
    let host = Host::start();
    host.drop_plugin(artefacts().fixture("start_fails"), "bad.so");
    let refused = host.until_refused("bad.so", "no coffee <in> the pot");
    assert_ne!(refused.text("state"), "active");
    assert_eq!(host.http().get("/plugins/hello/version").status, 404);
}

#[test]
fn a_retry_that_fails_again_says_so_again() {
    let host = Host::start();
    host.drop_plugin(artefacts().fixture("start_fails"), "bad.so");
    let first = host.until_refused("bad.so", "no coffee");
    let outcome = host.command(&["plugin", "retry", "hello"]).fails(1);
    assert!(outcome.contains("no coffee"), "{outcome}");
    host.until_deployed("bad.so was tried again", |plugin| {
        plugin.text("file") == "bad.so"
            && plugin.text("state") == "refused"
            && plugin.text("since") > first.text("since")
    });
}

#[test]
fn a_file_that_others_may_write() {
    let host = Host::start();
    let file = host.folder().join("loose.so");
    fs::copy(artefacts().fixture("hello"), &file).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o666)).unwrap();
    fs::rename(&file, host.plugins().join("loose.so")).unwrap();
    host.until_refused("loose.so", "666");
    assert_eq!(host.http().get(VERSION).status, 404);
}

#[test]
fn a_good_file_replaced_by_a_pipe_goes_on_serving() {
    let host = host_with_hello();
    let target = host.plugins().join("hello.so");
    fs::remove_file(&target).unwrap();
    assert!(Command::new("mkfifo").arg(&target).status().unwrap().success());
    let refused = host
        .until_deployed("the pipe is refused", |plugin| plugin.id() == "hello" && !plugin.text("reason").is_empty());
    assert_eq!(refused.text("state"), "active", "{refused:?}");
    still_serves(&host);
}

#[test]
fn what_a_plugin_says_is_shown_tamed_and_bounded() {
    let refused = overwritten_by(artefacts().fixture("start_rants"), "no coffee");
    let reason = refused.text("reason");
    let told = r"did not start: no coffee\n\u{1b}[2J<b>pot</b> \u{202e}more more ";
    assert!(reason.contains(told), "{reason}");
    let rant = &reason[reason.find("no coffee").unwrap()..];
    assert!(rant.len() <= 1_024, "{} bytes", rant.len());
}

#[test]
fn a_file_whose_end_was_never_written() {
    let folder = tempfile::tempdir().unwrap();
    let whole = PluginFile::read(artefacts().fixture("hello"));
    for quarter in 1..=3 {
        let file = whole.with_zeros_from(quarter, 4).write(folder.path(), "zeros.so");
        overwritten_by(&file, "damaged");
    }
}

#[test]
fn room_made_first_and_filled_later() {
    let host = host_with_hello();
    let newer = PluginFile::read(artefacts().fixture("hello")).with_version("1.0.1");
    let target = host.plugins().join("hello.so");
    // In two opens, so that a moment comes in which nobody writes to it.
    fs::File::create(&target).unwrap().set_len(newer.bytes().len() as u64).unwrap();
    host.until_refused("hello.so", "not a shared library");
    still_serves(&host);
    fs::write(&target, newer.bytes()).unwrap();
    host.until_version("hello", "1.0.1");
}

/// Files that are no plugins, and what each is told by.
fn no_plugins(folder: &Path) -> Vec<(&'static str, &'static str)> {
    let hello = PluginFile::read(artefacts().fixture("hello"));
    fs::write(folder.join("text.so"), "Dear plugin folder,\n").unwrap();
    // The class and the processor in the ELF header, see elf(5): ELFCLASS32, EM_AARCH64 or, there, EM_X86_64.
    hello.with_bytes(4, &[1]).write(folder, "narrow.so");
    let (number, other) =
        if cfg!(target_arch = "aarch64") { (62, "built for x86_64") } else { (183, "built for aarch64") };
    hello.with_bytes(18, &[number, 0]).write(folder, "foreign.so");
    fs::copy(artefacts().fixture("no_manifest"), folder.join("library.so")).unwrap();
    fs::copy("/bin/sh", folder.join("program.so")).unwrap();
    fs::write(folder.join("archive.so"), "!<arch>\nhello.o/        0           0     0     644     4         `\n....")
        .unwrap();
    vec![
        ("text.so", "not a shared library: it begins with \"Dear plugin"),
        ("narrow.so", "(32 bit, "),
        ("foreign.so", other),
        ("library.so", "no plugin: it holds no manifest"),
        ("program.so", "a program, not a shared library"),
        ("archive.so", "a static library (.a)"),
    ]
}

#[test]
fn what_is_no_plugin_at_all_is_told_apart_in_a_line_each() {
    let host = host_with_hello();
    let cases = no_plugins(&host.plugins());
    for (file, words) in &cases {
        host.until_refused(file, words);
    }
    still_serves(&host);
    // Looked at again without a change: nothing is said twice.
    host.drop_plugin(&host.plugins().join("text.so"), "again.so");
    host.until_refused("again.so", "not a shared library");
    let log = host.process().log();
    for (file, words) in cases {
        let told = log.lines().filter(|line| line.contains(&format!("plugin {file} ")) && line.contains("REFUSED"));
        let told: Vec<_> = told.collect();
        assert!(told.len() == 1 && told[0].contains(words), "{told:?}");
    }
}

#[test]
fn a_neighbouring_abi_is_refused_before_any_code_runs() {
    let host = host_with_hello();
    let built = PluginFile::read(artefacts().fixture("hello"));
    let here = plugin_api::abi::VERSION;
    let (line, minor) = here.rsplit_once('.').expect("the version has two parts");
    let minor: u32 = minor.parse().expect("the minor version is a number");
    for other in [minor.wrapping_sub(1), minor + 1] {
        let other = format!("{line}.{other}");
        if other.len() != here.len() {
            continue;
        }
        let file = built.with_text(&format!("\nabi={here}\n"), &format!("\nabi={other}\n"));
        host.drop_plugin(&file.write(host.folder(), "other.so"), "hello.so");
        let words = format!("built for plugin ABI {other}, this host speaks {here}");
        host.until_refused("hello.so", &words);
        let log = host.process().log();
        let told = log.lines().find(|line| line.contains(&words)).expect("the log tells of it");
        // The trial, which would run it, comes after CHECKED.
        assert!(told.contains("STAGED -> REFUSED"), "{told}");
    }
    still_serves(&host);
}

#[test]
fn a_plugin_for_a_later_host_is_refused_before_any_code_runs() {
    let host = host_with_hello();
    let built = PluginFile::read(artefacts().fixture("hello"));
    // Two lines that say no more than the defaults make room for the third; the host passes over the fourth.
    let file = built.with_text("\nwants=\nsettings_version=1\n", "\nmin_host=99.0.0\nremark=ok\n");
    let file = file.write(host.folder(), "later.so");
    host.drop_plugin(&file, "hello.so");
    let words = format!("needs version 99.0.0 of this host or later, this is {}: ", env!("CARGO_PKG_VERSION"));
    host.until_refused("hello.so", &words);
    let log = host.process().log();
    let told = log.lines().find(|line| line.contains(&words)).expect("the log tells of it");
    assert!(told.contains("STAGED -> REFUSED"), "{told}");
    still_serves(&host);
    let inspected = host.command(&["plugin", "inspect", &file.display().to_string()]);
    assert!(inspected.fails(1).contains(&words));
}

#[test]
fn a_symbol_that_nobody_has_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let built = PluginFile::read(artefacts().fixture("hello"));
    // A name in the table of dynamic symbols: std imports it from the C library.
    let lacking =
        built.with_text("\0pthread_key_create\0", "\0pthread_key_creatX\0").write(folder.path(), "lacking.so");
    overwritten_by(&lacking, "undefined symbol: pthread_key_creatX");
}

#[test]
fn a_huge_file_is_refused_unread() {
    let host = host_with_hello();
    let before = memory_peak(&host);
    fs::File::create(host.plugins().join("huge.so")).unwrap().set_len(10 << 30).unwrap();
    host.until_refused("huge.so", "too large: 10737418240 bytes, the limit is 67108864");
    let grown = memory_peak(&host) - before;
    assert!(grown < 32 << 10, "{grown} kB");
    let staged = fs::read_dir(host.state().join("staging")).unwrap();
    let sizes: Vec<_> = staged.map(|entry| entry.unwrap().metadata().unwrap().len()).collect();
    assert_eq!(sizes.len(), 1, "{sizes:?}");
    still_serves(&host);
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The most memory that the host ever had, in kB.
fn memory_peak(host: &Host) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", host.process().id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("the kernel tells the peak");
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// Single flipped bits and zeroed blocks all over the file. See xorshift, Marsaglia 2003: the same places every time.
fn rotten(whole: &PluginFile, cases: usize) -> Vec<PluginFile> {
    let length = whole.bytes().len();
    let mut state = 88_172_645_463_325_252_u64;
    let mut random = |bound: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % bound as u64) as usize
    };
    let mut rot = |case: usize| {
        let at = random(length - 4_096);
        match case % 2 {
            0 => whole.with_bytes(at, &[whole.bytes()[at] ^ (1 << random(8))]),
            _ => whole.with_bytes(at, &[0; 4_096]),
        }
    };
    (0..cases).map(&mut rot).collect()
}

#[test]
fn bit_rot_never_ends_the_host() {
    let host = host_with_hello();
    let pid = host.process().id();
    for file in rotten(&PluginFile::read(artefacts().fixture("hello")), 10) {
        host.drop_plugin(&file.write(host.folder(), "rotten.so"), "hello.so");
        let about = format!("sha256={:.12}..", sha256(file.bytes()));
        let ends = ["-> ACTIVE", "-> REFUSED", "the same content"];
        let decided = |line: &str| line.contains(&about) && ends.iter().any(|end| line.contains(end));
        wait::until(PATIENCE, "the file is decided", || host.process().log().lines().any(decided).then_some(()));
    }
    assert_eq!(host.process().id(), pid);
    host.drop_plugin(artefacts().fixture("hello"), "hello.so");
    still_serves(&host);
}
