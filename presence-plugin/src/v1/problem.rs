//! What is wrong with a request, told in a form for programs: problem details (RFC 9457).

use std::time::Duration;

use plugin_api::Response;
use serde::Serialize;

use crate::representation::EXPOSED;

/// A problem. Its type is `about:blank`: the status code says what kind it is (RFC 9457 section 4.2.1).
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub struct Problem {
    title: &'static str,
    status: u16,
    /// What to do about it, in words.
    detail: String,
    /// The parameter that is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    parameter: Option<&'static str>,
    /// The most, or the longest, that is taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<usize>,
}

impl Problem {
    /// A parameter is not what it may be.
    pub fn parameter(parameter: &'static str, detail: impl Into<String>) -> Problem {
        let (title, detail) = ("Bad Request", detail.into());
        Problem { title, status: 400, detail, parameter: Some(parameter), limit: None }
    }

    /// A parameter is no number from `least` to `most`, or not written in digits only.
    pub fn whole_number(parameter: &'static str, least: u16, most: u16) -> Problem {
        Problem::parameter(parameter, format!("{parameter} is a whole number from {least} to {most}, in digits only"))
    }

    /// A request names more, or is longer, than is taken.
    pub fn too_large(parameter: &'static str, detail: impl Into<String>) -> Problem {
        Problem { parameter: Some(parameter), ..Problem::new(413, "Content Too Large", detail) }
    }

    /// The body is of another media type than the one that is taken.
    pub fn media_type(detail: &'static str) -> Problem {
        Problem::new(415, "Unsupported Media Type", detail)
    }

    /// The same, with the most that is taken as a number.
    pub fn with_limit(self, limit: usize) -> Problem {
        Problem { limit: Some(limit), ..self }
    }

    /// The answer as a line of text, for who expects no object.
    pub fn in_words(self) -> Response {
        let line = format!("{}\n", self.detail).into_bytes();
        self.told("text/plain; charset=utf-8", line)
    }

    /// The same for everybody, and in no cache: it is about this request.
    fn told(self, content_type: &'static str, body: Vec<u8>) -> Response {
        Response::new(self.status)
            .header("Content-Type", content_type)
            .header("X-Content-Type-Options", "nosniff")
            .header("Access-Control-Allow-Origin", "*")
            .header("Cache-Control", "no-store")
            .body(body)
    }

    /// Any other problem.
    pub fn new(status: u16, title: &'static str, detail: impl Into<String>) -> Problem {
        Problem { title, status, detail: detail.into(), ..Problem::default() }
    }
}

impl From<Problem> for Response {
    fn from(problem: Problem) -> Response {
        let mut body = serde_json::to_vec(&problem).expect("texts and numbers under fixed names can always be written");
        body.push(b'\n');
        problem.told("application/problem+json", body).header(EXPOSED.0, EXPOSED.1)
    }
}

/// There is nothing at this address, whoever the user in it is.
pub fn not_found(detail: &'static str) -> Response {
    Problem::new(404, "Not Found", detail).into()
}

/// What is at this address takes these methods and no others.
pub fn other_methods(allowed: &'static str) -> Response {
    let problem = Problem::new(405, "Method Not Allowed", format!("the methods are {allowed}"));
    Response::from(problem).header("Allow", allowed)
}

/// The client takes none of the forms that there are.
pub fn not_acceptable() -> Response {
    let forms = "application/json, image/svg+xml, image/png, image/gif, text/xml, application/xml, text/plain";
    Problem::new(406, "Not Acceptable", format!("a user is shown as {forms}")).into()
}

/// The client asks too often (RFC 6585 section 4).
pub fn too_many(wait: Duration) -> Response {
    let seconds = wait.as_secs() + 1;
    let problem = Problem::new(429, "Too Many Requests", format!("ask again in {seconds} s"));
    Response::from(problem).header("Retry-After", seconds.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_has_the_members_of_the_rfc() {
        let response = Response::from(Problem::parameter("size", "size is \"1\""));
        let field = |name| response.headers().find(|(known, _)| *known == name).map(|(_, value)| value);
        assert_eq!((response.status(), field("Content-Type")), (400, Some("application/problem+json")));
        assert_eq!(field("Cache-Control"), Some("no-store"));
        let expected =
            "{\"title\":\"Bad Request\",\"status\":400,\"detail\":\"size is \\\"1\\\"\",\"parameter\":\"size\"}\n";
        assert_eq!(std::str::from_utf8(response.bytes()).unwrap(), expected);
    }

    #[test]
    fn who_is_to_wait_is_told_how_long() {
        let response = too_many(Duration::from_millis(1_200));
        assert!(response.headers().any(|field| field == ("Retry-After", "2")) && response.status() == 429);
    }
}
