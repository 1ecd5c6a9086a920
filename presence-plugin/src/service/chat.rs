//! The same as lines of text, for clients without forms: the first word says what is to be done.

use super::{
    Condition, Desk,
    commands::{address_line, address_path, label, revoked, token_line, told},
};
use crate::users::{
    choice::{Choice, Details, Viewers},
    tokens::Wish,
};

const HELP: &str = "I decide with you who sees your presence on the web. Write:
show – what you have chosen
who default|anyone|subscribers|nobody – who sees you
what status|state – whether they see your status text, too
token [of USER] [for DAYS] [state] [as LABEL] – make a token, by which a program asks in your name
tokens – the tokens that you have made
address [LABEL] – make an unlisted address, which shows you to whoever has it
addresses – the unlisted addresses that you have made
revoke ID – revoke a token, or an unlisted address by its ID or as it is; revoke all: all tokens
forget – forget what you have chosen, with all tokens and unlisted addresses";

/// Those of several scripts: a telephone writes the one of its keyboard.
const QUESTION_MARKS: [char; 4] = ['?', '¿', '؟', '？'];

const DAY: u64 = 86_400;
const DEFAULT_DAYS: u64 = 30;

/// The answer to a line of a user.
pub fn answer(desk: &dyn Desk, user: &str, line: &str) -> String {
    obey(desk, user, line).unwrap_or_else(|condition| match condition.text() {
        "" => "That did not work: the server failed. Try again later.".to_owned(),
        text => format!("That did not work: {text}."),
    })
}

fn obey(desk: &dyn Desk, user: &str, line: &str) -> Result<String, Condition> {
    let mut words = line.split_whitespace();
    let word = plain(words.next().unwrap_or_default());
    let rest: Vec<&str> = words.collect();
    Ok(match (word.as_str(), &rest[..]) {
        ("help" | "hello" | "hi", _) => HELP.to_owned(),
        _ if line.split_whitespace().any(is_asked) => explained(&word),
        ("show" | "status", []) => told(choice(desk, user)?),
        ("who", who) => {
            let who = Viewers::parse(&plain(&who.join(" ")))
                .ok_or_else(|| wrong("who is one of default, anyone, subscribers, nobody"))?;
            choose(desk, user, Choice { who, ..choice(desk, user)? })?
        }
        ("what", what) => {
            let what = Details::parse(&plain(&what.join(" "))).ok_or_else(|| wrong("what is one of status, state"))?;
            choose(desk, user, Choice { what, ..choice(desk, user)? })?
        }
        ("token", wish) => token(desk, user, wish)?,
        ("tokens", []) => tokens(desk, user)?,
        ("address", words) => address(desk, user, &words.join(" "))?,
        ("addresses", []) => addresses(desk, user)?,
        ("revoke", [all]) if plain(all) == "all" => {
            let ids: Vec<_> = desk.tokens(user)?.into_iter().map(|token| token.id).collect();
            revoked(desk.revoke_tokens(user, &ids)?, "token")
        }
        ("revoke", [id]) => revoke(desk, user, id_of(id))?,
        ("revoke", _) => {
            return Err(wrong("revoke is followed by the ID of a token or an unlisted address, or by all"));
        }
        ("forget", []) => {
            desk.forget(user)?;
            format!("Forgotten. {}", told(Choice::DEFAULT))
        }
        _ => "I don't understand that. Write \"help\" to see what I do.".to_owned(),
    })
}

/// A word as it is compared: in small letters, and without what people put around it, as in `"Help"` or `help!`.
fn plain(word: &str) -> String {
    let bare = word.trim_matches(|character: char| !character.is_alphanumeric());
    if bare.is_empty() { word } else { bare }.to_lowercase()
}

/// Whether a question mark stands at an end of the word, among what else people put there. One within an address is none.
fn is_asked(word: &str) -> bool {
    let is_around = |character: &char| !character.is_alphanumeric();
    let mut around = word.chars().take_while(is_around).chain(word.chars().rev().take_while(is_around));
    around.any(|character| QUESTION_MARKS.contains(&character))
}

/// The answer to a question: what the command does that it names, or else what all of them do. Nothing is done for it, or whoever asks what `forget`
/// does would have lost everything.
fn explained(word: &str) -> String {
    let word = if word == "status" { "show" } else { word };
    let line = HELP.lines().find(|line| line.split(' ').next() == Some(word));
    line.map_or_else(
        || HELP.to_owned(),
        |line| format!("{line}\nThat was a question, so nothing was done. Leave out the question mark, and it is."),
    )
}

fn wrong(text: &str) -> Condition {
    Condition::bad_payload(text.to_owned())
}

fn choice(desk: &dyn Desk, user: &str) -> Result<Choice, Condition> {
    Ok(desk.choice(user)?.unwrap_or_default())
}

fn choose(desk: &dyn Desk, user: &str, choice: Choice) -> Result<String, Condition> {
    desk.choose(user, choice)?;
    Ok(told(choice))
}

fn token(desk: &dyn Desk, user: &str, words: &[&str]) -> Result<String, Condition> {
    let made = desk.mint(user, &wish(desk, words)?)?;
    let token = made.map_err(|many| super::commands::too_many(many, "tokens"))?;
    Ok(format!("{token}\nWhoever has this token can ask in your name. It is not shown again."))
}

fn wish(desk: &dyn Desk, words: &[&str]) -> Result<Wish, Condition> {
    let mut wish = Wish { of: None, what: Details::Status, life: DEFAULT_DAYS * DAY, label: String::new() };
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match word.to_lowercase().as_str() {
            "of" => {
                wish.of =
                    Some(words.next().and_then(|of| desk.jid(of)).ok_or_else(|| wrong("of is followed by a user"))?)
            }
            "for" => {
                let days =
                    words.next().and_then(|days| days.parse::<u64>().ok()).filter(|days| (1..=366).contains(days));
                wish.life = days.ok_or_else(|| wrong("for is followed by 1 to 366 days"))? * DAY;
            }
            // What people write behind the number.
            "day" | "days" => {}
            "state" => wish.what = Details::State,
            "as" => wish.label = label(&words.by_ref().copied().collect::<Vec<_>>().join(" "))?,
            other => {
                return Err(wrong(&format!("a token has no {other:?}: token [of USER] [for DAYS] [state] [as LABEL]")));
            }
        }
    }
    Ok(wish)
}

fn tokens(desk: &dyn Desk, user: &str) -> Result<String, Condition> {
    let tokens = desk.tokens(user)?;
    Ok(list(tokens.iter().map(|token| format!("{} – {}", token.id, token_line(token))), "tokens"))
}

fn address(desk: &dyn Desk, user: &str, text: &str) -> Result<String, Condition> {
    let made = desk.add_address(user, &label(text)?)?;
    let id = made.map_err(|many| super::commands::too_many(many, "unlisted addresses"))?;
    Ok(format!("{}\nWhoever has this address, below that of the web server, can see you.", address_path(&id)))
}

fn addresses(desk: &dyn Desk, user: &str) -> Result<String, Condition> {
    let addresses = desk.addresses(user)?;
    Ok(list(
        addresses.iter().map(|address| format!("{} – {}", address.id, address_line(address))),
        "unlisted addresses",
    ))
}

fn list(lines: impl Iterator<Item = String>, of: &str) -> String {
    let lines: Vec<_> = lines.collect();
    if lines.is_empty() { format!("You have no {of}.") } else { lines.join("\n") }
}

/// The ID in an unlisted address, or in what is none, whatever stands around it: it is written in the letters of base64url.
fn id_of(text: &str) -> &str {
    let is_other = |character: char| !(character.is_ascii_alphanumeric() || matches!(character, '-' | '_'));
    match text.split_once("/v1/u/") {
        Some((_, rest)) => rest.split(is_other).next().unwrap_or_default(),
        None => text.trim_matches(is_other),
    }
}

fn revoke(desk: &dyn Desk, user: &str, id: &str) -> Result<String, Condition> {
    let ids = [id.to_owned()];
    Ok(match desk.revoke_tokens(user, &ids)? {
        0 => revoked(desk.revoke_addresses(user, &ids)?, "unlisted address"),
        count => revoked(count, "token"),
    })
}
