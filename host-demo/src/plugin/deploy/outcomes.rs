//! How journeys end, and what follows: what is taken, what is refused, what is not to be tried again, and what is tried again by itself.

use std::time::Duration;

use jiff::Timestamp;

use super::{
    books::Serving, desk::Message, digest::Digest, folder::FileName, journey::End, refusal::Refusal,
    registry::Registry, status::State, travel::Travel,
};
use crate::store::Quarantined;

/// How long after a failure of this host a file is tried again.
const HOST_RETRY: Duration = Duration::from_secs(2);
/// How long at most after another one in a row of a good version that takes too long: each keeps a bench, and may leave a start that hangs.
const LONGEST_RETRY: Duration = Duration::from_secs(300);

impl Registry {
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
            (Some(id), Err(End::Refused(refusal))) if travel.superseded => {
                travel.tell_of_superseded(&refusal);
                self.revive(id);
            }
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
        let settles_anew = matches!(result, Err(End::Changed)) || file.again;
        match result {
            Ok(()) => self.accept(&travel.file).await,
            Err(End::Same) => {
                travel.subject().stays("the same content as in service, not loaded again");
                self.accept(&travel.file).await;
            }
            Err(End::Changed) => travel.subject().stays("changed meanwhile, looked at again when it settles"),
            Err(End::Unwanted) => travel.subject().stays("not wanted now: removed, replaced or switched off"),
            Err(End::Refused(refusal)) if travel.superseded => travel.tell_of_superseded(&refusal),
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
    pub(super) fn decided(&mut self, name: &FileName) {
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
            let pause = self.pause(travel, &refusal);
            self.later(pause, Message::TryAgain(travel.file.clone()));
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
        if plugin.good.last.is_none()
            && let Err(cause) = self.store.save_plugin(&travel.record(id, refusal)).await
        {
            log::error!("plugin {id}: its refusal is not recorded: {cause}");
        }
    }

    async fn refuse_kept(&mut self, id: &str, travel: &Travel, refusal: Refusal) {
        travel.subject().refused(travel.state, &refusal, travel.actor);
        self.counters.count_refusal();
        self.quarantine_content(travel, &refusal).await;
        let pause = self.pause(travel, &refusal);
        let Some(plugin) = self.books.plugins.get_mut(id) else { return };
        let misconduct = plugin.serving.as_ref().and_then(Serving::verdict).filter(|_| refusal.passes_by_itself());
        if let Some((number, misconduct)) = misconduct {
            // What is in service is bad, and only this host is in the way of the better one.
            let again = Message::Probation { id: id.to_owned(), number, result: Err(misconduct) };
            return self.later(pause, again);
        }
        let passes = refusal.passes_by_itself();
        if let Some(kept) = plugin.good.last.as_mut() {
            kept.refused = Some(travel.refused(refusal));
        }
        if passes {
            return self.later(pause, Message::ReviveAgain(id.to_owned()));
        }
        if self.books.step_back(id) {
            self.revive(id);
        }
    }

    /// How long to wait before what passes by itself is tried again.
    fn pause(&mut self, travel: &Travel, refusal: &Refusal) -> Duration {
        let Some(content) = travel.digest.filter(|_| matches!(refusal, Refusal::Slow { .. })) else {
            return HOST_RETRY;
        };
        let failures = self.books.slow.entry(content).or_default();
        *failures += 1;
        pause_after(*failures)
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

    pub(super) fn try_again(&mut self, name: FileName) {
        let refused = self.books.files.get(&name).and_then(|file| file.refused.as_ref());
        if refused.is_some_and(|refused| refused.refusal.passes_by_itself()) {
            self.watch.look_again(name);
        }
    }

    /// What kept the last good version from coming back was this host's.
    pub(super) fn revive_again(&mut self, id: &str) {
        let kept = self.books.plugins.get_mut(id).and_then(|plugin| plugin.good.last.as_mut());
        let Some(kept) = kept else { return };
        if kept.refused.take_if(|refused| refused.refusal.passes_by_itself()).is_some() {
            self.revive(id);
        }
    }

    pub(super) fn later(&self, pause: Duration, message: Message) {
        let messages = self.messages.clone();
        tokio::spawn(async move {
            tokio::time::sleep(pause).await;
            // A server that ends does not care.
            let _ = messages.send(message).await;
        });
    }
}

/// Twice as long after each failure in a row.
fn pause_after(failures: u32) -> Duration {
    HOST_RETRY.saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1))).min(LONGEST_RETRY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_grows_up_to_some_minutes() {
        let pauses = [1, 2, 3, 7, 8, 9, 1_000].map(|failures| pause_after(failures).as_secs());
        assert_eq!(pauses, [2, 4, 8, 128, 256, 300, 300]);
    }
}
