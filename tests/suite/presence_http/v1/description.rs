//! `/plugins/presence/openapi.json` is true: schemathesis, from the Python of `VENV_PYTHON`, asks what it says can be asked, and what it says
//! can't, and compares. `make test` installs it; without it this test says that it was skipped.

use std::{collections::BTreeSet, path::Path, process::Command};

use serde_json::Value;
use tests::skip::skipped;

use super::{open_host, show};

const DESCRIPTION: &str = "/plugins/presence/openapi.json";
/// What nobody but a page of this server asks for.
const INTERNAL: [&str; 3] = ["/example", "/page.js", "/page.css"];
/// Streams have no end that a test could wait for.
const ENDLESS: &str = "events";

/// A Python that has schemathesis.
fn python() -> Option<String> {
    let python = std::env::var("VENV_PYTHON").ok().filter(|python| !python.is_empty())?;
    let found = Command::new(&python).args(["-c", "import schemathesis"]).output().ok()?;
    found.status.success().then_some(python)
}

#[test]
fn schemathesis_finds_no_difference() {
    let Some(python) = python() else {
        return skipped("openapi.json against the service", "it needs schemathesis (`make test` installs it)");
    };
    let host = open_host();
    let mut alice = host.new_user("alice");
    show(&mut alice, "away", "Lunch");
    let address = format!("http://{}{DESCRIPTION}", host.process().ready().http);
    let settings = Path::new(env!("CARGO_MANIFEST_DIR")).join("schemathesis.toml");
    let mut command = Command::new(python);
    command.args(["-m", "schemathesis.cli", "--config-file"]).arg(settings).args(["run", &address]);
    command.args(["--max-examples=10", "--generation-deterministic", "--no-color", "--exclude-path-regex", ENDLESS]);
    // It keeps what it found in the folder in which it runs.
    let output = command.current_dir(host.folder()).output().expect("Python starts");
    let told = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && told.contains(" generated, "), "{told}");
}

/// Every route is described, and every description has its route.
#[test]
fn all_routes_are_described() {
    let host = open_host();
    let description = host.http().get(DESCRIPTION);
    assert_eq!((description.status, description.header("content-type")), (200, Some("application/json")));
    assert_eq!(description.header("access-control-allow-origin"), Some("*"));
    let held = host.http().request("GET", DESCRIPTION, &[("If-None-Match", description.header("etag").unwrap())]);
    assert_eq!((held.status, held.body.len()), (304, 0));
    let document: Value = serde_json::from_str(description.text()).expect("JSON");
    let described: BTreeSet<String> = document["paths"].as_object().unwrap().keys().map(|path| pattern(path)).collect();
    let plugin = host.until_deployed("the service", |plugin| plugin.text("state") == "active");
    let routes = plugin.field("routes").as_array().expect("a list").clone();
    let routes: BTreeSet<String> = routes.iter().filter_map(|route| routed(route.as_str().expect("a text"))).collect();
    assert_eq!(described, routes, "openapi.json has to be kept true");
}

/// What is described of other methods is what they are told: in which form, and with which methods there are.
#[test]
fn other_methods_are_refused_as_described() {
    let host = open_host();
    let document: Value = serde_json::from_str(host.http().get(DESCRIPTION).text()).expect("JSON");
    for (path, operations) in document["paths"].as_object().unwrap() {
        let target = path.replace("{jid}", "alice@localhost").replace("{id}", "x").replace("{state}", "away");
        let answer = host.http().request("DELETE", &format!("/plugins/presence{target}"), &[]);
        let (form, allowed) = (answer.header("content-type").unwrap(), answer.header("allow").unwrap());
        assert_eq!(answer.status, 405, "{path}");
        for (method, operation) in operations.as_object().unwrap() {
            assert!(allowed.split(", ").any(|known| known.eq_ignore_ascii_case(method)), "{path}: {allowed}");
            let response = referred(&document, &operation["responses"]["405"]);
            assert!(
                response["content"][form].is_object() && response["headers"]["Allow"].is_object(),
                "{method} {path}"
            );
        }
    }
}

/// An address that is too long for a stream to keep is told so as described, whether it names users or is an unlisted one.
#[test]
fn too_long_an_address_is_refused_as_described() {
    let host = open_host();
    let document: Value = serde_json::from_str(host.http().get(DESCRIPTION).text()).expect("JSON");
    let long = "a".repeat(9_000);
    for path in ["/v1/users/{jid}/events", "/v1/u/{id}/events", "/v1/events"] {
        let target = format!("{path}?jid={long}").replace("{jid}", &long).replace("{id}", &long);
        let answer = host.http().get(&format!("/plugins/presence{target}"));
        let response = referred(&document, &document["paths"][path]["get"]["responses"][answer.status.to_string()]);
        let form = answer.header("content-type").expect("a type");
        assert!(answer.status == 413 && response["content"][form].is_object(), "{path}: {answer:?}");
    }
}

/// What a reference within the document stands for.
fn referred<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    let target = value["$ref"].as_str().and_then(|target| target.strip_prefix('#'));
    target.and_then(|target| document.pointer(target)).unwrap_or(value)
}

/// A path as the routes have it: a suffix is part of the name there.
fn pattern(path: &str) -> String {
    match path.rsplit_once('.') {
        Some((path, _)) if path.starts_with("/v1/icons/") => format!("{path}.{{format}}"),
        Some((path, _)) if path.ends_with('}') => path.to_owned(),
        Some((path, _)) if path.ends_with("icon") || path.ends_with("badge") => format!("{path}.{{format}}"),
        _ => path.to_owned(),
    }
}

/// The path of a route, without what is not described.
fn routed(route: &str) -> Option<String> {
    let path = route.rsplit(' ').next()?.strip_prefix("/plugins/presence")?;
    let is_described = !INTERNAL.contains(&path) && !path.contains(".*");
    is_described.then(|| path.to_owned())
}
