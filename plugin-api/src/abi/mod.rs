//! The binary interface between host and plugin.
//!
//! # Policy
//! 1. The **root** ([`root`]) never changes its shape within one ABI major version. Everything else is reached by asking
//!    for a numbered interface (`host.presence/1`) through it.
//! 2. A **released interface is frozen**: no field is added, removed, reordered or given another meaning. What is new
//!    becomes a new interface (`host.presence/2`) beside the old one, which stays.
//! 3. Until 1.0 all interfaces are **drafts**: [`VERSION`] is `0.N`, and host and plugin must agree on it exactly. From 1.0 on
//!    they must agree on the major version.
//!    A function that is added to a draft of the host's goes behind the others, and the mark `last_prefix_field` stays where it was: then
//!    plugins that were built before still fit. To a table of the plugin's nothing can be added without refusing them.
//! 4. Each table is **layout-checked in the direction of its use**, by the host: for a table that the host implements, the
//!    plugin's view is the interface and the host's the implementation; for a table that the plugin implements, the
//!    other way round. So an old plugin runs in a new host, and a new plugin is refused by an old host only when it
//!    needs an interface that is missing there.
//! 5. No panic crosses: every function that one side gives the other catches first. No allocation is freed by the other
//!    side, except through types made for it (`RString`, `RVec`). No future crosses.
//! 6. A status, a kind or a set of flags is an integer with named values, never a Rust enum or a bool: an unknown value is a
//!    value, not undefined behaviour.
//! 7. The layout of every interface stands as text in `plugin-api/abi/`, and a test (`plugin-api/tests/layouts.rs`, part of `make
//!    test`) fails when the code differs from it. The text of a draft is renewed, with a line in CHANGELOG.md; that of a released one,
//!    which the test lists, never changes.
//! 8. **Settings have a version of their own**, a number in the manifest. The plugin migrates the values of an older version within its
//!    `start`; the host stores the outcome and the number together when the plugin comes into service, and not before. A plugin whose number
//!    is lower than the stored one is refused from its manifest, unless that says that it reads newer settings. A trial is told of no
//!    settings, so that no migration runs in it.
//! 9. Strings are UTF-8, times are milliseconds since the Unix epoch, JIDs are normalised (RFC 7622) unless said otherwise.
//!
//! Every function of a table ends its description with the same lines: `Called`, `Threads`, `Owned`. All host functions
//! answer [`Status::CLOSED`](wire::Status::CLOSED) once the generation has been stopped, for ever: the host's context
//! outlives every plugin.
//!
//! # Layout
//! [`root`] is what is exchanged first; [`wire`] holds the types shared by several interfaces; `host_*` are the tables that
//! the host implements, `plugin_*` those that the plugin implements.

pub mod host_component;
pub mod host_data;
#[allow(unsafe_code, reason = "abi_stable's accessors of functions behind a table's mark")]
pub mod host_http;
pub mod host_log;
pub mod host_presence;
pub mod host_records;
pub mod host_roster;
#[allow(unsafe_code, reason = "abi_stable's accessors of functions behind a table's mark")]
pub mod host_settings;
pub mod host_stamps;
pub mod host_timers;
pub mod plugin_component;
pub mod plugin_http;
pub mod plugin_life;
pub mod plugin_presence;
pub mod plugin_timers;
pub mod root;
#[allow(unsafe_code, reason = "hands a closure through a plain function pointer")]
pub mod visitor;
pub mod wire;

/// The version of this ABI, `major.minor`: that of this package, whose name and version abi_stable compares as well.
pub const VERSION: &str = concat!(env!("CARGO_PKG_VERSION_MAJOR"), ".", env!("CARGO_PKG_VERSION_MINOR"));
