//! The presence service: shows web pages and web services whether a user of this server can be reached.
//!
//! `GET|POST|HEAD /plugins/presence/status?jid=alice@example.com` answers with an icon, a stanza, an object or a line of text. A page of its own at
//! `/plugins/presence/` says how to use that; `/plugins/presence/example` is its part of the server's front page.
//!
//! # Layout
//! A request becomes a [`Question`](answer::Question): its parameters ([`query`]), the type of the answer and the two JIDs.
//! [`users`] asks the host how the requester stands to the user and for the user's presence, and has [`visibility`] decide; [`shown`] holds
//! what is left to see. [`answer`] turns that into a response, with a body by [`image`], [`xml`], [`json`] or [`text`], with a way to
//! a custom image by [`redirect`], with the fields by [`cache`]. [`v1`] is the interface beside `/status`, with [`icons`] of any size. [`page`] makes
//! the pages, [`limit`] counts who asks how often. Everything but this file and [`users`] is free of the host.

#![forbid(unsafe_code)]

#[cfg(test)]
mod abuse;
mod answer;
mod cache;
mod icons;
mod image;
mod json;
mod limit;
mod moment;
mod page;
mod query;
mod redirect;
mod settings;
mod shown;
mod text;
mod users;
mod v1;
mod visibility;
mod xml;

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use plugin_api::prelude::*;

use crate::{
    answer::{Format, Question},
    cache::Audience,
    icons::Icons,
    limit::Limiter,
    page::{Base, Person},
    query::Parameters,
    settings::Settings,
    shown::Shown,
    users::{Requester, Users},
    xml::Parties,
};

/// The longest form that a POST may bring.
const LONGEST_FORM: u32 = 64 * 1024;
/// The most users that an example shows.
const MOST_PEOPLE: usize = 6;

/// The plugin.
struct Presence {
    host: Host,
    users: Users,
    settings: RwLock<Arc<Settings>>,
    limiter: Limiter,
    icons: Icons,
}

impl Plugin for Presence {
    fn settings() -> Vec<Setting> {
        Settings::declared()
    }

    fn start(host: Host, routes: &mut Routes<Self>) -> Result<Self> {
        routes.on("GET HEAD POST", "/status", Presence::status).inline().body_limit(LONGEST_FORM);
        routes.get("/", Presence::home).inline();
        routes.get("/example", Presence::example).inline();
        v1::mount(routes);
        let settings = Settings::read(|name| host.setting(name))?;
        let settings = RwLock::new(Arc::new(settings));
        Ok(Presence { host, users: Users::new(host), settings, limiter: Limiter::new(), icons: Icons::default() })
    }

    fn settings_changed(&self) {
        match Settings::read(|name| self.host.setting(name)) {
            Ok(settings) => *self.settings.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(settings),
            Err(error) => log::error!("the settings stay as they were: {error}"),
        }
    }
}

impl Presence {
    fn status(&self, request: &Request<'_>) -> Result<Response> {
        let settings = self.settings();
        if let Err(wait) = self.admit(request, &settings) {
            return Ok(answer::too_many(wait));
        }
        let parameters = Parameters::new(request.query(), form(request));
        let Some(format) = Format::parse(parameters.first("type").as_deref()) else {
            return Ok(answer::unknown_type());
        };
        let user = parameters.first("jid").and_then(|text| self.users.jid(&text));
        let requester = self.users.requester(request, &parameters, &settings);
        let question = Question {
            parameters,
            format,
            parties: Parties { user: user.as_ref().map(Jid::bare), requester: requester.claim() },
            audience: Audience::of(&settings, &requester),
            if_none_match: request.header("If-None-Match").filter(|_| request.method() != "POST"),
            navigation: request.header("Sec-Fetch-Dest") == Some("document"),
        };
        Ok(self.users.look(&settings, user.as_ref(), &requester, |shown| question.answer(shown, &settings)))
    }

    fn home(&self, request: &Request<'_>) -> Result<Response> {
        let asked = Parameters::new(request.query(), &[]).first("jid");
        Ok(page::home(asked.as_deref(), &self.placeholder()?, self.settings().visibility))
    }

    fn example(&self, request: &Request<'_>) -> Result<Response> {
        let settings = self.settings();
        if let Err(wait) = self.admit(request, &settings) {
            return Ok(answer::too_many(wait));
        }
        let parameters = Parameters::new(request.query(), &[]);
        let known = parameters.all("jid").filter_map(|text| self.host.jid(&text).ok());
        let person = |user: Jid| {
            let person = |shown: &Shown<'_>| Person::new(user.bare(), shown, &settings);
            self.users.look(&settings, Some(&user), &Requester::nobody(), person)
        };
        let people: Vec<Person> = known.take(MOST_PEOPLE).map(person).collect();
        let base = parameters.first("base").unwrap_or_default();
        Ok(page::example(&people, &self.placeholder()?, Base::parse(&base), settings.visibility))
    }

    /// Counts a request that looks a user up.
    fn admit(&self, request: &Request<'_>, settings: &Settings) -> Result<(), Duration> {
        self.admit_many(request, settings, 1)
    }

    /// Counts a request that looks so many users up. The host itself has no address, and is not counted.
    fn admit_many(&self, request: &Request<'_>, settings: &Settings, count: usize) -> Result<(), Duration> {
        let Ok(peer) = request.peer().parse() else { return Ok(()) };
        let fields = request.headers().filter(|(name, _)| name.eq_ignore_ascii_case("X-Forwarded-For"));
        // A line that is no text is no list of addresses either.
        let lines: Vec<&str> = fields.map(|(_, line)| std::str::from_utf8(line).unwrap_or_default()).collect();
        self.limiter.admit(settings.proxies.client(peer, lines.into_iter()), settings.rate, count)
    }

    /// An address for examples, where no user may be named.
    fn placeholder(&self) -> Result<String> {
        Ok(format!("user@{}", self.host.domain()?))
    }

    fn settings(&self) -> Arc<Settings> {
        self.settings.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
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
    needs = [presence, roster, settings]
);
