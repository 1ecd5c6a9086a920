//! The functions that the host gives to plugins: the `host.*` interfaces of `plugin_api::abi`.
//!
//! Each finds the generation by its mark, answers `CLOSED` when that has been stopped, and catches its own panics: none may
//! unwind into a plugin.

mod fields;
mod records;

use std::{
    os::unix::ffi::OsStrExt,
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};

use abi_stable::{
    prefix_type::WithMetadata,
    std_types::{ROption, RResult, RSlice, RStr, RString, RVec},
    type_layout::TypeLayout,
};
use actix_web::http::StatusCode;
use bytes::Bytes;
use plugin_api::abi::{
    host_component::{HostComponent, HostComponentRef},
    host_data::{HostData, HostDataRef},
    host_http::{HostHttp, HostHttpRef, ResponseHead},
    host_log::{HostLog, HostLogRef},
    host_presence::{HostPresence, HostPresenceRef},
    host_records::{HostRecords, HostRecordsRef},
    host_roster::{HostRoster, HostRosterRef, JidParts, RelationFlags},
    host_settings::{HostSettings, HostSettingsRef, SettingValue, SettingView, StoredSetting},
    host_stamps::{HostStamps, HostStampsRef},
    host_timers::{HostTimers, HostTimersRef},
    root::{HostContext, HostQuery, Interface, LayoutMismatch, Table},
    visitor::PresenceVisitor,
    wire::Status,
};

use super::{
    changes::Untimed,
    context::Context,
    exchange::{Answer, Body, Closed},
    services::{self, SendError},
    shown,
    stream_body::Written,
    visit,
};

/// The ids of all interfaces offered here.
pub const OFFERED: [&str; 10] = [
    HostPresenceRef::ID,
    HostRosterRef::ID,
    HostSettingsRef::ID,
    HostDataRef::ID,
    HostTimersRef::ID,
    HostRecordsRef::ID,
    HostComponentRef::ID,
    HostStampsRef::ID,
    HostLogRef::ID,
    HostHttpRef::ID,
];

/// What a generation is started with.
pub fn query(context: &'static Context) -> HostQuery {
    HostQuery { context: HostContext::new(context), get }
}

extern "C" fn get(host: HostContext, id: RStr<'_>, want: &'static TypeLayout) -> ROption<Interface> {
    let context = context(host);
    if !context.is_granted(&id) {
        return ROption::RNone;
    }
    match catch_unwind(AssertUnwindSafe(|| offer(&id, want))) {
        Ok(Some(Ok(interface))) => ROption::RSome(interface),
        Ok(Some(Err(mismatch))) => {
            context.note_mismatch(mismatch);
            ROption::RNone
        }
        Ok(None) | Err(_) => ROption::RNone,
    }
}

fn offer(id: &str, want: &'static TypeLayout) -> Option<Result<Interface, LayoutMismatch>> {
    static PRESENCE: WithMetadata<HostPresence> =
        WithMetadata::new(HostPresence { read: read_presence, subscribe, unsubscribe });
    static ROSTER: WithMetadata<HostRoster> = WithMetadata::new(HostRoster { domain, parse_jid, relation });
    static SETTINGS: WithMetadata<HostSettings> =
        WithMetadata::new(HostSettings { declare, stored, migrated, read: read_setting });
    static DATA: WithMetadata<HostData> = WithMetadata::new(HostData { directory });
    static TIMERS: WithMetadata<HostTimers> = WithMetadata::new(HostTimers { set: set_timer, cancel: cancel_timer });
    static RECORDS: WithMetadata<HostRecords> =
        WithMetadata::new(HostRecords { read: records::read, list: records::list, change: records::change });
    static COMPONENT: WithMetadata<HostComponent> = WithMetadata::new(HostComponent { address, send });
    static STAMPS: WithMetadata<HostStamps> = WithMetadata::new(HostStamps { stamp });
    static LOG: WithMetadata<HostLog> = WithMetadata::new(HostLog { max_level, log: write_log });
    static HTTP: WithMetadata<HostHttp> =
        WithMetadata::new(HostHttp { respond, open, write, finish, abandon, is_waiting });
    Some(match id {
        HostPresenceRef::ID => Interface::for_user(HostPresenceRef(PRESENCE.static_as_prefix()), want),
        HostRosterRef::ID => Interface::for_user(HostRosterRef(ROSTER.static_as_prefix()), want),
        HostSettingsRef::ID => Interface::for_user(HostSettingsRef(SETTINGS.static_as_prefix()), want),
        HostDataRef::ID => Interface::for_user(HostDataRef(DATA.static_as_prefix()), want),
        HostTimersRef::ID => Interface::for_user(HostTimersRef(TIMERS.static_as_prefix()), want),
        HostRecordsRef::ID => Interface::for_user(HostRecordsRef(RECORDS.static_as_prefix()), want),
        HostComponentRef::ID => Interface::for_user(HostComponentRef(COMPONENT.static_as_prefix()), want),
        HostStampsRef::ID => Interface::for_user(HostStampsRef(STAMPS.static_as_prefix()), want),
        HostLogRef::ID => Interface::for_user(HostLogRef(LOG.static_as_prefix()), want),
        HostHttpRef::ID => Interface::for_user(HostHttpRef(HTTP.static_as_prefix()), want),
        _ => return None,
    })
}

fn context(host: HostContext) -> &'static Context {
    // SAFETY: `query` made the mark from a `&'static Context`, and a plugin can only pass on the one it was given.
    unsafe { host.value() }
}

/// The funnel of the host's side: a stopped generation is turned away, a panic becomes `FAILED`.
fn answer(host: HostContext, act: impl FnOnce(&'static Context) -> Status) -> Status {
    let context = context(host);
    if context.is_stopped() {
        return Status::CLOSED;
    }
    catch_unwind(AssertUnwindSafe(|| act(context))).unwrap_or(Status::FAILED)
}

/// As [`answer`], for functions whose error is a text.
fn explain(host: HostContext, act: impl FnOnce(&'static Context) -> Result<(), String>) -> RResult<(), RString> {
    let context = context(host);
    if context.is_stopped() {
        return RResult::RErr("the plugin has been stopped".into());
    }
    match catch_unwind(AssertUnwindSafe(|| act(context))) {
        Ok(result) => result.map_err(RString::from).into(),
        Err(_) => RResult::RErr("the host failed; its log says why".into()),
    }
}

extern "C" fn read_presence(host: HostContext, user: RStr<'_>, mut visitor: PresenceVisitor<'_>) -> Status {
    answer(host, |context| {
        visit::show(context.services.presence(), &user, &mut visitor);
        Status::OK
    })
}

extern "C" fn subscribe(host: HostContext, user: RStr<'_>, subscription: u64) -> Status {
    answer(host, |context| {
        context.changes.subscribe(context.services.presence(), &user, subscription);
        Status::OK
    })
}

extern "C" fn unsubscribe(host: HostContext, subscription: u64) -> Status {
    answer(host, |context| {
        context.changes.unsubscribe(subscription);
        Status::OK
    })
}

extern "C" fn domain(host: HostContext, out: &mut RString) -> Status {
    answer(host, |context| {
        out.push_str(context.services.domain());
        Status::OK
    })
}

extern "C" fn parse_jid(host: HostContext, text: RStr<'_>, out: &mut RString, parts: &mut JidParts) -> Status {
    answer(host, |context| {
        if let Some(domain) = crate::address::prepared_user(&text) {
            let local = u32::from(text[domain..] == *context.services.domain());
            *parts = JidParts { domain: domain as u32, bare: text.len() as u32, local };
            out.push_str(&text);
            return Status::OK;
        }
        let Ok(jid) = crate::address::jid(&text) else { return Status::INVALID };
        let bare = jid.as_str().find('/').unwrap_or(jid.as_str().len());
        *parts = JidParts {
            domain: jid.node().map_or(0, |node| node.as_str().len() as u32 + 1),
            bare: bare as u32,
            local: u32::from(jid.domain().as_str() == context.services.domain()),
        };
        out.push_str(jid.as_str());
        Status::OK
    })
}

extern "C" fn relation(host: HostContext, user: RStr<'_>, viewer: RStr<'_>, out: &mut RelationFlags) -> Status {
    answer(host, |context| match context.services.relation(&user, &viewer) {
        Ok(relation) => {
            *out = RelationFlags::default()
                .with(RelationFlags::ACCOUNT, relation.account)
                .with(RelationFlags::FROM, relation.from)
                .with(RelationFlags::TO, relation.to)
                .with(RelationFlags::BLOCKED, relation.blocked);
            Status::OK
        }
        Err(reason) => {
            log::error!("plugin {}: a roster could not be read: {reason}", context.manifest.id);
            Status::FAILED
        }
    })
}

extern "C" fn declare(host: HostContext, settings: RSlice<'_, SettingView<'_>>) -> RResult<(), RString> {
    explain(host, |context| context.declare(&settings))
}

extern "C" fn stored(host: HostContext, from: &mut u32, out: &mut RVec<StoredSetting>) -> Status {
    answer(host, |context| {
        if let Some((version, values)) = context.to_migrate() {
            *from = version;
            out.extend(
                values
                    .iter()
                    .map(|(name, value)| StoredSetting { name: name.as_str().into(), value: value.as_str().into() }),
            );
        }
        Status::OK
    })
}

extern "C" fn migrated(host: HostContext, values: RSlice<'_, SettingValue<'_>>) -> RResult<(), RString> {
    explain(host, |context| context.migrated(&values))
}

extern "C" fn read_setting(host: HostContext, name: RStr<'_>, out: &mut RString) -> Status {
    answer(host, |context| match context.setting(&name) {
        Some(value) => {
            out.push_str(&value);
            Status::OK
        }
        None => Status::UNKNOWN,
    })
}

extern "C" fn directory(host: HostContext, out: &mut RVec<u8>) -> Status {
    answer(host, |context| match context.services.data_directory(&context.manifest.id) {
        Ok(path) => {
            out.extend_from_copy_slice(path.as_os_str().as_bytes());
            Status::OK
        }
        Err(error) => {
            log::error!("plugin {}: no folder for its data: {error}", context.manifest.id);
            Status::FAILED
        }
    })
}

extern "C" fn set_timer(host: HostContext, timer: u64, milliseconds: u64) -> Status {
    answer(host, |context| match context.changes.set_timer(timer, Duration::from_millis(milliseconds)) {
        Ok(()) => Status::OK,
        Err(Untimed::Full) => Status::FULL,
        Err(Untimed::Stopped) => Status::CLOSED,
    })
}

extern "C" fn cancel_timer(host: HostContext, timer: u64) -> Status {
    answer(host, |context| if context.changes.cancel_timer(timer) { Status::OK } else { Status::UNKNOWN })
}

extern "C" fn address(host: HostContext, out: &mut RString) -> Status {
    answer(host, |context| {
        out.push_str(&services::address(&context.manifest.id, context.services.domain()));
        Status::OK
    })
}

extern "C" fn send(host: HostContext, stanza: RStr<'_>) -> Status {
    answer(host, |context| match context.services.send(&context.manifest.id, &stanza) {
        Ok(()) => Status::OK,
        Err(SendError::Full) => Status::FULL,
        Err(SendError::Refused(reason)) => {
            log::warn!("plugin {}: a stanza of it is not sent: {}", context.manifest.id, shown::line(&reason));
            Status::INVALID
        }
    })
}

extern "C" fn stamp(host: HostContext, user: RStr<'_>, out: &mut u64) -> Status {
    answer(host, |context| {
        *out = context.services.stamp(&user);
        Status::OK
    })
}

extern "C" fn max_level(_: HostContext) -> u8 {
    log::max_level() as u8
}

extern "C" fn write_log(host: HostContext, level: u8, target: RStr<'_>, message: RStr<'_>) {
    let level = log::Level::iter().nth(usize::from(level).saturating_sub(1)).unwrap_or(log::Level::Trace);
    let id = &context(host).manifest.id;
    // A logger that panics has nobody left to tell.
    let _ =
        catch_unwind(AssertUnwindSafe(|| log::log!(target: &format!("plugin::{id}::{target}"), level, "{message}")));
}

extern "C" fn respond(host: HostContext, token: u64, head: &ResponseHead<'_>, body: RSlice<'_, u8>) -> Status {
    answer(host, |context| match read_answer(head, &body) {
        Ok((status, fields, body)) => {
            let body = Body::Whole(body);
            done(context.exchanges.respond(token, Answer { status, fields, body }))
        }
        Err(reason) => malformed(context, token, &reason),
    })
}

extern "C" fn open(host: HostContext, token: u64, head: &ResponseHead<'_>) -> Status {
    answer(host, |context| match read_answer(head, &[]) {
        Ok((status, fields, _)) => {
            let ready = move || context.writable(token);
            done(context.exchanges.open(token, status, fields, ready))
        }
        Err(reason) => malformed(context, token, &reason),
    })
}

extern "C" fn write(host: HostContext, token: u64, chunk: RSlice<'_, u8>, wait: u32) -> Status {
    answer(host, |context| {
        let wait = Duration::from_millis(wait.into());
        match context.exchanges.write(token, Bytes::copy_from_slice(&chunk), wait) {
            Ok(Written::Queued) => Status::OK,
            Ok(Written::Full) => Status::FULL,
            Err(Closed) => Status::CLOSED,
        }
    })
}

extern "C" fn finish(host: HostContext, token: u64) -> Status {
    answer(host, |context| done(context.exchanges.finish(token)))
}

extern "C" fn abandon(host: HostContext, token: u64, reason: RStr<'_>) -> Status {
    answer(host, |context| done(context.exchanges.abandon(token, &reason)))
}

extern "C" fn is_waiting(host: HostContext, token: u64) -> Status {
    answer(host, |context| if context.exchanges.is_waiting(token) { Status::OK } else { Status::CLOSED })
}

fn done(result: Result<(), Closed>) -> Status {
    result.map_or(Status::CLOSED, |()| Status::OK)
}

fn malformed(context: &Context, token: u64, reason: &str) -> Status {
    done(context.exchanges.abandon(token, reason));
    Status::INVALID
}

/// What an answer consists of.
type Parts = (StatusCode, Vec<fields::Parsed>, Bytes);

/// Reads the head of an answer and copies its body.
fn read_answer(head: &ResponseHead<'_>, body: &[u8]) -> Result<Parts, String> {
    let status = StatusCode::from_u16(head.status).ok().filter(|status| status.as_u16() >= 200);
    let status = status.ok_or_else(|| format!("{} is no status of a response", head.status))?;
    Ok((status, fields::read(&head.fields)?, Bytes::copy_from_slice(body)))
}

/// Proof that the statics above stand for what their ids say.
#[cfg(test)]
mod tests {
    use std::path::Path;

    use abi_stable::StableAbi;
    use plugin_api::{abi::host_settings::KindCode, manifest::Manifest};

    use super::*;
    use crate::plugin::{mark::Mark, services::Nobody, settings::Plan};

    fn fits<T: Table>() -> bool {
        matches!(offer(T::ID, T::LAYOUT), Some(Ok(_)))
    }

    #[test]
    fn every_offered_interface_fits_its_own_definition() {
        assert!(fits::<HostPresenceRef>() && fits::<HostRosterRef>() && fits::<HostSettingsRef>());
        assert!(fits::<HostDataRef>() && fits::<HostRecordsRef>() && fits::<HostTimersRef>());
        assert!(fits::<HostComponentRef>() && fits::<HostStampsRef>());
        assert!(fits::<HostLogRef>() && fits::<HostHttpRef>());
        assert!(OFFERED.iter().all(|id| offer(id, HostLogRef::LAYOUT).is_some()));
    }

    #[test]
    fn another_shape_is_refused() {
        assert!(matches!(offer(HostPresenceRef::ID, <HostLogRef as StableAbi>::LAYOUT), Some(Err(_))));
        assert!(offer("host.presence/2", <HostPresenceRef as StableAbi>::LAYOUT).is_none());
    }

    pub(super) fn running() -> &'static Context {
        let manifest = Manifest::parse(b"id=late\nversion=1\nabi=0.1\ntarget=t\n").unwrap();
        let mark = Mark::new(&manifest, Path::new("/nowhere.so"));
        Context::new(manifest, "late#1".into(), Nobody::new("/nowhere".into()), Plan::Follow, mark)
    }

    pub(super) fn stopped() -> &'static Context {
        let context = running();
        context.stop();
        context
    }

    #[test]
    fn a_stopped_generation_is_answered_closed_by_every_function() {
        let context = stopped();
        let host = HostContext::new(context);
        let head = ResponseHead { fields: RSlice::EMPTY, status: 200 };
        let (mut text, mut bytes, mut parts, mut flags, mut from, mut values, mut number) = Default::default();
        let visited = PresenceVisitor::lend(
            |_| panic!("shown to a stopped plugin"),
            |visitor| read_presence(host, "ann@x".into(), visitor),
        );
        let answers = [
            visited,
            subscribe(host, "".into(), 1),
            unsubscribe(host, 1),
            domain(host, &mut text),
            parse_jid(host, "ann@x".into(), &mut text, &mut parts),
            relation(host, "ann@x".into(), "".into(), &mut flags),
            stored(host, &mut from, &mut values),
            read_setting(host, "tone".into(), &mut text),
            directory(host, &mut bytes),
            set_timer(host, 1, 0),
            cancel_timer(host, 1),
            address(host, &mut text),
            send(host, "<message to='ann@x' from='late.x'/>".into()),
            stamp(host, "ann@x".into(), &mut number),
            respond(host, 0, &head, RSlice::EMPTY),
            open(host, 0, &head),
            write(host, 0, RSlice::EMPTY, 0),
            finish(host, 0),
            abandon(host, 0, "late".into()),
            is_waiting(host, 0),
        ];
        assert_eq!(answers, [Status::CLOSED; 20]);
        assert!(text.is_empty() && bytes.is_empty());
    }

    #[test]
    fn a_stopped_generation_declares_nothing() {
        let context = stopped();
        let (name, kind) = ("tone".into(), KindCode::TEXT);
        let (default, label, help) = ("".into(), "".into(), "".into());
        let view = SettingView { name, default, label, help, choices: RSlice::EMPTY, minimum: 0, maximum: 0, kind };
        let host = HostContext::new(context);
        let refused = declare(host, RSlice::from_slice(&[view]));
        assert_eq!(refused, migrated(host, RSlice::EMPTY));
        assert_eq!(refused, RResult::RErr("the plugin has been stopped".into()));
        assert!(context.declared().is_empty());
        // The log is open for ever.
        write_log(HostContext::new(context), 5, "late".into(), "still there".into());
    }
}
