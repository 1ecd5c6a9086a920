//! Which of two versions is the later one: precedence by Semantic Versioning 2.0.0, section 11.

use std::{cmp::Ordering, str::FromStr};

/// A version as a number that can be compared. Build metadata says nothing about precedence and is left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    numbers: [u64; 3],
    pre_release: Vec<Identifier>,
}

/// A part of a pre-release: numbers come before words (11.4.3), and the order of these variants says so.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Identifier {
    Number(u64),
    Word(String),
}

impl FromStr for Version {
    type Err = ();

    /// Reads `1.2.3-rc.1+build`; of the three numbers the last may be missing.
    fn from_str(text: &str) -> Result<Version, ()> {
        let text = text.split('+').next().unwrap_or_default();
        let (numbers, pre_release) = match text.split_once('-') {
            Some((numbers, parts)) => (numbers, parts.split('.').map(identifier).collect::<Result<_, _>>()?),
            None => (text, Vec::new()),
        };
        let mut parsed = [0; 3];
        let mut places = parsed.iter_mut();
        for number in numbers.split('.') {
            *places.next().ok_or(())? = decimal(number).ok_or(())?;
        }
        Ok(Version { numbers: parsed, pre_release })
    }
}

fn identifier(text: &str) -> Result<Identifier, ()> {
    match decimal(text) {
        Some(number) => Ok(Identifier::Number(number)),
        None if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') => Err(()),
        None => Ok(Identifier::Word(text.into())),
    }
}

/// `parse` alone would take a sign.
fn decimal(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

impl Ord for Version {
    fn cmp(&self, other: &Version) -> Ordering {
        let released = |version: &Version| version.pre_release.is_empty();
        self.numbers
            .cmp(&other.numbers)
            // A pre-release comes before its release (11.3).
            .then_with(|| released(self).cmp(&released(other)))
            .then_with(|| self.pre_release.cmp(&other.pre_release))
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Version) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str) -> Version {
        text.parse().unwrap()
    }

    #[test]
    fn versions_stand_in_the_order_of_the_standard() {
        // The examples of sections 11.2 and 11.4, and numbers that would stand otherwise as text.
        let order = [
            "0.9.9",
            "1.0.0-alpha",
            "1.0.0-alpha.1",
            "1.0.0-alpha.beta",
            "1.0.0-beta",
            "1.0.0-beta.2",
            "1.0.0-beta.11",
            "1.0.0-rc.1",
            "1.0.0",
            "1.0.10",
            "1.2",
            "2.0.0",
            "2.1.0",
            "2.1.1",
            "10.0.0",
        ];
        for (at, one) in order.iter().enumerate() {
            for (later, other) in order.iter().enumerate() {
                assert_eq!(version(one).cmp(&version(other)), at.cmp(&later), "{one} and {other}");
            }
        }
    }

    #[test]
    fn build_metadata_is_no_difference() {
        assert_eq!(version("1.0.0+20130313"), version("1.0.0+exp-1.sha"));
        assert_eq!(version("1"), version("1.0.0"));
    }

    #[test]
    fn what_is_no_version_is_none() {
        for text in
            ["", "x", "1.x", "1.2.3.4", "1..2", "-1", "+1", "1.0.0-", "1.0.0-a..b", "1.0.0-ä", "99999999999999999999"]
        {
            assert_eq!(text.parse::<Version>(), Err(()), "{text}");
        }
    }
}
