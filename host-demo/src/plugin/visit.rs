//! Shows the presence of a user to a plugin's visitor.
//!
//! The plugin sees a copy: were it shown the table's own, one that never returned from its visitor would keep all that is replaced
//! meanwhile from being freed. The copy is made in memory that the thread keeps for the next one.

use std::cell::Cell;

use abi_stable::std_types::{RSlice, RStr};
use plugin_api::abi::{
    host_presence::{PresenceView, ResourceView, ShowCode},
    visitor::PresenceVisitor,
};

use crate::presence::{Resource, Show, Source, UserPresence};

/// The most bytes that a thread keeps for its next copy.
const MOST_KEPT: usize = 4 * 1024;
/// So many resources are shown without memory of their own.
const FEW: usize = 8;
const EMPTY: ResourceView<'static> =
    ResourceView { name: RStr::empty(), status: RStr::empty(), since: 0, show: ShowCode::AVAILABLE, priority: 0 };

thread_local! {
    /// The memory of this thread's last copy. A visitor that reads again finds none, and leaves its own.
    static SEEN: Cell<UserPresence> = const { Cell::new(UserPresence::NOBODY) };
}

/// Shows the presence of `user` at this moment; an unknown user as one who never came online.
pub fn show(source: &dyn Source, user: &str, visitor: &mut PresenceVisitor<'_>) {
    let mut seen = SEEN.try_with(Cell::take).unwrap_or_default();
    source.read_into(user, &mut seen);
    visit(&seen, visitor);
    if seen.capacity() <= MOST_KEPT {
        // A thread that ends has no place for it any more.
        let _ = SEEN.try_with(|place| place.set(seen));
    }
}

fn visit(presence: &UserPresence, visitor: &mut PresenceVisitor<'_>) {
    let mut few = [const { EMPTY }; FEW];
    let many: Vec<ResourceView<'_>>;
    let resources = match few.get_mut(..presence.count()) {
        Some(few) => {
            few.iter_mut().zip(presence.resources()).for_each(|(view, resource)| *view = resource_view(resource));
            &*few
        }
        None => {
            many = presence.resources().map(resource_view).collect();
            &many
        }
    };
    let (last_status, last_since) = (presence.last_status().into(), presence.last_since());
    visitor.visit(&PresenceView { resources: RSlice::from_slice(resources), last_status, last_since });
}

fn resource_view(resource: Resource<'_>) -> ResourceView<'_> {
    ResourceView {
        name: resource.name.into(),
        status: resource.status.into(),
        since: resource.since,
        show: match resource.show {
            Show::Available => ShowCode::AVAILABLE,
            Show::Chat => ShowCode::CHAT,
            Show::Away => ShowCode::AWAY,
            Show::Xa => ShowCode::XA,
            Show::Dnd => ShowCode::DND,
        },
        priority: resource.priority,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::presence::Table;

    const PHONE: Resource<'_> = Resource { name: "phone", show: Show::Away, priority: 5, status: "", since: 7 };

    fn seen(table: &Table, mut look: impl FnMut(&PresenceView<'_>)) {
        PresenceVisitor::lend(&mut look, |mut visitor| show(table, "ann@x", &mut visitor));
    }

    /// Pages of this process in memory, proc_pid_statm(5).
    fn resident_bytes() -> usize {
        let statm = fs::read_to_string("/proc/self/statm").unwrap();
        statm.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok()).unwrap() * 4_096
    }

    /// A plugin may never return from its visitor. Were all that is replaced meanwhile kept, it would be 400 MB.
    #[test]
    fn a_visitor_keeps_nothing_but_its_copy() {
        let (table, status) = (Table::default(), "x".repeat(4_096));
        table.set("ann@x", Resource { status: &status, ..PHONE });
        let mut grown = 0;
        seen(&table, |view| {
            let before = resident_bytes();
            (0..100_000).for_each(|_| table.set("ann@x", Resource { status: &status, ..PHONE }));
            grown = resident_bytes().saturating_sub(before);
            assert_eq!(view.resources[0].status.as_str(), status);
        });
        assert!(grown < 200 << 20, "{grown} bytes are kept");
    }

    #[test]
    fn a_visitor_that_reads_again_sees_what_is_there_by_then() {
        let table = Table::default();
        table.set("ann@x", PHONE);
        let mut shown = Vec::new();
        seen(&table, |outer| {
            table.set("ann@x", Resource { name: "desk", ..PHONE });
            seen(&table, |inner| shown.push(inner.resources.len()));
            shown.push(outer.resources.len());
        });
        assert_eq!(shown, [2, 1]);
    }

    #[test]
    fn many_resources_are_shown_in_their_order() {
        let table = Table::default();
        let names: Vec<_> = (0..2 * FEW).map(|number| number.to_string()).collect();
        names.iter().for_each(|name| table.set("ann@x", Resource { name, ..PHONE }));
        seen(&table, |view| assert!(view.resources.iter().map(|resource| resource.name.as_str()).eq(&names)));
    }
}
