//! Resource binding (RFC 6120 section 7): from a verified user to a session, a new one or one that lost its stream (XEP-0198).

use std::sync::Arc;

use jid::BareJid;
use minidom::Element;

use super::{
    error::StreamError,
    hub::{BindError, Hub, Session},
    management::{self, Detached, Managed},
    outbox::{Outbox, Outgoing, outbox},
    sasl::Identity,
    session,
    stream::{End, Stream, Transport},
    xml::{CLIENT, Event, Limits, escape},
};
use crate::address;

const NAMESPACE: &str = "urn:ietf:params:xml:ns:xmpp-bind";
const STANZAS: &str = "urn:ietf:params:xml:ns:xmpp-stanzas";

/// A session of the hub and the two ends of what is written to it. It may outlive its stream.
pub struct Bound {
    /// Where the client's stanzas go.
    pub session: Session,
    /// Where the hub posts.
    pub outbox: Outbox,
    /// What is to be written.
    pub outgoing: Outgoing,
    /// The language of stanzas that name none (RFC 6120 section 4.7.4).
    pub lang: Option<String>,
    /// What is to be written before everything else.
    pub greeting: String,
    /// What stands between the session and its end, if its client acknowledges (XEP-0198).
    pub managed: Option<Managed>,
}

/// Opens the stream of a client that was let in and waits until a resource is bound.
pub async fn bind<T: Transport>(
    stream: &mut Stream<T>,
    hub: &Arc<Hub>,
    identity: &Identity,
    detached: &Detached,
) -> Result<Bound, End> {
    let user = match identity {
        Identity::Account(user) => Some(user),
        Identity::Anonymous => None,
    };
    let lang = stream.open(&features(), user).await?.lang;
    loop {
        let request = match stream.next().await? {
            Event::Stanza(stanza) if stanza.has_ns(management::NAMESPACE) => {
                match management::resume(&stanza, user, lang.as_deref(), detached).await {
                    Ok(bound) => return Ok(bound),
                    Err(refusal) => stream.write(refusal.as_bytes()).await?,
                }
                continue;
            }
            Event::Stanza(stanza) => Request::parse(&stanza).ok_or(StreamError::NotAuthorized)?,
            Event::End => return Err(End::Closed),
            Event::Header(_) => return Err(StreamError::BadFormat.into()),
        };
        let (outbox, outgoing) = outbox();
        match request.bind(hub, user, outbox.clone()).await {
            Ok(session) => {
                let greeting = request.result(session.jid().as_str());
                return Ok(Bound { session, outbox, outgoing, lang, greeting, managed: None });
            }
            Err(refusal) => stream.write(request.error(refusal).as_bytes()).await?,
        }
    }
}

/// The stream features of a user: binding; the session that old clients establish (RFC 3921 section 3); pre-approval
/// (RFC 6121 section 3.4); versions of the roster (section 2.6); acknowledgements (XEP-0198); whether somebody
/// looks (XEP-0352); the size of a stanza (XEP-0478).
fn features() -> String {
    format!(
        "<bind xmlns='{NAMESPACE}'/><session xmlns='urn:ietf:params:xml:ns:xmpp-session'><optional/></session>\
         <sub xmlns='urn:xmpp:features:pre-approval'/><ver xmlns='urn:xmpp:features:rosterver'/>\
         <sm xmlns='{}'/><csi xmlns='{}'/><limits xmlns='urn:xmpp:stream-limits:0'><max-bytes>{}</max-bytes></limits>",
        management::NAMESPACE,
        session::CLIENT_STATE,
        Limits::SESSION.bytes
    )
}

/// A request to bind.
struct Request {
    id: String,
    wanted: String,
}

impl Request {
    fn parse(stanza: &Element) -> Option<Request> {
        let is_set = stanza.is("iq", CLIENT) && stanza.attr("type") == Some("set");
        let bind = stanza.get_child("bind", NAMESPACE).filter(|_| is_set)?;
        Some(Request {
            id: escape(stanza.attr("id").unwrap_or_default()),
            wanted: bind.get_child("resource", NAMESPACE).map(Element::text).unwrap_or_default(),
        })
    }

    /// Binds for a user or, for `None`, for somebody without an account.
    async fn bind(&self, hub: &Arc<Hub>, user: Option<&BareJid>, outbox: Outbox) -> Result<Session, Refusal> {
        let wanted = match self.wanted.as_str() {
            "" => None,
            wanted => {
                Some(address::resourcepart(wanted).map_err(|_| Refusal { kind: "modify", condition: "bad-request" })?)
            }
        };
        let bound = match user {
            Some(user) => hub.bind(user, wanted.as_deref(), outbox).await,
            None => hub.bind_anonymous(wanted.as_deref(), outbox),
        };
        bound.map_err(|error| match error {
            BindError::TooManySessions => Refusal { kind: "wait", condition: "resource-constraint" },
            BindError::NoAccount => Refusal { kind: "cancel", condition: "not-allowed" },
        })
    }

    fn result(&self, jid: &str) -> String {
        let (id, jid) = (&self.id, escape(jid));
        format!("<iq type='result' id='{id}'><bind xmlns='{NAMESPACE}'><jid>{jid}</jid></bind></iq>")
    }

    fn error(&self, Refusal { kind, condition }: Refusal) -> String {
        let id = &self.id;
        format!("<iq type='error' id='{id}'><error type='{kind}'><{condition} xmlns='{STANZAS}'/></error></iq>")
    }
}

/// A stanza error (RFC 6120 section 7.7.2).
struct Refusal {
    kind: &'static str,
    condition: &'static str,
}
