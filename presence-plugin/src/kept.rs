//! What is kept of a request that is answered later.

use plugin_api::{Jid, Request};

use crate::{
    answer::{Format, Question},
    cache::{self, Audience},
    form,
    query::Parameters,
    representation::{Interface, Recipient},
    settings::Settings,
    users::Requester,
    xml::Parties,
};

/// What of a request matters for its answer.
#[derive(Clone)]
pub struct Kept {
    /// Whom it is about, if that is an address.
    pub user: Option<Jid>,
    /// In whose name it asks.
    pub requester: Requester,
    query: Box<str>,
    form: Box<[u8]>,
    if_none_match: Option<Box<str>>,
    navigation: bool,
    /// By which interface it came.
    pub interface: Interface,
}

impl Kept {
    /// What is kept of a request about this user.
    pub fn of(request: &Request<'_>, user: Option<Jid>, requester: Requester, interface: Interface) -> Kept {
        Kept {
            user,
            requester,
            query: request.query().into(),
            form: form(request).into(),
            if_none_match: cache::held(request).map(|held| (&*held).into()),
            navigation: request.header("Sec-Fetch-Dest") == Some("document"),
            interface,
        }
    }

    /// The parameters.
    pub fn parameters(&self) -> Parameters<'_> {
        Parameters::new(&self.query, &self.form)
    }

    /// What the client holds.
    pub fn if_none_match(&self) -> Option<&str> {
        self.if_none_match.as_deref()
    }

    /// How many bytes of it may be of any length.
    pub fn length(&self) -> usize {
        self.query.len() + self.form.len() + self.if_none_match().map_or(0, str::len)
    }

    /// Who gets its answer, which is for this audience.
    pub fn recipient(&self, audience: Audience) -> Recipient<'_> {
        Recipient { audience, if_none_match: self.if_none_match(), interface: self.interface }
    }

    /// What it asks, in this format, under these settings.
    pub fn question(&self, format: Format, settings: &Settings) -> Question<'_> {
        Question {
            parameters: self.parameters(),
            format,
            parties: Parties { user: self.user.as_ref().map(Jid::bare), requester: self.requester.claim() },
            recipient: self.recipient(Audience::of(settings, &self.requester)),
            navigation: self.navigation,
        }
    }
}
