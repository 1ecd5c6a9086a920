//! STARTTLS (RFC 6120 section 5), which this server requires.

use super::{
    error::StreamError,
    sasl::{self, Failure},
    stream::{End, Stream, Transport},
    xml::Event,
};

const NAMESPACE: &str = "urn:ietf:params:xml:ns:xmpp-tls";

/// Runs the negotiation up to `<proceed/>`. The next byte from the client is one of TLS.
pub async fn negotiate<T: Transport>(stream: &mut Stream<T>) -> Result<(), End> {
    stream.open(&format!("<starttls xmlns='{NAMESPACE}'><required/></starttls>"), None).await?;
    loop {
        match stream.next().await? {
            Event::Stanza(element) if element.is("starttls", NAMESPACE) => return proceed(stream).await,
            // Section 6.5.4. Nothing of it was looked at; the client may turn to TLS now.
            Event::Stanza(element) if element.is("auth", sasl::NAMESPACE) => {
                stream.write(Failure::EncryptionRequired.element().as_bytes()).await?;
            }
            Event::Stanza(_) => return Err(StreamError::NotAuthorized.into()),
            Event::End => return Err(End::Closed),
            Event::Header(_) => return Err(StreamError::BadFormat.into()),
        }
    }
}

/// What came behind `<starttls/>` was not protected: it must never count as said inside of TLS.
async fn proceed<T: Transport>(stream: &mut Stream<T>) -> Result<(), End> {
    if stream.has_waiting() {
        return Err(StreamError::PolicyViolation.into());
    }
    stream.write(format!("<proceed xmlns='{NAMESPACE}'/>").as_bytes()).await
}
