//! Whose files are taken, and how an administrator who has only the folder learns that one was not.

use std::{
    fs::{self, File},
    io::{self, Write},
    os::unix::fs::{PermissionsExt, chown},
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use sha2::{Digest, Sha256};
use tests::{
    artefacts::artefacts,
    author::Author,
    host::{Host, Outcome, PATIENCE},
    http::load::Load,
    plugin_file::PluginFile,
    wait,
};

const VERSION: &str = "/plugins/hello/version";

fn hello() -> PluginFile {
    PluginFile::read(artefacts().fixture("hello"))
}

/// A running host with the fixture `hello` deployed as `hello.so`.
fn host_with_hello() -> Host {
    let mut host = Host::prepare();
    hello().write(&host.plugins(), "hello.so");
    host.run();
    host
}

fn sha256(file: &PluginFile) -> String {
    Sha256::digest(file.bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Writes the configuration of a host that is not running. A version counts as good at once.
fn configure(host: &Host, text: &str) -> PathBuf {
    let path = host.folder().join("config.toml");
    fs::write(&path, format!("health_window = \"0s\"\n{text}")).unwrap();
    path
}

/// The section of the configuration that names one author.
fn signatures(policy: &str, author: &Author) -> String {
    format!("[signatures]\npolicy = \"{policy}\"\nkeys = [\"{}\"]\n", author.key())
}

/// A host that is not running yet, under a policy.
fn host_under(policy: &str, author: &Author) -> Host {
    let mut host = Host::prepare();
    let config = configure(&host, &signatures(policy, author));
    host.flag("--config", config);
    host
}

fn signature_in(folder: &Path) -> PathBuf {
    folder.join("hello.so.minisig")
}

/// Puts a build and its signature into the folder, the signature first.
fn put(host: &Host, file: &PluginFile, signature: &str) {
    fs::write(signature_in(&host.plugins()), signature).unwrap();
    file.write(&host.plugins(), "hello.so");
}

#[track_caller]
fn until_answered_by(host: &Host, version: &str) {
    let expected = format!("this is build {version}\n");
    wait::until(PATIENCE, &expected, || (host.http().get(VERSION).body == expected.as_bytes()).then_some(()));
}

fn note(host: &Host) -> PathBuf {
    host.plugins().join("hello.so.rejected.txt")
}

#[track_caller]
fn until_noted(host: &Host, words: &str) -> String {
    let told = || fs::read_to_string(note(host)).ok().filter(|text| text.contains(words));
    wait::until(PATIENCE, &format!("a note says {words:?}"), told)
}

#[track_caller]
fn until_note_is_gone(host: &Host) {
    wait::until(PATIENCE, "the note is gone", || (!note(host).exists()).then_some(()));
}

#[test]
fn a_refused_file_has_a_note_beside_it_until_the_fault_is_gone() {
    let host = host_with_hello();
    hello().truncated(1, 2).write(&host.plugins(), "hello.so");
    let text = until_noted(&host, "hello.so was not taken: truncated: ");
    assert!(text.contains("hello 1.0.0 goes on") && text.contains(plugin_api::abi::VERSION), "{text}");
    let newer = hello().with_version("1.0.1");
    newer.write(&host.plugins(), "hello.so");
    until_note_is_gone(&host);
    host.until_version("hello", "1.0.1");

    newer.truncated(1, 2).write(&host.plugins(), "hello.so");
    until_noted(&host, "hello 1.0.1 goes on");
    fs::remove_file(host.plugins().join("hello.so")).unwrap();
    until_note_is_gone(&host);
    let log = host.process().log();
    assert!(!log.contains("is skipped"), "a note is no news of its own: {log}");
    assert!(!log.contains("plugin hello.so.rejected.txt"), "{log}");
}

#[test]
fn a_note_that_is_stale_at_the_start_goes_and_a_foreign_one_stays() {
    let mut host = host_with_hello();
    hello().truncated(1, 2).write(&host.plugins(), "hello.so");
    until_noted(&host, "truncated");
    let foreign = host.plugins().join("other.so.rejected.txt");
    fs::write(&foreign, "our own notes\n").unwrap();
    assert_eq!(host.terminate(), Some(0));
    hello().write(&host.plugins(), "hello.so");
    host.run();
    until_note_is_gone(&host);
    assert_eq!(fs::read_to_string(&foreign).unwrap(), "our own notes\n");
}

#[test]
fn a_retry_that_succeeds_takes_the_note_away() {
    let host = host_with_hello();
    let plugins = host.plugins();
    fs::set_permissions(&plugins, fs::Permissions::from_mode(0o777)).unwrap();
    hello().with_version("1.0.1").write(&plugins, "hello.so");
    until_noted(&host, "refusing: mode 0777");
    fs::set_permissions(&plugins, fs::Permissions::from_mode(0o755)).unwrap();
    host.command(&["plugin", "retry", "hello"]).succeeds();
    until_note_is_gone(&host);
    host.until_version("hello", "1.0.1");
    assert_eq!(host.http().get(VERSION).status, 200);
}

/// Says that a test is left out. Written by hand: the harness would keep what `eprintln!` says of a test that passes.
fn skipped(what: &str, why: &str) {
    let notice = format!("SKIPPED: {what}: {why}\n");
    io::stderr().write_all(notice.as_bytes()).expect("standard error is open");
}

fn is_superuser() -> bool {
    rustix::process::geteuid().is_root()
}

/// Somebody who is neither the user of the host nor the superuser.
const STRANGER: u32 = 12_345;

/// Takes a version that is moved into the folder as `cause` left it, expects a refusal because of `words`, and the version
/// itself once `mend` was done.
#[track_caller]
fn refused_until_mended(
    host: &Host,
    version: &str,
    cause: impl Fn(&Path) -> io::Result<()>,
    words: &str,
    mend: impl Fn(&Path) -> io::Result<()>,
) {
    let (before, target) = (host.http().get(VERSION), host.plugins().join("hello.so"));
    let file = PluginFile::hello(version).write(host.folder(), "arriving.so");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    cause(&file).unwrap();
    fs::rename(&file, &target).unwrap();
    host.until_refused("hello.so", words);
    assert_eq!(host.http().get(VERSION).text(), before.text(), "{words}");
    mend(&target).unwrap();
    until_answered_by(host, version);
}

fn mode(mode: u32) -> impl Fn(&Path) -> io::Result<()> {
    move |path| fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

fn owner(user: u32) -> impl Fn(&Path) -> io::Result<()> {
    move |path| chown(path, Some(user), None)
}

#[test]
fn what_others_can_change_is_refused() {
    let host = host_with_hello();
    let (folder, above) = (host.plugins(), host.folder().to_owned());
    refused_until_mended(&host, "1.0.1", mode(0o664), "refusing: mode 0664 of ", mode(0o644));
    refused_until_mended(&host, "1.0.2", |_| mode(0o757)(&folder), "refusing: mode 0757 of ", |_| mode(0o755)(&folder));
    refused_until_mended(&host, "1.0.3", |_| mode(0o770)(&above), "refusing: mode 0770 of ", |_| mode(0o700)(&above));
    // Where only owners may rename what is there, others may write beside it; but not in the folder itself.
    mode(0o1777)(&above).unwrap();
    PluginFile::hello("1.0.4").write(&folder, "hello.so");
    until_answered_by(&host, "1.0.4");
    refused_until_mended(
        &host,
        "1.0.5",
        |_| mode(0o1777)(&folder),
        "refusing: mode 1777 of ",
        |_| mode(0o755)(&folder),
    );
}

#[test]
fn what_belongs_to_a_stranger_is_refused() {
    if !is_superuser() {
        return skipped("what belongs to a stranger", "only the superuser can give files away");
    }
    let host = host_with_hello();
    let me = rustix::process::geteuid().as_raw();
    let (folder, above) = (host.plugins(), host.folder().to_owned());
    let words = format!(" belongs to user {STRANGER}");
    refused_until_mended(&host, "1.0.1", owner(STRANGER), &words, owner(me));
    refused_until_mended(&host, "1.0.2", |_| owner(STRANGER)(&folder), &words, |_| owner(me)(&folder));
    refused_until_mended(&host, "1.0.3", |_| owner(STRANGER)(&above), &words, |_| owner(me)(&above));
}

#[test]
fn everybody_can_be_trusted_on_request_and_the_log_says_so() {
    let mut host = Host::prepare();
    let config = configure(&host, "trust_everybody = true\n");
    host.flag("--config", config);
    hello().write(&host.plugins(), "hello.so");
    mode(0o777)(&host.plugins().join("hello.so")).unwrap();
    mode(0o777)(&host.plugins()).unwrap();
    host.run();
    until_answered_by(&host, "1.0.0");
    assert!(host.process().log().contains("plugins are taken from any owner and with any mode"));
}

/// Somebody who may do nothing but own the state folder of a host.
const USER: u32 = 65_534;

/// A host of that user's, not running yet; none where this machine or its user can't have one.
fn host_without_rights() -> Option<Host> {
    let mut host = Host::prepare();
    let prepared = if is_superuser() { host.as_user(USER) } else { Err("only the superuser can be others".into()) };
    prepared.inspect_err(|why| skipped("a host without rights", why)).ok().map(|()| host)
}

#[test]
fn what_a_trial_left_behind_stops_no_start() {
    let Some(mut host) = host_without_rights() else { return };
    let staging = host.state().join("staging");
    let (own, foreign) = (staging.join("own-00-1.trial"), staging.join("foreign-00-2.trial"));
    for folder in [&own, &foreign] {
        fs::create_dir_all(folder.join("below")).unwrap();
        fs::write(folder.join("below/data"), "").unwrap();
    }
    // A plugin can close its own folder to writing, and whoever ran the host before may have been another user.
    for path in [&staging, &own, &own.join("below")] {
        owner(USER)(path).unwrap();
    }
    mode(0o500)(&own.join("below")).unwrap();
    host.run();
    assert!(!own.exists());
    let told = format!("{} can't be deleted: ", foreign.display());
    assert!(foreign.exists() && host.process().log().contains(&told), "{}", host.process().log());
}

#[test]
fn a_host_without_rights_takes_its_own_files_and_the_superusers() {
    let Some(mut host) = host_without_rights() else { return };
    // The folder is the superuser's, and the host can only read it.
    hello().write(&host.plugins(), "hello.so");
    host.run();
    until_answered_by(&host, "1.0.0");
    let target = host.plugins().join("hello.so");
    refused_until_mended(&host, "1.0.1", owner(STRANGER), &format!(" belongs to user {STRANGER}"), owner(USER));
    // No place for notes: the reason is in the list and in the log, which also says why there is no note.
    assert!(!note(&host).exists());
    let told = || host.process().log().matches("no notes on refused files beside them").count();
    wait::until(PATIENCE, "the log says that there is no note", || (told() > 0).then_some(()));
    assert_eq!(told(), 1);
    fs::remove_file(&target).unwrap();
    wait::until(PATIENCE, "hello is removed", || (host.http().get(VERSION).status == 404).then_some(()));
    // In a folder of its own it can tell.
    owner(USER)(&host.plugins()).unwrap();
    PluginFile::hello("1.0.2").truncated(1, 2).write(&host.plugins(), "hello.so");
    until_noted(&host, "truncated");
}

#[test]
fn under_enforce_only_what_is_signed_whole_and_new_is_taken() {
    let (author, stranger) = (Author::new(), Author::new());
    let mut host = host_under("enforce", &author);
    put(&host, &PluginFile::hello("1.0.1"), &author.sign(&PluginFile::hello("1.0.1"), "hello 1.0.1"));
    host.run();
    until_answered_by(&host, "1.0.1");
    assert!(host.process().log().contains("signature: good, by key "));

    // Unsigned, until the signature comes after its file.
    fs::remove_file(signature_in(&host.plugins())).unwrap();
    PluginFile::hello("1.0.2").write(&host.plugins(), "hello.so");
    let refused = host.until_refused("hello.so", "not signed");
    assert!(refused.text("reason").contains("running 1.0.1 (kept), hello.so (1.0.2) on disk"), "{refused:?}");
    until_noted(&host, "not signed");
    fs::write(signature_in(&host.plugins()), author.sign(&PluginFile::hello("1.0.2"), "hello 1.0.2")).unwrap();
    until_answered_by(&host, "1.0.2");
    until_note_is_gone(&host);

    put(&host, &PluginFile::hello("1.0.3"), &stranger.sign(&PluginFile::hello("1.0.3"), "hello 1.0.3"));
    host.until_refused("hello.so", "signed by the unknown key ");
    put(&host, &PluginFile::hello("1.0.4"), &author.sign(&PluginFile::hello("1.0.3"), "hello 1.0.3"));
    host.until_refused("hello.so", "changed after signing");
    let old = PluginFile::hello("1.0.0");
    put(&host, &old, &author.sign(&old, "hello 1.0.0"));
    host.until_refused("hello.so", "older than the last good version, 1.0.0 after 1.0.2");
    until_answered_by(&host, "1.0.2");

    // Nor by the back door: removed, and then an old build; and the same at a restart.
    fs::remove_file(host.plugins().join("hello.so")).unwrap();
    wait::until(PATIENCE, "hello is removed", || (host.http().get(VERSION).status == 404).then_some(()));
    old.write(&host.plugins(), "hello.so");
    host.until_refused("hello.so", "1.0.0 after 1.0.2");
    host.crash_and_restart();
    host.until_refused("hello.so", "1.0.0 after 1.0.2");
    assert_eq!(host.http().get(VERSION).status, 404);

    // The administrator's word for this very build.
    assert_eq!(host.terminate(), Some(0));
    configure(&host, &format!("{}[pins]\nhello = \"{}\"\n", signatures("enforce", &author), sha256(&old)));
    host.run();
    until_answered_by(&host, "1.0.0");
}

#[test]
fn without_enforce_the_unsigned_are_taken_and_the_altered_are_not() {
    let author = Author::new();
    for policy in ["off", "warn"] {
        let mut host = host_under(policy, &author);
        PluginFile::hello("1.0.1").write(&host.plugins(), "hello.so");
        host.run();
        let row = host.until_version("hello", "1.0.1");
        let warned = "taken with a warning: not signed";
        assert_eq!(row.text("reason").starts_with(warned), policy == "warn", "{row:?}");
        assert_eq!(host.process().log().matches(warned).count(), usize::from(policy == "warn"));
        host.command(&["plugin", "retry", "hello"]).succeeds();
        assert_eq!(host.process().log().matches(warned).count(), usize::from(policy == "warn"), "said once");

        // The signature changes alone, for the worse and then for the better.
        fs::write(signature_in(&host.plugins()), author.sign(&PluginFile::hello("1.0.2"), "")).unwrap();
        host.until_refused("hello.so", "changed after signing");
        fs::write(signature_in(&host.plugins()), author.sign(&PluginFile::hello("1.0.1"), "")).unwrap();
        host.until_deployed("no doubt is left", |row| row.version() == "1.0.1" && row.text("reason").is_empty());
        until_answered_by(&host, "1.0.1");
        // An older one is no matter for these policies.
        put(&host, &PluginFile::hello("1.0.0"), &author.sign(&PluginFile::hello("1.0.0"), ""));
        until_answered_by(&host, "1.0.0");
    }
}

#[test]
fn a_file_waits_for_its_signature() {
    let author = Author::new();
    let mut host = host_under("enforce", &author);
    put(&host, &PluginFile::hello("1.0.1"), &author.sign(&PluginFile::hello("1.0.1"), ""));
    host.run();
    // In the place of the short pause between two `cp`, which a busy machine can make long.
    let mut file = File::create(host.plugins().join("hello.so")).unwrap();
    file.write_all(PluginFile::hello("1.0.2").bytes()).unwrap();
    let mut signature = File::create(signature_in(&host.plugins())).unwrap();
    drop(file);
    signature.write_all(author.sign(&PluginFile::hello("1.0.2"), "").as_bytes()).unwrap();
    drop(signature);
    until_answered_by(&host, "1.0.2");
    let log = host.process().log();
    assert!(!log.contains("REFUSED"), "{log}");
}

#[test]
fn the_last_good_version_is_judged_by_its_own_signature() {
    let author = Author::new();
    let mut host = host_under("enforce", &author);
    put(&host, &PluginFile::hello("1.0.1"), &author.sign(&PluginFile::hello("1.0.1"), ""));
    host.run();
    put(&host, &PluginFile::hello("1.0.2"), "not a signature at all");
    host.until_refused("hello.so", "can't be used");
    host.crash_and_restart();
    until_answered_by(&host, "1.0.1");
    host.until_refused("hello.so", "can't be used");

    // The author's key is trusted no longer.
    assert_eq!(host.terminate(), Some(0));
    configure(&host, &signatures("enforce", &Author::new()));
    host.run();
    assert_eq!(host.http().get(VERSION).status, 404);
    let log = host.process().log();
    assert!(log.contains("signed by the unknown key "), "{log}");
}

#[test]
fn a_signature_that_goes_does_not_take_the_last_good_version_with_it() {
    let author = Author::new();
    let mut host = host_under("enforce", &author);
    put(&host, &hello(), &author.sign(&hello(), ""));
    host.run();
    fs::remove_file(signature_in(&host.plugins())).unwrap();
    host.until_refused("hello.so", "not signed");
    host.crash_and_restart();
    until_answered_by(&host, "1.0.0");
    host.until_refused("hello.so", "not signed");
}

#[test]
fn a_pin_needs_no_key() {
    let mut host = Host::prepare();
    let (pinned, other) = (PluginFile::hello("1.0.1"), PluginFile::hello("1.0.2"));
    let config = configure(&host, &format!("[pins]\nhello = [\"{}\"]\n", sha256(&pinned)));
    host.flag("--config", config);
    pinned.write(&host.plugins(), "hello.so");
    host.run();
    until_answered_by(&host, "1.0.1");
    other.write(&host.plugins(), "hello.so");
    let refused = host.until_refused("hello.so", &format!("its SHA-256 is {}", sha256(&other)));
    assert!(refused.text("reason").contains(&sha256(&pinned)), "{refused:?}");
    until_answered_by(&host, "1.0.1");
    // Others are free.
    host.drop_plugin(&artefacts().presence, "presence.so");
    host.until_deployed("presence serves", |row| row.id() == "presence" && row.text("state") == "active");
}

#[test]
fn what_runs_is_what_was_verified_however_fast_the_drop_is_swapped() {
    let author = Author::new();
    let mut host = host_under("enforce", &author);
    let (good, newer, evil) = (PluginFile::hello("1.0.1"), PluginFile::hello("1.0.2"), PluginFile::hello("6.6.6"));
    put(&host, &good, &author.sign(&good, ""));
    host.run();
    let load = Load::start(host.process().ready().http, VERSION, 4, Duration::from_millis(5));
    let over = AtomicBool::new(false);
    let folder = host.plugins();
    thread::scope(|scope| {
        scope.spawn(|| swap(&folder, &[&good, &evil, &newer], &over));
        scope.spawn(|| {
            let texts = [author.sign(&good, ""), author.sign(&newer, "")];
            for text in texts.iter().cycle().take_while(|_| !over.load(Ordering::Relaxed)) {
                fs::write(signature_in(&folder), text).unwrap();
                thread::sleep(Duration::from_millis(7));
            }
        });
        wait::until(PATIENCE, "some seconds of swaps", || (load.answered() >= 800).then_some(()));
        over.store(true, Ordering::Relaxed);
    });
    put(&host, &evil, &author.sign(&good, ""));
    host.until_refused("hello.so", "changed after signing");
    put(&host, &newer, &author.sign(&newer, ""));
    until_answered_by(&host, "1.0.2");
    let tally = load.stop();
    assert_eq!(tally.failures(), 0, "{tally}");
    let evil = b"this is build 6.6.6\n".to_vec();
    assert!(!tally.bodies.contains_key(&evil), "unsigned code ran: {tally}");
}

/// Puts one file after the other in the same place, now in one step and now in place.
fn swap(folder: &Path, files: &[&PluginFile], over: &AtomicBool) {
    let (target, aside) = (folder.join("hello.so"), folder.join("hello.so.new"));
    for (number, file) in files.iter().cycle().take_while(|_| !over.load(Ordering::Relaxed)).enumerate() {
        match number % 2 {
            0 => fs::write(&target, file.bytes()).unwrap(),
            _ => {
                fs::write(&aside, file.bytes()).unwrap();
                fs::rename(&aside, &target).unwrap();
            }
        }
        // Sometimes long enough for it to settle.
        thread::sleep(Duration::from_millis(if number % 8 == 7 { 400 } else { 3 }));
    }
}

#[test]
fn rotten_files_are_all_refused_where_signatures_are_asked_for() {
    let author = Author::new();
    let host = {
        let mut host = host_under("enforce", &author);
        host.run();
        host
    };
    let whole = PluginFile::hello("1.0.1");
    let signature = author.sign(&whole, "");
    let length = whole.bytes().len();
    for number in 0..24 {
        let at = length / 24 * number + 100;
        let rotten = match number % 2 {
            0 => whole.with_bytes(at, &[whole.bytes()[at] ^ 1]),
            _ => whole.with_bytes(at, &[0x5a; 4_096]),
        };
        fs::write(host.plugins().join(format!("{number}.so.minisig")), &signature).unwrap();
        rotten.write(&host.plugins(), &format!("{number}.so"));
    }
    let refused = || host.deployed().iter().filter(|row| row.text("state") == "refused").count();
    wait::until(PATIENCE, "24 of 24 are refused", || (refused() == 24).then_some(()));
    assert_eq!(host.http().get(VERSION).status, 404);
}

#[test]
fn inspect_gives_the_verdict_of_the_host() {
    let (author, stranger) = (Author::new(), Author::new());
    let host = host_under("enforce", &author);
    let file = hello().write(host.folder(), "hello.so").display().to_string();
    let config = host.folder().join("config.toml").display().to_string();
    let inspect = || host.command(&["plugin", "inspect", &file, "--config", &config]);
    assert!(inspect().fails(1).contains("not signed"));
    host.command(&["plugin", "inspect", &file]).succeeds();

    fs::write(signature_in(host.folder()), author.sign(&hello(), "built on a Monday")).unwrap();
    let told = inspect().succeeds();
    assert!(told.contains("good, by key ") && told.contains("built on a Monday"), "{told}");
    let told = host.command(&["plugin", "inspect", &file]).succeeds();
    assert!(told.contains("not verified, claims to be by key ") && told.contains("built on a Monday"), "{told}");

    fs::write(signature_in(host.folder()), stranger.sign(&hello(), "")).unwrap();
    assert!(inspect().fails(1).contains("signed by the unknown key "));
    fs::write(signature_in(host.folder()), author.sign(&PluginFile::hello("1.0.1"), "")).unwrap();
    assert!(inspect().fails(1).contains("changed after signing"));
    configure(&host, &format!("[pins]\nhello = \"{}\"\n", sha256(&PluginFile::hello("1.0.1"))));
    assert!(inspect().fails(1).contains(&sha256(&hello())));

    // Beside a host that has a later version in service.
    configure(&host, &signatures("enforce", &author));
    let mut host = host;
    put(&host, &PluginFile::hello("1.0.1"), &author.sign(&PluginFile::hello("1.0.1"), ""));
    host.run();
    until_answered_by(&host, "1.0.1");
    fs::write(signature_in(host.folder()), author.sign(&hello(), "")).unwrap();
    let told = host.command(&["plugin", "inspect", &file, "--config", &config]).fails(1);
    assert!(told.contains("older than the last good version, 1.0.0 after 1.0.1"), "{told}");
}

#[test]
fn copies_are_not_trusted_where_others_can_change_them() {
    let host = host_with_hello();
    mode(0o777)(&host.state()).unwrap();
    PluginFile::hello("1.0.1").write(&host.plugins(), "hello.so");
    let refused = host.until_refused("hello.so", "refusing: mode 0777 of ");
    assert!(refused.text("reason").contains("state lets other users"), "{refused:?}");
    mode(0o755)(&host.state()).unwrap();
    host.command(&["plugin", "retry", "hello"]).succeeds();
    until_answered_by(&host, "1.0.1");
}

#[test]
fn a_bad_key_or_pin_is_exit_2_naming_file_and_line() {
    let host = Host::prepare();
    let config = host.folder().join("config.toml").display().to_string();
    let cases = [
        ("[signatures]\nkeys = [\"RWQbroken\"]\n", "line 3", "expected a minisign public key"),
        ("[signatures]\npolicy = \"strict\"\n", "line 3", "expected one of `off`, `warn`, `enforce`"),
        ("[signatures]\npolicy = \"enforce\"\n", "line 2", "keys names none"),
        ("\n[pins]\nhello = \"abc\"\n", "line 4", "expected a SHA-256"),
    ];
    for (text, line, expected) in cases {
        configure(&host, text);
        let error = Outcome::of(&["serve", "--config", &config], "").fails(2);
        assert!([config.as_str(), line, expected].iter().all(|part| error.contains(part)), "{error}");
    }
}
