//! A session as the stream sees it: the client's stanzas go to the hub, what the hub posts goes to the client.

use std::{convert::Infallible, future::Future, mem, time::Duration};

use bytes::Bytes;
use minidom::Element;
use rxml::{Namespace, NcName, XMLNS_XML};
use tokio::{task::yield_now, time::sleep};

use super::{
    bind::Bound,
    connection::is_down,
    error::StreamError,
    management::{self, Answer, Claim, Detached, Managed, claimed},
    outbox::{Next, Outgoing},
    stream::{End, Shutdown, Stream, Transport},
    xml::Event,
};
use crate::store::OfflineMessage;

/// Client state indication (XEP-0352).
pub const CLIENT_STATE: &str = "urn:xmpp:csi:0";
/// The longest language tag that is passed on (RFC 5646 section 4.4.1).
const MAX_LANG: usize = 35;

/// How long a client whose queue overflowed, or whose server goes down, may take to read what was written before, and then why
/// it is over.
const LAST_CHANCE: Duration = Duration::from_secs(2);

/// Why a stream has done with its session.
enum Over {
    Ended(End),
    /// The client goes on with it on a new connection.
    Claimed(Claim),
}

impl<E: Into<End>> From<E> for Over {
    fn from(end: E) -> Over {
        Over::Ended(end.into())
    }
}

/// Runs the session to the end of its stream. Returns the session, if it outlives the stream; otherwise the hub has been told of
/// its end before this returns.
pub async fn run<T: Transport>(stream: &mut Stream<T>, mut bound: Bound, detached: &Detached) -> (End, Option<Bound>) {
    let Err(over) = exchange(stream, &mut bound, detached).await;
    match over {
        Over::Ended(End::Closed) => (close(stream, bound).await, None),
        Over::Ended(End::Lost) if bound.is_resumable() => (End::Lost, Some(bound)),
        Over::Ended(end) => {
            bound.session.finish().await;
            (end, None)
        }
        Over::Claimed(claim) => {
            let unwanted = claim.give(bound).err();
            (StreamError::Conflict.into(), unwanted.map(|bound| *bound))
        }
    }
}

async fn exchange<T: Transport>(
    stream: &mut Stream<T>,
    bound: &mut Bound,
    detached: &Detached,
) -> Result<Infallible, Over> {
    let greeting = mem::take(&mut bound.greeting);
    let shutdown = stream.shutdown();
    unless_over(stream.write(greeting.as_bytes()), &bound.outgoing, &mut bound.managed, shutdown).await?;
    loop {
        tokio::select! {
            next = bound.outgoing.next() => match next {
                Next::Write(stanzas) => write(stream, stanzas, bound).await?,
                Next::HandOut => hand_out(stream, bound).await?,
                Next::Close(None) => return Err(End::Closed.into()),
                Next::Close(Some(error)) => return Err(error.into()),
            },
            // Or else what it asks for would pile up here, while it takes none of it.
            event = stream.next(), if !bound.outgoing.owes() => match event? {
                Event::Stanza(element) if element.has_ns(management::NAMESPACE) => {
                    manage(stream, &element, bound, detached).await?;
                }
                Event::Stanza(element) if element.has_ns(CLIENT_STATE) => match element.name() {
                    "active" => bound.outgoing.set_active(true),
                    "inactive" => bound.outgoing.set_active(false),
                    _ => return Err(StreamError::UnsupportedStanzaType.into()),
                },
                Event::Stanza(stanza) => receive(stanza, bound).await?,
                Event::End => return Err(End::Closed.into()),
                Event::Header(_) => return Err(StreamError::BadFormat.into()),
            },
            claim = claimed(&mut bound.managed) => return Err(Over::Claimed(claim)),
        }
    }
}

async fn receive(mut stanza: Element, bound: &mut Bound) -> Result<(), StreamError> {
    if let Some(lang) = &bound.lang {
        name_language(&mut stanza, lang);
    }
    bound.session.receive(stanza).await?;
    if let Some(managed) = &mut bound.managed {
        managed.count();
    }
    // Whoever was just written to comes first: a burst of stanzas must not fill the queue of somebody who
    // reads, only because their stream had no turn meanwhile.
    yield_now().await;
    Ok(())
}

/// Takes an element of XEP-0198.
async fn manage<T: Transport>(
    stream: &mut Stream<T>,
    element: &Element,
    bound: &mut Bound,
    detached: &Detached,
) -> Result<(), Over> {
    match bound.manage(element, detached)? {
        Answer::Write(answer) => {
            let shutdown = stream.shutdown();
            unless_over(stream.write(answer.as_bytes()), &bound.outgoing, &mut bound.managed, shutdown).await?;
            // What is written from here on counts, and no earlier (section 4).
            if bound.managed.is_some() {
                bound.outgoing.begin_acknowledging();
            }
        }
        Answer::Arrived(numbers) if !numbers.is_empty() => bound.session.handed_over(numbers).await,
        Answer::Arrived(_) | Answer::None => {}
    }
    Ok(())
}

/// Writes stanzas.
async fn write<T: Transport>(stream: &mut Stream<T>, stanzas: Vec<Bytes>, bound: &mut Bound) -> Result<(), Over> {
    let Bound { outgoing, managed, .. } = bound;
    let shutdown = stream.shutdown();
    let writing = stream.write_all(&stanzas, |pieces| outgoing.written(pieces));
    unless_over(writing, outgoing, managed, shutdown).await
}

/// Writes some of the messages that waited for the user. Only what could be written is taken out of the store or, of a client
/// that acknowledges, what it has acknowledged.
async fn hand_out<T: Transport>(stream: &mut Stream<T>, bound: &mut Bound) -> Result<(), Over> {
    let messages = bound.session.waiting_messages();
    if messages.is_empty() {
        return Ok(());
    }
    let mut stanzas: Vec<_> = messages.iter().map(|message| message.stanza.clone()).collect();
    let acknowledged = bound.outgoing.is_acknowledged() && stanzas.iter().any(|stanza| !stanza.is_empty());
    if acknowledged {
        stanzas.extend(bound.outgoing.note_stored(with_numbers(&messages)));
    }
    let shutdown = stream.shutdown();
    let writing = stream.write_all(&stanzas, |_| ());
    unless_over(writing, &bound.outgoing, &mut bound.managed, shutdown).await?;
    if !acknowledged {
        bound.session.handed_over(messages.iter().map(|message| message.id).collect()).await;
    }
    Ok(())
}

/// Each message with its number. One that is not to be written goes with one that is.
fn with_numbers(messages: &[OfflineMessage]) -> Vec<(Bytes, Vec<i64>)> {
    let mut written: Vec<(Bytes, Vec<i64>)> = Vec::new();
    let mut before = Vec::new();
    for message in messages {
        if !message.stanza.is_empty() {
            before.push(message.id);
            written.push((message.stanza.clone(), mem::take(&mut before)));
        } else if let Some((_, numbers)) = written.last_mut() {
            numbers.push(message.id);
        } else {
            before.push(message.id);
        }
    }
    written
}

/// Writes, which may take as long as a dead connection is not noticed, unless the client goes on with the session elsewhere. When
/// the queue overflows meanwhile, or the server goes down, a client that still takes nothing need not be waited for.
async fn unless_over(
    writing: impl Future<Output = Result<(), End>>,
    outgoing: &Outgoing,
    managed: &mut Option<Managed>,
    shutdown: Shutdown,
) -> Result<(), Over> {
    let given_up = async {
        tokio::select! {
            () = outgoing.overfilled() => {}
            () = is_down(shutdown) => {}
        }
        sleep(LAST_CHANCE).await;
    };
    tokio::select! {
        biased;
        written = writing => written.map_err(Into::into),
        claim = claimed(managed) => Err(Over::Claimed(claim)),
        () = given_up => Err(End::Lost.into()),
    }
}

/// Ends the session in order: what was posted before its end is still written (RFC 6120 section 4.4).
async fn close<T: Transport>(stream: &mut Stream<T>, mut bound: Bound) -> End {
    bound.session.close();
    bound.outbox.close(None);
    while let Next::Write(stanzas) = bound.outgoing.next().await {
        let shutdown = stream.shutdown();
        let writing = stream.write_all(&stanzas, |pieces| bound.outgoing.written(pieces));
        if let Err(Over::Ended(end)) = unless_over(writing, &bound.outgoing, &mut None, shutdown).await {
            bound.session.finish().await;
            return end;
        }
    }
    bound.session.finish().await;
    End::Closed
}

/// Names the language of a stanza that does not (RFC 6120 section 8.1.5), as its readers don't know the stream's.
fn name_language(stanza: &mut Element, lang: &str) {
    let is_tag = lang.len() <= MAX_LANG && lang.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if is_tag && stanza.attr_ns(XMLNS_XML, "lang").is_none() && stanza.name() != "iq" {
        let name = NcName::try_from("lang").expect("a constant name");
        stanza.attrs_mut().insert(Namespace::xml().clone(), name, lang.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(stanza: &str, lang: &str) -> Option<String> {
        let mut stanza: Element = stanza.parse().unwrap();
        name_language(&mut stanza, lang);
        stanza.attr_ns(XMLNS_XML, "lang").map(str::to_owned)
    }

    #[test]
    fn a_stanza_carries_the_language_of_its_stream_unless_it_names_one() {
        assert_eq!(named("<message xmlns='jabber:client'/>", "de-CH").as_deref(), Some("de-CH"));
        assert_eq!(named("<message xmlns='jabber:client' xml:lang='fr'/>", "de").as_deref(), Some("fr"));
        assert_eq!(named("<iq xmlns='jabber:client'/>", "de"), None, "nobody reads an IQ");
        assert_eq!(named("<message xmlns='jabber:client'/>", "<lang>"), None, "not a language");
    }
}
