//! Ad-hoc commands (XEP-0050): forms in several steps, between which a session remembers what was filled in.

mod address;
mod revoke;
mod sessions;
mod token;
pub mod visibility;

pub use self::{
    address::path as address_path,
    revoke::{address_line, sentence as revoked, token_line},
    token::too_many,
    visibility::told,
};
use super::{
    Condition, Desk, Element, User,
    forms::{self, Values},
};
use sessions::{Session, Sessions};

/// The namespace of commands, and the node below which they are listed.
pub const NAMESPACE: &str = "http://jabber.org/protocol/commands";
/// The longest label of a token or address, in characters.
const LONGEST_LABEL: usize = 64;

/// Everything that can be done.
pub static COMMANDS: [&Command; 5] =
    [&visibility::COMMAND, &token::COMMAND, &revoke::TOKENS, &address::COMMAND, &revoke::ADDRESSES];

/// A command: so many forms, then something is done.
pub struct Command {
    /// By this it is called.
    pub node: &'static str,
    /// What people read.
    pub name: &'static str,
    /// How many forms it has.
    stages: usize,
    /// The fields of all its forms.
    fields: &'static [&'static str],
    /// The form of a stage, filled in with what is known.
    form: fn(&Stage<'_>) -> Result<Step, Condition>,
    /// Whether what a stage was filled in with will do.
    check: fn(&Stage<'_>) -> Result<(), Condition>,
    /// Does what was asked.
    finish: fn(&Stage<'_>) -> Result<Outcome, Condition>,
}

/// Where a user is in a command.
struct Stage<'a> {
    desk: &'a dyn Desk,
    user: &'a str,
    number: usize,
    values: &'a Values,
}

/// What a command comes to next.
enum Step {
    /// A form to be filled in.
    Form(Element),
    /// Its end.
    Done(Outcome),
}

/// How a command ended well.
struct Outcome {
    note: String,
    form: Option<Element>,
}

/// Whether a command has come to its end by a step.
enum End {
    NotYet,
    Completed(Outcome),
    Canceled,
}

/// What a user asks of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Execute,
    Next,
    Prev,
    Complete,
    Cancel,
}

/// The command of this node.
pub fn named(node: &str) -> Option<&'static Command> {
    COMMANDS.into_iter().find(|command| command.node == node)
}

/// The commands that are under way.
#[derive(Default)]
pub struct Commands {
    sessions: Sessions,
}

impl Commands {
    /// The answer to a step of a command.
    pub fn reply(&self, desk: &dyn Desk, user: User<'_>, step: &Element) -> Result<Element, Condition> {
        let command = step.attribute("node").and_then(named).ok_or(Condition::ITEM_NOT_FOUND)?;
        let action = Action::parse(step.attribute("action")).ok_or(Condition::MALFORMED_ACTION)?;
        let mut session = match step.attribute("sessionid") {
            Some(id) => self.sessions.take(id, user.full, command.node)?,
            None if action == Action::Execute => {
                let session = Session::new(user.full, command.node)?;
                return self.show(desk, user, command, session);
            }
            None => return Err(Condition::BAD_SESSION),
        };
        let acted = filled_in(step, action)
            .and_then(|(action, filled)| self.act(desk, user, command, action, &mut session, filled));
        match acted {
            Ok(End::Canceled) => Ok(status(&session, "canceled")),
            Ok(End::Completed(outcome)) => Ok(completed(&session, outcome)),
            Ok(End::NotYet) => self.show(desk, user, command, session),
            // What was filled in wrong can be filled in again.
            Err(condition) => {
                self.sessions.keep(session);
                Err(condition)
            }
        }
    }

    /// Takes a step (section 3.4 of the XEP), if the stage offers it.
    fn act(
        &self,
        desk: &dyn Desk,
        user: User<'_>,
        command: &Command,
        action: Action,
        session: &mut Session,
        filled: Values,
    ) -> Result<End, Condition> {
        let is_last = session.stage + 1 == command.stages;
        match action {
            Action::Cancel => Ok(End::Canceled),
            Action::Prev if session.stage > 0 => {
                session.values = session.with(command.fields, filled)?;
                session.stage -= 1;
                Ok(End::NotYet)
            }
            Action::Next if !is_last => forward(desk, user, command, session, filled),
            Action::Complete if is_last => forward(desk, user, command, session, filled),
            Action::Execute => forward(desk, user, command, session, filled),
            Action::Prev | Action::Next | Action::Complete => Err(Condition::BAD_ACTION),
        }
    }

    /// Shows the form of the session's stage.
    fn show(&self, desk: &dyn Desk, user: User<'_>, command: &Command, session: Session) -> Result<Element, Condition> {
        let stage = Stage { desk, user: user.bare, number: session.stage, values: &session.values };
        Ok(match (command.form)(&stage)? {
            Step::Form(form) => {
                let answer = status(&session, "executing").child(actions(&session, command)).child(form);
                self.sessions.keep(session);
                answer
            }
            Step::Done(outcome) => completed(&session, outcome),
        })
    }
}

impl Action {
    fn parse(attribute: Option<&str>) -> Option<Action> {
        match attribute {
            None | Some("execute") => Some(Action::Execute),
            Some("next") => Some(Action::Next),
            Some("prev") => Some(Action::Prev),
            Some("complete") => Some(Action::Complete),
            Some("cancel") => Some(Action::Cancel),
            Some(_) => None,
        }
    }
}

impl Stage<'_> {
    /// What a field was filled in with.
    fn value(&self, name: &str) -> Option<&str> {
        forms::value(self.values, name)
    }

    /// The label that was filled in, which is one line.
    fn label(&self) -> Result<String, Condition> {
        label(self.value("label").unwrap_or_default())
    }
}

impl Outcome {
    fn note(note: impl Into<String>) -> Outcome {
        Outcome { note: note.into(), form: None }
    }
}

/// A label as it is kept: one line.
pub fn label(text: &str) -> Result<String, Condition> {
    let line = crate::text::one_line(text);
    if line.chars().count() > LONGEST_LABEL {
        return Err(Condition::bad_payload(format!("a label has at most {LONGEST_LABEL} characters")));
    }
    Ok(line)
}

/// What a step has filled in, and the action that this makes of it: a form can be cancelled, too (XEP-0004 section 3.1). Clients that leave
/// a form may send it along as it was shown to them, which fills nothing in.
fn filled_in(step: &Element, action: Action) -> Result<(Action, Values), Condition> {
    let form = step.find("x", forms::NAMESPACE).filter(|_| action != Action::Cancel);
    let Some(form) = form else { return Ok((action, Values::new())) };
    if form.attribute("type") == Some("cancel") {
        return Ok((Action::Cancel, Values::new()));
    }
    match forms::submitted(form) {
        Some(filled) => Ok((action, filled)),
        None if action == Action::Prev => Ok((action, Values::new())),
        None => Err(Condition::bad_payload("the form is none that was filled in".into())),
    }
}

/// Goes on to the next stage, or to the end.
fn forward(
    desk: &dyn Desk,
    user: User<'_>,
    command: &Command,
    session: &mut Session,
    filled: Values,
) -> Result<End, Condition> {
    let values = session.with(command.fields, filled)?;
    let stage = Stage { desk, user: user.bare, number: session.stage, values: &values };
    (command.check)(&stage)?;
    if session.stage + 1 == command.stages {
        return Ok(End::Completed((command.finish)(&stage)?));
    }
    session.stage += 1;
    session.values = values;
    Ok(End::NotYet)
}

fn status(session: &Session, status: &str) -> Element {
    Element::new("command", NAMESPACE).with("node", session.node).with("sessionid", &*session.id).with("status", status)
}

fn actions(session: &Session, command: &Command) -> Element {
    let forward = if session.stage + 1 == command.stages { "complete" } else { "next" };
    let action = |name| Element::new(name, NAMESPACE);
    let actions = action("actions").with("execute", forward);
    let actions = if session.stage > 0 { actions.child(action("prev")) } else { actions };
    actions.child(action(forward))
}

fn completed(session: &Session, outcome: Outcome) -> Element {
    let note = Element::new("note", NAMESPACE).with("type", "info").text(outcome.note);
    status(session, "completed").child(note).children_from(outcome.form)
}
