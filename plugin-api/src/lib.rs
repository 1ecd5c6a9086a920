//! Everything a plugin needs: the smallest possible one is
//!
//! ```
//! use plugin_api::prelude::*;
//!
//! struct Hello(Host);
//!
//! impl Plugin for Hello {
//!     fn start(host: Host, routes: &mut Routes<Self>) -> Result<Self> {
//!         routes.get("/{user}", Hello::greet);
//!         Ok(Hello(host))
//!     }
//! }
//!
//! impl Hello {
//!     fn greet(&self, request: &Request) -> Result<Response> {
//!         let user = request.path_parameter("user")?;
//!         let presence = self.0.presence(&self.0.local_jid(user)?)?;
//!         Ok(Response::text(format!("{user} is {}", presence.state())))
//!     }
//! }
//!
//! export_plugin!(Hello);
//! # fn main() {}
//! ```
//!
//! in a package with `crate-type = ["cdylib"]` and this crate as its only dependency. Built and copied into the server's `plugins/`
//! folder, it answers at `/plugins/<package name>/alice`.
//!
//! # On the server's front page
//! The page at `/` lists what is deployed. Two routes of a plugin have a meaning there; both are GET:
//!
//! - `/` is the plugin's own page, and linked by its name. It may use the server's style sheet, `/style.css`, which styles plain elements.
//! - `/example` answers with a piece of HTML that becomes a part of the front page: it shows what the plugin does. The server asks
//!   for it each time, and leaves it out after 2 s. The query holds `base`, the origin at which the server is reached
//!   (`http://example.com:9090`), for addresses to copy, and up to six times `jid`, users of the server who may be shown to everybody; none, unless the
//!   administrator allows it. Anybody else can ask for this route too, with any query. Scripts and inline styles do not work.
//!
//! # Layout
//! A plugin implements [`Plugin`] and gives itself to [`export_plugin!`]. The server opens the library, reads the
//! [`manifest`] and calls `start` through the funnel in [`export`]; that makes the [`Host`], forwards the plugin's `log` to the
//! server, and collects the [`Routes`]. A request comes in as a borrowed [`Request`] and is answered by a [`Response`], now or
//! by a [`Responder`] later. What crosses the boundary, and by which rules, is in [`abi`]: both sides of it compile from there.

#[cfg(all(panic = "abort", not(doctest)))]
compile_error!("a plugin must be built with panic = \"unwind\": a panic in it would end the server");

pub mod abi;
mod component;
pub mod error;
pub mod export;
mod host;
mod jid;
mod lent;
mod logger;
pub mod manifest;
pub mod memory;
mod plugin;
mod presence;
mod records;
mod request;
mod response;
mod routes;
mod setting;
mod settings_map;
mod subscription;
mod timer;

pub use error::{Error, Result};
pub use host::{Host, Relation};
pub use jid::Jid;
pub use lent::Lent;
pub use log;
pub use plugin::Plugin;
pub use presence::{Presence, Resource, Show, Snapshot};
pub use records::RecordChange;
pub use request::Request;
pub use response::{Body, Responder, Response, Stream, Written};
pub use routes::{DEFAULT_BODY_LIMIT, Handler, Responds, Returns, Route, Routes};
pub use setting::Setting;
pub use settings_map::SettingsMap;
pub use subscription::{Change, Subscription};
pub use timer::Timer;

/// What most plugins import.
pub mod prelude {
    pub use crate::{
        Change, Error, Host, Jid, Plugin, Presence, RecordChange, Request, Responder, Response, Result, Routes,
        Setting, SettingsMap, Show, Subscription, Timer, export_plugin, log,
    };
}
