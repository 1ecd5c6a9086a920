//! Whom a user blocks (XEP-0191) as stored.
//!
//! Every stanza and every look at a presence asks for it, and who is blocked must not get through because a disk is slow
//! or broken: all lists are held in memory from the start, those of nearly all users being empty.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use jid::{BareJid, Jid};
use rusqlite::{Connection, ErrorCode};

use super::{Store, StoreError, memory::Memory};

/// The JIDs that one user blocks, by their normalised text. A value never changes: a change makes a new one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Blocklist {
    jids: BTreeSet<Box<str>>,
}

/// What a user does to the own blocklist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BlocklistChange {
    /// Adds these; one that is there already stays.
    Block(Vec<Jid>),
    /// Takes these out; one that is not there is passed over.
    Unblock(Vec<Jid>),
    /// Takes all out.
    UnblockAll,
}

impl Blocklist {
    /// Whether an address is blocked, given as the normalised text of a JID: by itself, by its bare JID, or by its domain
    /// with or without the resource (section 6 of the XEP). Allocates nothing.
    pub fn blocks(&self, jid: &str) -> bool {
        if self.jids.is_empty() {
            return false;
        }
        // A localpart holds neither `@` nor `/`, a domain no `/`; a resource may hold both.
        let bare = bare(jid);
        let domain_at = bare.find('@').map_or(0, |at| at + 1);
        [jid, bare, &jid[domain_at..], &bare[domain_at..]].into_iter().any(|form| self.jids.contains(form))
    }

    /// The JIDs, sorted.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.jids.iter().map(|jid| &**jid)
    }

    /// How many JIDs there are.
    pub fn len(&self) -> usize {
        self.jids.len()
    }

    /// Whether nobody is blocked.
    pub fn is_empty(&self) -> bool {
        self.jids.is_empty()
    }

    /// The list as a change leaves it.
    pub fn with(&self, change: &BlocklistChange) -> Blocklist {
        let mut jids = self.jids.clone();
        match change {
            BlocklistChange::Block(more) => jids.extend(more.iter().map(|jid| jid.as_str().into())),
            BlocklistChange::Unblock(fewer) => {
                for jid in fewer {
                    jids.remove(jid.as_str());
                }
            }
            BlocklistChange::UnblockAll => jids.clear(),
        }
        Blocklist { jids }
    }
}

impl Store {
    /// The blocklist of `user`; empty without one. Costs no I/O and no lock.
    pub fn blocklist(&self, user: &BareJid) -> Arc<Blocklist> {
        self.inner.memory.blocklists.pin().get(user.as_str()).cloned().unwrap_or_default()
    }

    /// Whether a user blocks `other`, both given as the normalised text of a JID; that of the user may have a resource.
    /// Nobody blocks the own resources, whatever the list says (section 5 of the XEP). Costs no I/O and no lock.
    pub fn blocks(&self, user: &str, other: &str) -> bool {
        let user = bare(user);
        self.inner.memory.blocklists.pin().get(user).is_some_and(|list| list.blocks(other) && bare(other) != user)
    }

    /// Changes the blocklist of `user`. Durable and visible when it returns.
    ///
    /// # Errors
    /// [`StoreError::UnknownAccount`] if somebody without an account blocks, or the database failed.
    pub async fn change_blocklist(&self, user: &BareJid, change: BlocklistChange) -> Result<(), StoreError> {
        let user = user.clone();
        let work = move |db: &Connection| {
            write(db, user.as_str(), &change)?;
            Ok((user, change))
        };
        let publish = |memory: &Memory, (user, change): &(BareJid, BlocklistChange)| {
            let lists = memory.blocklists.pin();
            let list = lists.get(user.as_str()).map(|list| list.with(change));
            match list.unwrap_or_else(|| Blocklist::default().with(change)) {
                empty if empty.jids.is_empty() => lists.remove(user.as_str()),
                list => lists.insert(user.as_str().into(), Arc::new(list)),
            };
        };
        self.inner.writer.change(work, publish).await.map(drop)
    }
}

/// The bare JID within the text of a JID.
fn bare(jid: &str) -> &str {
    jid.split_once('/').map_or(jid, |(bare, _)| bare)
}

/// All blocklists that are not empty, by user.
pub(super) fn read_all(db: &Connection) -> Result<BTreeMap<Box<str>, Blocklist>, StoreError> {
    let mut query = db.prepare("SELECT user, jid FROM blocked_jids")?;
    let mut rows = query.query([])?;
    let mut lists = BTreeMap::<_, Blocklist>::new();
    while let Some(row) = rows.next()? {
        let (user, jid): (Box<str>, String) = (row.get(0)?, row.get(1)?);
        let jid = Jid::new(&jid)
            .map_err(|cause| StoreError::unreadable(format!("blocked_jids, {user}, {jid:?}"), cause))?
            .into_inner()
            .into();
        lists.entry(user).or_default().jids.insert(jid);
    }
    Ok(lists)
}

fn write(db: &Connection, user: &str, change: &BlocklistChange) -> Result<(), StoreError> {
    let for_each = |sql: &str, jids: &[Jid]| {
        let mut statement = db.prepare_cached(sql)?;
        jids.iter().try_for_each(|jid| statement.execute([user, jid.as_str()]).map(drop))
    };
    let outcome = match change {
        BlocklistChange::Block(jids) => {
            for_each("INSERT INTO blocked_jids (user, jid) VALUES (?1, ?2) ON CONFLICT DO NOTHING", jids)
        }
        BlocklistChange::Unblock(jids) => for_each("DELETE FROM blocked_jids WHERE user = ?1 AND jid = ?2", jids),
        BlocklistChange::UnblockAll => db.execute("DELETE FROM blocked_jids WHERE user = ?1", [user]).map(drop),
    };
    outcome.map_err(|cause: rusqlite::Error| match cause.sqlite_error_code() {
        // The one constraint left that can be broken: the list's owner has no account.
        Some(ErrorCode::ConstraintViolation) => StoreError::UnknownAccount(user.into()),
        _ => cause.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jids(texts: &[&str]) -> Vec<Jid> {
        texts.iter().map(|text| Jid::new(text).unwrap()).collect()
    }

    fn list(texts: &[&str]) -> Blocklist {
        Blocklist::default().with(&BlocklistChange::Block(jids(texts)))
    }

    #[test]
    fn a_jid_is_blocked_by_itself_its_bare_jid_and_its_domain() {
        let blocked = |list: &[&str], jid: &str| self::list(list).blocks(jid);
        for form in ["bob@x/a@b/c", "bob@x", "x/a@b/c", "x"] {
            assert!(blocked(&[form], "bob@x/a@b/c"), "{form}");
        }
        for form in ["bob@x/a", "bob@x/a@b", "x/a", "b/c", "b", "ob@x", "bob@sub.x", "bob@y", "y"] {
            assert!(!blocked(&[form], "bob@x/a@b/c"), "{form}");
        }
        assert!(!blocked(&["bob@x/a", "x/a"], "bob@x"));
        assert!(blocked(&["x"], "x"));
        assert!(blocked(&["x"], "x/a"));
        assert!(!blocked(&["bob@x"], "x"));
        assert!(!blocked(&["x"], "sub.x"));
        assert!(!blocked(&["x"], ""));
    }

    #[test]
    fn a_change_makes_a_new_list() {
        let before = list(&["bob@x", "y"]);
        let after = before.with(&BlocklistChange::Unblock(jids(&["BOB@x", "cat@x"])));
        assert_eq!(before.iter().collect::<Vec<_>>(), ["bob@x", "y"]);
        assert_eq!(after, list(&["y"]));
        assert_eq!(after.with(&BlocklistChange::Block(jids(&["Y", "cat@X"]))), list(&["cat@x", "y"]));
        assert_eq!(after.with(&BlocklistChange::UnblockAll), Blocklist::default());
    }
}
