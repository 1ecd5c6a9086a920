//! The server: its parts built, tied together, and ended in order.

use std::{fmt, net::SocketAddr, sync::Arc};

use actix_web::dev::ServerHandle;
use jid::BareJid;
use parking_lot::Mutex;
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    sync::watch,
    task::{AbortHandle, JoinHandle},
};

use crate::{
    config::{Config, Tls},
    console::{self, Facts, Numbers},
    control::{self, Acting, Executor, Refusal, Running},
    http,
    plugin::{
        deploy::{
            check::DEFAULT_LIMIT,
            cost::Cost,
            culprit::Breadcrumb,
            deployer::{CommandError, DeployConfig, Deployer},
            status::PluginStatus,
        },
        route::{RouteTable, Routes},
    },
    presence::Table,
    services,
    store::{Lock, Store},
    xmpp::{self, hub::Hub},
};

/// Runs the server until SIGTERM or SIGINT. Returns when everything has ended in order.
///
/// # Errors
/// It can't start: the reason names the address, the folder or the file, and what to do.
pub fn run(config: &Config) -> Result<(), Refusal> {
    start_logging(config.log);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(failed("no runtime"))?;
    runtime.block_on(serve(config))
}

async fn serve(config: &Config) -> Result<(), Refusal> {
    let mut ends = Ends::listen()?;
    let listeners = Listeners::bind(config).await?;
    let addresses = listeners.addresses().map_err(failed("listeners"))?;
    let _lock = Lock::take(&config.state).map_err(|error| Refusal::failed(error.to_string()))?;
    let store = Store::open(&config.state)?;
    store.claim_domain(config.domain.as_str()).await?;
    if !config.console.ip().is_loopback() {
        log::warn!("the console on {} has no login yet: whoever reaches it reads it", config.console);
    }
    let breadcrumb = Breadcrumb::lay(&config.state, &store).await;
    let serving = Serving::start(config, store.clone(), listeners)?;
    tokio::select! {
        () = serving.host.plugins.first_scan_done() => announce(addresses),
        () = ends.told() => {}
    }
    ends.told().await;
    log::info!("ending: no new connections, those that are open say goodbye");
    serving.end().await;
    breadcrumb.take_up();
    store.close();
    log::info!("ended");
    Ok(())
}

/// The one line on standard output: scripts wait for it.
fn announce([xmpp, http, console]: [SocketAddr; 3]) {
    use std::io::Write;
    let line = format!("ready xmpp={xmpp} http={http} console={console}\n");
    let mut out = std::io::stdout().lock();
    // Nobody has to read it.
    if let Err(cause) = out.write_all(line.as_bytes()).and_then(|()| out.flush()) {
        log::debug!("the ready line could not be written: {cause}");
    }
    log::info!("{}", line.trim_end());
}

fn start_logging(level: log::LevelFilter) {
    let mut logger = env_logger::Builder::new();
    logger.filter_level(level);
    // What the libraries below us say is for their authors, unless it is bad.
    for library in ["actix_server", "rustls", "tokio_rustls"] {
        logger.filter_module(library, level.min(log::LevelFilter::Warn));
    }
    // It calls every malformed request an error: any client could fill the log.
    logger.filter_module("actix_http", log::LevelFilter::Off);
    logger.format_timestamp_millis().init();
}

/// The three sockets, bound before anything else is touched: a port in use costs nothing and changes nothing.
struct Listeners {
    xmpp: TcpListener,
    http: std::net::TcpListener,
    console: std::net::TcpListener,
}

impl Listeners {
    async fn bind(config: &Config) -> Result<Listeners, Refusal> {
        Ok(Listeners {
            xmpp: bind("xmpp", config.xmpp).await?,
            http: bind("http", config.http).await?.into_std().map_err(failed("http"))?,
            console: bind("console", config.console).await?.into_std().map_err(failed("console"))?,
        })
    }

    fn addresses(&self) -> std::io::Result<[SocketAddr; 3]> {
        Ok([self.xmpp.local_addr()?, self.http.local_addr()?, self.console.local_addr()?])
    }
}

async fn bind(what: &str, address: SocketAddr) -> Result<TcpListener, Refusal> {
    TcpListener::bind(address).await.map_err(|cause| {
        Refusal::failed(format!("{what}: can't listen on {address}: {cause}: choose another with --{what} ADDR:PORT"))
    })
}

/// The parts that run, and how each is ended.
struct Serving {
    host: Arc<Host>,
    http: (ServerHandle, JoinHandle<()>),
    console: (ServerHandle, JoinHandle<()>),
    xmpp: (watch::Sender<bool>, JoinHandle<()>),
    control: JoinHandle<()>,
}

impl Serving {
    fn start(config: &Config, store: Store, listeners: Listeners) -> Result<Serving, Refusal> {
        let host = Arc::new(Host::start(config, store.clone())?);
        let xmpp = serve_xmpp(config, &host, listeners.xmpp)?;
        let metrics = Arc::new(http::Metrics::default());
        let front = front(config, &host, &listeners.http)?;
        let http = http::listen(listeners.http, host.routes.clone(), front, metrics.clone()).map_err(failed("http"))?;
        let names = vec![config.domain.to_string()];
        let console = console::listen(listeners.console, host.clone(), host.routes.clone(), metrics, names)
            .map_err(failed("console"))?;
        let control = control::Server::bind(&config.state).map_err(failed("control.sock"))?;
        let executor = Executor::beside(store, host.clone());
        let serving = Serving {
            http: spawn("http", http),
            console: spawn("console", console),
            xmpp,
            control: tokio::spawn(control.run(executor)),
            host,
        };
        let parts = [("xmpp", &serving.xmpp.1), ("http", &serving.http.1), ("the control socket", &serving.control)];
        *serving.host.parts.lock() = parts.map(|(name, part)| (name, part.abort_handle())).into();
        Ok(serving)
    }

    /// Ends what brings work in before what does it: listeners, then sessions, then plugins.
    async fn end(self) {
        self.control.abort();
        let (stop_xmpp, xmpp) = self.xmpp;
        stop_xmpp.send_replace(true);
        // Graceful: what has been accepted is answered.
        tokio::join!(self.http.0.stop(true), self.console.0.stop(true));
        for (part, ended) in [("xmpp", xmpp), ("http", self.http.1), ("console", self.console.1)] {
            if let Err(cause) = ended.await {
                log::error!("{part} did not end in order: {cause}");
            }
        }
        self.host.plugins.shutdown().await;
    }
}

fn serve_xmpp(
    config: &Config,
    host: &Arc<Host>,
    listener: TcpListener,
) -> Result<(watch::Sender<bool>, JoinHandle<()>), Refusal> {
    let own = config.tls.as_ref().map(|Tls { certificate, key }| (certificate.as_path(), key.as_path()));
    let tls = xmpp::tls::acceptor(&config.state, config.domain.as_str(), own).map_err(failed("tls"))?;
    let (domain, store) = (config.domain.clone(), host.store.clone());
    let authenticator =
        xmpp::sasl::Authenticator::open(domain, store, &config.state, config.anonymous).map_err(failed("sasl"))?;
    let server = xmpp::connection::Server {
        domain: config.domain.clone(),
        hub: host.hub.clone(),
        authenticator,
        tls,
        patience: xmpp::connection::NEGOTIATION,
    };
    let (stop, mut stopped) = watch::channel(false);
    let shutdown = async move {
        // Fails when this server is gone, which is an end too.
        let _ = stopped.wait_for(|stopped| *stopped).await;
    };
    Ok((stop, tokio::spawn(xmpp::listener::run(listener, Arc::new(server), shutdown))))
}

fn spawn(part: &'static str, server: actix_web::dev::Server) -> (ServerHandle, JoinHandle<()>) {
    let handle = server.handle();
    let ended = tokio::spawn(async move {
        if let Err(cause) = server.await {
            log::error!("{part} ended: {cause}");
        }
    });
    (handle, ended)
}

fn front(config: &Config, host: &Arc<Host>, listener: &std::net::TcpListener) -> Result<http::Front, Refusal> {
    let origin = match &config.public_url {
        Some(url) => url.clone(),
        None => own_url(listener.local_addr().map_err(failed("http"))?, config.domain.as_str()),
    };
    let (store, plugins) = (host.store.clone(), host.plugins.clone());
    let shown = config.front_page_users;
    Ok(http::Front {
        origin,
        users: Box::new(move || {
            let users = if shown { store.accounts() } else { Vec::new() };
            users.iter().map(ToString::to_string).collect()
        }),
        since: Box::new(move |id| {
            let plugins = plugins.list();
            let active = plugins.iter().find(|plugin| plugin.id.as_deref() == Some(id) && !plugin.routes.is_empty());
            active.map(|plugin| plugin.since)
        }),
    })
}

/// What to copy from pages where nothing else is configured. An address that stands for all is none to visit.
fn own_url(address: SocketAddr, domain: &str) -> String {
    if address.ip().is_unspecified() {
        format!("http://{domain}:{}", address.port())
    } else {
        format!("http://{address}")
    }
}

/// The server as commands and the console see it.
struct Host {
    store: Store,
    presence: Arc<Table>,
    hub: Arc<Hub>,
    plugins: Deployer,
    routes: Arc<Routes>,
    /// What must run for this server to be healthy.
    parts: Mutex<Vec<(&'static str, AbortHandle)>>,
}

impl Host {
    fn start(config: &Config, store: Store) -> Result<Host, Refusal> {
        let presence = Arc::new(Table::default());
        for (user, status) in store.last_statuses()? {
            presence.restore(&user, &status);
        }
        let hub = Hub::new(config.domain.clone(), store.clone(), presence.clone());
        let services = services::Server {
            domain: config.domain.to_string(),
            store: store.clone(),
            presence: presence.clone(),
            data: config.state.join("data"),
        };
        let routes = Arc::new(Routes::from_pointee(RouteTable::default()));
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
        Ok(Host { store, presence, hub, plugins, routes, parts: Mutex::default() })
    }
}

impl Running for Host {
    fn remove_account<'a>(&'a self, user: &'a BareJid) -> Acting<'a> {
        Box::pin(async { self.hub.remove_account(user).await.map_err(|cause| cause.to_string()) })
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
}

/// The signals that end the server.
struct Ends {
    told: watch::Receiver<bool>,
}

impl Ends {
    fn listen() -> Result<Ends, Refusal> {
        let (tell, told) = watch::channel(false);
        let mut terminate = signal(SignalKind::terminate()).map_err(failed("signals"))?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(failed("signals"))?;
        tokio::spawn(async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            tell.send_replace(true);
            // Stays until the runtime ends: a second signal has nothing to add.
            terminate.recv().await;
        });
        Ok(Ends { told })
    }

    async fn told(&mut self) {
        // Fails when the task is gone, and the runtime with it.
        let _ = self.told.wait_for(|told| *told).await;
    }
}

fn failed<E: fmt::Display>(what: &str) -> impl FnOnce(E) -> Refusal {
    move |cause| Refusal::failed(format!("{what}: {cause}"))
}
