//! What is found at the start: this server is ready when each of it is active or refused, and what no file brought into service
//! was looked for among the last good versions.

use std::{collections::BTreeSet, time::Duration};

use super::{desk::Message, folder::FileName, registry::Registry, status::Actor};

/// How long a file found at the start may go on changing before this server is ready without it.
const START_PATIENCE: Duration = Duration::from_secs(3);

/// How far the plugins found at the start are.
#[derive(Default)]
pub struct FirstScan {
    /// The folder has been looked at.
    pub looked: bool,
    /// The files found in it that are neither active nor refused.
    pub awaited: BTreeSet<FileName>,
    /// Files that still change are no longer waited for.
    pub patience_over: bool,
    /// What no file brought into service was looked for among the last good versions.
    pub revived: bool,
}

impl Registry {
    pub(super) fn looked(&mut self, files: Vec<FileName>) {
        self.first.looked = true;
        self.first.awaited = files.into_iter().collect();
        self.later(START_PATIENCE, Message::PatienceOver);
    }

    pub(super) fn lose_patience(&mut self) {
        self.first.patience_over = true;
        let files = &self.books.files;
        self.first.awaited.retain(|name| files.get(name).is_some_and(|file| file.journey.is_some()));
    }

    /// Once all that was found at the start is decided, what is not in service is looked for among the last good versions.
    pub(super) async fn advance_first_scan(&mut self) {
        if self.first.revived || !self.first.looked {
            return;
        }
        // Whom a file gave way to may be decided by now.
        self.books.plugins.keys().cloned().collect::<Vec<_>>().iter().for_each(|id| self.next_turn(id));
        if !self.first.awaited.is_empty() {
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
        let is_there = plugin.good.last.as_ref().is_some_and(|kept| self.books.files.contains_key(&kept.file));
        self.folder_is_open && !is_there && self.books.files_of(id).is_empty()
    }
}
