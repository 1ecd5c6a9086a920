//! How scripts are read. The grammar is in [the module](super).

use std::{collections::BTreeSet, path::Path};

use super::{
    cast::{Client, Name, is_name, names},
    script::{Action, How, Script, Step, Xml},
};

/// A line with its number, from 1.
type Line<'a> = (usize, &'a str);
type Result<T, E = (usize, String)> = std::result::Result<T, E>;

/// Reads the text of a script. `Err`: the line and what is wrong with it.
pub(super) fn parse(path: &Path, text: &str) -> Result<Script> {
    let lines: Vec<Line> = text.lines().enumerate().map(|(at, line)| (at + 1, line.trim_end())).collect();
    let head = lines.iter().position(|(_, line)| line.is_empty()).unwrap_or(lines.len());
    let (section, rule) = header(&lines[..head])?;
    let is_written = |(_, line): &Line| !line.is_empty() && !line.trim_start().starts_with('#');
    let written: Vec<Line> = lines[head..].iter().copied().filter(is_written).collect();
    let mut reading = Reading::default();
    let mut rest = &written[..];
    while let Some(((number, line), below)) = rest.split_first() {
        let indented = below.iter().take_while(|(_, line)| line.starts_with(' ')).count();
        let (block, after) = below.split_at(indented);
        let action = reading.action(*number, line, block)?;
        reading.steps.push(Step { line: *number, text: (*line).to_owned(), action });
        rest = after;
    }
    let (users, steps) = reading.finish(&written)?;
    Ok(Script { path: path.into(), section, rule, users, steps })
}

fn header(lines: &[Line<'_>]) -> Result<(String, String)> {
    match lines {
        [(_, section), rule @ ..] if !rule.is_empty() && ["RFC ", "XEP-"].iter().any(|of| section.starts_with(of)) => {
            let rule: Vec<_> = rule.iter().map(|(_, line)| line.trim()).collect();
            Ok(((*section).to_owned(), rule.join(" ")))
        }
        _ => Err((
            1,
            "a script begins with its section ('RFC 6121 section 2.3'), the rule below it, and an empty line".into(),
        )),
    }
}

/// A script that was read so far.
#[derive(Default)]
struct Reading {
    steps: Vec<Step>,
    users: BTreeSet<String>,
    strangers: BTreeSet<String>,
    connected: BTreeSet<Client>,
}

impl Reading {
    fn action(&mut self, number: usize, line: &str, block: &[Line<'_>]) -> Result<Action> {
        let at = |what: String| (number, what);
        let (subject, predicate) = line.split_once(' ').unwrap_or((line, ""));
        let words: Vec<_> = predicate.split(' ').collect();
        let action = match subject {
            "GET" => Action::Get { target: predicate.into(), body: body(number, block)? },
            "server" => self.of_server(&words).map_err(at)?,
            _ => match Client::parse(subject) {
                Some(client) => self.of_client(client, &words, number, block)?,
                None if is_name(subject) => self.of_user(subject, &words).map_err(at)?,
                None => return Err(at(format!("{subject:?} is neither a user nor a client nor the server"))),
            },
        };
        let takes_block = matches!(
            action,
            Action::Get { .. }
                | Action::Send { .. }
                | Action::Receive { .. }
                | Action::NotReceive { .. }
                | Action::LogIn { .. }
        );
        match block.first() {
            Some((indented, _)) if !takes_block => Err((*indented, format!("nothing can stand below {line:?}"))),
            _ => Ok(action),
        }
    }

    fn of_server(&mut self, words: &[&str]) -> Result<Action, String> {
        match words {
            ["restarts"] | ["is", "killed", "and", "restarts"] => {
                self.connected.clear();
                Ok(Action::Restart { in_order: words.len() == 1 })
            }
            ["sets", setting, "to", value @ ..] if !value.is_empty() => {
                Ok(Action::Set { setting: (*setting).into(), value: value.join(" ") })
            }
            _ => Err("the server 'restarts', 'is killed and restarts', or 'sets NAME to VALUE'".into()),
        }
    }

    fn of_user(&mut self, user: &str, words: &[&str]) -> Result<Action, String> {
        let user = user.to_owned();
        match words {
            ["has", "an", "account"] => {
                self.users.insert(user);
                Ok(Action::Account)
            }
            ["has", "no", "account"] => {
                self.strangers.insert(user);
                Ok(Action::Account)
            }
            ["is", "removed"] => Ok(Action::Remove(user)),
            ["sees", contact] => self.subscribe(user, contact, false),
            ["and", contact, "are", "friends"] => self.subscribe(user, contact, true),
            _ => Err(format!(
                "{user} 'has an account', 'has no account', 'is removed', 'sees USER' or 'and USER are friends'; what a \
                 client does begins with its resource: '{user}/desk sends'"
            )),
        }
    }

    fn subscribe(&mut self, user: String, contact: &str, mutual: bool) -> Result<Action, String> {
        if !is_name(contact) {
            return Err(format!("{contact:?} is no user"));
        }
        self.users.extend([user.clone(), contact.to_owned()]);
        Ok(Action::Subscribe { user, contact: contact.into(), mutual })
    }

    fn of_client(&mut self, client: Client, words: &[&str], number: usize, block: &[Line<'_>]) -> Result<Action> {
        let at = |what: String| (number, what);
        let receive = |client, how| Ok(Action::Receive { client, how, stanzas: stanzas(number, block)? });
        match words {
            ["connects"] => {
                let resource = client.resource.clone();
                self.connect(&client).map_err(at)?;
                return Ok(Action::Connect { client, resource });
            }
            ["connects", "as", resource] => {
                self.connect(&client).map_err(at)?;
                return Ok(Action::Connect { client, resource: (*resource).into() });
            }
            ["logs", "in"] => {
                self.connect(&client).map_err(at)?;
                return Ok(Action::LogIn { client, presence: initial_presence(number, block)? });
            }
            _ if !self.connected.contains(&client) => {
                return Err(at(format!(
                    "{client} is not connected here: 'connects', 'connects as RESOURCE' or 'logs in'"
                )));
            }
            _ => {}
        }
        match words {
            ["sends"] => Ok(Action::Send { client, stanzas: stanzas(number, block)? }),
            ["receives"] => receive(client, How::InOrder),
            ["receives", "in", "any", "order"] => receive(client, How::InAnyOrder),
            ["receives", "among", "others"] => receive(client, How::AmongOthers),
            ["does", "not", "receive"] => Ok(Action::NotReceive { client, stanzas: stanzas(number, block)? }),
            ["receives", "nothing"] => Ok(Action::ReceiveNothing(client)),
            ["skips", "what", "arrived"] => Ok(Action::Skip(client)),
            ["logs", "out"] => Ok(Action::LogOut(self.disconnect(client))),
            ["loses", "the", "connection"] => Ok(Action::LoseConnection(self.disconnect(client))),
            ["is", "disconnected"] => Ok(Action::Disconnected { client: self.disconnect(client), error: None }),
            ["is", "disconnected", "with", error] => {
                Ok(Action::Disconnected { client: self.disconnect(client), error: Some((*error).into()) })
            }
            _ => Err(at(format!(
                "{client} 'sends', 'receives', 'receives in any order', 'receives among others', 'does not receive', \
                 'receives nothing', 'skips what arrived', 'logs out', 'loses the connection', 'is disconnected' or \
                 'is disconnected with CONDITION'"
            ))),
        }
    }

    fn connect(&mut self, client: &Client) -> Result<(), String> {
        self.users.insert(client.user.clone());
        match self.connected.insert(client.clone()) {
            true => Ok(()),
            false => Err(format!("{client} is connected already; another client may 'connect as {}'", client.resource)),
        }
    }

    fn disconnect(&mut self, client: Client) -> Client {
        self.connected.remove(&client);
        client
    }

    /// Checks the names that the lines use.
    fn finish(self, lines: &[Line<'_>]) -> Result<(BTreeSet<String>, Vec<Step>)> {
        let end = lines.last().map_or(1, |(number, _)| *number);
        if self.steps.is_empty() {
            return Err((end, "nothing happens".into()));
        }
        if let Some(user) = self.users.intersection(&self.strangers).next() {
            return Err((end, format!("{user} has an account and has none")));
        }
        for (number, line) in lines {
            for name in names(line) {
                let (Name::User(user) | Name::Client(Client { user, .. })) = name else { continue };
                if !self.users.contains(&user) && !self.strangers.contains(&user) {
                    return Err((
                        *number,
                        format!("who is {user}? No client's user; else '{user} has an account' or 'has no account'"),
                    ));
                }
            }
        }
        Ok((self.users, self.steps))
    }
}

fn initial_presence(number: usize, block: &[Line<'_>]) -> Result<Xml> {
    match block {
        [] => Ok(Xml { line: number, text: "<presence/>".into() }),
        _ => match <[Xml; 1]>::try_from(stanzas(number, block)?) {
            Ok([presence]) => Ok(presence),
            Err(_) => Err((number, "one presence is sent to log in".into())),
        },
    }
}

/// The expected body of an answer: XML, or text as it is.
fn body(number: usize, block: &[Line<'_>]) -> Result<Xml> {
    let Some((line, first)) = block.first() else {
        return Err((number, "the answer must stand below, indented".into()));
    };
    if first.trim_start().starts_with('<') {
        return Ok(stanzas(number, block)?.swap_remove(0));
    }
    let text: Vec<_> = block.iter().map(|(_, line)| line.trim()).collect();
    Ok(Xml { line: *line, text: text.join("\n") })
}

/// The stanzas of a block. Each begins at the indentation of the first.
fn stanzas(number: usize, block: &[Line<'_>]) -> Result<Vec<Xml>> {
    let Some((_, first)) = block.first() else { return Err((number, "the stanzas must stand below, indented".into())) };
    let indent = first.len() - first.trim_start().len();
    let begins = |line: &str| {
        line[..indent].trim().is_empty() && line[indent..].starts_with('<') && !line[indent..].starts_with("</")
    };
    let mut stanzas: Vec<Xml> = Vec::new();
    for (number, line) in block {
        match stanzas.last_mut() {
            Some(stanza) if line.len() <= indent || !begins(line) => append(&mut stanza.text, line.trim()),
            _ => stanzas.push(Xml { line: *number, text: line.trim().to_owned() }),
        }
    }
    for stanza in &stanzas {
        stanza.parse(&stanza.text).map_err(|cause| (stanza.line, cause))?;
    }
    Ok(stanzas)
}

/// Between tags nothing is added; within a tag or a text a line break is a space.
fn append(text: &mut String, line: &str) {
    if !line.starts_with('<') {
        text.push(' ');
    }
    text.push_str(line);
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "RFC 6121 section 9\nA rule that\ntakes two lines.\n\n";

    fn read(steps: &str) -> Result<Script> {
        parse(Path::new("x.flow"), &format!("{HEAD}{steps}"))
    }

    #[track_caller]
    fn fails(steps: &str, line: usize, what: &str) {
        let (at, why) = read(steps).expect_err("it makes no sense");
        assert!(at == line && why.contains(what), "line {at}: {why}");
    }

    fn client(name: &str) -> Client {
        Client::parse(name).unwrap()
    }

    fn xml(line: usize, text: &str) -> Xml {
        Xml { line, text: text.into() }
    }

    #[test]
    fn a_script_has_a_section_a_rule_users_and_steps() {
        let steps =
            "# A comment.\nbob has an account\nnobody has no account\nann/desk logs in\n\nann/desk receives nothing\n";
        let script = read(steps).unwrap();
        assert_eq!((&*script.section, &*script.rule), ("RFC 6121 section 9", "A rule that takes two lines."));
        assert_eq!(script.users, ["ann", "bob"].map(String::from).into());
        let presence = xml(8, "<presence/>");
        assert_eq!(script.steps[2].action, Action::LogIn { client: client("ann/desk"), presence });
        assert_eq!((script.steps[3].line, &script.steps[3].action), (10, &Action::ReceiveNothing(client("ann/desk"))));
        assert!(script.is_for_any_server());
    }

    #[test]
    fn stanzas_begin_at_the_indentation_of_the_first() {
        let steps = "ann/desk connects\nann/desk sends\n  <a\n    b='1'>\n    # why\n    <c/>\n    x\n  </a>\n  <d/>\n";
        let script = read(steps).unwrap();
        let stanzas = vec![xml(7, "<a b='1'><c/> x</a>"), xml(13, "<d/>")];
        assert_eq!(script.steps[1].action, Action::Send { client: client("ann/desk"), stanzas });
    }

    #[test]
    fn what_is_read_of_the_web_is_text_or_xml() {
        let script = read("ann has an account\nGET /a?b={ann}\n  one\n  two\nGET /c\n  <d>\n  </d>\n").unwrap();
        assert_eq!(script.steps[1].action, Action::Get { target: "/a?b={ann}".into(), body: xml(7, "one\ntwo") });
        assert_eq!(script.steps[2].action, Action::Get { target: "/c".into(), body: xml(10, "<d></d>") });
        assert!(!script.is_for_any_server() && !script.needs_own_server());
    }

    #[test]
    fn what_changes_the_server_for_all_needs_one_of_its_own() {
        for step in ["server restarts", "server is killed and restarts", "server sets a.b to c d"] {
            assert!(read(step).unwrap().needs_own_server(), "{step}");
        }
    }

    #[test]
    fn each_fault_is_told_with_its_line() {
        let headless = parse(Path::new("x.flow"), "ann/desk logs in\n");
        assert!(headless.is_err_and(|(line, what)| line == 1 && what.contains("section")));
        fails("", 1, "nothing happens");
        fails("ann/desk logs in\nann/desk recieves\n  <a/>", 6, "'receives'");
        fails("ann/desk sends\n  <a/>", 5, "not connected");
        fails("ann/desk logs in\nann/desk logs in", 6, "connected already");
        fails("ann/desk logs in\nann/desk logs out\nann/desk receives nothing", 7, "not connected");
        fails("ann/desk logs in\nserver restarts\nann/desk receives nothing", 7, "not connected");
        fails("ann/desk logs in\nann/desk sends", 6, "must stand below");
        fails("ann/desk connects\n  <a/>", 6, "nothing can stand below");
        fails("ann/desk logs in\nann/desk sends\n  <a>", 7, "no XML");
        fails("ann/desk logs in\nann/desk sends\n  <a/>\n  text", 7, "one element");
        fails("ann/desk logs in\nann/desk sends\n  <a to='{bob}'/>", 7, "who is bob?");
        fails("ann/desk logs in\nann has no account", 6, "and has none");
        fails("ann sends\n  <a/>", 5, "'ann/desk sends'");
        fails("Ann/desk logs in", 5, "neither a user");
        fails("server stops", 5, "'restarts'");
    }
}
