//! Last activity (XEP-0012): since when a user is offline, for those who may know, and since when the server runs.

use jid::BareJid;
use minidom::Element;

use super::{
    Hub,
    stanza::{Condition, element, ns},
};
use crate::store::Goodbye;

impl Hub {
    /// How long the server runs (section 5).
    pub(super) fn uptime(&self) -> Element {
        answer(self.started.elapsed().as_secs(), None)
    }

    /// How long a user is offline, and with which last words; 0 while the user is there (section 4).
    pub(super) fn last_activity(&self, user: &BareJid) -> Result<Element, Condition> {
        if !self.registry.available(user).is_empty() {
            return Ok(answer(0, None));
        }
        let Goodbye { status, at, .. } = self.store.goodbyes(&[user])?.pop().ok_or(Condition::ItemNotFound)?;
        let passed = (jiff::Timestamp::now().as_millisecond() - at).max(0) / 1000;
        Ok(answer(passed.unsigned_abs(), status.as_deref()))
    }
}

fn answer(seconds: u64, status: Option<&str>) -> Element {
    let mut query = element("query", ns::LAST, [("seconds", &seconds.to_string())]);
    if let Some(status) = status {
        query.append_text(status);
    }
    query
}
