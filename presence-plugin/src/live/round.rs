//! One look at the watchers: what may be shown of whom they watch, at this moment.

use std::{cell::RefCell, collections::HashMap, rc::Rc, sync::Arc};

use plugin_api::Jid;

use super::event::{self, Tag};
use crate::{
    settings::Settings,
    shown::Shown,
    users::{Requester, Users},
};

/// Whom a stream is about, as its client named them.
pub enum Whom {
    /// By an address; `None` for what is none.
    Named(Option<Jid>),
    /// By an unlisted address, which may be revoked at any time. No event names the user.
    Unlisted(Box<Unlisted>),
}

/// An unlisted address.
pub struct Unlisted {
    /// The address.
    pub id: Box<str>,
    /// Whose it is, or was, if it ever was somebody's: whose changes are waited for.
    pub user: Option<Jid>,
}

impl Whom {
    /// Whose changes are waited for.
    pub fn user(&self) -> Option<&Jid> {
        match self {
            Whom::Named(user) => user.as_ref(),
            Whom::Unlisted(unlisted) => unlisted.user.as_ref(),
        }
    }
}

/// A look, in which those who ask for nobody in particular share what they are shown.
pub struct Round<'s> {
    /// The users.
    pub users: &'s Users,
    /// The settings that hold.
    pub settings: Arc<Settings>,
    for_nobody: RefCell<HashMap<String, Tagged>>,
}

/// An object that tells what is shown, and its tag.
pub type Tagged = (Tag, Rc<[u8]>);

impl<'s> Round<'s> {
    /// Begins one.
    pub fn new(users: &'s Users, settings: Arc<Settings>) -> Round<'s> {
        Round { users, settings, for_nobody: RefCell::default() }
    }

    /// What may be shown to `requester`, `None` for nobody in particular, as an object, with its tag.
    pub fn document(&self, whom: &Whom, requester: Option<&Requester>) -> Tagged {
        match (whom, requester) {
            (Whom::Named(user), None) => self.for_nobody(user.as_ref()),
            (Whom::Named(user), Some(requester)) => self.look(user.as_ref(), requester, user.as_ref().map(Jid::bare)),
            // Whose it is, and that it is anybody's, is asked each time.
            (Whom::Unlisted(unlisted), _) => match self.users.at_address(&unlisted.id) {
                Some((user, bearer)) => self.look(Some(&user), &bearer, None),
                None => self.look(None, &Requester::nobody(), None),
            },
        }
    }

    fn for_nobody(&self, user: Option<&Jid>) -> Tagged {
        let name = user.map_or("", Jid::bare);
        if let Some(known) = self.for_nobody.borrow().get(name) {
            return known.clone();
        }
        let document = self.look(user, &Requester::nobody(), user.map(Jid::bare));
        self.for_nobody.borrow_mut().insert(name.to_owned(), document.clone());
        document
    }

    fn look(&self, user: Option<&Jid>, requester: &Requester, named: Option<&str>) -> Tagged {
        let render = |shown: &Shown<'_>| event::document(shown, named);
        let (tag, document) = self.users.look(&self.settings, user, requester, render);
        (tag, document.into())
    }
}
