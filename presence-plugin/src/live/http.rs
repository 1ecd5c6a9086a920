//! The requests of those who wait.
//!
//! ```text
//! GET /v1/users/{jid}/events        what is shown of a user, and each change
//! GET /v1/events?jid=&jid=          of up to 50 users
//! GET /v1/u/{id}/events             of whoever has an unlisted address; no event names the user
//! GET /widget.js                    an element for pages that does all of this
//! ```
//!
//! And any request for a text about a user that brings `wait` and `If-None-Match`: see [`Presence::send_or_wait`].

use std::{borrow::Cow, net::IpAddr};

use plugin_api::{Jid, Request, Responder, Response, Routes};

use super::{
    MOST_USERS, Visit,
    poll::{Asked, Wish, read_wait},
    round::{Unlisted, Whom},
    seats::{MOST_OF_CLIENT, Refused},
};
use crate::{
    Presence,
    answer::Format,
    cache::Audience,
    clients::network,
    kept::Kept,
    query::Parameters,
    representation::Interface,
    settings::Settings,
    users::Requester,
    v1::{
        Target,
        problem::{self, Problem},
    },
};

/// The longest addresses of all users of a stream together, and the longest query of a long poll with its tags, in bytes: what is kept for
/// each of them.
pub const LONGEST_ASKED: usize = 8 * 1024;
/// How long whoever finds no seat should stay away, in seconds.
const STAY_AWAY: u64 = 30;

/// Registers the streams.
pub fn mount(routes: &mut Routes<Presence>) {
    routes.get("/v1/users/{jid}/events", Presence::events_of_user).inline().any_length();
    routes.get("/v1/events", Presence::events).inline().any_length();
    routes.get("/v1/u/{id}/events", Presence::events_of_unlisted).inline().any_length();
    routes.get("/widget.js", Presence::widget).inline();
}

/// A text about a user, for which a request may wait.
pub struct Awaited<'a> {
    /// Whom it is about.
    pub target: Target<'a>,
    /// Its type.
    pub format: Format,
    /// The field on which it depends as well.
    pub vary: Option<&'static str>,
    /// By which interface it is asked for.
    pub interface: Interface,
}

impl Presence {
    fn events_of_user(&self, request: &Request<'_>, responder: Responder) {
        let users = request.path_parameter("jid").map(|jid| vec![Cow::Borrowed(jid)]).unwrap_or_default();
        self.open_stream(request, &users, |user| Whom::Named(self.users.jid(user)), responder);
    }

    fn events_of_unlisted(&self, request: &Request<'_>, responder: Responder) {
        let ids = request.path_parameter("id").map(|id| vec![Cow::Borrowed(id)]).unwrap_or_default();
        let whom = |id: &str| {
            let user = self.users.at_address(id).map(|(user, _)| user);
            Whom::Unlisted(Box::new(Unlisted { id: id.into(), user }))
        };
        self.open_stream(request, &ids, whom, responder);
    }

    fn events(&self, request: &Request<'_>, responder: Responder) {
        let users: Vec<_> = Parameters::new(request.query(), &[]).all("jid").take(MOST_USERS + 1).collect();
        self.open_stream(request, &users, |user| Whom::Named(self.users.jid(user)), responder);
    }

    fn open_stream(
        &self,
        request: &Request<'_>,
        users: &[Cow<'_, str>],
        whom: impl Fn(&str) -> Whom,
        responder: Responder,
    ) {
        let settings = self.settings();
        if let Err(problem) = self.may_open(request, users, &settings) {
            responder.send(problem);
            return;
        }
        let parameters = Parameters::new(request.query(), &[]);
        let visit = self.visit(request, &parameters, &settings);
        let head = head(Audience::of(&settings, &visit.requester));
        if request.method() == "HEAD" {
            // Of a stream, or it would have a length: that of no body (RFC 9110 section 8.6).
            if let Some(stream) = responder.stream(head) {
                stream.finish();
            }
            return;
        }
        let mut watched: Vec<Whom> = Vec::with_capacity(users.len());
        for whom in users.iter().map(|user| whom(user)) {
            if !watched.iter().any(|known| known.user().map(Jid::bare) == whom.user().map(Jid::bare)) {
                watched.push(whom);
            }
        }
        let held = request.header("Last-Event-ID").map(str::to_owned);
        let live = self.live.clone();
        let refused = live.refused(&visit, &watched);
        let open: Box<dyn FnOnce(Responder) + Send> =
            Box::new(move |responder| live.stream(visit, watched, held.as_deref(), responder, head, refuse_stream));
        let give = |responder, open: Box<dyn FnOnce(Responder) + Send>| open(responder);
        if let Some((open, responder)) = self.in_time(request, (open, refused), problem::too_many, responder, give) {
            open(responder);
        }
    }

    fn may_open(&self, request: &Request<'_>, users: &[Cow<'_, str>], settings: &Settings) -> Result<(), Response> {
        self.admit_many(request, settings, users.len()).map_err(problem::too_many)?;
        if users.is_empty() {
            return Err(Problem::parameter("jid", "name each user by a parameter jid").into());
        }
        if users.len() > MOST_USERS {
            let detail = format!("one stream tells of {MOST_USERS} users at most");
            return Err(Problem::too_large("jid", detail).with_limit(MOST_USERS).into());
        }
        if users.iter().map(|user| user.len()).sum::<usize>() > LONGEST_ASKED {
            let detail = format!("the addresses of one stream have {LONGEST_ASKED} bytes together at most");
            return Err(Problem::too_large("jid", detail).with_limit(LONGEST_ASKED).into());
        }
        Ok(())
    }

    fn visit(&self, request: &Request<'_>, parameters: &Parameters<'_>, settings: &Settings) -> Visit {
        let requester = self.users.requester(request, parameters);
        Visit { client: self.counted(request, settings), requester }
    }

    /// The address of a client whose seats are counted. Whose requests are not may have any number of seats.
    fn counted(&self, request: &Request<'_>, settings: &Settings) -> Option<IpAddr> {
        self.client(request, settings).filter(|client| !client.is_loopback()).map(network)
    }

    /// Sends an answer, or has the request wait for another one ([`Live::send_or_poll`](super::Live::send_or_poll)).
    pub fn send_or_wait(&self, request: &Request<'_>, response: Response, awaited: Awaited<'_>, responder: Responder) {
        if response.status() != 304 {
            responder.send(response);
            return;
        }
        let Awaited { target, format, vary, interface } = awaited;
        let (user, requester, unlisted) = match target {
            Target::Jid(user) => {
                let parameters = Parameters::new(request.query(), &[]);
                (self.users.jid(user), self.users.requester(request, &parameters), None)
            }
            Target::Unlisted(id) => (self.users.at_address(id).map(|(user, _)| user), Requester::nobody(), Some(id)),
        };
        let kept = Kept::of(request, user, requester, interface);
        let wish = self.wish(request, kept, unlisted, (format, vary));
        self.live.send_or_poll(response, wish, responder);
    }

    /// Whether, and for how long, a request would rather wait than hear that there is nothing new.
    pub fn wish(
        &self,
        request: &Request<'_>,
        kept: Kept,
        unlisted: Option<&str>,
        (format, vary): (Format, Option<&'static str>),
    ) -> Option<Wish> {
        let wait = read_wait(kept.parameters().first("wait").as_deref())?;
        let client = self.counted(request, &self.settings());
        let asked = Asked { kept, unlisted: unlisted.map(Into::into), format, vary };
        Some(Wish { client, asked, wait })
    }
}

/// The head of a stream. No cache keeps it, and no proxy holds back what comes.
fn head(audience: Audience) -> Response {
    let head = Response::new(200)
        .header("Content-Type", "text/event-stream")
        .header("X-Content-Type-Options", "nosniff")
        .header("Cache-Control", "no-store")
        .header("X-Accel-Buffering", "no");
    if audience.is_public() { head.header("Access-Control-Allow-Origin", "*") } else { head }
}

fn refuse_stream(reason: Refused) -> Response {
    back_later(refused(reason, "streams are open", "poll instead").into())
}

/// Says that a request may not wait.
pub fn refuse_poll(reason: Refused, interface: Interface) -> Response {
    back_later(told(refused(reason, "requests wait", "do not wait"), interface))
}

/// Says that a request is too long to be kept while it waits.
pub fn refuse_long_poll(interface: Interface) -> Response {
    let detail = format!("the query and the tags of a request that waits have {LONGEST_ASKED} bytes together at most");
    told(Problem::too_large("wait", detail).with_limit(LONGEST_ASKED), interface)
}

fn told(problem: Problem, interface: Interface) -> Response {
    match interface {
        Interface::Status => problem.in_words(),
        Interface::V1 => problem.into(),
    }
}

fn back_later(response: Response) -> Response {
    response.header("Retry-After", STAY_AWAY.to_string())
}

/// Says that too much of `what` goes on already, and what to do instead.
fn refused(reason: Refused, what: &str, instead: &str) -> Problem {
    match reason {
        Refused::TooMany => {
            Problem::new(429, "Too Many Requests", format!("too many {what} for this client: {instead}"))
        }
        Refused::TooManyUsers => {
            let detail = format!("one client is told of {MOST_OF_CLIENT} users at most: {instead}");
            Problem::new(429, "Too Many Requests", detail).with_limit(MOST_OF_CLIENT as usize)
        }
        Refused::Full | Refused::Over => {
            Problem::new(503, "Service Unavailable", format!("too many {what}: {instead}"))
        }
    }
}
