//! The one service behind the public listener: finds out whose a request is, and has it answered.

use std::sync::Arc;

use actix_web::{
    HttpRequest, HttpResponse,
    dev::{Payload, ServiceRequest, ServiceResponse},
    http::{Method, StatusCode, header::LOCATION},
};

use super::{
    body::{self, BodyError},
    front::Front,
    metrics::Metrics,
    path, reply,
    server::Peer,
};
use crate::plugin::{
    generation::{Call, CallError},
    request::Request,
    route::{Found, MOUNT, RouteTable, Routes},
};

/// What answers on the public listener.
pub struct Public {
    routes: Arc<Routes>,
    front: Front,
    metrics: Arc<Metrics>,
}

/// Leave to call a route.
struct Entered {
    call: Call,
    index: usize,
    parameters: Vec<(String, String)>,
}

impl Public {
    /// The service over the route table of each moment.
    pub fn new(routes: Arc<Routes>, front: Front, metrics: Arc<Metrics>) -> Public {
        Public { routes, front, metrics }
    }

    /// Answers one request.
    pub async fn serve(&self, request: ServiceRequest) -> ServiceResponse {
        let (request, payload) = request.into_parts();
        let path = path::normalise(request.uri().path());
        let response = if path.starts_with(MOUNT) {
            match self.enter(request.method(), &path) {
                Ok(entered) => self.call(&request, payload, entered).await,
                Err(response) => self.own(*response),
            }
        } else {
            let response = self.front.answer(request.method(), &path, request.query_string(), &self.routes).await;
            self.own(response)
        };
        drop(path);
        ServiceResponse::new(request, response)
    }

    fn own(&self, response: HttpResponse) -> HttpResponse {
        self.metrics.count_own(response.status());
        response
    }

    /// Finds the route of a request and keeps its generation from being stopped.
    fn enter(&self, method: &Method, path: &str) -> Result<Entered, Box<HttpResponse>> {
        loop {
            let table = self.routes.load();
            match table.find(method.as_str(), path) {
                Found::Route { generation, index, parameters } => {
                    if let Some(call) = generation.enter() {
                        return Ok(Entered { call, index, parameters });
                    }
                }
                Found::OtherMethods(methods) => return Err(reply::other_methods(&methods).into()),
                Found::Nothing => return Err(with_slash(&table, path).unwrap_or_else(reply::nothing).into()),
            }
            // A generation takes no more requests once another table is published, or when the host ends.
            if Arc::ptr_eq(&table, &self.routes.load()) {
                return Err(reply::unavailable("The server is stopping.\n").into());
            }
        }
    }

    async fn call(&self, request: &HttpRequest, payload: Payload, entered: Entered) -> HttpResponse {
        let Entered { call, index, parameters } = entered;
        let (manifest, number) = (call.generation().manifest(), call.generation().number());
        let limit = call.generation().routes()[index].body_limit();
        let count = |status| self.metrics.count(&manifest.id, status);
        let body = match body::read(request.headers(), payload, limit).await {
            Ok(body) => body,
            Err(error) => {
                let response = refused(error);
                count(response.status());
                return response;
            }
        };
        let shown = Request {
            method: request.method().as_str(),
            path: request.uri().path(),
            query: request.query_string(),
            headers: request.headers(),
            parameters: &parameters,
            body: &body,
            peer: request.conn_data::<Peer>().map_or("", |peer| &peer.0),
        };
        match call.answer(index, &shown).await {
            Ok(answer) => {
                count(answer.status);
                reply::answer(answer, call, request)
            }
            Err(error) => {
                let response = failed(&error);
                count(response.status());
                // A query may hold what no log should.
                log::warn!("http: {} {}: {}#{number}: {error:?}", shown.method, shown.path, manifest.id);
                response
            }
        }
    }
}

/// A way to a plugin's own page, which stands at its mount with the slash.
fn with_slash(table: &RouteTable, path: &str) -> Option<HttpResponse> {
    let slashed = format!("{path}/");
    let is_mount = path.strip_prefix(MOUNT).is_some_and(|id| !id.contains('/'));
    let answers = is_mount && matches!(table.find("GET", &slashed), Found::Route { .. });
    answers.then(|| {
        let mut response =
            reply::refusal(StatusCode::PERMANENT_REDIRECT, "This page has moved: its address ends with a slash.\n");
        // The path is `/plugins/` and the id of a plugin: there is nothing in it that a field can't hold.
        if let Ok(location) = slashed.parse() {
            response.headers_mut().insert(LOCATION, location);
        }
        response
    })
}

fn refused(error: BodyError) -> HttpResponse {
    match error {
        BodyError::TooLong => {
            reply::refusal(StatusCode::PAYLOAD_TOO_LARGE, "The body is longer than this address takes.\n")
        }
        BodyError::TooSlow => reply::refusal(StatusCode::REQUEST_TIMEOUT, "The body took too long.\n"),
        BodyError::Broken => reply::refusal(StatusCode::BAD_REQUEST, "The body is broken.\n"),
    }
}

/// What the client is told of a plugin's failure: no detail.
fn failed(error: &CallError) -> HttpResponse {
    match error {
        CallError::Abandoned(_) => reply::refusal(StatusCode::INTERNAL_SERVER_ERROR, "The plugin failed to answer.\n"),
        CallError::Busy => reply::unavailable("The plugin is busy.\n"),
        CallError::TimedOut => reply::unavailable("The plugin took too long.\n"),
    }
}
