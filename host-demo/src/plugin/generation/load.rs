//! From a staged file to a plugin that runs: its library opened, its root checked, its start run.

use std::{
    fmt,
    mem::ManuallyDrop,
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicBool},
};

use abi_stable::{
    library::{AbiHeaderRef, ROOT_MODULE_LOADER_NAME_WITH_NUL},
    std_types::RResult,
};
use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};
use plugin_api::{
    abi::{
        host_component::HostComponentRef,
        plugin_component::PluginComponentRef,
        plugin_http::PluginHttpRef,
        plugin_life::PluginLifeRef,
        root::{Interface, LayoutMismatch, RootRef, Table},
    },
    manifest::Manifest,
};

use super::{Generation, relro};
use crate::plugin::{
    callbacks,
    calls::Calls,
    changes::Ends,
    context::{Context, Hold},
    crash,
    mark::Mark,
    route::{Route, RouteError},
    services::Services,
    settings::Plan,
    shown,
    stanzas::Stanzas,
    threads::Threads,
};

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

/// A plugin whose library is open and whose root fits. It has not run yet, but for the library's own initialisers.
pub struct Loaded {
    pub(super) root: RootRef,
    pub(super) mark: &'static Mark,
    pub(super) library: PathBuf,
    pub(super) manifest: Manifest,
    pub(super) number: u64,
    pub(super) services: Arc<dyn Services>,
    pub(super) plan: Plan,
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
        let root = mark.keep_thread(|| open_root(staged, mark))?;
        // Without it the version costs more memory, and is as good otherwise.
        if let Err(cause) = relro::give_back(staged) {
            log::debug!("{}: what its relocations wrote to stays in memory: {cause}", staged.display());
        }
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

fn open_root(staged: &Path, mark: &'static Mark) -> Result<RootRef, LoadError> {
    // SAFETY: opening runs the initialisers of a foreign library, and nobody can promise what they do: the file was checked, and
    // a probe process has opened it before.
    let library = unsafe { Library::open(Some(staged), RTLD_NOW | RTLD_LOCAL) }
        .map_err(|error| LoadError::Open(said_by_loader(&error, staged)))?;
    // Never closed, whatever becomes of its root: that must stay, and so must what threads run that its initialisers began.
    let library = ManuallyDrop::new(library);
    crash::remember(staged, mark);
    // SAFETY: a library that exports this symbol was made by `export_plugin!`, or says that it was.
    let header = unsafe { library.get::<AbiHeaderRef>(ROOT_MODULE_LOADER_NAME_WITH_NUL.as_bytes()) };
    let header: AbiHeaderRef = *header.map_err(|_| LoadError::Root("it has none: export_plugin! makes one".into()))?;
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
    let Parts { http, routes, ends, component } = parts;
    context.mark.know_routes(&routes);
    if let Some(http) = http {
        context.connect(http);
    }
    context.changes.connect(ends, context.mark);
    Ok(Generation {
        context,
        library,
        number,
        life,
        http,
        routes,
        stanzas: component.map(|component| Stanzas::new(name.into(), component, context.mark)),
        threads: Threads::new(name.into()),
        calls: Calls::default(),
        cut: AtomicBool::new(false),
        drains: AtomicBool::new(false),
    })
}

/// What a plugin implements.
struct Parts {
    http: Option<PluginHttpRef>,
    routes: Vec<Route>,
    ends: Ends,
    component: Option<PluginComponentRef>,
}

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
    // An address is given to those that ask for it, whatever they implement.
    let component = if context.is_granted(HostComponentRef::ID) { implemented(root)? } else { None };
    let ends = Ends { presence: implemented(root)?, timers: implemented(root)? };
    Ok(Parts { http, routes, ends, component })
}

fn implemented<T: Table>(root: RootRef) -> Result<Option<T>, StartError> {
    let offered = root.query()(T::ID.into()).into_option();
    offered.map(|interface| interface.checked().map_err(StartError::Interface)).transpose()
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;
    use crate::plugin::services::Nobody;

    /// Its initialiser may have begun a thread.
    #[test]
    fn a_library_without_a_root_stays_and_is_known() {
        let folder = tempfile::tempdir().unwrap();
        let (source, library) = (folder.path().join("rootless.c"), folder.path().join("rootless-00-1.so"));
        std::fs::write(&source, "int here(void) { return 7; }\n").unwrap();
        let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".into());
        let built = Command::new(compiler).args(["-shared", "-fPIC", "-o"]).args([&library, &source]).status();
        assert!(built.expect("a C compiler is there: the workspace needs one too").success());

        let manifest = Manifest::parse(b"id=rootless\nversion=1\nabi=0.1\ntarget=t\n").unwrap();
        let refused = Loaded::open(&library, manifest, 1, Nobody::new("/nowhere".into())).err();
        assert!(matches!(refused, Some(LoadError::Root(_))), "{refused:?}");
        assert!(crash::is_known(&library));
    }
}
