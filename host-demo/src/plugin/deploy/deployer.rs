//! The handle on all plugins: what the rest of the server asks and tells.

use std::{
    fmt, io,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use parking_lot::Mutex;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};

use super::{
    books::Books,
    check::Offer,
    desk::Message,
    folder::DropFolder,
    journey::{BENCHES, Workshop},
    notice,
    probe::Prober,
    registry::Registry,
    stage::Staging,
    status::{Counters, PluginStatus},
    sys,
    trust::Trust,
    vouch::Vouching,
    watch::Watch,
};
use crate::{
    plugin::{
        leaks::{self, Warnings},
        route::Routes,
        services::Services,
        watchdog::Watchdog,
    },
    store::{PluginRecord, Store, StoreError},
};

/// How many messages may wait. Whoever sends one more waits.
const MESSAGES: usize = 256;

/// How long whoever gave a command waits for its end.
const COMMAND_LIMIT: Duration = Duration::from_secs(60);

/// How plugins are deployed.
#[derive(Clone, Debug)]
pub struct DeployConfig {
    /// The drop folder.
    pub folder: PathBuf,
    /// The state folder.
    pub state: PathBuf,
    /// The largest file that is taken, in bytes: usually [`DEFAULT_LIMIT`](super::check::DEFAULT_LIMIT).
    pub limit: u64,
    /// The memory that one plugin should not pass, in bytes: beyond it the administrator is warned.
    pub memory: u64,
    /// Take files whoever owns them and whoever can write to them.
    pub trust_everybody: bool,
    /// How long a version that took over is on probation: usually [`DEFAULT_WINDOW`](super::probation::DEFAULT_WINDOW); zero
    /// for not at all.
    pub health_window: Duration,
    /// Who must vouch for contents.
    pub vouching: Vouching,
}

/// What the administrator can want of a plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Take it out of service until it is enabled.
    Disable(String),
    /// Put it into service again.
    Enable(String),
    /// Try its files once more, whatever they did.
    Retry(String),
    /// Tell it that a setting of its own changed.
    SettingChanged(String),
    /// Take all out of service: this server ends.
    Shutdown,
}

/// Why a command was not carried out.
#[derive(Debug)]
pub enum CommandError {
    /// There is no such plugin.
    UnknownPlugin(String),
    /// It was begun and goes on: a file is still being written to, or a plugin takes its time.
    UnderWay,
    /// This server ends.
    Ending,
}

/// Why plugins can't be deployed at all.
#[derive(Debug)]
pub enum DeployError {
    /// The state folder, a thread or a descriptor is not to be had.
    System(io::Error),
    /// The records of earlier runs can't be read.
    Store(StoreError),
}

/// All plugins. Clones are the same.
#[derive(Clone)]
pub struct Deployer {
    messages: mpsc::Sender<Message>,
    statuses: watch::Receiver<Arc<[PluginStatus]>>,
    ready: watch::Receiver<bool>,
    counters: Arc<Counters>,
    warnings: Arc<Warnings>,
    watchdog: Arc<Watchdog>,
    limits: Arc<Limits>,
}

/// What may change while plugins are in service.
#[derive(Debug)]
pub struct Limits {
    /// The memory that one plugin should not pass, in bytes.
    pub memory: Arc<AtomicU64>,
    /// How long a version that takes over from now on is on probation.
    pub health_window: Mutex<Duration>,
}

impl Deployer {
    /// Begins to deploy what is and comes in the drop folder, into `routes`. Called within a tokio runtime.
    ///
    /// # Errors
    /// The state folder, a thread or a descriptor is not to be had.
    pub fn start(
        mut config: DeployConfig,
        store: Store,
        services: Arc<dyn Services>,
        routes: Arc<Routes>,
    ) -> Result<Deployer, DeployError> {
        sys::give_back_large_blocks();
        // The trial process works in another folder, and the loader gets no path that could mean another file there.
        config.state = std::path::absolute(&config.state).map_err(DeployError::System)?;
        let records = store.plugins().map_err(DeployError::Store)?;
        let quarantined = store.quarantined().map_err(DeployError::Store)?;
        let kept: Vec<_> = records.iter().flat_map(PluginRecord::copies).map(str::to_owned).collect();
        let mut books = Books::restore(records, quarantined, &config.state);
        books.last_versions = store.last_versions().map_err(DeployError::Store)?;
        let workshop = Arc::new(workshop(&config, &kept, services).map_err(DeployError::System)?);
        let (messages, inbox) = mpsc::channel(MESSAGES);
        let watch = {
            let messages = messages.clone();
            let report = move |report| messages.blocking_send(Message::Report(report)).is_ok();
            Watch::start(workshop.folder.clone(), report).map_err(DeployError::System)?
        };
        let (statuses, statuses_seen) = watch::channel(Arc::from([]));
        let (ready, ready_seen) = watch::channel(false);
        let counters = Arc::new(Counters::default());
        let limits = Arc::new(Limits {
            memory: Arc::new(config.memory.into()),
            health_window: Mutex::new(config.health_window),
        });
        let registry = Registry {
            books,
            first: Default::default(),
            folder_is_open: true,
            limits: limits.clone(),
            last_journey: 0,
            vigils: Vec::new(),
            ending: None,
            messages: messages.clone(),
            counters: counters.clone(),
            notices: notice::keep(workshop.folder.clone()),
            watch,
            workshop,
            store,
            routes: routes.clone(),
            statuses,
            ready,
        };
        tokio::spawn(registry.run(inbox));
        let watchdog = Arc::new(Watchdog::start().map_err(DeployError::System)?);
        let warnings = Arc::new(Warnings::default());
        tokio::spawn(leaks::watch(routes, limits.memory.clone(), warnings.clone()));
        Ok(Deployer { messages, statuses: statuses_seen, ready: ready_seen, counters, warnings, watchdog, limits })
    }

    /// Changes how much memory a plugin should not pass, and how long versions are on probation that take over from now on.
    pub fn set_limits(&self, memory: u64, health_window: Duration) {
        self.limits.memory.store(memory, Relaxed);
        *self.limits.health_window.lock() = health_window;
    }

    /// Returns when every plugin found at the start is active or refused.
    pub async fn first_scan_done(&self) {
        // Fails when the server ends before: then there is nothing to wait for.
        let _ = self.ready.clone().wait_for(|ready| *ready).await;
    }

    /// Every version that there is something to say about.
    pub fn list(&self) -> Arc<[PluginStatus]> {
        self.statuses.borrow().clone()
    }

    /// Whether nobody looks after plugins any more: by order, or by a fault.
    pub fn has_ended(&self) -> bool {
        self.messages.is_closed()
    }

    /// What plugins have too much of at this moment, a sentence each.
    pub fn warnings(&self) -> Arc<Vec<String>> {
        self.warnings.load_full()
    }

    /// How many inline calls took more than 100 ms since the start, by plugin.
    pub fn stalls(&self) -> Vec<(String, u64)> {
        self.watchdog.stalls()
    }

    /// What was counted since the start.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Takes a plugin out of service that was switched off in the store. Returns when its routes are gone.
    ///
    /// # Errors
    /// There is none with this id.
    pub async fn disable(&self, id: &str) -> Result<(), CommandError> {
        self.command(Command::Disable(id.to_owned())).await
    }

    /// Puts a plugin into service that was switched on again in the store. Returns when it is active or refused.
    ///
    /// # Errors
    /// There is none with this id.
    pub async fn enable(&self, id: &str) -> Result<(), CommandError> {
        self.command(Command::Enable(id.to_owned())).await
    }

    /// Tries the files of a plugin once more, whatever became of them. Returns when they are active or refused.
    ///
    /// # Errors
    /// There is none with this id.
    pub async fn retry(&self, id: &str) -> Result<(), CommandError> {
        self.command(Command::Retry(id.to_owned())).await
    }

    /// Tells a plugin that one of its settings changed.
    ///
    /// # Errors
    /// There is none with this id.
    pub async fn setting_changed(&self, id: &str) -> Result<(), CommandError> {
        self.command(Command::SettingChanged(id.to_owned())).await
    }

    /// Takes all plugins out of service, and returns when they have ended. Files are looked at no more.
    pub async fn shutdown(&self) {
        // Fails when that was done before.
        let _ = self.command(Command::Shutdown).await;
    }

    async fn command(&self, command: Command) -> Result<(), CommandError> {
        let (reply, answer) = oneshot::channel();
        self.messages.send(Message::Command(command, reply)).await.map_err(|_| CommandError::Ending)?;
        match tokio::time::timeout(COMMAND_LIMIT, answer).await {
            Ok(answer) => answer.unwrap_or(Err(CommandError::Ending)),
            Err(_) => Err(CommandError::UnderWay),
        }
    }
}

fn workshop(config: &DeployConfig, kept: &[String], services: Arc<dyn Services>) -> io::Result<Workshop> {
    let trust = if config.trust_everybody { Trust::everybody() } else { Trust::for_this_process() };
    Ok(Workshop {
        folder: DropFolder::new(&config.folder, trust),
        trust,
        staging: Staging::open(&config.state, kept)?,
        prober: Prober::this_program(),
        offer: Offer::of_this_host(),
        vouching: config.vouching.clone(),
        limit: config.limit,
        services,
        benches: Semaphore::new(BENCHES as usize),
        trials: AtomicUsize::new(0),
    })
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CommandError::UnknownPlugin(id) => write!(f, "plugin {id}: not known here"),
            CommandError::UnderWay => f.write_str("still under way: `plugin list` shows how far it is"),
            CommandError::Ending => f.write_str("this server is ending"),
        }
    }
}

impl std::error::Error for CommandError {}

impl fmt::Display for DeployError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DeployError::System(cause) => write!(f, "plugins can't be deployed: {cause}"),
            DeployError::Store(cause) => cause.fmt(f),
        }
    }
}

impl std::error::Error for DeployError {}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{
        super::{check::DEFAULT_LIMIT, elf::tests::plugin_bytes, status::State},
        *,
    };
    use crate::plugin::{route::RouteTable, services::Nobody};

    /// A drop folder and a state folder. No content in these tests gets as far as its trial.
    struct Scene {
        root: tempfile::TempDir,
        store: Store,
    }

    impl Scene {
        fn new() -> Scene {
            let root = tempfile::tempdir().unwrap();
            fs::create_dir(root.path().join("plugins")).unwrap();
            let store = Store::open(&root.path().join("state")).unwrap();
            Scene { root, store }
        }

        fn drop_in(&self, name: &str, content: &[u8]) {
            fs::write(self.root.path().join("plugins").join(name), content).unwrap();
        }

        async fn start(&self) -> Deployer {
            let config = DeployConfig {
                folder: self.root.path().join("plugins"),
                state: self.root.path().join("state"),
                limit: DEFAULT_LIMIT,
                memory: u64::MAX,
                trust_everybody: false,
                health_window: Duration::ZERO,
                vouching: Default::default(),
            };
            let routes = Arc::new(Routes::from_pointee(RouteTable::default()));
            let services = Nobody::new(self.root.path().join("data"));
            Deployer::start(config, self.store.clone(), services, routes).unwrap()
        }
    }

    async fn until(deployer: &Deployer, condition: impl Fn(&[PluginStatus]) -> bool) -> Arc<[PluginStatus]> {
        let mut statuses = deployer.statuses.clone();
        let found = tokio::time::timeout(Duration::from_secs(30), statuses.wait_for(|rows| condition(rows))).await;
        found.expect("the condition is met within 30 s").expect("the registry lives").clone()
    }

    fn foreign(id: &str) -> Vec<u8> {
        plugin_bytes(&format!("id={id}\nversion=1.0.0\nabi=99.0\ntarget=t\n"))
    }

    #[tokio::test]
    async fn what_is_found_at_the_start_is_decided_before_it_is_ready() {
        let scene = Scene::new();
        scene.drop_in("text.so", b"hello, world");
        scene.drop_in("foreign.so", &foreign("hello"));
        let deployer = scene.start().await;
        deployer.first_scan_done().await;
        let rows = deployer.list();
        let shown: Vec<_> = rows.iter().map(|row| (row.id.as_deref(), row.file.as_deref(), row.state)).collect();
        let expected = [(Some("hello"), Some("foreign.so"), State::Refused), (None, Some("text.so"), State::Refused)];
        assert_eq!(shown, expected);
        assert!(rows[0].reason.as_ref().unwrap().starts_with("built for plugin ABI 99.0, this host speaks"));
        assert_eq!(scene.store.plugins().unwrap()[0].state, "refused");
        let staged = fs::read_dir(scene.root.path().join("state/staging")).unwrap();
        assert_eq!(staged.count(), 0);
    }

    #[tokio::test]
    async fn a_refusal_goes_with_its_file() {
        let scene = Scene::new();
        let deployer = scene.start().await;
        deployer.first_scan_done().await;
        scene.drop_in("foreign.so", &foreign("hello"));
        until(&deployer, |rows| rows.iter().any(|row| row.state == State::Refused)).await;
        fs::remove_file(scene.root.path().join("plugins/foreign.so")).unwrap();
        until(&deployer, <[_]>::is_empty).await;
        deployer.shutdown().await;
        assert_eq!(scene.store.plugins().unwrap(), []);
    }

    #[tokio::test]
    async fn the_same_content_is_refused_once() {
        let scene = Scene::new();
        scene.drop_in("foreign.so", &foreign("hello"));
        let deployer = scene.start().await;
        deployer.first_scan_done().await;
        scene.drop_in("foreign.so", &foreign("hello"));
        // Steps in between may pass unseen: a status shows the latest. The time of the refusal tells the second from the first.
        let first = deployer.list()[0].since;
        let again = |row: &PluginStatus| row.state == State::Refused && row.since > first;
        until(&deployer, |rows| rows.len() == 1 && again(&rows[0])).await;
        assert_eq!(deployer.counters().refusals(), 1);
        // The administrator's word has it looked at, and counted, again.
        deployer.retry("hello").await.unwrap();
        assert_eq!(deployer.counters().refusals(), 2);
    }

    async fn with_record(scene: &Scene) {
        let record = PluginRecord {
            id: "hello".into(),
            version: "1.0.0".into(),
            file: "hello.so".into(),
            sha256: "00".repeat(32),
            staged: "staging/hello-00-1.so".into(),
            ..PluginRecord::default()
        };
        scene.store.save_plugin(&record).await.unwrap();
    }

    #[tokio::test]
    async fn a_plugin_whose_file_went_while_nobody_looked_is_forgotten() {
        let scene = Scene::new();
        with_record(&scene).await;
        scene.start().await.first_scan_done().await;
        assert_eq!(scene.store.plugins().unwrap(), []);
    }

    #[tokio::test]
    async fn a_folder_that_is_gone_removes_nothing() {
        let scene = Scene::new();
        with_record(&scene).await;
        fs::remove_dir(scene.root.path().join("plugins")).unwrap();
        let deployer = scene.start().await;
        deployer.first_scan_done().await;
        assert_eq!(scene.store.plugins().unwrap().len(), 1);
        let rows = deployer.list();
        assert_eq!((rows.len(), rows[0].state), (1, State::Refused));
        assert!(rows[0].reason.as_ref().unwrap().starts_with("can't be read: the kept copy"), "{rows:?}");
    }

    #[tokio::test]
    async fn a_disabled_plugin_is_shown_and_left_alone() {
        let scene = Scene::new();
        with_record(&scene).await;
        scene.store.disable_plugin("hello", true).await.unwrap();
        scene.drop_in("hello.so", &plugin_bytes("id=hello\nversion=2.0.0\nabi=0.1\ntarget=t\n"));
        let deployer = scene.start().await;
        deployer.first_scan_done().await;
        let rows = deployer.list();
        assert_eq!((rows.len(), rows[0].state), (1, State::Disabled));
        assert_eq!(deployer.counters().refusals(), 0);
    }

    #[tokio::test]
    async fn commands_name_what_they_do_not_know_and_end_with_the_server() {
        let scene = Scene::new();
        let deployer = scene.start().await;
        let unknown = deployer.disable("nobody").await.unwrap_err();
        assert_eq!(unknown.to_string(), "plugin nobody: not known here");
        assert!(matches!(deployer.retry("nobody").await, Err(CommandError::UnknownPlugin(_))));
        deployer.shutdown().await;
        assert!(matches!(deployer.enable("nobody").await, Err(CommandError::Ending)));
    }
}
