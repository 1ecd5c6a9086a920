//! The body of a request, read whole within limits of size and time.

use std::{future::poll_fn, pin::Pin, time::Duration};

use actix_web::{
    body::{BodyStream, MessageBody},
    dev::Payload,
    http::header::{CONTENT_LENGTH, HeaderMap, TRANSFER_ENCODING},
};
use bytes::{Bytes, BytesMut};
use tokio::time::{Instant, timeout_at};

/// How long a body may take, but for the time that [`SLOWEST`] allows for what has arrived.
const PATIENCE: Duration = Duration::from_secs(10);
/// The bytes that a client must send in a second, once [`PATIENCE`] is over.
const SLOWEST: usize = 64 * 1024;

/// Why there is no body. All of it is the client's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyError {
    /// It is longer than the route takes.
    TooLong,
    /// It takes too long.
    TooSlow,
    /// Its framing is broken, or it ended too early.
    Broken,
}

/// Reads the body. A request that announces none has none (RFC 9112 section 6.3), and what it sends after its head is not read.
///
/// # Errors
/// It is longer than `limit`, too slow, or broken. One that says so is found too long before it is read.
pub async fn read(headers: &HeaderMap, payload: Payload, limit: usize) -> Result<Bytes, BodyError> {
    let length = headers.get(CONTENT_LENGTH);
    if length.is_none() && !headers.contains_key(TRANSFER_ENCODING) {
        return Ok(Bytes::new());
    }
    if let Some(length) = length {
        let length: u64 = length.to_str().ok().and_then(|text| text.parse().ok()).ok_or(BodyError::Broken)?;
        if length > limit as u64 {
            return Err(BodyError::TooLong);
        }
    }
    collect(payload, limit).await
}

async fn collect(payload: Payload, limit: usize) -> Result<Bytes, BodyError> {
    let mut payload = BodyStream::new(payload);
    let start = Instant::now();
    let mut body = BytesMut::new();
    loop {
        let deadline = start + PATIENCE + Duration::from_secs((body.len() / SLOWEST) as u64);
        let chunk = timeout_at(deadline, poll_fn(|cx| Pin::new(&mut payload).poll_next(cx)));
        match chunk.await.map_err(|_| BodyError::TooSlow)? {
            None => return Ok(body.freeze()),
            Some(Err(_)) => return Err(BodyError::Broken),
            Some(Ok(chunk)) if body.len() + chunk.len() > limit => return Err(BodyError::TooLong),
            Some(Ok(chunk)) => body.extend_from_slice(&chunk),
        }
    }
}
