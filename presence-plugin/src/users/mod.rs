//! What may be shown of a user to whoever asks, and the user's say in it.
//!
//! # Layout
//! A request becomes a [`Requester`]; [`Users::look`] is the one place where it is decided what that requester sees of a user. All that is
//! shown to the web, in whatever form, comes from there. A user has a [`choice`], gives away [`tokens`] by which others ask in the user's name
//! ([`token`] is how they are written, [`keys`] sign them), and [`addresses`] that name nobody. All of it is records of the host, which every
//! version of this plugin reads, and which go with the account; [`lines`] is how they are written.

pub mod addresses;
pub mod choice;
mod keys;
mod lines;
mod requester;
mod token;
pub mod tokens;

use std::time::{SystemTime, UNIX_EPOCH};

use plugin_api::{Host, Jid, RecordChange, Request, Result, log};
use sha2::{Digest, Sha256};

pub use self::keys::{FIRST_NUMBER, random};
pub use self::requester::{Requester, Trusted, Who};
use self::{
    choice::{Choice, Details},
    requester::{Proof, bearer},
    token::{Claims, hexadecimal},
};
use crate::{pace, query::Parameters, settings::Settings, shown::Shown};

/// The longest JID that is part of a key as it is.
const LONGEST_IN_KEY: usize = 160;

/// What a user wanted more of: there are this many, and no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooMany(pub usize);

/// What was made for a user, if there was room for it.
pub type Made<T> = std::result::Result<T, TooMany>;

/// The users of this server, as the web may see them.
#[derive(Clone, Copy)]
pub struct Users {
    host: Host,
}

impl Users {
    /// The users of this host.
    pub fn new(host: Host) -> Users {
        Users { host }
    }

    /// The host.
    pub fn host(&self) -> Host {
        self.host
    }

    /// The address that a parameter names, its resource ignored.
    pub fn jid(&self, text: &str) -> Option<Jid> {
        self.host.jid(without_resource(text)?).ok()
    }

    /// Who sent this request. A token that is worth nothing is like none, but for the fields of the answer: they follow from the request.
    pub fn requester(&self, request: &Request<'_>, parameters: &Parameters<'_>) -> Requester {
        let claimed = parameters.first("req_jid").and_then(|text| self.jid(&text));
        let requester = Requester::claiming(claimed, request.peer());
        let token = request.header("Authorization").and_then(bearer).map(Into::into);
        match token.or_else(|| parameters.first("token")).filter(|token| !token.is_empty()) {
            Some(token) => requester.with_token(self.proof(&token)),
            None => requester,
        }
    }

    /// The user that an unlisted address stands for, and whoever has it as a requester. Nobody may be told who the user is.
    pub fn at_address(&self, id: &str) -> Option<(Jid, Requester)> {
        let (user, record) = addresses::user_of(self.host, id)?;
        let user = self.host.jid(&user).ok()?;
        let of = Some(user.bare().to_owned());
        let proof = Proof { who: user.clone(), of, what: Details::Status, expires: u64::MAX, record };
        Some((user, Requester::bearing(proof)))
    }

    /// Shows `user` to `requester`. May be called again with the same requester at any time, and then answers by what holds then.
    ///
    /// Whoever may not be seen, the same is looked up, so that time tells nothing either: who may see, and nothing of the presence, which takes longer
    /// the more there is. What can't be looked up can't be seen.
    pub fn look<R>(
        &self,
        settings: &Settings,
        user: Option<&Jid>,
        requester: &Requester,
        answer: impl Fn(&Shown<'_>) -> R,
    ) -> R {
        let Some(user) = user else {
            pace::refused(None);
            return answer(&Shown::Forbidden);
        };
        let proof = requester.proof_before(user.bare()).filter(|proof| self.counts(proof));
        let (who, viewer) = requester.by(proof, &settings.trusted);
        let choice = self.host.with_record(&place_of("choice", user.bare(), ""), Choice::read);
        let relation = self.host.relation(user, viewer);
        let visible = match (choice, relation) {
            (Ok(choice), Ok(relation)) if user.is_local() => {
                let may_see = settings.visibility.allows(choice.who, user.bare(), who, relation);
                may_see.then(|| proof.map_or(choice.what, |proof| proof.what.min(choice.what)))
            }
            _ => None,
        };
        let Some(details) = visible else {
            pace::refused(Some(user.bare()));
            return answer(&Shown::Forbidden);
        };
        let seen = self.host.with_presence(user, |presence| answer(&Shown::of(presence).limited_to(details)));
        seen.unwrap_or_else(|_| answer(&Shown::Forbidden))
    }

    /// Has the tokens count that were made while the keys had this number, and no others, and makes the key to sign with if there is none. Waits
    /// for the disk where something is to be changed.
    pub fn renew_keys(&self, number: u32) {
        match keys::renew(self.host, number) {
            Ok(true) => log::info!("the keys have another number: no token that was made so far is worth anything"),
            Ok(false) => {}
            Err(error) => log::error!("tokens count that should not, since the keys have another number: {error}"),
        }
        if let Err(error) = keys::current(self.host, now()) {
            log::error!("there is no key to sign tokens with: {error}");
        }
    }

    /// What `user` has chosen. `None`: nothing.
    pub fn choice(&self, user: &Jid) -> Result<Option<Choice>> {
        let place = place_of("choice", user.bare(), "");
        self.host.with_record(&place, |record| record.is_some().then(|| Choice::read(record)))
    }

    /// Keeps a choice of `user`. In force when it returns. Waits for the disk.
    pub fn choose(&self, user: &Jid, choice: Choice) -> Result<()> {
        let place = place_of("choice", user.bare(), "");
        let record = self.host.with_record(&place, |before| choice.write(before))?;
        self.host.change_records(&[RecordChange::put(place, record).owned_by(user)])
    }

    /// Forgets what `user` has chosen, with all tokens and addresses. Waits for the disk.
    pub fn forget(&self, user: &Jid) -> Result<()> {
        let mut changes = vec![RecordChange::remove(place_of("choice", user.bare(), ""))];
        changes.extend(tokens::removals(self.host, user)?);
        changes.extend(addresses::removals(self.host, user)?);
        self.host.change_records(&changes)
    }

    fn proof(&self, token: &str) -> Option<Proof> {
        let claims = Claims::read(token, |key| keys::secret(self.host, key))?;
        let record = tokens::place(&claims.who, &hexadecimal(&claims.id));
        let Claims { of, what, expires, .. } = claims;
        Some(Proof { who: self.host.jid(&claims.who).ok()?, of, what, expires, record })
    }

    fn counts(&self, proof: &Proof) -> bool {
        let is_there = self.host.with_record(&proof.record, |record| record.is_some()).unwrap_or(false);
        is_there && !proof.has_expired(now())
    }
}

/// This moment, in seconds since the Unix epoch.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// The key of a record of a user: `choice/alice@example.com/`. A JID that is too long for a key stands there as its hash, behind a slash, with
/// which no JID begins.
fn place_of(kind: &str, user: &str, id: &str) -> String {
    if user.len() <= LONGEST_IN_KEY {
        return [kind, user, id].join("/");
    }
    let hash: String = Sha256::digest(user).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{kind}//{hash}/{id}")
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_user_has_places_of_its_own_that_fit_into_a_key() {
        assert_eq!(place_of("token", "alice@example.com", "00"), "token/alice@example.com/00");
        let long = |last: char| format!("{}{last}@example.com", "a".repeat(1_000));
        let (one, other) = (place_of("address-of", &long('b'), "x"), place_of("address-of", &long('c'), "x"));
        assert_ne!(one, other);
        assert!(one.starts_with("address-of//") && one.len() <= 256 - 22, "{one}");
    }
}
