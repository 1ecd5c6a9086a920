//! The eye on the drop folder: inotify where it works, and a look every 2 s in any case. See inotify(7): events may
//! overflow, watches may run out, and the folder may be replaced by another; none of it is ever needed for a change to
//! be found, only for it to be found sooner.

use std::{
    collections::HashSet,
    ffi::OsString,
    io,
    mem::MaybeUninit,
    os::fd::{AsFd, OwnedFd},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use rustix::{
    event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll},
    fs::inotify::{self, CreateFlags, WatchFlags},
};

use super::{
    folder::{DropFolder, FileName, View},
    settle::{Settling, Sighting},
    sys::{self, Writers},
};

/// The least time between two looks, however many events come.
const BREATHER: Duration = Duration::from_millis(20);

/// A watch on the folder: a thread of its own, ended by [`Watch::stop`] or by dropping it.
pub struct Watch {
    bell: Arc<Bell>,
    thread: Option<JoinHandle<()>>,
}

/// How others wake the thread.
struct Bell {
    event: OwnedFd,
    ended: AtomicBool,
    again: Mutex<Vec<FileName>>,
}

/// What the watch tells.
#[derive(Debug)]
pub enum Report {
    /// Something happened in the folder.
    Sighting(Sighting),
    /// The first look is over; these files were found. Comes behind what it showed.
    FirstLook(Vec<FileName>),
}

impl Watch {
    /// Begins to watch. `report` is called on the watching thread, and returns whether to go on.
    ///
    /// # Errors
    /// The system has no thread or descriptor left.
    pub fn start(folder: DropFolder, report: impl FnMut(Report) -> bool + Send + 'static) -> io::Result<Watch> {
        let event = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let bell = Arc::new(Bell { event, ended: AtomicBool::new(false), again: Mutex::default() });
        let watcher = Watcher {
            notifier: Notifier::new(),
            settling: Settling::default(),
            warned: HashSet::new(),
            bell: bell.clone(),
            folder,
        };
        let thread = thread::Builder::new().name("plugin-watch".into()).spawn(move || watcher.run(report))?;
        Ok(Watch { bell, thread: Some(thread) })
    }

    /// Has a file reported again as settled, although nothing changed.
    pub fn look_again(&self, file: FileName) {
        self.bell.again.lock().push(file);
        self.bell.ring();
    }

    /// Ends the thread and waits for it.
    pub fn stop(&mut self) {
        self.bell.ended.store(true, Ordering::Release);
        self.bell.ring();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            log::error!("the watch on the plugins folder had failed");
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Bell {
    fn ring(&self) {
        // Fails only when the counter is full, and then it rings already.
        let _ = rustix::io::write(&self.event, &1_u64.to_ne_bytes());
    }
}

struct Watcher {
    folder: DropFolder,
    notifier: Notifier,
    settling: Settling,
    /// The names that can't be plugins' and were said so. Names that left the folder are dropped.
    warned: HashSet<OsString>,
    bell: Arc<Bell>,
}

impl Watcher {
    fn run(mut self, mut report: impl FnMut(Report) -> bool) {
        let mut first = true;
        while !self.bell.ended.load(Ordering::Acquire) {
            // Armed before the look: what changes after the look rings.
            self.notifier.arm(&self.folder);
            let view = self.folder.look();
            for file in self.bell.again.lock().drain(..) {
                self.settling.forget(&file);
            }
            let folder = &self.folder;
            for sighting in self.settling.observe(&view, Instant::now(), |file| writers(folder, file)) {
                if !report(Report::Sighting(sighting)) {
                    return;
                }
            }
            if std::mem::take(&mut first) && !report(Report::FirstLook(files_of(&view))) {
                return;
            }
            self.warn_of_skipped(&view);
            self.rest();
        }
    }

    /// Waits for an event, for the bell, or until a look is due.
    fn rest(&self) {
        let idle = self.settling.idle_for(Instant::now()).max(BREATHER);
        self.notifier.wait(&self.bell.event, idle);
        self.notifier.drain();
        // A storm of events must not become a storm of looks.
        wait_for(&[&self.bell.event], BREATHER);
        let _ = rustix::io::read(&self.bell.event, &mut [0_u8; 8]);
    }

    fn warn_of_skipped(&mut self, view: &View) {
        let View::Open(contents) = view else { return };
        self.warned.retain(|name| contents.skipped.iter().any(|(skipped, _)| skipped == name));
        for (name, why) in &contents.skipped {
            // The folder comes with a README for the administrator.
            let expected = name == "README.md";
            if !expected && self.warned.insert(name.clone()) {
                log::warn!("plugins folder: {name:?} is skipped: {why}");
            }
        }
    }
}

fn files_of(view: &View) -> Vec<FileName> {
    match view {
        View::Open(contents) => contents.files.keys().cloned().collect(),
        View::Closed(_) => Vec::new(),
    }
}

fn writers(folder: &DropFolder, file: &FileName) -> Writers {
    // What can't be opened now is refused with its reason when it is read. The signature counts too: half of one is none.
    let asked = folder.peek(file).iter().map(sys::writers).collect::<Vec<_>>();
    match asked.contains(&Writers::Some) {
        true => Writers::Some,
        false => asked.first().copied().unwrap_or(Writers::Unknown),
    }
}

/// inotify, as far as it is to be had.
struct Notifier {
    inotify: Option<OwnedFd>,
    watched: Option<i32>,
    complained: bool,
}

impl Notifier {
    fn new() -> Notifier {
        let inotify = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK);
        if let Err(cause) = &inotify {
            log::warn!("plugins folder: no inotify ({cause}), changes are found by looking every 2 s");
        }
        Notifier { inotify: inotify.ok(), watched: None, complained: false }
    }

    /// Watches the folder that is at the path now. Free of effect while it is the same folder.
    fn arm(&mut self, folder: &DropFolder) {
        let Some(inotify) = &self.inotify else { return };
        let changes = WatchFlags::CLOSE_WRITE
            | WatchFlags::CREATE
            | WatchFlags::DELETE
            | WatchFlags::MOVE
            | WatchFlags::ATTRIB
            | WatchFlags::DELETE_SELF
            | WatchFlags::MOVE_SELF
            | WatchFlags::ONLYDIR;
        let watched = match inotify::add_watch(inotify, folder.path(), changes) {
            Ok(watch) => Some(watch),
            Err(cause) => {
                let folder_is_there = cause != rustix::io::Errno::NOENT;
                if folder_is_there && !std::mem::replace(&mut self.complained, true) {
                    log::warn!("plugins folder: no inotify watch ({cause}), changes are found by looking every 2 s");
                }
                None
            }
        };
        if let Some(former) = self.watched
            && self.watched != watched
        {
            // Fails where the kernel took it back with the folder.
            let _ = inotify::remove_watch(inotify, former);
        }
        self.watched = watched;
    }

    fn wait(&self, bell: &OwnedFd, at_most: Duration) {
        match &self.inotify {
            Some(inotify) => wait_for(&[bell, inotify], at_most),
            None => wait_for(&[bell], at_most),
        }
    }

    /// Takes the events out. What they say is of no interest: the folder is looked at as a whole.
    fn drain(&self) {
        let Some(inotify) = &self.inotify else { return };
        let mut buffer = [MaybeUninit::uninit(); 4_096];
        while rustix::io::read(inotify, &mut buffer).is_ok_and(|(read, _)| !read.is_empty()) {}
    }
}

fn wait_for(descriptors: &[&OwnedFd], at_most: Duration) {
    let mut polled: Vec<_> = descriptors.iter().map(|fd| PollFd::from_borrowed_fd(fd.as_fd(), PollFlags::IN)).collect();
    let timeout = Timespec::try_from(at_most).expect("the longest wait is 2 s");
    // Interrupted or failed: the look that follows is only early.
    let _ = poll(&mut polled, Some(&timeout));
}

#[cfg(test)]
mod tests {
    use std::{
        fs::{self, OpenOptions},
        io::Write,
        sync::mpsc::{Receiver, channel},
    };

    use super::{super::trust::Trust, *};

    fn watch(directory: &tempfile::TempDir) -> (Watch, Receiver<Report>) {
        let (sender, receiver) = channel();
        let folder = DropFolder::new(directory.path(), Trust::for_this_process());
        let watch = Watch::start(folder, move |report| sender.send(report).is_ok()).unwrap();
        (watch, receiver)
    }

    fn next(reports: &Receiver<Report>) -> Report {
        reports.recv_timeout(Duration::from_secs(20)).expect("the watch says something within 20 s")
    }

    #[test]
    fn a_copied_file_is_seen_and_settles() {
        let directory = tempfile::tempdir().unwrap();
        let (_watch, reports) = watch(&directory);
        assert!(matches!(next(&reports), Report::FirstLook(files) if files.is_empty()));
        fs::write(directory.path().join("x.so"), b"content").unwrap();
        assert!(matches!(next(&reports), Report::Sighting(Sighting::Seen(_))));
        assert!(matches!(next(&reports), Report::Sighting(Sighting::Settled(_, stamps)) if stamps.file.size == 7));
    }

    #[test]
    fn a_file_held_open_settles_only_when_closed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x.so");
        let mut writer = OpenOptions::new().create_new(true).write(true).open(&path).unwrap();
        writer.write_all(b"half").unwrap();
        let (_watch, reports) = watch(&directory);
        assert!(matches!(next(&reports), Report::Sighting(Sighting::Seen(_))));
        assert!(matches!(next(&reports), Report::FirstLook(files) if files.len() == 1));
        // Three times the quiet time: silence is the point here.
        assert!(reports.recv_timeout(Duration::from_millis(900)).is_err());
        writer.write_all(b" and the rest").unwrap();
        drop(writer);
        assert!(matches!(next(&reports), Report::Sighting(Sighting::Settled(_, stamps)) if stamps.file.size == 17));
    }

    #[test]
    fn a_file_is_looked_at_again_on_request() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("x.so"), b"content").unwrap();
        let (watch, reports) = watch(&directory);
        assert!(matches!(next(&reports), Report::Sighting(Sighting::Seen(_))));
        let Report::FirstLook(files) = next(&reports) else { panic!("the first look is over") };
        assert!(matches!(next(&reports), Report::Sighting(Sighting::Settled(..))));
        watch.look_again(files[0].clone());
        assert!(matches!(next(&reports), Report::Sighting(Sighting::Settled(..))));
    }

    #[test]
    fn a_watch_ends_when_dropped() {
        let directory = tempfile::tempdir().unwrap();
        let (watch, reports) = watch(&directory);
        drop(watch);
        while reports.recv().is_ok() {}
    }
}
