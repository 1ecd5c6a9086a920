//! Accounts: the domain they belong to is noted with the first one.

use jid::BareJid;

use super::{Answer, Executor, Refusal, Reply};
use crate::{
    address, config,
    store::{Credentials, StoreError},
};

impl Executor {
    pub(super) async fn add_user(&self, text: &str, credentials: &Credentials) -> Reply {
        let user = self.added_user(text)?;
        self.store.claim_domain(user.domain().as_str()).await?;
        self.store.add_account(&user, credentials).await.map_err(|error| match error {
            StoreError::AlreadyExists(user) => Refusal::failed(format!(
                "user: {user} is there already: to give another password, use `user password {user}`"
            )),
            other => other.into(),
        })?;
        Ok(Answer::done(format!("added {user}")))
    }

    pub(super) async fn set_password(&self, text: &str, credentials: &Credentials) -> Reply {
        let user = self.known_user(text)?;
        self.store.set_credentials(&user, credentials).await.map_err(unknown)?;
        Ok(Answer::done(format!("{user} has a new password")))
    }

    pub(super) async fn remove_user(&self, text: &str) -> Reply {
        let user = self.known_user(text)?;
        match &self.running {
            Some(_) if !self.store.account_exists(user.as_str()) => {
                return Err(unknown(StoreError::UnknownAccount(user.to_string())));
            }
            Some(host) => {
                host.remove_account(&user).await.map_err(|reason| Refusal::failed(format!("user: {user}: {reason}")))?
            }
            None => drop(self.store.remove_account(&user).await.map_err(unknown)?),
        }
        Ok(Answer::done(format!("removed {user}")))
    }

    /// Whom to add: before anything was served, a full address decides the domain.
    fn added_user(&self, text: &str) -> Result<BareJid, Refusal> {
        if self.running.is_none() && self.store.accounts().is_empty() && text.contains('@') {
            return bare_jid(text);
        }
        self.known_user(text)
    }

    /// The user meant by a bare JID or a localpart.
    fn known_user(&self, text: &str) -> Result<BareJid, Refusal> {
        let domain = self.store.domain()?.unwrap_or_else(|| config::default_domain().into_inner());
        let user = if text.contains(['@', '/']) { bare_jid(text)? } else { bare_jid(&format!("{text}@{domain}"))? };
        if user.domain().as_str() != domain {
            return Err(Refusal::failed(format!("user: {user}: the domain of this server is {domain}")));
        }
        Ok(user)
    }
}

fn bare_jid(text: &str) -> Result<BareJid, Refusal> {
    let expected = "expected a name, or name@domain";
    let jid = address::jid(text).map_err(|cause| Refusal::usage(format!("user: {text:?}: {cause}: {expected}")))?;
    match jid.try_into_full() {
        Err(bare) if bare.node().is_some() => Ok(bare),
        _ => Err(Refusal::usage(format!("user: {text:?} is no bare JID: {expected}"))),
    }
}

fn unknown(error: StoreError) -> Refusal {
    match error {
        StoreError::UnknownAccount(user) => {
            Refusal::failed(format!("user: {user} is not on this server: `user list` shows who is"))
        }
        other => other.into(),
    }
}
