//! Who may see a user's presence on the web: the setting `visibility`.

use plugin_api::Relation;

use crate::users::Who;

/// To whom the users of this server are visible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Visibility {
    /// To everybody.
    Anyone,
    /// To those who hold a subscription to the user's presence, and to the user. A requester is believed to be who it
    /// claims to be.
    Subscribed,
}

impl Visibility {
    /// The values of the setting.
    pub const CHOICES: [&str; 2] = ["anyone", "subscribed"];

    /// Reads the setting. A value that this version does not know shows no more than the narrowest one it knows.
    pub fn parse(setting: &str) -> Visibility {
        if setting == "anyone" { Visibility::Anyone } else { Visibility::Subscribed }
    }

    /// Whether `who` may see `user`, a bare JID, given what the user's account and roster say about the requester.
    pub fn allows(self, user: &str, who: Who<'_>, relation: Relation) -> bool {
        let open = match (self, who) {
            (Visibility::Anyone, _) => true,
            (Visibility::Subscribed, Who::Nobody) => false,
            (Visibility::Subscribed, Who::Claimed(requester)) => requester == user || relation.from,
        };
        relation.account && !relation.blocked && open
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STRANGER: Relation = Relation { account: true, from: false, to: false, blocked: false };
    const SUBSCRIBER: Relation = Relation { from: true, ..STRANGER };
    const BOB: Option<&str> = Some("bob@example.com");

    fn allows(setting: &str, requester: Option<&str>, relation: Relation) -> bool {
        let who = requester.map_or(Who::Nobody, Who::Claimed);
        Visibility::parse(setting).allows("alice@example.com", who, relation)
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

    #[test]
    fn an_unknown_value_is_read_as_the_narrowest() {
        assert_eq!(Visibility::parse("anyone"), Visibility::Anyone);
        for other in ["subscribed", "verified", "", "Anyone"] {
            assert_eq!(Visibility::parse(other), Visibility::Subscribed, "{other}");
        }
    }
}
