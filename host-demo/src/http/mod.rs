//! The public HTTP listener (RFC 9110, RFC 9112): the routes of plugins below `/plugins/<id>/`, and a page of the host's own at `/`.
//!
//! # Layout
//! [`server`] is what both listeners of this host have in common: time limits, and the end of a [`connection`] that does not keep them or
//! whose [`framing`] is none, by a [`refusal`]; how far its requests have come is told by their [`heads`], and what it waits for is [`resting`]. Every request goes to one [`service`], which looks its
//! [`path`] up in the route table of that moment, reads the [`body`], calls the plugin and makes a response of its answer ([`reply`]).
//! [`front`] is the page at `/`; [`metrics`] counts.
//!
//! `/plugins/<id>` without a slash is redirected to `/plugins/<id>/` if the plugin answers there, so that relative links on its page work.

mod body;
mod connection;
mod framing;
mod front;
mod heads;
pub mod metrics;
mod path;
mod refusal;
pub mod reply;
mod resting;
pub mod server;
mod service;

use std::{io, net::TcpListener, sync::Arc};

use actix_web::dev::Server;

use self::service::Public;
pub use self::{
    front::{Front, STYLE},
    metrics::Metrics,
};
use crate::plugin::route::Routes;

/// Serves the routes of plugins and the front page on a bound listener. The server runs when it is awaited or spawned, and ends by its
/// handle: gracefully within [`server::END_PATIENCE`].
///
/// # Errors
/// The listener can't be used.
pub fn listen(listener: TcpListener, routes: Arc<Routes>, front: Front, metrics: Arc<Metrics>) -> io::Result<Server> {
    let public = Arc::new(Public::new(routes, front, metrics));
    server::build(listener, None, move |request| {
        let public = public.clone();
        async move { public.serve(request).await }
    })
}
