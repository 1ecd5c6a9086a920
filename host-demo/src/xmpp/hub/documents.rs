//! What clients keep on the server: XML of their own (XEP-0049), and the card by which a user is known to others (XEP-0054).

use std::collections::BTreeMap;

use jid::{BareJid, Jid};
use minidom::Element;

use super::{
    ConnectedResource, Hub,
    stanza::{Condition, ns},
};

/// The name under which a card is stored; those of private documents have a space in them.
const CARD: &str = "vcard";
/// The most bytes of a card: it is shown to whoever asks.
const MAX_CARD: usize = 128 << 10;

impl Hub {
    /// Answers with what was stored under the name of the only child, or with that child, empty (XEP-0049 section 3.2).
    pub(super) fn private_get(&self, from: &ConnectedResource, query: &Element) -> Result<Element, Condition> {
        let mut children = query.children();
        let (Some(asked), None) = (children.next(), children.next()) else { return Err(Condition::BadRequest) };
        let stored = self.read_document(from.user(), &private_name(asked)?)?;
        let mut answer = Element::bare("query", ns::PRIVATE);
        answer.append_child(stored.unwrap_or_else(|| Element::bare(asked.name(), asked.ns())));
        Ok(answer)
    }

    /// Stores each child under its name, in the place of what was there (XEP-0049 section 3.1).
    pub(super) async fn private_set(&self, from: &ConnectedResource, query: &Element) -> Result<(), Condition> {
        let mut documents = BTreeMap::new();
        for child in query.children() {
            documents.insert(private_name(child)?, String::from(child));
        }
        if documents.is_empty() {
            return Err(Condition::BadRequest);
        }
        self.write_documents(from.user(), documents.into_iter().collect()).await
    }

    /// The user's own card (XEP-0054 section 3.1).
    pub(super) fn own_card(&self, user: &BareJid) -> Result<Element, Condition> {
        self.read_document(user, CARD)?.ok_or(Condition::ItemNotFound)
    }

    /// The card of somebody else (section 3.3). Without one, and for who is blocked, it is as if there were no user.
    pub(super) fn card_for(&self, from: &Jid, to: &BareJid) -> Result<Element, Condition> {
        if self.store.blocks(to.as_str(), from.as_str()) {
            return Err(Condition::ServiceUnavailable);
        }
        self.read_document(to, CARD)?.ok_or(Condition::ServiceUnavailable)
    }

    /// Stores the user's card (section 3.2).
    pub(super) async fn set_card(&self, user: &BareJid, card: &Element) -> Result<(), Condition> {
        let card = String::from(card);
        if card.len() > MAX_CARD {
            return Err(Condition::PolicyViolation);
        }
        self.write_documents(user, vec![(CARD.to_owned(), card)]).await
    }

    fn read_document(&self, user: &BareJid, name: &str) -> Result<Option<Element>, Condition> {
        let content = self.store.document(user, name)?;
        Ok(content.and_then(|content| {
            content.parse().inspect_err(|cause| log::error!("{user}: {name} can't be read: {cause}")).ok()
        }))
    }

    async fn write_documents(&self, user: &BareJid, documents: Vec<(String, String)>) -> Result<(), Condition> {
        match self.store.store_documents(user, documents).await? {
            true => Ok(()),
            false => Err(Condition::ResourceConstraint),
        }
    }
}

/// By namespace and name; those of XMPP itself are not for storage (XEP-0049 section 3.1).
fn private_name(document: &Element) -> Result<String, Condition> {
    let namespace = document.ns();
    let is_reserved = matches!(namespace.as_str(), "" | ns::CLIENT | ns::PRIVATE | ns::VCARD);
    if is_reserved { Err(Condition::NotAcceptable) } else { Ok(format!("{namespace} {}", document.name())) }
}
