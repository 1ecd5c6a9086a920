//! What may be shown of a user to whoever asks.
//!
//! # Layout
//! A request becomes a [`Requester`]; [`Users::look`] is the one place where it is decided what that requester sees of a user. All that is
//! shown to the web, in whatever form, comes from there.

mod requester;

use plugin_api::{Host, Jid, Request};

pub use self::requester::{Requester, Who};
use crate::{query::Parameters, settings::Settings, shown::Shown};

/// The users of this server, as the web may see them.
pub struct Users {
    host: Host,
}

impl Users {
    /// The users of this host.
    pub fn new(host: Host) -> Users {
        Users { host }
    }

    /// The address that a parameter names, its resource ignored.
    pub fn jid(&self, text: &str) -> Option<Jid> {
        self.host.jid(without_resource(text)?).ok()
    }

    /// Who sent this request.
    pub fn requester(&self, _request: &Request<'_>, parameters: &Parameters<'_>, _settings: &Settings) -> Requester {
        Requester::claiming(parameters.first("req_jid").and_then(|text| self.jid(&text)))
    }

    /// Shows `user` to `requester`. May be called again with the same requester at any time, and then answers by what holds then.
    ///
    /// Whoever is asked for, the same is looked up, so that time tells nothing either; what can't be looked up can't be seen.
    pub fn look<R>(
        &self,
        settings: &Settings,
        user: Option<&Jid>,
        requester: &Requester,
        answer: impl Fn(&Shown<'_>) -> R,
    ) -> R {
        let Some(user) = user else { return answer(&Shown::Forbidden) };
        let who = requester.before(user.bare());
        let relation = self.host.relation(user, requester.jid_before(user.bare()));
        let visible =
            user.is_local() && relation.is_ok_and(|relation| settings.visibility.allows(user.bare(), who, relation));
        let seen = self
            .host
            .with_presence(user, |presence| answer(&if visible { Shown::of(presence) } else { Shown::Forbidden }));
        seen.unwrap_or_else(|_| answer(&Shown::Forbidden))
    }
}

/// An address without its resource, which is ignored, so that it need not be a valid one. `None`: there is a slash, and
/// nothing behind it.
fn without_resource(address: &str) -> Option<&str> {
    match address.split_once('/') {
        Some((_, "")) => None,
        Some((bare, _)) => Some(bare),
        None => Some(address),
    }
}
