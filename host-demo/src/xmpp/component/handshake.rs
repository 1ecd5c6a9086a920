//! The handshake (XEP-0114 section 3): a component proves that it knows its secret, without telling it.

use jid::DomainPart;

use super::{Connected, Secret, Server};
use crate::xmpp::{
    error::StreamError,
    outbox::outbox,
    stream::{End, Stream, Transport},
    xml::{CLIENT, Event},
};

/// Lets a component in, or says why not. Whose domain is known and whose is not can be told apart: the XEP wants it so.
pub(super) async fn let_in<T: Transport>(stream: &mut Stream<T>, server: &Server) -> Result<Connected, End> {
    let (domain, id) = stream.open_component().await?;
    let domain = domain.ok_or(StreamError::HostUnknown)?;
    secret(server, &domain)?;
    let proof = proof(stream).await?;
    // The one that holds by now: the component may have taken its time.
    let secret = secret(server, &domain)?;
    if !secret.is_proved_by(&proof, &id) {
        log::warn!("component {domain}: a handshake with a wrong secret");
        return Err(StreamError::NotAuthorized.into());
    }
    let connected = connect(server, &domain, &secret)?;
    stream.trusted();
    stream.write(b"<handshake/>").await?;
    Ok(connected)
}

/// The secret of a component.
fn secret(server: &Server, domain: &DomainPart) -> Result<Secret, StreamError> {
    server.secrets.load().get(domain).cloned().ok_or(StreamError::HostUnknown)
}

/// Connects a component that was let in by this secret.
fn connect(server: &Server, domain: &DomainPart, by: &Secret) -> Result<Connected, StreamError> {
    let (outbox, outgoing) = outbox();
    let Some(session) = server.hub.connect_component(domain, outbox) else {
        log::warn!("component {domain}: somebody answers for that address already");
        return Err(StreamError::Conflict);
    };
    // Whoever renewed it a moment ago did not find anybody here to show out.
    if secret(server, domain)? != *by {
        return Err(StreamError::NotAuthorized);
    }
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
