//! `host.settings/1`: what the administrator can set. The plugin declares, the host stores, validates and draws the form.

use abi_stable::{
    StableAbi,
    std_types::{RResult, RSlice, RStr, RString, RVec},
};

use super::{
    root::{HostContext, Table},
    wire::Status,
};

/// What a setting holds.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, StableAbi)]
pub struct KindCode(pub u8);

impl KindCode {
    /// One line of text, at most 1,024 bytes.
    pub const TEXT: KindCode = KindCode(0);
    /// One of `choices`.
    pub const CHOICE: KindCode = KindCode(1);
    /// A whole number from `minimum` to `maximum`.
    pub const INTEGER: KindCode = KindCode(2);
    /// `true` or `false`.
    pub const BOOLEAN: KindCode = KindCode(3);
    /// Host names separated by commas; may be empty.
    pub const HOSTS: KindCode = KindCode(4);
    /// IP addresses separated by commas; may be empty.
    pub const ADDRESSES: KindCode = KindCode(5);
}

/// The declaration of one setting.
#[repr(C)]
#[derive(Clone, Copy, StableAbi)]
pub struct SettingView<'a> {
    /// Its name within the plugin: `a-z`, `0-9`, `_`.
    pub name: RStr<'a>,
    /// The value before the administrator set one, and again after an empty one was set.
    pub default: RStr<'a>,
    /// What a form calls it.
    pub label: RStr<'a>,
    /// One or two sentences for the administrator.
    pub help: RStr<'a>,
    /// The values of a choice.
    pub choices: RSlice<'a, RStr<'a>>,
    /// The lower bound of a whole number.
    pub minimum: i64,
    /// The upper bound of a whole number.
    pub maximum: i64,
    /// What it holds.
    pub kind: KindCode,
}

/// A value that was set, given away.
#[repr(C)]
#[derive(Clone, Debug, PartialEq, Eq, StableAbi)]
pub struct StoredSetting {
    /// The setting's name within the plugin.
    pub name: RString,
    /// Its value.
    pub value: RString,
}

/// A value that was set, lent.
#[repr(C)]
#[derive(Clone, Copy, StableAbi)]
pub struct SettingValue<'a> {
    /// The setting's name within the plugin.
    pub name: RStr<'a>,
    /// Its value.
    pub value: RStr<'a>,
}

/// The functions of `host.settings/1`.
#[repr(C)]
#[derive(StableAbi)]
#[sabi(kind(Prefix(prefix_ref = HostSettingsRef, prefix_fields = HostSettingsPrefix)))]
#[sabi(missing_field(panic))]
pub struct HostSettings {
    /// Declares all settings of the plugin, replacing what an earlier generation declared. The error names the bad one.
    ///
    /// - Called: once, from `start`. Threads: that of `start`. Owned: the host copies.
    pub declare: extern "C" fn(HostContext, settings: RSlice<'_, SettingView<'_>>) -> RResult<(), RString>,
    /// Appends the value of a declared setting: the administrator's, or the default.
    ///
    /// - Called: after `declare`. Threads: any; never blocks. Owned: `out` stays the caller's.
    #[sabi(last_prefix_field)]
    pub read: extern "C" fn(HostContext, name: RStr<'_>, out: &mut RString) -> Status,
    /// Whether the values that were set are of an older version of the settings than the manifest names, and are to be migrated: `from`
    /// is that version, and the values are appended. 0: nothing is to be migrated.
    ///
    /// - Called: from `start`, after `declare`. Threads: that of `start`. Owned: `from` and `out` stay the caller's.
    pub stored: extern "C" fn(HostContext, from: &mut u32, out: &mut RVec<StoredSetting>) -> Status,
    /// Gives all values as the migration left them; those left out are unset. From here on `read` goes by them. The host stores them if this
    /// version comes into service, together with its number, and forgets them if not. The error names a value that its
    /// declaration does not take.
    ///
    /// - Called: once, from `start`, if `stored` said so. Threads: that of `start`. Owned: the host copies.
    pub migrated: extern "C" fn(HostContext, values: RSlice<'_, SettingValue<'_>>) -> RResult<(), RString>,
}

impl Table for HostSettingsRef {
    const ID: &'static str = "host.settings/1";
}
