//! What is sent of a user, once it is written: the body with its type and tag, and what is said beside it to whoever gets it.

use std::{borrow::Cow, sync::Arc};

use plugin_api::{Lent, Responder, Response};

use crate::{
    cache::{self, Audience, ETag},
    compact::Compact,
    icons::Icon,
    image::File,
    json,
    moment::Moment,
};

/// The name of a header field, and its value.
type Field = (&'static str, &'static str);

/// What browsers would show as a document of its own, if it is opened as one, loads and runs nothing.
const DOCUMENT_POLICY: Field = ("Content-Security-Policy", "default-src 'none'; sandbox");
/// What any page may show as an image.
const EMBEDDABLE: Field = ("Cross-Origin-Resource-Policy", "cross-origin");
/// The fields of a public answer of `/v1` that pages of other origins may read beside those that they always may (Fetch Standard, CORS protocol).
pub const EXPOSED: Field = ("Access-Control-Expose-Headers", "ETag, Retry-After");

/// By which interface a user is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interface {
    /// `/status`, whose answers have the fields that they need.
    Status,
    /// `/v1`, of whose public answers pages of other origins may read all fields that are of use.
    V1,
}

/// The media type of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Media {
    /// Pixels that are there or not.
    Gif,
    /// Pixels with 256 steps of transparency.
    Png,
    /// A drawing.
    Svg,
    /// A stanza.
    Xml,
    /// The same by its other name (RFC 7303 section 9.2).
    ApplicationXml,
    /// A line of text.
    Text,
    /// An object.
    Json,
    /// A program for a page.
    Script,
    /// The looks of a page.
    Style,
}

/// The bytes of a body.
#[derive(Clone)]
pub enum Body {
    /// They are part of the library.
    Static(&'static [u8]),
    /// They are those of an icon.
    Icon(Arc<Icon>),
    /// They were written for this. A few lie here, and not behind a pointer.
    Own(Compact<160>),
}

/// A body, and what is known of it before it is known who gets it.
#[derive(Clone)]
#[repr(C)]
pub struct Representation {
    /// Its media type.
    pub media: Media,
    /// Its entity tag.
    pub etag: ETag,
    /// Whether the moment at which it is sent is still to be added ([`json::dated`]). The tag leaves that out, or no answer would ever be
    /// held. It is strong all the same: what strength is for, to put ranges of several answers together, is not offered here.
    pub is_dated: bool,
    /// Its bytes.
    pub body: Body,
}

/// Who gets an answer.
#[derive(Clone, Copy)]
pub struct Recipient<'a> {
    /// For whom the answer is.
    pub audience: Audience,
    /// What the client holds: `If-None-Match` of a GET or HEAD.
    pub if_none_match: Option<&'a str>,
    /// By which interface it asks.
    pub interface: Interface,
}

impl Media {
    const fn content_type(self) -> &'static str {
        match self {
            Media::Gif => "image/gif",
            Media::Png => "image/png",
            Media::Svg => "image/svg+xml",
            Media::Xml => "text/xml; charset=utf-8",
            Media::ApplicationXml => "application/xml; charset=utf-8",
            Media::Text => "text/plain; charset=utf-8",
            Media::Json => "application/json",
            Media::Script => "text/javascript; charset=utf-8",
            Media::Style => "text/css; charset=utf-8",
        }
    }
}

impl Body {
    /// All of them.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Body::Static(bytes) => bytes,
            Body::Icon(icon) => &icon.bytes,
            Body::Own(bytes) => bytes,
        }
    }

    /// Takes no more room than it has to, for one that is kept.
    pub fn shrink_to_fit(&mut self) {
        if let Body::Own(bytes) = self {
            bytes.shrink_to_fit();
        }
    }
}

impl Representation {
    /// A body that was written for this. `letter` tells the types apart by their tags.
    pub fn of(media: Media, letter: u8, body: Vec<u8>) -> Representation {
        Representation::tagged(media, ETag::new(letter, &body), body)
    }

    /// The same with another tag.
    pub fn tagged(media: Media, etag: ETag, body: Vec<u8>) -> Representation {
        Representation { media, etag, body: Body::Own(body.into()), is_dated: false }
    }

    /// A file.
    pub fn of_file(media: Media, file: &'static File) -> Representation {
        Representation { media, etag: file.etag, body: Body::Static(file.bytes), is_dated: false }
    }

    /// An icon.
    pub fn of_icon(media: Media, icon: Arc<Icon>) -> Representation {
        Representation { media, etag: icon.etag, body: Body::Icon(icon), is_dated: false }
    }

    fn sent(&self) -> Response {
        let response = Response::new(200);
        match &self.body {
            Body::Static(bytes) => response.body(*bytes),
            Body::Icon(icon) => response.body(icon.bytes.clone()),
            Body::Own(_) => response.body(self.bytes_sent().into_owned()),
        }
    }

    /// The bytes as they are sent now.
    fn bytes_sent(&self) -> Cow<'_, [u8]> {
        let bytes = self.body.bytes();
        if self.is_dated { json::dated(bytes, Moment::now()).into() } else { bytes.into() }
    }
}

impl Recipient<'_> {
    /// A representation, or the news that the client holds it already, which has the same fields but those that describe a body.
    pub fn give(&self, representation: &Representation) -> Response {
        let is_held = self.holds(representation);
        let response = if is_held { Response::new(304) } else { representation.sent() };
        let response = response
            .header("Cache-Control", self.audience.cache_control())
            .header("ETag", representation.etag.as_str().to_owned());
        self.fields(representation.media, is_held)
            .fold(response, |response, (name, value)| response.header(name, value))
    }

    /// Gives the same, and copies nothing of it but an object that is to be dated: for one that is kept.
    pub fn lend(&self, representation: &Representation, responder: Responder) {
        let (is_held, cache_control) = (self.holds(representation), self.audience.cache_control());
        let body = if is_held { Cow::Borrowed(&[][..]) } else { representation.bytes_sent() };
        let mut response = Lent::new(if is_held { 304 } else { 200 }, &body);
        response.header("Cache-Control", &cache_control).header("ETag", representation.etag.as_str());
        for (name, value) in self.fields(representation.media, is_held) {
            response.header(name, value);
        }
        responder.lend(&response);
    }

    fn holds(&self, representation: &Representation) -> bool {
        self.if_none_match.is_some_and(|held| cache::is_held(representation.etag.as_str(), held))
    }

    /// The fields of an answer of this type beside those that are written for it.
    fn fields(&self, media: Media, is_held: bool) -> impl Iterator<Item = Field> {
        let is_exposed = self.interface == Interface::V1 && self.audience.is_public();
        let is_image = matches!(media, Media::Gif | Media::Png | Media::Svg);
        let is_document = matches!(media, Media::Svg | Media::Xml | Media::ApplicationXml);
        let of_media = [
            is_exposed.then_some(EXPOSED),
            (!is_held).then(|| ("Content-Type", media.content_type())),
            is_image.then_some(EMBEDDABLE),
            is_document.then_some(DOCUMENT_POLICY),
        ];
        fields_for(self.audience).chain(of_media.into_iter().flatten())
    }
}

/// A file, the same for everybody, or the news that the client holds it.
pub fn give_file(media: Media, file: &'static File, if_none_match: Option<&str>) -> Response {
    let recipient = Recipient { audience: Audience::Everyone { max_age: 0 }, if_none_match, interface: Interface::V1 };
    recipient.give(&Representation::of_file(media, file))
}

/// The response as one that any page may show as an image.
pub fn embeddable(response: Response) -> Response {
    response.header(EMBEDDABLE.0, EMBEDDABLE.1)
}

/// The beginning of a response for this audience.
pub fn head(status: u16, audience: Audience) -> Response {
    let response = Response::new(status).header("Cache-Control", audience.cache_control());
    fields_for(audience).fold(response, |response, (name, value)| response.header(name, value))
}

fn fields_for(audience: Audience) -> impl Iterator<Item = Field> {
    let is_public = audience.is_public();
    // Or a cache would give what it keeps to whoever has a token, too (RFC 9111 section 4.1).
    let is_kept = matches!(audience, Audience::Everyone { max_age: 1.. });
    [
        Some(("X-Content-Type-Options", "nosniff")),
        is_public.then_some(("Access-Control-Allow-Origin", "*")),
        is_kept.then_some(("Vary", "Authorization")),
    ]
    .into_iter()
    .flatten()
}
