//! Contents on their way into service, and those that were not taken.

use jiff::Timestamp;
use plugin_api::manifest::Manifest;

use super::{
    books::Serving,
    digest::Digest,
    folder::FileName,
    journey::Candidate,
    refusal::Refusal,
    status::{Actor, State, Subject},
};
use crate::store::PluginRecord;

/// A content on its way.
pub struct Travel {
    /// The file that it came from.
    pub file: FileName,
    /// The plugin, if it is its last good version that is brought back.
    pub kept: Option<String>,
    /// What it is, once that is known.
    pub candidate: Option<Candidate>,
    /// Its hash, once that is known.
    pub digest: Option<Digest>,
    /// How far it is.
    pub state: State,
    /// Since when.
    pub since: Timestamp,
    /// Who set it on its way.
    pub actor: Actor,
    /// It is to be tried once more, whatever becomes of this journey.
    pub superseded: bool,
}

/// A content that was not taken.
#[derive(Clone, Debug)]
pub struct Refused {
    /// Why.
    pub refusal: Refusal,
    /// Its version, if it got as far.
    pub version: Option<String>,
    /// Its hash, if it got as far.
    pub digest: Option<Digest>,
    /// Since when.
    pub since: Timestamp,
}

impl Travel {
    /// A content that has just settled.
    pub fn new(file: FileName, actor: Actor) -> Travel {
        let (kept, candidate, digest) = (None, None, None);
        let (state, since) = (State::Settled, Timestamp::now());
        Travel { file, kept, candidate, digest, state, since, actor, superseded: false }
    }

    /// Notes a step, and logs it.
    pub fn reach(&mut self, state: State) {
        self.subject().step(self.state, state, self.actor);
        self.state = state;
        self.since = Timestamp::now();
    }

    /// Has the log say that a failure of it does not count.
    pub fn tell_of_superseded(&self, refusal: &Refusal) {
        self.subject()
            .stays(&format!("to be tried once more, so it does not count that this time it was refused: {refusal}"));
    }

    /// The plugin, once it is known.
    pub fn id(&self) -> Option<&String> {
        self.candidate.as_ref().map(|candidate| &candidate.manifest.id).or(self.kept.as_ref())
    }

    /// Whether it comes from the folder and nobody has read yet what it is.
    pub fn may_be_anything(&self) -> bool {
        self.kept.is_none() && self.candidate.is_none()
    }

    /// How the log calls it.
    pub fn subject(&self) -> Subject {
        match &self.candidate {
            Some(candidate) => candidate.subject(),
            None => Subject { sha256: self.digest, ..Subject::file(&self.file) },
        }
    }

    /// What is kept across a restart of a plugin whose only version was refused.
    pub fn record(&self, id: &str, refusal: &Refusal) -> PluginRecord {
        let manifest = self.candidate.as_ref().map(|candidate| &candidate.manifest);
        let text = |of: fn(&Manifest) -> &String| manifest.map(|manifest| of(manifest).clone()).unwrap_or_default();
        PluginRecord {
            id: id.to_owned(),
            version: text(|manifest| &manifest.version),
            file: self.file.to_string(),
            sha256: self.digest.map(|digest| digest.to_string()).unwrap_or_default(),
            since: Timestamp::now().as_millisecond(),
            state: "refused".into(),
            reason: Some(refusal.to_string()),
            name: text(|manifest| &manifest.name),
            description: text(|manifest| &manifest.description),
            author: text(|manifest| &manifest.authors),
            licence: text(|manifest| &manifest.license),
            ..PluginRecord::default()
        }
    }

    /// What is to be said of its refusal.
    pub fn refused(&self, refusal: Refusal) -> Refused {
        let version = self.candidate.as_ref().map(|candidate| candidate.manifest.version.clone());
        Refused { refusal, version, digest: self.digest, since: Timestamp::now() }
    }
}

impl Refused {
    /// What is to be said of a version that came into service and is refused there.
    pub fn served(serving: &Serving, refusal: Refusal) -> Refused {
        let version = Some(serving.generation.manifest().version.clone());
        Refused { refusal, version, digest: Some(serving.staged.digest()), since: Timestamp::now() }
    }

    /// Whether this is the same trouble with the same content, whatever words it is told in: what a crash leaves on
    /// standard error need not be the same twice, and the second time it is a quarantine.
    pub fn is_same(&self, digest: Option<Digest>, refusal: &Refusal) -> bool {
        let same_kind = std::mem::discriminant(&self.refusal) == std::mem::discriminant(refusal);
        let follows = matches!(refusal, Refusal::Quarantined { .. });
        match (self.digest, digest) {
            (Some(former), Some(digest)) => former == digest && (same_kind || follows),
            (None, None) => self.refusal == *refusal,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(refusal: Refusal, content: &[u8]) -> Refused {
        Refused { refusal, version: None, digest: Some(Digest::of(content)), since: Timestamp::UNIX_EPOCH }
    }

    #[test]
    fn the_same_trouble_is_told_once() {
        let crash = |last: &str| Refusal::Crashed { how: "signal 6".into(), last_words: Some(last.into()) };
        let former = refused(crash("at 0x1"), b"content");
        let same = Some(Digest::of(b"content"));
        assert!(former.is_same(same, &crash("at 0x2")));
        assert!(former.is_same(same, &Refusal::Quarantined { reason: "crashed".into(), retry: "a".into() }));
        assert!(!former.is_same(same, &Refusal::NoManifest));
        assert!(!former.is_same(Some(Digest::of(b"other")), &crash("at 0x1")));
    }
}
