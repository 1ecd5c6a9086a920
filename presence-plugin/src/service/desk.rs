//! What the service can do for a user.

use plugin_api::{Host, Jid, Result};

use crate::users::{
    Made, Users,
    addresses::{self, Address},
    choice::Choice,
    now,
    tokens::{self, Issued, Wish},
};

/// The say that users have, by their bare JIDs. Whatever changes something is in force, and on the disk, when it returns.
pub trait Desk {
    /// Whether this is a user of this server.
    fn has_account(&self, user: &str) -> bool;
    /// A JID in its normal form, without its resource; of this server if it names no domain. `None`: it is none.
    fn jid(&self, text: &str) -> Option<String>;
    /// What the user has chosen; `None`: nothing.
    fn choice(&self, user: &str) -> Result<Option<Choice>>;
    /// Keeps a choice.
    fn choose(&self, user: &str, choice: Choice) -> Result<()>;
    /// Forgets choice, tokens and addresses.
    fn forget(&self, user: &str) -> Result<()>;
    /// Makes a token.
    fn mint(&self, user: &str, wish: &Wish) -> Result<Made<String>>;
    /// The tokens that have not expired.
    fn tokens(&self, user: &str) -> Result<Vec<Issued>>;
    /// Revokes those of these tokens that there are, and says how many.
    fn revoke_tokens(&self, user: &str, ids: &[String]) -> Result<usize>;
    /// Makes an unlisted address.
    fn add_address(&self, user: &str, label: &str) -> Result<Made<String>>;
    /// The unlisted addresses.
    fn addresses(&self, user: &str) -> Result<Vec<Address>>;
    /// Revokes those of these addresses that there are, and says how many.
    fn revoke_addresses(&self, user: &str, ids: &[String]) -> Result<usize>;
}

/// The desk of this server, which tells of what changes.
pub struct Office {
    users: Users,
    told: Box<dyn Fn(News<'_>) + Send + Sync>,
}

/// What has changed, so that those who watch have to look again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News<'a> {
    /// What this user shows, and to whom.
    Of(&'a str),
    /// Whose proof counts.
    Proofs,
}

impl Office {
    /// The desk over these users.
    pub fn new(users: Users, told: impl Fn(News<'_>) + Send + Sync + 'static) -> Office {
        Office { users, told: Box::new(told) }
    }

    fn host(&self) -> Host {
        self.users.host()
    }

    fn account(&self, user: &str) -> Result<Jid> {
        self.host().jid(user)
    }

    /// Tells of a revocation, if it was one.
    fn revoked(&self, count: usize) -> usize {
        if count > 0 {
            (self.told)(News::Proofs);
        }
        count
    }
}

impl Desk for Office {
    fn has_account(&self, user: &str) -> bool {
        let relation = self.account(user).and_then(|user| self.host().relation(&user, None));
        relation.is_ok_and(|relation| relation.account)
    }

    fn jid(&self, text: &str) -> Option<String> {
        let host = self.host();
        let jid = if text.contains(['@', '.']) { host.jid(text) } else { host.local_jid(text) };
        jid.ok().filter(|jid| jid.localpart().is_some()).map(|jid| jid.bare().to_owned())
    }

    fn choice(&self, user: &str) -> Result<Option<Choice>> {
        self.users.choice(&self.account(user)?)
    }

    fn choose(&self, user: &str, choice: Choice) -> Result<()> {
        self.users.choose(&self.account(user)?, choice)?;
        (self.told)(News::Of(user));
        Ok(())
    }

    fn forget(&self, user: &str) -> Result<()> {
        self.users.forget(&self.account(user)?)?;
        (self.told)(News::Of(user));
        (self.told)(News::Proofs);
        Ok(())
    }

    fn mint(&self, user: &str, wish: &Wish) -> Result<Made<String>> {
        tokens::mint(self.host(), &self.account(user)?, wish, now())
    }

    fn tokens(&self, user: &str) -> Result<Vec<Issued>> {
        tokens::list(self.host(), &self.account(user)?, now())
    }

    fn revoke_tokens(&self, user: &str, ids: &[String]) -> Result<usize> {
        Ok(self.revoked(tokens::revoke(self.host(), &self.account(user)?, ids)?))
    }

    fn add_address(&self, user: &str, label: &str) -> Result<Made<String>> {
        addresses::add(self.host(), &self.account(user)?, label, now())
    }

    fn addresses(&self, user: &str) -> Result<Vec<Address>> {
        addresses::list(self.host(), &self.account(user)?)
    }

    fn revoke_addresses(&self, user: &str, ids: &[String]) -> Result<usize> {
        Ok(self.revoked(addresses::revoke(self.host(), &self.account(user)?, ids)?))
    }
}
