//! Notes for an administrator who has only the folder: `<name>.so.rejected.txt` beside a file that was not taken, there
//! for as long as the fault is.
//!
//! What should lie in the folder follows from the [`Books`], after every change of them. A task of its own brings the
//! folder to it off the reactor: a slow or hanging disk holds up a note, never the plugins.
//!
//! The folder may be in the hands of others, which is one of the things to write about. So every step is taken relative
//! to one descriptor of it, no link is followed, a note is written under a new name and moved into place whole, and what
//! does not begin with our mark is neither replaced nor deleted.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::{self, Read, Write},
    os::fd::OwnedFd,
};

use jiff::Timestamp;
use plugin_api::abi;
use rustix::{
    fs::{AtFlags, FileType, Mode, OFlags, RenameFlags},
    io::Errno,
};
use tokio::sync::watch;

use super::{
    books::{Books, File as Dropped},
    digest::Digest,
    folder::{DropFolder, FileName, Identity, NOTE_IN_THE_MAKING, NOTE_SUFFIX},
    refusal::{Fault, Refusal},
    travel::Refused,
};
use crate::plugin::shown;

/// How every note begins, and by which it is known as ours.
const MARK: &str = "Written by host-demo, and deleted by it when there is nothing left to say.\n";

/// What should lie in the folder, by the name of the file that it is about.
pub type Notices = BTreeMap<FileName, Notice>;

/// What is said of one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    why: String,
    next: String,
    since: Timestamp,
    version: Option<String>,
    digest: Option<Digest>,
    serves: String,
}

impl Books {
    /// What is to be said of the files in the folder that are not taken.
    pub fn notices(&self) -> Notices {
        let refused = self.files.iter().filter_map(|(name, file)| Some((name, file, file.refused.as_ref()?)));
        refused.map(|(name, file, refused)| (name.clone(), self.notice(name, file, refused))).collect()
    }

    fn notice(&self, name: &FileName, file: &Dropped, refused: &Refused) -> Notice {
        let serving = file.claims.as_ref().and_then(|id| self.plugins.get(id)?.serving.as_ref());
        let serves = serving.or_else(|| self.served_from(name).map(|(_, serving)| serving)).map(|serving| {
            let manifest = serving.generation.manifest();
            format!("{} {}", manifest.id, manifest.version)
        });
        Notice {
            why: shown::escaped(&refused.refusal.to_string()),
            next: next_step(&refused.refusal, name, file.claims.as_deref(), serves.is_some()),
            since: refused.since,
            version: refused.version.clone(),
            digest: refused.digest,
            serves: serves.map_or_else(|| "nothing of this plugin".into(), |version| format!("{version} goes on")),
        }
    }
}

fn next_step(refusal: &Refusal, name: &FileName, id: Option<&str>, serves: bool) -> String {
    let retry = id.filter(|_| refusal.calls_for_quarantine() || matches!(refusal, Refusal::Quarantined { .. }));
    let step = match refusal {
        _ if refusal.passes_by_itself() => "nothing: it is tried again by itself",
        Refusal::Budget { .. } => "restart the server",
        _ if refusal.fault() == Fault::Author => "copy a build over it that its author has put right",
        _ => "put right what is said above; the file is looked at again when it changes",
    };
    let retry = retry.map(|id| format!(", or try this one once more: host-demo plugin retry {id}")).unwrap_or_default();
    let caution = if serves { format!(" (deleting {name} ends the version that serves)") } else { String::new() };
    format!("{step}{retry}{caution}")
}

impl Notice {
    fn text(&self, name: &FileName) -> String {
        let version = self.version.as_ref().map(|version| format!(", version {version}")).unwrap_or_default();
        let digest = self.digest.map_or_else(|| "not read".into(), |digest| digest.to_string());
        format!(
            "{MARK}\n{name} was not taken: {}\n\n\
             since     {}\nfile      {name}{version}\nsha256    {digest}\nhost      host-demo {}, plugin ABI {}\n\
             serving   {}\nnext      {}\n",
            self.why,
            self.since.strftime("%Y-%m-%d %H:%M:%SZ"),
            env!("CARGO_PKG_VERSION"),
            abi::VERSION,
            self.serves,
            self.next,
        )
    }
}

/// Begins to keep the notes in the folder as they are wanted, until the sender is gone. Called within a tokio runtime.
pub fn keep(folder: DropFolder) -> watch::Sender<Notices> {
    let (wanted, mut changes) = watch::channel(Notices::new());
    tokio::spawn(async move {
        let mut board = Board { folder, hung: None, shown: Notices::new(), complained: false };
        loop {
            let notices = changes.borrow_and_update().clone();
            let work = move || {
                board.show(&notices);
                board
            };
            match tokio::task::spawn_blocking(work).await {
                Ok(back) => board = back,
                Err(cause) => return log::error!("plugins folder: no more notes on refused files: {cause}"),
            }
            if changes.changed().await.is_err() {
                return;
            }
        }
    });
    wanted
}

/// The folder, as a board with notes on it.
struct Board {
    folder: DropFolder,
    /// The folder on which `shown` hangs. Another one in its place may hold notes of earlier runs.
    hung: Option<Identity>,
    shown: Notices,
    complained: bool,
}

impl Board {
    fn show(&mut self, wanted: &Notices) {
        match self.try_to_show(wanted) {
            Ok(()) => self.complained = false,
            Err(cause) if !self.complained => {
                self.complained = true;
                log::info!("plugins folder: no notes on refused files beside them: {cause}");
            }
            Err(_) => {}
        }
    }

    fn try_to_show(&mut self, wanted: &Notices) -> io::Result<()> {
        let Ok((folder, identity)) = self.folder.handle() else { return Ok(()) };
        if self.hung != Some(identity) {
            sweep(&folder)?;
            self.shown.clear();
            self.hung = Some(identity);
        }
        let mut result = Ok(());
        for name in self.shown.keys().filter(|name| !wanted.contains_key(name)).cloned().collect::<Vec<_>>() {
            result = result.and(remove(&folder, &note_of(&name)));
            self.shown.remove(&name);
        }
        for (name, notice) in wanted.iter().filter(|(name, _)| is_there(&folder, name)) {
            if self.shown.get(name) != Some(notice) {
                let written = write(&folder, &note_of(name), &notice.text(name));
                if written.is_ok() {
                    self.shown.insert(name.clone(), notice.clone());
                }
                result = result.and(written);
            }
        }
        result
    }
}

fn note_of(name: &FileName) -> String {
    format!("{name}.rejected.txt")
}

fn is_there(folder: &OwnedFd, name: &FileName) -> bool {
    rustix::fs::statat(folder, name.as_str(), AtFlags::SYMLINK_NOFOLLOW).is_ok()
}

/// Deletes the notes of earlier runs, and what a run that was killed had in the making.
fn sweep(folder: &OwnedFd) -> io::Result<()> {
    let mut notes = BTreeSet::new();
    for entry in rustix::fs::Dir::read_from(folder)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name.ends_with(NOTE_SUFFIX) || name.starts_with(NOTE_IN_THE_MAKING) {
            notes.insert(name);
        }
    }
    notes.iter().try_for_each(|name| remove(folder, name))
}

/// What lies under the name of a note.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Found {
    Nothing,
    Ours,
    Foreign,
}

fn look(folder: &OwnedFd, name: &str) -> io::Result<Found> {
    match rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => return Ok(Found::Nothing),
        Err(cause) => return Err(cause.into()),
        Ok(stat) if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile => return Ok(Found::Foreign),
        Ok(_) => {}
    }
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let Ok(file) = rustix::fs::openat(folder, name, flags, Mode::empty()) else { return Ok(Found::Foreign) };
    let mut start = Vec::new();
    File::from(file).take(MARK.len() as u64).read_to_end(&mut start)?;
    // A run can be killed before it has written all of the mark.
    let half_made = name.starts_with(NOTE_IN_THE_MAKING) && MARK.as_bytes().starts_with(&start);
    Ok(if start == MARK.as_bytes() || half_made { Found::Ours } else { Found::Foreign })
}

fn remove(folder: &OwnedFd, name: &str) -> io::Result<()> {
    if look(folder, name)? != Found::Ours {
        return Ok(());
    }
    match rustix::fs::unlinkat(folder, name, AtFlags::empty()) {
        Err(cause) if cause != Errno::NOENT => Err(cause.into()),
        _ => Ok(()),
    }
}

/// Writes a note beside its place, readable by everybody, and moves it there.
fn write(folder: &OwnedFd, name: &str, text: &str) -> io::Result<()> {
    let making = format!("{NOTE_IN_THE_MAKING}{}", std::process::id());
    remove(folder, &making)?;
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut file = File::from(rustix::fs::openat(folder, &making, flags, Mode::from_raw_mode(0o600))?);
    let written = file
        .write_all(text.as_bytes())
        .and_then(|()| Ok(rustix::fs::fchmod(&file, Mode::from_raw_mode(0o644))?))
        .and_then(|()| put_in_place(folder, &making, name));
    if written.is_err() {
        // What is left is swept away at the next start.
        let _ = rustix::fs::unlinkat(folder, &making, AtFlags::empty());
    }
    written
}

fn put_in_place(folder: &OwnedFd, making: &str, name: &str) -> io::Result<()> {
    let foreign = || io::Error::new(io::ErrorKind::AlreadyExists, format!("{name} is there and is not this server's"));
    match look(folder, name)? {
        Found::Ours => Ok(rustix::fs::renameat(folder, making, folder, name)?),
        Found::Foreign => Err(foreign()),
        Found::Nothing => match rustix::fs::renameat_with(folder, making, folder, name, RenameFlags::NOREPLACE) {
            // A file system that can't promise it, NFS for example.
            Err(Errno::INVAL | Errno::NOSYS) => Ok(rustix::fs::renameat(folder, making, folder, name)?),
            Err(Errno::EXIST) => Err(foreign()),
            other => Ok(other?),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::{
        ffi::OsStr,
        fs,
        os::unix::fs::{PermissionsExt, symlink},
        path::PathBuf,
    };

    use super::{super::trust::Trust, *};

    struct Scene {
        root: tempfile::TempDir,
        board: Board,
    }

    impl Scene {
        fn new() -> Scene {
            let root = tempfile::tempdir().unwrap();
            let folder = DropFolder::new(root.path(), Trust::for_this_process());
            fs::write(root.path().join("x.so"), b"bad").unwrap();
            Scene { root, board: Board { folder, hung: None, shown: Notices::new(), complained: false } }
        }

        fn note(&self) -> PathBuf {
            self.root.path().join("x.so.rejected.txt")
        }

        fn names(&self) -> Vec<String> {
            let entries = fs::read_dir(self.root.path()).unwrap();
            let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
            names.sort();
            names
        }
    }

    fn name() -> FileName {
        FileName::parse(OsStr::new("x.so")).unwrap()
    }

    fn wanted(refusal: Refusal) -> Notices {
        let mut books = Books::default();
        let version = Some("1.2.3".into());
        let refused = Refused { refusal, version, digest: Some(Digest::of(b"bad")), since: Timestamp::UNIX_EPOCH };
        let file = Dropped { refused: Some(refused), ..Dropped::new(crate::plugin::deploy::status::Actor::File) };
        books.files.insert(name(), file);
        books.notices()
    }

    #[test]
    fn a_note_says_all_that_an_administrator_needs() {
        let mut scene = Scene::new();
        scene.board.try_to_show(&wanted(Refusal::Start("no \x1b[2J pot".into()))).unwrap();
        let text = fs::read_to_string(scene.note()).unwrap();
        let digest = Digest::of(b"bad").to_string();
        for part in [
            "\nx.so was not taken: did not start: no \\u{1b}[2J pot\n",
            "1970-01-01 00:00:00Z",
            "version 1.2.3",
            &digest,
            concat!("host-demo ", env!("CARGO_PKG_VERSION"), ", plugin ABI "),
            "serving   nothing of this plugin",
            "next      copy a build over it",
        ] {
            assert!(text.contains(part), "no {part:?} in\n{text}");
        }
        assert_eq!(fs::metadata(scene.note()).unwrap().permissions().mode() & 0o7777, 0o644);
        assert_eq!(scene.names(), ["x.so", "x.so.rejected.txt"]);
    }

    #[test]
    fn a_note_follows_its_fault_and_goes_with_it() {
        let mut scene = Scene::new();
        scene.board.try_to_show(&wanted(Refusal::Empty)).unwrap();
        scene.board.try_to_show(&wanted(Refusal::NoManifest)).unwrap();
        assert!(fs::read_to_string(scene.note()).unwrap().contains("no manifest"));
        scene.board.try_to_show(&Notices::new()).unwrap();
        assert_eq!(scene.names(), ["x.so"]);
    }

    #[test]
    fn notes_of_an_earlier_run_are_swept_away() {
        let mut scene = Scene::new();
        scene.board.try_to_show(&wanted(Refusal::Empty)).unwrap();
        fs::write(scene.root.path().join(format!("{NOTE_IN_THE_MAKING}7")), &MARK[..5]).unwrap();
        scene.board.hung = None;
        scene.board.try_to_show(&Notices::new()).unwrap();
        assert_eq!(scene.names(), ["x.so"]);
    }

    #[test]
    fn what_is_not_ours_is_neither_replaced_nor_followed_nor_deleted() {
        let mut scene = Scene::new();
        let (note, victim) = (scene.note(), scene.root.path().join("victim"));
        fs::write(&note, "to do: ask the author").unwrap();
        assert_eq!(scene.board.try_to_show(&wanted(Refusal::Empty)).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        scene.board.try_to_show(&Notices::new()).unwrap();
        assert_eq!(fs::read_to_string(&note).unwrap(), "to do: ask the author");

        fs::remove_file(&note).unwrap();
        fs::write(&victim, MARK).unwrap();
        symlink(&victim, &note).unwrap();
        scene.board.hung = None;
        scene.board.try_to_show(&wanted(Refusal::Empty)).unwrap_err();
        assert_eq!(fs::read_to_string(&victim).unwrap(), MARK);
        assert!(fs::symlink_metadata(&note).unwrap().is_symlink());
        assert_eq!(scene.names(), ["victim", "x.so", "x.so.rejected.txt"]);
    }

    #[test]
    fn a_trap_under_the_name_in_the_making_is_left_alone() {
        let mut scene = Scene::new();
        let victim = scene.root.path().join("victim");
        fs::write(&victim, "precious").unwrap();
        symlink(&victim, scene.root.path().join(format!("{NOTE_IN_THE_MAKING}{}", std::process::id()))).unwrap();
        scene.board.try_to_show(&wanted(Refusal::Empty)).unwrap_err();
        assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
        assert!(!scene.note().exists());
    }

    #[test]
    fn a_file_that_went_gets_no_note() {
        let mut scene = Scene::new();
        fs::remove_file(scene.root.path().join("x.so")).unwrap();
        scene.board.try_to_show(&wanted(Refusal::Empty)).unwrap();
        assert_eq!(scene.names(), [""; 0]);
    }

    #[test]
    fn the_next_step_fits_the_fault() {
        let step = |refusal: Refusal, serves| next_step(&refusal, &name(), Some("hello"), serves);
        assert_eq!(step(Refusal::Staging("full".into()), false), "nothing: it is tried again by itself");
        assert!(step(Refusal::Empty, true).ends_with("(deleting x.so ends the version that serves)"));
        assert_eq!(step(Refusal::Budget { resource: "keys", left: 1, floor: 2 }, false), "restart the server");
        let hung = step(Refusal::ProbeTimeout { seconds: 5 }, false);
        assert!(hung.ends_with(", or try this one once more: host-demo plugin retry hello"), "{hung}");
    }
}
