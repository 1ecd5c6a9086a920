//! What the host knows of one generation while it answers its calls.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicBool, Ordering},
};

use parking_lot::RwLock;
use plugin_api::{
    abi::{
        host_settings::{KindCode, SettingView},
        plugin_http::PluginHttpRef,
    },
    manifest::Manifest,
};

use super::{
    changes::Changes,
    exchange::{Exchanges, on_worker},
    services::Services,
};
use crate::store::{SettingKind, SettingSchema};

/// One generation, as the host's callbacks see it. It is never freed: a plugin that calls late finds it stopped.
pub struct Context {
    /// The plugin's manifest.
    pub manifest: Manifest,
    /// The server.
    pub services: Arc<dyn Services>,
    /// The requests that this generation has not answered yet.
    pub exchanges: Exchanges,
    /// Its subscriptions to changes of presence.
    pub changes: Arc<Changes>,
    declared: RwLock<Vec<SettingSchema>>,
    stopped: AtomicBool,
    http: OnceLock<PluginHttpRef>,
}

impl Context {
    /// Makes the context of a new generation.
    pub fn new(manifest: Manifest, name: String, services: Arc<dyn Services>) -> &'static Context {
        Box::leak(Box::new(Context {
            manifest,
            services,
            exchanges: Exchanges::default(),
            changes: Changes::new(name),
            declared: RwLock::default(),
            stopped: AtomicBool::new(false),
            http: OnceLock::new(),
        }))
    }

    /// Whether the manifest names this interface as needed or wanted. The log and HTTP are everybody's.
    pub fn is_granted(&self, interface: &str) -> bool {
        let mut named = self.manifest.needs.iter().chain(&self.manifest.wants);
        matches!(interface, "host.log/1" | "host.http/1") || named.any(|named| named == interface)
    }

    /// From now on every call is answered `CLOSED`.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
    }

    /// Lets go of a plugin whose code hangs: every call is answered `CLOSED`, and it is told of no change any more.
    pub fn disown(&self) {
        self.stop();
        self.changes.silence();
    }

    /// Whether the generation has been stopped.
    pub fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    /// Whom to tell that a stream has room. Known once the plugin has started.
    pub fn connect(&self, http: PluginHttpRef) {
        // A generation has one table, however often it is asked for.
        let _ = self.http.set(http);
    }

    /// Tells the plugin that a stream has room again, or no reader any more.
    pub fn writable(&self, token: u64) {
        if let Some(http) = self.http.get().filter(|_| !self.is_stopped()) {
            on_worker(|| http.writable()(token));
        }
    }

    /// Takes the settings that the plugin declares.
    ///
    /// # Errors
    /// What is wrong with one of them.
    pub fn declare(&self, settings: &[SettingView<'_>]) -> Result<(), String> {
        *self.declared.write() = settings.iter().map(schema).collect::<Result<_, _>>()?;
        Ok(())
    }

    /// The settings that the plugin declared.
    pub fn declared(&self) -> Vec<SettingSchema> {
        self.declared.read().clone()
    }

    /// The value of a declared setting: the administrator's where it is valid, else the default.
    pub fn setting(&self, name: &str) -> Option<String> {
        let declared = self.declared.read();
        let schema = declared.iter().find(|schema| schema.name == name)?;
        let set = self.services.setting(&format!("{}.{name}", self.manifest.id)).filter(|value| !value.is_empty());
        Some(set.and_then(|value| schema.kind.check(&value).ok()).unwrap_or_else(|| schema.default.clone()))
    }
}

/// The host's hold on a start that may never return.
#[derive(Default)]
pub struct Hold(OnceLock<Option<&'static Context>>);

impl Hold {
    /// Lets go of the plugin. One that has not begun its start never will.
    pub fn let_go(&self) {
        if self.0.set(None).is_err()
            && let Some(Some(context)) = self.0.get()
        {
            context.disown();
        }
    }

    /// Takes hold of a plugin that begins its start. `false`: too late, it was let go.
    pub fn take(&self, context: &'static Context) -> bool {
        self.0.set(Some(context)).is_ok()
    }
}

/// Reads a declaration, whose default must satisfy it.
fn schema(view: &SettingView<'_>) -> Result<SettingSchema, String> {
    let name = view.name.as_str();
    let refuse = |reason: &str| Err(format!("setting {name:?}: {reason}"));
    let is_name_byte = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    if name.is_empty() || name.len() > 64 || !name.bytes().all(is_name_byte) {
        return refuse("a name is 1 to 64 of a-z, 0-9 and '_'");
    }
    let kind = match view.kind {
        KindCode::TEXT => SettingKind::Text,
        KindCode::CHOICE => SettingKind::Choice { values: view.choices.iter().map(ToString::to_string).collect() },
        KindCode::INTEGER => SettingKind::Integer { min: view.minimum, max: view.maximum },
        KindCode::BOOLEAN => SettingKind::Boolean,
        KindCode::HOSTS => SettingKind::Hosts,
        KindCode(other) => return refuse(&format!("this host does not know its kind, {other}")),
    };
    match kind.check(view.default.as_str()) {
        Ok(default) => Ok(SettingSchema {
            name: name.into(),
            kind,
            default,
            label: view.label.as_str().into(),
            help: view.help.as_str().into(),
        }),
        Err(reason) => refuse(&format!("its own default does not satisfy it: {reason}")),
    }
}
