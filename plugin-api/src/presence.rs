//! Presence as a plugin sees it (RFC 6121 section 4).

use std::{cmp::Reverse, fmt};

use crate::abi::host_presence::{PresenceView, ResourceView, ShowCode};

/// The availability of a resource, from most to least reachable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Show {
    /// Plainly available.
    Available,
    /// Wants to chat.
    Chat,
    /// Away for a moment.
    Away,
    /// Away for longer.
    Xa,
    /// Do not disturb.
    Dnd,
}

impl Show {
    /// The word that the protocol has for it; `available` has none there and is our own.
    pub fn as_str(self) -> &'static str {
        match self {
            Show::Available => "available",
            Show::Chat => "chat",
            Show::Away => "away",
            Show::Xa => "xa",
            Show::Dnd => "dnd",
        }
    }

    fn from_code(code: ShowCode) -> Show {
        match code {
            ShowCode::CHAT => Show::Chat,
            ShowCode::AWAY => Show::Away,
            ShowCode::XA => Show::Xa,
            ShowCode::DND => Show::Dnd,
            _ => Show::Available,
        }
    }
}

impl fmt::Display for Show {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

/// One available resource, borrowed from the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resource<'a> {
    /// The resourcepart.
    pub name: &'a str,
    /// Its availability.
    pub show: Show,
    /// Its priority.
    pub priority: i8,
    /// Its status text as sent; empty when none.
    pub status: &'a str,
    /// When this presence was received, in milliseconds since the Unix epoch.
    pub since: u64,
}

impl<'a> Resource<'a> {
    fn from_view(view: &'a ResourceView<'a>) -> Resource<'a> {
        Resource {
            name: view.name.as_str(),
            show: Show::from_code(view.show),
            priority: view.priority,
            status: view.status.as_str(),
            since: view.since,
        }
    }
}

/// A user's presence, borrowed from the host for the length of a visit.
#[derive(Clone, Copy)]
pub struct Presence<'a>(&'a PresenceView<'a>);

impl<'a> Presence<'a> {
    pub(crate) fn new(view: &'a PresenceView<'a>) -> Presence<'a> {
        Presence(view)
    }

    /// The available resources, oldest presence first.
    pub fn resources(self) -> impl Iterator<Item = Resource<'a>> {
        self.0.resources.as_slice().iter().map(Resource::from_view)
    }

    /// The one resource to show where there is room for one; `None`: the user is offline.
    ///
    /// The most reachable `show` wins; ties go to the higher priority, then to the newest presence. A resource of negative
    /// priority counts only if there is no other.
    pub fn shown(self) -> Option<Resource<'a>> {
        self.resources()
            .enumerate()
            .min_by_key(|(order, resource)| {
                (resource.priority < 0, resource.show, Reverse(resource.priority), Reverse(*order))
            })
            .map(|(_, resource)| resource)
    }

    /// The text of the stanza by which the user went offline, if it had one and nobody logged in since.
    pub fn last_status(self) -> Option<&'a str> {
        Some(self.0.last_status.as_str()).filter(|text| !text.is_empty())
    }

    /// When the user went offline, in milliseconds since the Unix epoch, if that is known.
    pub fn last_since(self) -> Option<u64> {
        Some(self.0.last_since).filter(|since| *since > 0)
    }

    /// A copy to keep.
    pub fn snapshot(self) -> Snapshot {
        let shown = self.shown();
        Snapshot {
            show: shown.map(|resource| resource.show),
            status: shown.map_or_else(|| self.last_status().unwrap_or_default(), |resource| resource.status).into(),
            resources: self.resources().count(),
        }
    }
}

/// A user's presence at one moment, in short.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    show: Option<Show>,
    status: String,
    resources: usize,
}

impl Snapshot {
    /// The availability of the [shown](Presence::shown) resource; `None`: offline.
    pub fn show(&self) -> Option<Show> {
        self.show
    }

    /// The word for it: `available`, `chat`, `away`, `xa`, `dnd` or `offline`.
    pub fn state(&self) -> &'static str {
        self.show.map_or("offline", Show::as_str)
    }

    /// The status text of the shown resource or, offline, of the stanza that ended the last one; may be empty.
    pub fn status(&self) -> &str {
        &self.status
    }

    /// How many resources are available.
    pub fn resources(&self) -> usize {
        self.resources
    }
}

#[cfg(test)]
mod tests {
    use abi_stable::std_types::RSlice;

    use super::*;

    fn view(name: &'static str, show: ShowCode, priority: i8) -> ResourceView<'static> {
        ResourceView { name: name.into(), status: "".into(), since: 0, show, priority }
    }

    fn shown(resources: &[ResourceView<'_>]) -> Option<String> {
        let view = PresenceView { resources: RSlice::from_slice(resources), last_status: "".into(), last_since: 0 };
        Presence::new(&view).shown().map(|resource| resource.name.to_owned())
    }

    #[test]
    fn the_most_reachable_show_wins_over_priority() {
        assert_eq!(shown(&[view("a", ShowCode::DND, 9), view("b", ShowCode::XA, 0)]), Some("b".into()));
        assert_eq!(shown(&[view("a", ShowCode::CHAT, 9), view("b", ShowCode::AVAILABLE, 0)]), Some("b".into()));
    }

    #[test]
    fn ties_go_to_priority_then_to_the_newest() {
        assert_eq!(shown(&[view("a", ShowCode::AWAY, 5), view("b", ShowCode::AWAY, 1)]), Some("a".into()));
        assert_eq!(shown(&[view("old", ShowCode::AWAY, 1), view("new", ShowCode::AWAY, 1)]), Some("new".into()));
    }

    #[test]
    fn a_negative_priority_counts_only_alone() {
        assert_eq!(shown(&[view("a", ShowCode::AVAILABLE, -1), view("b", ShowCode::DND, 0)]), Some("b".into()));
        assert_eq!(shown(&[view("a", ShowCode::AVAILABLE, -1)]), Some("a".into()));
        assert_eq!(shown(&[]), None);
    }
}
