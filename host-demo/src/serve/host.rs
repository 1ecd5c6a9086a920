//! The server as commands and the console see it.

use std::sync::{Arc, atomic::AtomicBool};

use jid::BareJid;
use parking_lot::Mutex;
use tokio::{
    runtime::Handle,
    task::{AbortHandle, JoinSet},
};

use super::failed;
use crate::{
    config::Config,
    console::{Facts, Numbers},
    control::{Acting, Refusal, Running, SettingStatus},
    plugin::{
        deploy::{
            check::DEFAULT_LIMIT,
            cost::Cost,
            deployer::{CommandError, DeployConfig, Deployer},
            retire::send_streams_away,
            status::PluginStatus,
        },
        route::{RouteTable, Routes},
    },
    presence::Table,
    services::{self, voices::Voices},
    store::Store,
    xmpp::{hub::Hub, sasl::Authenticator},
};

/// What runs behind all listeners.
pub(super) struct Host {
    pub store: Store,
    pub presence: Arc<Table>,
    pub hub: Arc<Hub>,
    pub authenticator: Arc<Authenticator>,
    /// Whether the public page shows users.
    pub front_page_users: AtomicBool,
    pub plugins: Deployer,
    pub routes: Arc<Routes>,
    /// What must run for this server to be healthy.
    pub parts: Mutex<Vec<(&'static str, AbortHandle)>>,
}

impl Host {
    pub fn start(config: &Config, store: Store) -> Result<Host, Refusal> {
        let stamps = store.stamps();
        let presence = Arc::new(Table::with_capacity(store.accounts().len(), stamps.clone()));
        for (user, status, at) in store.last_statuses()? {
            presence.restore(&user, &status, at.try_into().unwrap_or_default());
        }
        let hub = Hub::new(config.domain.clone(), store.clone(), presence.clone());
        let authenticator = Authenticator::open(config.domain.clone(), store.clone(), &config.state, config.anonymous)
            .map_err(failed("sasl"))?
            .into();
        let services = services::Server {
            domain: config.domain.to_string(),
            store: store.clone(),
            presence: presence.clone(),
            stamps,
            data: config.state.join("data"),
            voices: Voices::new(hub.clone(), config.domain.to_string(), Handle::current()),
        };
        let routes = Arc::new(Routes::from_pointee(RouteTable::default()));
        hub.know_plugins(routes.clone());
        let deploy = DeployConfig {
            folder: config.plugins.clone(),
            state: config.state.clone(),
            limit: DEFAULT_LIMIT,
            memory: config.plugin_memory << 20,
            trust_everybody: config.trust_everybody,
            health_window: config.health_window,
            vouching: config.vouching.clone(),
        };
        let plugins =
            Deployer::start(deploy, store.clone(), Arc::new(services), routes.clone()).map_err(failed("plugins"))?;
        let front_page_users = AtomicBool::new(config.front_page_users);
        Ok(Host { store, presence, hub, authenticator, front_page_users, plugins, routes, parts: Mutex::default() })
    }

    /// Has all plugins in service send their streams' clients away, all at once.
    pub async fn send_streams_away(&self) {
        let generations: Vec<_> = self.routes.load().generations().cloned().collect();
        let mut told: JoinSet<()> =
            generations.into_iter().map(|generation| async move { send_streams_away(&generation).await }).collect();
        while told.join_next().await.is_some() {}
    }
}

impl Running for Host {
    fn remove_account<'a>(&'a self, user: &'a BareJid) -> Acting<'a> {
        Box::pin(async {
            self.hub.remove_account(user).await.map_err(|cause| cause.to_string())?;
            self.authenticator.forget(user);
            Ok(())
        })
    }

    fn plugins(&self) -> Arc<[PluginStatus]> {
        self.plugins.list()
    }

    fn cost(&self) -> Cost {
        let table = self.routes.load();
        Cost::now(self.plugins.counters().retired(), table.generations().map(|generation| generation.library()))
    }

    fn disable<'a>(&'a self, id: &'a str) -> Acting<'a> {
        Box::pin(async { self.plugins.disable(id).await.map_err(reason) })
    }

    fn enable<'a>(&'a self, id: &'a str) -> Acting<'a> {
        Box::pin(async { self.plugins.enable(id).await.map_err(reason) })
    }

    fn retry<'a>(&'a self, id: &'a str) -> Acting<'a> {
        Box::pin(async { self.plugins.retry(id).await.map_err(reason) })
    }

    fn setting_changed<'a>(&'a self, name: &'a str) -> Acting<'a> {
        let plugin = name.split_once('.').map_or(name, |(plugin, _)| plugin);
        Box::pin(async move {
            match self.plugins.setting_changed(plugin).await {
                // It reads the setting when it comes.
                Ok(()) | Err(CommandError::UnknownPlugin(_)) => Ok(()),
                Err(error) => Err(reason(error)),
            }
        })
    }
}

fn reason(error: CommandError) -> String {
    error.to_string()
}

impl Facts for Host {
    fn plugins(&self) -> Arc<[PluginStatus]> {
        self.plugins.list()
    }

    fn settings(&self) -> Vec<SettingStatus> {
        SettingStatus::all(&self.store.settings())
    }

    fn faults(&self) -> Vec<String> {
        let parts = self.parts.lock();
        let ended = parts.iter().filter(|(_, part)| part.is_finished()).map(|(name, _)| format!("{name} has ended"));
        let deployer = self.plugins.has_ended().then(|| "the deployment of plugins has ended".into());
        let store = self.store.trouble().map(|trouble| format!("the database does not take changes: {trouble}"));
        ended.chain(deployer).chain(store).collect()
    }

    fn warnings(&self) -> Arc<Vec<String>> {
        self.plugins.warnings()
    }

    fn numbers(&self) -> Numbers {
        let counters = self.plugins.counters();
        Numbers {
            accounts: self.store.accounts().len() as u64,
            sessions: self.hub.sessions().len() as u64,
            users_online: self.presence.online() as u64,
            loads: counters.loads(),
            refusals: counters.refusals(),
        }
    }

    fn stalls(&self) -> Vec<(String, u64)> {
        self.plugins.stalls()
    }

    fn crashes(&self) -> Vec<(String, u64)> {
        self.store.crashes().unwrap_or_else(|cause| {
            log::error!("crashes can't be counted: {cause}");
            Vec::new()
        })
    }

    fn records(&self) -> Vec<(String, u64)> {
        self.store.records_sizes()
    }
}
