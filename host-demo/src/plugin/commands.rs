//! What the administrator wants of plugins: the registry's side of the commands.

use std::time::Duration;

use tokio::sync::oneshot;

use super::{
    deployer::{Command, CommandError},
    folder::FileName,
    registry::Registry,
    status::Actor,
    within::within,
};

/// How long a plugin may take to hear of a changed setting.
const SETTING_LIMIT: Duration = Duration::from_secs(10);

impl Registry {
    pub(super) async fn command(&mut self, command: Command, reply: oneshot::Sender<Result<(), CommandError>>) {
        let result = match command {
            Command::Shutdown => return self.shut_down(reply),
            Command::Disable(id) => self.disable(&id).await,
            Command::Enable(id) => self.enable(&id).await,
            Command::Retry(id_or_file) => self.retry(&id_or_file).await,
            Command::SettingChanged(id) => self.setting_changed(&id),
        };
        // Whoever asked may have gone.
        let _ = reply.send(result);
    }

    async fn disable(&mut self, id: &str) -> Result<(), CommandError> {
        self.store.disable_plugin(id, true).await?;
        if let Some(plugin) = self.books.plugins.get_mut(id) {
            plugin.disabled = true;
        }
        self.take_out(id, Actor::Administrator);
        Ok(())
    }

    async fn enable(&mut self, id: &str) -> Result<(), CommandError> {
        self.store.disable_plugin(id, false).await?;
        let Some(plugin) = self.books.plugins.get_mut(id) else { return Err(unknown(id)) };
        plugin.disabled = false;
        if let Some(kept) = &mut plugin.kept {
            kept.refused = None;
        }
        let files = self.books.files_of(id);
        if files.is_empty() {
            self.revive(id);
        }
        self.look_again(files);
        Ok(())
    }

    async fn retry(&mut self, id_or_file: &str) -> Result<(), CommandError> {
        let mut files = self.books.files_of(id_or_file);
        files.extend(self.books.files.keys().find(|file| file.as_str() == id_or_file).cloned());
        let kept = self.books.plugins.get_mut(id_or_file).and_then(|plugin| plugin.kept.as_mut());
        let kept_refused = kept.and_then(|kept| kept.refused.take());
        if files.is_empty() && kept_refused.is_none() {
            return Err(unknown(id_or_file));
        }
        let refused = files.iter().filter_map(|file| self.books.files.get_mut(file)?.refused.take());
        let digests: Vec<_> = refused.chain(kept_refused).filter_map(|refused| refused.digest).collect();
        for digest in digests {
            self.books.quarantine.remove(&digest);
            self.store.release(&digest.to_string()).await?;
        }
        if files.is_empty() {
            self.revive(id_or_file);
        }
        self.look_again(files);
        Ok(())
    }

    fn look_again(&mut self, files: Vec<FileName>) {
        for name in files {
            if let Some(file) = self.books.files.get_mut(&name) {
                file.actor = Actor::Administrator;
            }
            self.watch.look_again(name);
        }
    }

    fn setting_changed(&mut self, id: &str) -> Result<(), CommandError> {
        let plugin = self.books.plugins.get(id).ok_or_else(|| unknown(id))?;
        let Some(serving) = &plugin.serving else { return Ok(()) };
        let (generation, subject) = (serving.generation.clone(), serving.subject());
        tokio::spawn(async move {
            let told = within("plugin-settings", SETTING_LIMIT, move || generation.settings_changed(), |()| {}).await;
            if told.is_err() {
                log::warn!("{subject}: did not take note of a changed setting");
            }
        });
        Ok(())
    }

    fn shut_down(&mut self, reply: oneshot::Sender<Result<(), CommandError>>) {
        if self.ending.is_some() {
            // The earlier request is answered when all is over; this one when it is noticed.
            let _ = reply.send(Err(CommandError::Ending));
            return;
        }
        self.ending = Some(reply);
        for id in self.books.plugins.keys().cloned().collect::<Vec<_>>() {
            self.take_out(&id, Actor::Shutdown);
        }
    }
}

fn unknown(id: &str) -> CommandError {
    CommandError::UnknownPlugin(id.to_owned())
}
