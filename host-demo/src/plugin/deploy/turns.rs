//! Whose code may run: of each plugin one version at a time, and only if nothing is against it.

use tokio::sync::oneshot;

use super::{
    books::Waiting,
    desk::{Standing, Turn},
    folder::FileName,
    journey::{Candidate, End},
    refusal::Refusal,
    registry::Registry,
    travel::Travel,
};

impl Registry {
    pub(super) fn asked_for_turn(&mut self, journey: u64, reply: oneshot::Sender<Result<Turn, End>>) {
        let Some(id) = self.books.travels.get(&journey).and_then(|travel| travel.id()).cloned() else { return };
        self.books.plugins.entry(id.clone()).or_default().waiting.push_back((journey, reply));
        self.next_turn(&id);
    }

    /// Lets the next version of a plugin run its code, if none does.
    pub(super) fn next_turn(&mut self, id: &str) {
        while let Some((journey, reply)) = self.next_in_line(id) {
            let turn = self.judge_turn(id, journey);
            let granted = turn.is_ok();
            if reply.send(turn).is_ok() && granted {
                self.books.plugins.entry(id.to_owned()).or_default().turn = Some(journey);
            }
        }
    }

    fn next_in_line(&mut self, id: &str) -> Option<Waiting> {
        let plugin = self.books.plugins.get(id).filter(|plugin| plugin.turn.is_none())?;
        let place = plugin.waiting.iter().position(|(journey, _)| !self.gives_way(id, *journey))?;
        self.books.plugins.get_mut(id)?.waiting.remove(place)
    }

    /// At the start, the file that served before goes first, and behind it the content that did, whatever its file is called now. What comes first of
    /// two files with one plugin is what stays.
    fn gives_way(&self, id: &str, journey: u64) -> bool {
        let Some(last) = self.books.plugins.get(id).and_then(|plugin| plugin.good.last.as_ref()) else { return false };
        let Some(travel) = self.books.travels.get(&journey).filter(|travel| travel.kept.is_none()) else {
            return false;
        };
        if self.first.revived || travel.file == last.file {
            return false;
        }
        let content = last.staged.digest();
        let goes_first = |other: &FileName| {
            let carried = self.books.journey_of(other).and_then(|travel| travel.candidate.as_ref());
            let (is_its_file, has_content) = (*other == last.file, travel.digest == Some(content));
            carried.map_or(is_its_file || !has_content, |Candidate { manifest, staged }| {
                manifest.id == id && (is_its_file || !has_content && staged.digest() == content)
            })
        };
        self.first.awaited.iter().any(|other| *other != travel.file && goes_first(other))
    }

    /// Whether the code of a content is to be run.
    fn judge_turn(&mut self, id: &str, journey: u64) -> Result<Turn, End> {
        if !self.is_wanted(id, journey) {
            return Err(End::Unwanted);
        }
        let Some(travel) = self.books.travels.get(&journey) else { return Err(End::Unwanted) };
        // The last good version is no twin of the one that it is to replace.
        let serving =
            self.books.plugins.get(id).and_then(|plugin| plugin.serving.as_ref()).filter(|_| travel.kept.is_none());
        let owner = serving.map(|serving| &serving.file);
        if let Some(owner) = owner.filter(|owner| **owner != travel.file && self.books.is_here(owner)) {
            let (stays, refused) = (owner.to_string(), travel.file.to_string());
            return Err(Refusal::SameId { id: id.to_owned(), stays, refused }.into());
        }
        if let Some(reason) = travel.digest.and_then(|digest| self.books.quarantine.get(&digest)) {
            return Err(Refusal::Quarantined { reason: reason.clone(), retry: id.to_owned() }.into());
        }
        self.check_progress(id, travel)?;
        let (file, digest) = (travel.file.clone(), travel.digest);
        let plugin = self.books.plugins.entry(id.to_owned()).or_default();
        if let Some(serving) = plugin.serving.as_mut().filter(|serving| Some(serving.staged.digest()) == digest) {
            // Renamed: what is in service goes on under its new name.
            serving.file = file;
            serving.orphan = false;
            return Err(End::Same);
        }
        plugin.numbers += 1;
        let standing = match digest.filter(|digest| plugin.good.holds(*digest)) {
            None => Standing::Unknown,
            Some(digest) if self.books.slow.contains_key(&digest) => Standing::Slow,
            Some(_) => Standing::Good,
        };
        Ok(Turn { number: plugin.numbers, standing })
    }

    /// The kept version is this server's own, and may be older than what failed after it.
    fn check_progress(&self, id: &str, travel: &Travel) -> Result<(), Refusal> {
        let from_folder = travel.candidate.as_ref().filter(|_| travel.kept.is_none());
        from_folder.map_or(Ok(()), |Candidate { manifest, staged }| {
            let last = self.books.last_version(id);
            self.workshop.vouching.check_progress(id, &manifest.version, staged.digest(), last)
        })
    }

    /// Whether what a journey carries should still come into service.
    pub(super) fn is_wanted(&self, id: &str, journey: u64) -> bool {
        let (Some(travel), Some(plugin)) = (self.books.travels.get(&journey), self.books.plugins.get(id)) else {
            return false;
        };
        let in_place = match travel.kept {
            Some(_) => {
                plugin.good.last.is_some() && plugin.serving.as_ref().is_none_or(|serving| serving.misconduct.is_some())
            }
            None => self.books.files.get(&travel.file).is_some_and(|file| file.journey == Some(journey)),
        };
        in_place && !plugin.disabled && self.ending.is_none()
    }
}
