//! The answer to a question: status code, header fields and body.
//!
//! The fields follow from the request, the settings and what is shown. Nothing else gets in here, so that a refusal can't
//! tell its reason.

use std::time::Duration;

use plugin_api::Response;

use crate::{
    cache::Audience,
    image,
    json::Document,
    query::Parameters,
    redirect,
    representation::{Media, Recipient, Representation, embeddable, head},
    settings::Settings,
    shown::Shown,
    text,
    xml::{self, Parties},
};

/// The type of an answer, by the parameter `type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// An icon, or the way to one.
    Image,
    /// A stanza.
    Xml,
    /// A stanza, for who takes it by no other name than `application/xml`.
    ApplicationXml,
    /// A line of text.
    Text,
    /// An object.
    Json,
    /// A drawing.
    Svg,
}

impl Format {
    /// Reads the parameter: an image unless it says otherwise. `None`: there is no such type.
    pub fn parse(kind: Option<&str>) -> Option<Format> {
        match kind {
            None | Some("image") => Some(Format::Image),
            Some("xml") => Some(Format::Xml),
            Some("text") => Some(Format::Text),
            Some("json") => Some(Format::Json),
            Some("svg") => Some(Format::Svg),
            Some(_) => None,
        }
    }
}

/// What a request asks, and what of its header matters for the answer.
#[derive(Clone, Copy)]
pub struct Question<'a> {
    /// All parameters.
    pub parameters: Parameters<'a>,
    /// The type of the answer.
    pub format: Format,
    /// Who asks about whom.
    pub parties: Parties<'a>,
    /// Who gets the answer.
    pub recipient: Recipient<'a>,
    /// Whether the answer becomes a page of its own (`Sec-Fetch-Dest: document`). Such a request is not sent on, or this
    /// address would lend its name to any other.
    pub navigation: bool,
}

impl Question<'_> {
    /// The answer for what may be shown.
    pub fn answer(&self, shown: &Shown<'_>, settings: &Settings) -> Response {
        match self.custom_image(shown, settings) {
            None => self.recipient.give(&self.represent(shown, settings)),
            Some(_) if self.navigation => self.recipient.give(&self.represent(shown, settings)).vary("Sec-Fetch-Dest"),
            Some(location) => {
                let response = head(302, self.recipient.audience).header("Location", location);
                embeddable(response.vary("Sec-Fetch-Dest"))
            }
        }
    }

    /// Where the image is that the request wants in place of a built-in icon, if it wants one and may have it.
    pub fn custom_image(&self, shown: &Shown<'_>, settings: &Settings) -> Option<String> {
        let is_image = self.format == Format::Image;
        is_image.then(|| redirect::target(&self.parameters, shown.state(), &settings.redirect_hosts)).flatten()
    }

    /// What may be shown, written in the format.
    pub fn represent(&self, shown: &Shown<'_>, settings: &Settings) -> Representation {
        match self.format {
            Format::Image => Representation::of_file(Media::Gif, &image::icon(shown).gif),
            Format::Svg => Representation::of_file(Media::Svg, &image::icon(shown).svg),
            Format::Text => Representation::of(Media::Text, b't', text::render(shown, settings).into_bytes()),
            Format::Xml => Representation::of(Media::Xml, b'x', self.stanza(shown, settings)),
            Format::ApplicationXml => Representation::of(Media::ApplicationXml, b'a', self.stanza(shown, settings)),
            Format::Json => {
                let document = Document::new(shown, self.parties.user);
                let is_dated = document.is_dated();
                Representation { is_dated, ..Representation::of(Media::Json, b'j', document.render()) }
            }
        }
    }

    fn stanza(&self, shown: &Shown<'_>, settings: &Settings) -> Vec<u8> {
        xml::render(shown, self.parties, &settings.unavailable_text).into_bytes()
    }
}

/// The answer to a request for a type that does not exist. It looks the same for every user, and for none.
pub fn unknown_type() -> Response {
    head(400, Audience::Everyone { max_age: 0 })
        .header("Content-Type", "text/plain; charset=utf-8")
        .body(&b"unknown type: the valid types are image, svg, text, xml, json\n"[..])
}

/// The answer to a client that asks too often (RFC 6585 section 4, which wants it in no cache).
pub fn too_many(wait: Duration) -> Response {
    let seconds = wait.as_secs() + 1;
    Response::new(429)
        .header("Content-Type", "text/plain; charset=utf-8")
        .header("X-Content-Type-Options", "nosniff")
        .header("Access-Control-Allow-Origin", "*")
        .header("Cache-Control", "no-store")
        .header("Retry-After", seconds.to_string())
        .body(format!("too many requests: ask again in {seconds} s\n").into_bytes())
}

#[cfg(test)]
pub mod tests {
    use plugin_api::Show;

    use super::*;
    use crate::{moment::Moment, representation::Interface};

    const AWAY: Shown<'_> = Shown::Online { show: Show::Away, status: "Lunch", priority: 5, since: Some(Moment(0)) };
    const EVERYONE: Audience = Audience::Everyone { max_age: 0 };
    const TYPES: [&str; 5] = ["image", "xml", "text", "json", "svg"];

    /// The default settings, with this visibility.
    pub fn settings(visibility: &'static str) -> Settings {
        let value = |name: &str| match name {
            "visibility" => visibility,
            "max_age" => "0",
            "rate" => "200",
            "burst" => "1000",
            "streams" | "streams_of_client" => "100",
            "token_key" => "1",
            _ => " \n",
        };
        Settings::read(|name| Ok(value(name).to_owned())).unwrap()
    }

    fn question(query: &str) -> Question<'_> {
        let parameters = Parameters::new(query, b"");
        let format = Format::parse(parameters.first("type").as_deref()).expect("a valid type");
        let parties = Parties { user: Some("alice@example.com"), requester: None };
        let recipient = Recipient { audience: EVERYONE, if_none_match: None, interface: Interface::Status };
        Question { parameters, format, parties, recipient, navigation: false }
    }

    fn to(audience: Audience, question: Question<'_>) -> Question<'_> {
        Question { recipient: Recipient { audience, ..question.recipient }, ..question }
    }

    fn holding<'a>(tag: &'a str, question: Question<'a>) -> Question<'a> {
        Question { recipient: Recipient { if_none_match: Some(tag), ..question.recipient }, ..question }
    }

    fn field<'r>(response: &'r Response, name: &str) -> Option<&'r str> {
        let mut values = response.headers().filter(|(known, _)| *known == name).map(|(_, value)| value);
        let first = values.next();
        assert_eq!(values.next(), None, "{name} is sent once");
        first
    }

    /// Row: "`type`: `image` (default), `xml`, `text`", and "unknown or empty `type`: 400, `text/plain`, naming the valid types".
    #[test]
    fn the_valid_types() {
        assert_eq!(Format::parse(None), Some(Format::Image));
        let formats = [Format::Image, Format::Xml, Format::Text, Format::Json, Format::Svg];
        assert_eq!(TYPES.map(|kind| Format::parse(Some(kind))), formats.map(Some));
        for other in ["", "gif", "JSON", "XML", "image ", "xml\0"] {
            assert_eq!(Format::parse(Some(other)), None, "{other:?}");
        }
        let response = unknown_type();
        assert_eq!((response.status(), field(&response, "Content-Type")), (400, Some("text/plain; charset=utf-8")));
        let text = std::str::from_utf8(response.bytes()).unwrap();
        assert!(TYPES.iter().all(|kind| text.contains(kind)), "{text}");
        assert_eq!(field(&response, "X-Content-Type-Options"), Some("nosniff"));
    }

    /// The heads of the columns `image`, `text` and `xml`.
    #[test]
    fn each_type_has_its_content_type_and_body() {
        for (kind, content_type, body) in [
            ("image", "image/gif", &include_bytes!("../icons/away.gif")[..]),
            ("text", "text/plain; charset=utf-8", b"Lunch\n"),
            (
                "xml",
                "text/xml; charset=utf-8",
                b"<presence from=\"alice@example.com\"><show>away</show><status>Lunch</status><priority>5</priority></presence>\n",
            ),
            ("svg", "image/svg+xml", &include_bytes!("../icons/away.svg")[..]),
        ] {
            let response = question(&format!("type={kind}")).answer(&AWAY, &settings("anyone"));
            assert_eq!((response.status(), field(&response, "Content-Type")), (200, Some(content_type)));
            assert_eq!(response.bytes(), body, "{kind}");
        }
    }

    /// Row: the fields of a public answer; "`Access-Control-Allow-Origin: *` on public answers".
    #[test]
    fn a_public_answer_says_so_and_a_private_one_does_not() {
        for kind in TYPES {
            let query = format!("type={kind}");
            let public = question(&query).answer(&AWAY, &settings("anyone"));
            assert_eq!(field(&public, "Cache-Control"), Some("no-cache"));
            assert_eq!(field(&public, "Access-Control-Allow-Origin"), Some("*"));
            let private = to(Audience::Requester, question(&query));
            let private = private.answer(&AWAY, &settings("subscribed"));
            assert_eq!(field(&private, "Cache-Control"), Some("private, no-store"));
            assert_eq!(field(&private, "Access-Control-Allow-Origin"), None);
            for response in [public, private] {
                assert_eq!(field(&response, "X-Content-Type-Options"), Some("nosniff"));
                assert_eq!(field(&response, "Set-Cookie"), None);
                let policy = field(&response, "Cross-Origin-Resource-Policy");
                assert_eq!(policy, ["image", "svg"].contains(&kind).then_some("cross-origin"));
                let policy = field(&response, "Content-Security-Policy");
                assert_eq!(policy, ["svg", "xml"].contains(&kind).then_some("default-src 'none'; sandbox"));
            }
        }
    }

    /// Row: "Every refusal is one and the same answer". Whatever the reason, what reaches this module is `Forbidden`; what is
    /// left to differ is what the request names, which shows in XML and JSON alone.
    #[test]
    fn refusals_differ_in_nothing_but_the_names_in_xml_and_json() {
        for audience in [EVERYONE, Audience::Nobody, Audience::Requester] {
            for kind in TYPES {
                let query = format!("type={kind}");
                let refusal = |user| {
                    let mut question = question(&query);
                    question.recipient.audience = audience;
                    question.parties = Parties { user, requester: Some("bob@example.com") };
                    question.answer(&Shown::Forbidden, &settings("subscribed"))
                };
                let (known, unknown, none) = (refusal(Some("alice@x")), refusal(Some("nobody@x")), refusal(None));
                if ["xml", "json"].contains(&kind) {
                    let without = |response: &Response, name: &str| {
                        let fields: Vec<_> =
                            response.headers().filter(|(name, _)| *name != "ETag").map(owned).collect();
                        (response.status(), fields, String::from_utf8_lossy(response.bytes()).replace(name, ""))
                    };
                    let named = |jid| {
                        if kind == "xml" { format!(" from=\"{jid}\"") } else { format!("\"jid\":\"{jid}\",") }
                    };
                    assert_eq!(without(&known, &named("alice@x")), without(&unknown, &named("nobody@x")));
                    assert_eq!(without(&known, &named("alice@x")), without(&none, ""));
                } else {
                    assert_eq!(known, unknown);
                    assert_eq!(known, none);
                }
            }
        }
    }

    fn owned((name, value): (&str, &str)) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    /// Row: NF, `image`: "`forbidden` URL, or `images` with `forbidden`, else pixels of `offline`".
    #[test]
    fn a_refusal_has_a_custom_image_or_the_pixels_of_offline() {
        let refusal = |query| question(query).answer(&Shown::Forbidden, &settings("anyone"));
        let location = |query| field(&refusal(query), "Location").map(str::to_owned);
        assert_eq!(location("images=http://h/--IMAGE--&forbidden=http://h/no").as_deref(), Some("http://h/no"));
        assert_eq!(location("images=http://h/--IMAGE--").as_deref(), Some("http://h/forbidden"));
        assert_eq!(location("offline=http://h/off"), None);
        assert_eq!(refusal("").bytes(), include_bytes!("../icons/offline.gif"));
    }

    /// Row: "the answer is a 302 to the result"; "A top-level navigation (`Sec-Fetch-Dest: document`) gets the built-in icon".
    #[test]
    fn a_custom_image_is_a_302_except_for_a_navigation() {
        let asked = question("images=http://h/--IMAGE--.gif");
        let sent_on = asked.answer(&AWAY, &settings("anyone"));
        assert_eq!((sent_on.status(), field(&sent_on, "Location")), (302, Some("http://h/away.gif")));
        assert_eq!((sent_on.bytes(), field(&sent_on, "Vary")), (&b""[..], Some("Sec-Fetch-Dest")));
        assert_eq!(field(&sent_on, "Cross-Origin-Resource-Policy"), Some("cross-origin"));

        let navigated = Question { navigation: true, ..asked }.answer(&AWAY, &settings("anyone"));
        assert_eq!((navigated.status(), field(&navigated, "Location")), (200, None));
        assert_eq!(navigated.bytes(), include_bytes!("../icons/away.gif"));
        assert_eq!(field(&navigated, "Vary"), Some("Sec-Fetch-Dest"));

        // Row H8: caches that read one line of this field must find in it who asks.
        let audience = Audience::Everyone { max_age: 60 };
        for navigation in [false, true] {
            let kept = to(audience, Question { navigation, ..asked }).answer(&AWAY, &settings("anyone"));
            assert_eq!(field(&kept, "Vary"), Some("Authorization, Sec-Fetch-Dest"));
        }

        let held = holding("*", asked).answer(&AWAY, &settings("anyone"));
        assert_eq!(held.status(), 302, "a condition is about representations");
        let refused = question("images=ftp://h/--IMAGE--").answer(&AWAY, &settings("anyone"));
        assert_eq!((refused.status(), field(&refused, "Vary")), (200, None));
        let text = question("type=text&images=http://h/--IMAGE--").answer(&AWAY, &settings("anyone"));
        assert_eq!((text.status(), text.bytes()), (200, &b"Lunch\n"[..]), "images are for the type image");
    }

    /// Row: "strong `ETag` with 304". A 304 has the fields of the 200 but those that describe a body.
    #[test]
    fn a_held_representation_is_not_sent_again() {
        for kind in TYPES {
            let query = format!("type={kind}");
            let sent = question(&query).answer(&AWAY, &settings("anyone"));
            let etag = field(&sent, "ETag").expect("an entity tag").to_owned();
            let again = holding(&etag, question(&query));
            let held = again.answer(&AWAY, &settings("anyone"));
            assert_eq!((held.status(), held.bytes()), (304, &b""[..]));
            let fields: Vec<_> = sent.headers().filter(|(name, _)| *name != "Content-Type").collect();
            assert_eq!(held.headers().collect::<Vec<_>>(), fields);
            let changed = again.answer(&Shown::Offline { status: "", since: None }, &settings("anyone"));
            assert_eq!(changed.status(), 200);
        }
    }
}
