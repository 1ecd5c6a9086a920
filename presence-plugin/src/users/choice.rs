//! What a user has chosen: who may see, and how much.
//!
//! A choice is a record of lines, `name=value`, below the number of this form. A version that does not know a line leaves it where it is, so that a
//! newer one finds it again; a value that it does not know, it takes for the narrowest.

use std::fmt;

use super::lines::Lines;

/// The choice of who has made none. It is read like any other, so that time does not tell who has.
const NONE: &[u8] = b"1\nwho=default\nwhat=status\n";

/// Who may see a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Viewers {
    /// Whoever the setting of the site says.
    Default,
    /// Nobody but who can prove to be the user.
    Nobody,
    /// Those who hold a subscription to the user's presence.
    Subscribers,
    /// Everybody.
    Anyone,
}

/// How much is seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Details {
    /// The state alone.
    State,
    /// The status text, too.
    Status,
}

/// What a user has chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    /// Who may see.
    pub who: Viewers,
    /// How much is seen.
    pub what: Details,
}

impl Viewers {
    /// All of them, in the order of a menu.
    pub const ALL: [Viewers; 4] = [Viewers::Default, Viewers::Anyone, Viewers::Subscribers, Viewers::Nobody];

    /// Its name in records, forms and messages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Viewers::Default => "default",
            Viewers::Nobody => "nobody",
            Viewers::Subscribers => "subscribers",
            Viewers::Anyone => "anyone",
        }
    }

    /// Its description in a form.
    pub const fn label(self) -> &'static str {
        match self {
            Viewers::Default => "Whoever this server lets see",
            Viewers::Nobody => "Nobody",
            Viewers::Subscribers => "My subscribers",
            Viewers::Anyone => "Anyone",
        }
    }

    /// Reads a name.
    pub fn parse(name: &str) -> Option<Viewers> {
        Viewers::ALL.into_iter().find(|who| who.as_str() == name)
    }
}

impl Details {
    /// All of them, in the order of a menu.
    pub const ALL: [Details; 2] = [Details::Status, Details::State];

    /// Its name in records, forms and messages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Details::State => "state",
            Details::Status => "status",
        }
    }

    /// Its description in a form.
    pub const fn label(self) -> &'static str {
        match self {
            Details::State => "The state only",
            Details::Status => "The state and the status text",
        }
    }

    /// Reads a name.
    pub fn parse(name: &str) -> Option<Details> {
        Details::ALL.into_iter().find(|what| what.as_str() == name)
    }
}

impl Default for Choice {
    fn default() -> Choice {
        Choice::DEFAULT
    }
}

impl Choice {
    /// The choice of who has made none.
    pub const DEFAULT: Choice = Choice { who: Viewers::Default, what: Details::Status };

    /// Reads a record, or that there is none.
    pub fn read(record: Option<&[u8]>) -> Choice {
        let lines = Lines::of(record.unwrap_or(NONE));
        let (who, what) = (lines.value("who"), lines.value("what"));
        Choice {
            who: who.and_then(Viewers::parse).unwrap_or(Viewers::Nobody),
            what: what.and_then(Details::parse).unwrap_or(Details::State),
        }
    }

    /// The record of this choice, made of the one before it.
    pub fn write(self, before: Option<&[u8]>) -> Vec<u8> {
        Lines::of(before.unwrap_or(NONE)).with(&[("who", self.who.as_str()), ("what", self.what.as_str())])
    }
}

impl fmt::Display for Choice {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "who={} what={}", self.who.as_str(), self.what.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_is_read_as_written() {
        for who in Viewers::ALL {
            for what in Details::ALL {
                let choice = Choice { who, what };
                assert_eq!(Choice::read(Some(&choice.write(None))), choice);
            }
        }
        assert_eq!(Choice::read(None), Choice::DEFAULT);
        assert_eq!(Choice::DEFAULT.write(None), NONE);
    }

    #[test]
    fn what_a_newer_version_wrote_is_kept_and_taken_for_the_narrowest() {
        let newer = b"3\nwho=colleagues\nwhat=mood\ngroups=a=b,c\n";
        assert_eq!(Choice::read(Some(newer)), Choice { who: Viewers::Nobody, what: Details::State });
        let choice = Choice { who: Viewers::Anyone, what: Details::State };
        let written = choice.write(Some(newer));
        assert_eq!(written, b"3\nwho=anyone\nwhat=state\ngroups=a=b,c\n");
        assert_eq!(Choice::read(Some(&written)), choice);
    }

    #[test]
    fn what_is_no_choice_shows_nothing() {
        for broken in [&b""[..], b"1\n", b"\xFF\xFE", b"1\nwho=\nwhat=", b"{\"who\":\"anyone\"}"] {
            assert_eq!(Choice::read(Some(broken)), Choice { who: Viewers::Nobody, what: Details::State }, "{broken:?}");
        }
    }
}
