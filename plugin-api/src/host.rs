//! The server, as its plugin sees it.

use std::{ffi::OsString, os::unix::ffi::OsStringExt, path::PathBuf, sync::OnceLock, time::Duration};

use abi_stable::std_types::{RResult, RSlice, RString, RVec};

use crate::{
    Error, Jid, Presence, Result, Setting, SettingsMap, Snapshot,
    abi::{
        host_component::HostComponentRef,
        host_data::HostDataRef,
        host_http::HostHttpRef,
        host_log::HostLogRef,
        host_presence::HostPresenceRef,
        host_records::HostRecordsRef,
        host_roster::{HostRosterRef, JidParts, RelationFlags},
        host_settings::{HostSettingsRef, SettingValue, SettingView},
        host_stamps::HostStampsRef,
        host_timers::HostTimersRef,
        root::{HostContext, HostQuery, Table},
        visitor::PresenceVisitor,
        wire::Status,
    },
    subscription::{self, Change, Subscription},
    timer::{self, Timer},
};

/// What the host offers to this plugin. Every library has its own copy of this crate, so it is the plugin's own.
static TABLES: OnceLock<Tables> = OnceLock::new();

/// The server that runs this plugin. Copy it wherever it is needed; its methods may be called from any thread.
///
/// A method whose interface the plugin's manifest does not name among its needs answers an error that says so. After
/// the plugin has been stopped all methods answer errors.
#[derive(Clone, Copy)]
pub struct Host(&'static Tables);

pub(crate) struct Tables {
    pub(crate) context: HostContext,
    pub(crate) http: HostHttpRef,
    log: HostLogRef,
    presence: Option<HostPresenceRef>,
    roster: Option<HostRosterRef>,
    settings: Option<HostSettingsRef>,
    data: Option<HostDataRef>,
    timers: Option<HostTimersRef>,
    pub(crate) records: Option<HostRecordsRef>,
    pub(crate) component: Option<HostComponentRef>,
    stamps: Option<HostStampsRef>,
}

/// What a user lets a viewer see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Relation {
    /// The user has an account on this server.
    pub account: bool,
    /// The viewer holds a subscription to the user's presence.
    pub from: bool,
    /// The user holds a subscription to the viewer's presence.
    pub to: bool,
    /// The user blocks the viewer (XEP-0191).
    pub blocked: bool,
}

impl Host {
    /// Takes what the host offers; called once, by the funnel of `start`.
    pub(crate) fn connect(query: &HostQuery) -> Result<Host> {
        let log = query.ask().ok_or_else(|| missing(HostLogRef::ID))?;
        let http = query.ask().ok_or_else(|| missing(HostHttpRef::ID))?;
        let (presence, roster, settings, data) = (query.ask(), query.ask(), query.ask(), query.ask());
        let (timers, records, component, stamps) = (query.ask(), query.ask(), query.ask(), query.ask());
        let context = query.context;
        let tables =
            Tables { context, http, log, presence, roster, settings, data, timers, records, component, stamps };
        if TABLES.set(tables).is_err() {
            return Err(Error::new("this copy of the library was started before"));
        }
        Host::current().ok_or_else(|| missing(HostLogRef::ID))
    }

    /// The host, once the plugin has been started.
    pub(crate) fn current() -> Option<Host> {
        TABLES.get().map(Host)
    }

    pub(crate) fn tables(self) -> &'static Tables {
        self.0
    }

    /// The domain that this server serves.
    pub fn domain(self) -> Result<String> {
        let mut domain = RString::new();
        let roster = self.need(self.0.roster)?;
        done(roster.domain()(self.0.context, &mut domain))?;
        Ok(domain.into())
    }

    /// Reads an address of any server, bare or full, and normalises it (RFC 7622). The error is the client's fault (400).
    pub fn jid(self, text: &str) -> Result<Jid> {
        let roster = self.need(self.0.roster)?;
        let (mut normal, mut parts) = (RString::new(), JidParts::default());
        match roster.parse_jid()(self.0.context, text.into(), &mut normal, &mut parts) {
            Status::OK => {
                Jid::from_parts(normal.into(), parts).ok_or_else(|| Error::new("the host's parts of a JID are wrong"))
            }
            Status::INVALID => Err(Error::bad_request("not a JID")),
            other => Err(refused(other)),
        }
    }

    /// The address of a user of this server by its localpart. The error is the client's fault (400).
    pub fn local_jid(self, localpart: &str) -> Result<Jid> {
        if localpart.contains(['@', '/']) {
            return Err(Error::bad_request("not a localpart of a JID"));
        }
        self.jid(&format!("{localpart}@{}", self.domain()?))
    }

    /// What `user` lets `viewer` see; without a viewer, what is true for strangers. Resources do not count.
    pub fn relation(self, user: &Jid, viewer: Option<&Jid>) -> Result<Relation> {
        let roster = self.need(self.0.roster)?;
        let mut flags = RelationFlags::default();
        let viewer = viewer.map_or("", Jid::bare);
        done(roster.relation()(self.0.context, user.bare().into(), viewer.into(), &mut flags))?;
        Ok(Relation {
            account: flags.has(RelationFlags::ACCOUNT),
            from: flags.has(RelationFlags::FROM),
            to: flags.has(RelationFlags::TO),
            blocked: flags.has(RelationFlags::BLOCKED),
        })
    }

    /// The presence of a user at this moment, in short. Nobody is asked whether the caller may know it: see
    /// [`relation`](Host::relation).
    pub fn presence(self, user: &Jid) -> Result<Snapshot> {
        self.with_presence(user, |presence| presence.snapshot())
    }

    /// Lends the whole presence of a user to `read`, without a copy.
    pub fn with_presence<R>(self, user: &Jid, read: impl FnOnce(Presence<'_>) -> R) -> Result<R> {
        let table = self.need(self.0.presence)?;
        let (mut read, mut result) = (Some(read), None);
        let status = PresenceVisitor::lend(
            |view| result = read.take().map(|read| read(Presence::new(view))),
            |visitor| table.read()(self.0.context, user.bare().into(), visitor),
        );
        done(status)?;
        result.ok_or_else(|| Error::new("the host did not show the presence it read"))
    }

    /// The stamp of `user`: as long as it is the same, so is all that this host tells of the user to whom no viewer is named. That is the
    /// [presence](Host::presence), whether there is an account ([`relation`](Host::relation) without a viewer), and those
    /// [records](Host::record) of this plugin that the user owns.
    ///
    /// To keep what was made of them, take the stamp before they are read, and look later whether it is the same. It may be another without a
    /// change. An error: this host has no stamps, and nothing can be kept.
    pub fn stamp(self, user: &str) -> Result<u64> {
        let table = self.need(self.0.stamps)?;
        let mut stamp = 0;
        done(table.stamp()(self.0.context, user.into(), &mut stamp))?;
        Ok(stamp)
    }

    /// Calls `told` after each change of the presence of `user`, or of everybody, until the subscription is dropped.
    ///
    /// Calls come one at a time, on a thread of this plugin. Changes of one user that come faster than they are told are told
    /// once, so read the presence there: it is the newest.
    pub fn subscribe(
        self,
        user: Option<&Jid>,
        told: impl Fn(&Change<'_>) + Send + Sync + 'static,
    ) -> Result<Subscription> {
        let table = self.need(self.0.presence)?;
        let subscription = subscription::add(self, told);
        done(table.subscribe()(self.0.context, user.map_or("", Jid::bare).into(), subscription.number()))?;
        Ok(subscription)
    }

    pub(crate) fn unsubscribe(self, subscription: u64) {
        if let Some(table) = self.0.presence {
            // The host may have stopped this plugin already: then there is nothing left to end.
            table.unsubscribe()(self.0.context, subscription);
        }
    }

    /// Calls `due` when `delay` has passed, never before, unless the timer is dropped first; of delays longer than a year a year is enough.
    ///
    /// Calls come one at a time, on the thread on which this plugin is told of changes of presence: what blocks there keeps the others waiting.
    /// A plugin can have 10,000 timers at a time; with more, this is an error.
    pub fn after(self, delay: Duration, due: impl FnOnce() + Send + 'static) -> Result<Timer> {
        let table = self.need(self.0.timers)?;
        // Part of a millisecond is one: a timer is never early.
        let milliseconds = u64::try_from(delay.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX);
        let timer = timer::add(self, due);
        done(table.set()(self.0.context, timer.number(), milliseconds))?;
        Ok(timer)
    }

    pub(crate) fn cancel(self, timer: u64) {
        if let Some(table) = self.0.timers {
            // It may be due at this moment, or the plugin stopped: then there is nothing left to cancel.
            table.cancel()(self.0.context, timer);
        }
    }

    pub(crate) fn declare(self, settings: &[Setting]) -> Result<()> {
        let table = self.need(self.0.settings)?;
        let views: Vec<SettingView<'_>> = settings.iter().map(Setting::view).collect();
        match table.declare()(self.0.context, RSlice::from_slice(&views)) {
            RResult::ROk(()) => Ok(()),
            RResult::RErr(reason) => Err(Error::new(reason)),
        }
    }

    /// The version of the settings that are to be migrated, and their values. `None`: nothing is.
    pub(crate) fn stored_settings(self) -> Result<Option<(u32, SettingsMap)>> {
        let table = self.need(self.0.settings)?;
        let (mut from, mut stored) = (0, RVec::new());
        done(table.stored()(self.0.context, &mut from, &mut stored))?;
        Ok((from > 0).then(|| (from, stored.into_iter().map(|setting| (setting.name, setting.value)).collect())))
    }

    pub(crate) fn migrated(self, settings: &SettingsMap) -> Result<()> {
        let table = self.need(self.0.settings)?;
        let values = settings.iter().map(|(name, value)| SettingValue { name: name.into(), value: value.into() });
        let values: Vec<_> = values.collect();
        match table.migrated()(self.0.context, RSlice::from_slice(&values)) {
            RResult::ROk(()) => Ok(()),
            RResult::RErr(reason) => Err(Error::new(reason)),
        }
    }

    /// The value of a setting that the plugin declared: the administrator's, or the default. It satisfies the declaration.
    pub fn setting(self, name: &str) -> Result<String> {
        let table = self.need(self.0.settings)?;
        let mut value = RString::new();
        match table.read()(self.0.context, name.into(), &mut value) {
            Status::OK => Ok(value.into()),
            Status::UNKNOWN => Err(Error::new(format!("no setting {name:?} was declared"))),
            other => Err(refused(other)),
        }
    }

    /// A folder of this plugin's own, which survives upgrades, restarts and undeployment.
    pub fn data_directory(self) -> Result<PathBuf> {
        let table = self.need(self.0.data)?;
        let mut path = RVec::new();
        done(table.directory()(self.0.context, &mut path))?;
        Ok(PathBuf::from(OsString::from_vec(path.into())))
    }

    pub(crate) fn max_log_level(self) -> u8 {
        self.0.log.max_level()(self.0.context)
    }

    pub(crate) fn log(self, level: u8, target: &str, message: &str) {
        self.0.log.log()(self.0.context, level, target.into(), message.into());
    }

    pub(crate) fn need<T: Table>(self, table: Option<T>) -> Result<T> {
        table.ok_or_else(|| missing(T::ID))
    }
}

fn missing(id: &str) -> Error {
    let short = id.trim_start_matches("host.").split('/').next().unwrap_or(id);
    Error::new(format!("{id} was not given to this plugin: name it in export_plugin!(.., needs = [{short}])"))
}

pub(crate) fn done(status: Status) -> Result<()> {
    if status == Status::OK { Ok(()) } else { Err(refused(status)) }
}

pub(crate) fn refused(status: Status) -> Error {
    Error::new(match status {
        Status::INVALID => "the host did not take an argument",
        Status::UNKNOWN => "the host knows no such thing",
        Status::CLOSED => "the plugin has been stopped",
        Status::FULL => "the host has no room for more",
        _ => "the host failed; its log says why",
    })
}

/// A host for the tests of this crate.
#[cfg(test)]
pub(crate) mod tests {
    use abi_stable::{prefix_type::PrefixTypeTrait, std_types::RStr};

    use super::*;
    use crate::abi::{
        host_http::{HostHttp, ResponseHead},
        host_log::HostLog,
    };

    /// Streams with this bit in their token are closed, all others full; requests with it are given up.
    pub(crate) const IS_CLOSED: u64 = 1 << 63;

    extern "C" fn respond(_: HostContext, _: u64, _: &ResponseHead<'_>, _: RSlice<'_, u8>) -> Status {
        Status::CLOSED
    }
    extern "C" fn open(_: HostContext, _: u64, _: &ResponseHead<'_>) -> Status {
        Status::OK
    }
    extern "C" fn write(_: HostContext, token: u64, _: RSlice<'_, u8>, _: u32) -> Status {
        if token & IS_CLOSED == 0 { Status::FULL } else { Status::CLOSED }
    }
    extern "C" fn finish(_: HostContext, _: u64) -> Status {
        Status::OK
    }
    extern "C" fn abandon(_: HostContext, _: u64, _: RStr<'_>) -> Status {
        Status::CLOSED
    }
    extern "C" fn is_waiting(_: HostContext, token: u64) -> Status {
        if token & IS_CLOSED == 0 { Status::OK } else { Status::CLOSED }
    }
    extern "C" fn max_level(_: HostContext) -> u8 {
        0
    }
    extern "C" fn log(_: HostContext, _: u8, _: RStr<'_>, _: RStr<'_>) {}

    /// What every plugin gets, and nothing else.
    fn tables() -> Tables {
        let http = HostHttp { respond, open, write, finish, abandon, is_waiting }.leak_into_prefix();
        let log = HostLog { max_level, log }.leak_into_prefix();
        let (presence, roster, settings, data) = (None, None, None, None);
        let (timers, records, component, stamps) = (None, None, None, None);
        let context = HostContext::new(&());
        Tables { context, http, log, presence, roster, settings, data, timers, records, component, stamps }
    }

    /// A host that offers it.
    pub(crate) fn host() -> Host {
        Host(Box::leak(Box::new(tables())))
    }

    /// One that has started the plugin.
    pub(crate) fn current() -> Host {
        Host(TABLES.get_or_init(tables))
    }
}
