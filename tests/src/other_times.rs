//! Plugins of other times: built for real against plugin-api as it may have been, and as it may become.
//!
//! The sources of today's plugin-api are copied below the target folder and changed there, and the plugins of `fixtures/evolution/` are built
//! against the copy, by the same cargo into the same target folder, so that what both depend on is shared. No older release exists yet
//! whose binaries could be kept instead.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use crate::artefacts::{artefacts, cargo};

const WORKSPACE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// A change of one file of plugin-api: what stands there, from the one text to right before the other, gives way to a third.
struct Change<'a> {
    file: &'a str,
    from: &'a str,
    until: &'a str,
    new: &'a str,
}

/// `host.settings/1` as it was before settings had versions: without the functions that were added behind its mark.
const OLDER: &[Change<'_>] = &[
    Change {
        file: "src/abi/host_settings.rs",
        from: "    /// Whether the values that were set are of an older version",
        until: "}\n\nimpl Table for HostSettingsRef",
        new: "",
    },
    Change {
        file: "src/host.rs",
        from: "    /// The version of the settings that are to be migrated",
        until: "    /// The value of a setting that the plugin declared",
        new: "",
    },
    Change { file: "src/export.rs", from: "    migrate_settings::<P>(host)?;\n", until: "    let mut routes", new: "" },
    Change {
        file: "src/export.rs",
        from: "/// Has the plugin move the values that were set",
        until: "extern \"C\" fn query<P",
        new: "",
    },
];

/// `host.echo/1`, and `host.presence/1` with a function more.
const NEWER: &[Change<'_>] = &[
    Change { file: "src/abi/mod.rs", from: "", until: "pub mod host_log;", new: "pub mod host_echo;\n" },
    Change {
        file: "src/export.rs",
        from: "",
        until: "    (data) => {",
        new: "    (echo) => {\n        \"host.echo/1\"\n    };\n",
    },
    Change {
        file: "src/host.rs",
        from: "",
        until: "        host_http::HostHttpRef,",
        new: "        host_echo::HostEchoRef,\n",
    },
    Change {
        file: "src/host.rs",
        from: "",
        until: "    data: Option<HostDataRef>,",
        new: "    echo: Option<HostEchoRef>,\n",
    },
    Change { file: "src/host.rs", from: "", until: " };\n        if TABLES", new: ", echo: query.ask()" },
    Change {
        file: "src/host.rs",
        from: "",
        until: "    /// The domain that this server serves.",
        new: "    /// The same text.
    pub fn echo(self, text: &str) -> Result<String> {
        let mut out = RString::new();
        done(self.need(self.0.echo)?.echo()(self.0.context, text.into(), &mut out))?;
        Ok(out.into())
    }

",
    },
    // As for host_settings: abi_stable's accessors. In two parts, because .ci/arrows looks for it.
    Change {
        file: "src/abi/mod.rs",
        from: "",
        until: "pub mod host_presence;",
        new: concat!("#[allow(", "unsafe_code)]\n"),
    },
    Change {
        file: "src/abi/host_presence.rs",
        from: "",
        until: "}\n\nimpl Table for HostPresenceRef",
        new: "    /// How many are online.\n    pub count: extern \"C\" fn(HostContext) -> u64,\n",
    },
];

/// A plugin that was built before today's interfaces.
pub fn older(plugin: &str) -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    library(BUILT.get_or_init(|| build("older", OLDER, &["older"])), plugin)
}

/// A plugin that was built after them.
pub fn newer(plugin: &str) -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let plugins = ["needs_echo", "wants_echo", "counts_presence"];
    library(BUILT.get_or_init(|| build("newer", NEWER, &plugins)), plugin)
}

fn library(folder: &Path, plugin: &str) -> PathBuf {
    folder.join(format!("lib{plugin}.so"))
}

/// Builds these plugins against a changed copy of plugin-api. Returns the folder where they are.
fn build(name: &str, changes: &[Change<'_>], plugins: &[&str]) -> PathBuf {
    // Where everything else was built to, and has been by now: two cargos at a time would wait for each other.
    let profile = artefacts().host.parent().expect("the host is in target/<profile>");
    let target = profile.parent().expect("the profile's folder is in target");
    let folder = target.join("other-times").join(name);
    write_workspace(&folder, name, changes, plugins);
    let profile = if profile.ends_with("debug") { "dev" } else { "release" };
    let output = cargo()
        .args(["build", "--offline", "--lib", "--examples", "--quiet", "--profile", profile, "--target-dir"])
        .arg(target)
        .current_dir(&folder)
        .output()
        .expect("cargo starts");
    assert!(output.status.success(), "{name} does not build:\n{}", String::from_utf8_lossy(&output.stderr));
    artefacts().host.with_file_name("examples")
}

/// A workspace of the changed plugin-api and the plugins, with the profiles and the versions of dependencies of ours.
fn write_workspace(folder: &Path, name: &str, changes: &[Change<'_>], plugins: &[&str]) {
    let ours = Path::new(WORKSPACE);
    // Under a name of its own: cargo tells packages in one target folder apart by their places within their workspaces.
    let api = format!("plugin-api-{name}");
    let members = format!("[workspace]\nresolver = \"3\"\nmembers = [\"{api}\", \"plugins\"]\n");
    let manifest =
        read(&ours.join("Cargo.toml")).replace("{ path = \"plugin-api\" }", &format!("{{ path = \"{api}\" }}"));
    let members = Change { file: "Cargo.toml", from: "[workspace]", until: "\n[workspace.package]", new: &members };
    put(&folder.join("Cargo.toml"), &members.apply(&manifest));
    put(&folder.join("Cargo.lock"), &read(&ours.join("Cargo.lock")));
    let api = folder.join(api);
    copy_sources(&ours.join("plugin-api"), &api, changes);
    put(&api.join("src/abi/host_echo.rs"), &read(&ours.join("tests/fixtures/evolution/host_echo.rs")));
    let mut package =
        format!("[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[lib]\npath = \"lib.rs\"\n");
    package += "[dependencies]\nplugin-api.workspace = true\n";
    for plugin in plugins {
        let source = ours.join("tests/fixtures/evolution").join(plugin).with_extension("rs");
        package += &format!("[[example]]\nname = \"{plugin}\"\npath = {source:?}\ncrate-type = [\"cdylib\"]\n");
    }
    put(&folder.join("plugins/Cargo.toml"), &package);
    put(&folder.join("plugins/lib.rs"), "");
}

fn copy_sources(from: &Path, to: &Path, changes: &[Change<'_>]) {
    let mut places = vec![PathBuf::from("Cargo.toml"), "build.rs".into(), "src".into()];
    let mut changed = 0;
    while let Some(place) = places.pop() {
        if from.join(&place).is_dir() {
            let entries = fs::read_dir(from.join(&place)).expect("plugin-api can be read");
            places.extend(entries.map(|entry| place.join(entry.expect("plugin-api can be read").file_name())));
            continue;
        }
        let mut text = read(&from.join(&place));
        for change in changes.iter().filter(|change| Path::new(change.file) == place) {
            text = change.apply(&text);
            changed += 1;
        }
        put(&to.join(&place), &text);
    }
    assert_eq!(changed, changes.len(), "a file that is to be changed is not in plugin-api");
}

impl Change<'_> {
    #[track_caller]
    fn apply(&self, text: &str) -> String {
        let Change { file, from, until, new } = self;
        let place = |part: &str| {
            let places: Vec<_> = text.match_indices(part).map(|(place, _)| place).collect();
            assert_eq!(
                places.len(),
                1,
                "{file} is to be changed at {part:?}: adapt other_times.rs to what stands there now"
            );
            places[0]
        };
        let end = place(until);
        let start = if from.is_empty() { end } else { place(from) };
        assert!(start <= end, "{file}: {until:?} stands before {from:?}");
        format!("{}{new}{}", &text[..start], &text[end..])
    }
}

#[track_caller]
fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Writes a file, unless that is what it holds: cargo would build it again. Its own changes of the lock file are left alone too.
#[track_caller]
fn put(path: &Path, text: &str) {
    let is_same = fs::read_to_string(path).is_ok_and(|held| held == text);
    if !is_same {
        let written =
            fs::create_dir_all(path.parent().expect("it is in a folder")).and_then(|()| fs::write(path, text));
        written.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }
}
