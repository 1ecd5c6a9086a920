//! One look at the watchers: what may be shown of whom they watch, at this moment.

use std::{cell::RefCell, collections::HashMap, rc::Rc, sync::Arc};

use plugin_api::Jid;

use super::event::{self, Tag};
use crate::{
    pace,
    probe::{self, Probes},
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
    users: &'s Users,
    probes: &'s Probes,
    /// The settings that hold.
    pub settings: Arc<Settings>,
    for_nobody: RefCell<HashMap<String, Tagged>>,
}

/// An object that tells what is shown, and its tag.
pub type Tagged = (Tag, Rc<[u8]>);

impl<'s> Round<'s> {
    /// Begins one.
    pub fn new(users: &'s Users, probes: &'s Probes, settings: Arc<Settings>) -> Round<'s> {
        Round { users, probes, settings, for_nobody: RefCell::default() }
    }

    /// Shows `user` to `requester`. `None`: it is a component of which nothing was heard yet, which counts as a refusal: nothing may come of it.
    pub fn look<R>(&self, user: Option<&Jid>, requester: &Requester, answer: impl Fn(&Shown<'_>) -> R) -> Option<R> {
        match user.filter(|user| probe::is_component(user)) {
            Some(component) => {
                let presence = self.probes.last(component);
                if presence.is_none() {
                    pace::refused(Some(component.bare()));
                }
                presence.map(|presence| presence.show(Some(component), answer))
            }
            None => Some(self.users.look(&self.settings, user, requester, answer)),
        }
    }

    /// Shows whoever has an unlisted address. Whose it is, and that it is anybody's, is asked each time.
    pub fn look_at<R>(&self, id: &str, answer: impl Fn(&Shown<'_>) -> R) -> Option<R> {
        let (user, bearer) = self.users.at_address(id).unzip();
        self.look(user.as_ref(), &bearer.unwrap_or_else(Requester::nobody), answer)
    }

    /// What may be shown to `requester`, `None` for nobody in particular, as an object, with its tag; or `None`, as above.
    pub fn document(&self, whom: &Whom, requester: Option<&Requester>) -> Option<Tagged> {
        match (whom, requester) {
            (Whom::Named(user), None) => self.for_nobody(user.as_ref()),
            (Whom::Named(user), Some(requester)) => self.tagged(user.as_ref(), requester, user.as_ref().map(Jid::bare)),
            (Whom::Unlisted(unlisted), _) => {
                let (tag, document) = self.look_at(&unlisted.id, |shown| event::document(shown, None))?;
                Some((tag, document.into()))
            }
        }
    }

    fn for_nobody(&self, user: Option<&Jid>) -> Option<Tagged> {
        let name = user.map_or("", Jid::bare);
        if let Some(known) = self.for_nobody.borrow().get(name) {
            return Some(known.clone());
        }
        let document = self.tagged(user, &Requester::nobody(), user.map(Jid::bare))?;
        self.for_nobody.borrow_mut().insert(name.to_owned(), document.clone());
        Some(document)
    }

    fn tagged(&self, user: Option<&Jid>, requester: &Requester, named: Option<&str>) -> Option<Tagged> {
        let (tag, document) = self.look(user, requester, |shown| event::document(shown, named))?;
        Some((tag, document.into()))
    }
}
