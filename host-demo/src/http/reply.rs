//! Responses: a plugin's answer as it is sent, and what the host answers itself.

use std::{
    borrow::Cow,
    error::Error,
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use actix_http::Request;
use actix_web::{
    HttpResponse,
    body::{self, BodySize, BoxBody, MessageBody},
    dev::Payload,
    http::{
        ConnectionType, Method, StatusCode, Version,
        header::{
            ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue, LOCATION, RETRY_AFTER, X_CONTENT_TYPE_OPTIONS,
        },
    },
};
use bytes::Bytes;
use serde_json::json;

use crate::plugin::{
    exchange::{Answer, Body},
    generation::Call,
    stream_body::{Cut, StreamBody},
};

/// A plugin's answer. The call goes on for as long as a stream does.
pub fn answer(answer: Answer, call: Call, request: &Request) -> HttpResponse {
    let mut response = HttpResponse::with_body(answer.status, BoxBody::new(body::None::new()));
    let headers = response.headers_mut();
    let mut is_told = false;
    for (name, value) in answer.fields {
        is_told |= name == X_CONTENT_TYPE_OPTIONS;
        headers.append(name, value);
    }
    if !is_told {
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    }
    match answer.body {
        // RFC 9110 section 6.4.1: nothing after these heads is a body, whatever a plugin gives.
        _ if matches!(answer.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) => response,
        Body::Whole(bytes) => response.set_body(BoxBody::new(bytes)),
        // It might never end, and the client wants none of it.
        Body::Stream(_) if request.method() == Method::HEAD => response,
        Body::Stream(stream) => {
            if request.head().version < Version::HTTP_11 {
                // RFC 9112 section 6.1: no chunks for such a client, but the end of the connection.
                response.head_mut().no_chunking(true);
                response.head_mut().set_connection_type(ConnectionType::Close);
            }
            response.set_body(BoxBody::new(Streamed { stream, _call: call }))
        }
    }
}

/// A body that is sent as the plugin gives it.
struct Streamed {
    stream: StreamBody,
    _call: Call,
}

/// The plugin did not finish what it began. The connection ends without the last chunk, so that the client can tell.
#[derive(Debug)]
struct Unfinished;

impl fmt::Display for Unfinished {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("the plugin cut its stream")
    }
}

impl Error for Unfinished {}

impl MessageBody for Streamed {
    type Error = Box<dyn Error>;

    fn size(&self) -> BodySize {
        BodySize::Stream
    }

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        loop {
            match ready!(self.stream.poll_chunk(cx)) {
                // An empty chunk would be the last one.
                Some(Ok(chunk)) if chunk.is_empty() => {}
                Some(Ok(chunk)) => return Poll::Ready(Some(Ok(chunk))),
                Some(Err(Cut)) => return Poll::Ready(Some(Err(Box::new(Unfinished)))),
                None => return Poll::Ready(None),
            }
        }
    }
}

/// Keeps what was not read of a request's body until its response has been sent: if it has not all come, actix closes the connection then. Were
/// it dropped before, actix would wait for the rest of a chunked body, if need be for ever.
pub fn without_reading(payload: Payload, response: HttpResponse) -> HttpResponse {
    match payload {
        Payload::None => response,
        unread => response.map_body(|_, body| BoxBody::new(Refusal { body, _unread: unread })),
    }
}

/// The last response of its connection, and it says so.
pub fn last(mut response: HttpResponse) -> HttpResponse {
    response.head_mut().set_connection_type(ConnectionType::Close);
    response
}

struct Refusal {
    body: BoxBody,
    _unread: Payload,
}

impl MessageBody for Refusal {
    type Error = Box<dyn Error>;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        Pin::new(&mut self.body).poll_next(cx)
    }
}

/// One line of text to say what is wrong. Nobody is to keep it, here and below: what is deployed may be another thing in a moment.
pub fn refusal(status: StatusCode, line: impl Into<Cow<'static, str>>) -> HttpResponse {
    HttpResponse::build(status)
        .insert_header((CACHE_CONTROL, "no-store"))
        .insert_header((CONTENT_TYPE, "text/plain; charset=utf-8"))
        .insert_header((X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .body(line.into())
}

/// What is wrong with a request to a plugin, or with the plugin, as problem details (RFC 9457): programs that ask plugins read these, whatever
/// else a plugin answers with.
pub fn problem(status: StatusCode, detail: &str) -> HttpResponse {
    let title = status.canonical_reason().unwrap_or_default();
    let problem = json!({ "title": title, "status": status.as_u16(), "detail": detail });
    HttpResponse::build(status)
        .insert_header((CACHE_CONTROL, "no-store"))
        .insert_header((CONTENT_TYPE, "application/problem+json"))
        .insert_header((X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .body(format!("{problem}\n"))
}

/// 404.
pub fn nothing() -> HttpResponse {
    refusal(StatusCode::NOT_FOUND, "There is nothing here.\n")
}

/// 405.
pub fn other_methods(allowed: &str) -> HttpResponse {
    allowing(allowed, refusal(StatusCode::METHOD_NOT_ALLOWED, "This address does not answer to that method.\n"))
}

/// A 405 that says which methods the path answers to, separated by commas.
pub fn allowing(allowed: &str, response: HttpResponse) -> HttpResponse {
    with(response, ALLOW, allowed)
}

/// 308: it is at this path.
pub fn moved(path: &str) -> HttpResponse {
    with(refusal(StatusCode::PERMANENT_REDIRECT, "This page has another address.\n"), LOCATION, path)
}

/// 503: a plugin may answer again in a moment.
pub fn unavailable(detail: &str) -> HttpResponse {
    with(problem(StatusCode::SERVICE_UNAVAILABLE, detail), RETRY_AFTER, "5")
}

fn with(mut response: HttpResponse, name: HeaderName, value: &str) -> HttpResponse {
    let value = HeaderValue::from_str(value)
        .expect("methods are words of capitals, and a mount is made of a-z, 0-9, '-' and '/'");
    response.headers_mut().insert(name, value);
    response
}
