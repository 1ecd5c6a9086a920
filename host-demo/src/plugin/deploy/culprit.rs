//! What a run that died has left behind: the breadcrumb that [`crash`](crate::plugin::crash) writes. Read at the next
//! start: told, kept in the store, and held against the content that did it, which is not tried a third time.

use std::{
    collections::HashMap,
    fmt,
    fs::{self, OpenOptions},
    io,
    os::{fd::OwnedFd, unix::fs::OpenOptionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use jiff::Timestamp;

use super::{digest::Digest, probe::signal_name, staged, status::Subject};
use crate::{
    plugin::{crash, shown},
    store::{Crash, Quarantined, Store, StoreError},
};

/// The file within the state folder.
const FILE: &str = "crash";
/// So many crashes of one content ...
const TOO_MANY: usize = 2;
/// ... in this time, and it is not tried again.
const PERIOD: Duration = Duration::from_secs(3600);

/// The breadcrumb of this run, if there could be one.
pub struct Breadcrumb {
    laid: Option<PathBuf>,
}

/// How a run died, and of what.
#[derive(Debug, PartialEq, Eq)]
struct Death {
    how: String,
    culprit: Option<Culprit>,
    at: Timestamp,
}

#[derive(Debug, PartialEq, Eq)]
struct Culprit {
    plugin: String,
    version: String,
    digest: Digest,
    route: Option<String>,
}

impl Breadcrumb {
    /// Looks at how the last run ended, and lays a breadcrumb for this one. Once a process, before any plugin runs.
    ///
    /// Where that fails, which is logged, the server serves all the same. What the last run has left stays for the next
    /// start, and this run leaves nothing.
    pub async fn lay(state: &Path, store: &Store) -> Breadcrumb {
        let path = state.join(FILE);
        let laid = match account_for(&path, store).await {
            Ok(()) => open(&path),
            Err(cause) => Err(cause),
        };
        match laid {
            Ok(crumb) => {
                crash::arm(crumb);
                Breadcrumb { laid: Some(path) }
            }
            Err(cause) => {
                let path = path.display();
                log::error!("{path}: {cause}: if a plugin takes this server down in this run, nobody will know which");
                Breadcrumb { laid: None }
            }
        }
    }

    /// Takes it away: this run ends in order.
    pub fn take_up(self) {
        crash::disarm();
        let Some(path) = self.laid else { return };
        if let Err(cause) = fs::remove_file(&path) {
            log::debug!("{} can't be deleted: {cause}", path.display());
        }
    }
}

fn open(path: &Path) -> io::Result<OwnedFd> {
    let crumb = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
    crumb.set_len(0)?;
    Ok(crumb.into())
}

/// What can't be noted now stays where it is. Noted twice, it is still one crash.
async fn account_for(path: &Path, store: &Store) -> io::Result<()> {
    let Some(death) = Death::read(path)? else { return Ok(()) };
    call_to_account(&death, store).await.map_err(io::Error::other)
}

async fn call_to_account(death: &Death, store: &Store) -> Result<(), StoreError> {
    let Some(culprit) = &death.culprit else {
        log::error!("this server died in its last run: {}; of no plugin, as far as can be told", death.how);
        return Ok(());
    };
    let subject = Subject::plugin(&culprit.plugin, &culprit.version, culprit.digest);
    log::error!("{subject}: took this server down in its last run: {death}");
    let crash = culprit.record(death);
    let crashes = store.record_crash(&crash, PERIOD).await?;
    if crashes < TOO_MANY {
        return Ok(());
    }
    let reason = format!("took this server down {crashes} times within an hour, the last time by {death}");
    log::error!("{subject}: not tried again: {reason}");
    let Crash { sha256, plugin, at, .. } = crash;
    store.quarantine(&Quarantined { sha256, plugin, reason, since: at }).await
}

impl Death {
    fn read(path: &Path) -> io::Result<Option<Death>> {
        let (bytes, modified) = match fs::read(path) {
            Ok(bytes) => (bytes, fs::metadata(path)?.modified()?),
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(cause) => return Err(cause),
        };
        // The time of the file stands for the crash: accounted for twice, it is still the same one.
        let at = Timestamp::try_from(modified).unwrap_or_default();
        Ok(Death::parse(&String::from_utf8_lossy(&bytes), at))
    }

    /// Nothing was written unless the process died. The first line of a name counts: what names the plugin is the host's,
    /// and stands before what is the plugin's own.
    fn parse(text: &str, at: Timestamp) -> Option<Death> {
        let mut lines = HashMap::new();
        for (name, value) in text.lines().filter_map(|line| line.split_once('=')) {
            lines.entry(name).or_insert(value);
        }
        let how = match lines.get("signal").map(|number| number.parse()) {
            Some(Ok(signal)) => format!("signal {signal} ({})", signal_name(signal)),
            Some(Err(_)) => "a signal".into(),
            None => "a call of exit".into(),
        };
        let culprit = Culprit::parse(&lines);
        (!text.is_empty()).then_some(Death { how, culprit, at })
    }
}

impl Culprit {
    fn parse(lines: &HashMap<&str, &str>) -> Option<Culprit> {
        let text = |name: &str| lines.get(name).map(|value| shown::line(value));
        let digest = staged::digest_of(Path::new(lines.get("copy")?))?;
        Some(Culprit { plugin: text("plugin")?, version: text("version")?, digest, route: text("route") })
    }

    fn record(&self, death: &Death) -> Crash {
        Crash {
            sha256: self.digest.to_string(),
            plugin: self.plugin.clone(),
            version: self.version.clone(),
            how: death.to_string(),
            at: death.at.as_millisecond(),
        }
    }
}

impl fmt::Display for Death {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.how)?;
        let route = self.culprit.as_ref().and_then(|culprit| culprit.route.as_ref());
        route.iter().try_for_each(|route| write!(f, " at {route}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crumb(content: &[u8], rest: &str) -> String {
        format!("signal=6\nplugin=hello\nversion=2.0.0\ncopy=hello-{}-7.so\n{rest}", Digest::of(content))
    }

    fn death(text: &str, minute: i64) -> Death {
        Death::parse(text, Timestamp::from_second(60 * minute).unwrap()).unwrap()
    }

    #[test]
    fn what_was_written_is_read() {
        let death = death(&crumb(b"a", "route=/plugins/hello/{user}\n"), 0);
        assert_eq!(death.to_string(), "signal 6 (SIGABRT, it aborted itself) at /plugins/hello/{user}");
        let culprit = death.culprit.unwrap();
        assert_eq!((culprit.plugin.as_str(), culprit.version.as_str()), ("hello", "2.0.0"));
        assert_eq!(culprit.digest, Digest::of(b"a"));
    }

    #[test]
    fn what_names_nobody_accuses_nobody() {
        assert_eq!(Death::parse("", Timestamp::UNIX_EPOCH), None);
        for text in ["signal=11\n", "signal=11\nplugin=hello\nvers", "signal=6\nplugin=a\nversion=1\ncopy=a.so\n"] {
            assert_eq!(death(text, 0).culprit, None, "{text:?}");
        }
        assert_eq!(death("exit=\n", 0).how, "a call of exit");
    }

    #[test]
    fn a_line_that_comes_twice_counts_as_it_came_first() {
        let forged = format!("route=/a\nplugin=other\ncopy=other-{}-1.so\n", Digest::of(b"b"));
        let culprit = death(&crumb(b"a", &forged), 0).culprit.unwrap();
        assert_eq!((culprit.plugin.as_str(), culprit.digest), ("hello", Digest::of(b"a")));
    }

    #[tokio::test]
    async fn what_can_not_be_noted_now_is_noted_at_the_next_start() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        fs::write(&path, crumb(b"a", "")).unwrap();
        let store = Store::open(folder.path()).unwrap();
        // As it is when the disk is full: no change is taken.
        store.close();
        let breadcrumb = Breadcrumb::lay(folder.path(), &store).await;
        assert_eq!(breadcrumb.laid, None);
        breadcrumb.take_up();
        drop(store);

        let store = Store::open(folder.path()).unwrap();
        for _ in 0..2 {
            account_for(&path, &store).await.unwrap();
        }
        let (first, later) = (Death::read(&path).unwrap().unwrap(), Duration::from_secs(60));
        let again = Death { at: first.at + later, ..first };
        assert_eq!(store.quarantined().unwrap(), []);
        call_to_account(&again, &store).await.unwrap();
        assert_eq!(store.quarantined().unwrap().len(), 1);
    }

    #[tokio::test]
    async fn the_second_crash_within_an_hour_is_one_too_many() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        for (content, minute) in [(b"a", 0), (b"b", 1), (b"a", 61)] {
            call_to_account(&death(&crumb(content, ""), minute), &store).await.unwrap();
            assert_eq!(store.quarantined().unwrap(), []);
        }
        // The same one again is the same one.
        call_to_account(&death(&crumb(b"a", ""), 61), &store).await.unwrap();
        assert_eq!(store.quarantined().unwrap(), []);
        call_to_account(&death(&crumb(b"a", ""), 120), &store).await.unwrap();
        let quarantined = store.quarantined().unwrap();
        assert_eq!(quarantined[0].sha256, Digest::of(b"a").to_string());
        assert!(
            quarantined[0].reason.starts_with("took this server down 2 times within an hour, the last time by sig")
        );
        // Another chance is a whole one.
        assert_eq!(store.release("hello").await.unwrap(), 1);
        call_to_account(&death(&crumb(b"a", ""), 121), &store).await.unwrap();
        assert_eq!(store.quarantined().unwrap(), []);
    }
}
