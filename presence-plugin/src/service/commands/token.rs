//! Makes a token: whose presence it shows, then for how long.

use super::{Command, Condition, Outcome, Stage, Step};
use crate::{
    service::forms::{self, Field},
    users::{TooMany, choice::Details, tokens::Wish},
};

const DAY: u64 = 86_400;
const TITLE: &str = "Make a token";
const LIVES: [(&str, &str); 5] =
    [("1", "A day"), ("7", "A week"), ("30", "30 days"), ("90", "90 days"), ("365", "A year")];
const DEFAULT_LIFE: &str = "30";
const WHOSE: &str = "A token lets a program ask the web service in your name. Whose presence is it to show?";
const HOW_LONG: &str = "For how long is it to be good? You can revoke it at any time.";

/// The command.
pub static COMMAND: Command =
    Command { node: "token", name: TITLE, stages: 2, fields: &["of", "what", "days", "label"], form, check, finish };

/// What a user is told who has too many of something.
pub fn too_many(TooMany(most): TooMany, of: &str) -> Condition {
    Condition::too_many(format!("you have {most} {of}, and nobody may have more: revoke one first"))
}

fn form(stage: &Stage<'_>) -> Result<Step, Condition> {
    let value = |name, otherwise| stage.value(name).unwrap_or(otherwise);
    let details = Details::ALL.map(|what| (what.as_str(), what.label()));
    Ok(Step::Form(match stage.number {
        0 => forms::form(
            TITLE,
            WHOSE,
            vec![
                Field::text("of", "Of this user only (empty: of everybody who lets me see them)", value("of", "")),
                Field::choice("what", "What it shows", value("what", Details::Status.as_str()), &details),
            ],
        ),
        _ => forms::form(
            TITLE,
            HOW_LONG,
            vec![
                Field::choice("days", "For how long", value("days", DEFAULT_LIFE), &LIVES),
                Field::text("label", "What you call it", value("label", "")),
            ],
        ),
    }))
}

fn check(stage: &Stage<'_>) -> Result<(), Condition> {
    wish(stage).map(drop)
}

fn wish(stage: &Stage<'_>) -> Result<Wish, Condition> {
    let wrong = |text: &str| Condition::bad_payload(text.to_owned());
    let of = stage.value("of").map(|of| stage.desk.jid(of).ok_or_else(|| wrong("this is no address of a user")));
    let what = stage.value("what").map_or(Some(Details::Status), Details::parse);
    let days = stage.value("days").unwrap_or(DEFAULT_LIFE);
    let days: u64 = days.parse().ok().filter(|days| (1..=366).contains(days)).ok_or_else(|| wrong("1 to 366 days"))?;
    Ok(Wish {
        of: of.transpose()?,
        what: what.ok_or_else(|| wrong("a token shows the state or the status"))?,
        life: days * DAY,
        label: stage.label()?,
    })
}

fn finish(stage: &Stage<'_>) -> Result<Outcome, Condition> {
    let made = stage.desk.mint(stage.user, &wish(stage)?)?;
    let token = made.map_err(|many| too_many(many, "tokens"))?;
    Ok(Outcome {
        // Clients such as Profanity show the note alone.
        note: format!("{token} – whoever has this token can ask in your name. It is not shown again."),
        form: Some(forms::result("Your token", vec![Field::text("token", "Token", token)])),
    })
}
