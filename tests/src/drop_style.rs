//! How a file gets into the drop folder: by the tools that people use.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::Path,
    process::{Command, Stdio},
};

/// Where another file system than that of temporary files is usually mounted.
const ELSEWHERE: &str = "/dev/shm";

/// A tool and the way it is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DropStyle {
    /// `cp`: truncates the file that is there and writes into it.
    Copy,
    /// `cat >`: as `cp`, in other portions.
    Cat,
    /// `install`: deletes, then writes a new file.
    Install,
    /// `mv` over it, from the same file system: one step.
    Move,
    /// `mv` from another file system: deletes, then writes a new file.
    MoveAcross,
    /// `cp --remove-destination`: deletes, then writes a new file.
    CopyRemoving,
    /// `dd`: as `cp`, in small portions.
    Dd,
    /// `rsync`: writes a hidden file, then moves it over.
    Rsync,
    /// `rsync --inplace`: changes the file that is there where it differs.
    RsyncInPlace,
    /// `scp` from one folder to another.
    Scp,
}

impl DropStyle {
    /// Every style.
    pub const ALL: [DropStyle; 10] = [
        DropStyle::Copy,
        DropStyle::Cat,
        DropStyle::Install,
        DropStyle::Move,
        DropStyle::MoveAcross,
        DropStyle::CopyRemoving,
        DropStyle::Dd,
        DropStyle::Rsync,
        DropStyle::RsyncInPlace,
        DropStyle::Scp,
    ];

    /// Puts the content of `file` at `target` by the real tool, which must be there: see [`missing`](DropStyle::missing).
    #[track_caller]
    pub fn drop(self, file: &Path, target: &Path) {
        let arriving = target.with_extension("arriving");
        let script = match self {
            DropStyle::Copy => r#"cp "$1" "$2""#,
            DropStyle::Cat => r#"cat "$1" > "$2""#,
            DropStyle::Install => r#"install -m 644 "$1" "$2""#,
            DropStyle::Move => r#"cp "$1" "$3" && mv "$3" "$2""#,
            DropStyle::MoveAcross => r#"far=$(mktemp -p "$4") && cp "$1" "$far" && mv "$far" "$2""#,
            DropStyle::CopyRemoving => r#"cp --remove-destination "$1" "$2""#,
            DropStyle::Dd => r#"dd if="$1" of="$2" bs=16k status=none"#,
            // Two builds may have the same size and be written within the same second: then rsync does nothing.
            DropStyle::Rsync => r#"rsync --ignore-times "$1" "$2""#,
            DropStyle::RsyncInPlace => r#"rsync --ignore-times --inplace "$1" "$2""#,
            DropStyle::Scp => r#"scp -q "$1" "$2""#,
        };
        let places = [file, target, &arriving, Path::new(ELSEWHERE)];
        let status = Command::new("sh").args(["-c", script, "sh"]).args(places).status();
        assert!(status.expect("sh starts").success(), "{self:?} of {} failed", file.display());
    }

    /// What this machine lacks for it, if anything.
    pub fn missing(self, target: &Path) -> Option<String> {
        let tool = match self {
            DropStyle::Rsync | DropStyle::RsyncInPlace => "rsync",
            DropStyle::Scp => "scp",
            DropStyle::MoveAcross => return same_file_system(target).then(|| "another file system".to_owned()),
            _ => return None,
        };
        let version = Command::new("sh").args(["-c", "command -v \"$1\"", "sh", tool]).stdout(Stdio::null()).status();
        (!version.expect("sh starts").success()).then(|| tool.to_owned())
    }
}

/// Whether there is no other file system to move a file from.
fn same_file_system(target: &Path) -> bool {
    let device = |path: &Path| fs::metadata(path).ok().map(|about| about.dev());
    let elsewhere = device(Path::new(ELSEWHERE));
    elsewhere.is_none() || elsewhere == target.parent().and_then(device)
}
