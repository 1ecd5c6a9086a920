//! The frozen root: the only two functions looked up in a plugin, and how both sides ask for interfaces.

#![allow(unsafe_code, reason = "casts between a table and its opaque pointer, guarded by id and layout")]

use abi_stable::{
    StableAbi,
    abi_stability::abi_checking::{CheckingGlobals, check_layout_compatibility_with_globals},
    library::RootModule,
    package_version_strings,
    prefix_type::{PrefixRef, PrefixRefTrait, WithMetadata_},
    sabi_types::VersionStrings,
    std_types::{ROption, RResult, RStr, RString},
    type_layout::TypeLayout,
};

/// A pointer to the table of one interface, with the layout that its implementer compiled.
#[repr(C)]
#[derive(Clone, Copy, StableAbi)]
pub struct Interface {
    table: *const (),
    layout: &'static TypeLayout,
}

// SAFETY: the table is immutable, lives as long as the process and holds only function pointers.
unsafe impl Send for Interface {}
// SAFETY: as for Send.
unsafe impl Sync for Interface {}

/// The reference type of a table that stands behind a numbered interface.
pub trait Table: PrefixRefTrait + StableAbi + Copy + 'static {
    /// The interface's id, `owner.name/number`.
    const ID: &'static str;
}

/// The tables of a host and a plugin that were compiled from different definitions of one interface.
#[derive(Clone, Debug)]
pub struct LayoutMismatch {
    /// The interface's id.
    pub id: &'static str,
    /// The differences, separated by semicolons.
    pub differences: String,
}

impl Interface {
    /// Offers `table`.
    pub fn of<T: Table>(table: T) -> Interface {
        Interface { table: table.to_prefix_ref().to_raw_ptr().cast(), layout: T::LAYOUT }
    }

    /// The table behind a pointer that the **plugin** implements, after a check of its layout against the caller's view.
    pub fn checked<T: Table>(self) -> Result<T, LayoutMismatch> {
        check::<T>(T::LAYOUT, self.layout)?;
        // SAFETY: the layout says that a table of this shape stands there; tables live as long as the process.
        Ok(unsafe { self.table_as() })
    }

    /// This offer, if a user that compiled the layout `want` can use the table `T` of the caller, who implements it.
    pub fn for_user<T: Table>(table: T, want: &'static TypeLayout) -> Result<Interface, LayoutMismatch> {
        check::<T>(want, T::LAYOUT)?;
        Ok(Interface::of(table))
    }

    /// The table behind a pointer that the host checked against the layout the caller passed to [`HostQuery::ask`].
    fn checked_by_host<T: Table>(self) -> T {
        // SAFETY: the host answered for the layout of `T` (`Interface::for_user`).
        unsafe { self.table_as() }
    }

    /// # Safety
    /// The pointer must stand for a table of the layout of `T`.
    unsafe fn table_as<T: Table>(self) -> T {
        // SAFETY: promised by the caller; `PrefixRef` is a transparent pointer to the table.
        T::from_prefix_ref(unsafe {
            PrefixRef::from_raw(self.table.cast::<WithMetadata_<T::PrefixFields, T::PrefixFields>>())
        })
    }
}

fn check<T: Table>(interface: &'static TypeLayout, implementation: &'static TypeLayout) -> Result<(), LayoutMismatch> {
    // Without a memory: by abi_stable's own, which grows with each library, a plugin would also have to fit to all that were loaded before.
    let alone = CheckingGlobals::new();
    check_layout_compatibility_with_globals(interface, implementation, &alone).map_err(|errors| LayoutMismatch {
        id: T::ID,
        differences: errors
            .to_string()
            .lines()
            .filter_map(|line| line.strip_prefix("Error:").map(str::trim))
            .collect::<Vec<_>>()
            .join("; "),
    })
}

/// The host's own mark for one generation of a plugin. Opaque to the plugin, which passes it back with every call.
#[repr(transparent)]
#[derive(Clone, Copy, StableAbi)]
pub struct HostContext(*const ());

// SAFETY: the plugin only carries the pointer; what it points to is shared and lives as long as the process.
unsafe impl Send for HostContext {}
// SAFETY: as for Send.
unsafe impl Sync for HostContext {}

impl HostContext {
    /// Marks a generation by a value that lives as long as the process.
    pub fn new<T: Sync>(value: &'static T) -> HostContext {
        HostContext(std::ptr::from_ref(value).cast())
    }

    /// The value behind the mark.
    ///
    /// # Safety
    /// The mark must have been made by [`HostContext::new`] from a `T`, as a host's is when it comes back from its plugin.
    pub unsafe fn value<T: Sync>(self) -> &'static T {
        // SAFETY: promised by the caller.
        unsafe { &*self.0.cast() }
    }
}

/// How a plugin asks the host for interfaces.
#[repr(C)]
#[derive(Clone, Copy, StableAbi)]
pub struct HostQuery {
    /// The host's mark for this generation.
    pub context: HostContext,
    /// Answers the table of an interface in the shape that the plugin compiled; `RNone` when the host does not offer it, or not
    /// in this shape, or when the manifest does not name it as needed.
    ///
    /// - Called: from `start`, or later. Threads: any. Owned: the table lives as long as the process.
    pub get: extern "C" fn(context: HostContext, id: RStr<'_>, want: &'static TypeLayout) -> ROption<Interface>,
}

impl HostQuery {
    /// Asks for the table `T`. Only for queries that came from a host, whose word on the layout is believed.
    pub(crate) fn ask<T: Table>(&self) -> Option<T> {
        (self.get)(self.context, T::ID.into(), T::LAYOUT).into_option().map(Interface::checked_by_host)
    }
}

/// What a plugin exports. Frozen (rule 1 of the policy).
#[repr(C)]
#[derive(StableAbi)]
#[sabi(kind(Prefix(prefix_ref = RootRef, prefix_fields = RootPrefix)))]
#[sabi(missing_field(panic))]
pub struct Root {
    /// Answers the table of a `plugin.*` interface that this plugin implements.
    ///
    /// - Called: by the host, after `start` returned. Threads: any. Owned: the table lives as long as the process.
    pub query: extern "C" fn(id: RStr<'_>) -> ROption<Interface>,
    /// Makes the plugin: settings declared, its `start` run, its routes known. The error is for the administrator.
    ///
    /// - Called: once, first. Threads: one, which the plugin may block for 10 s. Owned: `host` is a copy.
    #[sabi(last_prefix_field)]
    pub start: extern "C" fn(host: HostQuery) -> RResult<(), RString>,
}

/// The root offers itself, so that its layout is checked as that of every table. It is not in the library's header, where abi_stable would
/// keep it: that is a constant of the author's crate, with ten kilobytes of layouts of its own.
impl Table for RootRef {
    const ID: &'static str = "plugin.root/1";
}

impl RootModule for RootRef {
    abi_stable::declare_root_module_statics! {RootRef}
    const BASE_NAME: &'static str = "plugin";
    const NAME: &'static str = "plugin";
    const VERSION_STRINGS: VersionStrings = package_version_strings!();
}
