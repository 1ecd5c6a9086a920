//! The good versions of each plugin: the last one, which a restart serves and which a bad one makes way for, and the one before, for when the last one
//! turns out to take this server down. What is on record and what is kept as a copy follow from one decision,
//! [`LastGood::succession`].

use std::{ffi::OsStr, path::Path};

use super::{
    books::Serving, digest::Digest, folder::FileName, registry::Registry, staged::StagedFile, travel::Refused,
};
use crate::store::{PluginRecord, StoreError};

/// A good version, as it is recorded.
pub struct Kept {
    /// The record.
    pub record: PluginRecord,
    /// The file in the drop folder that it came from.
    pub file: FileName,
    /// The copy.
    pub staged: StagedFile,
    /// The dynamic loader may have seen the copy since this server was started.
    pub mapped: bool,
    /// Why it can't be served, once that was tried.
    pub refused: Option<Refused>,
}

/// The good versions of a plugin.
#[derive(Default)]
pub struct LastGood {
    /// The last one.
    pub last: Option<Kept>,
    /// The one before.
    pub former: Option<Kept>,
    /// Copies that are of no use any more, and on record until the next version is.
    stale: Vec<StagedFile>,
}

/// Which version is the one before the last, once another content is the last one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Succession {
    /// The one that was the last.
    Last,
    /// The one that was before it.
    Former,
    /// None: neither is another content, and one that may be tried again.
    Nobody,
}

impl LastGood {
    /// As an earlier run left them. `state` is the state folder.
    pub fn restore(mut record: PluginRecord, state: &Path) -> LastGood {
        let former = record.previous.take().and_then(|former| Kept::restore(*former, state));
        LastGood { former, last: Kept::restore(record, state), stale: Vec::new() }
    }

    /// Decides who comes before `next`, once that is the last good content.
    pub fn succession(&self, next: Digest, is_bad: impl Fn(Digest) -> bool) -> Succession {
        let may_follow = |kept: &Option<Kept>| {
            let content = kept.as_ref().map(|kept| kept.staged.digest());
            content.is_some_and(|content| content != next && !is_bad(content))
        };
        match (may_follow(&self.last), may_follow(&self.former)) {
            (true, _) => Succession::Last,
            (false, true) => Succession::Former,
            (false, false) => Succession::Nobody,
        }
    }

    /// What is recorded of the last good version when this was decided.
    pub fn record(&self, last: PluginRecord, succession: Succession) -> PluginRecord {
        let former = match succession {
            Succession::Last => self.last.as_ref(),
            Succession::Former => self.former.as_ref(),
            Succession::Nobody => None,
        };
        let previous = former.map(|kept| Box::new(PluginRecord { previous: None, ..kept.record.clone() }));
        PluginRecord { previous, ..last }
    }

    /// Keeps what was decided and recorded. The copies of the rest are of no use.
    pub fn succeed(&mut self, next: Kept, succession: Succession) {
        let (last, former) = (self.last.replace(next), self.former.take());
        let (stays, dropped) = match succession {
            Succession::Last => (last, [former, None]),
            Succession::Former => (former, [last, None]),
            Succession::Nobody => (None, [last, former]),
        };
        self.former = stays;
        self.stale.extend(dropped.into_iter().flatten().map(|kept| kept.staged));
    }

    /// Puts the version before the last into its place, if the last one is not to be tried again and that is. Answers whether.
    pub fn step_back(&mut self, is_bad: impl Fn(Digest) -> bool) -> bool {
        let is_bad = |kept: &Kept| is_bad(kept.staged.digest());
        if !self.last.as_ref().is_some_and(is_bad) || self.former.as_ref().is_none_or(is_bad) {
            return false;
        }
        let dropped = std::mem::replace(&mut self.last, self.former.take());
        self.stale.extend(dropped.map(|kept| kept.staged));
        true
    }

    /// Lets go of both. Answers the version of the last one.
    fn forget(&mut self) -> Option<String> {
        let (last, former) = (self.last.take(), self.former.take());
        let version = last.as_ref().map(|kept| kept.record.version.clone());
        self.stale.extend([last, former].into_iter().flatten().map(|kept| kept.staged));
        version
    }

    /// Notes that their file has another name now.
    fn rename(&mut self, file: &FileName) {
        for kept in self.last.iter_mut().chain(&mut self.former) {
            kept.record.file = file.to_string();
            kept.file = file.clone();
        }
    }

    /// Whether this copy is one of theirs.
    pub fn needs(&self, copy: &StagedFile) -> bool {
        self.both().any(|kept| kept.staged == *copy)
    }

    /// Whether this content is one of them.
    pub fn holds(&self, content: Digest) -> bool {
        self.both().any(|kept| kept.staged.digest() == content)
    }

    /// The copies that are of no use, once they are no longer on record.
    pub fn take_stale(&mut self) -> Vec<StagedFile> {
        std::mem::take(&mut self.stale)
    }

    fn both(&self) -> impl Iterator<Item = &Kept> {
        self.last.iter().chain(&self.former)
    }
}

impl Kept {
    /// The version in service, once its record has been saved.
    pub fn of(serving: &Serving, record: PluginRecord) -> Kept {
        let (file, staged) = (serving.file.clone(), serving.staged.clone());
        Kept { record, file, staged, mapped: true, refused: None }
    }

    fn restore(record: PluginRecord, state: &Path) -> Option<Kept> {
        let file = FileName::parse(OsStr::new(&record.file)).ok()?;
        let digest = Digest::parse(&record.sha256)?;
        if record.staged.is_empty() {
            return None;
        }
        let staged = StagedFile::recorded(state, &record.staged, digest);
        Some(Kept { record, file, staged, mapped: false, refused: None })
    }
}

impl Registry {
    /// Records the version in service as the last good one, if it is proven.
    pub async fn record(&mut self, id: &str) {
        let Some(plugin) = self.books.plugins.get(id) else { return };
        let Some(serving) = &plugin.serving else { return };
        if !serving.is_proven {
            return self.note_file_of_unproven(id).await;
        }
        let succession = self.succession(id, serving.staged.digest());
        let reason = self.books.trouble_with_file(serving);
        let record = plugin.good.record(serving.record(plugin.retired, reason), succession);
        let next = Kept::of(serving, record);
        if let Err(cause) = self.store.save_plugin(&next.record).await {
            return log::error!("plugin {id}: not recorded, a restart will not know of it: {cause}");
        }
        let Some(plugin) = self.books.plugins.get_mut(id) else { return };
        plugin.good.succeed(next, succession);
        plugin.delete_stale();
    }

    fn succession(&self, id: &str, next: Digest) -> Succession {
        let is_bad = |content| self.books.quarantine.contains_key(&content);
        self.books.plugins.get(id).map_or(Succession::Nobody, |plugin| plugin.good.succession(next, is_bad))
    }

    /// The last good version belongs to the file of the one on probation: if that is renamed, both are.
    async fn note_file_of_unproven(&mut self, id: &str) {
        let Some(plugin) = self.books.plugins.get_mut(id) else { return };
        let (Some(serving), Some(last)) = (&plugin.serving, &plugin.good.last) else { return };
        if last.file == serving.file {
            return;
        }
        let content = last.staged.digest();
        plugin.good.rename(&serving.file);
        let succession = self.succession(id, content);
        let Some(good) = self.books.plugins.get_mut(id).map(|plugin| &mut plugin.good) else { return };
        let Some(record) = good.last.as_ref().map(|last| good.record(last.record.clone(), succession)) else { return };
        if let Err(cause) = self.store.save_plugin(&record).await {
            log::error!("plugin {id}: the new name of its file is not recorded: {cause}");
        }
    }

    /// Forgets the good versions of a plugin and that it was switched off.
    pub async fn forget(&mut self, id: &str) {
        let Some(plugin) = self.books.plugins.get_mut(id) else { return };
        plugin.disabled = false;
        if let Some(version) = plugin.good.forget() {
            self.books.last_versions.insert(id.to_owned(), version);
        }
        plugin.delete_stale();
        match self.store.remove_plugin(id).await {
            Ok(()) | Err(StoreError::UnknownPlugin(_)) => {}
            Err(cause) => log::error!("plugin {id}: still on record: {cause}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(content: &str) -> PluginRecord {
        let sha256 = Digest::of(content.as_bytes()).to_string();
        let (version, staged) = (content.into(), format!("staging/{content}.so"));
        PluginRecord { id: "a".into(), file: "a.so".into(), version, sha256, staged, ..PluginRecord::default() }
    }

    fn kept(content: &str) -> Kept {
        Kept::restore(record(content), Path::new("/state")).unwrap()
    }

    /// With these contents: the last one, and the one before.
    fn good(last: Option<&str>, former: Option<&str>) -> LastGood {
        LastGood { last: last.map(kept), former: former.map(kept), stale: Vec::new() }
    }

    fn versions(good: &LastGood) -> Vec<&str> {
        good.both().map(|kept| kept.record.version.as_str()).collect()
    }

    fn stale(good: &mut LastGood) -> Vec<String> {
        good.take_stale().iter().map(StagedFile::relative).collect()
    }

    /// Has `next` follow, with these contents in quarantine. Answers what is kept, what is on record and which copies are dropped.
    fn after(mut good: LastGood, next: &str, bad: &[&str]) -> (String, String, String) {
        let is_bad = |content| bad.iter().any(|bad| Digest::of(bad.as_bytes()) == content);
        let succession = good.succession(Digest::of(next.as_bytes()), is_bad);
        let recorded = good.record(record(next), succession);
        let recorded = std::iter::once(&recorded).chain(recorded.previous.as_deref());
        let recorded = recorded.map(|record| record.version.as_str()).collect::<String>();
        good.succeed(kept(next), succession);
        let dropped = good.stale.iter().map(|copy| copy.relative().replace("staging/", "").replace(".so", ""));
        (versions(&good).concat(), recorded, dropped.collect())
    }

    #[track_caller]
    fn follows(good: LastGood, next: &str, bad: &[&str], kept: &str, dropped: &str) {
        assert_eq!(after(good, next, bad), (kept.into(), kept.into(), dropped.into()));
    }

    #[test]
    fn what_is_kept_is_what_is_on_record() {
        follows(good(None, None), "1", &[], "1", "");
        follows(good(Some("1"), None), "2", &[], "21", "");
        follows(good(Some("2"), Some("1")), "3", &[], "32", "1");
        // Back to the one before, and the same again from another copy.
        follows(good(Some("2"), Some("1")), "1", &[], "12", "1");
        follows(good(Some("2"), Some("1")), "2", &[], "21", "2");
    }

    #[test]
    fn what_is_in_quarantine_comes_before_nobody() {
        follows(good(Some("2"), Some("1")), "3", &["2"], "31", "2");
        follows(good(Some("2"), Some("1")), "3", &["1"], "32", "1");
        follows(good(Some("2"), Some("1")), "3", &["1", "2"], "3", "21");
        follows(good(Some("2"), Some("1")), "2", &["1"], "2", "21");
    }

    #[test]
    fn a_last_one_in_quarantine_gives_way_to_the_one_before() {
        let is_bad = |bad: &'static [&str]| move |content| bad.iter().any(|bad| Digest::of(bad.as_bytes()) == content);
        for (bad, expected, dropped) in
            [(&[][..], &["2", "1"][..], None), (&["2"], &["1"], Some("staging/2.so")), (&["2", "1"], &["2", "1"], None)]
        {
            let mut good = good(Some("2"), Some("1"));
            assert_eq!(good.step_back(is_bad(bad)), dropped.is_some());
            assert_eq!(versions(&good), expected);
            assert_eq!(stale(&mut good), Vec::from_iter(dropped));
        }
        assert!(!good(Some("2"), None).step_back(is_bad(&["2"])));
    }

    #[test]
    fn both_are_forgotten_and_renamed_together() {
        let mut good = good(Some("2"), Some("1"));
        good.rename(&FileName::parse(OsStr::new("b.so")).unwrap());
        assert!(good.both().all(|kept| kept.file.as_str() == "b.so" && kept.record.file == "b.so"));
        assert_eq!(good.forget().as_deref(), Some("2"));
        assert_eq!((versions(&good).len(), stale(&mut good)), (0, vec!["staging/2.so".into(), "staging/1.so".into()]));
    }
}
