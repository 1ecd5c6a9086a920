//! A session as the stream sees it: the client's stanzas go to the hub, what the hub posts goes to the client.

use std::{convert::Infallible, time::Duration};

use bytes::Bytes;
use minidom::Element;
use rxml::{Namespace, NcName, XMLNS_XML};
use tokio::{task::yield_now, time::sleep};

use super::{
    bind::Bound,
    error::StreamError,
    hub::Session,
    outbox::{Next, Outgoing},
    stream::{End, Stream, Transport},
    xml::Event,
};

/// The longest language tag that is passed on (RFC 5646 section 4.4.1).
const MAX_LANG: usize = 35;

/// How long a client whose queue overflowed may take to read what was written before, and then why it is over.
const LAST_CHANCE: Duration = Duration::from_secs(2);

/// Runs the session to its end, of which the hub is told before this returns.
pub async fn run<T: Transport>(stream: &mut Stream<T>, mut bound: Bound) -> End {
    let Err(end) = exchange(stream, &mut bound).await;
    match end {
        End::Closed => close(stream, bound).await,
        end => end,
    }
}

async fn exchange<T: Transport>(stream: &mut Stream<T>, bound: &mut Bound) -> Result<Infallible, End> {
    loop {
        tokio::select! {
            next = bound.outgoing.next() => match next {
                Next::Write(stanzas) => write(stream, stanzas, &bound.outgoing).await?,
                Next::HandOut => hand_out(stream, &bound.session).await?,
                Next::Close(None) => return Err(End::Closed),
                Next::Close(Some(error)) => return Err(error.into()),
            },
            // Or else what it asks for would pile up here, while it takes none of it.
            event = stream.next(), if !bound.outgoing.owes() => match event? {
                Event::Stanza(mut stanza) => {
                    if let Some(lang) = &bound.lang {
                        name_language(&mut stanza, lang);
                    }
                    bound.session.receive(stanza).await?;
                    // Whoever was just written to comes first: a burst of stanzas must not fill the queue of somebody who
                    // reads, only because their stream had no turn meanwhile.
                    yield_now().await;
                },
                Event::End => return Err(End::Closed),
                Event::Header(_) => return Err(StreamError::BadFormat.into()),
            },
        }
    }
}

/// Writes stanzas. When so many come behind them that the queue overflows, the session is over, and a client that still
/// takes nothing need not be waited for.
async fn write<T: Transport>(stream: &mut Stream<T>, stanzas: Vec<Bytes>, behind: &Outgoing) -> Result<(), End> {
    let given_up = async {
        behind.overfilled().await;
        sleep(LAST_CHANCE).await;
    };
    tokio::select! {
        biased;
        written = stream.write_all(stanzas) => written,
        () = given_up => Err(End::Lost),
    }
}

/// Writes some of the messages that waited for the user. Only what could be written is taken out of the store.
async fn hand_out<T: Transport>(stream: &mut Stream<T>, session: &Session) -> Result<(), End> {
    let messages = session.waiting_messages();
    if !messages.is_empty() {
        stream.write_all(messages.iter().map(|message| message.stanza.clone()).collect()).await?;
        session.handed_over(messages).await;
    }
    Ok(())
}

/// Ends the session in order: what was posted before its end is still written (RFC 6120 section 4.4).
async fn close<T: Transport>(stream: &mut Stream<T>, mut bound: Bound) -> End {
    bound.session.close().await;
    bound.outbox.close(None);
    while let Next::Write(stanzas) = bound.outgoing.next().await {
        if let Err(end) = stream.write_all(stanzas).await {
            return end;
        }
    }
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
