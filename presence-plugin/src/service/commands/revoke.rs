//! Lists tokens or unlisted addresses, and revokes those that were chosen, after one more look at them.

use super::{Command, Condition, Outcome, Stage, Step};
use crate::{
    moment::Moment,
    service::forms::{self, Field},
    users::{addresses::Address, tokens::Issued},
};

/// The command for tokens.
pub static TOKENS: Command = Command {
    node: "tokens",
    name: "My tokens",
    stages: 2,
    fields: &["revoke"],
    form: |stage| form(stage, "token", tokens(stage)?),
    check: |stage| check(stage, &tokens(stage)?),
    finish: |stage| Ok(told(stage.desk.revoke_tokens(stage.user, chosen(stage))?, "token")),
};

/// The command for unlisted addresses.
pub static ADDRESSES: Command = Command {
    node: "addresses",
    name: "My unlisted addresses",
    stages: 2,
    fields: &["revoke"],
    form: |stage| form(stage, "unlisted address", addresses(stage)?),
    check: |stage| check(stage, &addresses(stage)?),
    finish: |stage| Ok(told(stage.desk.revoke_addresses(stage.user, chosen(stage))?, "unlisted address")),
};

/// What there is: by what it is named, and what people read.
type Listed = Vec<(String, String)>;

/// A token in a line.
pub fn token_line(token: &Issued) -> String {
    let of = if token.of.is_empty() { "everybody" } else { &token.of };
    let until = Moment(token.expires.saturating_mul(1_000)).to_string();
    let day = until.split('T').next().unwrap_or_default();
    format!("{}{} of {of}, until {day}", named(&token.label), token.what.as_str())
}

/// An unlisted address in a line.
pub fn address_line(address: &Address) -> String {
    format!("{}{}", named(&address.label), super::address::path(&address.id))
}

/// What became of so many.
pub fn told(count: usize, of: &str) -> Outcome {
    Outcome::note(sentence(count, of))
}

/// That so many were revoked.
pub fn sentence(count: usize, of: &str) -> String {
    match count {
        0 => "Nothing was revoked.".into(),
        1 => format!("1 {of} was revoked."),
        more => format!("{more} {} were revoked.", plural(of)),
    }
}

fn named(label: &str) -> String {
    if label.is_empty() { String::new() } else { format!("{label}: ") }
}

fn plural(of: &str) -> String {
    if of.ends_with('s') { format!("{of}es") } else { format!("{of}s") }
}

fn tokens(stage: &Stage<'_>) -> Result<Listed, Condition> {
    let tokens = stage.desk.tokens(stage.user)?;
    Ok(tokens.into_iter().map(|token| (token.id.clone(), token_line(&token))).collect())
}

fn addresses(stage: &Stage<'_>) -> Result<Listed, Condition> {
    let addresses = stage.desk.addresses(stage.user)?;
    Ok(addresses.into_iter().map(|address| (address.id.clone(), address_line(&address))).collect())
}

fn chosen<'a>(stage: &Stage<'a>) -> &'a [String] {
    stage.values.get("revoke").map_or(&[], Vec::as_slice)
}

fn form(stage: &Stage<'_>, of: &str, listed: Listed) -> Result<Step, Condition> {
    if listed.is_empty() {
        return Ok(Step::Done(Outcome::note(format!("You have no {}.", plural(of)))));
    }
    let title = format!("Your {}", plural(of));
    if stage.number == 0 {
        // Clients such as Profanity show no options that are not chosen yet. In one line, as XEP-0004 section 3.1 wants it.
        let lines: Vec<String> = listed.iter().map(|(id, line)| format!("{id} – {line}")).collect();
        let instructions =
            format!("Choose what is to be revoked, or cancel to leave all as it is. There is: {}.", lines.join("; "));
        let field = Field::choices("revoke", "Revoke these", listed);
        return Ok(Step::Form(forms::form(&title, &instructions, vec![field])));
    }
    let lines = listed.into_iter().filter(|(id, _)| chosen(stage).contains(id)).map(|(_, line)| line).collect();
    let field = Field { name: "chosen", kind: "fixed", label: "", values: lines, options: Vec::new() };
    Ok(Step::Form(forms::form(&title, "These are worth nothing as soon as you go on:", vec![field])))
}

fn check(stage: &Stage<'_>, listed: &Listed) -> Result<(), Condition> {
    let is_listed = |id: &String| listed.iter().any(|(known, _)| known == id);
    match chosen(stage) {
        [] => Err(Condition::bad_payload("choose at least one, or cancel".into())),
        chosen if stage.number == 0 && !chosen.iter().all(is_listed) => {
            Err(Condition::bad_payload("one of these is not, or no longer, there".into()))
        }
        _ => Ok(()),
    }
}
