//! What the administrator wants of plugins: the registry's side of the commands.

use std::{collections::BTreeSet, time::Duration};

use tokio::sync::oneshot;

use super::{
    books::Serving,
    deployer::{Command, CommandError},
    folder::FileName,
    registry::Registry,
    status::Actor,
    travel::Travel,
    within::within,
};

/// How long a plugin may take to hear of a changed setting.
const SETTING_LIMIT: Duration = Duration::from_secs(10);

/// How a command is answered.
pub type Reply = oneshot::Sender<Result<(), CommandError>>;

/// A command that is answered when what it set going has come to an end.
pub struct Vigil {
    /// The files that are to be active or refused.
    pub files: BTreeSet<FileName>,
    /// The plugin.
    pub id: String,
    /// Who waits.
    pub reply: Reply,
}

impl Registry {
    pub(super) fn command(&mut self, command: Command, reply: Reply) {
        match command {
            Command::Shutdown => self.shut_down(reply),
            Command::Enable(id) => self.enable(&id, reply),
            Command::Retry(id) => self.retry(&id, reply),
            Command::Disable(id) => self.disable(&id, reply),
            Command::SettingChanged(id) => self.setting_changed(&id, reply),
        }
    }

    fn disable(&mut self, id: &str, reply: Reply) {
        let Some(plugin) = self.books.plugins.get_mut(id) else { return refuse(reply, unknown(id)) };
        plugin.disabled = true;
        self.take_out(id, Actor::Command);
        self.vigils.push(Vigil { files: BTreeSet::new(), id: id.to_owned(), reply });
    }

    /// Looks at the plugin's files again, or brings back its last good version if it has no file here.
    fn enable(&mut self, id: &str, reply: Reply) {
        if !self.is_known(id) {
            return refuse(reply, unknown(id));
        }
        self.books.plugins.entry(id.to_owned()).or_default().disabled = false;
        self.try_once_more(id, reply);
    }

    fn retry(&mut self, id: &str, reply: Reply) {
        let files = self.books.files_of(id);
        let refused = files.iter().filter_map(|file| self.books.files.get(file)?.refused.as_ref()?.digest);
        let kept = self.books.plugins.get(id).and_then(|plugin| plugin.good.last.as_ref());
        for digest in refused.chain(kept.map(|kept| kept.staged.digest())).collect::<Vec<_>>() {
            self.books.quarantine.remove(&digest);
        }
        if !self.is_known(id) {
            return refuse(reply, unknown(id));
        }
        self.try_once_more(id, reply);
    }

    /// Whether there is anything of a plugin here. One that was removed leaves no more than a number.
    fn is_known(&self, id: &str) -> bool {
        let plugin = self.books.plugins.get(id);
        let is_kept =
            plugin.is_some_and(|plugin| plugin.serving.is_some() || plugin.good.last.is_some() || plugin.disabled);
        is_kept || !self.books.files_of(id).is_empty()
    }

    fn try_once_more(&mut self, id: &str, reply: Reply) {
        if let Some(kept) = self.books.plugins.get_mut(id).and_then(|plugin| plugin.good.last.as_mut()) {
            kept.refused = None;
        }
        // With the folder gone, the last good version is all there is.
        let mut files = if self.folder_is_open { self.books.files_of(id) } else { Vec::new() };
        files.retain(|name| self.books.is_here(name));
        self.supersede(id, &files);
        for name in &files {
            if let Some(file) = self.books.files.get_mut(name) {
                file.again = true;
                file.actor = Actor::Command;
                // So that the outcome is logged, even if it is the same.
                file.refused = None;
            }
            self.watch.look_again(name.clone());
        }
        if files.is_empty() {
            self.revive(id);
        }
        self.vigils.push(Vigil { files: files.into_iter().collect(), id: id.to_owned(), reply });
    }

    /// What is under way is not what was asked for: a failure of it counts no more. Nor does what was slow before.
    fn supersede(&mut self, id: &str, files: &[FileName]) {
        let is_its = |travel: &&mut Travel| travel.kept.as_deref() == Some(id) || files.contains(&travel.file);
        self.books.travels.values_mut().filter(is_its).for_each(|travel| travel.superseded = true);
        if let Some(plugin) = self.books.plugins.get(id) {
            self.books.slow.retain(|content, _| !plugin.good.holds(*content));
        }
    }

    /// Answers the commands whose files are active or refused by now.
    pub(super) fn end_vigils(&mut self) {
        let books = &self.books;
        let over = |vigil: &mut Vigil| vigil.files.is_empty() && !books.is_returning(&vigil.id);
        for vigil in self.vigils.extract_if(.., over) {
            // Whoever asked may have gone.
            let _ = vigil.reply.send(Ok(()));
        }
    }

    /// Answered when the plugin has taken note: the next request goes by the new setting.
    fn setting_changed(&mut self, id: &str, reply: Reply) {
        let serving = match self.books.plugins.get(id) {
            Some(plugin) => plugin.serving.as_ref(),
            None => return refuse(reply, unknown(id)),
        };
        let told = serving.map(tell_of_settings);
        tokio::spawn(async move {
            if let Some(told) = told {
                told.await;
            }
            // Whoever asked may have gone.
            let _ = reply.send(Ok(()));
        });
    }

    fn shut_down(&mut self, reply: Reply) {
        if self.ending.is_some() {
            return refuse(reply, CommandError::Ending);
        }
        self.ending = Some(reply);
        for id in self.books.plugins.keys().cloned().collect::<Vec<_>>() {
            self.take_out(&id, Actor::Shutdown);
        }
    }
}

/// Tells a plugin in service that a setting may have changed. Done when it has taken note.
pub(super) fn tell_of_settings(serving: &Serving) -> impl Future<Output = ()> + Send + 'static {
    let (generation, subject) = (serving.generation.clone(), serving.subject());
    async move {
        let told = within("plugin-settings", SETTING_LIMIT, move || generation.settings_changed(), |()| {});
        if told.await.is_err() {
            log::warn!("{subject}: did not take note of a changed setting");
        }
    }
}

fn refuse(reply: Reply, cause: CommandError) {
    // Whoever asked may have gone.
    let _ = reply.send(Err(cause));
}

fn unknown(id: &str) -> CommandError {
    CommandError::UnknownPlugin(id.to_owned())
}
