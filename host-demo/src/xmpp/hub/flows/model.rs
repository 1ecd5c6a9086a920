//! What two users of one server hear of each other: a model written from the text of RFC 6121, sections 2 to 4 and
//! appendix A, and from nothing else. [`super::random`] compares it with the hub.

use std::collections::BTreeMap;

/// Appendix A.2, what the server of the user does with a stanza that the user sends. `>`: it is routed to the contact.
const OUTBOUND: &str = "
    state         subscribe      unsubscribe   subscribed   unsubscribed
    None          > None+Out     > None        . None       . None
    None+Out      > None+Out     > None        . None+Out   . None+Out
    None+In       > None+Out+In  > None+In     > From       > None
    None+Out+In   > None+Out+In  > None+In     > From+Out   > None+Out
    To            > To           > None        . To         . To
    To+In         > To+In        > None+In     > Both       > To
    From          > From+Out     > From        . From       > None
    From+Out      > From+Out     > From        . From+Out   > None+Out
    Both          > Both         > From        . Both       > To
";

/// Appendix A.3, what the server of the contact does with a stanza that arrives. `>`: it is delivered to the contact.
const INBOUND: &str = "
    state         subscribe      unsubscribe   subscribed   unsubscribed
    None          > None+In      . None        . None       . None
    None+Out      > None+Out+In  . None+Out    > To         > None
    None+In       . None+In      > None        . None+In    . None+In
    None+Out+In   . None+Out+In  > None+Out    > To+In      > None+In
    To            > To+In        . To          . To         > None
    To+In         . To+In        > To          . To+In      > None+In
    From          . From         > None        . From       . From
    From+Out      . From+Out     > None+Out    > Both       > From
    Both          . Both         > To          . Both       > From
";

/// Does the stanza go on, and what is the state afterwards?
fn look_up(table: &'static str, kind: &str, state: &str) -> (bool, &'static str) {
    let mut lines = table.trim_start().lines();
    let column = lines.next().unwrap().split_whitespace().position(|name| name == kind).unwrap();
    let is_row = |line: &&str| line.trim_start().split(' ').next() == Some(state);
    let mut row = lines.find(is_row).unwrap().split_whitespace().skip(2 * column - 1);
    (row.next() == Some(">"), row.next().unwrap())
}

/// Two users and what their clients hear.
pub(super) struct Model {
    pub users: [User; 2],
    /// What each client hears in this step, in no order.
    pub heard: BTreeMap<(usize, usize), Vec<String>>,
}

/// A user, and what the roster says of the other one.
#[derive(Default)]
pub(super) struct User {
    pub jid: String,
    pub item: Item,
    pub resources: BTreeMap<usize, Resource>,
    /// The words of the last goodbye, while nobody has come back: the resource and its status.
    goodbye: Option<(usize, String)>,
}

#[derive(Clone, PartialEq, Debug)]
pub(super) struct Item {
    pub state: &'static str,
    pub listed: bool,
    pub approved: bool,
    pub name: String,
    /// The words of the request that waits.
    pub request: Option<String>,
}

#[derive(Default)]
pub(super) struct Resource {
    pub interested: bool,
    /// The words of the presence that was sent to everybody.
    pub presence: Option<String>,
    was_available: bool,
    directed: bool,
}

impl Default for Item {
    fn default() -> Item {
        Item { state: "None", listed: false, approved: false, name: String::new(), request: None }
    }
}

impl Item {
    pub fn has(&self, part: &str) -> bool {
        self.state == "Both" && part != "In" && part != "Out" || self.state.split('+').any(|own| own == part)
    }

    /// What a roster says of it (section 2.1.2); `None`: nothing.
    pub fn shown(&self, contact: &str) -> Option<String> {
        let subscription = match (self.has("To"), self.has("From")) {
            (true, true) => "both",
            (true, false) => "to",
            (false, true) => "from",
            (false, false) => "none",
        };
        let ask = if self.has("Out") { "subscribe" } else { "" };
        let approved = if self.approved { "true" } else { "" };
        self.listed.then(|| format!("{contact}|{subscription}|{ask}|{approved}|{}", self.name))
    }
}

impl Model {
    pub fn new(jids: [String; 2]) -> Model {
        Model { users: jids.map(|jid| User { jid, ..User::default() }), heard: BTreeMap::new() }
    }

    /// A client connects; `interested`: it asks for the roster.
    pub fn connects(&mut self, user: usize, resource: usize, interested: bool) {
        self.users[user].resources.insert(resource, Resource { interested, ..Resource::default() });
    }

    /// Sections 4.2 and 4.4: to the own resources and to who is subscribed; who is new there learns what there is.
    pub fn available(&mut self, user: usize, resource: usize, words: &str) {
        let other = 1 - user;
        let is_new = self.resource(user, resource).presence.replace(words.to_owned()).is_none();
        self.tell_watchers(user, &self.line("available", user, resource, words));
        if !is_new {
            return;
        }
        self.resource(user, resource).was_available = true;
        self.users[user].goodbye = None;
        for (number, words) in self.present(user).into_iter().filter(|(number, _)| *number != resource) {
            self.tell(user, resource, self.line("available", user, number, &words));
        }
        if self.users[user].item.has("To") {
            self.answer_probe(user, resource);
        }
        if let Some(words) = &self.users[user].item.request {
            let line = format!("subscribe {} {words}", self.users[other].jid);
            self.tell(user, resource, line);
        }
    }

    /// Section 4.5; nobody is told of another goodbye, but section 4.3.2 has it kept.
    pub fn unavailable(&mut self, user: usize, resource: usize, words: &str) {
        let has_left = |resource: &Resource| resource.was_available && resource.presence.is_none();
        if has_left(self.resource(user, resource)) {
            self.users[user].goodbye.iter_mut().for_each(|goodbye| *goodbye = (resource, words.to_owned()));
        }
        self.ends(user, resource, words);
    }

    /// Sections 4.5 and 4.6.3: whoever was told is told of the end, once.
    fn ends(&mut self, user: usize, resource: usize, words: &str) {
        let line = self.line("unavailable", user, resource, words);
        let (was_there, was_directed) = {
            let resource = self.resource(user, resource);
            (resource.presence.is_some(), std::mem::take(&mut resource.directed))
        };
        if was_there {
            self.tell_watchers(user, &line);
            self.users[user].goodbye = Some((resource, words.to_owned()));
        }
        if was_directed && !(was_there && self.users[user].item.has("From")) {
            self.tell_available(1 - user, &line);
        }
        self.resource(user, resource).presence = None;
    }

    /// The server says goodbye for a client that is gone, which hears nothing of it.
    pub fn goes(&mut self, user: usize, resource: usize) {
        self.ends(user, resource, "");
        self.users[user].resources.remove(&resource);
        self.heard.remove(&(user, resource));
    }

    /// Section 4.6.
    pub fn direct(&mut self, user: usize, resource: usize, available: bool, words: &str) {
        self.resource(user, resource).directed = available;
        let kind = if available { "available" } else { "unavailable" };
        self.tell_available(1 - user, &self.line(kind, user, resource, words));
    }

    /// Section 4.3.2.
    pub fn probe(&mut self, user: usize, resource: usize) {
        let other = &self.users[1 - user];
        if !other.item.has("From") {
            let line = format!("unsubscribed {} ", other.jid);
            return self.tell(user, resource, line);
        }
        if !self.answer_probe(user, resource) {
            let line = format!("unavailable {} ", self.users[1 - user].jid);
            self.tell(user, resource, line);
        }
    }

    /// Shows the other user's presence or goodbye. `false`: there is neither.
    fn answer_probe(&mut self, user: usize, resource: usize) -> bool {
        let other = 1 - user;
        let mut lines: Vec<_> =
            self.present(other).iter().map(|(at, words)| self.line("available", other, *at, words)).collect();
        if let (true, Some((at, words))) = (lines.is_empty(), &self.users[other].goodbye) {
            lines.push(self.line("unavailable", other, *at, words) + " delayed");
        }
        let is_known = !lines.is_empty();
        lines.into_iter().for_each(|line| self.tell(user, resource, line));
        is_known
    }

    /// Section 2.3: names a contact.
    pub fn rename(&mut self, user: usize, resource: usize, name: &str) {
        let item = Item { listed: true, name: name.to_owned(), ..self.users[user].item.clone() };
        self.put(user, item);
        self.tell(user, resource, "result".into());
    }

    /// Section 2.5: with the contact go the subscriptions.
    pub fn remove(&mut self, user: usize, resource: usize) {
        let item = self.users[user].item.clone();
        if !item.listed {
            return self.tell(user, resource, "error item-not-found".into());
        }
        self.put(user, Item::default());
        if item.has("To") || item.has("Out") {
            self.arrives("unsubscribe", 1 - user, "");
        }
        if item.has("From") || item.has("In") {
            self.arrives("unsubscribed", 1 - user, "");
        }
        if item.has("From") {
            self.hide(user);
        }
        self.tell(user, resource, "result".into());
    }

    /// Section 3, the side of the user who sends.
    pub fn sends(&mut self, kind: &str, user: usize, words: &str) {
        let before = self.users[user].item.clone();
        let (goes_on, state) = look_up(OUTBOUND, kind, before.state);
        let mut item = Item { state, ..before.clone() };
        match kind {
            "subscribe" => item.listed = true,
            "subscribed" if goes_on => item.listed = true,
            // Section 3.4.2: there is neither a request nor a subscription.
            "subscribed" if !before.has("From") => (item.listed, item.approved) = (true, true),
            "unsubscribed" => item.approved = false,
            _ => {}
        }
        self.put(user, item);
        if goes_on {
            self.arrives(kind, 1 - user, words);
        }
        match kind {
            "subscribed" if goes_on => self.show(user),
            "unsubscribed" if before.has("From") => self.hide(user),
            _ => {}
        }
    }

    /// Section 3, the side of the user to whom it is sent.
    fn arrives(&mut self, kind: &str, user: usize, words: &str) {
        let before = self.users[user].item.clone();
        if kind == "subscribe" && (before.has("From") || before.approved) {
            return self.answers(user);
        }
        let (goes_on, state) = look_up(INBOUND, kind, before.state);
        let line = format!("{kind} {} {words}", self.users[1 - user].jid);
        let request = before.request.clone().or_else(|| Some(words.to_owned()));
        self.put(user, Item { state, request, ..before.clone() });
        match kind {
            _ if !goes_on => {}
            // Section 3.1.3: a request is for available resources, the rest for those that know the roster.
            "subscribe" => self.tell_available(user, &line),
            _ => self.tell_interested(user, &line),
        }
        if kind == "unsubscribe" && before.has("From") {
            self.hide(user);
        }
    }

    /// Sections 3.1.3 and 3.4.2: the server answers a request for its user.
    fn answers(&mut self, user: usize) {
        let item = self.users[user].item.clone();
        if !item.has("From") {
            let (_, asked) = look_up(INBOUND, "subscribe", item.state);
            let (_, state) = look_up(OUTBOUND, "subscribed", asked);
            self.put(user, Item { state, ..item });
        }
        self.arrives("subscribed", 1 - user, "");
        self.show(user);
    }

    /// Changes an item; what the user sees of it is pushed (section 2.1.6).
    fn put(&mut self, user: usize, mut item: Item) {
        item.request = item.request.filter(|_| item.state.contains("In"));
        let contact = self.users[1 - user].jid.clone();
        let before = std::mem::replace(&mut self.users[user].item, item.clone()).shown(&contact);
        let after = item.shown(&contact);
        if before != after {
            let shown = after.unwrap_or_else(|| format!("{contact}|remove|||"));
            self.tell_interested(user, &format!("push {shown}"));
        }
    }

    fn show(&mut self, user: usize) {
        for (resource, words) in self.present(user) {
            self.tell_available(1 - user, &self.line("available", user, resource, &words));
        }
    }

    fn hide(&mut self, user: usize) {
        for (resource, _) in self.present(user) {
            self.tell_available(1 - user, &self.line("unavailable", user, resource, ""));
        }
    }

    /// The words of the last goodbye of a user, while nobody has come back.
    pub fn last_words(&self, user: usize) -> &str {
        self.users[user].goodbye.as_ref().map_or("", |(_, words)| words)
    }

    /// The available resources of a user.
    pub fn present(&self, user: usize) -> Vec<(usize, String)> {
        let resources = self.users[user].resources.iter();
        resources.filter_map(|(number, resource)| Some((*number, resource.presence.clone()?))).collect()
    }

    fn resource(&mut self, user: usize, resource: usize) -> &mut Resource {
        self.users[user].resources.get_mut(&resource).unwrap()
    }

    fn line(&self, kind: &str, user: usize, resource: usize, words: &str) -> String {
        format!("{kind} {}/{resource} {words}", self.users[user].jid)
    }

    fn tell(&mut self, user: usize, resource: usize, line: String) {
        self.heard.entry((user, resource)).or_default().push(line);
    }

    fn tell_watchers(&mut self, user: usize, line: &str) {
        self.tell_available(user, line);
        if self.users[user].item.has("From") {
            self.tell_available(1 - user, line);
        }
    }

    fn tell_available(&mut self, user: usize, line: &str) {
        self.present(user).iter().for_each(|(resource, _)| self.tell(user, *resource, line.to_owned()));
    }

    fn tell_interested(&mut self, user: usize, line: &str) {
        let resources = self.users[user].resources.iter();
        let interested: Vec<_> =
            resources.filter(|(_, resource)| resource.interested).map(|(number, _)| *number).collect();
        interested.into_iter().for_each(|resource| self.tell(user, resource, line.to_owned()));
    }
}
