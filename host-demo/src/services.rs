//! What this server lends to its plugins: the presence table, the rosters, the settings, a folder each, and a voice.

pub mod voices;

use std::{fs, io, os::unix::fs::DirBuilderExt, path::PathBuf, sync::Arc};

use self::voices::Voices;
use crate::{
    address,
    plugin::{
        services::{RecordError, Relation, SendError, Services},
        settings::StoredSettings,
    },
    presence::{Source, Table},
    stamps::Stamps,
    store::{RecordChange, Store, StoreError},
};

/// The server behind the plugins.
pub struct Server {
    /// The domain that is served.
    pub domain: String,
    /// Accounts, rosters and settings.
    pub store: Store,
    /// Who is available.
    pub presence: Arc<Table>,
    /// What moves on with each change of the store's and of this presence that plugins are told of.
    pub stamps: Arc<Stamps>,
    /// The folder below which each plugin has one of its own.
    pub data: PathBuf,
    /// What they send.
    pub voices: Voices,
}

impl Services for Server {
    fn domain(&self) -> &str {
        &self.domain
    }

    fn presence(&self) -> &dyn Source {
        &*self.presence
    }

    fn stamp(&self, user: &str) -> u64 {
        self.stamps.of(user)
    }

    fn relation(&self, user: &str, viewer: &str) -> Result<Relation, String> {
        let account = self.store.account_exists(user);
        if viewer.is_empty() {
            return Ok(Relation { account, ..Relation::default() });
        }
        // The same is done for an unknown user: how long it takes must not tell.
        let roster = self.store.roster_of(user).map_err(|error| error.to_string())?;
        let item = address::bare_jid(viewer).ok().and_then(|viewer| roster.items.get(&viewer));
        let (from, to) = item.map_or((false, false), |item| (item.from, item.to));
        Ok(Relation { account, from, to, blocked: self.store.blocks(user, viewer) })
    }

    fn setting(&self, name: &str) -> Option<String> {
        self.store.setting(name)
    }

    fn stored_settings(&self, plugin: &str) -> StoredSettings {
        let settings = self.store.settings();
        StoredSettings {
            now: settings.of_plugin(plugin),
            before: settings.before.get(plugin).cloned().unwrap_or_default(),
        }
    }

    fn read_record(&self, plugin: &str, key: &str, read: &mut dyn FnMut(Option<&[u8]>)) {
        self.store.with_record(plugin, key, read);
    }

    fn records(&self, plugin: &str, prefix: &str) -> Result<Vec<(String, Vec<u8>)>, RecordError> {
        self.store.records(plugin, prefix).map_err(record_error)
    }

    fn change_records(&self, plugin: &str, changes: Vec<RecordChange>) -> Result<(), RecordError> {
        self.store.change_records_blocking(plugin, changes).map_err(record_error)
    }

    fn data_directory(&self, plugin: &str) -> io::Result<PathBuf> {
        let folder = self.data.join(plugin);
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        Ok(folder)
    }

    fn send(&self, plugin: &str, stanza: &str) -> Result<(), SendError> {
        self.voices.send(plugin, stanza)
    }
}

fn record_error(error: StoreError) -> RecordError {
    match error {
        StoreError::RecordSize => RecordError::Size,
        StoreError::RecordsFull(_) => RecordError::Full,
        StoreError::UnknownAccount(_) => RecordError::UnknownOwner,
        other => RecordError::Failed(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use jid::BareJid;

    use super::*;
    use crate::{
        presence::{Resource, Show},
        store::{BlocklistChange, Credentials, Keys, Record},
        xmpp::hub::Hub,
    };

    /// A server of the domain `here`, on the runtime of the test.
    fn server(folder: &Path) -> Server {
        let (store, domain) = (Store::open(folder).unwrap(), "here".to_owned());
        let stamps = store.stamps();
        let presence = Arc::new(Table::with_capacity(0, stamps.clone()));
        let hub = Hub::new(domain.parse().unwrap(), store.clone(), presence.clone());
        let voices = Voices::new(hub, domain.clone(), tokio::runtime::Handle::current());
        Server { domain, store, presence, stamps, data: folder.into(), voices }
    }

    async fn add(server: &Server, user: &BareJid) {
        let keys = Keys { salt: vec![1], iterations: 4096, stored_key: vec![2], server_key: vec![3] };
        let credentials = Credentials { scram_sha_1: keys.clone(), scram_sha_256: keys };
        server.store.add_account(user, &credentials).await.unwrap();
    }

    #[tokio::test]
    async fn a_viewer_is_blocked_by_jid_or_by_domain_and_a_stranger_never() {
        let folder = tempfile::tempdir().unwrap();
        let server = server(folder.path());
        let ann = BareJid::new("ann@here").unwrap();
        add(&server, &ann).await;
        let blocked = ["bob@here", "away", "cat@here/pc"].map(|jid| jid.parse().unwrap()).to_vec();
        server.store.change_blocklist(&ann, BlocklistChange::Block(blocked)).await.unwrap();

        let blocked = |viewer| server.relation("ann@here", viewer).unwrap().blocked;
        assert!(blocked("bob@here") && blocked("tim@away") && blocked("away"));
        assert!(!blocked("cat@here") && !blocked("") && !blocked("ann@here"));
        assert_eq!(server.relation("nobody@here", "bob@here"), Ok(Relation::default()));
    }

    /// What a plugin has read of a user under a stamp, it reads again for each of these.
    #[tokio::test]
    async fn each_change_of_what_there_is_to_read_moves_the_stamp() {
        let folder = tempfile::tempdir().unwrap();
        let server = server(folder.path());
        let ann = BareJid::new("ann@here").unwrap();
        let mut last = server.stamp("ann@here");
        let mut moved = || {
            let before = last;
            last = server.stamp("ann@here");
            last > before
        };
        assert!(!moved(), "nothing has changed");

        add(&server, &ann).await;
        assert!(moved(), "an account");
        server.presence.set("ann@here", Resource { name: "pc", show: Show::Away, status: "", priority: 0, since: 0 });
        assert!(moved(), "presence");
        server.presence.clear("ann@here", "pc", "", 1);
        assert!(moved(), "no presence");
        let record = Record { value: b"nobody"[..].into(), owner: Some("ann@here".into()) };
        for record in [Some(record), None] {
            let change = RecordChange { key: "choice".into(), record };
            server.store.change_records("presence", vec![change]).await.unwrap();
            assert!(moved(), "a record that goes with the account, or its end");
        }
        server.store.remove_account(&ann).await.unwrap();
        assert!(moved(), "no account");
    }
}
