//! The interface `/v1`: a user as a resource with several forms (RFC 9110 section 3.2), and many users at once.
//!
//! ```text
//! GET  /v1/users/{jid}              in the form that `Accept` prefers, or by a suffix: .json .xml .txt .svg .png .gif
//! GET  /v1/users/{jid}/icon.svg     also .png and .gif; size=16..256, theme=
//! GET  /v1/users/{jid}/badge.svg    also .json; label=, style=flat|pill
//! GET  /v1/icons/{state}.svg        also .png and .gif; size=16..256, theme=: the icon of a state, not of a user
//! GET  /v1/u/{id}                   the same for an unlisted address, with .../icon.svg and .../badge.svg; no answer names the user
//! GET  /v1/presence?jid=..&jid=..   up to 50 users as JSON
//! POST /v1/presence/query           up to 500 users, named in a body of JSON
//! ```
//!
//! Whoever may not be seen is shown as `forbidden`, with status 200 as at `/status`: an answer never tells whether there is such a user.
//! What is wrong with a request is told by a [`problem`] before any user is looked up. Every address answers OPTIONS.
//!
//! # Layout
//! [`asked`] is who is asked for by whom, and has the answer. [`negotiation`] finds the form, [`picture`] answers with an icon, [`badge`]
//! with a label and a word; the other forms are those of `/status`. [`batch`] is about many users, and [`gathering`] has it wait for
//! components. [`openapi`] describes all of it.

mod asked;
pub mod badge;
mod batch;
mod gathering;
mod negotiation;
mod openapi;
pub mod picture;
pub mod problem;

use std::borrow::Cow;

use plugin_api::{Jid, Request, Responder, Response, Result, Routes};

pub use self::{asked::Target, batch::Object};
use self::{
    asked::{Asked, Sources},
    batch::{Batch, Heard, Known},
    gathering::Gathering,
    negotiation::{Form, NEGOTIATED},
    picture::Style,
    problem::Problem,
};
use crate::{
    Presence,
    cache::{self, Audience},
    icons::themes::State,
    kept::Kept,
    live::Awaited,
    pace, probe,
    query::{self, Parameters},
    recalled,
    representation::{Interface, Recipient},
    send,
};

/// For how many seconds the icon of a state may be used again without asking.
const ICON_MAX_AGE: u32 = 86_400;
/// The methods of what is shown.
const SHOWN: &str = "GET, HEAD, OPTIONS";
/// The methods of what takes a body.
const POSTED: &str = "POST, OPTIONS";
/// What else there might be in place of an icon or a badge.
const ICONS: &str = "an icon has the forms icon.svg, icon.png and icon.gif";
const BADGES: &str = "a badge has the forms badge.svg and badge.json";

/// Registers what this interface answers. To be called last: whatever else is below `/v1` answers that there is nothing.
pub fn mount(routes: &mut Routes<Presence>) {
    routes.get("/v1/users/{jid}", recalled(Presence::user)).inline().any_length();
    routes.get("/v1/users/{jid}/icon.{format}", recalled(Presence::user_icon)).inline().any_length();
    routes.get("/v1/users/{jid}/badge.{format}", recalled(Presence::user_badge)).inline().any_length();
    routes.get("/v1/u/{id}", recalled(Presence::unlisted)).inline().any_length();
    routes.get("/v1/u/{id}/icon.{format}", recalled(paced(Presence::unlisted_icon))).inline().any_length();
    routes.get("/v1/u/{id}/badge.{format}", recalled(paced(Presence::unlisted_badge))).inline().any_length();
    routes.get("/v1/presence", Presence::some_users).inline().any_length();
    routes
        .post("/v1/presence/query", Presence::many_users)
        .inline()
        .body_limit(batch::LONGEST_BODY as u32)
        .any_length();
    routes.get("/openapi.json", Presence::openapi).inline();
    routes.get("/v1/icons/{state}.{format}", Presence::state_icon).inline().any_length();
    routes.on("*", "/v1{tail:.*}", Presence::nothing).inline().any_length();
}

/// How many parts of a path stand before those of this interface: `/plugins/presence/v1/`.
const MOUNTED: usize = 4;

/// The methods of what is at this path, as a client sends it: with any character percent-encoded. `None`: there is nothing.
fn methods_at(path: &str) -> Option<&'static str> {
    let parts: Vec<_> = path.split('/').map(|part| query::decode(part.as_bytes())).collect();
    // What stands before is where the plugin is mounted, and the version.
    match parts.iter().skip(MOUNTED).map(|part| &**part).collect::<Vec<_>>()[..] {
        ["presence" | "events"] => Some(SHOWN),
        ["presence", "query"] => Some(POSTED),
        ["users" | "u", whom] if !whom.is_empty() => Some(SHOWN),
        ["users" | "u", _, "events"] => Some(SHOWN),
        ["users" | "u", _, form] if form.starts_with("icon.") || form.starts_with("badge.") => Some(SHOWN),
        ["icons", icon] if icon.contains('.') => Some(SHOWN),
        _ => None,
    }
}

/// What may be done at an address, also by pages of other origins, which ask before they send more than a browser does by itself (Fetch Standard,
/// CORS-preflight request). To send proof of who asks is not among it.
fn options(methods: &'static str) -> Response {
    Response::new(204)
        .header("Allow", methods)
        .header("Access-Control-Allow-Origin", "*")
        .header("Access-Control-Allow-Methods", methods)
        .header("Access-Control-Allow-Headers", "If-None-Match, Last-Event-ID, Content-Type")
        .header("Access-Control-Max-Age", "86400")
        .header("X-Content-Type-Options", "nosniff")
}

/// A handler whose answer may have to wait ([`pace`]).
pub fn paced(
    handler: fn(&Presence, &Request<'_>) -> Result<Response>,
) -> impl Fn(&Presence, &Request<'_>, Responder) + Send + Sync + 'static {
    move |presence, request, responder| {
        let answer = pace::watched(|| handler(presence, request).unwrap_or_else(Response::from));
        if let Some((response, responder)) = presence.in_time(request, answer, problem::too_many, responder, send) {
            responder.send(response);
        }
    }
}

impl Presence {
    /// A user in the form that the suffix names or else the client prefers.
    fn user(&self, request: &Request<'_>, responder: Responder) {
        let (user, form) = form_of(request, request.path_parameter("jid").unwrap_or_default());
        self.send_user(request, user, form, responder);
    }

    /// The icon of a user, or of a component.
    fn user_icon(&self, request: &Request<'_>, responder: Responder) {
        let form = Form::of_icon(request.path_parameter("format").unwrap_or_default());
        let user = request.path_parameter("jid").unwrap_or_default();
        match form {
            Some(_) => self.send_user(request, user, (form, None), responder),
            None => send(responder, problem::not_found(ICONS)),
        }
    }

    /// The badge of a user, or of a component.
    fn user_badge(&self, request: &Request<'_>, responder: Responder) {
        let form = Form::of_badge(request.path_parameter("format").unwrap_or_default());
        let user = request.path_parameter("jid").unwrap_or_default();
        match form {
            Some(_) => self.send_user(request, user, (form, None), responder),
            None => send(responder, problem::not_found(BADGES)),
        }
    }

    /// Answers about a user, or a component, in a form, or tells that the client takes none that there is. `vary` is what the answer also depends on.
    fn send_user(
        &self,
        request: &Request<'_>,
        user: &str,
        (form, vary): (Option<Form>, Option<&'static str>),
        responder: Responder,
    ) {
        let component = probe::component(Some(user), |text| self.users.jid(text));
        match (component, form) {
            (Some(component), Some(form)) => self.send_component(request, component, (form, vary), responder),
            _ => self.send_target(request, Target::Jid(user), (form, vary), responder),
        }
    }

    fn send_target(
        &self,
        request: &Request<'_>,
        target: Target<'_>,
        (form, vary): (Option<Form>, Option<&'static str>),
        responder: Responder,
    ) {
        let (response, refused) = pace::watched(|| self.form(request, target, (form, vary)));
        let answer = (varying(response, vary), refused);
        let Some((response, responder)) = self.in_time(request, answer, problem::too_many, responder, send) else {
            return;
        };
        match form {
            Some(Form::Written(format)) => {
                let awaited = Awaited { target, format, vary, interface: Interface::V1 };
                self.send_or_wait(request, response, awaited, responder);
            }
            _ => drop(responder.send(response)),
        }
    }

    /// The same about a component, as soon as it has answered.
    fn send_component(
        &self,
        request: &Request<'_>,
        component: Jid,
        (form, vary): (Form, Option<&'static str>),
        responder: Responder,
    ) {
        let (settings, parameters) = (self.settings(), Parameters::new(request.query(), &[]));
        let admitted = self.admit(request, &settings).map_err(problem::too_many);
        if let Err(problem) = admitted.and_then(|()| form.check(&parameters).map_err(Response::from)) {
            return send(responder, varying(problem, vary));
        }
        let requester = self.users.requester(request, &parameters);
        let kept = Kept::of(request, Some(component.clone()), requester, Interface::V1);
        let wish = match form {
            Form::Written(format) => self.wish(request, kept.clone(), None, (format, vary)),
            Form::Drawn(_) | Form::Badge(_) => None,
        };
        let (live, icons, users, settings) =
            (self.live.clone(), self.icons.clone(), self.users.clone(), self.settings.clone());
        let (client, brake) = (self.client(request, &self.settings()), self.brake.clone());
        self.probes.ask(&component, move |presence| {
            let settings = settings.read();
            let sources = Sources { users: &users, icons: &icons, settings: &settings };
            let asked = Asked::about_component(&kept, presence, &settings);
            let (response, refused) = pace::watched(|| asked.answer(form, &sources).unwrap_or_else(Response::from));
            let answer = (varying(response, vary), refused);
            if let Some((response, responder)) = brake.in_time(client, answer, problem::too_many, responder, send) {
                live.send_or_poll(response, wish, responder);
            }
        });
    }

    /// Whoever has an unlisted address, in the form that the suffix names or else the client prefers.
    fn unlisted(&self, request: &Request<'_>, responder: Responder) {
        let (id, form) = form_of(request, request.path_parameter("id").unwrap_or_default());
        self.send_target(request, Target::Unlisted(id), form, responder);
    }

    /// The icon of whoever has an unlisted address.
    fn unlisted_icon(&self, request: &Request<'_>) -> Result<Response> {
        self.icon(request, Target::Unlisted(request.path_parameter("id")?))
    }

    /// The badge of whoever has an unlisted address.
    fn unlisted_badge(&self, request: &Request<'_>) -> Result<Response> {
        self.badge(request, Target::Unlisted(request.path_parameter("id")?))
    }

    fn icon(&self, request: &Request<'_>, target: Target<'_>) -> Result<Response> {
        Ok(match Form::of_icon(request.path_parameter("format")?) {
            form @ Some(_) => self.form(request, target, (form, None)),
            None => problem::not_found(ICONS),
        })
    }

    fn badge(&self, request: &Request<'_>, target: Target<'_>) -> Result<Response> {
        Ok(match Form::of_badge(request.path_parameter("format")?) {
            form @ Some(_) => self.form(request, target, (form, None)),
            None => problem::not_found(BADGES),
        })
    }

    /// The users in the query.
    fn some_users(&self, request: &Request<'_>, responder: Responder) {
        self.several(request, Batch::of_query(request.query()), responder);
    }

    /// The users in the body.
    fn many_users(&self, request: &Request<'_>, responder: Responder) {
        match batch::text(request) {
            Ok(text) => self.several(request, Batch::of_text(&text), responder),
            Err(problem) => self.several(request, Err(problem), responder),
        }
    }

    fn openapi(&self, request: &Request<'_>) -> Result<Response> {
        Ok(openapi::answer(request))
    }

    /// What no other route has: another path, or another method.
    fn nothing(&self, request: &Request<'_>) -> Result<Response> {
        Ok(match methods_at(request.path()) {
            Some(methods) if request.method() == "OPTIONS" => options(methods),
            Some(methods) if methods.split(", ").all(|method| method != request.method()) => {
                problem::other_methods(methods)
            }
            _ => problem::not_found("what there is, is described at /plugins/presence/openapi.json"),
        })
    }

    fn several(&self, request: &Request<'_>, batch: Result<Batch<'_>, Problem>, responder: Responder) {
        let settings = self.settings();
        // One that can not be answered counts too.
        let count = batch.as_ref().map_or(1, Batch::len);
        let admitted = self.admit_many(request, &settings, count).map_err(problem::too_many);
        let batch = match admitted.and_then(|()| batch.map_err(Response::from)) {
            Ok(batch) => batch,
            Err(problem) => return send(responder, problem),
        };
        let parameters = Parameters::new(request.query(), batch.form());
        let (requester, held) = (self.users.requester(request, &parameters), cache::held(request));
        let components = batch.components(|text| self.users.jid(text));
        if !components.is_empty() {
            let (client, brake) = (self.client(request, &settings), self.brake.clone());
            let (users, objects, settings) = (self.users.clone(), self.objects.clone(), self.settings.clone());
            let (batch, held) = (batch.into_owned(), held.map(Cow::into_owned));
            let gathering = Gathering { batch, requester, client, held, users, objects, settings, brake };
            return gathering.ask(&self.probes, components, responder);
        }
        let known = Known { users: &self.users, objects: &self.objects, heard: &Heard::default(), settings: &settings };
        let answer = pace::watched(|| batch.answer(&known, &requester, held.as_deref()));
        if let Some((response, responder)) = self.in_time(request, answer, problem::too_many, responder, send) {
            send(responder, response);
        }
    }

    /// The icon of a state, whoever is in it. It stays what it is, so that a page which is told of a change need not ask for a new icon.
    fn state_icon(&self, request: &Request<'_>) -> Result<Response> {
        // It looks nobody up, but it may have to be drawn.
        if let Err(wait) = self.admit(request, &self.settings()) {
            return Ok(problem::too_many(wait));
        }
        let form = Form::of_icon(request.path_parameter("format")?);
        let (Some(Form::Drawn(encoding)), Some(state)) = (form, State::parse(request.path_parameter("state")?)) else {
            return Ok(problem::not_found("the icons of states are icons/away.svg, .png and .gif, and so on"));
        };
        let (parameters, held) = (Parameters::new(request.query(), &[]), cache::held(request));
        let audience = Audience::Everyone { max_age: ICON_MAX_AGE };
        let recipient = Recipient { audience, if_none_match: held.as_deref(), interface: Interface::V1 };
        let icon = |style: Style| recipient.give(&picture::represent(&self.icons, style.of(state)));
        Ok(Style::read(&parameters, encoding).map_or_else(Response::from, icon))
    }

    /// The answer about a user in a form. `None`: the client takes none that there is.
    fn form(
        &self,
        request: &Request<'_>,
        target: Target<'_>,
        (form, vary): (Option<Form>, Option<&'static str>),
    ) -> Response {
        let settings = self.settings();
        if let Err(wait) = self.admit(request, &settings) {
            return problem::too_many(wait);
        }
        let Some(form) = form else { return problem::not_acceptable() };
        let asked = match target {
            Target::Jid(jid) => Asked::read(&self.users, request, jid, &settings),
            Target::Unlisted(id) => Asked::unlisted(&self.users, request, id),
        };
        let sources = Sources { users: &self.users, icons: &self.icons, settings: &settings };
        // What else the answer would depend on, is not in the address.
        let answer = match vary {
            None => asked.answer_and_keep(request, form, (&sources, &self.answers)),
            Some(_) => asked.answer(form, &sources),
        };
        answer.unwrap_or_else(Response::from)
    }
}

/// Who is at an address, the form that its suffix names or else the client prefers, and the field on which the answer depends then.
fn form_of<'a>(request: &Request<'_>, address: &'a str) -> (&'a str, (Option<Form>, Option<&'static str>)) {
    match negotiation::split_suffix(address) {
        (address, None) => (address, (negotiation::preferred(request.headers()), Some(NEGOTIATED))),
        (address, form) => (address, (form, None)),
    }
}

/// An answer that also depends on this field.
fn varying(response: Response, vary: Option<&'static str>) -> Response {
    vary.into_iter().fold(response, |response, field| response.vary(field))
}
