//! Who serves what: the plugins by their ids, the files by their names, and the contents between the two. Data and
//! questions about it; what happens when is in [`registry`](super::registry).

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    path::Path,
    sync::Arc,
};

use jiff::Timestamp;
use tokio::sync::oneshot;

use super::{
    desk::Turn,
    digest::Digest,
    folder::FileName,
    journey::End,
    last_good::{Kept, LastGood},
    probation::{Misconduct, Observation},
    staged::StagedFile,
    stamp::Stamps,
    status::{Actor, State, Subject},
    travel::{Refused, Travel},
};
use crate::{
    plugin::generation::Generation,
    store::{PluginRecord, Quarantined},
};

/// All that is known at this moment.
#[derive(Default)]
pub struct Books {
    /// By id. A plugin that was removed stays, for the count of its mapped versions.
    pub plugins: BTreeMap<String, Plugin>,
    /// By name: what is in the drop folder.
    pub files: BTreeMap<FileName, File>,
    /// By number: contents on their way.
    pub travels: BTreeMap<u64, Travel>,
    /// By id: the version that a plugin had when its file was removed, which an older one may not follow unasked.
    pub last_versions: BTreeMap<String, String>,
    /// What took a process down, and how.
    pub quarantine: HashMap<Digest, String>,
    /// Good contents that took too long, and how often in a row.
    pub slow: HashMap<Digest, u32>,
}

/// A plugin.
#[derive(Default)]
pub struct Plugin {
    /// The version in service.
    pub serving: Option<Serving>,
    /// Its good versions.
    pub good: LastGood,
    /// Switched off by the administrator.
    pub disabled: bool,
    /// The journey that may run its code.
    pub turn: Option<u64>,
    /// The journeys that want to.
    pub waiting: VecDeque<Waiting>,
    /// The versions on their way out.
    pub leaving: Vec<Leaving>,
    /// How many versions got leave to run since the start.
    pub numbers: u64,
    /// How many of them ended and are still mapped.
    pub retired: u64,
}

/// A journey that waits for its turn, and how it is told.
pub type Waiting = (u64, oneshot::Sender<Result<Turn, End>>);

/// A version in service.
pub struct Serving {
    /// The plugin itself.
    pub generation: Arc<Generation>,
    /// The file in the drop folder that it came from.
    pub file: FileName,
    /// The copy that is mapped.
    pub staged: StagedFile,
    /// Since when.
    pub since: Timestamp,
    /// Its file was removed, and another that holds the same plugin is asked to take over.
    pub orphan: bool,
    /// It may be recorded as the last good version: it passed its probation, or there is no other.
    pub is_proven: bool,
    /// What was wrong with it in its first seconds, if it serves on or until the last good version is back.
    pub misconduct: Option<Misconduct>,
    /// Its first seconds, while they last.
    pub observation: Option<Observation>,
}

/// A version on its way out.
pub struct Leaving {
    /// The plugin itself.
    pub generation: Arc<Generation>,
    /// The file that it came from.
    pub file: FileName,
    /// The copy that is mapped.
    pub staged: StagedFile,
    /// How far it is.
    pub state: State,
    /// Since when.
    pub since: Timestamp,
}

/// A file in the drop folder.
pub struct File {
    /// Not missing at this moment.
    pub here: bool,
    /// Changing, since then.
    pub settling: Option<Timestamp>,
    /// The journey of its content.
    pub journey: Option<u64>,
    /// A newer content, which settled while the journey was under way.
    pub next: Option<Stamps>,
    /// The watch was asked to look at it once more, and has not said anything since.
    pub again: bool,
    /// The plugin that it holds, or held last.
    pub claims: Option<String>,
    /// Why its content is not taken.
    pub refused: Option<Refused>,
    /// A content of this file that is taken, and what there is to say against it.
    pub doubt: Option<(Digest, String)>,
    /// Who wanted it looked at.
    pub actor: Actor,
}

impl Books {
    /// The books as an earlier run left them. `state` is the state folder.
    pub fn restore(records: Vec<PluginRecord>, quarantined: Vec<Quarantined>, state: &Path) -> Books {
        let known = |entry: Quarantined| Some((Digest::parse(&entry.sha256)?, entry.reason));
        let mut books = Books { quarantine: quarantined.into_iter().filter_map(known).collect(), ..Books::default() };
        for record in records {
            let id = record.id.clone();
            let plugin = books.plugins.entry(id.clone()).or_default();
            plugin.disabled = record.disabled;
            plugin.good = LastGood::restore(record, state);
            books.step_back(&id);
        }
        books
    }

    /// The version in service.
    pub fn serving_mut(&mut self, id: &str) -> Option<&mut Serving> {
        self.plugins.get_mut(id)?.serving.as_mut()
    }

    /// The last good version, if there is nothing against it: what can be gone back to.
    pub fn fallback(&self, id: &str) -> Option<&Kept> {
        let kept = self.plugins.get(id)?.good.last.as_ref()?;
        (kept.refused.is_none() && !self.quarantine.contains_key(&kept.staged.digest())).then_some(kept)
    }

    /// The plugins that are known and out of service: by the administrator's word, or because their only good version is
    /// not to be tried again.
    pub fn disabled(&self) -> BTreeSet<String> {
        let quarantined = |kept: &Kept| self.quarantine.contains_key(&kept.staged.digest());
        let is_out = |plugin: &Plugin| plugin.disabled || plugin.good.last.as_ref().is_some_and(quarantined);
        let out = self.plugins.iter().filter(|(_, plugin)| plugin.serving.is_none() && is_out(plugin));
        out.map(|(id, _)| id.clone()).collect()
    }

    /// Puts the good version before the last into its place, if the last one is not to be tried again. Answers whether.
    pub fn step_back(&mut self, id: &str) -> bool {
        let is_bad = |content| self.quarantine.contains_key(&content);
        self.plugins.get_mut(id).is_some_and(|plugin| plugin.good.step_back(is_bad))
    }

    /// Whether the last good version is on its way into service.
    pub fn is_returning(&self, id: &str) -> bool {
        self.travels.values().any(|travel| travel.kept.as_deref() == Some(id))
    }

    /// The plugin that is served from this file.
    pub fn served_from(&self, file: &FileName) -> Option<(&String, &Serving)> {
        self.plugins
            .iter()
            .filter_map(|(id, plugin)| Some((id, plugin.serving.as_ref()?)))
            .find(|(_, serving)| serving.file == *file)
    }

    /// The plugin that this file holds, held last, or held in an earlier run.
    pub fn claimed_by(&self, file: &FileName) -> Option<&String> {
        let claims = self.files.get(file).and_then(|file| file.claims.as_ref());
        claims.or_else(|| self.served_from(file).map(|(id, _)| id)).or_else(|| {
            let kept = |plugin: &Plugin| plugin.good.last.as_ref().is_some_and(|kept| kept.file == *file);
            self.plugins.iter().find(|(_, plugin)| kept(plugin)).map(|(id, _)| id)
        })
    }

    /// The files that hold this plugin.
    pub fn files_of(&self, id: &str) -> Vec<FileName> {
        let held = self.files.iter().filter(|(_, file)| file.claims.as_deref() == Some(id));
        held.map(|(name, _)| name.clone()).collect()
    }

    /// The last good version of a plugin, even if it was removed since.
    pub fn last_version(&self, id: &str) -> Option<&str> {
        let kept = self.plugins.get(id).and_then(|plugin| plugin.good.last.as_ref());
        kept.map(|kept| &kept.record.version).or_else(|| self.last_versions.get(id)).map(String::as_str)
    }

    /// The journey of this file's content, while it is under way.
    pub fn journey_of(&self, file: &FileName) -> Option<&Travel> {
        self.travels.get(&self.files.get(file)?.journey?)
    }

    /// Whether this file is in the folder at this moment.
    pub fn is_here(&self, file: &FileName) -> bool {
        self.files.get(file).is_some_and(|file| file.here)
    }
}

impl Plugin {
    /// Puts a version into service, or none. The one before it is on its way out from then on, and is to be retired.
    pub fn serve(&mut self, next: Option<Serving>) -> Option<Serving> {
        let former = std::mem::replace(&mut self.serving, next);
        self.leaving.extend(former.as_ref().map(Leaving::of));
        former
    }

    /// Whether this copy is needed: to serve it again, or because it is being ended.
    pub fn needs(&self, copy: &StagedFile) -> bool {
        self.good.needs(copy) || self.leaving.iter().any(|leaving| leaving.staged == *copy)
    }

    /// Deletes the copies that are of no use and no longer on record. One that is being ended is deleted after its end.
    pub fn delete_stale(&mut self) {
        let stale = self.good.take_stale();
        stale.iter().filter(|copy| !self.needs(copy)).for_each(StagedFile::delete);
    }

    /// Lets go of the turn, if this journey has it.
    pub fn give_up_turn(&mut self, journey: u64) {
        self.turn = self.turn.filter(|holder| *holder != journey);
    }
}

impl Leaving {
    fn of(serving: &Serving) -> Leaving {
        Leaving {
            generation: serving.generation.clone(),
            file: serving.file.clone(),
            staged: serving.staged.clone(),
            state: State::Draining,
            since: Timestamp::now(),
        }
    }
}

impl Serving {
    /// A version that comes into service now.
    pub fn new(generation: Arc<Generation>, file: FileName, staged: StagedFile) -> Serving {
        let (since, misconduct, observation) = (Timestamp::now(), None, None);
        Serving { generation, file, staged, since, orphan: false, is_proven: true, misconduct, observation }
    }

    /// Its number and what was wrong with it, if anything was.
    pub fn verdict(&self) -> Option<(u64, Misconduct)> {
        Some((self.generation.number(), self.misconduct.clone()?))
    }

    /// How the log calls it.
    pub fn subject(&self) -> Subject {
        let manifest = self.generation.manifest();
        Subject::plugin(&manifest.id, &manifest.version, self.staged.digest())
    }

    /// The full patterns of its routes.
    pub fn routes(&self) -> Vec<String> {
        self.generation.routes().iter().map(|route| route.pattern().to_owned()).collect()
    }

    /// What is kept of it across a restart.
    pub fn record(&self, retired: u64, reason: Option<String>) -> PluginRecord {
        let manifest = self.generation.manifest();
        PluginRecord {
            id: manifest.id.clone(),
            version: manifest.version.clone(),
            file: self.file.to_string(),
            sha256: self.staged.digest().to_string(),
            staged: self.staged.relative(),
            generation: self.generation.number(),
            since: self.since.as_millisecond(),
            state: "active".into(),
            reason,
            routes: self.routes(),
            retired,
            name: manifest.name.clone(),
            description: manifest.description.clone(),
            author: manifest.authors.clone(),
            licence: manifest.license.clone(),
            previous: None,
            disabled: false,
        }
    }
}

impl File {
    /// A file that has just come.
    pub fn new(actor: Actor) -> File {
        let (claims, refused, doubt) = (None, None, None);
        File {
            here: true,
            settling: Some(Timestamp::now()),
            journey: None,
            next: None,
            again: false,
            claims,
            refused,
            doubt,
            actor,
        }
    }
}

impl File {
    /// What there is to say against a content of it that serves.
    pub fn doubt_about(&self, content: Digest) -> Option<String> {
        self.doubt.as_ref().filter(|(digest, _)| *digest == content).map(|(_, doubt)| doubt.clone())
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::*;

    fn name(text: &str) -> FileName {
        FileName::parse(OsStr::new(text)).unwrap()
    }

    fn record(id: &str, file: &str) -> PluginRecord {
        let sha256 = Digest::of(id.as_bytes()).to_string();
        let staged = format!("staging/{id}.so");
        PluginRecord { id: id.into(), file: file.into(), sha256, staged, ..PluginRecord::default() }
    }

    #[test]
    fn an_earlier_run_is_restored() {
        let disabled = PluginRecord { disabled: true, ..record("b", "b.so") };
        let never_served = PluginRecord { staged: String::new(), ..record("c", "c.so") };
        let quarantined = Quarantined {
            sha256: Digest::of(b"bad").to_string(),
            plugin: "a".into(),
            reason: "crashed".into(),
            since: 0,
        };
        let records = vec![record("a", "a.so"), disabled, never_served];
        let books = Books::restore(records, vec![quarantined], Path::new("/state"));
        let kept = books.plugins["a"].good.last.as_ref().unwrap();
        assert_eq!((kept.staged.path(), &kept.file), (Path::new("/state/staging/a.so"), &name("a.so")));
        assert!(books.plugins["b"].disabled);
        assert!(books.plugins["c"].good.last.is_none());
        assert_eq!(books.quarantine[&Digest::of(b"bad")], "crashed");
    }

    #[test]
    fn a_file_is_its_plugins_by_what_it_holds_or_held() {
        let mut books = Books::restore(vec![record("a", "x.so")], Vec::new(), Path::new("/state"));
        assert_eq!(books.claimed_by(&name("x.so")), Some(&"a".to_owned()));
        let file = File { claims: Some("b".into()), ..File::new(Actor::File) };
        books.files.insert(name("x.so"), file);
        assert_eq!(books.claimed_by(&name("x.so")), Some(&"b".to_owned()));
        assert_eq!(books.files_of("b"), [name("x.so")]);
        assert_eq!(books.claimed_by(&name("y.so")), None);
    }

    #[test]
    fn a_turn_is_given_up_by_its_holder_only() {
        let mut plugin = Plugin { turn: Some(7), ..Plugin::default() };
        plugin.give_up_turn(6);
        assert_eq!(plugin.turn, Some(7));
        plugin.give_up_turn(7);
        assert_eq!(plugin.turn, None);
    }
}
