//! The tokens that users have made, each a record of its user. A token without its record is worth nothing, whoever signed it: so it can be
//! revoked, and goes with the account.

use plugin_api::{Host, Jid, RecordChange, Result};

use super::{
    Made, TooMany,
    choice::Details,
    keys,
    lines::{self, Lines},
    place_of,
    token::{Claims, hexadecimal},
};

/// Where the tokens of all users are among the records.
pub const PLACE: &str = "token/";
/// The longest life of a token, in seconds: a year.
pub const LONGEST_LIFE: u64 = 366 * 86_400;
/// How many a user may have that have not expired.
pub const MOST_TOKENS: usize = 32;

/// What a token is to be good for.
#[derive(Clone, Debug)]
pub struct Wish {
    /// Whose presence it shows, a bare JID. `None`: that of everybody who lets its user see.
    pub of: Option<String>,
    /// How much.
    pub what: Details,
    /// For how long, in seconds; [`LONGEST_LIFE`] at most.
    pub life: u64,
    /// What its user calls it, in one line.
    pub label: String,
}

/// A token that there is, as its user is told of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issued {
    /// Its number, in hexadecimal digits.
    pub id: String,
    /// Whose presence it shows; empty: everybody's.
    pub of: String,
    /// How much.
    pub what: Details,
    /// When it expires, in seconds since the Unix epoch.
    pub expires: u64,
    /// What its user calls it.
    pub label: String,
}

impl Issued {
    /// Whether it was good once, by the clock.
    fn has_expired(&self, now: u64) -> bool {
        now >= self.expires
    }
}

/// Makes a token of `user`. Waits for the disk.
pub fn mint(host: Host, user: &Jid, wish: &Wish, now: u64) -> Result<Made<String>> {
    let (kept, expired) = live(host, user, now)?;
    if kept.len() >= MOST_TOKENS {
        return Ok(Err(TooMany(MOST_TOKENS)));
    }
    let (key, secret) = keys::current(host, now)?;
    let (of, expires) = (wish.of.clone(), now + wish.life.min(LONGEST_LIFE));
    let claims = Claims { id: keys::random()?, who: user.bare().to_owned(), of, what: wish.what, expires };
    let mut changes: Vec<_> = expired.iter().map(|id| RecordChange::remove(place(user.bare(), id))).collect();
    changes.push(
        RecordChange::put(place(user.bare(), &hexadecimal(&claims.id)), record(&claims, wish, now)).owned_by(user),
    );
    host.change_records(&changes)?;
    Ok(Ok(claims.sign(key, &secret)))
}

/// The tokens of `user` that have not expired. Reads the disk.
pub fn list(host: Host, user: &Jid, now: u64) -> Result<Vec<Issued>> {
    Ok(live(host, user, now)?.0)
}

/// Revokes those of these tokens that `user` has, and says how many. From the moment at which it returns they are worth nothing.
pub fn revoke(host: Host, user: &Jid, ids: &[String]) -> Result<usize> {
    let place = place(user.bare(), "");
    let is_named = |key: &str| key.strip_prefix(&place).is_some_and(|own| ids.iter().any(|id| id == own));
    let named: Vec<_> = host.records(&place)?.into_iter().map(|(key, _)| key).filter(|key| is_named(key)).collect();
    let changes: Vec<_> = named.into_iter().map(RecordChange::remove).collect();
    host.change_records(&changes)?;
    Ok(changes.len())
}

/// What removes all tokens of `user`.
pub fn removals(host: Host, user: &Jid) -> Result<Vec<RecordChange>> {
    let records = host.records(&place(user.bare(), ""))?;
    Ok(records.into_iter().map(|(key, _)| RecordChange::remove(key)).collect())
}

/// Where the record of a token is, by its user and number.
pub fn place(user: &str, id: &str) -> String {
    place_of("token", user, id)
}

/// What `user` has: the tokens that count, and the numbers of those that have expired.
fn live(host: Host, user: &Jid, now: u64) -> Result<(Vec<Issued>, Vec<String>)> {
    let place = place(user.bare(), "");
    let records = host.records(&place)?;
    let all = records.iter().filter_map(|(key, record)| Some(read(key.strip_prefix(&place)?, record)));
    let (expired, kept): (Vec<_>, Vec<_>) = all.partition(|token| token.has_expired(now));
    Ok((kept, expired.into_iter().map(|token| token.id).collect()))
}

fn record(claims: &Claims, wish: &Wish, now: u64) -> Vec<u8> {
    lines::new(&[
        ("of", claims.of.as_deref().unwrap_or_default()),
        ("what", claims.what.as_str()),
        ("made", &now.to_string()),
        ("expires", &claims.expires.to_string()),
        ("label", &wish.label),
    ])
}

fn read(id: &str, record: &[u8]) -> Issued {
    let lines = Lines::of(record);
    let text = |name| lines.value(name).unwrap_or_default().to_owned();
    Issued {
        id: id.to_owned(),
        of: text("of"),
        what: lines.value("what").and_then(Details::parse).unwrap_or(Details::State),
        expires: lines.number("expires").unwrap_or_default(),
        label: text("label"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is signed and what is on record agree on the second; a record without it has expired.
    #[test]
    fn a_token_is_good_until_its_last_second() {
        let (who, of) = ("bob@example.com".into(), Some("alice@example.com".into()));
        let claims = Claims { id: [1; 8], who, of, what: Details::State, expires: 1_800_000_000 };
        let wish = Wish { of: claims.of.clone(), what: claims.what, life: 60, label: "Blog = mine".into() };
        let listed = read("0101010101010101", &record(&claims, &wish, 1_799_999_940));
        assert_eq!(
            (listed.of.as_str(), listed.what, listed.label.as_str()),
            ("alice@example.com", Details::State, "Blog = mine")
        );
        assert_eq!([1_799_999_999, 1_800_000_000].map(|now| listed.has_expired(now)), [false, true]);
        assert!(read("0101010101010101", b"1\nof=\n").has_expired(0));
    }
}
