//! The server: its parts built, tied together, and ended in order.

mod components;
mod descriptors;
mod host;
mod logging;
mod reload;

use std::{
    fmt,
    future::ready,
    net::SocketAddr,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use actix_web::dev::ServerHandle;
use arc_swap::ArcSwap;
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    sync::watch,
    task::JoinHandle,
    time::timeout,
};

use self::{components::Components, host::Host, reload::Reload};
use crate::{
    address::dns_name,
    config::{Config, ConfigError},
    console,
    control::{self, Executor, Refusal},
    http,
    plugin::deploy::culprit::Breadcrumb,
    store::{Lock, Store},
    xmpp,
};

/// How long requests wait at the start until every plugin that is there is active or refused. The folder may be on a disk that hangs.
const START_PATIENCE: Duration = Duration::from_secs(15);
/// How long listeners, sessions and plugins have to end in order. Whatever is stuck then is left behind.
const END_LIMIT: Duration = Duration::from_secs(7);
/// How long a thread may go on that still works for somebody when everything else has ended.
const LAST_MOMENT: Duration = Duration::from_millis(500);

/// Runs the server until SIGTERM or SIGINT, on SIGHUP with what `read` says of the configuration by then. Returns when
/// everything has ended in order, or is stuck for ten seconds.
///
/// # Errors
/// It can't start: the reason names the address, the folder or the file, and what to do.
pub fn run(config: &Config, read: &dyn Fn() -> Result<Config, ConfigError>) -> Result<(), Refusal> {
    logging::set_level(config.log);
    descriptors::take_all();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(failed("no runtime"))?;
    let outcome = runtime.block_on(serve(config, read));
    runtime.shutdown_timeout(LAST_MOMENT);
    outcome
}

async fn serve(config: &Config, read: &dyn Fn() -> Result<Config, ConfigError>) -> Result<(), Refusal> {
    let mut ends = Ends::listen()?;
    // Listened to before anything else: without a listener this signal ends the process.
    let mut hang_up = signal(SignalKind::hangup()).map_err(failed("signals"))?;
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
        () = serving.host.plugins.first_scan_done() => announce(&addresses),
        () = ends.told() => {}
    }
    let mut reload = serving.reload(config, read);
    loop {
        tokio::select! {
            () = ends.told() => break,
            _ = hang_up.recv() => reload.again(),
        }
    }
    drop(reload);
    log::info!("ending: no new connections, those that are open say goodbye");
    if timeout(END_LIMIT, serving.end()).await.is_err() {
        log::warn!("not everything ended within {END_LIMIT:?}: the rest is cut off");
    }
    breadcrumb.take_up();
    store.close();
    log::info!("ended");
    Ok(())
}

/// The one line on standard output: scripts wait for it.
fn announce(addresses: &[(&str, SocketAddr)]) {
    use std::io::Write;
    let addresses = addresses.iter().map(|(name, address)| format!(" {name}={address}")).collect::<String>();
    let line = format!("ready{addresses}\n");
    let mut out = std::io::stdout().lock();
    // Nobody has to read it.
    if let Err(cause) = out.write_all(line.as_bytes()).and_then(|()| out.flush()) {
        log::debug!("the ready line could not be written: {cause}");
    }
    log::info!("{}", line.trim_end());
}

/// The sockets, bound before anything else is touched: a port in use costs nothing and changes nothing.
struct Listeners {
    xmpp: TcpListener,
    http: std::net::TcpListener,
    console: std::net::TcpListener,
    component: Option<TcpListener>,
}

impl Listeners {
    async fn bind(config: &Config) -> Result<Listeners, Refusal> {
        Ok(Listeners {
            xmpp: bind("xmpp", config.xmpp).await?,
            http: bind("http", config.http).await?.into_std().map_err(failed("http"))?,
            console: bind("console", config.console).await?.into_std().map_err(failed("console"))?,
            component: match &config.components {
                Some(components) => Some(try_bind(components.listen).await.map_err(failed("components"))?),
                None => None,
            },
        })
    }

    fn addresses(&self) -> std::io::Result<Vec<(&'static str, SocketAddr)>> {
        let mut addresses = vec![
            ("xmpp", self.xmpp.local_addr()?),
            ("http", self.http.local_addr()?),
            ("console", self.console.local_addr()?),
        ];
        if let Some(component) = &self.component {
            addresses.push(("component", component.local_addr()?));
        }
        Ok(addresses)
    }
}

async fn bind(what: &str, address: SocketAddr) -> Result<TcpListener, Refusal> {
    let choose = |cause| Refusal::failed(format!("{what}: {cause}: choose another with --{what} ADDR:PORT"));
    try_bind(address).await.map_err(choose)
}

/// How many connections the kernel keeps for us until they are accepted (listen(2); Linux keeps as many as `net.core.somaxconn` at most).
/// The standard library asks for 128: of a crowd that comes at once, those beyond try again after one second, three, seven, and may be lost.
const BACKLOG: i32 = 4_096;

async fn try_bind(address: SocketAddr) -> Result<TcpListener, String> {
    let failed = |cause: std::io::Error| format!("can't listen on {address}: {cause}");
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    rustix::net::listen(&listener, BACKLOG).map_err(|cause| failed(cause.into()))?;
    Ok(listener)
}

/// The parts that run, and how each is ended.
struct Serving {
    host: Arc<Host>,
    http: (ServerHandle, JoinHandle<()>),
    console: (ServerHandle, JoinHandle<()>),
    xmpp: (watch::Sender<bool>, JoinHandle<()>),
    streams: Arc<xmpp::connection::Server>,
    components: Option<Components>,
    control: JoinHandle<()>,
}

impl Serving {
    fn start(config: &Config, store: Store, listeners: Listeners) -> Result<Serving, Refusal> {
        let host = Arc::new(Host::start(config, store.clone())?);
        let streams = streams(config, &host)?;
        let xmpp = serve_xmpp(streams.clone(), listeners.xmpp);
        let components = listeners.component.zip(config.components.as_ref());
        let components = components.map(|(listener, config)| Components::listen(listener, config, host.hub.clone()));
        let metrics = Arc::new(http::Metrics::default());
        let front = front(config, &host, &listeners.http)?;
        let http = http::listen(listeners.http, host.routes.clone(), front, metrics.clone()).map_err(failed("http"))?;
        let names = vec![dns_name(config.domain.as_str()).into_owned()];
        let console = console::listen(listeners.console, host.clone(), host.routes.clone(), metrics, names)
            .map_err(failed("console"))?;
        let control = control::Server::bind(&config.state).map_err(failed("control.sock"))?;
        let executor = Executor::beside(store, host.clone());
        // What comes before is kept by the kernel: a plugin that is about to serve is not one that is not there.
        let plugins = host.plugins.clone();
        let scanned = async move { drop(timeout(START_PATIENCE, plugins.first_scan_done()).await) };
        let serving = Serving {
            http: spawn("http", http, begin(scanned, xmpp.0.subscribe())),
            console: spawn("console", console, ready(true)),
            xmpp,
            streams,
            components,
            control: tokio::spawn(control.run(executor)),
            host,
        };
        let parts = [("xmpp", &serving.xmpp.1), ("http", &serving.http.1), ("the control socket", &serving.control)];
        let components = serving.components.iter().map(|components| ("the components", &components.ended));
        let parts = parts.into_iter().chain(components).map(|(name, part)| (name, part.abort_handle()));
        *serving.host.parts.lock() = parts.collect();
        Ok(serving)
    }

    fn reload<'a>(&self, config: &Config, read: &'a dyn Fn() -> Result<Config, ConfigError>) -> Reload<'a> {
        let components = self.components.as_ref().map(|components| components.server.clone());
        Reload { config: config.clone(), read, xmpp: self.streams.clone(), components, host: self.host.clone() }
    }

    /// Ends what brings work in before what does it: listeners, then sessions, then plugins.
    async fn end(self) {
        self.control.abort();
        let (stop_xmpp, xmpp) = self.xmpp;
        stop_xmpp.send_replace(true);
        self.components.iter().for_each(Components::stop);
        // Graceful: what has been accepted is answered. Streams have no end of their own: their clients are sent away.
        tokio::join!(self.http.0.stop(true), self.console.0.stop(true), self.host.send_streams_away());
        let components = self.components.map(|components| ("components", components.ended));
        let parts = [("xmpp", xmpp), ("http", self.http.1), ("console", self.console.1)];
        for (part, ended) in parts.into_iter().chain(components) {
            if let Err(cause) = ended.await {
                log::error!("{part} did not end in order: {cause}");
            }
        }
        self.host.plugins.shutdown().await;
    }
}

/// What all XMPP streams share.
fn streams(config: &Config, host: &Arc<Host>) -> Result<Arc<xmpp::connection::Server>, Refusal> {
    Ok(Arc::new(xmpp::connection::Server {
        domain: config.domain.clone(),
        hub: host.hub.clone(),
        authenticator: host.authenticator.clone(),
        tls: ArcSwap::from_pointee(reload::acceptor(config, config.tls.as_ref()).map_err(failed("tls"))?),
        patience: xmpp::connection::NEGOTIATION,
        detached: xmpp::management::Detached::default(),
    }))
}

fn serve_xmpp(streams: Arc<xmpp::connection::Server>, listener: TcpListener) -> (watch::Sender<bool>, JoinHandle<()>) {
    let (stop, mut stopped) = watch::channel(false);
    let shutdown = async move {
        // Fails when this server is gone, which is an end too.
        let _ = stopped.wait_for(|stopped| *stopped).await;
    };
    (stop, tokio::spawn(xmpp::listener::run(listener, streams, shutdown)))
}

/// Whether something is to begin, once this is over: not if the end comes first.
async fn begin(before: impl Future<Output = ()>, mut stopped: watch::Receiver<bool>) -> bool {
    tokio::select! {
        () = before => true,
        _ = stopped.wait_for(|stopped| *stopped) => false,
    }
}

/// Runs a server once `begins` says so.
fn spawn(
    part: &'static str,
    server: actix_web::dev::Server,
    begins: impl Future<Output = bool> + Send + 'static,
) -> (ServerHandle, JoinHandle<()>) {
    let handle = server.handle();
    let ended = tokio::spawn(async move {
        // One that never ran has nothing to end in order.
        if !begins.await {
            return;
        }
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
    let (shown, plugins) = (host.clone(), host.plugins.clone());
    Ok(http::Front {
        origin,
        users: Box::new(move || {
            let users = if shown.front_page_users.load(Relaxed) { shown.store.accounts() } else { Vec::new() };
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
        format!("http://{}:{}", dns_name(domain), address.port())
    } else {
        format!("http://{address}")
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
