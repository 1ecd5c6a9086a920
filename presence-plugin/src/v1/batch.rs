//! Many users in one answer: `GET /v1/presence?jid=a&jid=b` for up to 50, `POST /v1/presence/query` for up to 500.
//!
//! The users come in the order in which they were asked for, each as `/status?type=json` shows them, but for the moment, which is the same for
//! all. One that can't be seen, does not exist or is no address is `forbidden` in its place and spoils nothing. Components are asked
//! ([`gathering`](super::gathering)).

use std::{borrow::Cow, collections::HashMap};

use plugin_api::{Jid, Request, Response};
use serde::Deserialize;
use serde_json::{error::Category, value::RawValue};

use super::problem::Problem;
use crate::{
    cache::{Audience, ETag},
    compact::Compact,
    json::Document,
    memo::{Memo, Name, Weighed},
    moment::Moment,
    probe::{self, Presence},
    query::Parameters,
    representation::{Interface, Media, Recipient, Representation},
    settings::Settings,
    shown::Shown,
    users::{Requester, Users},
};

/// The most users of a GET.
pub const MOST_BY_GET: usize = 50;
/// The most users of a POST.
pub const MOST_BY_POST: usize = 500;
/// The longest body of a POST, in bytes.
pub const LONGEST_BODY: usize = 512 * 1024;
/// How many bytes most objects have at most.
const OBJECT: usize = 160;
/// A body, for those who sent another.
const EXAMPLE: &str = r#"{"jids": ["alice@example.com"], "req_jid": "bob@example.com"}"#;

/// The body of a POST. Each user is kept as written, to be read alone: what can't be read is nobody, and keeps nobody else from being found.
#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow)]
    jids: Vec<&'a RawValue>,
    #[serde(borrow)]
    req_jid: Option<Cow<'a, str>>,
    #[serde(borrow)]
    token: Option<Cow<'a, str>>,
}

/// A text, borrowed where it is written without escapes.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// What components answered, by their addresses.
pub type Heard = HashMap<String, Presence>;

/// The object about one user, as it was sent.
pub struct Object(Compact<OBJECT>);

impl Weighed for Object {
    fn bytes(&self) -> usize {
        self.0.elsewhere()
    }
}

/// Where it is looked who is there.
pub struct Known<'k> {
    /// The users of this server.
    pub users: &'k Users,
    /// What was sent of them before.
    pub objects: &'k Memo<Object>,
    /// Components.
    pub heard: &'k Heard,
    /// The settings that hold.
    pub settings: &'k Settings,
}

/// Users to look up, as a request names them.
pub struct Batch<'a> {
    jids: Vec<Cow<'a, str>>,
    /// The parameters about the requester that a body holds, as a form would hold them.
    form: Vec<u8>,
}

impl<'a> Batch<'a> {
    /// Reads a query.
    ///
    /// # Errors
    /// It names nobody, or too many.
    pub fn of_query(query: &'a str) -> Result<Batch<'a>, Problem> {
        let jids = Parameters::new(query, &[]).all("jid").take(MOST_BY_GET + 1).collect();
        Batch { jids, form: Vec::new() }.within(MOST_BY_GET, "jid")
    }

    /// Reads the text of a POST: `{"jids": ["alice@example.com"], "req_jid": "bob@example.com"}`.
    ///
    /// # Errors
    /// It is no JSON, no such object, or names nobody or too many.
    pub fn of_text(text: &'a str) -> Result<Batch<'a>, Problem> {
        let read: Body<'_> = serde_json::from_str(text).map_err(|error| match error.classify() {
            Category::Data => Problem::parameter("body", format!("the body is an object like {EXAMPLE}")),
            // What is said of syntax repeats nothing of what was sent.
            _ => Problem::parameter("body", format!("the body is no JSON: {error}")),
        })?;
        let user = |item: &'a RawValue| serde_json::from_str(item.get()).map_or(Cow::Borrowed(""), |Text(text)| text);
        let form = form(&[("req_jid", read.req_jid), ("token", read.token)]);
        Batch { jids: read.jids.into_iter().map(user).collect(), form }.within(MOST_BY_POST, "jids")
    }

    fn within(self, most: usize, parameter: &'static str) -> Result<Batch<'a>, Problem> {
        match self.jids.len() {
            0 => Err(Problem::parameter(parameter, format!("{parameter} names 1 to {most} users"))),
            length if length > most => {
                let detail = format!("{parameter} names at most {most} users");
                Err(Problem::too_large(parameter, detail).with_limit(most))
            }
            _ => Ok(self),
        }
    }

    /// How many users are asked for.
    pub fn len(&self) -> usize {
        self.jids.len()
    }

    /// The parameters about the requester that a body holds, as a form.
    pub fn form(&self) -> &[u8] {
        &self.form
    }

    /// The components among those asked for, each once. `known` reads an address.
    pub fn components(&self, known: impl Fn(&str) -> Option<Jid>) -> Vec<Jid> {
        let mut components: Vec<Jid> = Vec::new();
        for component in self.jids.iter().filter_map(|text| probe::component(Some(text), &known)) {
            if !components.iter().any(|other| other.bare() == component.bare()) {
                components.push(component);
            }
        }
        components
    }

    /// The same, for when its request is gone.
    pub fn into_owned(self) -> Batch<'static> {
        let owned = |jid: Cow<'_, str>| Cow::Owned(jid.into_owned());
        Batch { jids: self.jids.into_iter().map(owned).collect(), form: self.form }
    }

    /// The answer about all of them, for a requester that holds `held`.
    pub fn answer(&self, known: &Known<'_>, requester: &Requester, held: Option<&str>) -> Response {
        let mut body = self.render(known, requester);
        // As with one user, the moment is not part of what the tag is of.
        let etag = ETag::of_long(b'm', &body);
        body.extend_from_slice(format!(",\"asOf\":\"{}\"}}\n", Moment::now()).as_bytes());
        let audience = Audience::of(known.settings, requester);
        let recipient = Recipient { audience, if_none_match: held, interface: Interface::V1 };
        recipient.give(&Representation::tagged(Media::Json, etag, body))
    }

    /// All users, written one behind the other into one buffer; the object is left open.
    fn render(&self, known: &Known<'_>, requester: &Requester) -> Vec<u8> {
        let mut buffer = Vec::with_capacity(OBJECT * (self.len() + 1));
        buffer.extend_from_slice(b"{\"users\":[");
        for (index, text) in self.jids.iter().enumerate() {
            if index > 0 {
                buffer.push(b',');
            }
            known.write(text, requester, &mut buffer);
        }
        buffer.push(b']');
        buffer
    }
}

impl Known<'_> {
    /// Writes the object about one user, whom `text` names, at the end of a buffer.
    fn write(&self, text: &str, requester: &Requester, buffer: &mut Vec<u8>) {
        let Known { users, objects, heard, settings } = *self;
        let name = requester.is_nobody().then(|| Name::of_user(text));
        let write = |person: &Object| buffer.extend_from_slice(&person.0);
        if name.and_then(|name| objects.recall(users.host(), name, settings, write)).is_some() {
            return;
        }
        let user = users.jid(text);
        let object = |shown: &Shown<'_>| {
            let mut object = Vec::with_capacity(OBJECT);
            Document::new(shown, user.as_ref().map(Jid::bare)).write(&mut object);
            (object, *shown != Shown::Forbidden)
        };
        if let Some(presence) = user.as_ref().and_then(|user| heard.get(user.bare())) {
            return buffer.extend_from_slice(&presence.show(user.as_ref(), object).0);
        }
        // By one address alone: who can have many objects looked up again by one change can tell by time that there was one.
        let named = name.zip(user.as_ref().filter(|user| user.bare() == text));
        let place = named.and_then(|(name, user)| objects.place(users.host(), name, settings, user));
        let (object, is_shown) = users.look(settings, user.as_ref(), requester, object);
        buffer.extend_from_slice(&object);
        match place {
            Some(place) if is_shown => place.keep(Object(Compact::copy_of(&object))),
            Some(place) => place.clear(),
            None => {}
        }
    }
}

/// The body of a POST as a text. Bytes that are no UTF-8 turn into U+FFFD, which no JID may hold.
///
/// # Errors
/// It is no JSON by its fields, or too long.
pub fn text<'a>(request: &Request<'a>) -> Result<Cow<'a, str>, Problem> {
    let is_too_long = request.body_exceeds(LONGEST_BODY);
    let coding = request.list("Content-Encoding");
    taken(request.header("Content-Type"), coding.as_deref(), is_too_long)?;
    Ok(String::from_utf8_lossy(request.body()))
}

fn taken(content_type: Option<&str>, coding: Option<&str>, is_too_long: bool) -> Result<(), Problem> {
    let essence = content_type.unwrap_or_default().split(';').next().unwrap_or_default();
    if !essence.trim().eq_ignore_ascii_case("application/json") {
        return Err(Problem::media_type("the body is application/json"));
    }
    if !coding.is_none_or(|coding| coding.trim().eq_ignore_ascii_case("identity")) {
        return Err(Problem::media_type("the body comes as it is, without a Content-Encoding"));
    }
    if is_too_long {
        let detail = format!("a body has at most {LONGEST_BODY} bytes");
        return Err(Problem::too_large("body", detail).with_limit(LONGEST_BODY));
    }
    Ok(())
}

/// The parameters that are there, as a form.
fn form(parameters: &[(&str, Option<Cow<'_, str>>)]) -> Vec<u8> {
    let mut form = String::new();
    for (name, value) in parameters {
        let Some(value) = value else { continue };
        form.push_str(name);
        form.push('=');
        value.bytes().for_each(|byte| form.push_str(&format!("%{byte:02X}")));
        form.push('&');
    }
    form.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_names_1_to_50() {
        let query = |count| vec!["jid=a@x"; count].join("&");
        assert_eq!(Batch::of_query("jid=a&x=y&jid=b%40c&jid=").map(|batch| batch.jids).ok().unwrap(), ["a", "b@c", ""]);
        assert!(Batch::of_query(&query(MOST_BY_GET)).is_ok());
        let too_many = Batch::of_query(&query(MOST_BY_GET + 1)).err().unwrap();
        assert_eq!(too_many, Problem::too_large("jid", "jid names at most 50 users").with_limit(50));
        let none = Batch::of_query("req_jid=a@x").err().unwrap();
        assert_eq!(none, Problem::parameter("jid", "jid names 1 to 50 users"));
    }

    #[test]
    fn a_body_names_1_to_500_and_whatever_is_no_text_is_nobody() {
        let batch = Batch::of_text(r#"{"jids":["a@x","\u00e9@x",null,7,["b"],{"c":1}],"req_jid":"b@x","more":true}"#)
            .ok()
            .unwrap();
        assert_eq!(batch.jids, ["a@x", "é@x", "", "", "", ""]);
        assert_eq!(Parameters::new("", &batch.form).first("req_jid").as_deref(), Some("b@x"));
        assert_eq!(Parameters::new("", &batch.form).first("token"), None);
        let body = |count| format!("{{\"jids\":[{}]}}", vec!["\"a@x\""; count].join(","));
        assert_eq!(Batch::of_text(&body(MOST_BY_POST)).ok().unwrap().len(), MOST_BY_POST);
        let too_many = Batch::of_text(&body(MOST_BY_POST + 1)).err().unwrap();
        assert_eq!(too_many, Problem::too_large("jids", "jids names at most 500 users").with_limit(500));
        let bytes = Problem::too_large("body", "a body has at most 524288 bytes").with_limit(LONGEST_BODY);
        assert_eq!(taken(Some("application/json"), None, true), Err(bytes));
    }

    /// Each was the end of the whole batch once.
    #[test]
    fn one_that_can_not_be_read_spoils_nothing() {
        let digits = "9".repeat(401);
        let (deep, end) = ("[".repeat(200), "]".repeat(200));
        for odd in [
            "\"\\ud800\"",
            "1e999",
            "-0.0e-99999",
            &digits,
            &format!("{deep}{end}"),
            "\"\u{FFFD}\"",
            "{\"a\":1,\"a\":2}",
        ] {
            let body = format!("{{\"jids\":[\"a@x\",{odd},\"b@x\"]}}");
            let batch = Batch::of_text(&body).ok().unwrap_or_else(|| panic!("{odd}"));
            assert!(batch.len() == 3 && batch.jids[0] == "a@x" && batch.jids[2] == "b@x", "{odd}");
            assert!(["", "\u{FFFD}"].contains(&&*batch.jids[1]), "{odd}");
        }
    }

    #[test]
    fn what_is_no_such_object_is_refused() {
        let detail = "the body is an object like {\"jids\": [\"alice@example.com\"], \"req_jid\": \"bob@example.com\"}";
        for body in ["[]", "{}", "7", "{\"jids\":\"a\"}", "{\"jids\":[\"a\"],\"req_jid\":7}"] {
            assert_eq!(Batch::of_text(body).err().unwrap(), Problem::parameter("body", detail), "{body}");
        }
        for (body, place) in [
            ("", "EOF while parsing a value at line 1 column 0"),
            ("{\"jids\":[\"a\"]}x", "trailing characters at line 1 column 15"),
            ("{\n \"jids\":[\"a\",]}", "trailing comma at line 2 column 14"),
            ("\u{FEFF}{}", "expected value at line 1 column 1"),
            ("{\"jids\":[\"a\"],\"req_jid\":\"\\ud800\"}", "unexpected end of hex escape at line 1 column 32"),
        ] {
            let expected = Problem::parameter("body", format!("the body is no JSON: {place}"));
            assert_eq!(Batch::of_text(body).err().unwrap(), expected, "{body}");
        }
        assert!(Batch::of_text(&"[".repeat(10_000)).is_err());
    }

    #[test]
    fn a_body_is_json_as_it_is() {
        for kind in [None, Some("text/plain"), Some("application/jsonx")] {
            assert_eq!(taken(kind, None, false), Err(Problem::media_type("the body is application/json")));
        }
        for coding in ["gzip", "br, gzip", "", "identity, gzip"] {
            let refused = Problem::media_type("the body comes as it is, without a Content-Encoding");
            assert_eq!(taken(Some("application/json"), Some(coding), false), Err(refused), "{coding}");
        }
        for coding in [None, Some("identity"), Some(" Identity")] {
            assert_eq!(taken(Some("Application/JSON; charset=utf-8"), coding, false), Ok(()));
        }
    }

    #[test]
    fn a_form_holds_any_text() {
        let form = form(&[("req_jid", Some("é&=%@x".into())), ("token", None)]);
        assert_eq!(Parameters::new("", &form).first("req_jid").as_deref(), Some("é&=%@x"));
    }
}
