//! The description of the service for programs: OpenAPI 3.1, at `/plugins/presence/openapi.json`.

use plugin_api::{Request, Response};

use crate::{
    cache,
    image::File,
    representation::{self, Media},
};

static DOCUMENT: File = File::new(b'o', include_bytes!("../../openapi.json"));

/// The document.
pub fn answer(request: &Request<'_>) -> Response {
    representation::give_file(Media::Json, &DOCUMENT, cache::held(request).as_deref())
}
