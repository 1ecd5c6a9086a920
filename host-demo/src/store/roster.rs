//! The roster of a user (RFC 6121 section 2) as stored.

use std::{collections::BTreeMap, sync::Arc};

use jid::BareJid;
use rusqlite::{Connection, ErrorCode, OptionalExtension};

use super::{Inner, Store, StoreError, accounts};

/// The contacts of one user, by bare JID. A value never changes: a change makes a new one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Roster {
    /// The contacts, with those only known by a pending request.
    pub items: BTreeMap<BareJid, Item>,
    /// The version (RFC 6121 section 2.6): it grows with each change that the user sees. 0: none was made yet, or none since
    /// the roster came from a backup.
    pub version: i64,
    /// Who knows an older version than this gets the whole roster: since then a contact was removed, or the roster begun or
    /// restored.
    pub whole_before: i64,
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
    /// The version of the roster since which the user sees the item as it is.
    pub version: i64,
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
    /// Whether the user sees the change, so that the roster gets a new version.
    pub seen: bool,
}

impl RosterChange {
    /// Makes this change, with which the roster got this version.
    pub(super) fn apply(&self, roster: &mut Roster, version: i64) {
        match &self.item {
            Some(item) => {
                let version = if self.seen { version } else { item.version };
                roster.items.insert(self.contact.clone(), Item { version, ..item.clone() })
            }
            None => roster.items.remove(&self.contact),
        };
        if self.seen {
            if self.removes() || roster.version == 0 {
                roster.whole_before = version;
            }
            roster.version = version;
        }
    }

    /// Whether the user does not see the contact any more.
    fn removes(&self) -> bool {
        !self.item.as_ref().is_some_and(|item| item.listed)
    }
}

impl Store {
    /// The roster of `user`, from memory; of no user: empty.
    ///
    /// # Errors
    /// It is not in memory yet, as after a start with very many contacts, and the database failed.
    pub fn roster(&self, user: &BareJid) -> Result<Arc<Roster>, StoreError> {
        self.roster_of(user.as_str())
    }

    /// As [`Store::roster`], by the normalised text of the bare JID.
    ///
    /// # Errors
    /// As [`Store::roster`].
    pub fn roster_of(&self, user: &str) -> Result<Arc<Roster>, StoreError> {
        self.inner.roster_of(user)
    }

    /// Makes these changes in one transaction, in order: all or none. Durable and visible to [`Store::roster`] when it
    /// returns the version that the roster got with each; that and the one below it were not given to any other change.
    ///
    /// # Errors
    /// [`StoreError::UnknownAccount`] where a roster's owner has no account, or the database failed.
    pub async fn change_rosters(&self, changes: Vec<RosterChange>) -> Result<Vec<i64>, StoreError> {
        let work = move |db: &Connection| {
            let versions = changes.iter().map(|change| write(db, change)).collect::<Result<Vec<_>, _>>()?;
            Ok((changes, versions))
        };
        let made =
            self.inner.writer.change(work, |memory, (changes, versions)| memory.rosters.publish(changes, versions));
        made.await.map(|(_, versions)| versions)
    }
}

impl Inner {
    pub(super) fn roster_of(&self, user: &str) -> Result<Arc<Roster>, StoreError> {
        // The same look-ups for a name without an account, and no disk: how long it takes must not tell.
        let (has_account, rosters) = (self.memory.accounts.pin().contains_key(user.as_bytes()), &self.memory.rosters);
        match rosters.known(user) {
            Some(known) => Ok(known),
            None if !has_account => Ok(rosters.empty()),
            None => rosters.of(user, || self.readers.read(|db| read(db, user))),
        }
    }
}

/// How many items there are in all rosters.
pub(super) fn count(db: &Connection) -> Result<i64, StoreError> {
    Ok(db.query_row("SELECT count(*) FROM roster_items", [], |row| row.get(0))?)
}

/// The roster of one user.
pub(super) fn read(db: &Connection, user: &str) -> Result<Roster, StoreError> {
    let mut query = db.prepare_cached(
        "SELECT contact, name, group_names, sub_to, sub_from, ask, approved, request, listed, version
         FROM roster_items WHERE user = ?1",
    )?;
    let mut rows = query.query([user])?;
    let (mut roster, mut items) = (Roster::default(), Vec::new());
    let mut versions = db.prepare_cached("SELECT version, whole_before FROM roster_versions WHERE user = ?1")?;
    let found = versions.query_row([user], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    (roster.version, roster.whole_before) = found.unwrap_or_default();
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
            version: row.get(9)?,
        };
        items.push((accounts::parse("roster_items", &contact)?, item));
    }
    // Made at once its nodes are full: a quarter less memory.
    roster.items = items.into_iter().collect();
    Ok(roster)
}

/// Makes a change and returns the roster's new version, or that of an item that the user sees no change of.
fn write(db: &Connection, change: &RosterChange) -> Result<i64, StoreError> {
    let (user, contact) = (change.user.as_str(), change.contact.as_str());
    let unchanged = change.item.as_ref().map_or(0, |item| item.version);
    let version = if change.seen { next_version(db, user, change.removes())? } else { unchanged };
    let Some(item) = &change.item else {
        db.prepare_cached("DELETE FROM roster_items WHERE user = ?1 AND contact = ?2")?.execute([user, contact])?;
        return Ok(version);
    };
    let mut insert = db.prepare_cached(
        "INSERT OR REPLACE INTO roster_items
         (user, contact, name, group_names, sub_to, sub_from, ask, approved, request, listed, version)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
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
        version,
    ));
    outcome.map(|_| version).map_err(|cause| of_no_account(user, cause))
}

/// Gives a roster a new version, which no roster of an earlier account of that name had: it is at least the time in
/// milliseconds. The number below it is left out, for whoever is told of a change in two steps.
pub(super) fn next_version(db: &Connection, user: &str, removes: bool) -> Result<i64, StoreError> {
    let mut next = db.prepare_cached(
        "INSERT INTO roster_versions (user, version, whole_before) VALUES (?1, ?2, ?2)
         ON CONFLICT (user) DO UPDATE SET
             version = max(version + 2, ?2),
             whole_before = iif(?3 OR version = 0, max(version + 2, ?2), whole_before)
         RETURNING version",
    )?;
    let now = jiff::Timestamp::now().as_millisecond();
    next.query_row((user, now, removes), |row| row.get(0)).map_err(|cause| of_no_account(user, cause))
}

/// Has a copy of the database know no version of any roster until its next change: versions that were given after the copy
/// was made are of changes that it does not hold.
pub(super) fn forget_versions(copy: &Connection) -> rusqlite::Result<()> {
    // Before this table there were no versions.
    if copy.prepare("SELECT 1 FROM sqlite_schema WHERE name = 'roster_versions'")?.exists([])? {
        copy.execute("UPDATE roster_versions SET version = 0, whole_before = 1", [])?;
    }
    Ok(())
}

/// The one constraint that a well-typed item can break: its owner has no account.
fn of_no_account(user: &str, cause: rusqlite::Error) -> StoreError {
    match cause.sqlite_error_code() {
        Some(ErrorCode::ConstraintViolation) => StoreError::UnknownAccount(user.into()),
        _ => cause.into(),
    }
}
