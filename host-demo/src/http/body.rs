//! The body of a request, read whole within limits of size and time.

use std::{future::poll_fn, pin::Pin, time::Duration};

use actix_web::{
    body::{BodyStream, MessageBody},
    dev::Payload,
    http::header::{CONTENT_LENGTH, HeaderMap, TRANSFER_ENCODING, UPGRADE},
};
use bytes::{Bytes, BytesMut};
use tokio::time::{Instant, timeout_at};

/// How long a body may take, but for the time that [`SLOWEST`] allows for what has arrived.
const PATIENCE: Duration = Duration::from_secs(10);
/// The bytes that a client must send in a second, once [`PATIENCE`] is over.
const SLOWEST: usize = 64 * 1024;

/// Why there is no body. All of it is the client's fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BodyError {
    /// It is longer than the route takes. What was read of it: nothing if it says so, else one byte beyond the limit.
    TooLong(Bytes),
    /// It takes too long.
    TooSlow,
    /// Its framing is broken, or it ended too early.
    Broken,
}

/// Reads the body. A request that announces none has none (RFC 9112 section 6.3), and what it sends after its head is not read.
///
/// # Errors
/// It is longer than `limit`, too slow, or broken. One that says so is found too long before it is read.
pub async fn read(headers: &HeaderMap, payload: &mut Payload, limit: usize) -> Result<Bytes, BodyError> {
    if matches!(payload, Payload::None) {
        return Ok(Bytes::new());
    }
    let length = match headers.get(CONTENT_LENGTH) {
        Some(length) => Some(length.to_str().ok().and_then(|text| text.parse().ok()).ok_or(BodyError::Broken)?),
        None if headers.contains_key(TRANSFER_ENCODING) => None,
        None => return Ok(Bytes::new()),
    };
    if length.is_some_and(|length: u64| length > limit as u64) {
        return Err(BodyError::TooLong(Bytes::new()));
    }
    // Where another protocol is asked for, actix does not say that the body is over.
    let end = length.filter(|_| headers.contains_key(UPGRADE));
    Box::pin(collect(payload, limit, end)).await
}

/// Collects what comes until it is over, or as long as this.
async fn collect(payload: &mut Payload, limit: usize, end: Option<u64>) -> Result<Bytes, BodyError> {
    let mut payload = BodyStream::new(payload);
    let start = Instant::now();
    let mut body = BytesMut::new();
    while end != Some(body.len() as u64) {
        let deadline = start + PATIENCE + Duration::from_secs((body.len() / SLOWEST) as u64);
        let chunk = timeout_at(deadline, poll_fn(|cx| Pin::new(&mut payload).poll_next(cx)));
        match chunk.await.map_err(|_| BodyError::TooSlow)? {
            None => return Ok(body.freeze()),
            Some(Err(_)) => return Err(BodyError::Broken),
            Some(Ok(chunk)) => body.extend_from_slice(&chunk[..chunk.len().min(limit + 1 - body.len())]),
        }
        if body.len() > limit {
            return Err(BodyError::TooLong(body.freeze()));
        }
    }
    Ok(body.freeze())
}

#[cfg(test)]
mod tests {
    use actix_web::{HttpResponse, http::StatusCode};

    use super::*;
    use crate::http::{
        reply,
        server::{
            build,
            tests::{Running, exchange, run},
        },
    };

    /// Answers with the body, or 400 and the reason.
    fn echo() -> Running {
        run(|listener| {
            build(listener, Some(1), |mut request| async move {
                let mut payload = request.take_payload();
                match read(&request.head().headers, &mut payload, 8).await {
                    Ok(body) => HttpResponse::Ok().body(body),
                    Err(error) => {
                        let response = HttpResponse::build(StatusCode::BAD_REQUEST).body(format!("{error:?}"));
                        reply::without_reading(payload, response)
                    }
                }
            })
        })
    }

    fn body_of(head: &str, body: &str) -> String {
        let request = format!("POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{head}\r\n\r\n{body}");
        let answer = exchange(echo().address, request);
        answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or(answer)
    }

    #[test]
    fn a_body_is_read_up_to_the_limit() {
        assert_eq!(body_of("Content-Length: 8", "12345678"), "12345678");
        assert_eq!(body_of("Transfer-Encoding: chunked", "3\r\n123\r\n5\r\n45678\r\n0\r\n\r\n"), "12345678");
        assert_eq!(body_of("Accept: */*", ""), "");
        assert_eq!(body_of("Upgrade: websocket\r\nContent-Length: 8", "12345678"), "12345678");
    }

    #[test]
    fn a_longer_one_is_refused_before_it_is_there() {
        assert_eq!(body_of("Content-Length: 9", ""), r#"TooLong(b"")"#);
        assert_eq!(body_of("Transfer-Encoding: chunked", "3\r\n123\r\n9\r\n456789abc\r\n"), r#"TooLong(b"123456789")"#);
    }

    #[test]
    fn one_that_stops_half_way_is_given_up() {
        assert_eq!(body_of("Content-Length: 8", "123"), "TooSlow");
        assert_eq!(body_of("Transfer-Encoding: chunked", "x\r\n"), "Broken");
    }
}
