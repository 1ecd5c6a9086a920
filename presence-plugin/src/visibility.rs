//! Who may see a user's presence on the web: the setting `visibility`, and the user's own choice, which beats it.

use plugin_api::Relation;

use crate::users::{Who, choice::Viewers};

/// To whom the users of this server are visible who have not chosen for themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Visibility {
    /// To everybody.
    Anyone,
    /// To those who hold a subscription to the user's presence, and to the user. A requester is believed to be who it
    /// claims to be.
    Subscribed,
    /// The same, but a requester has to prove who it is.
    Verified,
}

impl Visibility {
    /// The values of the setting.
    pub const CHOICES: [&str; 3] = ["anyone", "subscribed", "verified"];

    /// Reads the setting. A value that this version does not know shows no more than the narrowest one it knows.
    pub fn parse(setting: &str) -> Visibility {
        match setting {
            "anyone" => Visibility::Anyone,
            "subscribed" => Visibility::Subscribed,
            _ => Visibility::Verified,
        }
    }

    /// Whether `who` may see `user`, a bare JID, who has chosen `viewers`, given what the user's account and roster say about the requester.
    ///
    /// Under `nobody` a claim to be the user is not enough: it would be everybody's.
    pub fn allows(self, viewers: Viewers, user: &str, who: Who<'_>, relation: Relation) -> bool {
        let open = match viewers {
            Viewers::Anyone => true,
            Viewers::Default if self == Visibility::Anyone => true,
            Viewers::Default | Viewers::Subscribers => {
                self.counted(who).is_some_and(|requester| requester == user || relation.from)
            }
            Viewers::Nobody => who == Who::Proven(user),
        };
        relation.account && !relation.blocked && who != Who::Refused && open
    }

    /// The requester, as far as it is believed.
    fn counted(self, who: Who<'_>) -> Option<&str> {
        match who {
            Who::Nobody | Who::Refused => None,
            Who::Claimed(_) if self == Visibility::Verified => None,
            Who::Claimed(requester) | Who::Proven(requester) => Some(requester),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STRANGER: Relation = Relation { account: true, from: false, to: false, blocked: false };
    const SUBSCRIBER: Relation = Relation { from: true, ..STRANGER };
    const ALICE: &str = "alice@example.com";
    const BOB: Option<&str> = Some("bob@example.com");

    fn allows(setting: &str, requester: Option<&str>, relation: Relation) -> bool {
        let who = requester.map_or(Who::Nobody, Who::Claimed);
        Visibility::parse(setting).allows(Viewers::Default, ALICE, who, relation)
    }

    /// Row: "`anyone`: every user of this server is visible".
    #[test]
    fn anyone_sees_every_user() {
        assert!(allows("anyone", None, STRANGER));
        assert!(allows("anyone", BOB, STRANGER));
        assert!(!allows("anyone", BOB, Relation { account: false, ..SUBSCRIBER }));
        assert!(!allows("anyone", None, Relation { account: false, ..STRANGER }));
    }

    /// Row: "visible to a `req_jid` that ... holds a presence subscription (`from` or `both`)".
    #[test]
    fn a_subscriber_sees_and_a_mere_contact_does_not() {
        assert!(allows("subscribed", BOB, SUBSCRIBER));
        assert!(allows("subscribed", BOB, Relation { to: true, ..SUBSCRIBER }));
        assert!(!allows("subscribed", BOB, Relation { to: true, ..STRANGER }));
        assert!(!allows("subscribed", BOB, STRANGER));
        assert!(!allows("subscribed", None, SUBSCRIBER));
        assert!(!allows("subscribed", BOB, Relation { account: false, ..SUBSCRIBER }));
    }

    /// Row: "is the user (full bare-JID comparison)"; the original compared local parts only.
    #[test]
    fn the_user_sees_itself_and_its_namesake_does_not() {
        assert!(allows("subscribed", Some("alice@example.com"), STRANGER));
        assert!(!allows("subscribed", Some("alice@example.net"), STRANGER));
        assert!(!allows("subscribed", Some("alice"), STRANGER));
        assert!(!allows("subscribed", Some("alice@example.com"), Relation { account: false, ..STRANGER }));
    }

    /// Row: "A blocked requester (XEP-0191) never sees the user online".
    #[test]
    fn a_blocked_requester_never_sees() {
        for setting in Visibility::CHOICES {
            for requester in [BOB, Some("alice@example.com")] {
                assert!(!allows(setting, requester, Relation { blocked: true, ..SUBSCRIBER }), "{setting}");
            }
        }
    }

    /// Row H9: every setting, every choice, every kind of requester. A letter says who sees: `n`obody in particular, a `s`tranger, a subscriber
    /// (`b`), the user (`a`), each by a claim or, as a capital, by proof; never who came by what was `r`evoked or is blocked, and nobody a user
    /// who is gone.
    #[test]
    fn the_matrix_of_settings_choices_and_requesters() {
        let (subscriber, stranger) = ("bob@example.com", "eve@example.com");
        let requesters = [
            ('n', Who::Nobody, STRANGER),
            ('r', Who::Refused, STRANGER),
            ('s', Who::Claimed(stranger), STRANGER),
            ('b', Who::Claimed(subscriber), SUBSCRIBER),
            ('a', Who::Claimed(ALICE), STRANGER),
            ('S', Who::Proven(stranger), STRANGER),
            ('B', Who::Proven(subscriber), SUBSCRIBER),
            ('A', Who::Proven(ALICE), STRANGER),
        ];
        for (setting, choice, expected) in [
            ("anyone", Viewers::Default, "nsbaSBA"),
            ("anyone", Viewers::Anyone, "nsbaSBA"),
            ("anyone", Viewers::Subscribers, "baBA"),
            ("anyone", Viewers::Nobody, "A"),
            ("subscribed", Viewers::Default, "baBA"),
            ("subscribed", Viewers::Anyone, "nsbaSBA"),
            ("subscribed", Viewers::Subscribers, "baBA"),
            ("subscribed", Viewers::Nobody, "A"),
            ("verified", Viewers::Default, "BA"),
            ("verified", Viewers::Anyone, "nsbaSBA"),
            ("verified", Viewers::Subscribers, "BA"),
            ("verified", Viewers::Nobody, "A"),
        ] {
            let visibility = Visibility::parse(setting);
            let seeing = |change: fn(Relation) -> Relation| -> String {
                let seeing = requesters
                    .iter()
                    .filter(|(_, who, relation)| visibility.allows(choice, ALICE, *who, change(*relation)));
                seeing.map(|(letter, ..)| *letter).collect()
            };
            assert_eq!(seeing(|relation| relation), expected, "{setting} {choice:?}");
            assert_eq!(seeing(|relation| Relation { blocked: true, ..relation }), "", "{setting} {choice:?}");
            assert_eq!(seeing(|relation| Relation { account: false, ..relation }), "", "{setting} {choice:?}");
        }
    }

    #[test]
    fn an_unknown_value_is_read_as_the_narrowest() {
        assert_eq!(Visibility::parse("anyone"), Visibility::Anyone);
        assert_eq!(Visibility::parse("subscribed"), Visibility::Subscribed);
        for other in ["verified", "", "Anyone", "friends"] {
            assert_eq!(Visibility::parse(other), Visibility::Verified, "{other}");
        }
    }
}
