//! The routes of a plugin, and what can handle them.

use std::time::Duration;

use crate::{
    Request, Responder, Response, Result,
    abi::plugin_http::{ExecutionCode, RouteView},
};

/// The longest request body that a route takes unless it says otherwise: 64 KiB.
pub const DEFAULT_BODY_LIMIT: u32 = 64 * 1024;

/// Collects the routes of a plugin while it starts. They are mounted below `/plugins/<id>`. The errors that the host answers there itself
/// (400 for a body that is broken, 404, 405, 408, 413, 500 and 503) are problem details, `application/problem+json` (RFC 9457).
/// `/plugins/<id>` alone is moved (308) to the path with a slash behind it, if a route answers there.
///
/// Patterns have actix syntax: `/users/{jid}`, `/files/{tail:.*}`. A route runs on a thread of the plugin's own, where it
/// may block, unless it is marked [`inline`](Route::inline).
pub struct Routes<P> {
    routes: Vec<Route<P>>,
}

/// One route in the making.
pub struct Route<P> {
    methods: String,
    pattern: String,
    body_limit: u32,
    takes_any_length: bool,
    patience: u32,
    execution: ExecutionCode,
    handler: Box<BoxedHandler<P>>,
}

type BoxedHandler<P> = dyn Fn(&P, &Request<'_>, Responder) + Send + Sync;

impl<P> Routes<P> {
    pub(crate) fn new() -> Routes<P> {
        Routes { routes: Vec::new() }
    }

    /// Answers GET, and HEAD by the head of the same answer.
    pub fn get<K>(&mut self, pattern: &str, handler: impl Handler<P, K>) -> &mut Route<P> {
        self.on("GET HEAD", pattern, handler)
    }

    /// Answers POST.
    pub fn post<K>(&mut self, pattern: &str, handler: impl Handler<P, K>) -> &mut Route<P> {
        self.on("POST", pattern, handler)
    }

    /// Answers these methods, separated by spaces: `"GET HEAD POST"`; or whatever method there is: `"*"`. Others get 405.
    pub fn on<K>(&mut self, methods: &str, pattern: &str, handler: impl Handler<P, K>) -> &mut Route<P> {
        self.routes.push(Route {
            methods: methods.into(),
            pattern: pattern.into(),
            body_limit: DEFAULT_BODY_LIMIT,
            takes_any_length: false,
            patience: 0,
            execution: ExecutionCode::THREAD,
            handler: Box::new(move |plugin, request, responder| handler.handle(plugin, request, responder)),
        });
        let last = self.routes.len() - 1;
        &mut self.routes[last]
    }

    pub(crate) fn into_vec(self) -> Vec<Route<P>> {
        self.routes
    }
}

impl<P> Route<P> {
    /// Runs the handler on the HTTP worker itself: the fastest way, for handlers that never block.
    pub fn inline(&mut self) -> &mut Route<P> {
        self.execution = ExecutionCode::INLINE;
        self
    }

    /// The longest request body in bytes; the host answers 413 to a longer one.
    pub fn body_limit(&mut self, bytes: u32) -> &mut Route<P> {
        self.body_limit = bytes.min(RouteView::ANY_LENGTH - 1);
        self
    }

    /// Has a request with a longer body reach the handler as well, instead of 413 in the host's words. No more of it is there than shows that it
    /// is longer, or nothing: [`Request::body_exceeds`] knows.
    pub fn any_length(&mut self) -> &mut Route<P> {
        self.takes_any_length = true;
        self
    }

    /// How long the handler may run before its client is answered 503 without it: 5 s unless said here, 5 minutes at most. An answer
    /// left to a [`Responder`] may take a minute.
    pub fn patience(&mut self, patience: Duration) -> &mut Route<P> {
        self.patience = u32::try_from(patience.as_millis()).unwrap_or(u32::MAX);
        self
    }

    pub(crate) fn pattern(&self) -> &str {
        &self.pattern
    }

    pub(crate) fn handle(&self, plugin: &P, request: &Request<'_>, responder: Responder) {
        (self.handler)(plugin, request, responder);
    }

    /// The route as the host sees it, lent until the plugin is dropped.
    pub(crate) fn view(&self) -> RouteView<'_> {
        RouteView {
            methods: self.methods.as_str().into(),
            pattern: self.pattern.as_str().into(),
            body_limit: self.body_limit | if self.takes_any_length { RouteView::ANY_LENGTH } else { 0 },
            patience: self.patience,
            execution: self.execution,
        }
    }
}

/// A method of the plugin that handles a request, in one of two forms:
///
/// - `fn(&self, &Request) -> Result<Response>` answers when it returns; an error is answered and logged as [`Error`](crate::Error)
///   says;
/// - `fn(&self, &Request, Responder)` answers by the responder, when and from where it likes, whole or as a stream.
pub trait Handler<P, Kind>: Send + Sync + 'static {
    /// Handles one request.
    fn handle(&self, plugin: &P, request: &Request<'_>, responder: Responder);
}

/// Marks handlers that return their answer.
pub enum Returns {}

/// Marks handlers that are given a responder.
pub enum Responds {}

impl<P, F> Handler<P, Returns> for F
where
    F: Fn(&P, &Request<'_>) -> Result<Response> + Send + Sync + 'static,
{
    fn handle(&self, plugin: &P, request: &Request<'_>, responder: Responder) {
        let response = self(plugin, request).unwrap_or_else(|error| {
            let level = if error.status() < 500 { log::Level::Debug } else { log::Level::Error };
            log::log!(level, "{request:?}: {error}");
            error.into()
        });
        responder.send(response);
    }
}

impl<P, F> Handler<P, Responds> for F
where
    F: Fn(&P, &Request<'_>, Responder) + Send + Sync + 'static,
{
    fn handle(&self, plugin: &P, request: &Request<'_>, responder: Responder) {
        self(plugin, request, responder);
    }
}
