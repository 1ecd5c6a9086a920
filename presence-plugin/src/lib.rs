//! The presence service: shows web pages and web services whether a user of this server can be reached.
//!
//! `GET|POST|HEAD /plugins/presence/status?jid=alice@example.com` answers with an icon, a stanza, an object or a line of text. A page of its own at
//! `/plugins/presence/` says how to use that; `/plugins/presence/example` is its part of the server's front page.
//!
//! # Layout
//! A request becomes a [`Question`](answer::Question): its parameters ([`query`]), the type of the answer and the two JIDs. [`users`] asks
//! the host how the requester stands to the user and for the user's presence, and has [`visibility`] decide; [`shown`] holds what is left
//! to see. [`answer`] turns that into a response, with a body by [`image`], [`xml`], [`json`] or [`text`], with a way to a custom image by
//! [`redirect`], with the fields by [`representation`] and [`cache`]; [`memo`] has it again for whoever asks the same, its bytes [`compact`]. [`v1`] is the
//! interface beside `/status`, with [`icons`] of any size. [`live`] tells those who wait of changes. [`probe`] asks components, which have
//! no account, while what matters of a request is [`kept`]. [`page`] makes the pages, [`limit`] counts who asks how often, [`pace`] who is
//! refused how much, of [`clients`] that both remember, and [`brake`] has the answers of these wait. Users have their say at an XMPP
//! address of the plugin's, by [`service`]. Everything but this file, [`users`], [`memo`], [`live`], [`probe`], [`brake`] and the desk of
//! [`service`] asks nothing of the host.

#![forbid(unsafe_code)]

#[cfg(test)]
mod abuse;
mod answer;
mod brake;
mod cache;
mod clients;
mod compact;
mod icons;
mod image;
mod json;
mod kept;
mod limit;
mod live;
mod memo;
mod moment;
mod pace;
mod page;
mod probe;
mod query;
mod redirect;
mod representation;
mod service;
mod settings;
mod shown;
mod text;
mod users;
mod v1;
mod visibility;
mod xml;

use std::{net::IpAddr, sync::Arc, time::Duration};

use arc_swap::Guard;
use plugin_api::prelude::*;

use crate::{
    answer::{Format, Question},
    brake::Brake,
    cache::Audience,
    icons::Icons,
    kept::Kept,
    limit::Limiter,
    live::{Awaited, Live},
    memo::{Answer, Memo, Name},
    page::{Base, Person},
    probe::Probes,
    query::Parameters,
    representation::{Interface, Media, Recipient, give_file},
    service::{News, Office, Service},
    settings::{InForce, Settings},
    shown::Shown,
    users::{Requester, Users},
    v1::Target,
    xml::Parties,
};

/// The longest form that a POST may bring.
const LONGEST_FORM: u32 = 64 * 1024;
/// The most users that an example shows.
const MOST_PEOPLE: usize = 6;

/// The plugin.
struct Presence {
    host: Host,
    users: Arc<Users>,
    service: Service<Office>,
    settings: Arc<InForce>,
    live: Live,
    probes: Arc<Probes>,
    limiter: Limiter,
    brake: Brake,
    icons: Arc<Icons>,
    answers: Memo<Answer>,
    objects: Arc<Memo<v1::Object>>,
}

impl Plugin for Presence {
    fn settings() -> Vec<Setting> {
        Settings::declared()
    }

    fn start(host: Host, routes: &mut Routes<Self>) -> Result<Self> {
        routes.on("GET HEAD POST", "/status", recalled(Presence::status)).inline().body_limit(LONGEST_FORM);
        routes.get("/", Presence::home).inline();
        routes.get("/page.js", Presence::page_script).inline();
        routes.get("/page.css", Presence::page_style).inline();
        routes.get("/example", v1::paced(Presence::example)).inline();
        // The first route that fits answers, and the last of v1 fits whatever is left.
        live::mount(routes);
        v1::mount(routes);
        let settings = Arc::new(InForce::new(Settings::read(|name| host.setting(name))?));
        let users = Arc::new(Users::new(host));
        users.renew_keys(settings.read().token_key);
        let probes = Probes::new(host);
        let live = Live::new(host, users.clone(), settings.clone(), probes.clone());
        let watching = live.clone();
        let office = Office::new(Users::new(host), move |news| match news {
            News::Of(user) => watching.look_again_at(user),
            News::Proofs => watching.look_again(),
        });
        let (service, limiter, icons, brake) = (Service::new(office), Limiter::new(), Arc::default(), Brake::new(host));
        let (answers, objects) = (Memo::default(), Arc::default());
        Ok(Presence { host, users, service, settings, live, probes, limiter, brake, icons, answers, objects })
    }

    fn stanza(&self, stanza: &str) {
        if self.probes.heard(stanza) {
            return;
        }
        for answer in self.service.receive(stanza) {
            if let Err(error) = self.host.send(&answer) {
                log::warn!("an answer to a user can't be sent: {error}");
            }
        }
    }

    fn settings_changed(&self) {
        let read = || {
            let settings = Settings::read(|name| self.host.setting(name))?;
            self.users.renew_keys(settings.token_key);
            Ok(settings)
        };
        if let Err(error) = self.settings.renew(read) {
            return log::error!("the settings stay as they were: {error}");
        }
        self.live.look_again();
    }

    fn drain(&self) {
        self.live.end();
    }
}

impl Presence {
    fn status(&self, request: &Request<'_>, responder: Responder) {
        let parameters = Parameters::new(request.query(), form(request));
        let Some(format) = Format::parse(parameters.first("type").as_deref()) else {
            let response =
                self.admit(request, &self.settings()).map_or_else(answer::too_many, |()| answer::unknown_type());
            responder.send(response);
            return;
        };
        let component = probe::component(parameters.first("jid").as_deref(), |text| self.users.jid(text));
        if let Some(component) = component {
            return self.status_of_component(request, component, format, responder);
        }
        let answer = pace::watched(|| self.status_now(request, parameters, format));
        let user = parameters.first("jid").unwrap_or_default();
        if let Some((response, responder)) = self.in_time(request, answer, answer::too_many, responder, send) {
            let awaited = Awaited { target: Target::Jid(&user), format, vary: None, interface: Interface::Status };
            self.send_or_wait(request, response, awaited, responder);
        }
    }

    /// Keeps what a request is to be given for a moment, if its client was refused too often ([`Brake::in_time`]).
    fn in_time<T: Send + 'static>(
        &self,
        request: &Request<'_>,
        what: (T, Vec<pace::Name>),
        too_many: fn(Duration) -> Response,
        responder: Responder,
        give: impl FnOnce(Responder, T) + Send + 'static,
    ) -> Option<(T, Responder)> {
        let client = if what.1.is_empty() { None } else { self.client(request, &self.settings()) };
        self.brake.in_time(client, what, too_many, responder, give)
    }

    fn status_now(&self, request: &Request<'_>, parameters: Parameters<'_>, format: Format) -> Response {
        let settings = self.settings();
        if let Err(wait) = self.admit(request, &settings) {
            return answer::too_many(wait);
        }
        let user = parameters.first("jid").and_then(|text| self.users.jid(&text));
        let requester = self.users.requester(request, &parameters);
        let held = cache::held(request);
        let question = Question {
            parameters,
            format,
            parties: Parties { user: user.as_ref().map(Jid::bare), requester: requester.claim() },
            recipient: Recipient {
                audience: Audience::of(&settings, &requester),
                if_none_match: held.as_deref(),
                interface: Interface::Status,
            },
            navigation: request.header("Sec-Fetch-Dest") == Some("document"),
        };
        let place = self.answers.place_of(self.host, request, &settings, user.as_ref(), &requester);
        let (response, written) = self.users.look(&settings, user.as_ref(), &requester, |shown| {
            if question.custom_image(shown, &settings).is_some() {
                return (question.answer(shown, &settings), None);
            }
            let written = question.represent(shown, &settings);
            (question.recipient.give(&written), Some(written).filter(|_| *shown != Shown::Forbidden))
        });
        match (place, written) {
            (Some(place), Some(written)) => place.keep(Answer::new(&question.recipient, written)),
            (Some(place), None) => place.clear(),
            (None, _) => {}
        }
        response
    }

    /// Answers a request like one that was answered before, if nothing has changed since.
    ///
    /// # Errors
    /// Something has, or there was none. The request is to be answered yet.
    fn recall(&self, request: &Request<'_>, responder: Responder) -> Result<(), Responder> {
        let (settings, mut waiting) = (self.settings(), Some(responder));
        let give = |answer: &Answer| {
            let Some(responder) = waiting.take() else { return };
            match self.admit(request, &settings) {
                Ok(()) => answer.give(cache::held(request).as_deref(), responder),
                Err(wait) if answer.interface() == Interface::V1 => send(responder, v1::problem::too_many(wait)),
                Err(wait) => send(responder, answer::too_many(wait)),
            }
        };
        if let Some(name) = Name::of_request(request) {
            self.answers.recall(self.host, name, &settings, give);
        }
        waiting.map_or(Ok(()), Err)
    }

    fn status_of_component(&self, request: &Request<'_>, component: Jid, format: Format, responder: Responder) {
        let settings = self.settings();
        if let Err(wait) = self.admit(request, &settings) {
            responder.send(answer::too_many(wait));
            return;
        }
        let requester = self.users.requester(request, &Parameters::new(request.query(), form(request)));
        let kept = Kept::of(request, Some(component.clone()), requester, Interface::Status);
        let wish = self.wish(request, kept.clone(), None, (format, None));
        let (client, brake) = (self.client(request, &settings), self.brake.clone());
        let (live, settings) = (self.live.clone(), self.settings.clone());
        self.probes.ask(&component, move |presence| {
            let settings = settings.read();
            let answer = |shown: &Shown<'_>| kept.question(format, &settings).answer(shown, &settings);
            let answer = pace::watched(|| presence.show(kept.user.as_ref(), answer));
            if let Some((response, responder)) = brake.in_time(client, answer, answer::too_many, responder, send) {
                live.send_or_poll(response, wish, responder);
            }
        });
    }

    fn home(&self, request: &Request<'_>) -> Result<Response> {
        let settings = self.settings();
        if let Err(wait) = self.admit(request, &settings) {
            return Ok(answer::too_many(wait));
        }
        let parameters = Parameters::new(request.query(), &[]);
        Ok(page::home(&parameters, &self.placeholder()?, settings.visibility))
    }

    fn page_script(&self, request: &Request<'_>) -> Result<Response> {
        Ok(give_file(Media::Script, &page::SCRIPT, cache::held(request).as_deref()))
    }

    fn page_style(&self, request: &Request<'_>) -> Result<Response> {
        Ok(give_file(Media::Style, &page::STYLE, cache::held(request).as_deref()))
    }

    fn example(&self, request: &Request<'_>) -> Result<Response> {
        let settings = self.settings();
        let parameters = Parameters::new(request.query(), &[]);
        let asked = parameters.all("jid").take(MOST_PEOPLE).count().max(1);
        if let Err(wait) = self.admit_many(request, &settings, asked) {
            return Ok(answer::too_many(wait));
        }
        let known = parameters.all("jid").take(MOST_PEOPLE).filter_map(|text| self.host.jid(&text).ok());
        let person = |user: Jid| {
            let person = |shown: &Shown<'_>| Person::new(user.bare(), shown, &settings);
            self.users.look(&settings, Some(&user), &Requester::nobody(), person)
        };
        let people: Vec<Person> = known.map(person).collect();
        // Only the host itself, which has no address, says where it is reached: a visitor would have the page recommend any other server.
        let base = parameters.first("base").filter(|_| request.peer().is_empty()).unwrap_or_default();
        Ok(page::example(&people, &self.placeholder()?, Base::parse(&base), settings.visibility))
    }

    /// Counts a request that looks a user up.
    fn admit(&self, request: &Request<'_>, settings: &Settings) -> Result<(), Duration> {
        self.admit_many(request, settings, 1)
    }

    /// Counts a request that looks so many users up, unless its client may look up nobody now. The host itself has no address, and is not counted.
    fn admit_many(&self, request: &Request<'_>, settings: &Settings, count: usize) -> Result<(), Duration> {
        let Some(client) = self.client(request, settings) else { return Ok(()) };
        self.brake.admit(client)?;
        self.limiter.admit(client, settings.rate, count)
    }

    /// The address of the client: the peer's, or what proxies say that are believed.
    fn client(&self, request: &Request<'_>, settings: &Settings) -> Option<IpAddr> {
        let peer = request.peer().parse().ok()?;
        let fields = request.headers().filter(|(name, _)| name.eq_ignore_ascii_case("X-Forwarded-For"));
        let lines: Vec<_> = fields.map(|(_, line)| String::from_utf8_lossy(line)).collect();
        Some(settings.proxies.client(peer, lines.iter().map(|line| &**line)))
    }

    /// An address for examples, where no user may be named.
    fn placeholder(&self) -> Result<String> {
        Ok(format!("user@{}", self.host.domain()?))
    }

    fn settings(&self) -> Guard<Arc<Settings>> {
        self.settings.read()
    }
}

/// A handler that is not asked where the answer is known.
fn recalled(
    handler: impl Fn(&Presence, &Request<'_>, Responder) + Send + Sync + 'static,
) -> impl Fn(&Presence, &Request<'_>, Responder) + Send + Sync + 'static {
    move |presence, request, responder| {
        if let Err(responder) = presence.recall(request, responder) {
            handler(presence, request, responder);
        }
    }
}

/// Answers. Who is gone needs none.
fn send(responder: Responder, response: Response) {
    responder.send(response);
}

/// The body, if it holds parameters.
fn form<'r>(request: &Request<'r>) -> &'r [u8] {
    let is_form = request.method() == "POST" && query::is_form(request.header("Content-Type"));
    if is_form { request.body() } else { &[] }
}

export_plugin!(
    Presence,
    id = "presence",
    name = "Presence service",
    min_host = "0.1.0",
    needs = [presence, roster, settings, timers, records, component],
    wants = [stamps]
);
