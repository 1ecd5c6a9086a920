//! What the host knows of one generation while it answers its calls.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
};

use parking_lot::RwLock;
use plugin_api::{
    abi::{
        host_settings::{KindCode, SettingValue, SettingView},
        plugin_http::PluginHttpRef,
        root::LayoutMismatch,
    },
    manifest::Manifest,
};

use super::{
    changes::Changes, exchange::Exchanges, mark::Mark, services::Services, settings::Plan, stream_body::on_worker,
};
use crate::store::{SettingKind, SettingSchema, SettingsChange};

/// One generation, as the host's callbacks see it. It is never freed: a plugin that calls late finds it stopped.
pub struct Context {
    /// The plugin's manifest.
    pub manifest: Manifest,
    /// What a thread bears while it runs this generation.
    pub mark: &'static Mark,
    /// The server.
    pub services: Arc<dyn Services>,
    /// The requests that this generation has not answered yet.
    pub exchanges: Exchanges,
    /// Its subscriptions to changes of presence.
    pub changes: Arc<Changes>,
    declared: RwLock<Vec<SettingSchema>>,
    plan: Plan,
    /// The values that were set, where they are not those that are stored.
    view: RwLock<Option<BTreeMap<String, String>>>,
    mismatch: OnceLock<LayoutMismatch>,
    stopped: AtomicBool,
    http: OnceLock<PluginHttpRef>,
}

impl Context {
    /// Makes the context of a new generation.
    pub fn new(
        manifest: Manifest,
        name: String,
        services: Arc<dyn Services>,
        plan: Plan,
        mark: &'static Mark,
    ) -> &'static Context {
        Box::leak(Box::new(Context {
            manifest,
            mark,
            services,
            exchanges: Exchanges::default(),
            changes: Changes::new(name),
            declared: RwLock::default(),
            view: RwLock::new(plan.view().cloned()),
            plan,
            mismatch: OnceLock::new(),
            stopped: AtomicBool::new(false),
            http: OnceLock::new(),
        }))
    }

    /// Whether the manifest names this interface as needed or wanted. The log and HTTP are everybody's.
    pub fn is_granted(&self, interface: &str) -> bool {
        let mut named = self.manifest.needs.iter().chain(&self.manifest.wants);
        matches!(interface, "host.log/1" | "host.http/1") || named.any(|named| named == interface)
    }

    /// Notes that the plugin asked for an interface in another shape than this host's. One that it only wants, it can do without.
    pub fn note_mismatch(&self, mismatch: LayoutMismatch) {
        let LayoutMismatch { id, differences } = &mismatch;
        log::warn!("plugin {}: {id} has another shape here: {differences}", self.manifest.id);
        if !self.manifest.wants.iter().any(|wanted| wanted == id) {
            // The first is enough.
            let _ = self.mismatch.set(mismatch);
        }
    }

    /// What the plugin cannot do without and does not get.
    pub fn mismatch(&self) -> Option<&LayoutMismatch> {
        self.mismatch.get()
    }

    /// From now on every call is answered `CLOSED`. What only calls in time ask for is freed.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
        *self.declared.write() = Vec::new();
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

    /// Tells the plugin that a stream has room again, or no reader any more, or that nobody waits for the answer to a request.
    pub fn writable(&self, token: u64) {
        if let Some(http) = self.http.get().filter(|_| !self.is_stopped()) {
            on_worker(|| self.mark.run(|| http.writable()(token)));
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
        let set = self.set_value(name).filter(|value| !value.is_empty());
        Some(set.and_then(|value| schema.kind.check(&value).ok()).unwrap_or_else(|| schema.default.clone()))
    }

    fn set_value(&self, name: &str) -> Option<String> {
        match &*self.view.read() {
            Some(values) => values.get(name).cloned(),
            None => self.services.setting(&format!("{}.{name}", self.manifest.id)),
        }
    }

    /// The version of the settings that this generation is to migrate, and their values.
    pub fn to_migrate(&self) -> Option<(u32, &BTreeMap<String, String>)> {
        match &self.plan {
            Plan::Migrate { from, .. } => Some((from.version, &from.values)),
            Plan::Follow | Plan::TakeBack(_) => None,
        }
    }

    /// Takes what the plugin made of its settings. They are what it reads from here on, and are not stored yet.
    ///
    /// # Errors
    /// A value that its declaration does not take, or a new one that was not declared.
    pub fn migrated(&self, values: &[SettingValue<'_>]) -> Result<(), String> {
        let (_, stored) = self.to_migrate().ok_or("there is nothing to migrate")?;
        let declared = self.declared.read();
        let mut view = BTreeMap::new();
        for SettingValue { name, value } in values.iter().filter(|setting| !setting.value.is_empty()) {
            let schema = declared.iter().find(|schema| schema.name == name.as_str());
            let value = match schema.map(|schema| schema.kind.check(value)) {
                Some(checked) => checked.map_err(|reason| format!("setting {name:?}: {value:?}: {reason}"))?,
                // Left where it was, and in nobody's way.
                None if stored.get(name.as_str()).is_some_and(|stored| stored == value.as_str()) => value.to_string(),
                None => return Err(format!("setting {name:?} was given a value and is not declared")),
            };
            view.insert(name.to_string(), value);
        }
        *self.view.write() = Some(view);
        Ok(())
    }

    /// What is to be stored of its settings when this generation comes into service, if anything is.
    pub fn settings_change(&self) -> Option<SettingsChange> {
        self.plan.change(self.view.read().clone().unwrap_or_default())
    }

    /// Has the generation read these values from here on, whatever is stored; `None`: those that are.
    pub fn show_settings(&self, values: Option<BTreeMap<String, String>>) {
        *self.view.write() = values;
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
        KindCode::ADDRESSES => SettingKind::Addresses,
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

#[cfg(test)]
mod tests {
    use abi_stable::std_types::RSlice;

    use super::*;
    use crate::{plugin::services::Nobody, store::PluginSettings};

    fn view(name: &'static str, kind: KindCode, default: &'static str) -> SettingView<'static> {
        let (name, default, label, help) = (name.into(), default.into(), "".into(), "".into());
        SettingView { name, default, label, help, choices: RSlice::EMPTY, minimum: 0, maximum: 0, kind }
    }

    /// Of version 2, with `hue` and `dim` declared; `tone` was set in version 1.
    fn migrating() -> &'static Context {
        let manifest = Manifest::parse(b"id=lamp\nversion=2\nabi=0.1\ntarget=t\nsettings_version=2\n").unwrap();
        let values = BTreeMap::from([("tone".to_owned(), "warm".to_owned())]);
        let plan = Plan::Migrate { from: PluginSettings { version: 1, values }, to: 2 };
        let mark = Mark::new(&manifest, std::path::Path::new("/nowhere.so"));
        let context = Context::new(manifest, "lamp#2".into(), Nobody::new("/nowhere".into()), plan, mark);
        context.declare(&[view("hue", KindCode::TEXT, "white"), view("dim", KindCode::BOOLEAN, "false")]).unwrap();
        context
    }

    fn value(name: &'static str, value: &'static str) -> SettingValue<'static> {
        SettingValue { name: name.into(), value: value.into() }
    }

    #[test]
    fn what_a_migration_gives_is_read_at_once_and_stored_later() {
        let context = migrating();
        assert_eq!(context.setting("hue").as_deref(), Some("white"));
        context.migrated(&[value("hue", " warm "), value("dim", "True"), value("tone", "warm")]).unwrap();
        assert_eq!(
            (context.setting("hue").as_deref(), context.setting("dim").as_deref()),
            (Some("warm"), Some("true"))
        );
        let change = context.settings_change().unwrap();
        let expected = [("dim", "true"), ("hue", "warm"), ("tone", "warm")];
        assert_eq!((change.from.version, change.to.version), (1, 2));
        assert!(change.to.values.iter().map(|(name, value)| (name.as_str(), value.as_str())).eq(expected));
        // In service it reads the store, where nobody has set anything.
        context.show_settings(None);
        assert_eq!(context.setting("hue").as_deref(), Some("white"));
    }

    #[test]
    fn a_migration_that_gives_what_is_not_declared_is_refused() {
        let context = migrating();
        let refused = context.migrated(&[value("dim", "maybe")]).unwrap_err();
        assert_eq!(refused, r#"setting "dim": "maybe": expected true or false"#);
        let refused = context.migrated(&[value("tone", "cold")]).unwrap_err();
        assert_eq!(refused, r#"setting "tone" was given a value and is not declared"#);
        assert_eq!(context.settings_change().unwrap().to.values["tone"], "warm", "what it began with");
    }
}
