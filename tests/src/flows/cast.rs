//! Who is who: the names of a script, and the addresses that they have on the server.

use std::{collections::BTreeMap, fmt};

/// A client of a script: `alice/desk`, as it is written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Client {
    /// The user.
    pub user: String,
    /// The resource.
    pub resource: String,
}

/// What stands in braces in a script.
#[derive(Debug, PartialEq, Eq)]
pub enum Name {
    /// `{domain}`
    Domain,
    /// `{alice}`
    User(String),
    /// `{alice/desk}`
    Client(Client),
    /// `{$version}`: what stood there when it was first expected.
    Noted(String),
}

/// The addresses of one performance.
///
/// Each script has users of its own, so that all may be performed on one server: the `alice` of script 7 is `alice.7`.
pub struct Cast {
    domain: String,
    number: usize,
    bound: BTreeMap<Client, String>,
    noted: BTreeMap<String, String>,
}

impl Client {
    /// Reads `alice/desk`; `None` if it is none.
    pub fn parse(text: &str) -> Option<Client> {
        let (user, resource) = text.split_once('/')?;
        (is_name(user) && is_name(resource)).then(|| Client { user: user.into(), resource: resource.into() })
    }
}

impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.user, self.resource)
    }
}

impl Name {
    fn parse(text: &str) -> Option<Name> {
        match text {
            "domain" => Some(Name::Domain),
            noted if noted.starts_with('$') && is_name(&noted[1..]) => Some(Name::Noted(noted[1..].into())),
            user if is_name(user) => Some(Name::User(user.into())),
            client => Client::parse(client).map(Name::Client),
        }
    }
}

/// Whether this may be the name of a user or a resource: letters, digits and hyphens, all small.
pub fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

/// All names in braces. What stands in braces and is no name is left alone: it may be JSON.
pub fn names(text: &str) -> Vec<Name> {
    let mut names = Vec::new();
    replace(text, |name| {
        names.push(name);
        String::new()
    });
    names
}

impl Cast {
    /// The cast of the script with this number, on a server of this domain.
    pub fn new(domain: &str, number: usize) -> Cast {
        Cast { domain: domain.into(), number, bound: BTreeMap::new(), noted: BTreeMap::new() }
    }

    /// The localpart of a user.
    pub fn localpart(&self, user: &str) -> String {
        format!("{user}.{}", self.number)
    }

    /// The bare JID of a user.
    pub fn bare(&self, user: &str) -> String {
        format!("{}@{}", self.localpart(user), self.domain)
    }

    /// Notes the full JID that the server gave to a client.
    pub fn bind(&mut self, client: &Client, jid: &str) {
        self.bound.insert(client.clone(), jid.into());
    }

    /// Notes a value under a name, unless there is one.
    pub fn note(&mut self, name: String, value: String) {
        self.noted.entry(name).or_insert(value);
    }

    /// Puts the addresses in place of the names, and what was noted. What was not noted yet stays as it is.
    pub fn fill(&self, text: &str) -> String {
        replace(text, |name| self.address(&name))
    }

    /// Puts the names in place of the addresses, for whoever reads of a failure.
    pub fn unfill(&self, text: &str) -> String {
        let suffix = format!(".{}@{}", self.number, self.domain);
        let mut pieces = text.split(&suffix);
        let mut unfilled = pieces.next().unwrap_or_default().to_owned();
        for piece in pieces {
            let is_end = |c: char| !(c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
            let start = unfilled.rfind(is_end).map_or(0, |at| at + 1);
            let user = unfilled.split_off(start);
            let (resource, rest) = match piece.strip_prefix('/') {
                Some(after) => after.split_at(after.find(is_end).unwrap_or(after.len())),
                None => ("", piece),
            };
            let slash = if resource.is_empty() { "" } else { "/" };
            unfilled += &format!("{{{user}{slash}{resource}}}{rest}");
        }
        unfilled
    }

    fn address(&self, name: &Name) -> String {
        match name {
            Name::Domain => self.domain.clone(),
            Name::User(user) => self.bare(user),
            Name::Client(client) => match self.bound.get(client) {
                Some(jid) => jid.clone(),
                None => format!("{}/{}", self.bare(&client.user), client.resource),
            },
            Name::Noted(name) => self.noted.get(name).cloned().unwrap_or_else(|| format!("{{${name}}}")),
        }
    }
}

fn replace(text: &str, mut with: impl FnMut(Name) -> String) -> String {
    let mut pieces = text.split('{');
    let mut replaced = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        match piece.split_once('}').and_then(|(name, rest)| Some((Name::parse(name)?, rest))) {
            Some((name, rest)) => replaced = replaced + &with(name) + rest,
            None => replaced = replaced + "{" + piece,
        }
    }
    replaced
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_addresses_and_names_again() {
        let mut cast = Cast::new("here", 7);
        let [desk, sofa] = ["desk", "sofa"].map(|resource| Client::parse(&format!("alice/{resource}")).unwrap());
        cast.bind(&sofa, "alice.7@here/sofa-9f");
        assert_eq!(desk.to_string(), "alice/desk");
        let text = "to='{alice}' x='{alice/desk}' y='{alice/sofa}' {domain} {\"a\": 1} {A}";
        let filled = "to='alice.7@here' x='alice.7@here/desk' y='alice.7@here/sofa-9f' here {\"a\": 1} {A}";
        assert_eq!(cast.fill(text), filled);
        assert_eq!(cast.unfill("<a b='alice.7@here' c='alice.7@here/desk'/>"), "<a b='{alice}' c='{alice/desk}'/>");
        assert_eq!(cast.unfill("nobody here"), "nobody here");
        assert_eq!(cast.fill("v='{$v}'"), "v='{$v}'");
        cast.note("v".into(), "7".into());
        assert_eq!(cast.fill("v='{$v}'"), "v='7'");
    }

    #[test]
    fn all_names_are_found() {
        let user = |name: &str| Name::User(name.into());
        let noted = Name::Noted("v".into());
        let client = Name::Client(Client { user: "bob".into(), resource: "phone-2".into() });
        assert_eq!(
            names("{ann} {bob/phone-2}{domain} {x} {X} {/x} {$v} {"),
            [user("ann"), client, Name::Domain, user("x"), noted]
        );
    }
}
