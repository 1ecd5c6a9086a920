//! What commands ask of the server, and how they reach it.
//!
//! # Layout
//! A command is a [`Request`]. An [`Executor`] over the store carries it out; it is the same code beside a running host
//! and without one. [`call`] finds out which it is: a host that runs listens on `control.sock` in the state folder
//! ([`Server`]), one JSON line for the request and one for the reply; if there is none, the command takes the folder's
//! lock and carries its request out itself.

mod executor;
mod plugins;
mod settings;
mod socket;
mod users;

use std::{fmt, future::Future, pin::Pin, sync::Arc};

use jid::BareJid;
use serde::{Deserialize, Serialize};

pub use self::{
    executor::{Executor, call},
    settings::SettingStatus,
    socket::Server,
};
use crate::{
    plugin::deploy::{cost::Cost, status::PluginStatus},
    store::{Credentials, PasswordHash, StoreError},
};

/// What a command asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Request {
    /// Add an account. `jid` is the bare JID or its localpart alone.
    AddUser {
        /// Who.
        jid: String,
        /// What proves the password.
        credentials: Credentials,
    },
    /// Give an account a new password.
    SetPassword {
        /// Who.
        jid: String,
        /// What proves the password.
        credentials: Credentials,
    },
    /// Remove an account.
    RemoveUser {
        /// Who.
        jid: String,
    },
    /// Ask for all accounts.
    Users,
    /// Ask for all plugins.
    Plugins,
    /// Switch a plugin off: it stops and stays off.
    DisablePlugin {
        /// Which.
        id: String,
    },
    /// Switch a plugin on again.
    EnablePlugin {
        /// Which.
        id: String,
    },
    /// Try a refused file again.
    RetryPlugin {
        /// Which.
        id: String,
    },
    /// Ask for all settings.
    Settings,
    /// Ask for what holds for one setting.
    Setting {
        /// Its full name.
        name: String,
    },
    /// Set a setting; an empty value restores the default.
    SetSetting {
        /// Its full name.
        name: String,
        /// The value.
        value: String,
    },
    /// Set the password of the console.
    SetAdminPassword {
        /// What is kept of it.
        password: PasswordHash,
    },
}

/// What was done or found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// It was done.
    Done {
        /// What was done, in one sentence.
        text: String,
        /// What the administrator should know about it.
        note: Option<String>,
    },
    /// All accounts.
    Users(Vec<String>),
    /// All plugins.
    Plugins {
        /// A row a version that there is something to say about.
        plugins: Vec<PluginStatus>,
        /// What ended versions cost; nothing without a running host.
        cost: Option<Cost>,
    },
    /// All settings.
    Settings(Vec<SettingStatus>),
    /// What holds for a setting.
    Value(String),
}

/// Why a request was not carried out, for the administrator: `what: where: what to do`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// Whether the request itself was wrong, and would be whatever the state of the server.
    pub usage: bool,
    /// The reason.
    pub text: String,
}

/// The reply to a request.
pub type Reply = Result<Answer, Refusal>;

/// The outcome of an action on a running host: an error is the reason in the administrator's words.
pub type Acting<'a> = Pin<Box<dyn Future<Output = Result<(), String>> + Send + 'a>>;

/// What only a running host can do. But for the removal of an account, the store has been changed already when these are
/// called.
pub trait Running: Send + Sync {
    /// Removes an account: ends its sessions, removes its data, and tells those who had it as a contact.
    fn remove_account<'a>(&'a self, user: &'a BareJid) -> Acting<'a>;
    /// All plugins as they are now.
    fn plugins(&self) -> Arc<[PluginStatus]>;
    /// What ended versions of plugins cost.
    fn cost(&self) -> Cost;
    /// Stops a plugin that was switched off. Done when its routes are gone.
    fn disable<'a>(&'a self, id: &'a str) -> Acting<'a>;
    /// Deploys a plugin that was switched on again. Done when it is active or refused.
    fn enable<'a>(&'a self, id: &'a str) -> Acting<'a>;
    /// Tries the file of a plugin again, whatever became of it last time. Done when it is active or refused.
    fn retry<'a>(&'a self, id: &'a str) -> Acting<'a>;
    /// A setting has a new value: tells its plugin. Done when that has taken note.
    fn setting_changed<'a>(&'a self, name: &'a str) -> Acting<'a>;
}

impl Refusal {
    /// The request was wrong.
    pub fn usage(text: impl Into<String>) -> Refusal {
        Refusal { usage: true, text: text.into() }
    }

    /// The request could not be carried out.
    pub fn failed(text: impl Into<String>) -> Refusal {
        Refusal { usage: false, text: text.into() }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Refusal {}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        Refusal::failed(error.to_string())
    }
}

impl Answer {
    fn done(text: impl Into<String>) -> Answer {
        Answer::Done { text: text.into(), note: None }
    }
}

#[cfg(test)]
mod tests;
