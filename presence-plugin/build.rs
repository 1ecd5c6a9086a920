//! How the library is linked.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // Each segment on pages of its own: a version that was replaced keeps every page that it wrote to, and its few variables would
    // otherwise begin at the end of one and end at the beginning of the next. A linker that does not know the option says so, and links.
    println!("cargo::rustc-cdylib-link-arg=-Wl,-z,separate-loadable-segments");
}
