//! One performance of a script on a server.

use std::{collections::BTreeMap, fmt, path::PathBuf};

use minidom::Element;

use super::{
    cast::{Cast, Client},
    pattern::{compare, noted},
    performer::Performer,
    script::{Action, How, Script, Xml},
    server::Server,
};
use crate::{
    host::password,
    xmpp::{self, Session, login_as},
};

/// A script that did not go as written.
#[derive(Debug)]
pub struct Failure {
    /// The file.
    pub path: PathBuf,
    /// The line.
    pub line: usize,
    /// What the line says.
    pub step: String,
    /// The section and the rule that do not hold.
    pub rule: String,
    /// What happened instead.
    pub why: String,
}

struct Stage<'a> {
    server: &'a Server,
    cast: Cast,
    clients: BTreeMap<Client, Performer>,
}

type Result<T = (), E = String> = std::result::Result<T, E>;

/// Performs a script, under a number that is its own on this server.
///
/// # Errors
/// The first line at which something else happens.
pub fn perform(script: &Script, server: &Server, number: usize) -> Result<(), Box<Failure>> {
    let mut stage = Stage { server, cast: Cast::new(server.domain(), number), clients: BTreeMap::new() };
    let failure = |line, step: &str, why: String| {
        let rule = format!("{}: {}", script.section, script.rule);
        Box::new(Failure { path: script.path.clone(), line, step: step.to_owned(), rule, why })
    };
    for user in &script.users {
        server.add_account(&stage.cast.localpart(user));
    }
    for step in &script.steps {
        stage.act(&step.action).map_err(|why| failure(step.line, &step.text, stage.cast.unfill(&why)))?;
    }
    let last = script.steps.last().map_or(1, |step| step.line);
    stage.end().map_err(|why| failure(last, "(the end of the script)", stage.cast.unfill(&why)))
}

impl Stage<'_> {
    fn act(&mut self, action: &Action) -> Result {
        self.catch_up(action)?;
        match action {
            Action::Account => Ok(()),
            Action::Subscribe { user, contact, mutual } => self.subscribe(user, contact, *mutual),
            Action::Remove(user) => {
                self.server.remove_account(&self.cast.localpart(user));
                Ok(())
            }
            Action::Restart { in_order } => {
                self.clients.clear();
                self.server.restart(*in_order);
                Ok(())
            }
            Action::Set { setting, value } => {
                self.server.set(setting, value);
                Ok(())
            }
            Action::Connect { client, resource } => self.connect(client, resource),
            Action::LogIn { client, presence } => self.log_in(client, presence),
            Action::Send { client, stanzas } => self.send(client, stanzas),
            Action::Receive { client, how, stanzas } => match how {
                How::InOrder => stanzas.iter().try_for_each(|stanza| self.receive(client, stanza)),
                How::InAnyOrder => self.receive_in_any_order(client, stanzas),
                How::AmongOthers => stanzas.iter().try_for_each(|stanza| self.receive_among_others(client, stanza)),
            },
            Action::NotReceive { client, stanzas } => self.not_receive(client, stanzas),
            Action::ReceiveNothing(client) => {
                self.settle()?;
                self.nothing_waits(client)
            }
            Action::Skip(client) => {
                self.settle()?;
                self.performer(client)?.waiting.clear();
                Ok(())
            }
            Action::LogOut(client) => {
                let performer = self.clients.remove(client).ok_or("it is not connected")?;
                performer.session.close().map_err(|error| error.to_string())
            }
            Action::LoseConnection(client) => self.clients.remove(client).map(drop).ok_or("it is not connected".into()),
            Action::Disconnected { client, error } => self.disconnected(client, error.as_deref()),
            Action::Get { target, body } => self.get(target, body),
        }
    }

    fn connect(&mut self, client: &Client, resource: &str) -> Result {
        let session = self.session(&client.user, resource)?;
        self.cast.bind(client, session.jid());
        self.clients.insert(client.clone(), Performer::new(session));
        Ok(())
    }

    fn session(&self, user: &str, resource: &str) -> Result<Session> {
        let password = password(&self.cast.localpart(user));
        login_as(self.server.address(), &self.cast.bare(user), &password, Some(resource))
            .map_err(|error| format!("{user} can't log in: {error}"))
    }

    fn log_in(&mut self, client: &Client, presence: &Xml) -> Result {
        self.connect(client, &client.resource)?;
        let presence = self.cast.fill(&presence.text);
        let Performer { session, .. } = self.performer(client)?;
        session.roster().map_err(|error| format!("no roster: {error}"))?;
        session.send(&presence).map_err(|error| error.to_string())?;
        session.arrived().map(drop).map_err(|error| error.to_string())
    }

    /// By sessions of the two users that see and show nothing. What their clients learn of it is dropped.
    fn subscribe(&mut self, user: &str, contact: &str, mutual: bool) -> Result {
        let mut sessions = [self.session(user, "friendship")?, self.session(contact, "friendship")?];
        let [one, other] = &mut sessions;
        let subscribed = if mutual { xmpp::befriend(one, other) } else { xmpp::subscribe(one, other) };
        subscribed.map_err(|error| error.to_string())?;
        for session in sessions {
            session.close().map_err(|error| error.to_string())?;
        }
        self.settle()?;
        for (client, performer) in &mut self.clients {
            if [user, contact].contains(&&*client.user) {
                performer.waiting.clear();
            }
        }
        Ok(())
    }

    fn send(&mut self, client: &Client, stanzas: &[Xml]) -> Result {
        for stanza in stanzas {
            let filled = self.cast.fill(&stanza.text);
            self.performer(client)?.send(&filled)?;
        }
        Ok(())
    }

    /// Steps happen one after the other: what a client has sent is processed before another one acts.
    fn catch_up(&mut self, action: &Action) -> Result {
        let actor = match action {
            Action::Account | Action::Receive { .. } | Action::Disconnected { .. } => return Ok(()),
            Action::Send { client, .. } => Some(client),
            _ => None,
        };
        let others = self.clients.iter_mut().filter(|(client, _)| Some(*client) != actor);
        for (client, performer) in others.filter(|(_, performer)| performer.is_ahead) {
            performer.settle().map_err(|error| format!("{client}: {error}"))?;
        }
        Ok(())
    }

    fn receive(&mut self, client: &Client, expected: &Xml) -> Result {
        let (pattern, reader) = (self.pattern(expected)?, self.cast.bare(&client.user));
        let arrived =
            self.next(client)?.ok_or_else(|| format!("expected  {}\nbut nothing arrived", shown(&pattern)))?;
        match compare(&pattern, &arrived, &reader) {
            Ok(()) => self.note(&pattern, &arrived),
            Err(difference) => {
                let behind = self.all_waiting(client);
                return Err(format!(
                    "expected  {}\narrived   {}\n{difference}{behind}",
                    shown(&pattern),
                    shown(&arrived)
                ));
            }
        }
        Ok(())
    }

    /// A stanza that arrives takes the first pattern that it fits.
    fn receive_in_any_order(&mut self, client: &Client, expected: &[Xml]) -> Result {
        let mut patterns = expected.iter().map(|xml| self.pattern(xml)).collect::<Result<Vec<_>>>()?;
        let reader = self.cast.bare(&client.user);
        while !patterns.is_empty() {
            let missing: String = patterns.iter().map(|pattern| format!("\n          {}", shown(pattern))).collect();
            let arrived = self.next(client)?.ok_or_else(|| format!("expected also{missing}\nbut no more arrived"))?;
            match patterns.iter().position(|pattern| compare(pattern, &arrived, &reader).is_ok()) {
                Some(at) => self.note(&patterns.remove(at), &arrived),
                None => return Err(format!("arrived   {}\nexpected one of{missing}", shown(&arrived))),
            }
        }
        Ok(())
    }

    fn receive_among_others(&mut self, client: &Client, expected: &Xml) -> Result {
        let (pattern, reader) = (self.pattern(expected)?, self.cast.bare(&client.user));
        let mut others = String::new();
        while let Some(arrived) = self.next(client)? {
            if compare(&pattern, &arrived, &reader).is_ok() {
                self.note(&pattern, &arrived);
                return Ok(());
            }
            others += &format!("\n          {}", shown(&arrived));
        }
        Err(format!("expected  {}\nbut there came only{others}", shown(&pattern)))
    }

    fn not_receive(&mut self, client: &Client, unwanted: &[Xml]) -> Result {
        self.settle()?;
        let reader = self.cast.bare(&client.user);
        for unwanted in unwanted {
            let pattern = self.pattern(unwanted)?;
            let waiting = &self.performer(client)?.waiting;
            if let Some(found) = waiting.iter().find(|arrived| compare(&pattern, arrived, &reader).is_ok()) {
                return Err(format!("arrived   {}", shown(found)));
            }
        }
        Ok(())
    }

    fn disconnected(&mut self, client: &Client, expected: Option<&str>) -> Result {
        let mut performer = self.clients.remove(client).ok_or("it is not connected")?;
        let error = performer.session.stream().connection().stream_error().map_err(|error| error.to_string())?;
        match error.as_deref() == expected {
            true => Ok(()),
            false => Err(format!("the stream ended with {error:?}, not with {expected:?}")),
        }
    }

    fn get(&mut self, target: &str, body: &Xml) -> Result {
        self.settle()?;
        let answer = self.server.http().get(&self.cast.fill(target));
        let (expected, text) = (self.cast.fill(&body.text), answer.text().trim());
        let difference = if expected.starts_with('<') {
            // The answer is no stanza: it has a namespace of its own, or none.
            let parse =
                |xml: &str| format!("<x xmlns=''>{xml}</x>").parse::<Element>().map_err(|cause| cause.to_string());
            let within = text.split_once("?>").map_or(text, |(_, rest)| rest);
            parse(&expected).and_then(|expected| compare(&expected, &parse(within)?, "")).err()
        } else {
            (expected != text).then(|| "the body differs".into())
        };
        match difference {
            None if answer.status == 200 => Ok(()),
            difference => Err(format!(
                "expected  {expected}\nanswered  {} {text}\n{}",
                answer.status,
                difference.unwrap_or_default()
            )),
        }
    }

    /// Waits until the server has processed what every client sent, and until everything has arrived that this led to.
    fn settle(&mut self) -> Result {
        for _ in 0..2 {
            for (client, performer) in &mut self.clients {
                performer.settle().map_err(|error| format!("{client}: {error}"))?;
            }
        }
        Ok(())
    }

    /// The next stanza of a client; `None` if none comes.
    fn next(&mut self, client: &Client) -> Result<Option<Element>> {
        self.performer(client)?.next()
    }

    fn nothing_waits(&self, client: &Client) -> Result {
        match self.all_waiting(client) {
            waiting if waiting.is_empty() => Ok(()),
            waiting => Err(format!("of {client} no line asks for{waiting}")),
        }
    }

    fn all_waiting(&self, client: &Client) -> String {
        let waiting = self.clients.get(client).into_iter().flat_map(|performer| &performer.waiting);
        waiting.map(|stanza| format!("\nwaiting   {}", shown(stanza))).collect()
    }

    /// What a script does not foresee is a fault, too.
    fn end(&mut self) -> Result {
        self.settle()?;
        self.clients.keys().try_for_each(|client| self.nothing_waits(client))
    }

    fn performer(&mut self, client: &Client) -> Result<&mut Performer> {
        self.clients.get_mut(client).ok_or_else(|| format!("{client} is not connected"))
    }

    fn note(&mut self, pattern: &Element, arrived: &Element) {
        noted(pattern, arrived).into_iter().for_each(|(name, value)| self.cast.note(name, value));
    }

    fn pattern(&self, xml: &Xml) -> Result<Element> {
        xml.parse(&self.cast.fill(&xml.text)).map_err(|cause| format!("line {}: {cause}", xml.line))
    }
}

fn shown(element: &Element) -> String {
    String::from(element).replace(" xmlns='jabber:client'", "").replace(" xmlns=\"jabber:client\"", "")
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}:{}: {}", self.path.display(), self.line, self.step)?;
        for line in self.why.lines() {
            writeln!(f, "    {line}")?;
        }
        write!(f, "    {}", self.rule)
    }
}
