//! Records the compiler and the target, for the manifest of every plugin built with this crate.

use std::{env, process::Command};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-env=PLUGIN_TARGET={}", env::var("TARGET").unwrap_or_default());
    println!("cargo::rustc-env=PLUGIN_RUSTC={}", rustc_version().unwrap_or_else(|| "unknown".into()));
}

fn rustc_version() -> Option<String> {
    let output = Command::new(env::var_os("RUSTC")?).arg("--version").output().ok()?;
    let line = String::from_utf8(output.stdout).ok()?;
    line.split_whitespace().nth(1).map(Into::into)
}
