//! The judgement on a file's bytes before any of its code runs: a whole library for this machine, with a manifest that
//! this host can satisfy.

use std::{fs::File, io::Read, os::unix::fs::OpenOptionsExt, path::Path};

use plugin_api::manifest::Manifest;

use super::{
    digest::Digest,
    elf::Library,
    refusal::Refusal,
    stamp::Stamp,
    version::Version,
    vouch::{self, SIGNATURE_LIMIT, SIGNATURE_SUFFIX, Voucher, Vouching},
};
use crate::plugin::callbacks;

/// The largest file that is taken, if the configuration names no other: 64 MiB.
pub const DEFAULT_LIMIT: u64 = 64 << 20;

/// What this host offers to plugins.
#[derive(Clone, Debug)]
pub struct Offer {
    /// Its own version: `0.1.0`.
    pub version: &'static str,
    /// The version of the ABI that it speaks: `0.1`.
    pub abi: &'static str,
    /// The ids of its interfaces: `host.presence/1`.
    pub interfaces: &'static [&'static str],
}

/// What `plugin inspect` shows of a file.
#[derive(Clone, Debug)]
pub struct Inspection {
    /// What the plugin says of itself.
    pub manifest: Manifest,
    /// The hash of the file.
    pub sha256: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// What there is to say of its signature.
    pub signature: String,
    /// Whether this host would take it, as far as can be told without running it.
    pub verdict: Result<(), Refusal>,
}

/// Reads the manifest of a library.
///
/// # Errors
/// The bytes are no whole library for this machine, or hold no manifest that can be understood.
pub fn manifest(bytes: &[u8]) -> Result<Manifest, Refusal> {
    let library = Library::check(bytes)?;
    let note = library.manifest_note().ok_or(Refusal::NoManifest)?;
    let manifest = Manifest::parse(note).map_err(|cause| Refusal::Manifest(cause.to_string()))?;
    check_printable(&manifest)?;
    Ok(manifest)
}

impl Offer {
    /// What this very program offers.
    pub fn of_this_host() -> Offer {
        Offer { version: env!("CARGO_PKG_VERSION"), abi: plugin_api::abi::VERSION, interfaces: &callbacks::OFFERED }
    }

    /// Compares what a plugin was built for and needs with what there is.
    ///
    /// # Errors
    /// What does not fit, both sides named.
    pub fn satisfies(&self, manifest: &Manifest) -> Result<(), Refusal> {
        if !same_line(&manifest.abi, self.abi) {
            return Err(Refusal::Abi { plugin: manifest.abi.clone(), host: self.abi.into() });
        }
        if let Some(lowest) = manifest.min_host.as_ref().filter(|lowest| !is_at_least(self.version, lowest)) {
            return Err(Refusal::OlderHost { lowest: lowest.clone(), host: self.version.into() });
        }
        let lacks = |need: &&String| !self.interfaces.contains(&need.as_str());
        let missing: Vec<_> = manifest.needs.iter().filter(lacks).cloned().collect();
        if missing.is_empty() {
            return Ok(());
        }
        Err(Refusal::Needs { missing, offered: self.interfaces.iter().map(|id| id.to_string()).collect() })
    }
}

/// Looks at a file anywhere on this machine, and at the signature beside it, without loading it.
///
/// # Errors
/// It can't be read, or is no plugin.
pub fn inspect(path: &Path, vouching: &Vouching) -> Result<Inspection, Refusal> {
    let bytes = read_regular(path, DEFAULT_LIMIT)?;
    let (manifest, sha256) = (manifest(&bytes)?, Digest::of(&bytes));
    let signature = signature_beside(path);
    let judged = signature
        .clone()
        .and_then(|signature| vouching.judge(&manifest, sha256, &bytes, signature.as_deref()))
        .and_then(|voucher| Offer::of_this_host().satisfies(&manifest).map(|()| voucher));
    let signature = match (&judged, signature.ok().flatten()) {
        (Ok(voucher @ (Voucher::Key { .. } | Voucher::Pin)), _) => voucher.to_string(),
        (Ok(Voucher::Doubt(doubt)), _) => format!("{}{doubt}", Voucher::TAKEN),
        (_, None) => "none".into(),
        (_, Some(text)) => vouch::claims(&text).map_or_else(
            || "unreadable".into(),
            |(key, comment)| format!("not verified, claims to be by key {key}: {comment}"),
        ),
    };
    let (size, verdict) = (bytes.len() as u64, judged.map(drop));
    Ok(Inspection { manifest, sha256, size, signature, verdict })
}

fn signature_beside(path: &Path) -> Result<Option<String>, Refusal> {
    let mut name = path.as_os_str().to_owned();
    name.push(SIGNATURE_SUFFIX);
    if !Path::new(&name).exists() {
        return Ok(None);
    }
    let bytes =
        read_regular(Path::new(&name), SIGNATURE_LIMIT).map_err(|cause| Refusal::Signature(cause.to_string()))?;
    String::from_utf8(bytes).map(Some).map_err(|cause| Refusal::Signature(cause.to_string()))
}

/// Before 1.0 a minor version breaks as a major one does later.
fn same_line(one: &str, other: &str) -> bool {
    let line = |version: &str| {
        let (major, rest) = version.split_once('.').unwrap_or((version, ""));
        let minor = rest.split('.').next().unwrap_or_default();
        if major == "0" { format!("0.{minor}") } else { major.to_owned() }
    };
    line(one) == line(other)
}

fn is_at_least(version: &str, lowest: &str) -> bool {
    let parse = str::parse::<Version>;
    matches!((parse(version), parse(lowest)), (Ok(version), Ok(lowest)) if version >= lowest)
}

/// What is shown in logs and lists must not move a cursor or end a line.
fn check_printable(manifest: &Manifest) -> Result<(), Refusal> {
    let Manifest { id, version, name, description, authors, license, abi, needs, wants, target, rustc, .. } = manifest;
    let texts = [id, version, name, description, authors, license, abi, target, rustc];
    match texts.into_iter().chain(needs).chain(wants).find(|text| text.chars().any(char::is_control)) {
        Some(text) => Err(Refusal::Manifest(format!("{text:?} holds a control character"))),
        None => Ok(()),
    }
}

fn read_regular(path: &Path, limit: u64) -> Result<Vec<u8>, Refusal> {
    let unreadable = |cause: std::io::Error| Refusal::Unreadable(format!("{}: {cause}", path.display()));
    // A pipe must not hold us up.
    let file = File::options().read(true).custom_flags(libc::O_NONBLOCK).open(path).map_err(unreadable)?;
    let stamp = Stamp::of(&file).map_err(unreadable)?;
    if let Some(kind) = stamp.odd_kind() {
        return Err(Refusal::NotAFile(kind));
    }
    if stamp.size > limit {
        return Err(Refusal::TooLarge { size: stamp.size, limit });
    }
    let mut bytes = Vec::with_capacity(stamp.size as usize);
    file.take(limit).read_to_end(&mut bytes).map_err(unreadable)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::{
        super::{
            elf::tests::{plugin_bytes, real_library},
            refusal::Kind,
        },
        *,
    };

    const OFFER: Offer = Offer { version: "0.9.2", abi: "0.1", interfaces: &["host.log/1", "host.presence/1"] };

    fn claiming(abi: &str, needs: &str) -> Manifest {
        let text = format!("id=hello\nversion=1.0.0\nabi={abi}\ntarget=t\nneeds={needs}\n");
        manifest(&plugin_bytes(&text)).unwrap()
    }

    #[test]
    fn a_plugin_that_fits_is_satisfied() {
        assert_eq!(OFFER.satisfies(&claiming("0.1", "host.log/1")), Ok(()));
        assert_eq!(OFFER.satisfies(&claiming("0.1.7", "")), Ok(()));
    }

    #[test]
    fn another_abi_is_refused_with_both_sides() {
        let refusal = OFFER.satisfies(&claiming("0.2", "")).unwrap_err();
        assert_eq!(refusal.to_string(), "built for plugin ABI 0.2, this host speaks 0.1: get a build for ABI 0.1");
        assert!(same_line("1.0", "1.9"));
        assert!(!same_line("1.0", "2.0"));
        assert!(!same_line("99", "0.1"));
    }

    #[test]
    fn a_host_that_is_too_old_says_so_with_both_versions() {
        let wanting = |lowest: &str| claiming(&format!("0.1\nmin_host={lowest}"), "");
        for fits in ["0.9.2", "0.9", "0.8.99", "0"] {
            assert_eq!(OFFER.satisfies(&wanting(fits)), Ok(()), "{fits}");
        }
        for later in ["0.9.3", "0.10", "0.10.0", "1"] {
            let refusal = OFFER.satisfies(&wanting(later)).unwrap_err().to_string();
            let both = format!("needs version {later} of this host or later, this is 0.9.2: ");
            assert!(refusal.starts_with(&both), "{refusal}");
        }
        assert!(Offer::of_this_host().version.parse::<Version>().is_ok());
    }

    #[test]
    fn a_missing_interface_is_refused_with_both_sides() {
        let refusal = OFFER.satisfies(&claiming("0.1", "host.log/1,host.video/3")).unwrap_err();
        assert!(refusal.to_string().starts_with("needs host.video/3, which this host does not offer"));
        assert!(refusal.to_string().contains("host.log/1, host.presence/1"));
    }

    #[test]
    fn a_library_without_a_manifest_is_no_plugin() {
        assert_eq!(manifest(real_library()).unwrap_err(), Refusal::NoManifest);
        let bad = manifest(&plugin_bytes("id=Hello World\nversion=1\nabi=0.1\ntarget=t\n")).unwrap_err();
        assert!(matches!(bad, Refusal::Manifest(_)));
        let escape = manifest(&plugin_bytes("id=hello\nversion=1\x1b[2J\nabi=0.1\ntarget=t\n")).unwrap_err();
        assert!(matches!(escape, Refusal::Manifest(cause) if cause.contains("control character")));
    }

    #[test]
    fn inspecting_reads_and_does_not_block() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hello");
        let bytes = plugin_bytes("id=hello\nversion=1.0.0\nabi=9\ntarget=t\n");
        std::fs::write(&path, &bytes).unwrap();
        let inspect = |path: &Path| inspect(path, &Vouching::default());
        let inspection = inspect(&path).unwrap();
        assert_eq!((inspection.manifest.id.as_str(), inspection.size), ("hello", bytes.len() as u64));
        assert!(matches!(inspection.verdict, Err(Refusal::Abi { .. })));

        let pipe = folder.path().join("pipe");
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, mode, 0).unwrap();
        assert_eq!(inspect(&pipe).unwrap_err(), Refusal::NotAFile(Kind::Pipe));
        assert!(matches!(inspect(&folder.path().join("none")), Err(Refusal::Unreadable(_))));
    }
}
