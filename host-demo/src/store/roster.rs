//! The roster of a user (RFC 6121 section 2) as stored.

use std::{collections::BTreeMap, sync::Arc};

use jid::BareJid;
use rusqlite::{Connection, ErrorCode};

use super::{Store, StoreError, accounts};

/// The contacts of one user, by bare JID. A value never changes: a change makes a new one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Roster {
    /// The contacts, with those only known by a pending request.
    pub items: BTreeMap<BareJid, Item>,
}

/// What a user keeps about one contact.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Item {
    /// The user's own name for the contact.
    pub name: Option<String>,
    /// The groups that the user put the contact in.
    pub groups: Vec<String>,
    /// The contact's presence goes to the user (`to` or `both`).
    pub to: bool,
    /// The user's presence goes to the contact (`from` or `both`).
    pub from: bool,
    /// The user asked for the contact's presence and waits ("pending out").
    pub ask: bool,
    /// The user approved the contact before being asked (RFC 6121 section 3.4).
    pub approved: bool,
    /// The contact's request that waits for the user ("pending in"): the whole stanza, serialised.
    pub request: Option<String>,
    /// Whether the user sees the contact: `false` for one known only by its pending request or a pre-approval.
    pub listed: bool,
}

/// One item of one roster, set or removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RosterChange {
    /// Whose roster.
    pub user: BareJid,
    /// Which contact.
    pub contact: BareJid,
    /// The item from now on; `None` removes it.
    pub item: Option<Item>,
}

impl RosterChange {
    /// Makes this change.
    pub(super) fn apply(&self, roster: &mut Roster) {
        match &self.item {
            Some(item) => roster.items.insert(self.contact.clone(), item.clone()),
            None => roster.items.remove(&self.contact),
        };
    }
}

impl Store {
    /// The roster of `user`: from memory after the first time, otherwise a short read. Of no user: empty.
    ///
    /// # Errors
    /// The database failed.
    pub fn roster(&self, user: &BareJid) -> Result<Arc<Roster>, StoreError> {
        self.roster_of(user.as_str())
    }

    /// As [`Store::roster`], by the normalised text of the bare JID.
    ///
    /// # Errors
    /// The database failed.
    pub fn roster_of(&self, user: &str) -> Result<Arc<Roster>, StoreError> {
        // Names that anybody may ask for must not fill the memory.
        if !self.account_exists(user) {
            return Ok(Arc::default());
        }
        self.inner.memory.rosters.of(user, || self.inner.readers.read(|db| read(db, user)))
    }

    /// Makes these changes in one transaction, in order: all or none. Durable and visible to [`Store::roster`] when it
    /// returns.
    ///
    /// # Errors
    /// [`StoreError::UnknownAccount`] where a roster's owner has no account, or the database failed.
    pub async fn change_rosters(&self, changes: Vec<RosterChange>) -> Result<(), StoreError> {
        let work = move |db: &Connection| {
            changes.iter().try_for_each(|change| write(db, change))?;
            Ok(changes)
        };
        self.inner.writer.change(work, |memory, changes| memory.rosters.publish(changes)).await.map(drop)
    }
}

fn read(db: &Connection, user: &str) -> Result<Roster, StoreError> {
    let mut query = db.prepare_cached(
        "SELECT contact, name, group_names, sub_to, sub_from, ask, approved, request, listed
         FROM roster_items WHERE user = ?1",
    )?;
    let mut rows = query.query([user])?;
    let mut roster = Roster::default();
    while let Some(row) = rows.next()? {
        let contact: String = row.get(0)?;
        let groups = serde_json::from_str(&row.get::<_, String>(2)?)
            .map_err(|cause| StoreError::unreadable(format!("roster_items, {user}, {contact}"), cause))?;
        let item = Item {
            name: row.get(1)?,
            groups,
            to: row.get(3)?,
            from: row.get(4)?,
            ask: row.get(5)?,
            approved: row.get(6)?,
            request: row.get(7)?,
            listed: row.get(8)?,
        };
        roster.items.insert(accounts::parse("roster_items", &contact)?, item);
    }
    Ok(roster)
}

fn write(db: &Connection, change: &RosterChange) -> Result<(), StoreError> {
    let (user, contact) = (change.user.as_str(), change.contact.as_str());
    let Some(item) = &change.item else {
        db.prepare_cached("DELETE FROM roster_items WHERE user = ?1 AND contact = ?2")?.execute([user, contact])?;
        return Ok(());
    };
    let mut insert = db.prepare_cached(
        "INSERT OR REPLACE INTO roster_items
         (user, contact, name, group_names, sub_to, sub_from, ask, approved, request, listed)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
    )?;
    let groups = serde_json::json!(item.groups).to_string();
    let outcome = insert.execute((
        user,
        contact,
        &item.name,
        groups,
        item.to,
        item.from,
        item.ask,
        item.approved,
        &item.request,
        item.listed,
    ));
    match outcome {
        Ok(_) => Ok(()),
        // The one constraint that a well-typed item can break: its owner has no account.
        Err(cause) if cause.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => {
            Err(StoreError::UnknownAccount(user.into()))
        }
        Err(cause) => Err(cause.into()),
    }
}
