//! When a file is worth reading: unchanged for 300 ms, and, where the kernel can tell, with nobody writing to it. And
//! when it is gone: absent for 750 ms from the very folder in which it was seen, at two looks at least.
//!
//! A pure machine: it is shown the folder and the time, and says what happened.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use super::{
    folder::{Contents, FileName, Identity, View},
    refusal::Refusal,
    stamp::Stamps,
    sys::Writers,
};

/// How long a file must be unchanged.
pub const QUIET: Duration = Duration::from_millis(300);
/// How long a file must be absent to count as removed. `install`, `mv` across file systems, `tar` and others delete first and write then: 182 ms
/// later at most, in thousands of cases, with both processors and the disk busy. Routes are to go within 1 s.
pub const ABSENCE: Duration = Duration::from_millis(750);
/// How often the folder is looked at when nothing calls for it.
pub const POLL: Duration = Duration::from_secs(2);

/// What became of the folder or of a file in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sighting {
    /// A file appeared or began to change.
    Seen(FileName),
    /// A file is whole as far as can be told from outside: it is time to read it.
    Settled(FileName, Stamps),
    /// A file is not there at this moment.
    Missing(FileName),
    /// A file was removed.
    Gone(FileName),
    /// The folder is missing or unreadable, and why. The files in it count as untouched.
    FolderClosed(String),
    /// The folder can be read again.
    FolderOpen,
    /// Another folder is in the place of the one in which this file was seen, and the file is not in it. It counts as
    /// untouched too: an unmounted folder looks the same.
    FolderReplaced(FileName),
}

/// The files of the folder and since when they are as they are.
#[derive(Default)]
pub struct Settling {
    tracks: BTreeMap<FileName, Track>,
    safety: Option<Result<(), Refusal>>,
    closed: bool,
}

struct Track {
    stamps: Stamps,
    home: Identity,
    since: Instant,
    reported: bool,
    absence: Absence,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Absence {
    Here,
    Since(Instant),
    /// Absent because its folder is.
    WithItsFolder,
}

impl Settling {
    /// Takes in a look at the folder. `writers` is asked about files that have been quiet for long enough.
    pub fn observe(&mut self, view: &View, now: Instant, writers: impl FnMut(&FileName) -> Writers) -> Vec<Sighting> {
        let mut sightings = Vec::new();
        match view {
            View::Closed(why) => {
                if !std::mem::replace(&mut self.closed, true) {
                    sightings.push(Sighting::FolderClosed(why.clone()));
                }
                self.stop_counting_absence();
            }
            View::Open(contents) => {
                if std::mem::replace(&mut self.closed, false) {
                    sightings.push(Sighting::FolderOpen);
                }
                self.judge_anew_if_safety_changed(contents);
                self.observe_present(contents, now, &mut sightings);
                // Before what is gone: it may be the same file under a new name.
                self.report_settled(contents, now, writers, &mut sightings);
                self.observe_absent(contents, now, &mut sightings);
            }
        }
        sightings
    }

    /// Looks at a file as if it had just come, although nothing changed.
    pub fn forget(&mut self, file: &FileName) {
        if let Some(track) = self.tracks.get_mut(file) {
            track.reported = false;
        }
    }

    /// How long from `now` nothing can happen, unless somebody touches the folder.
    pub fn idle_for(&self, now: Instant) -> Duration {
        let deadlines = self.tracks.values().filter_map(|track| match track.absence {
            Absence::Since(since) => Some(since + ABSENCE),
            // One that is quiet and still unreported has a writer: ask again after as long a pause.
            Absence::Here if !track.reported => Some((track.since + QUIET).max(now + QUIET / 6)),
            _ => None,
        });
        deadlines.map(|at| at.saturating_duration_since(now)).min().unwrap_or(POLL).min(POLL)
    }

    fn stop_counting_absence(&mut self) {
        for track in self.tracks.values_mut() {
            if let Absence::Since(_) = track.absence {
                track.absence = Absence::WithItsFolder;
            }
        }
    }

    /// A chmod of the folder leaves no trace on the files in it.
    fn judge_anew_if_safety_changed(&mut self, contents: &Contents) {
        if self.safety.as_ref() != Some(&contents.safety) {
            self.safety = Some(contents.safety.clone());
            self.tracks.values_mut().for_each(|track| track.reported = false);
        }
    }

    fn observe_present(&mut self, contents: &Contents, now: Instant, sightings: &mut Vec<Sighting>) {
        for (file, &stamps) in &contents.files {
            let fresh = Track { stamps, home: contents.identity, since: now, reported: false, absence: Absence::Here };
            match self.tracks.get_mut(file) {
                Some(track) if track.stamps == stamps && track.absence == Absence::Here => {
                    track.home = contents.identity;
                }
                Some(track) => {
                    // One line for a file that changes a thousand times before it settles.
                    if track.reported {
                        sightings.push(Sighting::Seen(file.clone()));
                    }
                    *track = fresh;
                }
                None => {
                    sightings.push(Sighting::Seen(file.clone()));
                    self.tracks.insert(file.clone(), fresh);
                }
            }
        }
    }

    fn observe_absent(&mut self, contents: &Contents, now: Instant, sightings: &mut Vec<Sighting>) {
        self.tracks.retain(|file, track| {
            if contents.files.contains_key(file) {
                return true;
            }
            match track.absence {
                _ if track.home != contents.identity => {
                    if track.absence != Absence::WithItsFolder {
                        track.absence = Absence::WithItsFolder;
                        sightings.push(Sighting::FolderReplaced(file.clone()));
                    }
                }
                Absence::Since(since) if now - since >= ABSENCE => {
                    sightings.push(Sighting::Gone(file.clone()));
                    return false;
                }
                Absence::Since(_) => {}
                Absence::Here | Absence::WithItsFolder => {
                    track.absence = Absence::Since(now);
                    sightings.push(Sighting::Missing(file.clone()));
                }
            }
            true
        });
    }

    fn report_settled(
        &mut self,
        contents: &Contents,
        now: Instant,
        mut writers: impl FnMut(&FileName) -> Writers,
        sightings: &mut Vec<Sighting>,
    ) {
        for (file, track) in &mut self.tracks {
            let is_here = contents.files.contains_key(file);
            let due = is_here && !track.reported && now - track.since >= QUIET;
            if due && writers(file) != Writers::Some {
                track.reported = true;
                sightings.push(Sighting::Settled(file.clone(), track.stamps));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{ffi::OsStr, fs, path::PathBuf};

    use super::{
        super::{folder::DropFolder, trust::Trust},
        *,
    };

    /// A real folder and a clock that is moved by hand.
    struct Scene {
        root: tempfile::TempDir,
        folder: DropFolder,
        settling: Settling,
        now: Instant,
        writing: Writers,
    }

    impl Scene {
        fn new() -> Scene {
            let root = tempfile::tempdir().unwrap();
            fs::create_dir(root.path().join("plugins")).unwrap();
            let folder = DropFolder::new(root.path().join("plugins"), Trust::for_this_process());
            Scene { root, folder, settling: Settling::default(), now: Instant::now(), writing: Writers::None }
        }

        fn path(&self, name: &str) -> PathBuf {
            self.root.path().join(name)
        }

        fn after(&mut self, milliseconds: u64) -> Vec<Sighting> {
            self.now += Duration::from_millis(milliseconds);
            let view = self.folder.look();
            self.settling.observe(&view, self.now, |_| self.writing)
        }

        fn with_settled_file() -> Scene {
            let mut scene = Scene::new();
            fs::write(scene.path("plugins/x.so"), b"one").unwrap();
            scene.after(0);
            assert!(settled(&scene.after(300)));
            scene
        }
    }

    fn file() -> FileName {
        FileName::parse(OsStr::new("x.so")).unwrap()
    }

    fn settled(sightings: &[Sighting]) -> bool {
        matches!(sightings, [Sighting::Settled(name, _)] if *name == file())
    }

    #[test]
    fn a_file_settles_once_after_a_quiet_time() {
        let mut scene = Scene::new();
        fs::write(scene.path("plugins/x.so"), b"one").unwrap();
        assert_eq!(scene.after(0), [Sighting::Seen(file())]);
        assert_eq!(scene.after(299), []);
        assert!(settled(&scene.after(1)));
        assert_eq!(scene.after(10_000), []);
    }

    #[test]
    fn a_signature_settles_with_its_file() {
        let mut scene = Scene::with_settled_file();
        fs::write(scene.path("plugins/x.so.minisig"), b"signed").unwrap();
        assert_eq!(scene.after(10), [Sighting::Seen(file())]);
        assert!(settled(&scene.after(300)));
        // A new file, and before it has settled its new signature.
        fs::write(scene.path("plugins/x.so"), b"longer").unwrap();
        assert_eq!(scene.after(10), [Sighting::Seen(file())]);
        fs::write(scene.path("plugins/x.so.minisig"), b"signed again").unwrap();
        assert_eq!(scene.after(299), []);
        assert_eq!(scene.after(299), []);
        assert!(settled(&scene.after(1)));
        fs::remove_file(scene.path("plugins/x.so.minisig")).unwrap();
        assert_eq!(scene.after(10), [Sighting::Seen(file())]);
        assert!(settled(&scene.after(300)));
    }

    #[test]
    fn every_change_begins_the_quiet_time_again() {
        let mut scene = Scene::with_settled_file();
        for size in 4..20 {
            fs::write(scene.path("plugins/x.so"), vec![b'x'; size]).unwrap();
            let expected: &[Sighting] = if size == 4 { &[Sighting::Seen(file())] } else { &[] };
            assert_eq!(scene.after(250), expected);
        }
        assert!(settled(&scene.after(300)));
    }

    #[test]
    fn a_file_that_is_written_to_waits_for_its_writer() {
        let mut scene = Scene::new();
        scene.writing = Writers::Some;
        fs::write(scene.path("plugins/x.so"), b"half").unwrap();
        scene.after(0);
        assert_eq!(scene.after(10_000), []);
        assert!(scene.settling.idle_for(scene.now) <= QUIET);
        scene.writing = Writers::None;
        assert!(settled(&scene.after(50)));
    }

    #[test]
    fn a_file_is_gone_when_it_was_missed_for_long_enough() {
        let mut scene = Scene::with_settled_file();
        fs::remove_file(scene.path("plugins/x.so")).unwrap();
        // However long nobody looked: it is gone when it is missed once more.
        assert_eq!(scene.after(10_000), [Sighting::Missing(file())]);
        assert_eq!(scene.settling.idle_for(scene.now), ABSENCE);
        assert_eq!(scene.after(749), []);
        assert_eq!(scene.after(1), [Sighting::Gone(file())]);
        assert_eq!(scene.after(10_000), []);
    }

    #[test]
    fn a_renamed_file_settles_before_it_is_gone() {
        let mut scene = Scene::with_settled_file();
        fs::rename(scene.path("plugins/x.so"), scene.path("plugins/y.so")).unwrap();
        let new = FileName::parse(OsStr::new("y.so")).unwrap();
        assert_eq!(scene.after(10), [Sighting::Seen(new.clone()), Sighting::Missing(file())]);
        // Even where this process was not run in between.
        let sightings = scene.after(1_000);
        assert!(
            matches!(&sightings[..], [Sighting::Settled(name, _), Sighting::Gone(old)] if (name, old) == (&new, &file()))
        );
    }

    #[test]
    fn delete_and_copy_is_a_change_not_a_removal() {
        let mut scene = Scene::with_settled_file();
        fs::remove_file(scene.path("plugins/x.so")).unwrap();
        assert_eq!(scene.after(10), [Sighting::Missing(file())]);
        fs::write(scene.path("plugins/x.so"), b"two").unwrap();
        assert_eq!(scene.after(700), [Sighting::Seen(file())]);
        assert!(settled(&scene.after(300)));
    }

    #[test]
    fn a_renamed_folder_removes_nothing() {
        let mut scene = Scene::with_settled_file();
        fs::rename(scene.path("plugins"), scene.path("elsewhere")).unwrap();
        assert!(matches!(&scene.after(10)[..], [Sighting::FolderClosed(_)]));
        assert_eq!(scene.after(60_000), []);
        fs::rename(scene.path("elsewhere"), scene.path("plugins")).unwrap();
        assert_eq!(scene.after(10), [Sighting::FolderOpen]);
        fs::remove_file(scene.path("plugins/x.so")).unwrap();
        assert_eq!(scene.after(10), [Sighting::Missing(file())]);
        assert_eq!(scene.after(750), [Sighting::Gone(file())]);
    }

    #[test]
    fn an_empty_folder_in_the_place_of_another_removes_nothing() {
        let mut scene = Scene::with_settled_file();
        fs::rename(scene.path("plugins"), scene.path("elsewhere")).unwrap();
        fs::create_dir(scene.path("plugins")).unwrap();
        assert_eq!(scene.after(10), [Sighting::FolderReplaced(file())]);
        assert_eq!(scene.after(60_000), []);
        fs::write(scene.path("plugins/x.so"), b"two").unwrap();
        assert_eq!(scene.after(10), [Sighting::Seen(file())]);
        assert!(settled(&scene.after(300)));
        fs::remove_file(scene.path("plugins/x.so")).unwrap();
        assert_eq!(scene.after(10), [Sighting::Missing(file())]);
        assert_eq!(scene.after(750), [Sighting::Gone(file())]);
    }

    #[test]
    fn a_folder_with_another_mode_has_its_files_judged_again() {
        use std::os::unix::fs::PermissionsExt;
        let mut scene = Scene::with_settled_file();
        fs::set_permissions(scene.path("plugins"), fs::Permissions::from_mode(0o777)).unwrap();
        assert!(settled(&scene.after(10)));
        assert_eq!(scene.after(10), []);
    }

    #[test]
    fn one_looks_again_when_something_can_have_happened() {
        let mut scene = Scene::new();
        assert_eq!(scene.settling.idle_for(scene.now), POLL);
        fs::write(scene.path("plugins/x.so"), b"one").unwrap();
        scene.after(0);
        assert_eq!(scene.settling.idle_for(scene.now), QUIET);
        scene.after(300);
        assert_eq!(scene.settling.idle_for(scene.now), POLL);
    }
}
