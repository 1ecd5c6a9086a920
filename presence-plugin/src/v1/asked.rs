//! Who is asked for by whom, and the answer in any form.

use std::borrow::Cow;

use plugin_api::{Jid, Request, Response};

use super::{
    badge::Badge,
    negotiation::Form,
    picture::{self, Style},
    problem::Problem,
};
use crate::{
    answer::{Format, Question},
    cache::{self, Audience},
    icons::{Icons, themes::State},
    kept::Kept,
    memo::{Answer, Memo},
    probe::Presence,
    query::Parameters,
    representation::{Interface, Recipient, Representation},
    settings::Settings,
    shown::Shown,
    users::{Requester, Users},
    xml::Parties,
};

/// How a request says who is asked for.
#[derive(Clone, Copy)]
pub enum Target<'a> {
    /// By an address, or by what is none.
    Jid(&'a str),
    /// By an unlisted address.
    Unlisted(&'a str),
}

/// Who is asked for by whom, read from a request.
pub struct Asked<'r> {
    parameters: Parameters<'r>,
    user: Option<Jid>,
    requester: Requester,
    audience: Audience,
    if_none_match: Option<Cow<'r, str>>,
    /// Whether the answer may name the user: it does where the request does.
    is_named: bool,
    /// What a component answered, if it is one.
    heard: Option<&'r Presence>,
}

/// What answers are made of.
pub struct Sources<'s> {
    /// The users of this server.
    pub users: &'s Users,
    /// The icons.
    pub icons: &'s Icons,
    /// The settings that hold.
    pub settings: &'s Settings,
}

impl<'r> Asked<'r> {
    /// A user, or nobody, by an address.
    pub fn read(users: &Users, request: &Request<'r>, user: &str, settings: &Settings) -> Asked<'r> {
        let parameters = Parameters::new(request.query(), &[]);
        let requester = users.requester(request, &parameters);
        let audience = Audience::of(settings, &requester);
        let (user, if_none_match) = (users.jid(user), cache::held(request));
        Asked { parameters, user, requester, audience, if_none_match, is_named: true, heard: None }
    }

    /// The answer is the same for everybody who has the address, and kept in no cache, so that one that was revoked is gone at once.
    pub fn unlisted(users: &Users, request: &Request<'r>, id: &str) -> Asked<'r> {
        let (user, requester) = users.at_address(id).unzip();
        Asked {
            parameters: Parameters::new(request.query(), &[]),
            user,
            requester: requester.unwrap_or_else(Requester::nobody),
            audience: Audience::Nobody,
            if_none_match: cache::held(request),
            is_named: false,
            heard: None,
        }
    }

    /// A component, by a request that waited for it.
    pub fn about_component(kept: &'r Kept, heard: &'r Presence, settings: &Settings) -> Asked<'r> {
        Asked {
            parameters: kept.parameters(),
            user: kept.user.clone(),
            requester: kept.requester.clone(),
            audience: Audience::of(settings, &kept.requester),
            if_none_match: kept.if_none_match().map(Cow::Borrowed),
            is_named: true,
            heard: Some(heard),
        }
    }

    /// The answer in this form.
    ///
    /// # Errors
    /// A parameter is out of its bounds, as the problem says.
    pub fn answer(&self, form: Form, sources: &Sources<'_>) -> Result<Response, Problem> {
        self.represent(form, sources).map(|(written, _)| self.recipient().give(&written))
    }

    /// The same, kept for whoever sends the same request.
    ///
    /// # Errors
    /// The same.
    pub fn answer_and_keep(
        &self,
        request: &Request<'_>,
        form: Form,
        (sources, answers): (&Sources<'_>, &Memo<Answer>),
    ) -> Result<Response, Problem> {
        let (host, settings) = (sources.users.host(), sources.settings);
        let place = answers.place_of(host, request, settings, self.user.as_ref(), &self.requester);
        let (written, state) = self.represent(form, sources)?;
        let (recipient, response) = (self.recipient(), self.recipient().give(&written));
        match place {
            Some(place) if state == State::Forbidden => place.clear(),
            Some(place) => place.keep(Answer::new(&recipient, written)),
            None => {}
        }
        Ok(response)
    }

    /// Writes what is shown, and says what state that is.
    fn represent(&self, form: Form, sources: &Sources<'_>) -> Result<(Representation, State), Problem> {
        form.check(&self.parameters)?;
        // Only the state leaves the look: a drawing in the making would hold the user's presence.
        Ok(match form {
            Form::Written(format) => {
                let question = self.question(format);
                self.look(sources, |shown| (question.represent(shown, sources.settings), State::of(shown)))
            }
            Form::Drawn(encoding) => {
                let style = Style::read(&self.parameters, encoding)?;
                let state = self.look(sources, State::of);
                (picture::represent(sources.icons, style.of(state)), state)
            }
            Form::Badge(kind) => {
                let badge = Badge::read(&self.parameters)?;
                let state = self.look(sources, State::of);
                (badge.represent(kind, state), state)
            }
        })
    }

    fn look<R>(&self, sources: &Sources<'_>, answer: impl Fn(&Shown<'_>) -> R) -> R {
        match self.heard {
            Some(presence) => presence.show(self.user.as_ref(), answer),
            None => sources.users.look(sources.settings, self.user.as_ref(), &self.requester, answer),
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
            recipient: self.recipient(),
            navigation: false,
        }
    }

    fn recipient(&self) -> Recipient<'_> {
        let (audience, if_none_match) = (self.audience, self.if_none_match.as_deref());
        Recipient { audience, if_none_match, interface: Interface::V1 }
    }
}
