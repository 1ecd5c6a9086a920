//! The handshake (XEP-0114 section 3): a component proves that it knows its secret, without telling it.

use jid::DomainPart;

use super::{Connected, Server};
use crate::xmpp::{
    error::StreamError,
    outbox::outbox,
    stream::{End, Stream, Transport},
    xml::{CLIENT, Event},
};

/// Lets a component in, or says why not. Whose domain is known and whose is not can be told apart: the XEP wants it so.
pub(super) async fn let_in<T: Transport>(stream: &mut Stream<T>, server: &Server) -> Result<Connected, End> {
    let (domain, id) = stream.open_component().await?;
    let secret = domain.as_ref().and_then(|domain| server.secrets.load().get(domain).cloned());
    let (Some(domain), Some(secret)) = (domain, secret) else { return Err(StreamError::HostUnknown.into()) };
    let proof = proof(stream).await?;
    if !secret.is_proved_by(&proof, &id) {
        log::warn!("component {domain}: a handshake with a wrong secret");
        return Err(StreamError::NotAuthorized.into());
    }
    connect(stream, server, &domain).await
}

async fn connect<T: Transport>(stream: &mut Stream<T>, server: &Server, domain: &DomainPart) -> Result<Connected, End> {
    let (outbox, outgoing) = outbox();
    let Some(session) = server.hub.connect_component(domain, outbox) else {
        log::warn!("component {domain}: somebody answers for that address already");
        return Err(StreamError::Conflict.into());
    };
    stream.trusted();
    stream.write(b"<handshake/>").await?;
    Ok(Connected { session, outgoing })
}

/// What the component says for its proof. A stanza before it is one too early.
async fn proof<T: Transport>(stream: &mut Stream<T>) -> Result<String, End> {
    match stream.next().await? {
        // The reader has put the namespace of a component's stream in its place.
        Event::Stanza(element) if element.is("handshake", CLIENT) => Ok(element.text()),
        Event::Stanza(_) => Err(StreamError::NotAuthorized.into()),
        Event::End => Err(End::Closed),
        Event::Header(_) => Err(StreamError::BadFormat.into()),
    }
}
