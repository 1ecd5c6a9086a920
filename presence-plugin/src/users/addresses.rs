//! Unlisted addresses: each stands for a user and tells nobody who that is. Whoever has one sees the user, until it is revoked; to have one is
//! the proof, because its 128 bits can't be guessed.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use plugin_api::{Host, Jid, RecordChange, Result};

use super::{
    Made, TooMany, keys,
    lines::{self, Lines},
    place_of,
};

/// How many a user may have.
pub const MOST_ADDRESSES: usize = 32;
/// The length of an address: 128 bits in base64url.
const LENGTH: usize = 22;

/// An address that there is, as its user is told of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// What stands in URLs.
    pub id: String,
    /// What its user calls it.
    pub label: String,
}

/// Makes an address of `user`. Waits for the disk.
pub fn add(host: Host, user: &Jid, label: &str, now: u64) -> Result<Made<String>> {
    if list(host, user)?.len() >= MOST_ADDRESSES {
        return Ok(Err(TooMany(MOST_ADDRESSES)));
    }
    let id = URL_SAFE_NO_PAD.encode(keys::random::<16>()?);
    let listed = lines::new(&[("label", label), ("made", &now.to_string())]);
    host.change_records(&[
        RecordChange::put(place(&id), lines::new(&[("user", user.bare())])).owned_by(user),
        RecordChange::put(place_in_list(user, &id), listed).owned_by(user),
    ])?;
    Ok(Ok(id))
}

/// The addresses of `user`. Reads the disk.
pub fn list(host: Host, user: &Jid) -> Result<Vec<Address>> {
    let place = place_in_list(user, "");
    let read = |(key, record): (String, Vec<u8>)| {
        let label = Lines::of(&record).value("label").unwrap_or_default().to_owned();
        Some(Address { id: key.strip_prefix(&place)?.to_owned(), label })
    };
    Ok(host.records(&place)?.into_iter().filter_map(read).collect())
}

/// Revokes these addresses, those of them that are `user`'s. Afterwards they are as if they had never been.
pub fn revoke(host: Host, user: &Jid, ids: &[String]) -> Result<usize> {
    let own: Vec<_> = list(host, user)?.into_iter().map(|address| address.id).filter(|id| ids.contains(id)).collect();
    let changes = own.iter().flat_map(|id| [place(id), place_in_list(user, id)]).map(RecordChange::remove);
    host.change_records(&changes.collect::<Vec<_>>())?;
    Ok(own.len())
}

/// What removes all addresses of `user`.
pub fn removals(host: Host, user: &Jid) -> Result<Vec<RecordChange>> {
    let addresses = list(host, user)?;
    let places = addresses.iter().flat_map(|address| [place(&address.id), place_in_list(user, &address.id)]);
    Ok(places.map(RecordChange::remove).collect())
}

/// The user that an address stands for, a bare JID, and the place of the record that says so.
pub fn user_of(host: Host, id: &str) -> Option<(String, String)> {
    if id.len() != LENGTH || !id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)) {
        return None;
    }
    let place = place(id);
    let user = host.with_record(&place, |record| Some(Lines::of(record?).value("user")?.to_owned()));
    Some((user.ok().flatten()?, place))
}

fn place(id: &str) -> String {
    format!("address/{id}")
}

fn place_in_list(user: &Jid, id: &str) -> String {
    place_of("address-of", user.bare(), id)
}
