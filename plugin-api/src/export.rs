//! The funnel: every call from the host into an author's code comes through here, where panics end.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, OnceLock},
};

pub use abi_stable::library::LibHeader;
use abi_stable::{
    library::{__call_root_module_loader, CheckTypeLayout, RootModuleResult},
    prefix_type::PrefixTypeTrait,
    std_types::{ROption, RResult, RSlice, RStr, RString},
};
use arc_swap::ArcSwapOption;

use crate::{
    Error, Host, Plugin, Request, Responder, Result, Routes,
    abi::{
        plugin_component::{PluginComponent, PluginComponentRef},
        plugin_http::{PluginHttp, PluginHttpRef, RequestView, RouteView},
        plugin_life::{PluginLife, PluginLifeRef},
        plugin_presence::{PluginPresence, PluginPresenceRef},
        plugin_timers::{PluginTimers, PluginTimersRef},
        root::{HostQuery, Interface, Root, RootRef, Table},
        wire::Status,
    },
    logger, memory, response,
    routes::Route,
    subscription::{self, Change},
    timer,
};

/// The place of a library's one plugin. [`export_plugin!`](crate::export_plugin) makes it.
pub struct Cell<P: 'static> {
    /// Each request reads it: a lock, or a count of who does, would be passed from core to core.
    running: ArcSwapOption<Running<P>>,
    routes: OnceLock<Vec<RouteView<'static>>>,
}

struct Running<P: 'static> {
    plugin: P,
    routes: &'static [Route<P>],
}

impl<P: 'static> Cell<P> {
    /// An empty place.
    pub const fn new() -> Cell<P> {
        Cell { running: ArcSwapOption::const_empty(), routes: OnceLock::new() }
    }

    fn running(&self) -> Option<Arc<Running<P>>> {
        self.running.load_full()
    }
}

impl<P: 'static> Default for Cell<P> {
    fn default() -> Cell<P> {
        Cell::new()
    }
}

/// A plugin with its place. [`export_plugin!`](crate::export_plugin) implements it.
pub trait Exported: Plugin {
    /// The place, a `static` of the plugin's library.
    fn cell() -> &'static Cell<Self>;
}

/// What the host finds in a plugin's library.
#[allow(unsafe_code, reason = "abi_stable asks for the promise that constructor and root belong together")]
pub const fn header<P: Exported>() -> LibHeader {
    // SAFETY: `root_module` constructs a `RootRef`.
    unsafe { LibHeader::from_constructor::<RootRef>(root_module::<P>, CheckTypeLayout::No) }
}

extern "C" fn root_module<P: Exported>() -> RootModuleResult {
    construct(root::<P>)
}

fn root<P: Exported>() -> RootRef {
    leaked(Root { query: query::<P>, start: start::<P> })
}

/// Runs an author's code. A panic becomes its message.
fn guard<R>(code: impl FnOnce() -> R) -> std::result::Result<R, String> {
    catch_unwind(AssertUnwindSafe(code)).map_err(|panic| {
        let message = format!("panicked: {}", panic_message(&*panic));
        // The value of a panic is an author's too: its drop may panic again, and then nothing is left but to keep it.
        if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(panic))) {
            std::mem::forget(again);
        }
        message
    })
}

/// As [`guard`], for calls that have nobody to tell: the log gets the message.
fn guard_logged(what: &str, code: impl FnOnce()) -> bool {
    let result = guard(code);
    if let Err(message) = &result {
        log::error!("{what} {message}");
    }
    result.is_ok()
}

fn panic_message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("with a value that is no text")
}

extern "C" fn start<P: Exported>(query: HostQuery) -> RResult<(), RString> {
    for_administrator(guard(|| start_plugin::<P>(&query)))
}

/// The outcome of a guarded call as the host is told it.
fn for_administrator(outcome: std::result::Result<Result<()>, String>) -> RResult<(), RString> {
    match outcome {
        Ok(Ok(())) => RResult::ROk(()),
        Ok(Err(error)) => RResult::RErr(error.log_message().into()),
        Err(panic) => RResult::RErr(panic.into()),
    }
}

fn start_plugin<P: Exported>(query: &HostQuery) -> Result<()> {
    let host = Host::connect(query)?;
    logger::install(host);
    let settings = P::settings();
    if !settings.is_empty() {
        host.declare(&settings)?;
    }
    migrate_settings::<P>(host)?;
    let mut routes = Routes::new();
    let plugin = P::start(host, &mut routes)?;
    let cell = P::cell();
    // The library is never unloaded and its routes never change, so they may live as long as it.
    let routes: &'static [Route<P>] = routes.into_vec().leak();
    let views = routes.iter().map(Route::view).collect();
    cell.routes.set(views).map_err(|_| Error::new("this copy of the library was started before"))?;
    cell.running.store(Some(Arc::new(Running { plugin, routes })));
    Ok(())
}

/// Has the plugin move the values that were set for an older version of it. What it is shown and what it gives back is the host's to keep or
/// to forget: nothing is stored here.
fn migrate_settings<P: Exported>(host: Host) -> Result<()> {
    if P::SETTINGS_VERSION == 1 {
        return Ok(());
    }
    let Some((from, mut settings)) = host.stored_settings()? else { return Ok(()) };
    let migrated = guard(|| P::migrate_settings(from, &mut settings)).unwrap_or_else(|panic| Err(Error::new(panic)));
    migrated.and_then(|()| host.migrated(&settings)).map_err(|error| {
        let to = P::SETTINGS_VERSION;
        Error::new(format!("its settings can't be migrated from version {from} to {to}, and stay as they are: {error}"))
    })
}

extern "C" fn query<P: Exported>(id: RStr<'_>) -> ROption<Interface> {
    let offered = match id.as_str() {
        PluginHttpRef::ID => http(PluginHttp { routes: routes::<P>, handle: handle::<P>, writable }),
        PluginLifeRef::ID => life(PluginLife {
            settings_changed: settings_changed::<P>,
            log_level_changed,
            memory,
            self_test: self_test::<P>,
            drain: drain::<P>,
            stop: stop::<P>,
        }),
        PluginPresenceRef::ID => presence(),
        PluginTimersRef::ID => timers(),
        PluginComponentRef::ID => component(PluginComponent { stanza: stanza::<P> }),
        RootRef::ID => itself(root::<P>()),
        _ => return ROption::RNone,
    };
    ROption::RSome(offered)
}

// A layout is tens of kilobytes of constants full of pointers, which each loaded library has to itself. A generic function brings them into
// the author's crate, once for each of its codegen units; these keep them in this one.

#[inline(never)]
fn http(table: PluginHttp) -> Interface {
    Interface::of(table.leak_into_prefix())
}

#[inline(never)]
fn life(table: PluginLife) -> Interface {
    Interface::of(table.leak_into_prefix())
}

#[inline(never)]
fn presence() -> Interface {
    Interface::of(PluginPresence { changed }.leak_into_prefix())
}

#[inline(never)]
fn timers() -> Interface {
    Interface::of(PluginTimers { due }.leak_into_prefix())
}

#[inline(never)]
fn component(table: PluginComponent) -> Interface {
    Interface::of(table.leak_into_prefix())
}

#[inline(never)]
fn itself(root: RootRef) -> Interface {
    Interface::of(root)
}

#[inline(never)]
fn leaked(root: Root) -> RootRef {
    root.leak_into_prefix()
}

#[inline(never)]
fn construct(root: fn() -> RootRef) -> RootModuleResult {
    __call_root_module_loader(root)
}

extern "C" fn routes<P: Exported>() -> RSlice<'static, RouteView<'static>> {
    P::cell().routes.get().map_or(RSlice::EMPTY, |views| RSlice::from_slice(views))
}

extern "C" fn handle<P: Exported>(route: u32, request: &RequestView<'_>, token: u64) -> Status {
    let Some(host) = Host::current() else { return Status::FAILED };
    let (responder, running) = (Responder::new(token, host), P::cell().running.load());
    let Some(route) = running.as_ref().and_then(|running| running.routes.get(route as usize)) else {
        responder.fail("the plugin has no such route, or has been stopped");
        return Status::OK;
    };
    let request = Request::new(request, route.pattern());
    // Who comes late may be the last to hold the plugin, which is then dropped here.
    let handled = guard(move || {
        if let Some(running) = running.as_ref() {
            route.handle(&running.plugin, &request, responder);
        }
        drop(running);
    });
    match handled {
        Ok(()) => Status::OK,
        Err(message) => {
            log::error!("{request:?}: the handler {message}");
            Status::FAILED
        }
    }
}

extern "C" fn writable(token: u64) {
    guard_logged("on_writable or on_gone", || response::writable(token));
}

extern "C" fn changed(subscription: u64, user: RStr<'_>, lost: u32) {
    let change = Change { user: user.as_str(), lost };
    guard_logged("a presence subscription", || subscription::tell(subscription, &change));
}

extern "C" fn due(timer: u64) {
    guard_logged("a timer", || timer::tell(timer));
}

extern "C" fn stanza<P: Exported>(stanza: RStr<'_>) {
    if let Some(running) = P::cell().running() {
        guard_logged("stanza", move || running.plugin.stanza(&stanza));
    }
}

extern "C" fn settings_changed<P: Exported>() {
    if let Some(running) = P::cell().running() {
        // The call may hold the last reference when it returns late: then the plugin is dropped inside the guard.
        guard_logged("settings_changed", move || running.plugin.settings_changed());
    }
}

extern "C" fn log_level_changed(level: u8) {
    logger::set_level(level);
}

extern "C" fn memory() -> u64 {
    memory::in_use()
}

extern "C" fn self_test<P: Exported>() -> RResult<(), RString> {
    // One that has been stopped meanwhile has nothing to prove.
    let Some(running) = P::cell().running() else { return RResult::ROk(()) };
    for_administrator(guard(move || running.plugin.self_test()))
}

extern "C" fn drain<P: Exported>() {
    if let Some(running) = P::cell().running() {
        guard_logged("drain", move || running.plugin.drain());
    }
}

extern "C" fn stop<P: Exported>() {
    let running = P::cell().running.swap(None);
    guard_logged("dropping the plugin", || drop(running));
    // A closure may own what keeps it.
    guard_logged("dropping the closures of streams", response::forget_all);
    guard_logged("dropping the closures of subscriptions", subscription::forget_all);
    guard_logged("dropping the closures of timers", timer::forget_all);
}

/// Exports the plugin of a library: `export_plugin!(Hello);`
///
/// What the manifest says comes from the package; it can be said otherwise, in this order:
/// `export_plugin!(Hello, id = "hello", version = "1.2.0", name = "Hello", needs = [presence, roster])`. The id is the
/// plugin's identity and its mount, `/plugins/<id>/`; by default it is the package's name.
///
/// `min_host = "0.2.0"`, behind the name, is the lowest version of the host that it runs on: an older one refuses it, unless it is so old that
/// it does not know of this.
///
/// `needs` are the interfaces of the host that the plugin cannot do without: `presence`, `roster`, `settings`, `data`, `timers`, `records`,
/// `component`, `stamps`; a host that lacks one refuses the plugin. `wants`, behind them, are those that it uses where they are. The
/// administrator sees both, and the host gives no others. By default a plugin needs `presence` and `roster`.
#[macro_export]
macro_rules! export_plugin {
    (
        $plugin:ty
        $(, id = $id:expr)? $(, version = $version:expr)? $(, name = $name:expr)? $(, min_host = $min_host:expr)?
        $(, needs = [$($need:ident),* $(,)?])? $(, wants = [$($want:ident),* $(,)?])? $(,)?
    ) => {
        const _: () = {
            impl $crate::export::Exported for $plugin {
                fn cell() -> &'static $crate::export::Cell<Self> {
                    static CELL: $crate::export::Cell<$plugin> = $crate::export::Cell::new();
                    &CELL
                }
            }

            const MANIFEST: $crate::manifest::Source = $crate::manifest::Source {
                id: $crate::__or!([$($id)?] env!("CARGO_PKG_NAME")),
                version: $crate::__or!([$($version)?] env!("CARGO_PKG_VERSION")),
                name: $crate::__or!([$($name)?] env!("CARGO_PKG_NAME")),
                description: env!("CARGO_PKG_DESCRIPTION"),
                authors: env!("CARGO_PKG_AUTHORS"),
                license: env!("CARGO_PKG_LICENSE"),
                min_host: $crate::__or!([$(Some($min_host))?] None),
                needs: $crate::__or!([$(&[$($crate::__need!($need)),*])?] &["host.presence/1", "host.roster/1"]),
                wants: &[$($($crate::__need!($want)),*)?],
                settings_version: <$plugin as $crate::Plugin>::SETTINGS_VERSION,
                reads_newer_settings: <$plugin as $crate::Plugin>::READS_NEWER_SETTINGS,
            };

            #[used]
            #[unsafe(link_section = ".note.plugin")]
            static NOTE: $crate::manifest::Note<{ MANIFEST.length() }> = MANIFEST.note();

            #[global_allocator]
            static MEMORY: $crate::memory::Counting = $crate::memory::Counting;

            // The symbol by which abi_stable finds the root module (`ROOT_MODULE_LOADER_NAME`).
            #[unsafe(export_name = "_1as_0lib_1header_0root_bmodule_bloader")]
            static ROOT: $crate::export::LibHeader = $crate::export::header::<$plugin>();
        };
    };
}

/// The first of a given value and a default.
#[doc(hidden)]
#[macro_export]
macro_rules! __or {
    ([] $default:expr) => {
        $default
    };
    ([$value:expr] $default:expr) => {
        $value
    };
}

/// The id of the interface that goes by a short name.
#[doc(hidden)]
#[macro_export]
macro_rules! __need {
    (presence) => {
        "host.presence/1"
    };
    (roster) => {
        "host.roster/1"
    };
    (settings) => {
        "host.settings/1"
    };
    (component) => {
        "host.component/1"
    };
    (data) => {
        "host.data/1"
    };
    (timers) => {
        "host.timers/1"
    };
    (records) => {
        "host.records/1"
    };
    (stamps) => {
        "host.stamps/1"
    };
    ($other:ident) => {
        compile_error!(concat!("the host has no interface called ", stringify!($other)))
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_is_exported_by_the_name_that_abi_stable_looks_up() {
        assert_eq!(abi_stable::library::ROOT_MODULE_LOADER_NAME, "_1as_0lib_1header_0root_bmodule_bloader");
    }

    #[test]
    fn a_panic_becomes_its_message() {
        assert_eq!(guard(|| -> () { panic!("out of {}", "milk") }), Err("panicked: out of milk".into()));
        assert_eq!(guard(|| -> () { std::panic::panic_any(7) }), Err("panicked: with a value that is no text".into()));
        assert_eq!(guard(|| 7), Ok(7));
    }

    /// Stopped while its handler runs, and spiteful at its end.
    struct Late;

    impl Plugin for Late {
        fn start(_host: Host, _routes: &mut Routes<Late>) -> Result<Late> {
            Ok(Late)
        }
    }

    impl Exported for Late {
        fn cell() -> &'static Cell<Late> {
            static CELL: Cell<Late> = Cell::new();
            &CELL
        }
    }

    impl Drop for Late {
        fn drop(&mut self) {
            panic!("not like this");
        }
    }

    #[test]
    fn a_plugin_that_its_last_handler_drops_panics_within_the_funnel() {
        crate::host::tests::current();
        let mut mounted = Routes::new();
        mounted.get("/", |_: &Late, _: &Request<'_>, responder: Responder| {
            Late::cell().running.store(None);
            responder.send(crate::Response::new(204));
        });
        let routes = &*mounted.into_vec().leak();
        Late::cell().running.store(Some(Arc::new(Running { plugin: Late, routes })));
        let request = RequestView {
            method: "GET".into(),
            path: "/".into(),
            query: "".into(),
            fields: RSlice::EMPTY,
            parameters: RSlice::EMPTY,
            body: RSlice::EMPTY,
            peer: "".into(),
        };
        assert_eq!(handle::<Late>(0, &request, 1), Status::FAILED);
        assert!(Late::cell().running().is_none(), "the handler never ran");
    }

    #[test]
    fn a_panic_whose_value_panics_when_dropped_ends_here_too() {
        struct Spiteful;
        impl Drop for Spiteful {
            fn drop(&mut self) {
                panic!("and another thing");
            }
        }
        assert!(guard(|| std::panic::panic_any(Spiteful)).is_err());
    }
}
