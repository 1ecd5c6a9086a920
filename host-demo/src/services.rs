//! What this server lends to its plugins: the presence table, the rosters, the settings, and a folder each.

use std::{fs, io, os::unix::fs::DirBuilderExt, path::PathBuf, sync::Arc};

use jid::BareJid;

use crate::{
    plugin::services::{Relation, Services},
    presence::{Source, Table},
    store::Store,
};

/// The server behind the plugins.
pub struct Server {
    /// The domain that is served.
    pub domain: String,
    /// Accounts, rosters and settings.
    pub store: Store,
    /// Who is available.
    pub presence: Arc<Table>,
    /// The folder below which each plugin has one of its own.
    pub data: PathBuf,
}

impl Services for Server {
    fn domain(&self) -> &str {
        &self.domain
    }

    fn presence(&self) -> &dyn Source {
        &*self.presence
    }

    fn relation(&self, user: &str, viewer: &str) -> Result<Relation, String> {
        if !self.store.account_exists(user) {
            return Ok(Relation::default());
        }
        let roster = self.store.roster_of(user).map_err(|error| error.to_string())?;
        let item = BareJid::new(viewer).ok().and_then(|viewer| roster.items.get(&viewer));
        let (from, to) = item.map_or((false, false), |item| (item.from, item.to));
        Ok(Relation { account: true, from, to, blocked: false })
    }

    fn setting(&self, name: &str) -> Option<String> {
        self.store.setting(name)
    }

    fn data_directory(&self, plugin: &str) -> io::Result<PathBuf> {
        let folder = self.data.join(plugin);
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        Ok(folder)
    }
}
