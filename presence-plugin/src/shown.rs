//! What is shown of a user.

use plugin_api::{Presence, Resource, Show};

use crate::{moment::Moment, users::choice::Details};

/// The outcome of a request, before it is rendered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown<'a> {
    /// The user is online.
    Online {
        /// The availability of the resource shown.
        show: Show,
        /// Its status text as sent; empty when none.
        status: &'a str,
        /// Its priority.
        priority: i8,
        /// When its presence was received, if it is known.
        since: Option<Moment>,
    },
    /// The user is offline.
    Offline {
        /// The text of the stanza by which the user went offline; empty when none.
        status: &'a str,
        /// When that was, if it is known.
        since: Option<Moment>,
    },
    /// There is nothing to see for this requester, for one reason or another: nobody may learn which.
    Forbidden,
}

impl<'a> Shown<'a> {
    /// What the presence of a visible user shows. With several resources, [`Presence::shown`] chooses by the rule of the
    /// contract: the smallest of available < chat < away < xa < dnd, then the higher priority, then the newest; a negative
    /// priority counts only if there is no other.
    pub fn of(presence: Presence<'a>) -> Shown<'a> {
        let last = (presence.last_status(), presence.last_since());
        Shown::from_parts(presence.shown(), last)
    }

    /// The same without what is not to be seen.
    pub fn limited_to(self, details: Details) -> Shown<'a> {
        match (self, details) {
            (Shown::Online { show, priority, since, .. }, Details::State) => {
                Shown::Online { show, status: "", priority, since }
            }
            (Shown::Offline { since, .. }, Details::State) => Shown::Offline { status: "", since },
            (whole, _) => whole,
        }
    }

    fn from_parts(resource: Option<Resource<'a>>, (status, since): (Option<&'a str>, Option<u64>)) -> Shown<'a> {
        match resource {
            Some(Resource { show, status, priority, since, .. }) => {
                Shown::Online { show, status, priority, since: Some(Moment(since)) }
            }
            None => Shown::Offline { status: status.unwrap_or_default(), since: since.map(Moment) },
        }
    }

    /// The name of the state, as parameters and custom images have it.
    pub fn state(&self) -> &'static str {
        match self {
            Shown::Online { show, .. } => show.as_str(),
            Shown::Offline { .. } => "offline",
            Shown::Forbidden => "forbidden",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Row: "State names: `available` `chat` `away` `xa` `dnd` `offline` `forbidden`".
    #[test]
    fn the_seven_states() {
        let online = [Show::Available, Show::Chat, Show::Away, Show::Xa, Show::Dnd];
        let online = online.map(|show| Shown::Online { show, status: "", priority: 0, since: Some(Moment(0)) }.state());
        assert_eq!(online, ["available", "chat", "away", "xa", "dnd"]);
        assert_eq!(Shown::Offline { status: "", since: None }.state(), "offline");
        assert_eq!(Shown::Forbidden.state(), "forbidden");
    }

    #[test]
    fn of_the_state_alone_no_word_is_left() {
        let away = Shown::Online { show: Show::Away, status: "Lunch", priority: 3, since: Some(Moment(1)) };
        let gone = Shown::Offline { status: "gone", since: Some(Moment(9)) };
        for shown in [away, gone, Shown::Forbidden] {
            assert_eq!(shown.limited_to(Details::Status), shown);
        }
        let limited = Shown::Online { show: Show::Away, status: "", priority: 3, since: Some(Moment(1)) };
        assert_eq!(away.limited_to(Details::State), limited);
        assert_eq!(gone.limited_to(Details::State), Shown::Offline { status: "", since: Some(Moment(9)) });
        assert_eq!(Shown::Forbidden.limited_to(Details::State), Shown::Forbidden);
    }

    /// Row: "offline: status of the last unavailable stanza if it had one". A new login makes it a thing of the past.
    #[test]
    fn the_last_status_is_that_of_an_offline_user() {
        let resource = Resource { name: "desk", show: Show::Away, priority: -3, status: "Lunch", since: 1 };
        let away = Shown::Online { show: Show::Away, status: "Lunch", priority: -3, since: Some(Moment(1)) };
        assert_eq!(Shown::from_parts(Some(resource), (Some("gone"), Some(9))), away);
        assert_eq!(
            Shown::from_parts(None, (Some("gone"), Some(9))),
            Shown::Offline { status: "gone", since: Some(Moment(9)) }
        );
        assert_eq!(Shown::from_parts(None, (None, None)), Shown::Offline { status: "", since: None });
    }
}
