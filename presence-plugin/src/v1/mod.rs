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
//! What is wrong with a request is told by a [`problem`] before any user is looked up.
//!
//! # Layout
//! [`negotiation`] finds the form, [`picture`] answers with an icon, [`badge`] with a label and a word; the other forms are those of `/status`. [`batch`] is about many users. [`openapi`] describes all of it.

pub mod badge;
mod batch;
mod negotiation;
mod openapi;
pub mod picture;
pub mod problem;

use std::borrow::Cow;

use plugin_api::{Jid, Request, Responder, Response, Result, Routes};

use self::{
    badge::{Badge, Kind},
    batch::Batch,
    negotiation::{Form, NEGOTIATED},
    picture::Style,
    problem::Problem,
};
use crate::{
    Presence,
    answer::{Format, Question},
    cache::{self, Audience},
    icons::{Encoding, themes::State},
    pace,
    query::Parameters,
    send,
    settings::Settings,
    users::{Requester, Users},
    xml::Parties,
};

/// For how many seconds the icon of a state may be used again without asking.
const ICON_MAX_AGE: u32 = 86_400;
/// The methods of what takes a body.
const POSTED: &str = "POST, OPTIONS";

/// Registers what this interface answers. To be called last: whatever else is below `/v1` answers that there is nothing.
pub fn mount(routes: &mut Routes<Presence>) {
    routes.get("/v1/users/{jid}", Presence::user).inline();
    routes.get("/v1/users/{jid}/icon.{format}", paced(Presence::user_icon)).inline();
    routes.get("/v1/users/{jid}/badge.{format}", paced(Presence::user_badge)).inline();
    routes.get("/v1/u/{id}", paced(Presence::unlisted)).inline();
    routes.get("/v1/u/{id}/icon.{format}", paced(Presence::unlisted_icon)).inline();
    routes.get("/v1/u/{id}/badge.{format}", paced(Presence::unlisted_badge)).inline();
    routes.get("/v1/presence", paced(Presence::some_users)).inline();
    routes.post("/v1/presence/query", paced(Presence::many_users)).inline().body_limit(2 * batch::LONGEST_BODY as u32);
    routes.on("OPTIONS", "/v1/presence/query", Presence::may_post).inline();
    routes.get("/openapi.json", Presence::openapi).inline();
    routes.get("/v1/icons/{state}.{format}", Presence::state_icon).inline();
    routes.on("*", "/v1{tail:.*}", Presence::nothing).inline().body_limit(2 * batch::LONGEST_BODY as u32);
}

/// The methods of what is at this path, as a client sends it. `None`: there is nothing.
fn methods_at(path: &str) -> Option<&'static str> {
    let parts: Vec<&str> = path.strip_prefix("/plugins/presence/v1/")?.split('/').collect();
    match parts[..] {
        ["presence" | "events"] => Some("GET, HEAD"),
        ["presence", "query"] => Some(POSTED),
        ["users" | "u", whom] if !whom.is_empty() => Some("GET, HEAD"),
        ["users" | "u", _, "events"] => Some("GET, HEAD"),
        ["users" | "u", _, form] if form.starts_with("icon.") || form.starts_with("badge.") => Some("GET, HEAD"),
        ["icons", icon] if icon.contains('.') => Some("GET, HEAD"),
        _ => None,
    }
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
        let (user, suffix) = negotiation::split_suffix(request.path_parameter("jid").unwrap_or_default());
        let (form, vary) = match suffix {
            Some(form) => (Some(form), None),
            None => (negotiation::preferred(request.headers()), Some(NEGOTIATED)),
        };
        let (response, refused) = pace::watched(|| self.form(request, Target::Jid(user), form));
        let response = vary.into_iter().fold(response, |response, field| response.header("Vary", field));
        let answer = (response, refused);
        let Some((response, responder)) = self.in_time(request, answer, problem::too_many, responder, send) else {
            return;
        };
        match form {
            Some(Form::Written(format)) => self.send_or_wait(request, response, (user, format, vary), responder),
            _ => drop(responder.send(response)),
        }
    }

    /// The icon of a user.
    fn user_icon(&self, request: &Request<'_>) -> Result<Response> {
        self.icon(request, Target::Jid(request.path_parameter("jid")?))
    }

    /// The badge of a user.
    fn user_badge(&self, request: &Request<'_>) -> Result<Response> {
        self.badge(request, Target::Jid(request.path_parameter("jid")?))
    }

    /// Whoever has an unlisted address, in the form that the suffix names or else the client prefers.
    fn unlisted(&self, request: &Request<'_>) -> Result<Response> {
        let (id, suffix) = negotiation::split_suffix(request.path_parameter("id")?);
        if suffix.is_some() {
            return Ok(self.form(request, Target::Unlisted(id), suffix));
        }
        let form = negotiation::preferred(request.headers());
        Ok(self.form(request, Target::Unlisted(id), form).header("Vary", NEGOTIATED))
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
            Some(form) => self.form(request, target, Some(form)),
            None => problem::not_found("an icon has the forms icon.svg, icon.png and icon.gif"),
        })
    }

    fn badge(&self, request: &Request<'_>, target: Target<'_>) -> Result<Response> {
        Ok(match Form::of_badge(request.path_parameter("format")?) {
            Some(form) => self.form(request, target, Some(form)),
            None => problem::not_found("a badge has the forms badge.svg and badge.json"),
        })
    }

    /// The users in the query.
    fn some_users(&self, request: &Request<'_>) -> Result<Response> {
        Ok(self.several(request, Batch::of_query(request.query())))
    }

    /// The users in the body.
    fn many_users(&self, request: &Request<'_>) -> Result<Response> {
        Ok(match batch::text(request) {
            Ok(text) => self.several(request, Batch::of_text(&text)),
            Err(problem) => self.several(request, Err(problem)),
        })
    }

    /// A page of another origin asks whether it may send JSON (Fetch Standard, CORS-preflight request).
    fn may_post(&self, _: &Request<'_>) -> Result<Response> {
        Ok(Response::new(204)
            .header("Allow", POSTED)
            .header("Access-Control-Allow-Origin", "*")
            .header("Access-Control-Allow-Methods", "POST")
            .header("Access-Control-Allow-Headers", "Content-Type")
            .header("Access-Control-Max-Age", "86400")
            .header("X-Content-Type-Options", "nosniff"))
    }

    fn openapi(&self, request: &Request<'_>) -> Result<Response> {
        Ok(openapi::answer(request))
    }

    /// What no other route has: another path, or another method.
    fn nothing(&self, request: &Request<'_>) -> Result<Response> {
        let is_another = |methods: &&str| methods.split(", ").all(|method| method != request.method());
        Ok(match methods_at(request.path()).filter(is_another) {
            Some(methods) => problem::other_methods(methods),
            None => problem::not_found("what there is, is described at /plugins/presence/openapi.json"),
        })
    }

    fn several(&self, request: &Request<'_>, batch: Result<Batch<'_>, Problem>) -> Response {
        let settings = self.settings();
        // One that can not be answered counts too.
        let count = batch.as_ref().map_or(1, Batch::len);
        if let Err(wait) = self.admit_many(request, &settings, count) {
            return problem::too_many(wait);
        }
        batch.map_or_else(Response::from, |batch| batch.answer(&self.users, request, &settings))
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
        let question = Question {
            parameters,
            format: Format::Image,
            parties: Parties::default(),
            audience: Audience::Everyone { max_age: ICON_MAX_AGE },
            if_none_match: held.as_deref(),
            navigation: false,
        };
        let style = Style::read(&parameters, encoding);
        Ok(style.map_or_else(Response::from, |style| picture::answer(&question, &self.icons, style.of(state))))
    }

    /// The answer about a user in a form. `None`: the client takes none that there is.
    fn form(&self, request: &Request<'_>, target: Target<'_>, form: Option<Form>) -> Response {
        let settings = self.settings();
        if let Err(wait) = self.admit(request, &settings) {
            return problem::too_many(wait);
        }
        let Some(form) = form else { return problem::not_acceptable() };
        let asked = match target {
            Target::Jid(jid) => Asked::read(&self.users, request, jid, &settings),
            Target::Unlisted(id) => Asked::unlisted(&self.users, request, id),
        };
        self.answer(&asked, form, &settings).unwrap_or_else(Response::from)
    }

    /// The bounds of an icon hold where words are sent too: which of them is sent may be the client's choice.
    fn answer(&self, asked: &Asked<'_>, form: Form, settings: &Settings) -> Result<Response, Problem> {
        Ok(match form {
            Form::Written(format) => {
                Style::read(&asked.parameters, Encoding::Svg)?;
                self.written(asked, format, settings)
            }
            Form::Drawn(encoding) => self.drawn(asked, Style::read(&asked.parameters, encoding)?, settings),
            Form::Badge(kind) => self.labelled(asked, &Badge::read(&asked.parameters)?, kind, settings),
        })
    }

    fn written(&self, asked: &Asked<'_>, format: Format, settings: &Settings) -> Response {
        let question = asked.question(format);
        self.users.look(settings, asked.user.as_ref(), &asked.requester, |shown| question.answer(shown, settings))
    }

    /// Only the state leaves the look: a drawing in the making would hold the user's presence.
    fn drawn(&self, asked: &Asked<'_>, style: Style, settings: &Settings) -> Response {
        let state = self.users.look(settings, asked.user.as_ref(), &asked.requester, State::of);
        picture::answer(&asked.question(Format::Image), &self.icons, style.of(state))
    }

    fn labelled(&self, asked: &Asked<'_>, badge: &Badge, kind: Kind, settings: &Settings) -> Response {
        let state = self.users.look(settings, asked.user.as_ref(), &asked.requester, State::of);
        badge.answer(&asked.question(Format::Image), kind, state)
    }
}

/// How a path says who is asked for.
#[derive(Clone, Copy)]
enum Target<'a> {
    Jid(&'a str),
    Unlisted(&'a str),
}

/// Who is asked for by whom, read from a request.
struct Asked<'r> {
    parameters: Parameters<'r>,
    user: Option<Jid>,
    requester: Requester,
    audience: Audience,
    if_none_match: Option<Cow<'r, str>>,
    /// Whether the answer may name the user: it does where the request does.
    is_named: bool,
}

impl<'r> Asked<'r> {
    fn read(users: &Users, request: &Request<'r>, user: &str, settings: &Settings) -> Asked<'r> {
        let parameters = Parameters::new(request.query(), &[]);
        let requester = users.requester(request, &parameters, settings);
        let audience = Audience::of(settings, &requester);
        let (user, if_none_match) = (users.jid(user), cache::held(request));
        Asked { parameters, user, requester, audience, if_none_match, is_named: true }
    }

    /// The answer is the same for everybody who has the address, and kept in no cache, so that one that was revoked is gone at once.
    fn unlisted(users: &Users, request: &Request<'r>, id: &str) -> Asked<'r> {
        let (user, requester) = users.at_address(id).unzip();
        Asked {
            parameters: Parameters::new(request.query(), &[]),
            user,
            requester: requester.unwrap_or_else(Requester::nobody),
            audience: Audience::Nobody,
            if_none_match: cache::held(request),
            is_named: false,
        }
    }

    fn question(&self, format: Format) -> Question<'_> {
        Question {
            parameters: self.parameters,
            format,
            parties: Parties {
                user: self.user.as_ref().filter(|_| self.is_named).map(Jid::bare),
                requester: self.requester.claim(),
            },
            audience: self.audience,
            if_none_match: self.if_none_match.as_deref(),
            navigation: false,
        }
    }
}
