//! A generation seen from both sides: the plugins here are tables written by hand, whose functions the test controls.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicUsize},
    },
    thread,
};

use abi_stable::{
    StableAbi,
    prefix_type::PrefixTypeTrait,
    std_types::{ROption, RResult, RSlice, RStr, RString},
};
use parking_lot::{Condvar, Mutex};
use plugin_api::abi::{
    host_presence::HostPresenceRef,
    plugin_component::{PluginComponent, PluginComponentRef},
    plugin_http::{ExecutionCode, PluginHttp, RequestView, RouteView},
    plugin_life::PluginLife,
    root::{HostQuery, Interface, Root, Table},
    wire::Status,
};

use super::*;
use crate::plugin::{context::Hold, mark::Mark, services::Nobody, settings::Plan, stanzas::MAX_STANZAS};

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(30);

/// What one test's plugin does, and what was done to it. It is a library's static there, and here one of an array.
pub(in crate::plugin) struct Script {
    /// Its start waits for this.
    start: Gate,
    /// Its stop waits for this.
    pub(in crate::plugin) stop: Gate,
    /// Each stanza that it is handed waits for this.
    stanza: Gate,
    /// Opened by its start.
    begun: Gate,
    /// The pattern of its only route.
    pattern: &'static str,
    /// What its call at the end of the start was answered.
    answered: AtomicU8,
    /// How often it was stopped.
    stops: AtomicUsize,
}

pub(in crate::plugin) struct Gate {
    is_open: Mutex<bool>,
    opened: Condvar,
}

impl Gate {
    const fn new(is_open: bool) -> Gate {
        Gate { is_open: Mutex::new(is_open), opened: Condvar::new() }
    }

    pub(in crate::plugin) fn open(&self) {
        *self.is_open.lock() = true;
        self.opened.notify_all();
    }

    fn pass(&self) {
        let mut is_open = self.is_open.lock();
        while !*is_open {
            assert!(!self.opened.wait_for(&mut is_open, PATIENCE).timed_out(), "nobody opened the gate");
        }
    }
}

const fn script(start_hangs: bool, stop_hangs: bool, stanza_hangs: bool, pattern: &'static str) -> Script {
    let (start, stop) = (Gate::new(!start_hangs), Gate::new(!stop_hangs));
    let (answered, stops) = (AtomicU8::new(u8::MAX), AtomicUsize::new(0));
    Script { start, stop, stanza: Gate::new(!stanza_hangs), begun: Gate::new(false), pattern, answered, stops }
}

const GOOD: usize = 0;
const BAD_ROUTE: usize = 1;
const START_HANGS: usize = 2;
const NEVER_STARTED: usize = 3;
pub(in crate::plugin) const STOP_HANGS: usize = 4;
const STANZA_HANGS: usize = 5;

pub(in crate::plugin) static SCRIPTS: [Script; 6] = [
    script(false, false, false, "/"),
    script(false, false, false, "no slash"),
    script(true, false, false, "/"),
    script(false, false, false, "/"),
    script(false, true, false, "/"),
    script(false, false, true, "/"),
];

extern "C" fn start_plugin<const N: usize>(host: HostQuery) -> RResult<(), RString> {
    let offered = (host.get)(host.context, HostPresenceRef::ID.into(), HostPresenceRef::LAYOUT);
    let table: HostPresenceRef = offered.unwrap().checked().unwrap();
    SCRIPTS[N].begun.open();
    SCRIPTS[N].start.pass();
    let Status(answer) = table.subscribe()(host.context, "".into(), 1);
    SCRIPTS[N].answered.store(answer, Ordering::SeqCst);
    RResult::ROk(())
}

extern "C" fn query<const N: usize>(id: RStr<'_>) -> ROption<Interface> {
    ROption::RSome(match id.as_str() {
        PluginHttpRef::ID => {
            Interface::of(PluginHttp { routes: routes::<N>, handle, writable: ignore_token }.leak_into_prefix())
        }
        PluginLifeRef::ID => Interface::of(
            PluginLife {
                settings_changed: ignore,
                log_level_changed: ignore_level,
                drain: ignore,
                stop: stop::<N>,
                memory: nothing,
                self_test: fine,
            }
            .leak_into_prefix(),
        ),
        PluginComponentRef::ID => Interface::of(PluginComponent { stanza: stanza::<N> }.leak_into_prefix()),
        _ => return ROption::RNone,
    })
}

extern "C" fn routes<const N: usize>() -> RSlice<'static, RouteView<'static>> {
    let (methods, pattern) = ("GET".into(), SCRIPTS[N].pattern.into());
    let view = RouteView { methods, pattern, body_limit: 0, patience: 0, execution: ExecutionCode::INLINE };
    RSlice::from_slice(Box::leak(Box::new([view])))
}

extern "C" fn handle(_: u32, _: &RequestView<'_>, _: u64) -> Status {
    Status::OK
}

extern "C" fn stop<const N: usize>() {
    SCRIPTS[N].stops.fetch_add(1, Ordering::SeqCst);
    SCRIPTS[N].stop.pass();
}

extern "C" fn stanza<const N: usize>(_: RStr<'_>) {
    SCRIPTS[N].stanza.pass();
}

extern "C" fn ignore() {}
extern "C" fn nothing() -> u64 {
    0
}
extern "C" fn fine() -> RResult<(), RString> {
    RResult::ROk(())
}
extern "C" fn ignore_level(_: u8) {}
extern "C" fn ignore_token(_: u64) {}

fn loaded<const N: usize>() -> Loaded {
    let manifest = b"id=hand\nversion=1\nabi=0.1\ntarget=t\nneeds=host.presence/1,host.component/1\n";
    let manifest = Manifest::parse(manifest).unwrap();
    Loaded {
        mark: Mark::new(&manifest, Path::new("/nowhere.so")),
        root: Root { query: query::<N>, start: start_plugin::<N> }.leak_into_prefix(),
        library: "/nowhere.so".into(),
        manifest,
        number: 1,
        services: Nobody::new("/nowhere".into()),
        plan: Plan::Follow,
    }
}

/// A started plugin of this script.
pub(in crate::plugin) fn generation<const N: usize>() -> Arc<Generation> {
    loaded::<N>().start(&Hold::default()).unwrap()
}

/// Whether its calls are answered `CLOSED`.
pub(in crate::plugin) fn is_stopped(generation: &Generation) -> bool {
    generation.context.is_stopped()
}

#[test]
fn a_drained_generation_takes_no_request_that_came_with_an_old_table() {
    let generation = generation::<GOOD>();
    let doors = Doors::new(&generation);
    let call = doors.enter().expect("it is in service");
    generation.close();
    assert!(doors.enter().is_none());
    assert_eq!(generation.in_flight(), 1, "whoever was turned away is not waited for");
    drop(call);
    assert_eq!(generation.in_flight(), 0);
    assert_eq!(generation.stop(), 0);
    assert!(is_stopped(&generation));
}

#[test]
fn a_plugin_that_started_and_can_not_be_used_is_stopped() {
    let refused = loaded::<BAD_ROUTE>().start(&Hold::default()).err().expect("its route is none");
    assert!(matches!(refused, StartError::Route(_)), "{refused}");
    assert_eq!(SCRIPTS[BAD_ROUTE].stops.load(Ordering::SeqCst), 1);
}

#[test]
fn a_start_that_hangs_loses_its_grants_and_is_stopped_if_it_returns() {
    let (script, hold) = (&SCRIPTS[START_HANGS], Arc::new(Hold::default()));
    let held = hold.clone();
    let starting = thread::spawn(move || loaded::<START_HANGS>().start(&held).unwrap());
    script.begun.pass();
    hold.let_go();
    script.start.open();
    let latecomer = starting.join().unwrap();
    assert_eq!(Status(script.answered.load(Ordering::SeqCst)), Status::CLOSED);
    latecomer.stop();
    assert_eq!(script.stops.load(Ordering::SeqCst), 1);
}

#[test]
fn a_library_that_hung_while_it_was_opened_is_not_started() {
    let hold = Hold::default();
    hold.let_go();
    assert!(matches!(loaded::<NEVER_STARTED>().start(&hold), Err(StartError::LetGo)));
    assert!(!*SCRIPTS[NEVER_STARTED].begun.is_open.lock());
}

/// What waits for a plugin that does not return from a stanza is counted as in flight, and given up when that is cut.
#[test]
fn a_plugin_that_hangs_over_a_stanza_is_left_behind() {
    let generation = generation::<STANZA_HANGS>();
    let doors = Doors::new(&generation);
    assert!((0..MAX_STANZAS).all(|_| doors.hand("<message/>".into()) == Handed::Over));
    // There is room for one more once the first is with the plugin.
    while doors.hand("<message/>".into()) != Handed::Over {
        thread::yield_now();
    }
    assert_eq!(doors.hand("<message/>".into()), Handed::Full);
    assert_eq!(generation.in_flight(), MAX_STANZAS + 1);
    generation.close();
    assert_eq!(doors.hand("<message/>".into()), Handed::Gone);
    assert_eq!(generation.stop(), 1, "it is still at the first one");
    assert!(is_stopped(&generation));
    assert_eq!((generation.in_flight(), SCRIPTS[STANZA_HANGS].stops.load(Ordering::SeqCst)), (1, 0));
    SCRIPTS[STANZA_HANGS].stanza.open();
}
