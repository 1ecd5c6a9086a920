//! Who asks: nobody in particular, somebody who says so, or somebody who proved it.

use std::net::IpAddr;

use plugin_api::Jid;

use super::choice::Details;
use crate::settings;

/// Who a request comes from. One with nothing in it is a stranger's. It can be kept: whether its proof still counts, and whether where it comes
/// from is still trusted, is looked up each time.
#[derive(Clone, Debug, Default)]
pub struct Requester {
    claimed: Option<Jid>,
    /// The address that connected to claim that.
    peer: Option<IpAddr>,
    is_named: bool,
    /// It came by what lets everybody in who bears it.
    is_bearer: bool,
    proof: Option<Proof>,
}

/// What proves that a request comes from a user, or was let in by one.
#[derive(Clone, Debug)]
pub struct Proof {
    /// The user whom it speaks for.
    pub who: Jid,
    /// Whose presence it shows, a bare JID. `None`: that of everybody who lets `who` see.
    pub of: Option<String>,
    /// How much it shows at most.
    pub what: Details,
    /// From when on it is worth nothing, in seconds since the Unix epoch.
    pub expires: u64,
    /// The record without which it is worth nothing.
    pub record: String,
}

impl Proof {
    /// Whether it was good once, by the clock.
    pub fn has_expired(&self, now: u64) -> bool {
        now >= self.expires
    }
}

/// A requester before one user, by a bare JID.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who<'a> {
    /// Nobody in particular.
    Nobody,
    /// Whoever knows this address.
    Claimed(&'a str),
    /// Nobody but the owner of this address, or whom the owner gave the proof to.
    Proven(&'a str),
    /// Whoever came by what let everybody in and does so no more: not even like nobody.
    Refused,
}

impl Requester {
    /// Nobody in particular.
    pub fn nobody() -> Requester {
        Requester::default()
    }

    /// Whoever sent a request that names `claimed`, by a connection from `peer`.
    pub(super) fn claiming(claimed: Option<Jid>, peer: &str) -> Requester {
        let peer = claimed.as_ref().and_then(|_| peer.parse().ok());
        Requester { is_named: claimed.is_some(), claimed, peer, ..Requester::default() }
    }

    /// The same with a token, which may be worth nothing: the answer must not tell by its fields whether it is.
    pub(super) fn with_token(self, proof: Option<Proof>) -> Requester {
        Requester { is_named: true, proof, ..self }
    }

    /// Whoever has what this user gave away for everybody who has it.
    pub(super) fn bearing(proof: Proof) -> Requester {
        Requester { is_bearer: true, proof: Some(proof), ..Requester::default() }
    }

    /// Somebody whose name is no JID, for tests.
    #[cfg(test)]
    pub fn somebody() -> Requester {
        Requester { is_named: true, ..Requester::default() }
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

    /// The proof, where it is about this user.
    pub(super) fn proof_before(&self, user: &str) -> Option<&Proof> {
        self.proof.as_ref().filter(|proof| proof.of.as_deref().is_none_or(|of| of == user))
    }

    /// Who this is by a proof that counts, or else by the claim; and the same as an address. `trusted` is from where nobody lies about that.
    pub(super) fn by<'a>(&'a self, proof: Option<&'a Proof>, trusted: &Trusted) -> (Who<'a>, Option<&'a Jid>) {
        match (proof, &self.claimed) {
            (Some(proof), _) => (Who::Proven(proof.who.bare()), Some(&proof.who)),
            (None, Some(jid)) if self.peer.is_some_and(|peer| trusted.contains(peer)) => {
                (Who::Proven(jid.bare()), Some(jid))
            }
            (None, Some(jid)) => (Who::Claimed(jid.bare()), Some(jid)),
            (None, None) if self.is_bearer => (Who::Refused, None),
            (None, None) => (Who::Nobody, None),
        }
    }
}

/// The addresses from which what is claimed is true.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Trusted(Vec<IpAddr>);

impl Trusted {
    /// Reads the setting: addresses separated by commas, as the host has checked.
    pub fn parse(setting: &str) -> Trusted {
        Trusted(settings::addresses(setting))
    }

    /// Whether this peer is one of them. What a proxy says of its client does not count.
    fn contains(&self, peer: IpAddr) -> bool {
        self.0.contains(&peer.to_canonical())
    }
}

/// The token of `Authorization: Bearer TOKEN` (RFC 6750 section 2.1). `None`: the field is of another scheme.
pub fn bearer(field: &str) -> Option<&str> {
    let (scheme, token) = field.trim().split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trusted_peer_is_one_of_the_list_in_any_writing() {
        let trusted = Trusted::parse("192.0.2.1, 2001:db8::1,, nonsense,10.0.0.0/8");
        let contains = |peer: &str| trusted.contains(peer.parse().unwrap());
        for peer in ["192.0.2.1", "::ffff:192.0.2.1", "2001:DB8:0::1"] {
            assert!(contains(peer), "{peer}");
        }
        for peer in ["192.0.2.2", "10.0.0.1", "::"] {
            assert!(!contains(peer), "{peer}");
        }
    }

    #[test]
    fn a_bearer_token_is_found_in_its_field_and_in_no_other() {
        for field in ["Bearer p1.x", "bearer  p1.x ", "BEARER p1.x"] {
            assert_eq!(bearer(field), Some("p1.x"), "{field}");
        }
        for field in ["Basic p1.x", "p1.x", "", "Bearer"] {
            assert_eq!(bearer(field), None, "{field}");
        }
    }

    #[test]
    fn an_answer_to_a_token_is_never_public_whatever_it_is_worth() {
        assert!(Requester::claiming(None, "192.0.2.1").is_nobody());
        assert!(!Requester::claiming(None, "192.0.2.1").with_token(None).is_nobody());
    }

    /// What let it in may be revoked after it was looked up, and what is shown then is kept for others.
    #[test]
    fn who_came_by_what_was_revoked_since_is_refused() {
        let bearer = Requester { is_bearer: true, ..Requester::default() };
        assert_eq!(bearer.by(None, &Trusted::default()).0, Who::Refused);
        assert_eq!(Requester::nobody().by(None, &Trusted::default()).0, Who::Nobody);
        assert!(bearer.is_nobody(), "its answer is the same whoever sends it");
    }
}
