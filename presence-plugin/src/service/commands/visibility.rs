//! Who sees the user on the web, and how much.

use super::{Command, Condition, Outcome, Stage, Step};
use crate::{
    service::forms::{self, Field, Values},
    users::choice::{Choice, Details, Viewers},
};

/// What the form is called.
pub const TITLE: &str = "Who sees my presence on the web";
/// What people read above it.
const INSTRUCTIONS: &str = "Whoever may not see you can't tell whether you exist. Tokens and unlisted addresses that you have made show you to whoever \
                            has them, whatever you choose here.";

/// The command.
pub static COMMAND: Command =
    Command { node: "visibility", name: TITLE, stages: 1, fields: &["who", "what"], form, check, finish };

/// The fields of a choice.
pub fn fields(choice: Choice) -> Vec<Field<'static>> {
    let viewers = Viewers::ALL.map(|who| (who.as_str(), who.label()));
    let details = Details::ALL.map(|what| (what.as_str(), what.label()));
    vec![
        Field::choice("who", "Who sees me", choice.who.as_str(), &viewers),
        Field::choice("what", "What they see", choice.what.as_str(), &details),
    ]
}

/// The choice that was filled in. What was left out is as before.
pub fn read(values: &Values, before: Choice) -> Result<Choice, Condition> {
    let (who, what) = (forms::value(values, "who"), forms::value(values, "what"));
    let wrong = |name| Condition::bad_payload(format!("the field {name} has none of the values that it may have"));
    Ok(Choice {
        who: who.map_or(Some(before.who), Viewers::parse).ok_or_else(|| wrong("who"))?,
        what: what.map_or(Some(before.what), Details::parse).ok_or_else(|| wrong("what"))?,
    })
}

/// What a choice comes to, in a sentence.
pub fn told(choice: Choice) -> String {
    let who = match choice.who {
        Viewers::Default => "whoever this server lets see",
        Viewers::Nobody => "nobody",
        Viewers::Subscribers => "your subscribers",
        Viewers::Anyone => "anyone",
    };
    let what = match choice.what {
        Details::Status => "your state and status text",
        Details::State => "your state, without the status text",
    };
    format!("On the web, {who} can see {what}.")
}

fn before(stage: &Stage<'_>) -> Result<Choice, Condition> {
    Ok(stage.desk.choice(stage.user)?.unwrap_or_default())
}

fn form(stage: &Stage<'_>) -> Result<Step, Condition> {
    Ok(Step::Form(forms::form(TITLE, INSTRUCTIONS, fields(before(stage)?))))
}

fn check(stage: &Stage<'_>) -> Result<(), Condition> {
    read(stage.values, Choice::DEFAULT).map(drop)
}

fn finish(stage: &Stage<'_>) -> Result<Outcome, Condition> {
    let choice = read(stage.values, before(stage)?)?;
    stage.desk.choose(stage.user, choice)?;
    Ok(Outcome::note(told(choice)))
}
