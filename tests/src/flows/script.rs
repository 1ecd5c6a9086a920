//! Scripts as data. How they are read is in [`super::reading`].

use std::{
    collections::BTreeSet,
    fmt, fs,
    path::{Path, PathBuf},
};

use minidom::Element;

use super::{cast::Client, reading};

/// A flow of several clients that shows one rule.
#[derive(Debug)]
pub struct Script {
    /// The file.
    pub path: PathBuf,
    /// The sections that hold the rule: `RFC 6121 section 2.1.6`.
    pub section: String,
    /// The rule, in a sentence.
    pub rule: String,
    /// The users who have an account.
    pub users: BTreeSet<String>,
    /// What happens, in order.
    pub steps: Vec<Step>,
}

/// A line of a script, with what is indented below it.
#[derive(Debug)]
pub struct Step {
    /// Its number, from 1.
    pub line: usize,
    /// The line.
    pub text: String,
    /// What happens.
    pub action: Action,
}

/// What happens in a step.
#[derive(Debug, PartialEq, Eq)]
pub enum Action {
    /// Accounts are declared, which is seen to before the first step.
    Account,
    /// The first user is subscribed to the presence of the second; if `mutual`, the second to that of the first, too.
    Subscribe { user: String, contact: String, mutual: bool },
    /// The administrator removes the account.
    Remove(String),
    /// The server is restarted, in order or as after a power cut.
    Restart { in_order: bool },
    /// The administrator sets a setting.
    Set { setting: String, value: String },
    /// The client binds a resource, and no more.
    Connect { client: Client, resource: String },
    /// The client connects, asks for the roster and sends this presence; what arrives of it is dropped.
    LogIn { client: Client, presence: Xml },
    /// The client sends these.
    Send { client: Client, stanzas: Vec<Xml> },
    /// These arrive.
    Receive { client: Client, how: How, stanzas: Vec<Xml> },
    /// Nothing of this kind has arrived.
    NotReceive { client: Client, stanzas: Vec<Xml> },
    /// Nothing has arrived.
    ReceiveNothing(Client),
    /// What has arrived is dropped.
    Skip(Client),
    /// The client closes its stream.
    LogOut(Client),
    /// The client's socket closes without a word.
    LoseConnection(Client),
    /// The server ends the stream: with this error, or in order.
    Disconnected { client: Client, error: Option<String> },
    /// A GET of this target is answered with this body.
    Get { target: String, body: Xml },
}

/// How exactly a client's stanzas are foreseen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// The next ones are these, in this order.
    InOrder,
    /// The next ones are these, in any order.
    InAnyOrder,
    /// These come in this order, with others among them.
    AmongOthers,
}

/// XML as written in a script, its names not yet filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Xml {
    /// The line on which it begins.
    pub line: usize,
    /// Its lines, joined.
    pub text: String,
}

/// A fault of a script, with the line at which it stands.
#[derive(Debug, PartialEq, Eq)]
pub struct Fault {
    /// The file.
    pub path: PathBuf,
    /// The line, from 1.
    pub line: usize,
    /// What is wrong.
    pub what: String,
}

impl Script {
    /// Reads a file.
    ///
    /// # Errors
    /// The first line that makes no sense.
    pub fn read(path: &Path) -> Result<Script, Fault> {
        let fault = |(line, what)| Fault { path: path.into(), line, what };
        let text = fs::read_to_string(path).map_err(|cause| fault((0, cause.to_string())))?;
        reading::parse(path, &text).map_err(fault)
    }

    /// Whether it changes the server for everybody, so that it needs one of its own.
    pub fn needs_own_server(&self) -> bool {
        self.steps.iter().any(|step| matches!(step.action, Action::Restart { .. } | Action::Set { .. }))
    }

    /// Whether any XMPP server can perform it: the web, settings and restarts are ours.
    pub fn is_for_any_server(&self) -> bool {
        !self.needs_own_server() && !self.steps.iter().any(|step| matches!(step.action, Action::Get { .. }))
    }
}

impl Xml {
    /// Parses the text, or what became of it when the names were filled in.
    ///
    /// # Errors
    /// It is not one element.
    pub fn parse(&self, filled: &str) -> Result<Element, String> {
        let within: Result<Element, _> = format!("<flow xmlns='jabber:client'>{filled}</flow>").parse();
        let within = within.map_err(|cause| format!("no XML: {cause}; in {filled}"))?;
        let mut children = within.children();
        match (children.next(), children.next()) {
            (Some(one), None) if within.text().trim().is_empty() => Ok(one.clone()),
            _ => Err(format!("one element must begin here, those within it indented deeper: {filled}")),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path.display(), self.line, self.what)
    }
}

impl std::error::Error for Fault {}
