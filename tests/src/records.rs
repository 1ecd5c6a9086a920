//! What the presence service has the server keep for it, read and written without either: what is stored outlives the version that stored it, in
//! both directions. And tokens signed without the service, of lives that none of its own have.

use std::path::Path;

use base64::{
    Engine,
    engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};
use hmac::{Hmac, KeyInit, Mac};
use rusqlite::{Connection, params};
use sha2::Sha256;

/// The number of the key that signs [`token`]s, and of the tokens.
const KEY: u64 = 0x0123_4567_89ab_cdef;
const SECRET: [u8; 32] = *b"a key that everybody can read...";

/// A record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its key.
    pub key: String,
    /// Its value, which is text in all of the service's.
    pub value: String,
    /// The user with whose account it goes.
    pub owner: Option<String>,
}

impl Record {
    /// A record that goes with the account `owner`.
    pub fn of(owner: &str, key: impl Into<String>, value: impl Into<String>) -> Record {
        Record { key: key.into(), value: value.into(), owner: Some(owner.to_owned()) }
    }

    /// A record that stays.
    pub fn of_nobody(key: impl Into<String>, value: impl Into<String>) -> Record {
        Record { key: key.into(), value: value.into(), owner: None }
    }
}

/// All records of the service, in the order of their keys.
#[track_caller]
pub fn read(state: &Path) -> Vec<Record> {
    let database = open(state);
    let mut query = database
        .prepare("SELECT key, CAST(value AS TEXT), owner FROM plugin_records WHERE plugin = 'presence' ORDER BY key")
        .expect("there is such a table");
    let record = |row: &rusqlite::Row<'_>| Ok(Record { key: row.get(0)?, value: row.get(1)?, owner: row.get(2)? });
    let records = query.query_map([], record).expect("the table can be read");
    records.map(|record| record.expect("a record is text")).collect()
}

/// Adds records, and takes the place of those with the same keys. No server may run on this state.
#[track_caller]
pub fn write(state: &Path, records: &[Record]) {
    let database = open(state);
    for Record { key, value, owner } in records {
        let value = value.as_bytes();
        let sql = "INSERT OR REPLACE INTO plugin_records (plugin, key, owner, value) VALUES ('presence', ?, ?, ?)";
        database.execute(sql, params![key, owner, value]).expect("a record can be written");
    }
}

#[track_caller]
fn open(state: &Path) -> Connection {
    Connection::open(state.join("state.db")).expect("the database can be opened")
}

/// A token by which one asks in the name of `who`, a bare JID, from `made` until `expires`, in seconds since the Unix epoch; and the records without
/// which it is worth nothing: its key and its own.
pub fn token(who: &str, made: u64, expires: u64) -> (String, [Record; 2]) {
    let id = expires;
    let mut bytes = [KEY, id, expires].map(u64::to_be_bytes).concat();
    // It shows the status text, of whoever `who` may see.
    bytes.push(1);
    for text in [who, ""] {
        bytes.extend((text.len() as u16).to_be_bytes());
        bytes.extend(text.bytes());
    }
    let mut mac = Hmac::<Sha256>::new_from_slice(&SECRET).expect("a key may have any length");
    mac.update(&bytes);
    bytes.extend(&mac.finalize().into_bytes()[..16]);
    let secret = STANDARD_NO_PAD.encode(SECRET);
    let key = Record::of_nobody(format!("key/{KEY:016x}"), format!("1\nmade={made}\nsecret={secret}\n"));
    let issued = format!("1\nof=\nwhat=status\nmade={made}\nexpires={expires}\nlabel=\n");
    let issued = Record::of(who, format!("token/{who}/{id:016x}"), issued);
    (format!("p1.{}", URL_SAFE_NO_PAD.encode(bytes)), [key, issued])
}
