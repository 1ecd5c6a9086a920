//! The task that owns all plugins. It alone changes what is in service, one message after the other; whatever may take
//! long is a journey or a retirement of its own and reports here.
//!
//! What comes in from the folder is in [`arrivals`](super::arrivals), how it ends in [`outcomes`](super::outcomes), what the
//! administrator wants in [`commands`](super::commands); here are the loop and the changes of service.

use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::{mpsc, watch};

use super::{
    books::{Books, Serving},
    commands::{Reply, Vigil, tell_of_settings},
    deployer::Limits,
    desk::{Message, Retirement},
    first_scan::FirstScan,
    folder::FileName,
    journey::{Candidate, End, Workshop},
    notice::Notices,
    refusal::Refusal,
    retire::{DRAIN_LIMIT, Retiree, SHUTDOWN_DRAIN_LIMIT},
    status::{Actor, Counters, PluginStatus, State},
    watch::{Report, Watch},
};
use crate::{
    plugin::{
        generation::Generation,
        route::{RouteTable, Routes},
    },
    store::Store,
};

/// From here on every further mapped version is worth a warning.
const MANY_RETIRED: u64 = 200;

/// The owner of all plugins.
pub struct Registry {
    /// Who serves what.
    pub books: Books,
    /// What was found at the start.
    pub first: FirstScan,
    /// Whether the drop folder can be read.
    pub folder_is_open: bool,
    /// How long a version that took over is on probation, among others.
    pub limits: Arc<Limits>,
    /// The number of the latest journey.
    pub last_journey: u64,
    /// The commands that are not answered yet.
    pub vigils: Vec<Vigil>,
    /// Who waits for the end of it all.
    pub ending: Option<Reply>,
    /// Where journeys and retirements report.
    pub messages: mpsc::Sender<Message>,
    /// What is counted.
    pub counters: Arc<Counters>,
    /// The eye on the folder.
    pub watch: Watch,
    /// What journeys work with.
    pub workshop: Arc<Workshop>,
    /// What survives a restart.
    pub store: Store,
    /// What is in service, for HTTP.
    pub routes: Arc<Routes>,
    /// What the administrator sees.
    pub statuses: watch::Sender<Arc<[PluginStatus]>>,
    /// What who has only the folder sees.
    pub notices: watch::Sender<Notices>,
    /// Whether what was found at the start is active or refused.
    pub ready: watch::Sender<bool>,
}

impl Registry {
    /// Works until it is told to shut down.
    pub async fn run(mut self, mut inbox: mpsc::Receiver<Message>) {
        while let Some(message) = inbox.recv().await {
            self.handle(message).await;
            self.advance_first_scan().await;
            if *self.routes.load().disabled() != self.books.disabled() {
                self.publish_routes();
            }
            // First shown, then told: who asks after an answer sees what it told of.
            self.statuses.send_replace(self.books.rows().into());
            self.notices.send_replace(self.books.notices());
            self.tell_if_ready();
            self.end_vigils();
            if self.is_over() {
                break;
            }
        }
        // The watch may be waiting for room in the inbox.
        drop(inbox);
        let mut watch = self.watch;
        let stopped = tokio::task::spawn_blocking(move || watch.stop()).await;
        if let Err(cause) = stopped {
            log::error!("the watch on the plugins folder: {cause}");
        }
        if let Some(reply) = self.ending {
            // Whoever asked may have gone.
            let _ = reply.send(Ok(()));
        }
    }

    async fn handle(&mut self, message: Message) {
        match message {
            Message::Report(Report::Sighting(sighting)) => self.sighted(sighting).await,
            Message::Report(Report::FirstLook(files)) => self.looked(files),
            Message::Step { journey, state, digest } => {
                if let Some(travel) = self.books.travels.get_mut(&journey) {
                    travel.digest = digest.or(travel.digest);
                    travel.reach(state);
                }
            }
            Message::Carries { journey, candidate } => self.carries(journey, *candidate).await,
            Message::Vouched { journey, voucher } => self.vouched(journey, &voucher).await,
            Message::Turn { journey, reply } => self.asked_for_turn(journey, reply),
            Message::Publish { journey, generation, reply } => {
                let published = self.publish(journey, generation).await;
                // The journey waits for this.
                let _ = reply.send(published);
            }
            Message::End { journey, result } => self.ended(journey, result).await,
            Message::Leaving { id, number, state } => self.left(&id, number, state),
            Message::Probation { id, number, result } => self.probation_over(&id, number, result).await,
            Message::TryAgain(file) => self.try_again(file),
            Message::ReviveAgain(id) => self.revive_again(&id),
            Message::PatienceOver => self.lose_patience(),
            Message::Command(command, reply) => self.command(command, reply),
        }
    }

    fn is_over(&self) -> bool {
        let at_rest = || self.books.plugins.values().all(|plugin| plugin.leaving.is_empty());
        self.ending.is_some() && self.books.travels.is_empty() && at_rest()
    }

    /// Puts a started plugin into service in the place of its earlier version, by one swap of the route table.
    async fn publish(&mut self, journey: u64, generation: Arc<Generation>) -> Result<(), End> {
        let id = generation.manifest().id.clone();
        if !self.is_wanted(&id, journey) {
            return Err(End::Unwanted);
        }
        let Some(travel) = self.books.travels.get_mut(&journey) else { return Err(End::Unwanted) };
        let Some(Candidate { staged, .. }) = travel.candidate.clone() else { return Err(End::Unwanted) };
        let (file, actor, returns) = (travel.file.clone(), travel.actor, travel.kept.is_some());
        self.change_settings(&id, &generation).await?;
        let plugin = self.books.plugins.entry(id.clone()).or_default();
        // Renamed on the way: what comes back belongs to the file of what it replaces.
        let file = plugin.serving.as_ref().filter(|_| returns).map_or(file, |former| former.file.clone());
        let content = staged.digest();
        let serving = Serving::new(generation.clone(), file.clone(), staged);
        // A setting that was changed after its start had read it was told to the version before.
        let settings = tell_of_settings(&serving);
        let former = plugin.serve(Some(serving));
        self.publish_routes();
        // The same goes for a level of the log.
        generation.log_level_changed();
        tokio::spawn(settings);
        if let Some(travel) = self.books.travels.get_mut(&journey) {
            travel.reach(State::Active);
        }
        self.counters.count_load();
        self.books.slow.remove(&content);
        if let Some(former) = former {
            if returns {
                self.condemn(&id, &former).await;
            }
            self.retire(former, actor);
        }
        self.put_on_probation(&id);
        if !returns {
            self.take_out_former_tenants(&id, &file).await;
        }
        self.record(&id).await;
        let version = generation.manifest().settings_version;
        let schemas = self.store.set_setting_schemas(&id, version, generation.settings()).await;
        schemas.unwrap_or_else(|cause| log::error!("plugin {id}: its settings can't be recorded: {cause}"));
        Ok(())
    }

    /// Stores what a version that is about to serve made of the settings. The version before it goes on reading them as they were: what is under
    /// way ends on the settings that it began with.
    async fn change_settings(&self, id: &str, generation: &Generation) -> Result<(), Refusal> {
        let Some(change) = generation.settings_change() else { return Ok(()) };
        let (from, to) = (change.from.version, change.to.version);
        let former = self.books.plugins.get(id).and_then(|plugin| plugin.serving.as_ref());
        let show_former = |values| former.map(|former| former.generation.show_settings(values)).unwrap_or_default();
        show_former(Some(change.from.values.clone()));
        let changed = self.store.change_plugin_settings(id, change, generation.settings()).await;
        if let Ok(true) = changed {
            generation.show_settings(None);
            log::info!("plugin {id}: its settings went from version {from} to {to}");
            return Ok(());
        }
        show_former(None);
        Err(match changed {
            Err(cause) => Refusal::Host(format!("settings of version {to} could not be stored: {cause}")),
            Ok(_) => Refusal::Host("a setting was changed while its migration ran".into()),
        })
    }

    /// A file that held one plugin and now holds another: the former plugin's file is gone.
    async fn take_out_former_tenants(&mut self, id: &str, file: &FileName) {
        let tenants = self.books.plugins.iter().filter(|(other, plugin)| {
            let last =
                plugin.good.last.as_ref().filter(|_| self.books.files_of(other).is_empty()).map(|kept| &kept.file);
            *other != id && plugin.serving.as_ref().map_or(last, |serving| Some(&serving.file)) == Some(file)
        });
        for other in tenants.map(|(other, _)| other.clone()).collect::<Vec<_>>() {
            self.undeploy(&other).await;
        }
    }

    fn publish_routes(&self) {
        let serving = self.books.plugins.values().filter_map(|plugin| plugin.serving.as_ref());
        let generations = serving.map(|serving| serving.generation.clone());
        let leaving = self.books.plugins.values().flat_map(|plugin| &plugin.leaving);
        let draining = leaving.filter(|leaving| leaving.state == State::Draining);
        let table = RouteTable::new(generations, self.books.disabled())
            .with_draining(draining.map(|leaving| leaving.generation.clone()));
        self.routes.store(Arc::new(table));
    }

    /// Takes a plugin whose file was removed out of service and forgets its last good version. Its settings stay.
    pub async fn undeploy(&mut self, id: &str) {
        self.take_out(id, Actor::File);
        self.forget(id).await;
    }

    /// Takes a plugin out of service.
    pub fn take_out(&mut self, id: &str, actor: Actor) {
        let plugin = self.books.plugins.get_mut(id);
        if let Some(serving) = plugin.and_then(|plugin| plugin.serve(None)) {
            self.publish_routes();
            self.retire(serving, actor);
        }
    }

    fn retire(&self, serving: Serving, actor: Actor) {
        let (subject, generation) = (serving.subject(), serving.generation);
        let (id, number) = (generation.manifest().id.clone(), generation.number());
        let drain_limit = if actor == Actor::Shutdown { SHUTDOWN_DRAIN_LIMIT } else { DRAIN_LIMIT };
        let retirement = Retirement { id, number, messages: self.messages.clone() };
        tokio::spawn(Retiree { generation, subject, actor, drain_limit }.retire(retirement));
    }

    fn left(&mut self, id: &str, number: u64, state: State) {
        let Some(plugin) = self.books.plugins.get_mut(id) else { return };
        let Some(at) = plugin.leaving.iter().position(|leaving| leaving.generation.number() == number) else { return };
        if state != State::Retired {
            plugin.leaving[at].state = state;
            plugin.leaving[at].since = Timestamp::now();
            // It is told of no more.
            return self.publish_routes();
        }
        let leaving = plugin.leaving.remove(at);
        if !plugin.needs(&leaving.staged) {
            leaving.staged.delete();
        }
        self.count_retired(id);
    }

    /// Counts a version that stays mapped.
    pub fn count_retired(&mut self, id: &str) {
        self.books.plugins.entry(id.to_owned()).or_default().retired += 1;
        let all = self.counters.count_retired();
        if all >= MANY_RETIRED {
            log::warn!("{all} ended versions of plugins are mapped until this server is restarted");
        }
    }
}
