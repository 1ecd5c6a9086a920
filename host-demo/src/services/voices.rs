//! What plugins say at their XMPP addresses: checked where they say it, routed in order by one task a plugin.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use parking_lot::Mutex;
use tokio::{runtime::Handle, sync::mpsc};

use crate::{
    plugin::{
        services::{SendError, address},
        stanzas::{MAX_BYTES, MAX_STANZAS},
    },
    xmpp::hub::{Hub, components::Spoken},
};

/// The stanzas of all plugins that are not routed yet.
pub struct Voices {
    hub: Arc<Hub>,
    domain: String,
    runtime: Handle,
    voices: Mutex<HashMap<String, Voice>>,
}

/// Those of one plugin. It stays for the plugin's next version: an address is the plugin's, not a version's.
#[derive(Clone)]
struct Voice {
    queue: mpsc::Sender<(Spoken, usize)>,
    bytes: Arc<AtomicUsize>,
}

impl Voices {
    /// Of the plugins of a server, whose stanzas are routed on `runtime`.
    pub fn new(hub: Arc<Hub>, domain: String, runtime: Handle) -> Voices {
        Voices { hub, domain, runtime, voices: Mutex::default() }
    }

    /// Queues a stanza of this plugin. From any thread; never blocks.
    ///
    /// # Errors
    /// It is none that this plugin may send, or too many wait.
    pub fn send(&self, plugin: &str, stanza: &str) -> Result<(), SendError> {
        let spoken = Spoken::read(stanza, &address(plugin, &self.domain)).map_err(SendError::Refused)?;
        let voice = self.voices.lock().entry(plugin.to_owned()).or_insert_with(|| self.raise()).clone();
        let (queue, length) = (voice.queue.try_reserve().map_err(|_| SendError::Full)?, stanza.len());
        if voice.bytes.fetch_add(length, SeqCst) + length > MAX_BYTES {
            voice.bytes.fetch_sub(length, SeqCst);
            return Err(SendError::Full);
        }
        queue.send((spoken, length));
        Ok(())
    }

    fn raise(&self) -> Voice {
        let (queue, mut spoken) = mpsc::channel::<(Spoken, usize)>(MAX_STANZAS);
        let (hub, bytes) = (self.hub.clone(), Arc::<AtomicUsize>::default());
        let waiting = bytes.clone();
        self.runtime.spawn(async move {
            while let Some((stanza, length)) = spoken.recv().await {
                waiting.fetch_sub(length, SeqCst);
                hub.receive_from_component(stanza).await;
            }
        });
        Voice { queue, bytes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{presence::Table, store::Store};

    fn voices(folder: &std::path::Path) -> Voices {
        let (store, presence) = (Store::open(folder).unwrap(), Arc::<Table>::default());
        Voices::new(Hub::new("here".parse().unwrap(), store, presence), "here".into(), Handle::current())
    }

    fn sent(voices: &Voices, plugin: &str, body: &str) -> Result<(), SendError> {
        voices.send(plugin, &format!("<message from='{plugin}.here' to='ann@here'><body>{body}</body></message>"))
    }

    /// Nothing is routed meanwhile: the test has the only thread.
    #[tokio::test]
    async fn a_plugin_that_sends_too_much_is_told_and_others_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let voices = voices(folder.path());
        assert!((0..MAX_STANZAS).all(|_| sent(&voices, "echo", "").is_ok()));
        assert_eq!(sent(&voices, "echo", ""), Err(SendError::Full));
        let large = "x".repeat(MAX_BYTES / 4 - 100);
        assert!((0..4).all(|_| sent(&voices, "other", &large).is_ok()));
        assert_eq!(sent(&voices, "other", &large), Err(SendError::Full));
        assert_eq!(sent(&voices, "other", ""), Ok(()), "there is room for a small one");
        while sent(&voices, "echo", "").is_err() {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn what_a_plugin_may_not_send_is_refused_with_the_reason() {
        let folder = tempfile::tempdir().unwrap();
        let voices = voices(folder.path());
        for (stanza, reason) in [
            ("<message to='ann@here'/>", "invalid-from"),
            ("<message from='other.here' to='ann@here'/>", "invalid-from"),
            ("<message from='echo.here'/>", "bad-request"),
            ("<message from='echo.here' to='@'/>", "jid-malformed"),
            ("<query from='echo.here' to='ann@here'/>", "unsupported-stanza-type"),
            ("<message xmlns='jabber:server' from='echo.here' to='ann@here'/>", "unsupported-stanza-type"),
            ("<message from='echo.here' to='ann@here'>", "it is no stanza: bad-format"),
            ("<message from='echo.here' to='ann@here'/><message/>", "it is no stanza: bad-format"),
            ("<!-- --><message from='echo.here' to='ann@here'/>", "it is no stanza: restricted-xml"),
            ("", "it is no stanza: bad-format"),
        ] {
            assert_eq!(voices.send("echo", stanza), Err(SendError::Refused(reason.into())), "{stanza}");
        }
        let (open, close) = ("<message from='echo.here' to='ann@here'>", "</message>");
        let deep = format!("{open}{}{}{close}", "<a>".repeat(64), "</a>".repeat(64));
        assert_eq!(voices.send("echo", &deep), Err(SendError::Refused("it is no stanza: policy-violation".into())));
    }
}
