//! Whose files are taken, and how an administrator who has only the folder learns that one was not.

use std::{
    fs::{self, File},
    io::{self, Write},
    os::unix::fs::{PermissionsExt, chown},
    path::{Path, PathBuf},
};

use tests::{
    artefacts::artefacts,
    author::{Author, put, signature_of},
    host::{Host, Outcome, PATIENCE},
    plugin_file::PluginFile,
    skip::skipped,
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

/// Writes the configuration of a host that is not running. A version counts as good at once.
fn configure(host: &Host, text: &str) -> PathBuf {
    let path = host.folder().join("config.toml");
    fs::write(&path, format!("health_window = \"0s\"\n{text}")).unwrap();
    path
}

/// A host that is not running yet, under a policy.
fn host_under(policy: &str, author: &Author) -> Host {
    let mut host = Host::prepare();
    let config = configure(&host, &author.section(policy));
    host.flag("--config", config);
    host
}

fn signature_in(folder: &Path) -> PathBuf {
    folder.join(signature_of("hello.so"))
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

fn is_superuser() -> bool {
    rustix::process::geteuid().is_root()
}

fn mode(mode: u32) -> impl Fn(&Path) -> io::Result<()> {
    move |path| fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

fn owner(user: u32) -> impl Fn(&Path) -> io::Result<()> {
    move |path| chown(path, Some(user), None)
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
fn what_a_trial_left_behind_is_gone_with_it() {
    let Some(mut host) = host_without_rights() else { return };
    host.drop_plugin(artefacts().fixture("closes_its_folder"), "closes.so");
    host.run();
    host.until_version("closes-its-folder", "1.0.0");
    let left = fs::read_dir(host.state().join("staging")).unwrap().map(|entry| entry.unwrap().file_name());
    let left: Vec<_> = left.filter(|name| !name.to_string_lossy().ends_with(".so")).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_host_without_rights_takes_the_superusers_files_and_says_why_there_is_no_note() {
    let Some(mut host) = host_without_rights() else { return };
    // The folder is the superuser's, and the host can only read it.
    hello().write(&host.plugins(), "hello.so");
    host.run();
    until_answered_by(&host, "1.0.0");
    let target = host.plugins().join("hello.so");
    PluginFile::hello("1.0.1").truncated(1, 2).write(&host.plugins(), "hello.so");
    host.until_refused("hello.so", "truncated");
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
fn under_enforce_a_signature_may_come_later_and_an_older_build_not_at_all() {
    let author = Author::new();
    let mut host = host_under("enforce", &author);
    author.put(&PluginFile::hello("1.0.1"), &host.plugins());
    host.run();
    until_answered_by(&host, "1.0.1");
    assert!(host.process().log().contains("signature: good, by key "));

    fs::remove_file(signature_in(&host.plugins())).unwrap();
    let (newer, old) = (PluginFile::hello("1.0.2"), PluginFile::hello("1.0.0"));
    newer.write(&host.plugins(), "hello.so");
    let refused = host.until_refused("hello.so", "not signed");
    assert!(refused.text("reason").contains("running 1.0.1 (kept), hello.so (1.0.2) on disk"), "{refused:?}");
    until_noted(&host, "not signed");
    fs::write(signature_in(&host.plugins()), author.sign(&newer, "hello 1.0.2")).unwrap();
    until_answered_by(&host, "1.0.2");
    until_note_is_gone(&host);

    // Nor by the back door: removed, and then an old build; and the same at a restart.
    fs::remove_file(host.plugins().join("hello.so")).unwrap();
    wait::until(PATIENCE, "hello is removed", || (host.http().get(VERSION).status == 404).then_some(()));
    author.put(&old, &host.plugins());
    host.until_refused("hello.so", "1.0.0 after 1.0.2");
    host.crash_and_restart();
    host.until_refused("hello.so", "1.0.0 after 1.0.2");
    assert_eq!(host.http().get(VERSION).status, 404);

    // The administrator's word for this very build.
    assert_eq!(host.terminate(), Some(0));
    configure(&host, &format!("{}[pins]\nhello = \"{}\"\n", author.section("enforce"), old.sha256()));
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
        author.put(&PluginFile::hello("1.0.0"), &host.plugins());
        until_answered_by(&host, "1.0.0");
    }
}

#[test]
fn a_file_waits_for_its_signature() {
    let author = Author::new();
    let mut host = host_under("enforce", &author);
    author.put(&PluginFile::hello("1.0.1"), &host.plugins());
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
    author.put(&PluginFile::hello("1.0.1"), &host.plugins());
    host.run();
    put(&PluginFile::hello("1.0.2"), "not a signature at all", &host.plugins());
    host.until_refused("hello.so", "can't be used");
    host.crash_and_restart();
    until_answered_by(&host, "1.0.1");
    host.until_refused("hello.so", "can't be used");

    // The author's key is trusted no longer.
    assert_eq!(host.terminate(), Some(0));
    configure(&host, &Author::new().section("enforce"));
    host.run();
    assert_eq!(host.http().get(VERSION).status, 404);
    host.process().until_logged(0, PATIENCE, |line| line.contains("signed by the unknown key "));
}

#[test]
fn a_signature_that_goes_does_not_take_the_last_good_version_with_it() {
    let author = Author::new();
    let mut host = host_under("enforce", &author);
    author.put(&hello(), &host.plugins());
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
    let config = configure(&host, &format!("[pins]\nhello = [\"{}\"]\n", pinned.sha256()));
    host.flag("--config", config);
    pinned.write(&host.plugins(), "hello.so");
    host.run();
    until_answered_by(&host, "1.0.1");
    other.write(&host.plugins(), "hello.so");
    let refused = host.until_refused("hello.so", &format!("its SHA-256 is {}", other.sha256()));
    assert!(refused.text("reason").contains(&pinned.sha256()), "{refused:?}");
    until_answered_by(&host, "1.0.1");
    // Others are free.
    host.drop_plugin(&artefacts().presence, "presence.so");
    host.until_deployed("presence serves", |row| row.id() == "presence" && row.text("state") == "active");
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
    configure(&host, &format!("[pins]\nhello = \"{}\"\n", PluginFile::hello("1.0.1").sha256()));
    assert!(inspect().fails(1).contains(&hello().sha256()));

    // Beside a host that has a later version in service.
    configure(&host, &author.section("enforce"));
    let mut host = host;
    author.put(&PluginFile::hello("1.0.1"), &host.plugins());
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
