//! `host.records/1`: what a plugin keeps is there for every version of it, and goes with the account that it is about.

use std::fs;

use tests::{
    artefacts::artefacts,
    host::{Host, PATIENCE},
    http::exchange,
    plugin_file::PluginFile,
    wait,
};

fn host() -> Host {
    let mut host = Host::prepare();
    host.drop_plugin(artefacts().fixture("keeps"), "keeps.so");
    host.run();
    host
}

/// Has the plugin keep a value; the status, and what it says about it.
#[track_caller]
fn put(host: &Host, key: &str, value: &str) -> (u16, String) {
    let length = value.len();
    let head = format!(
        "PUT /plugins/keeps/{key} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    let answer = exchange(host.process().ready().http, format!("{head}{value}")).unwrap();
    (answer.status, answer.text().to_owned())
}

#[track_caller]
fn kept(host: &Host, key: &str) -> Option<String> {
    let answer = host.http().get(&format!("/plugins/keeps/{key}"));
    (answer.status == 200).then(|| answer.text().to_owned())
}

#[test]
fn records_outlive_the_version_the_plugin_and_the_process() {
    let mut host = host();
    assert_eq!(put(&host, "colour", "red").0, 204);
    assert_eq!(put(&host, "shape", "round").0, 204);
    assert_eq!(put(&host, "colour", "blue").0, 204);
    host.http().request("DELETE", "/plugins/keeps/shape", &[]);
    let kept_all = |host: &Host| {
        assert_eq!(kept(host, "colour").as_deref(), Some("blue"));
        assert_eq!(kept(host, "shape"), None);
        assert_eq!(host.http().get("/plugins/keeps/").text(), "colour started");
    };
    kept_all(&host);

    PluginFile::read(artefacts().fixture("keeps")).with_version("1.0.1").write(&host.plugins(), "keeps.so");
    host.until_version("keeps", "1.0.1");
    kept_all(&host);

    fs::remove_file(host.plugins().join("keeps.so")).unwrap();
    wait::until(PATIENCE, "its routes are gone", || kept(&host, "colour").is_none().then_some(()));
    let metrics = host.console().get("/metrics");
    assert!(metrics.text().contains("host_demo_plugin_records_bytes{plugin=\"keeps\"} 17\n"), "{}", metrics.text());
    host.drop_plugin(artefacts().fixture("keeps"), "keeps.so");
    host.until_version("keeps", "1.0.0");
    kept_all(&host);

    host.crash_and_restart();
    kept_all(&host);
}

#[test]
fn a_record_goes_with_the_account_that_owns_it() {
    let host = host();
    host.add_user("alice");
    assert_eq!(put(&host, "hers/of/alice", "choice").0, 204);
    assert_eq!(put(&host, "nobodys", "choice").0, 204);
    let (status, told) = put(&host, "his/of/bob", "choice");
    assert_eq!((status, kept(&host, "his")), (409, None));
    assert!(told.contains("no account"), "{told}");
    host.command(&["user", "remove", "alice@localhost"]).succeeds();
    host.add_user("alice");
    assert_eq!((kept(&host, "hers"), kept(&host, "nobodys").as_deref()), (None, Some("choice")));
}
