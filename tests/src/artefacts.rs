//! The things under test, as files: built by the same cargo that built the tests, once a run.

use std::{collections::BTreeMap, path::PathBuf, process::Command, sync::OnceLock};

use serde_json::Value;

/// Every file that the workspace builds and the tests use.
#[derive(Debug)]
pub struct Artefacts {
    /// The server, `host-demo`.
    pub host: PathBuf,
    /// The presence service, a plugin.
    pub presence: PathBuf,
    /// A program that measures the server's presence table and prints what it found.
    pub presence_table: PathBuf,
    fixtures: BTreeMap<String, PathBuf>,
}

impl Artefacts {
    /// The fixture plugin `name`, from `tests/fixtures/`.
    #[track_caller]
    pub fn fixture(&self, name: &str) -> &PathBuf {
        self.fixtures.get(name).unwrap_or_else(|| panic!("no fixture {name:?} among {:?}", self.fixtures.keys()))
    }
}

/// The files under test, up to date with the sources. The first caller builds them.
pub fn artefacts() -> &'static Artefacts {
    static BUILT: OnceLock<Artefacts> = OnceLock::new();
    BUILT.get_or_init(build)
}

/// The cargo that built the tests. What it says of this package to its tests is no business of another build: build scripts that look
/// at it would run again, and their packages compile again.
pub(crate) fn cargo() -> Command {
    let mut cargo = Command::new(env!("CARGO"));
    let of_package =
        |name: &str| ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_CRATE_"].iter().any(|own| name.starts_with(own));
    for (name, _) in std::env::vars().filter(|(name, _)| of_package(name)) {
        cargo.env_remove(name);
    }
    cargo
}

/// Builds the whole workspace: built alone, a package may get other features of its dependencies, and compile them again.
fn build() -> Artefacts {
    // As the tests themselves were built: the figures of a soak are those of a release.
    let profile = if cfg!(debug_assertions) { "dev" } else { "release" };
    let output = cargo()
        .args(["build", "--profile", profile, "--workspace", "--lib", "--bins", "--examples", "--quiet"])
        .args(["--message-format", "json-render-diagnostics"])
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .output()
        .expect("cargo starts");
    assert!(output.status.success(), "the workspace does not build:\n{}", String::from_utf8_lossy(&output.stderr));
    let messages = String::from_utf8(output.stdout).expect("cargo's messages are UTF-8");
    let mut built: BTreeMap<_, _> = messages.lines().filter_map(artefact).collect();
    let mut take = |kind: &str, name: &str| {
        let file = built.remove(&(kind.to_owned(), name.to_owned()));
        file.unwrap_or_else(|| panic!("cargo built no {kind} {name}"))
    };
    let (host, presence) = (take("bin", "host-demo"), take("cdylib", "presence_plugin"));
    let presence_table = take("example", "presence_table");
    let fixtures = built.into_iter().filter(|((kind, _), _)| kind == "example");
    let fixtures = fixtures.map(|((_, name), file)| (name, file)).collect();
    Artefacts { host, presence, presence_table, fixtures }
}

/// The kind, name and file of a message of cargo's, if it reports a finished artefact.
fn artefact(message: &str) -> Option<((String, String), PathBuf)> {
    let message: Value = serde_json::from_str(message).expect("cargo writes a JSON value a line");
    if message["reason"] != "compiler-artifact" {
        return None;
    }
    let target = &message["target"];
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let file = message["filenames"].as_array()?.iter().find_map(text)?;
    Some(((text(&target["kind"][0])?, text(&target["name"])?), file.into()))
}
