//! Accounts by their users (XEP-0077, sections 3.2 and 3.3): a new password, and the end. Accounts are made by the administrator.

use std::{sync::Arc, time::Instant};

use minidom::Element;
use tokio::task::spawn_blocking;

use super::{
    ConnectedResource, Hub,
    stanza::{Condition, ns, result},
};
use crate::xmpp::sasl;

impl Hub {
    /// Says who the user is, and what may be changed (section 3.1).
    pub(super) fn registration(&self, from: &ConnectedResource) -> Element {
        let mut query = Element::bare("query", ns::REGISTER);
        query.append_child(Element::bare("registered", ns::REGISTER));
        let mut username = Element::bare("username", ns::REGISTER);
        username.append_text(localpart(from));
        query.append_child(username);
        query.append_child(Element::bare("password", ns::REGISTER));
        query
    }

    /// Changes the password of the sender's account, or removes it. Returns what remains to be answered.
    pub(super) async fn change_registration(
        &self,
        from: &Arc<ConnectedResource>,
        request: &Element,
        query: &Element,
    ) -> Result<Option<Element>, Condition> {
        if from.is_anonymous() {
            return Err(Condition::NotAllowed);
        }
        if query.has_child("remove", ns::REGISTER) {
            return self.remove_own_account(from, request, query).await.map(|()| None);
        }
        let text = |name| query.get_child(name, ns::REGISTER).map(Element::text).ok_or(Condition::BadRequest);
        let (username, password) = (text("username")?, text("password")?);
        if username != localpart(from) {
            return Err(Condition::NotAllowed);
        }
        if !self.passwords.admit(from.user(), Instant::now()) {
            return Err(Condition::TooOften);
        }
        let turn = sasl::turn_to_hash().await;
        let derived = spawn_blocking(move || sasl::derive(&password)).await;
        drop(turn);
        let credentials = derived.map_err(|_| Condition::InternalServerError)?.map_err(|_| Condition::NotAcceptable)?;
        self.store.set_credentials(from.user(), &credentials).await?;
        log::info!("{} has a new password, by the user", from.user());
        Ok(Some(result(request, None)))
    }

    /// The answer is sent on the way: after it is done, and before this session ends with its account.
    async fn remove_own_account(
        &self,
        from: &Arc<ConnectedResource>,
        request: &Element,
        query: &Element,
    ) -> Result<(), Condition> {
        // Section 3.2: nothing else beside it.
        if query.children().count() != 1 {
            return Err(Condition::BadRequest);
        }
        self.remove_account_for(from.user(), Some((from, &result(request, None)))).await?;
        log::info!("{} is removed, by the user", from.user());
        Ok(())
    }
}

fn localpart(from: &ConnectedResource) -> &str {
    from.user().node().map_or("", |node| node.as_str())
}
