//! Who asks: nobody in particular, or somebody who says so.

use plugin_api::Jid;

/// Who a request comes from. One with nothing in it is a stranger's.
#[derive(Clone, Debug, Default)]
pub struct Requester {
    claimed: Option<Jid>,
    is_named: bool,
}

/// A requester before one user, by a bare JID.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who<'a> {
    /// Nobody in particular.
    Nobody,
    /// Whoever knows this address.
    Claimed(&'a str),
}

impl Requester {
    /// Nobody in particular.
    pub fn nobody() -> Requester {
        Requester::default()
    }

    /// Somebody whom the request names, rightly or not. `claim` is that name, if it is a JID.
    pub fn claiming(claim: Option<Jid>) -> Requester {
        Requester { is_named: claim.is_some(), claimed: claim }
    }

    /// Somebody whose name is no JID, for tests.
    #[cfg(test)]
    pub fn somebody() -> Requester {
        Requester { claimed: None, is_named: true }
    }

    /// The bare JID that the request gives, which proves nothing.
    pub fn claim(&self) -> Option<&str> {
        self.claimed.as_ref().map(Jid::bare)
    }

    /// Whether the request names nobody, so that its answer is the same whoever sent it. Known from the request alone, before anything
    /// is looked up.
    pub fn is_nobody(&self) -> bool {
        !self.is_named
    }

    /// Who this is where `user`, a bare JID, is asked for.
    pub fn before(&self, _user: &str) -> Who<'_> {
        self.claimed.as_ref().map_or(Who::Nobody, |jid| Who::Claimed(jid.bare()))
    }

    /// The same as an address.
    pub fn jid_before(&self, _user: &str) -> Option<&Jid> {
        self.claimed.as_ref()
    }
}
