//! What comes in from the drop folder and sets out from there: the registry's side of the watch and of journeys.

use jiff::Timestamp;

use super::{
    books::{File, Plugin},
    desk::Desk,
    folder::FileName,
    journey::{Candidate, Journey, Origin},
    last_good::Kept,
    refusal::{Fault, Refusal},
    registry::Registry,
    settle::Sighting,
    stamp::Stamps,
    status::{Actor, State, Subject},
    travel::{Refused, Travel},
    vouch::Voucher,
};
impl Registry {
    pub(super) async fn sighted(&mut self, sighting: Sighting) {
        if self.ending.is_some() {
            return;
        }
        match sighting {
            Sighting::Seen(file) => self.seen(file),
            Sighting::Settled(file, stamps) => self.settled(file, stamps),
            Sighting::Missing(file) => {
                if let Some(file) = self.books.files.get_mut(&file) {
                    file.here = false;
                }
            }
            Sighting::Gone(file) => self.removed(&file).await,
            Sighting::FolderClosed(why) => {
                self.folder_is_open = false;
                log::warn!("plugins folder: {why}; plugins serve on");
                self.books.files.keys().cloned().collect::<Vec<_>>().iter().for_each(|name| self.out_of_reach(name));
            }
            Sighting::FolderOpen => {
                self.folder_is_open = true;
                log::info!("plugins folder: {} can be read again", self.workshop.folder.path().display());
            }
            Sighting::FolderReplaced(file) => self.left_with_its_folder(&file),
        }
    }

    fn left_with_its_folder(&mut self, name: &FileName) {
        if let Some(file) = self.books.files.get_mut(name) {
            file.here = false;
        }
        log::warn!(
            "plugins folder: another folder is at {}, and {name} is not in it; what it served goes on (copy the file \
             there and delete it again to remove the plugin, or disable it)",
            self.workshop.folder.path().display()
        );
        self.out_of_reach(name);
    }

    /// A file went with its folder: who waits for it to be decided gets the last good version, if nothing serves.
    fn out_of_reach(&mut self, name: &FileName) {
        let on_its_way = self.books.files.get(name).is_some_and(|file| file.journey.is_some());
        if !on_its_way {
            self.decided(name);
            let id = self.books.claimed_by(name).cloned();
            id.into_iter().for_each(|id| self.revive(&id));
        }
    }

    fn seen(&mut self, name: FileName) {
        let actor = if *self.ready.borrow() { Actor::File } else { Actor::Start };
        let claims = self.books.claimed_by(&name).cloned();
        let file = self.books.files.entry(name).or_insert_with(|| File::new(actor));
        file.here = true;
        file.settling = Some(Timestamp::now());
        file.claims = claims;
    }

    fn settled(&mut self, name: FileName, stamps: Stamps) {
        let file = self.books.files.entry(name.clone()).or_insert_with(|| File::new(Actor::File));
        file.here = true;
        file.settling = None;
        file.again = false;
        match file.journey {
            Some(_) => file.next = Some(stamps),
            None => self.depart(name, stamps),
        }
    }

    pub(super) fn depart(&mut self, name: FileName, stamps: Stamps) {
        let serves = self.books.served_from(&name).map(|(_, serving)| serving.staged.digest());
        let Some(file) = self.books.files.get_mut(&name) else { return };
        let actor = std::mem::replace(&mut file.actor, Actor::File);
        file.journey = Some(self.last_journey + 1);
        Subject::file(&name).step(State::Seen, State::Settled, actor);
        self.set_out(Origin::Folder { file: name.clone(), stamps, serves }, Travel::new(name, actor));
    }

    /// Brings the last good version of a plugin back into service, if there is one and nothing else serves.
    pub(super) fn revive(&mut self, id: &str) {
        let Some(plugin) = self.books.plugins.get(id).filter(|plugin| !plugin.disabled && plugin.serving.is_none())
        else {
            return;
        };
        let Some(kept) = plugin.good.last.as_ref().filter(|kept| kept.refused.is_none()) else { return };
        if self.books.is_returning(id) || self.is_just_refused(id, kept) || self.ending.is_some() {
            return;
        }
        let actor = if *self.ready.borrow() { Actor::File } else { Actor::Start };
        let travel = Travel { kept: Some(id.to_owned()), ..Travel::new(kept.file.clone(), actor) };
        let origin = Origin::Kept { staged: kept.staged.clone(), mapped: kept.mapped };
        if let Some(kept) = self.books.plugins.get_mut(id).and_then(|plugin| plugin.good.last.as_mut()) {
            kept.mapped = true;
        }
        self.set_out(origin, travel);
    }

    /// Whether the same content was refused in the folder for what it is. Whatever was wrong there beside it, a signature that is gone or who may
    /// write, is not the copy's.
    fn is_just_refused(&self, id: &str, kept: &Kept) -> bool {
        let refused = |name: &FileName| self.books.files.get(name)?.refused.as_ref();
        let same = |refused: &Refused| refused.digest == Some(kept.staged.digest());
        let files = self.books.files_of(id);
        let mut refusals = files.iter().filter_map(refused).filter(|refused| same(refused));
        refusals.any(|refused| refused.refusal.fault() == Fault::Author)
    }

    pub(super) fn set_out(&mut self, origin: Origin, travel: Travel) {
        self.last_journey += 1;
        let desk = Desk { journey: self.last_journey, messages: self.messages.clone() };
        self.books.travels.insert(self.last_journey, travel);
        tokio::spawn(Journey { origin, desk, workshop: self.workshop.clone() }.travel());
    }

    pub(super) async fn carries(&mut self, journey: u64, candidate: Candidate) {
        let Some(travel) = self.books.travels.get_mut(&journey) else { return };
        if let (None, Some(file)) = (&travel.kept, self.books.files.get_mut(&travel.file)) {
            file.claims = Some(candidate.manifest.id.clone());
        }
        travel.digest = Some(candidate.staged.digest());
        travel.candidate = Some(candidate);
        self.take_out_orphans().await;
    }

    /// Who vouches for a content is logged, and a doubt stays with the file for as long as it holds.
    pub(super) async fn vouched(&mut self, journey: u64, voucher: &Voucher) {
        let Some(travel) = self.books.travels.get(&journey) else { return };
        let doubt = travel.digest.zip(voucher.doubt());
        let (subject, name, kept) = (travel.subject(), travel.file.clone(), travel.kept.is_some());
        let file = self.books.files.get_mut(&name).filter(|_| !kept);
        let news = file.is_none_or(|file| std::mem::replace(&mut file.doubt, doubt.clone()) != doubt);
        match (&doubt, voucher) {
            (Some((_, doubt)), _) if news => subject.doubted(doubt),
            (Some(_), _) | (None, Voucher::Nobody) => {}
            (None, voucher) => subject.stays(&format!("signature: {voucher}")),
        }
        let served = self.books.served_from(&name).map(|(id, _)| id.clone());
        if let Some(id) = served.filter(|_| news && !kept) {
            self.record(&id).await;
        }
    }

    async fn removed(&mut self, name: &FileName) {
        self.decided(name);
        let id = self.books.claimed_by(name).cloned();
        let served = self.books.served_from(name).map(|(id, _)| id.clone());
        self.books.files.remove(name);
        Subject::file(name).stays("removed from the folder");
        if let Some(id) = &served {
            self.pass_on(id).await;
        }
        if let Some(id) = id.filter(|id| Some(id) != served.as_ref()) {
            self.take_out_orphans().await;
            let plugin = self.books.plugins.get(&id);
            let idle = plugin.is_some_and(|plugin| plugin.serving.is_none());
            if idle && self.books.files_of(&id).is_empty() {
                self.forget(&id).await;
            }
        }
    }

    /// The file of a plugin in service was removed: another file with the same plugin takes over, or it ends.
    async fn pass_on(&mut self, id: &str) {
        let heirs: Vec<_> = self.books.files_of(id).into_iter().filter(|heir| self.books.is_here(heir)).collect();
        let Some(serving) = self.books.serving_mut(id) else { return };
        serving.orphan = true;
        match heirs.is_empty() {
            true => self.take_out_orphans().await,
            false => heirs.into_iter().for_each(|heir| self.watch.look_again(heir)),
        }
    }

    /// Ends plugins whose file was removed and whose heirs, if any, failed.
    pub(super) async fn take_out_orphans(&mut self) {
        // The file may have been renamed, and is then among them.
        if self.books.travels.values().any(Travel::may_be_anything) {
            return;
        }
        let is_orphan = |plugin: &Plugin| plugin.serving.as_ref().is_some_and(|serving| serving.orphan);
        let orphans = self.books.plugins.iter().filter(|(_, plugin)| is_orphan(plugin) && plugin.turn.is_none());
        let hopes = |id: &str, plugin: &Plugin| {
            plugin.waiting.len() + self.books.files_of(id).iter().filter(|name| self.may_inherit(name)).count()
        };
        let lost = orphans.filter(|(id, plugin)| hopes(id, plugin) == 0).map(|(id, _)| id.clone());
        for id in lost.collect::<Vec<_>>() {
            self.undeploy(&id).await;
        }
    }

    /// Refused before, because the plugin had a file: to be looked at again.
    fn may_inherit(&self, name: &FileName) -> bool {
        let Some(file) = self.books.files.get(name) else { return false };
        let waits = file.refused.as_ref().is_some_and(|refused| matches!(refused.refusal, Refusal::SameId { .. }));
        waits || file.journey.is_some() || file.settling.is_some()
    }

    /// What is in service goes on under the name that its file has now.
    pub(super) async fn note_new_name(&mut self, id: &str) {
        let Some(plugin) = self.books.plugins.get(id) else { return };
        if let (Some(serving), Some(Kept { file, .. })) = (&plugin.serving, &plugin.good.last)
            && serving.file != *file
        {
            self.record(id).await;
        }
    }
}
