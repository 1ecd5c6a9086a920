//! Many users in one answer: `GET /v1/presence?jid=a&jid=b` for up to 50, `POST /v1/presence/query` for up to 500.
//!
//! The users come in the order in which they were asked for, each as `/status?type=json` shows them, but for the moment, which is the same for
//! all. One that can't be seen, does not exist or is no address is `forbidden` in its place and spoils nothing.

use std::{borrow::Cow, cell::RefCell};

use plugin_api::{Jid, Request, Response};
use serde::{Deserialize, de::IgnoredAny};

use super::problem::Problem;
use crate::{
    answer::{Format, Question},
    cache::{self, Audience, ETag},
    json::Document,
    moment::Moment,
    query::Parameters,
    settings::Settings,
    users::{Requester, Users},
    xml::Parties,
};

/// The most users of a GET.
pub const MOST_BY_GET: usize = 50;
/// The most users of a POST.
pub const MOST_BY_POST: usize = 500;
/// The longest body of a POST, in bytes. The host takes twice as much, so that there is somebody to say so.
pub const LONGEST_BODY: usize = 512 * 1024;
/// What an answer has room for at first, for each user.
const ROOM: usize = 160;

/// The body of a POST.
#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow)]
    jids: Vec<Item<'a>>,
    #[serde(borrow)]
    req_jid: Option<Cow<'a, str>>,
    #[serde(borrow)]
    token: Option<Cow<'a, str>>,
}

/// What is asked for. Something else than a text is no address.
#[derive(Deserialize)]
#[serde(untagged)]
enum Item<'a> {
    Text(#[serde(borrow)] Cow<'a, str>),
    Other(IgnoredAny),
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

    /// Reads the body of a POST: `{"jids": ["alice@example.com"], "req_jid": "bob@example.com"}`.
    ///
    /// # Errors
    /// It is too long, no such object, or names nobody or too many.
    pub fn of_body(content_type: Option<&str>, body: &'a [u8]) -> Result<Batch<'a>, Problem> {
        let essence = content_type.unwrap_or_default().split(';').next().unwrap_or_default();
        if !essence.trim().eq_ignore_ascii_case("application/json") {
            return Err(Problem::media_type("the body is application/json"));
        }
        if body.len() > LONGEST_BODY {
            let detail = format!("a body has at most {LONGEST_BODY} bytes");
            return Err(Problem::too_large("body", detail).with_limit(LONGEST_BODY));
        }
        let read: Body<'_> = serde_json::from_slice(body).map_err(|_| {
            Problem::parameter(
                "body",
                "the body is an object like {\"jids\": [\"alice@example.com\"], \"req_jid\": \"bob@example.com\"}",
            )
        })?;
        let text = |item| match item {
            Item::Text(text) => text,
            Item::Other(_) => Cow::Borrowed(""),
        };
        let form = form(&[("req_jid", read.req_jid), ("token", read.token)]);
        Batch { jids: read.jids.into_iter().map(text).collect(), form }.within(MOST_BY_POST, "jids")
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

    /// The answer about all of them.
    pub fn answer(&self, users: &Users, request: &Request<'_>, settings: &Settings) -> Response {
        let parameters = Parameters::new(request.query(), &self.form);
        let requester = users.requester(request, &parameters, settings);
        let mut body = self.render(users, &requester, settings);
        // As with one user, the moment is not part of what the tag is of.
        let etag = ETag::of_long(b'm', &body);
        body.extend_from_slice(format!(",\"asOf\":\"{}\"}}\n", Moment::now()).as_bytes());
        let held = cache::held(request);
        let question = Question {
            parameters,
            format: Format::Json,
            parties: Parties::default(),
            audience: Audience::of(settings, &requester),
            if_none_match: held.as_deref(),
            navigation: false,
        };
        question.represent(question.audience, "application/json", etag.as_str().to_owned(), body)
    }

    /// All users, written one behind the other into one buffer; the object is left open.
    fn render(&self, users: &Users, requester: &Requester, settings: &Settings) -> Vec<u8> {
        let mut buffer = Vec::with_capacity(ROOM * (self.len() + 1));
        buffer.extend_from_slice(b"{\"users\":[");
        let buffer = RefCell::new(buffer);
        for (index, text) in self.jids.iter().enumerate() {
            if index > 0 {
                buffer.borrow_mut().push(b',');
            }
            let user = users.jid(text);
            let bare = user.as_ref().map(Jid::bare);
            users.look(settings, user.as_ref(), requester, |shown| {
                Document::new(shown, bare).write(&mut buffer.borrow_mut());
            });
        }
        let mut buffer = buffer.into_inner();
        buffer.push(b']');
        buffer
    }
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

    fn of_body(body: &str) -> Result<Batch<'_>, Problem> {
        Batch::of_body(Some("application/json; charset=utf-8"), body.as_bytes())
    }

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
        let batch =
            of_body(r#"{"jids":["a@x","\u00e9@x",null,7,["b"],{"c":1}],"req_jid":"b@x","more":true}"#).ok().unwrap();
        assert_eq!(batch.jids, ["a@x", "é@x", "", "", "", ""]);
        assert_eq!(Parameters::new("", &batch.form).first("req_jid").as_deref(), Some("b@x"));
        assert_eq!(Parameters::new("", &batch.form).first("token"), None);
        let body = |count| format!("{{\"jids\":[{}]}}", vec!["\"a@x\""; count].join(","));
        assert_eq!(of_body(&body(MOST_BY_POST)).ok().unwrap().len(), MOST_BY_POST);
        let too_many = of_body(&body(MOST_BY_POST + 1)).err().unwrap();
        assert_eq!(too_many, Problem::too_large("jids", "jids names at most 500 users").with_limit(500));
        let too_long = format!("{{\"jids\":[\"{}\"]}}", "a".repeat(LONGEST_BODY));
        let bytes = Problem::too_large("body", "a body has at most 524288 bytes").with_limit(LONGEST_BODY);
        assert_eq!(of_body(&too_long).err().unwrap(), bytes);
    }

    #[test]
    fn what_is_no_such_object_is_refused() {
        for body in [
            "",
            "[]",
            "{}",
            "{\"jids\":\"a\"}",
            "{\"jids\":[\"a\"],\"req_jid\":7}",
            "{\"jids\":[\"a\"]}x",
            "\u{FEFF}{}",
        ] {
            assert!(of_body(body).is_err(), "{body}");
        }
        assert!(of_body(&"[".repeat(10_000)).is_err());
        for kind in [None, Some("text/plain"), Some("application/jsonx")] {
            let refused = Batch::of_body(kind, b"{\"jids\":[\"a\"]}").err().unwrap();
            assert_eq!(refused, Problem::media_type("the body is application/json"));
        }
    }

    #[test]
    fn a_form_holds_any_text() {
        let form = form(&[("req_jid", Some("é&=%@x".into())), ("token", None)]);
        assert_eq!(Parameters::new("", &form).first("req_jid").as_deref(), Some("é&=%@x"));
    }
}
