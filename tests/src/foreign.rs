//! Libraries made from C, for what a plugin in Rust can't do without unsafe code.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

/// Builds `fixtures/<name>.c` into a shared library in `folder`, with these macros defined.
#[track_caller]
pub fn library(name: &str, macros: &[(&str, &str)], folder: &Path) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name).with_extension("c");
    let library = folder.join(format!("{name}-built.so"));
    let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".into());
    let output = Command::new(compiler)
        .args(["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-pthread", "-o"])
        .args([&library, &source])
        .args(macros.iter().map(|(name, value)| format!("-D{name}={value}")))
        .output()
        .expect("a C compiler is there: the workspace needs one too");
    assert!(output.status.success(), "{}: {}", source.display(), String::from_utf8_lossy(&output.stderr));
    library
}

/// Builds a library with this manifest, in `folder`, whose initialiser adds its process to the file `marks` and then does `fault`,
/// a statement of C. It is a plugin by its manifest only.
#[track_caller]
pub fn marking(manifest: &str, fault: &str, marks: &Path, folder: &Path) -> PathBuf {
    let (manifest, marks) = (quoted(manifest), quoted(&marks.display().to_string()));
    library("constructor", &[("MANIFEST", &manifest), ("MARKS", &marks), ("FAULT", fault)], folder)
}

/// Text as a string of C.
pub fn quoted(text: &str) -> String {
    let escaped = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    format!("\"{escaped}\"")
}
