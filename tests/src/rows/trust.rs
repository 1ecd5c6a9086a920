//! Whose files are taken: where others can change them, and where signatures are asked for.

use std::{
    fs::{self, Permissions},
    io,
    os::unix::fs::{PermissionsExt, chown},
    path::Path,
    thread,
    time::{Duration, Instant},
};

use rustix::process::geteuid;

use super::{
    Extent,
    report::Report,
    watched::{HELLO, Watched, version},
};
use crate::{
    author::{Author, put, signature_of},
    drop_style::DropStyle,
    foreign,
    host::{Host, PATIENCE},
    plugin_file::PluginFile,
    wait,
};

/// Somebody who is neither the user of the host nor the superuser.
const STRANGER: u32 = 12_345;

/// Somebody who may do nothing but own the state folder of a host.
const USER: u32 = 65_534;

/// Where something can be wrong: with the file that is dropped, with the drop folder, or with the folder above.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    File,
    Folder,
    Above,
}

/// P33: what others can change, and what is theirs, is not taken, until that is mended.
pub fn loose(extent: Extent) -> Report {
    let watched = Watched::with_hello();
    let modes = [
        (Place::File, 0o664, 0o644),
        (Place::Folder, 0o757, 0o755),
        (Place::Above, 0o770, 0o700),
        // Where only owners may rename what is there, others may write beside it; but not in the drop folder itself.
        (Place::Folder, 0o1777, 0o755),
    ];
    let (rounds, mut number) = (extent.of(1, 10), 0);
    let me = geteuid();
    for _ in 0..rounds {
        for (place, spoilt, mended) in modes {
            number += 1;
            refused_until(
                &watched,
                number,
                place,
                &format!("refusing: mode {spoilt:04o} of "),
                mode(spoilt),
                mode(mended),
            );
        }
        for place in [Place::File, Place::Folder, Place::Above].into_iter().filter(|_| me.is_root()) {
            number += 1;
            let words = format!(" belongs to user {STRANGER}");
            refused_until(&watched, number, place, &words, owner(STRANGER), owner(me.as_raw()));
        }
        number += 1;
        mode(0o1777)(watched.host.folder()).expect("the folder is ours");
        watched.upgrade(number, DropStyle::Copy);
        mode(0o700)(watched.host.folder()).expect("the folder is ours");
    }
    assert_eq!(watched.loads("hello"), 1 + number);
    let faults = number - rounds;
    let report = watched
        .end(format!("{faults} of {faults} refused and taken once mended; {rounds} taken below a sticky folder"));
    match without_rights(rounds) {
        Ok(()) => report.note(format!("{rounds} of {rounds} refused by a host that is not the superuser's")),
        Err(why) => report.note(format!("no strangers: {why}")),
    }
}

/// The same on a host that can't read and change everything. What is the superuser's is taken there too.
fn without_rights(rounds: usize) -> Result<(), String> {
    let mut host = Host::prepare();
    if !geteuid().is_root() {
        return Err("only the superuser can give files away".to_owned());
    }
    host.as_user(USER)?;
    PluginFile::hello(&version(0)).write(&host.plugins(), "hello.so");
    host.run();
    let watched = Watched::new(host, HELLO);
    let words = format!(" belongs to user {STRANGER}");
    for round in 1..=rounds {
        refused_until(&watched, round, Place::File, &words, owner(STRANGER), owner(USER));
    }
    watched.end("");
    Ok(())
}

/// Drops a build with something wrong, and mends it once the host has refused it.
fn refused_until(
    watched: &Watched,
    number: usize,
    place: Place,
    words: &str,
    spoil: impl Fn(&Path) -> io::Result<()>,
    mend: impl Fn(&Path) -> io::Result<()>,
) {
    let (folder, above, target) = (watched.host.plugins(), watched.host.folder(), watched.target());
    let arriving = watched.build(number);
    mode(0o644)(&arriving).expect("the file is ours");
    let (before, after) = match place {
        Place::File => (arriving.as_path(), target.as_path()),
        Place::Folder => (folder.as_path(), folder.as_path()),
        Place::Above => (above, above),
    };
    let mark = watched.host.process().log_mark();
    spoil(before).expect("it is ours");
    fs::rename(&arriving, &target).expect("the folder is ours");
    let about = PluginFile::hello(&version(number)).about();
    let refused = |line: &str| line.contains("plugin hello.so ") && line.contains("REFUSED") && line.contains(words);
    watched.host.process().until_logged(mark, PATIENCE, refused);
    assert!(!watched.host.process().log().contains(&about), "it was read before it was judged");
    watched.until_build(number - 1);
    mend(after).expect("it is ours");
    watched.until_build(number);
}

fn mode(mode: u32) -> impl Fn(&Path) -> io::Result<()> {
    move |path| fs::set_permissions(path, Permissions::from_mode(mode))
}

fn owner(user: u32) -> impl Fn(&Path) -> io::Result<()> {
    move |path| chown(path, Some(user), None)
}

/// A build of `hello` whose version is later the higher its number, up to 999.
fn release(number: usize) -> PluginFile {
    PluginFile::hello(&number_of(number))
}

fn said_by(number: usize) -> String {
    format!("this is build {}\n", number_of(number))
}

fn number_of(number: usize) -> String {
    format!("{}.{}.{}", number / 100, number / 10 % 10, number % 10)
}

#[track_caller]
fn until_release(watched: &Watched, number: usize) {
    let body = said_by(number);
    wait::until(PATIENCE, &body, || (watched.host.http().get(HELLO).body == body.as_bytes()).then_some(()));
}

/// A used host under this policy, with the first release in service. A version counts as good at once.
fn watched_under(policy: &str, author: &Author) -> Watched {
    let mut host = Host::prepare();
    host.configure(&format!("health_window = '0s'\n{}", author.section(policy)));
    author.put(&release(0), &host.plugins());
    host.run();
    Watched::new(host, HELLO)
}

/// P34: somebody swaps file and signature as fast as can be, so that what is verified may not be what is loaded.
pub fn race(extent: Extent) -> Report {
    let (author, stranger) = (Author::new(), Author::new());
    let watched = watched_under("enforce", &author);
    let marks = watched.host.folder().join("marks");
    let manifest = PluginFile::hello("9.9.9").manifest().to_owned();
    let evil = PluginFile::read(&foreign::marking(&manifest, "(void)0", &marks, watched.host.folder()));
    let forged = stranger.sign(&evil, "");
    let over = Instant::now() + extent.of(Duration::from_secs(4), Duration::from_secs(600));
    let (mut turns, mut number) = (0, 0);
    while Instant::now() < over {
        number += 1;
        let good = release(number);
        let signature = author.sign(&good, "");
        let pairs: [(_, &str); 4] = [(&good, &signature), (&evil, &signature), (&good, &forged), (&evil, &forged)];
        for turn in 0..16 {
            // Every fourth stays for long enough to settle, or nearly, or to be copied.
            let (pair, pause) = if turn % 4 == 3 { (turn / 4, 290 + (turns * 7) % 90) } else { (turn, 3) };
            swap(&watched, pairs[pair % 4], (turns / 4 + number) % 2 == 0);
            thread::sleep(Duration::from_millis(pause as u64));
            turns += 1;
        }
    }
    // What is left at the end is foreign, and then is not.
    put(&evil, &author.sign(&release(number + 1), ""), &watched.host.plugins());
    watched.host.until_refused("hello.so", "changed after signing");
    author.put(&release(number + 1), &watched.host.plugins());
    until_release(&watched, number + 1);
    assert!(!marks.exists(), "foreign code ran in {}", fs::read_to_string(&marks).unwrap_or_default());
    let loads = watched.loads("hello");
    let (report, tally) =
        watched.end_with_tally(format!("{turns} swaps, {loads} signed versions taken, foreign code run 0"));
    let known = |body: &Vec<u8>| (0..=number + 1).any(|number| body == said_by(number).as_bytes());
    assert!(tally.bodies.keys().all(known), "{:?}", tally.bodies);
    report
}

/// Puts a signature and a file into the folder in place, or the file in one step and then the signature.
fn swap(watched: &Watched, (file, signature): (&PluginFile, &str), in_place: bool) {
    let folder = watched.host.plugins();
    if in_place {
        return put(file, signature, &folder);
    }
    let aside = file.write(&folder, "hello.so.new");
    fs::rename(aside, watched.target()).expect("the folder is ours");
    fs::write(folder.join(signature_of("hello.so")), signature).expect("the folder is ours");
}

/// P35: under `enforce` only what is signed, whole and newer is taken; what was changed after it was signed never is.
pub fn signatures(extent: Extent) -> Report {
    let (author, stranger) = (Author::new(), Author::new());
    let watched = watched_under("enforce", &author);
    let rounds = extent.of(1, 20);
    for round in 1..=rounds {
        let number = 10 * round;
        author.put(&release(number), &watched.host.plugins());
        until_release(&watched, number);
        let refused = |file: &PluginFile, words: &str| {
            watched.host.process().until_logged(0, PATIENCE, |line| {
                line.contains(&file.about()) && line.contains(" -> REFUSED ") && line.contains(words)
            })
        };
        fs::remove_file(watched.host.plugins().join(signature_of("hello.so"))).expect("it is there");
        release(number + 1).write(&watched.host.plugins(), "hello.so");
        refused(&release(number + 1), "not signed");
        stranger.put(&release(number + 2), &watched.host.plugins());
        refused(&release(number + 2), "signed by the unknown key ");
        put(&release(number + 3), &author.sign(&release(number + 2), ""), &watched.host.plugins());
        refused(&release(number + 3), "changed after signing");
        author.put(&release(number - 1), &watched.host.plugins());
        refused(&release(number - 1), "older than the last good version");
        until_release(&watched, number);
    }
    assert_eq!(watched.loads("hello"), 1 + rounds);
    for policy in ["off", "warn"] {
        lenient(policy, &author, rounds);
    }
    watched.end(format!(
        "{} of {} refused under enforce; under off and warn the unsigned taken, the altered refused",
        4 * rounds,
        4 * rounds
    ))
}

/// What is not signed is taken, with a warning or without; what was changed after it was signed is not.
fn lenient(policy: &str, author: &Author, rounds: usize) {
    let watched = watched_under(policy, author);
    let folder = watched.host.plugins();
    for round in 1..=rounds {
        let number = 10 * round;
        put(&release(number + 1), &author.sign(&release(number), ""), &folder);
        let refused = watched.host.until_refused("hello.so", "changed after signing");
        assert_eq!(refused.text("state"), "active", "{refused:?}");
        fs::remove_file(folder.join(signature_of("hello.so"))).expect("it is there");
        release(number + 2).write(&folder, "hello.so");
        until_release(&watched, number + 2);
        let warned = watched.host.process().log().matches("taken with a warning: not signed").count();
        assert_eq!(warned, if policy == "warn" { round } else { 0 });
    }
    watched.end("");
}
