//! What comes in from the drop folder, and what becomes of it: the registry's side of the watch and of journeys.

use std::time::Duration;

use jiff::Timestamp;

use super::{
    books::{File, Kept, Plugin, Refused, Serving, Travel},
    desk::{Desk, Message},
    digest::Digest,
    folder::{FileName, Stamps},
    journey::{Candidate, End, Journey, Origin},
    refusal::{Fault, Refusal},
    registry::Registry,
    settle::Sighting,
    status::{Actor, State, Subject},
    vouch::Voucher,
};
use crate::store::Quarantined;

/// How long a file found at the start may go on changing before this server is ready without it.
const START_PATIENCE: Duration = Duration::from_secs(3);
/// How long after a failure of this host a file is tried again.
const HOST_RETRY: Duration = Duration::from_secs(2);

impl Registry {
    pub(super) fn looked(&mut self, files: Vec<FileName>) {
        self.first.looked = true;
        self.first.awaited = files.into_iter().collect();
        self.later(START_PATIENCE, Message::PatienceOver);
    }

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
        match file.journey {
            Some(_) => file.next = Some(stamps),
            None => self.depart(name, stamps),
        }
    }

    fn depart(&mut self, name: FileName, stamps: Stamps) {
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
        let Some(kept) = plugin.kept.as_ref().filter(|kept| kept.refused.is_none()) else { return };
        if self.books.is_returning(id) || self.is_just_refused(id, kept) || self.ending.is_some() {
            return;
        }
        let actor = if *self.ready.borrow() { Actor::File } else { Actor::Start };
        let travel = Travel { kept: Some(id.to_owned()), ..Travel::new(kept.file.clone(), actor) };
        let origin = Origin::Kept { staged: kept.staged.clone(), mapped: kept.mapped };
        if let Some(kept) = self.books.plugins.get_mut(id).and_then(|plugin| plugin.kept.as_mut()) {
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

    pub(super) async fn ended(&mut self, journey: u64, result: Result<(), End>) {
        let Some(travel) = self.books.travels.remove(&journey) else { return };
        let id = travel.id().cloned();
        if let Some(id) = &id {
            self.books.plugins.entry(id.clone()).or_default().give_up_turn(journey);
            if result.is_err() && matches!(travel.state, State::Loaded | State::Started) {
                self.count_retired(id);
            }
        }
        match (&travel.kept, result) {
            (Some(id), Err(End::Refused(refusal))) => self.refuse_kept(id, &travel, refusal).await,
            (Some(_), _) => {}
            (None, result) => self.file_ended(journey, &travel, result).await,
        }
        if let Some(id) = id {
            self.next_turn(&id);
            self.note_new_name(&id).await;
        }
        self.take_out_orphans().await;
    }

    async fn file_ended(&mut self, journey: u64, travel: &Travel, result: Result<(), End>) {
        let Some(file) = self.books.files.get_mut(&travel.file).filter(|file| file.journey == Some(journey)) else {
            return;
        };
        file.journey = None;
        let next = file.next.take();
        let settles_anew = matches!(result, Err(End::Changed));
        match result {
            Ok(()) => self.accept(&travel.file).await,
            Err(End::Same) => {
                travel.subject().stays("the same content as in service, not loaded again");
                self.accept(&travel.file).await;
            }
            Err(End::Changed) => travel.subject().stays("changed meanwhile, looked at again when it settles"),
            Err(End::Unwanted) => travel.subject().stays("not wanted now: removed, replaced or switched off"),
            Err(End::Refused(refusal)) => self.refuse(travel, refusal).await,
        }
        match next {
            Some(stamps) if self.ending.is_none() => self.depart(travel.file.clone(), stamps),
            // Whoever gave a command waits on; this server does not wait for ever to be ready.
            None if settles_anew => {
                if self.first.patience_over {
                    self.first.awaited.remove(&travel.file);
                }
            }
            _ => self.decided(&travel.file),
        }
    }

    /// A file is active or refused, or gone: nobody needs to wait for it any more.
    fn decided(&mut self, name: &FileName) {
        self.first.awaited.remove(name);
        for vigil in &mut self.vigils {
            vigil.files.remove(name);
        }
    }

    /// The file is what it should be; where it was not, the record said so.
    async fn accept(&mut self, name: &FileName) {
        let refused = self.books.files.get_mut(name).and_then(|file| file.refused.take());
        let served = self.books.served_from(name).map(|(id, _)| id.clone());
        if let (Some(_), Some(id)) = (refused, served) {
            self.record(&id).await;
        }
    }

    async fn refuse(&mut self, travel: &Travel, refusal: Refusal) {
        let id = travel.id().or_else(|| self.books.claimed_by(&travel.file)).cloned();
        let Some(file) = self.books.files.get_mut(&travel.file) else { return };
        file.claims = id.clone();
        let refused = travel.refused(refusal.clone());
        let known = file.refused.replace(refused).is_some_and(|former| former.is_same(travel.digest, &refusal));
        // Once per content, however often it is looked at.
        if !known {
            travel.subject().refused(travel.state, &refusal, travel.actor);
            self.counters.count_refusal();
        }
        self.quarantine_content(travel, &refusal).await;
        if refusal.passes_by_itself() {
            self.later(HOST_RETRY, Message::TryAgain(travel.file.clone()));
        }
        if let Some(id) = id {
            if !known {
                self.record_refusal(&id, travel, &refusal).await;
            }
            self.revive(&id);
        }
    }

    /// Notes the refusal beside the version that serves on, or in its place if there is none.
    async fn record_refusal(&mut self, id: &str, travel: &Travel, refusal: &Refusal) {
        let plugin = self.books.plugins.entry(id.to_owned()).or_default();
        if plugin.serving.is_some() {
            return self.record(id).await;
        }
        if plugin.kept.is_none()
            && let Err(cause) = self.store.save_plugin(&travel.record(id, refusal)).await
        {
            log::error!("plugin {id}: its refusal is not recorded: {cause}");
        }
    }

    async fn refuse_kept(&mut self, id: &str, travel: &Travel, refusal: Refusal) {
        travel.subject().refused(travel.state, &refusal, travel.actor);
        self.counters.count_refusal();
        self.quarantine_content(travel, &refusal).await;
        let Some(plugin) = self.books.plugins.get_mut(id) else { return };
        let misconduct = plugin.serving.as_ref().and_then(Serving::verdict).filter(|_| refusal.passes_by_itself());
        if let Some((number, misconduct)) = misconduct {
            // What is in service is bad, and only this host is in the way of the better one.
            let again = Message::Probation { id: id.to_owned(), number, result: Err(misconduct) };
            return self.later(HOST_RETRY, again);
        }
        let passes = refusal.passes_by_itself();
        if let Some(kept) = plugin.kept.as_mut() {
            kept.refused = Some(travel.refused(refusal));
        }
        if passes {
            return self.later(HOST_RETRY, Message::ReviveAgain(id.to_owned()));
        }
        if self.books.step_back(id) {
            self.revive(id);
        }
    }

    async fn quarantine_content(&mut self, travel: &Travel, refusal: &Refusal) {
        if let Some(digest) = travel.digest.filter(|_| refusal.calls_for_quarantine()) {
            self.quarantine(travel.id().map_or("", String::as_str), digest, refusal).await;
        }
    }

    /// Has a content not tried again, across restarts too, until the administrator wants it.
    pub(super) async fn quarantine(&mut self, plugin: &str, digest: Digest, refusal: &Refusal) {
        let (plugin, reason) = (plugin.to_owned(), refusal.to_string());
        self.books.quarantine.insert(digest, reason.clone());
        let since = Timestamp::now().as_millisecond();
        let entry = Quarantined { sha256: digest.to_string(), plugin, reason, since };
        if let Err(cause) = self.store.quarantine(&entry).await {
            log::error!("plugin {}: its quarantine ends with this run: {cause}", entry.plugin);
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
    async fn take_out_orphans(&mut self) {
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
    async fn note_new_name(&mut self, id: &str) {
        let Some(plugin) = self.books.plugins.get(id) else { return };
        if let (Some(serving), Some(Kept { file, .. })) = (&plugin.serving, &plugin.kept)
            && serving.file != *file
        {
            self.record(id).await;
        }
    }

    pub(super) fn try_again(&mut self, name: FileName) {
        let refused = self.books.files.get(&name).and_then(|file| file.refused.as_ref());
        if refused.is_some_and(|refused| refused.refusal.passes_by_itself()) {
            self.watch.look_again(name);
        }
    }

    /// What kept the last good version from coming back was this host's.
    pub(super) fn revive_again(&mut self, id: &str) {
        let kept = self.books.plugins.get_mut(id).and_then(|plugin| plugin.kept.as_mut());
        let Some(kept) = kept else { return };
        if kept.refused.take_if(|refused| refused.refusal.passes_by_itself()).is_some() {
            self.revive(id);
        }
    }

    pub(super) fn lose_patience(&mut self) {
        self.first.patience_over = true;
        let files = &self.books.files;
        self.first.awaited.retain(|name| files.get(name).is_some_and(|file| file.journey.is_some()));
    }

    /// Once all that was found at the start is decided, what is not in service is looked for among the last good versions.
    pub(super) async fn advance_first_scan(&mut self) {
        if self.first.revived || !self.first.looked || !self.first.awaited.is_empty() {
            return;
        }
        self.first.revived = true;
        for id in self.books.plugins.keys().cloned().collect::<Vec<_>>() {
            match self.removed_while_down(&id) {
                true => self.forget(&id).await,
                false => self.revive(&id),
            }
        }
    }

    /// This server is ready when the last good versions are decided too.
    pub(super) fn tell_if_ready(&self) {
        let decided = || self.books.travels.values().all(|travel| travel.actor != Actor::Start);
        if self.first.revived && !*self.ready.borrow() && decided() {
            self.ready.send_replace(true);
        }
    }

    fn removed_while_down(&self, id: &str) -> bool {
        let Some(plugin) = self.books.plugins.get(id).filter(|plugin| plugin.serving.is_none()) else { return false };
        let is_there = plugin.kept.as_ref().is_some_and(|kept| self.books.files.contains_key(&kept.file));
        self.folder_is_open && !is_there && self.books.files_of(id).is_empty()
    }

    fn later(&self, pause: Duration, message: Message) {
        let messages = self.messages.clone();
        tokio::spawn(async move {
            tokio::time::sleep(pause).await;
            // A server that ends does not care.
            let _ = messages.send(message).await;
        });
    }
}
