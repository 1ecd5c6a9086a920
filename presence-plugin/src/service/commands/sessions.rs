//! What was filled in so far. Few sessions a user, not for long: a client that goes away does not say so.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use crate::{
    service::{Condition, bare, forms::Values},
    users::random,
};

/// For how long a session waits for the next step.
const LIFE: Duration = Duration::from_secs(600);
/// How many a user may have; one more ends the oldest.
const MOST_OF_ONE: usize = 4;
/// How many there may be.
const MOST: usize = 1_000;
/// How long the values of a session are together, in bytes: there is room for the longest JID, or for all ids of tokens and addresses.
const LONGEST: usize = 4 * 1024;

/// A command under way.
#[derive(Clone, Debug)]
pub struct Session {
    /// By this the client names it.
    pub id: String,
    /// Whose it is, a full JID.
    pub user: String,
    /// The command.
    pub node: &'static str,
    /// The form that was shown last.
    pub stage: usize,
    /// What was filled in so far.
    pub values: Values,
    touched: Instant,
}

impl Session {
    /// A new one.
    pub fn new(user: &str, node: &'static str) -> Result<Session, Condition> {
        let id = format!("{:032x}", u128::from_ne_bytes(random()?));
        Ok(Session { id, user: user.to_owned(), node, stage: 0, values: Values::new(), touched: Instant::now() })
    }

    /// What is filled in with these values as well, of those `fields` that the command has: clients may send any others.
    ///
    /// # Errors
    /// It is more than a session holds.
    pub fn with(&self, fields: &[&str], filled: Values) -> Result<Values, Condition> {
        let mut values = self.values.clone();
        values.extend(filled.into_iter().filter(|(name, _)| fields.contains(&name.as_str())));
        let length: usize = values.values().flatten().map(|value| size_of::<String>() + value.len()).sum();
        if length > LONGEST {
            return Err(Condition::bad_payload(format!("what is filled in has {LONGEST} bytes together at most")));
        }
        Ok(values)
    }
}

/// All of them.
pub struct Sessions {
    by_id: Mutex<HashMap<String, Session>>,
    life: Duration,
}

impl Default for Sessions {
    fn default() -> Sessions {
        Sessions { by_id: Mutex::default(), life: LIFE }
    }
}

impl Sessions {
    /// Takes a session out, for its next step.
    pub fn take(&self, id: &str, user: &str, node: &str) -> Result<Session, Condition> {
        let mut sessions = self.by_id.lock().unwrap_or_else(PoisonError::into_inner);
        let is_same = |session: &Session| session.user == user && session.node == node;
        if !sessions.get(id).is_some_and(is_same) {
            return Err(Condition::BAD_SESSION);
        }
        let session = sessions.remove(id).ok_or(Condition::BAD_SESSION)?;
        if session.touched.elapsed() >= self.life { Err(Condition::SESSION_EXPIRED) } else { Ok(session) }
    }

    /// Keeps a session until its next step.
    pub fn keep(&self, session: Session) {
        let mut sessions = self.by_id.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.retain(|_, session| session.touched.elapsed() < self.life);
        let user = bare(&session.user).to_owned();
        make_room(&mut sessions, MOST_OF_ONE, |session| bare(&session.user) == user);
        make_room(&mut sessions, MOST, |_| true);
        sessions.insert(session.id.clone(), Session { touched: Instant::now(), ..session });
    }
}

/// Ends the oldest of these sessions, if there are as many as there may be.
fn make_room(sessions: &mut HashMap<String, Session>, most: usize, counts: impl Fn(&Session) -> bool) {
    let of_these = sessions.values().filter(|session| counts(session));
    if of_these.clone().count() >= most {
        let oldest = of_these.min_by_key(|session| session.touched).map(|session| session.id.clone());
        oldest.and_then(|id| sessions.remove(&id));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(sessions: &Sessions, user: &str) -> Session {
        let session = Session::new(user, "visibility").unwrap();
        sessions.keep(session.clone());
        session
    }

    #[test]
    fn a_session_is_its_users_and_its_commands_alone() {
        let sessions = Sessions::default();
        let Session { id, .. } = kept(&sessions, "ann@x/pc");
        for (id, user, node) in
            [("0", "ann@x/pc", "visibility"), (&*id, "ann@x/phone", "visibility"), (&*id, "ann@x/pc", "token")]
        {
            assert_eq!(sessions.take(id, user, node).err(), Some(Condition::BAD_SESSION));
        }
        assert!(sessions.take(&id, "ann@x/pc", "visibility").is_ok());
        assert!(sessions.take(&id, "ann@x/pc", "visibility").is_err(), "it was taken out");
    }

    #[test]
    fn a_session_that_was_left_alone_expires() {
        let sessions = Sessions { life: Duration::ZERO, ..Sessions::default() };
        let Session { id, .. } = kept(&sessions, "ann@x/pc");
        assert_eq!(sessions.take(&id, "ann@x/pc", "visibility").err(), Some(Condition::SESSION_EXPIRED));
        (0..3).for_each(|pc| drop(kept(&sessions, &format!("ann@x/{pc}"))));
        assert_eq!(sessions.by_id.lock().unwrap().len(), 1, "the others went when the last one came");
    }

    #[test]
    fn a_session_holds_the_fields_of_its_command_and_no_more_of_them_than_it_may() {
        let mut session = Session::new("ann@x/pc", "token").unwrap();
        let filled =
            |name: &str, values: Vec<String>| Values::from([(name.into(), values), ("FORM_TYPE".into(), vec![])]);
        session.values = session.with(&["of", "label"], filled("of", vec!["bob@x".into()])).unwrap();
        session.values = session.with(&["of", "label"], filled("more", vec!["x".repeat(LONGEST)])).unwrap();
        assert_eq!(session.values, Values::from([("of".into(), vec!["bob@x".into()])]));
        for long in [vec!["x".repeat(LONGEST)], vec![String::new(); LONGEST / 4]] {
            assert!(session.with(&["of", "label"], filled("label", long)).is_err());
        }
        let longest = "x".repeat(3071);
        assert!(session.with(&["of", "label"], filled("of", vec![longest])).is_ok());
    }

    #[test]
    fn there_are_few_of_one_user_and_a_thousand_in_all() {
        let sessions = Sessions::default();
        let mine: Vec<_> = (0..5).map(|pc| kept(&sessions, &format!("ann@x/{pc}"))).collect();
        let is_there = |session: &Session| sessions.by_id.lock().unwrap().contains_key(&session.id);
        assert_eq!(mine.iter().map(is_there).collect::<Vec<_>>(), [false, true, true, true, true]);
        (0..1_100).for_each(|user| drop(kept(&sessions, &format!("{user}@x/pc"))));
        assert_eq!(sessions.by_id.lock().unwrap().len(), MOST);
    }
}
