//! Who waits for news of whom. Users who are watched have one subscription each, however many watch; it ends with the last.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    seats::Refused,
    turns::{Turn, Turns},
};

/// The most users who may be watched at a time: some 400 bytes each, here and in the host.
const MOST_WATCHED: usize = 20_000;
/// The time between two times that the watchers of a user are told. What changes in between is told once, at its end.
const PACE: Duration = Duration::from_millis(100);

/// The watchers `W` by their numbers, and the users they watch, each with a subscription `S`.
pub struct Crowd<S, W> {
    members: BTreeMap<u64, Member<W>>,
    watched: HashMap<Arc<str>, Watched<S>>,
    is_beating: bool,
    is_over: bool,
}

struct Member<W> {
    watcher: W,
    users: Box<[Arc<str>]>,
}

struct Watched<S> {
    /// Held for its end.
    _subscription: S,
    watchers: BTreeSet<u64>,
    turns: Turns,
}

/// What somebody who left has left behind. To be dropped without the lock of the crowd: what it owns may come back to it.
#[must_use = "to be dropped without the lock"]
pub struct Left<S, W> {
    _watcher: Option<W>,
    _subscriptions: Vec<S>,
}

impl<S, W> Default for Crowd<S, W> {
    fn default() -> Crowd<S, W> {
        Crowd { members: BTreeMap::new(), watched: HashMap::new(), is_beating: false, is_over: false }
    }
}

impl<S, W: Clone> Crowd<S, W> {
    /// Lets `watcher` in, who is to hear of these users, each named once. A user whom nobody has watched before is subscribed to.
    ///
    /// # Errors
    /// There is no room, or no subscription: then it is as if this had not been called, but for what the error carries.
    pub fn join<'u>(
        &mut self,
        number: u64,
        watcher: W,
        users: impl Iterator<Item = &'u str>,
        mut subscribe: impl FnMut(&str) -> Option<S>,
    ) -> Result<(), (Refused, Left<S, W>)> {
        let mut joined = Vec::new();
        let mut refused = self.is_over.then_some(Refused::Over);
        for user in users {
            if refused.is_some() {
                break;
            }
            match self.watch(number, user, &mut subscribe) {
                Ok(user) => joined.push(user),
                Err(reason) => refused = Some(reason),
            }
        }
        self.members.insert(number, Member { watcher, users: joined.into() });
        refused.map_or(Ok(()), |reason| Err((reason, self.leave(number))))
    }

    fn watch(
        &mut self,
        number: u64,
        user: &str,
        subscribe: &mut impl FnMut(&str) -> Option<S>,
    ) -> Result<Arc<str>, Refused> {
        let known = self.watched.get_key_value(user).map(|(user, _)| user.clone());
        if let Some((user, watched)) = known.and_then(|user| Some((user.clone(), self.watched.get_mut(&user)?))) {
            watched.watchers.insert(number);
            return Ok(user);
        }
        if self.watched.len() >= MOST_WATCHED {
            return Err(Refused::Full);
        }
        let subscription = subscribe(user).ok_or(Refused::Over)?;
        let (user, watchers) = (Arc::<str>::from(user), BTreeSet::from([number]));
        let watched = Watched { _subscription: subscription, watchers, turns: Turns::default() };
        self.watched.insert(user.clone(), watched);
        Ok(user)
    }

    /// Lets somebody go.
    pub fn leave(&mut self, number: u64) -> Left<S, W> {
        let mut left = Left { _watcher: None, _subscriptions: Vec::new() };
        let Some(Member { watcher, users }) = self.members.remove(&number) else { return left };
        left._watcher = Some(watcher);
        for user in users {
            let Some(watched) = self.watched.get_mut(&user) else { continue };
            watched.watchers.remove(&number);
            if watched.watchers.is_empty() {
                left._subscriptions.extend(self.watched.remove(&user).map(|watched| watched._subscription));
            }
        }
        left
    }

    /// Notes that the presence of `user` changed.
    pub fn hear(&mut self, user: &str, now: Instant) -> Turn {
        self.watched.get_mut(user).map_or(Turn::No, |watched| watched.turns.hear(now, PACE))
    }

    /// Who is to be told of `user` at this moment.
    pub fn audience(&mut self, user: &str, now: Instant) -> Vec<(u64, W)> {
        let Some(watched) = self.watched.get_mut(user) else { return Vec::new() };
        watched.turns.tell(now);
        let member = |number: &u64| Some((*number, self.members.get(number)?.watcher.clone()));
        watched.watchers.iter().filter_map(member).collect()
    }

    /// Who has this number.
    pub fn member(&self, number: u64) -> Option<W> {
        self.members.get(&number).map(|member| member.watcher.clone())
    }

    /// One of so many parts of all watchers.
    pub fn part(&self, part: u64, of: u64) -> Vec<(u64, W)> {
        let members = self.members.iter().filter(|(number, _)| *number % of == part % of);
        members.map(|(number, member)| (*number, member.watcher.clone())).collect()
    }

    /// Whether a beat is to be begun: there is somebody, and none has been.
    pub fn begin_beat(&mut self) -> bool {
        !self.members.is_empty() && !std::mem::replace(&mut self.is_beating, true)
    }

    /// Notes that the beat does not go on: it is begun again at the next occasion.
    pub fn stop_beat(&mut self) {
        self.is_beating = false;
    }

    /// Notes that `user` will not be told of as was promised: the next change is told as if there had been none.
    pub fn forgo(&mut self, user: &str) {
        if let Some(watched) = self.watched.get_mut(user) {
            watched.turns.forgo();
        }
    }

    /// Whether the beat goes on. It ends when nobody is left.
    pub fn goes_on(&mut self) -> bool {
        self.is_beating = !self.members.is_empty();
        self.is_beating
    }

    /// Lets nobody in any more. Answers who is still there.
    pub fn end(&mut self) -> Vec<(u64, W)> {
        self.is_over = true;
        self.part(0, 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Subscription = Arc<()>;

    fn join(crowd: &mut Crowd<Subscription, &'static str>, number: u64, users: &[&str]) -> Vec<Subscription> {
        let mut made = Vec::new();
        let subscribe = |_: &str| {
            made.push(Subscription::default());
            made.last().cloned()
        };
        let joined = crowd.join(number, "somebody", users.iter().copied(), subscribe);
        assert!(joined.is_ok());
        made
    }

    fn numbers(watchers: Vec<(u64, &str)>) -> Vec<u64> {
        watchers.into_iter().map(|(number, _)| number).collect()
    }

    #[test]
    fn one_subscription_serves_all_watchers_and_ends_with_the_last() {
        let (mut crowd, now) = (Crowd::default(), Instant::now());
        let made = join(&mut crowd, 1, &["ann@x", "bob@x"]);
        assert_eq!(made.len(), 2);
        assert!(join(&mut crowd, 2, &["ann@x"]).is_empty());
        assert_eq!(numbers(crowd.audience("ann@x", now)), [1, 2]);
        assert_eq!(numbers(crowd.audience("bob@x", now)), [1]);
        drop(crowd.leave(1));
        assert_eq!(made.iter().map(Arc::strong_count).collect::<Vec<_>>(), [2, 1], "bob's has ended");
        drop(crowd.leave(2));
        assert!(crowd.watched.is_empty() && crowd.members.is_empty());
        assert_eq!(Arc::strong_count(&made[0]), 1);
    }

    #[test]
    fn only_changes_of_users_who_are_watched_are_told() {
        let (mut crowd, now) = (Crowd::default(), Instant::now());
        join(&mut crowd, 1, &["ann@x"]);
        assert_eq!((crowd.hear("bob@x", now), crowd.hear("ann@x", now)), (Turn::No, Turn::Now));
        crowd.audience("ann@x", now);
        assert_eq!(crowd.hear("ann@x", now), Turn::After(PACE));
        assert_eq!(crowd.hear("ann@x", now), Turn::No);
        crowd.forgo("ann@x");
        assert_eq!(crowd.hear("ann@x", now), Turn::After(PACE), "nothing was to come");
        crowd.forgo("ann@x");
        assert_eq!(crowd.hear("ann@x", now + PACE), Turn::Now);
    }

    #[test]
    fn who_is_refused_leaves_nothing_behind() {
        let mut crowd = Crowd::default();
        let users: Vec<String> = (0..=MOST_WATCHED).map(|user| format!("u{user}@x")).collect();
        let refused = crowd.join(1, "somebody", users.iter().map(String::as_str), |_| Some(Subscription::default()));
        assert!(matches!(refused, Err((Refused::Full, _))));
        let refused = crowd.join(2, "somebody", ["ann@x"].into_iter(), |_| None);
        assert!(matches!(refused, Err((Refused::Over, _))));
        assert_eq!(crowd.end().len(), 0);
        let refused = crowd.join(3, "somebody", ["ann@x"].into_iter(), |_| Some(Subscription::default()));
        assert!(matches!(refused, Err((Refused::Over, _))));
        assert!(crowd.watched.is_empty() && crowd.members.is_empty());
    }

    #[test]
    fn each_watcher_is_in_one_part_and_the_beat_goes_on_while_there_are_any() {
        let mut crowd = Crowd::default();
        assert!(!crowd.begin_beat());
        (0..10).for_each(|number| drop(join(&mut crowd, number, &[])));
        assert!(crowd.begin_beat() && !crowd.begin_beat() && crowd.goes_on());
        let parts: Vec<_> = (20..23).map(|part| numbers(crowd.part(part, 3))).collect();
        assert_eq!(parts, [vec![2, 5, 8], vec![0, 3, 6, 9], vec![1, 4, 7]]);
        (0..10).for_each(|number| drop(crowd.leave(number)));
        assert!(!crowd.goes_on() && !crowd.begin_beat());
        drop(join(&mut crowd, 10, &[]));
        assert!(crowd.begin_beat());
        crowd.stop_beat();
        assert!(crowd.begin_beat(), "it was not to come");
    }
}
