//! One loaded version of a plugin.
//!
//! The order of its life is a chain of types: [`Loaded`] has been opened and its root checked, [`Generation`] has been started.
//! A library is never closed: unloading Rust code is unsafe in ways that nobody can check, so a stopped generation stays mapped.

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use super::{
    callbacks,
    calls::{Calls, Place, Tally},
    context::{Context, Hold},
    crash,
    exchange::{Abandoned, Answer, Pending, on_worker},
    mark::Mark,
    request::{OwnedRequest, Request},
    route::{Route, RouteError},
    services::Services,
    settings::Plan,
    shown,
    threads::{Busy, Threads},
};
use crate::store::{SettingSchema, SettingsChange};
use abi_stable::{
    library::{AbiHeaderRef, ROOT_MODULE_LOADER_NAME_WITH_NUL},
    std_types::RResult,
};
use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};
use plugin_api::{
    abi::{
        plugin_http::PluginHttpRef,
        plugin_life::PluginLifeRef,
        plugin_presence::PluginPresenceRef,
        root::{Interface, LayoutMismatch, RootRef, Table},
        wire::Status,
    },
    manifest::Manifest,
};

/// How long a handler that is cut may take to notice.
const JOB_PATIENCE: Duration = Duration::from_secs(3);
/// How long a request may wait for an answer that its handler left for later.
pub const ANSWER_PATIENCE: Duration = Duration::from_secs(60);

/// Why a staged file can't be loaded.
#[derive(Debug)]
pub enum LoadError {
    /// The dynamic loader refused it.
    Open(String),
    /// It has no root that this host can use.
    Root(String),
}

/// Why a loaded plugin did not start.
#[derive(Debug)]
pub enum StartError {
    /// Its own `start` failed, with this text.
    Refused(String),
    /// It implements an interface in another shape.
    Interface(LayoutMismatch),
    /// It implements no `plugin.life/1`.
    NoLife,
    /// A route can't be mounted.
    Route(RouteError),
    /// The host let it go before it began.
    LetGo,
}

impl fmt::Display for LoadError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LoadError::Open(reason) => write!(out, "it can't be opened: {reason}"),
            LoadError::Root(reason) => write!(out, "its root does not fit this host: {reason}"),
        }
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::Refused(reason) => write!(out, "its start failed: {reason}"),
            StartError::Interface(mismatch) => {
                let LayoutMismatch { id, differences } = mismatch;
                write!(
                    out,
                    "its {id} has another shape than this host's ({differences}): get a build for this host, or upgrade the host"
                )
            }
            StartError::NoLife => write!(out, "it does not implement {}", PluginLifeRef::ID),
            StartError::Route(error) => error.fmt(out),
            StartError::LetGo => out.write_str("its library took too long to be opened"),
        }
    }
}

impl std::error::Error for LoadError {}
impl std::error::Error for StartError {}

/// Why a request has no answer of the plugin's.
#[derive(Debug, PartialEq, Eq)]
pub enum CallError {
    /// The handler panicked, or gave up for this reason.
    Abandoned(String),
    /// All threads of the plugin are busy.
    Busy,
    /// The handler, or whoever it left the answer to, took too long.
    TimedOut,
}

/// A plugin whose library is open and whose root fits. It has not run yet, but for the library's own initialisers.
pub struct Loaded {
    root: RootRef,
    mark: &'static Mark,
    library: PathBuf,
    manifest: Manifest,
    number: u64,
    services: Arc<dyn Services>,
    plan: Plan,
}

impl Loaded {
    /// Opens a staged file and checks its root. Blocks; code of the plugin may run.
    ///
    /// # Errors
    /// The file is no plugin that this host can use.
    pub fn open(
        staged: &Path,
        manifest: Manifest,
        number: u64,
        services: Arc<dyn Services>,
    ) -> Result<Loaded, LoadError> {
        let mark = Mark::new(&manifest, staged);
        let root = mark.keep_thread(|| open_root(staged))?;
        crash::remember(staged, mark);
        Ok(Loaded { root, mark, library: staged.into(), manifest, number, services, plan: Plan::Follow })
    }

    /// Has it start with other settings than those that are stored.
    pub fn with_settings(self, plan: Plan) -> Loaded {
        Loaded { plan, ..self }
    }

    /// Runs the plugin's `start`. Blocks for as long as that does; meanwhile `hold` can let go of it.
    ///
    /// # Errors
    /// The plugin refused, or what it registered can't be used. Its code is not called again.
    pub fn start(self, hold: &Hold) -> Result<Arc<Generation>, StartError> {
        let name = format!("{}#{}", self.manifest.id, self.number);
        let context = Context::new(self.manifest, name.clone(), self.services, self.plan, self.mark);
        if !hold.take(context) {
            return Err(StartError::LetGo);
        }
        let started = self.mark.keep_thread(|| start(self.root, context, &name, self.library, self.number));
        if started.is_err() {
            context.stop();
            context.changes.stop();
        }
        started.map(Arc::new)
    }
}

fn open_root(staged: &Path) -> Result<RootRef, LoadError> {
    // SAFETY: opening runs the initialisers of a foreign library, and nobody can promise what they do: the file was checked, and
    // a probe process has opened it before.
    let library = unsafe { Library::open(Some(staged), RTLD_NOW | RTLD_LOCAL) }
        .map_err(|error| LoadError::Open(said_by_loader(&error, staged)))?;
    // SAFETY: a library that exports this symbol was made by `export_plugin!`, or says that it was.
    let header = unsafe { library.get::<AbiHeaderRef>(ROOT_MODULE_LOADER_NAME_WITH_NUL.as_bytes()) };
    let header: AbiHeaderRef = *header.map_err(|_| LoadError::Root("it has none: export_plugin! makes one".into()))?;
    // What the header points to must stay: the library is never closed.
    std::mem::forget(library);
    let root = |error: abi_stable::library::LibraryError| LoadError::Root(first_lines(&error.to_string()));
    let root: RootRef = header.upgrade().map_err(root)?.init_root_module().map_err(root)?;
    // What the header does not hold the root says itself. It takes the frozen shape to ask; a trial has asked before.
    match root.query()(RootRef::ID.into()).into_option().map(Interface::checked) {
        Some(Ok(RootRef { .. })) => Ok(root),
        Some(Err(LayoutMismatch { differences, .. })) => Err(LoadError::Root(first_lines(&differences))),
        None => Err(LoadError::Root("it does not say what it looks like".into())),
    }
}

/// The error names only the call that failed; the symbol or library that is missing is in its source, behind the path of the
/// staged copy, which differs each time and tells nobody anything.
fn said_by_loader(error: &libloading::Error, staged: &Path) -> String {
    let said = std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string);
    said.replace(&format!("{}: ", staged.display()), "")
}

/// abi_stable describes every layout it met, on hundreds of lines.
fn first_lines(text: &str) -> String {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).take(4).collect::<Vec<_>>().join("; ")
}

fn start(
    root: RootRef,
    context: &'static Context,
    name: &str,
    library: PathBuf,
    number: u64,
) -> Result<Generation, StartError> {
    if let RResult::RErr(reason) = root.start()(callbacks::query(context)) {
        check_grants(context)?;
        return Err(StartError::Refused(shown::line(&reason)));
    }
    let life: PluginLifeRef = implemented(root)?.ok_or(StartError::NoLife)?;
    // From here on the plugin runs: if it can't be used, it is to end.
    let parts = read_parts(root, context).inspect_err(|_| life.stop()())?;
    let (http, routes, presence) = parts;
    context.mark.know_routes(&routes);
    if let Some(http) = http {
        context.connect(http);
    }
    if let Some(presence) = presence {
        context.changes.connect(presence, context.mark);
    }
    Ok(Generation {
        context,
        library,
        number,
        life,
        http,
        routes,
        threads: Threads::new(name.into()),
        calls: Calls::default(),
        cut: AtomicBool::new(false),
    })
}

type Parts = (Option<PluginHttpRef>, Vec<Route>, Option<PluginPresenceRef>);

/// Whether the plugin got all that it cannot do without, which it may notice only when it uses it.
fn check_grants(context: &Context) -> Result<(), StartError> {
    context.mismatch().map_or(Ok(()), |mismatch| Err(StartError::Interface(mismatch.clone())))
}

fn read_parts(root: RootRef, context: &Context) -> Result<Parts, StartError> {
    check_grants(context)?;
    let http: Option<PluginHttpRef> = implemented(root)?;
    let routes = match http {
        Some(http) => Route::read_all(&context.manifest.id, &http.routes()()).map_err(StartError::Route)?,
        None => Vec::new(),
    };
    Ok((http, routes, implemented(root)?))
}

fn implemented<T: Table>(root: RootRef) -> Result<Option<T>, StartError> {
    let offered = root.query()(T::ID.into()).into_option();
    offered.map(|interface| interface.checked().map_err(StartError::Interface)).transpose()
}

/// A started plugin.
pub struct Generation {
    context: &'static Context,
    library: PathBuf,
    number: u64,
    life: PluginLifeRef,
    http: Option<PluginHttpRef>,
    routes: Vec<Route>,
    threads: Threads,
    calls: Calls,
    cut: AtomicBool,
}

/// The right to call a generation, counted until it is dropped.
pub struct Call {
    generation: Arc<Generation>,
    place: Place,
}

impl Drop for Call {
    fn drop(&mut self) {
        self.generation.calls.end(self.place);
    }
}

impl Generation {
    /// What the plugin says of itself.
    pub fn manifest(&self) -> &Manifest {
        &self.context.manifest
    }

    /// The staged copy that is mapped.
    pub fn library(&self) -> &Path {
        &self.library
    }

    /// The number of this generation among all of this plugin.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Its routes.
    pub fn routes(&self) -> &[Route] {
        &self.routes
    }

    /// The settings that it declared.
    pub fn settings(&self) -> Vec<SettingSchema> {
        self.context.declared()
    }

    /// What is to be stored of its settings when it comes into service, if anything is.
    pub fn settings_change(&self) -> Option<SettingsChange> {
        self.context.settings_change()
    }

    /// Has it read these values of its settings from here on, whatever is stored; `None`: those that are.
    pub fn show_settings(&self, values: Option<BTreeMap<String, String>>) {
        self.context.show_settings(values);
    }

    /// How many requests and streams are not finished.
    pub fn in_flight(&self) -> usize {
        self.calls.open()
    }

    /// Its name in logs and of its threads: `presence#3`.
    pub fn name(&self) -> &str {
        self.threads.name()
    }

    /// The bytes that the plugin has allocated and not freed.
    pub fn memory(&self) -> u64 {
        self.context.mark.run(|| self.life.memory()())
    }

    /// How its requests went so far.
    pub fn tally(&self) -> Tally {
        self.calls.tally()
    }

    /// Begins a call. `None`: this generation takes no more; look the route up again.
    pub fn enter(self: &Arc<Self>) -> Option<Call> {
        let call = self.count_in();
        (!self.calls.is_closed()).then_some(call)
    }

    fn count_in(self: &Arc<Self>) -> Call {
        Call { place: self.calls.begin(), generation: self.clone() }
    }

    /// Tells the plugin that a setting changed, and waits for it to have taken note.
    pub fn settings_changed(&self) {
        self.context.mark.keep_thread(|| self.life.settings_changed()());
    }

    /// Asks the plugin whether it can do its work. Blocks for as long as it takes to find out.
    ///
    /// # Errors
    /// It can't, for this reason.
    pub fn self_test(&self) -> Result<(), String> {
        self.context.mark.keep_thread(|| self.life.self_test()()).into_result().map_err(|reason| shown::line(&reason))
    }

    /// Takes no more calls: whoever comes with an old table looks the route up again. To be called when a table without this
    /// generation has been published.
    pub fn close(&self) {
        self.calls.close();
    }

    /// Tells the plugin to send its streams' clients away.
    pub fn drain(&self) {
        self.context.mark.keep_thread(|| self.life.drain()());
    }

    /// Answers all calls of the plugin `CLOSED` from now on, whatever became of its stop.
    pub fn disown(&self) {
        self.context.disown();
    }

    /// Waits until nothing is in flight. To be asked when it takes no more calls.
    pub async fn drained(&self) {
        self.calls.ended().await;
    }

    /// Takes no more calls, and gives up those that are left. Answers how many there were.
    pub fn cut(&self) -> usize {
        self.close();
        self.cut.store(true, Ordering::SeqCst);
        self.context.exchanges.abandon_all("the plugin was replaced or removed")
    }

    /// Ends the plugin: its threads joined, the plugin dropped, its late calls answered `CLOSED`. Blocks. Answers how many of its
    /// handlers are still running after a while; with any, the plugin can't be dropped and its memory is lost.
    pub fn stop(&self) -> usize {
        self.cut();
        self.context.changes.stop();
        let busy = self.threads.stop(JOB_PATIENCE);
        if busy == 0 {
            self.context.mark.keep_thread(|| self.life.stop()());
        }
        self.context.stop();
        busy
    }
}

impl Call {
    /// Whom it calls.
    pub fn generation(&self) -> &Generation {
        &self.generation
    }

    /// Passes a request to the route of this index and waits for the answer.
    ///
    /// # Errors
    /// The plugin gave none.
    pub async fn answer(&self, index: usize, request: &Request<'_>) -> Result<Answer, CallError> {
        let result = self.ask(index, request).await;
        self.generation.calls.count(self.place, &result);
        result
    }

    async fn ask(&self, index: usize, request: &Request<'_>) -> Result<Answer, CallError> {
        let generation = &self.generation;
        let (Some(http), Some(route)) = (generation.http, generation.routes.get(index)) else {
            return Err(CallError::Abandoned("the plugin has no such route".into()));
        };
        if route.is_inline() {
            answer_inline(generation, http, index as u32, request).await
        } else {
            answer_on_thread(generation, http, index as u32, request.detach(), route.patience()).await
        }
    }
}

/// Opens an exchange, unless this call was among those that were given up while its body came in.
fn begin(generation: &Generation) -> Result<Pending<'static>, CallError> {
    let pending = generation.context.exchanges.begin();
    if generation.cut.load(Ordering::SeqCst) {
        return Err(CallError::Abandoned("the plugin was replaced or removed".into()));
    }
    Ok(pending)
}

/// Has the plugin handle a request on this thread.
fn handle(http: PluginHttpRef, mark: &'static Mark, index: u32, request: &Request<'_>, token: u64) -> Status {
    request.with_view(|view| mark.run_route(index as usize, || http.handle()(index, view, token)))
}

async fn answer_inline(
    generation: &Generation,
    http: PluginHttpRef,
    index: u32,
    request: &Request<'_>,
) -> Result<Answer, CallError> {
    let mut pending = begin(generation)?;
    let token = pending.token();
    if on_worker(|| handle(http, generation.context.mark, index, request, token)) != Status::OK {
        return Err(CallError::Abandoned("the handler panicked".into()));
    }
    if let Some(answer) = pending.answered() {
        return answer.map_err(abandoned);
    }
    within(ANSWER_PATIENCE, pending.answer()).await
}

async fn answer_on_thread(
    generation: &Arc<Generation>,
    http: PluginHttpRef,
    index: u32,
    request: OwnedRequest,
    patience: Duration,
) -> Result<Answer, CallError> {
    let mut pending = begin(generation)?;
    let token = pending.token();
    let (returned, mut returns) = tokio::sync::oneshot::channel();
    let running = generation.count_in();
    let mark = generation.context.mark;
    let job = move || {
        let handled = mark.keep_thread(|| handle(http, mark, index, &request.borrow(), token));
        drop(running);
        // Nobody waits any more if the client is gone.
        let _ = returned.send(handled);
    };
    let seat = generation.threads.seat().await;
    seat.and_then(|seat| generation.threads.run(seat, job)).map_err(|Busy| CallError::Busy)?;
    let patience = tokio::time::sleep(patience);
    tokio::select! {
        biased;
        answer = pending.answer() => return answer.map_err(abandoned),
        handled = &mut returns => if handled != Ok(Status::OK) {
            return Err(CallError::Abandoned("the handler panicked".into()));
        },
        () = patience => return Err(CallError::TimedOut),
    }
    within(ANSWER_PATIENCE, pending.answer()).await
}

async fn within(
    patience: Duration,
    answer: impl Future<Output = Result<Answer, Abandoned>>,
) -> Result<Answer, CallError> {
    match tokio::time::timeout(patience, answer).await {
        Ok(answer) => answer.map_err(abandoned),
        Err(_) => Err(CallError::TimedOut),
    }
}

fn abandoned(Abandoned(reason): Abandoned) -> CallError {
    CallError::Abandoned(reason)
}

#[cfg(test)]
pub(super) mod tests;
