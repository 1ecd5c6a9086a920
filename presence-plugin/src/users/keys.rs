//! The keys that sign tokens. The first is made at the first start; each signs for ninety days, and is kept until the last token that it signed
//! has expired. The administrator can have all of them go at once.

use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use plugin_api::{Error, Host, RecordChange, Result};

use super::{
    lines::{self, Lines, NEW},
    token::{Id, Secret, hexadecimal},
    tokens::{self, LONGEST_LIFE},
};

/// Where the keys are among the records.
const PLACE: &str = "key/";
/// Where it is noted which number the administrator had given to the keys when they were made.
const NUMBER: &str = "keys";
/// The number of those that nobody has given one.
pub const FIRST_NUMBER: u32 = 1;
/// For how long a key signs, in seconds.
const SIGNS_FOR: u64 = 90 * 86_400;

/// A key that there is: its number and when it was made, in seconds since the Unix epoch.
type Made = (Id, u64);

/// The secret of a key. `None`: there is no such key, or no longer.
pub fn secret(host: Host, id: Id) -> Option<Secret> {
    host.with_record(&place(&id), |record| secret_in(record?)).ok().flatten()
}

/// The key to sign with at this moment, made if there is none that is young enough. Old ones are removed. Waits for the disk.
pub fn current(host: Host, now: u64) -> Result<(Id, Secret)> {
    let records = host.records(PLACE)?;
    let keys: Vec<Made> = records.iter().filter_map(|(key, record)| made(key, record)).collect();
    let (signs, old) = plan(&keys, now);
    let mut changes: Vec<RecordChange> = old.iter().map(|id| RecordChange::remove(place(id))).collect();
    let known = signs.and_then(|id| Some((id, secret(host, id)?)));
    let (id, secret) = match known {
        Some(key) => key,
        None => (random()?, random()?),
    };
    if known.is_none() {
        let (made, secret) = (now.to_string(), STANDARD_NO_PAD.encode(secret));
        changes.push(RecordChange::put(place(&id), lines::new(&[("made", &made), ("secret", &secret)])));
    }
    if !changes.is_empty() {
        host.change_records(&changes)?;
    }
    Ok((id, secret))
}

/// Removes all keys and tokens that were made while the keys had another number than this. Says whether they had. Waits for the disk.
pub fn renew(host: Host, number: u32) -> Result<bool> {
    let noted = host.record(NUMBER)?.unwrap_or_default();
    let lines = Lines::of(if noted.is_empty() { NEW } else { &noted });
    if lines.number("number").unwrap_or(u64::from(FIRST_NUMBER)) == u64::from(number) {
        return Ok(false);
    }
    let of_all = [host.records(PLACE)?, host.records(tokens::PLACE)?];
    let mut changes: Vec<_> = of_all.into_iter().flatten().map(|(key, _)| RecordChange::remove(key)).collect();
    changes.push(RecordChange::put(NUMBER, lines.with(&[("number", &number.to_string())])));
    host.change_records(&changes)?;
    Ok(true)
}

/// Bytes drawn by lot.
pub fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|cause| Error::new(format!("the system has no random numbers: {cause}")))?;
    Ok(bytes)
}

/// Which key signs, if one does, and which are of no use any more.
fn plan(keys: &[Made], now: u64) -> (Option<Id>, Vec<Id>) {
    let age = |made: u64| now.saturating_sub(made);
    let young = keys.iter().filter(|(_, made)| age(*made) < SIGNS_FOR);
    let signs = young.max_by_key(|(id, made)| (*made, *id)).map(|(id, _)| *id);
    let old = keys.iter().filter(|(_, made)| age(*made) > SIGNS_FOR + LONGEST_LIFE);
    (signs, old.map(|(id, _)| *id).collect())
}

fn place(id: &Id) -> String {
    format!("{PLACE}{}", hexadecimal(id))
}

fn made(key: &str, record: &[u8]) -> Option<Made> {
    let number = u64::from_str_radix(key.strip_prefix(PLACE)?, 16).ok()?;
    Some((number.to_be_bytes(), Lines::of(record).number("made")?))
}

fn secret_in(record: &[u8]) -> Option<Secret> {
    STANDARD_NO_PAD.decode(Lines::of(record).value("secret")?).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 86_400;
    const FIRST: Id = *b"key 0001";
    const SECOND: Id = *b"key 0002";

    #[test]
    fn a_key_signs_for_ninety_days_and_counts_until_its_last_token_has_expired() {
        assert_eq!(plan(&[], 0), (None, vec![]));
        let keys = [(FIRST, 1_000 * DAY), (SECOND, 1_080 * DAY)];
        assert_eq!(plan(&keys[..1], 1_089 * DAY), (Some(FIRST), vec![]));
        assert_eq!(plan(&keys[..1], 1_090 * DAY), (None, vec![]));
        assert_eq!(plan(&keys, 1_090 * DAY), (Some(SECOND), vec![]));
        assert_eq!(plan(&keys, 1_090 * DAY + LONGEST_LIFE), (None, vec![]));
        assert_eq!(plan(&keys, 1_091 * DAY + LONGEST_LIFE), (None, vec![FIRST]));
    }

    #[test]
    fn a_clock_that_was_set_back_makes_no_key_old() {
        assert_eq!(plan(&[(FIRST, 1_000 * DAY)], 0), (Some(FIRST), vec![]));
    }

    #[test]
    fn a_key_is_found_by_its_number() {
        let place = place(&[0, 1, 0xAB, 3, 4, 5, 6, 7]);
        assert_eq!(place, "key/0001ab0304050607");
        let record = lines::new(&[("made", "17"), ("secret", &STANDARD_NO_PAD.encode([9; 32]))]);
        assert_eq!(made(&place, &record), Some(([0, 1, 0xAB, 3, 4, 5, 6, 7], 17)));
        assert_eq!((secret_in(&record), secret_in(b"1\nsecret=AAAA\n")), (Some([9; 32]), None));
    }
}
