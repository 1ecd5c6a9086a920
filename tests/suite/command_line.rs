//! The command line of DESIGN.md section 7: beside a running host and without one.

use std::{fs, net::TcpListener};

use tests::{
    artefacts::artefacts,
    host::{Host, Outcome, PATIENCE, password},
    plugin_file::PluginFile,
    wait,
    xmpp::{Error, login},
};

/// Runs `test` on a prepared host, once without a process and once beside one.
fn beside_and_without(test: impl Fn(&Host)) {
    test(&Host::prepare());
    test(&Host::start());
}

#[test]
fn users_are_added_listed_and_removed() {
    beside_and_without(|host| {
        host.add_user("alice");
        host.add_user("bob");
        let users = host.command(&["user", "list"]).succeeds();
        assert_eq!(users.lines().collect::<Vec<_>>(), ["alice@localhost", "bob@localhost"]);
        let again = host.command_with_input(&["user", "add", "alice@localhost", "--password-stdin"], "x").fails(1);
        assert!(again.contains("alice@localhost"), "{again}");
        host.command(&["user", "remove", "bob@localhost"]).succeeds();
        assert_eq!(host.command(&["user", "list"]).succeeds().trim_end(), "alice@localhost");
        let missing = host.command(&["user", "remove", "bob@localhost"]).fails(1);
        assert!(missing.contains("bob@localhost"), "{missing}");
    });
}

#[test]
fn a_changed_password_is_the_only_one() {
    let host = Host::start();
    host.add_user("alice");
    host.command_with_input(&["user", "password", "alice@localhost", "--password-stdin"], "new one\n").succeeds();
    login(host.xmpp(), "alice@localhost", "new one").unwrap();
    let old = login(host.xmpp(), "alice@localhost", &password("alice"));
    assert!(matches!(old, Err(Error::Sasl(_))));
}

#[test]
fn a_removed_user_is_out() {
    let host = Host::start();
    let mut alice = host.new_user("alice");
    host.command(&["user", "remove", "alice@localhost"]).succeeds();
    alice.stream().connection().stream_error().expect("the session of a removed account is closed");
    assert!(matches!(login(host.xmpp(), "alice@localhost", &password("alice")), Err(Error::Sasl(_))));
}

#[test]
fn an_address_that_is_no_user_of_this_server_is_refused() {
    beside_and_without(|host| {
        host.add_user("dora");
        let cases =
            [("@localhost", 2), ("a b@localhost", 2), ("alice@localhost/desk", 2), ("alice@elsewhere.example", 1)];
        for (jid, code) in cases {
            let error = host.command_with_input(&["user", "add", jid, "--password-stdin"], "x").fails(code);
            assert!(error.contains(jid), "{error}");
        }
        assert_eq!(host.command(&["user", "list"]).succeeds().trim_end(), "dora@localhost");
    });
}

#[test]
fn settings_are_listed_read_and_set() {
    let mut host = Host::with_presence();
    assert_eq!(host.command(&["setting", "get", "presence.visibility"]).succeeds().trim_end(), "subscribed");
    host.set("presence.visibility", "anyone");
    assert_eq!(host.command(&["setting", "get", "presence.visibility"]).succeeds().trim_end(), "anyone");
    let list = host.command(&["setting", "list"]).succeeds();
    for name in ["visibility", "available_text", "unavailable_text", "redirect_hosts"] {
        assert!(list.contains(&format!("presence.{name}")), "{list}");
    }
    let json = host.command(&["setting", "list", "--json"]).succeeds();
    let json: Vec<serde_json::Value> = serde_json::from_str(&json).unwrap();
    let names: Vec<_> = json.iter().filter_map(|setting| setting["name"].as_str()).collect();
    assert!(names.len() == json.len() && names.contains(&"presence.visibility"), "{json:?}");
    assert!(names.iter().all(|name| list.contains(name)), "both forms list the same: {names:?} {list}");

    let bad_value = host.command(&["setting", "set", "presence.visibility", "everybody"]).fails(1);
    assert!(["anyone", "subscribed"].iter().all(|choice| bad_value.contains(choice)), "{bad_value}");
    let unknown = host.command(&["setting", "get", "presence.colour"]).fails(1);
    assert!(unknown.contains("presence.colour"), "{unknown}");

    assert_eq!(host.terminate(), Some(0));
    assert_eq!(host.command(&["setting", "get", "presence.visibility"]).succeeds().trim_end(), "anyone");
    host.set("presence.visibility", "subscribed");
    host.run();
    assert_eq!(host.command(&["setting", "get", "presence.visibility"]).succeeds().trim_end(), "subscribed");
}

#[test]
fn plugins_are_listed_with_and_without_the_host() {
    let mut host = Host::with_presence();
    let running = host.until_deployed("presence serves", |plugin| plugin.id() == "presence");
    assert!(host.command(&["plugin", "list"]).succeeds().contains("presence"));
    assert_eq!(host.terminate(), Some(0));
    let stopped = host.deployed();
    assert_eq!(stopped.len(), 1);
    assert_eq!((stopped[0].id(), stopped[0].text("sha256")), ("presence", running.text("sha256")));
    assert_ne!(stopped[0].text("state"), "active", "nothing is active without a host");
}

#[test]
fn the_list_tells_what_waits_and_what_ended_versions_cost() {
    let mut host = Host::prepare();
    let built = PluginFile::read(artefacts().fixture("hello"));
    built.write(&host.plugins(), "hello.so");
    host.run();
    built.with_version("1.0.1").write(&host.plugins(), "hello.so");
    host.until_version("hello", "1.0.1");
    host.drop_plugin(artefacts().fixture("start_fails"), "hello.so");
    host.until_refused("hello.so", "no coffee");
    let list = || host.command(&["plugin", "list"]).succeeds();
    let list = wait::until(PATIENCE, "1.0.0 has ended", || Some(list()).filter(|list| list.contains(" ended ")));
    assert!(
        list.contains("running 1.0.1 (kept), hello.so (2.0.0) on disk was refused: did not start: no coffee"),
        "{list}"
    );
    let cost = list.lines().last().unwrap_or_default();
    assert!(cost.starts_with("1 ended version stays mapped until a restart: "), "{list}");
    assert!(!cost.contains(" 0 mappings") && cost.contains(" room for at least "), "{list}");

    host.command(&["plugin", "disable", "hello"]).succeeds();
    let log = host.process().log();
    assert!(log.contains("ACTIVE -> DRAINING actor=command"), "{log}");
}

#[test]
fn a_file_is_inspected_without_being_opened() {
    let host = Host::prepare();
    let file = artefacts().presence.display().to_string();
    let told = host.command(&["plugin", "inspect", &file]).succeeds();
    for word in ["presence", env!("CARGO_PKG_VERSION"), "host.presence/1"] {
        assert!(told.contains(word), "{told}");
    }
    let text = host.folder().join("notes.so");
    fs::write(&text, "not a plugin").unwrap();
    let error = host.command(&["plugin", "inspect", &text.display().to_string()]).fails(1);
    assert!(error.contains("ELF"), "{error}");
}

#[test]
fn an_unknown_plugin_cannot_be_disabled() {
    beside_and_without(|host| {
        let error = host.command(&["plugin", "disable", "nobody"]).fails(1);
        assert!(error.contains("nobody"), "{error}");
    });
}

#[test]
fn unknown_flags_and_commands_are_exit_2() {
    for arguments in [["serve", "--colour"], ["dance", ""], ["user", "--json"], ["setting", "set"]] {
        let arguments: Vec<&str> = arguments.into_iter().filter(|argument| !argument.is_empty()).collect();
        let error = Outcome::of(&arguments, "").fails(2);
        assert!(!error.is_empty());
    }
    Outcome::of(&["serve", "--http", "nowhere"], "").fails(2);
}

#[test]
fn help_teaches() {
    let help = Outcome::of(&["--help"], "").succeeds();
    for command in ["serve", "user", "plugin", "setting"] {
        assert!(help.contains(command), "{help}");
    }
    let help = Outcome::of(&["serve", "--help"], "").succeeds();
    for flag in ["--config", "--state", "--plugins", "--domain", "--xmpp", "--http", "--console"] {
        assert!(help.contains(flag), "{help}");
    }
}

/// Runs `serve` on the folders of `host`, expecting it to fail with `code`.
#[track_caller]
fn serve_fails(host: &Host, flags: &[&str], code: i32) -> String {
    let plugins = host.plugins().display().to_string();
    let ports = ["--xmpp", "127.0.0.1:0", "--http", "127.0.0.1:0", "--console", "127.0.0.1:0"];
    let flags: Vec<&str> =
        ports.chunks(2).filter(|port| !flags.contains(&port[0])).flatten().chain(flags).copied().collect();
    host.command(&[&["serve", "--plugins", &plugins], flags.as_slice()].concat()).fails(code)
}

#[test]
fn a_bad_configuration_is_exit_2_naming_the_line() {
    let host = Host::prepare();
    let file = host.folder().join("config.toml");
    let path = file.display().to_string();
    fs::write(&file, "domain = \"localhost\"\n\ncolour = \"red\"\n").unwrap();
    let error = serve_fails(&host, &["--config", &path], 2);
    assert!(error.contains("line 3") && error.contains("colour"), "{error}");
    fs::write(&file, "domain = \"localhost\"\nhttp = 9090\n").unwrap();
    let error = serve_fails(&host, &["--config", &path], 2);
    assert!(error.contains("line 2"), "{error}");
    let error = serve_fails(&host, &["--config", "/nowhere/config.toml"], 2);
    assert!(error.contains("/nowhere/config.toml"), "{error}");
}

#[test]
fn a_port_in_use_is_exit_1_naming_the_address() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for flag in ["--xmpp", "--http", "--console"] {
        let error = serve_fails(&Host::prepare(), &[flag, &address], 1);
        assert!(error.contains(&address), "{flag}: {error}");
    }
}

#[test]
fn a_second_host_on_one_state_folder_is_exit_1_naming_the_first() {
    let host = Host::start();
    let error = serve_fails(&host, &[], 1);
    assert!(error.contains(&host.process().id().to_string()), "{error}");
    host.command(&["user", "list"]).succeeds();
}
