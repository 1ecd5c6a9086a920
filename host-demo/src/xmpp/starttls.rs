//! STARTTLS (RFC 6120 section 5), which this server requires.

use super::{
    error::StreamError,
    stream::{End, Stream, Transport},
    xml::Event,
};

const NAMESPACE: &str = "urn:ietf:params:xml:ns:xmpp-tls";

/// Runs the negotiation up to `<proceed/>`. The next byte from the client is one of TLS.
pub async fn negotiate<T: Transport>(stream: &mut Stream<T>) -> Result<(), End> {
    stream.open(&format!("<starttls xmlns='{NAMESPACE}'><required/></starttls>")).await?;
    match stream.next().await? {
        // What came behind `<starttls/>` was not protected: it must never count as said inside of TLS.
        Event::Stanza(element) if element.is("starttls", NAMESPACE) && !stream.has_waiting() => {
            stream.write(format!("<proceed xmlns='{NAMESPACE}'/>").as_bytes()).await
        }
        Event::Stanza(element) if element.is("starttls", NAMESPACE) => Err(StreamError::PolicyViolation.into()),
        Event::Stanza(_) => Err(StreamError::NotAuthorized.into()),
        Event::End => Err(End::Closed),
        Event::Header(_) => Err(StreamError::BadFormat.into()),
    }
}
