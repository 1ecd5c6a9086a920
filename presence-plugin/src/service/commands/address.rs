//! Makes an unlisted address.

use super::{Command, Condition, Outcome, Stage, Step, token::too_many};
use crate::service::forms::{self, Field};

const TITLE: &str = "Make an unlisted address";
const INSTRUCTIONS: &str = "Whoever has an unlisted address can see you on the web, and is not told who you are. You can revoke it at any time.";

/// The command.
pub static COMMAND: Command =
    Command { node: "address", name: TITLE, stages: 1, fields: &["label"], form, check, finish };

/// Where an unlisted address is on the web server.
pub fn path(id: &str) -> String {
    format!("/plugins/presence/v1/u/{id}")
}

fn form(stage: &Stage<'_>) -> Result<Step, Condition> {
    let label = stage.value("label").unwrap_or_default();
    Ok(Step::Form(forms::form(TITLE, INSTRUCTIONS, vec![Field::text("label", "What you call it", label)])))
}

fn check(stage: &Stage<'_>) -> Result<(), Condition> {
    stage.label().map(drop)
}

fn finish(stage: &Stage<'_>) -> Result<Outcome, Condition> {
    let made = stage.desk.add_address(stage.user, &stage.label()?)?;
    let id = made.map_err(|many| too_many(many, "unlisted addresses"))?;
    let path = path(&id);
    Ok(Outcome {
        note: format!("{path} – whoever has this address, below that of the web server, can see you."),
        form: Some(forms::result(
            "Your unlisted address",
            vec![Field::text("address", "Address, below that of the web server", path)],
        )),
    })
}
