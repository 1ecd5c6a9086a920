//! The description of the service for programs: OpenAPI 3.1, at `/plugins/presence/openapi.json`.

use plugin_api::{Request, Response};

use crate::cache::{self, ETag};

const DOCUMENT: &[u8] = include_bytes!("../../openapi.json");
const ETAG: ETag = ETag::new(b'o', DOCUMENT);

/// The document, the same for everybody.
pub fn answer(request: &Request<'_>) -> Response {
    let is_held = cache::held(request).is_some_and(|held| cache::is_held(ETAG.as_str(), &held));
    let head = Response::new(if is_held { 304 } else { 200 })
        .header("X-Content-Type-Options", "nosniff")
        .header("Cache-Control", "no-cache")
        .header("Access-Control-Allow-Origin", "*")
        .header("ETag", ETAG.as_str().to_owned());
    if is_held { head } else { head.header("Content-Type", "application/json").body(DOCUMENT) }
}
