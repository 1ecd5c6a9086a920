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

use crate::{
    artefacts::{artefacts, cargo},
    host::Host,
};

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

/// Memory that is counted by the piece, from the start on.
const COUNTING: &[Change<'_>] = &[
    Change {
        file: "src/memory.rs",
        from: "        count(bytes);\n",
        until: "    }\n    memory\n}",
        new: "        let _ = bytes;\n        count(1);\n",
    },
    Change {
        file: "src/memory.rs",
        from: "        count(-(layout.size() as isize));\n",
        until: "        // SAFETY: the caller keeps the promises of `dealloc`;",
        new: "",
    },
];

/// The presence service, which says how often it has allocated where it says how much memory it has.
pub fn counting_presence() -> PathBuf {
    let (name, folder) = ("counting", workspace("counting"));
    write_root(&folder, name, "presence");
    copy(&Path::new(WORKSPACE).join("plugin-api"), &folder.join(api(name)), COUNTING);
    // Under a name of its own: what is built of it lies beside ours.
    let renamed =
        Change { file: "Cargo.toml", from: "presence-plugin", until: "\"\ndescription", new: "presence-counts" };
    copy(&Path::new(WORKSPACE).join("presence-plugin"), &folder.join("presence"), &[renamed]);
    build(name, &folder);
    artefacts().host.with_file_name("libpresence_counts.so")
}

/// What [`counting_presence`] says: how often it has allocated so far.
#[track_caller]
pub fn counted(host: &Host) -> u64 {
    host.memory_of("presence").expect("the console tells of the plugin's memory")
}

/// A plugin that was built before today's interfaces.
pub fn older(plugin: &str) -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    library(BUILT.get_or_init(|| examples("older", OLDER, &["older"])), plugin)
}

/// A plugin that was built after them.
pub fn newer(plugin: &str) -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let plugins = ["needs_echo", "wants_echo", "counts_presence"];
    library(BUILT.get_or_init(|| examples("newer", NEWER, &plugins)), plugin)
}

fn library(folder: &Path, plugin: &str) -> PathBuf {
    folder.join(format!("lib{plugin}.so"))
}

/// Builds these plugins against a changed copy of plugin-api. Returns the folder where they are.
fn examples(name: &str, changes: &[Change<'_>], plugins: &[&str]) -> PathBuf {
    let (ours, folder) = (Path::new(WORKSPACE), workspace(name));
    write_root(&folder, name, "plugins");
    copy(&ours.join("plugin-api"), &folder.join(api(name)), changes);
    put(
        &folder.join(api(name)).join("src/abi/host_echo.rs"),
        read(&ours.join("tests/fixtures/evolution/host_echo.rs")),
    );
    let mut package =
        format!("[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[lib]\npath = \"lib.rs\"\n");
    package += "[dependencies]\nplugin-api.workspace = true\n";
    for plugin in plugins {
        let source = ours.join("tests/fixtures/evolution").join(plugin).with_extension("rs");
        package += &format!("[[example]]\nname = \"{plugin}\"\npath = {source:?}\ncrate-type = [\"cdylib\"]\n");
    }
    put(&folder.join("plugins/Cargo.toml"), &package);
    put(&folder.join("plugins/lib.rs"), "");
    build(name, &folder);
    artefacts().host.with_file_name("examples")
}

/// Where everything else was built to, and has been by now: two cargos at a time would wait for each other.
fn target() -> (&'static Path, &'static str) {
    let profile = artefacts().host.parent().expect("the host is in target/<profile>");
    let target = profile.parent().expect("the profile's folder is in target");
    (target, if profile.ends_with("debug") { "dev" } else { "release" })
}

fn workspace(name: &str) -> PathBuf {
    target().0.join("other-times").join(name)
}

/// The folder of the changed plugin-api. Under a name of its own: cargo tells packages in one target folder apart by their places within their
/// workspaces.
fn api(name: &str) -> String {
    format!("plugin-api-{name}")
}

/// Builds a workspace into the target folder of ours.
fn build(name: &str, folder: &Path) {
    let (target, profile) = target();
    let output = cargo()
        .args(["build", "--offline", "--lib", "--examples", "--quiet", "--profile", profile, "--target-dir"])
        .arg(target)
        .current_dir(folder)
        .output()
        .expect("cargo starts");
    assert!(output.status.success(), "{name} does not build:\n{}", String::from_utf8_lossy(&output.stderr));
}

/// The manifest of a workspace of a changed plugin-api and of `member`, with the profiles and the versions of dependencies of ours.
fn write_root(folder: &Path, name: &str, member: &str) {
    let (ours, api) = (Path::new(WORKSPACE), api(name));
    let members = format!("[workspace]\nresolver = \"3\"\nmembers = [\"{api}\", \"{member}\"]\n");
    let manifest =
        read(&ours.join("Cargo.toml")).replace("{ path = \"plugin-api\" }", &format!("{{ path = \"{api}\" }}"));
    let members = Change { file: "Cargo.toml", from: "[workspace]", until: "\n[workspace.package]", new: &members };
    put(&folder.join("Cargo.toml"), members.apply(&manifest));
    put(&folder.join("Cargo.lock"), read(&ours.join("Cargo.lock")));
}

/// Copies a package, with changes.
fn copy(from: &Path, to: &Path, changes: &[Change<'_>]) {
    let (mut places, mut changed) = (vec![PathBuf::new()], 0);
    while let Some(place) = places.pop() {
        if from.join(&place).is_dir() {
            let entries = fs::read_dir(from.join(&place)).expect("a package of ours can be read");
            places.extend(entries.map(|entry| place.join(entry.expect("it can be read").file_name())));
            continue;
        }
        let here: Vec<_> = changes.iter().filter(|change| Path::new(change.file) == place).collect();
        changed += here.len();
        if here.is_empty() {
            put(&to.join(&place), fs::read(from.join(&place)).expect("a package of ours can be read"));
        } else {
            put(&to.join(&place), here.iter().fold(read(&from.join(&place)), |text, change| change.apply(&text)));
        }
    }
    assert_eq!(changed, changes.len(), "a file that is to be changed is not there");
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
fn put(path: &Path, content: impl AsRef<[u8]>) {
    let is_same = fs::read(path).is_ok_and(|held| held == content.as_ref());
    if !is_same {
        let written =
            fs::create_dir_all(path.parent().expect("it is in a folder")).and_then(|()| fs::write(path, content));
        written.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }
}
