//! Authentication (RFC 6120 section 6): SCRAM, PLAIN and, where the administrator wants it, ANONYMOUS. Inside TLS only.
//!
//! A client learns nothing about which accounts exist: for an unknown one a decoy goes through the same exchange at the
//! same cost.

mod failure;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod hash;
mod mechanism;
mod password;
mod plain;
mod scram;
#[cfg(test)]
mod tests;
mod throttle;

use std::{
    net::IpAddr,
    path::Path,
    sync::{
        LazyLock,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use jid::{BareJid, DomainPart, DomainRef};
use minidom::Element;
use stringprep::saslprep;
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    task::spawn_blocking,
    time::{Instant, sleep_until},
};

pub use self::{failure::Failure, hash::Hash, password::derive};
use self::{
    failure::Miss,
    mechanism::Mechanism,
    password::Decoys,
    plain::Plain,
    scram::{ClientFirst, Exchange},
    throttle::{Pair, Throttle},
};
use super::{
    error::StreamError,
    private_file::PrivateFileError,
    stream::{End, Stream, Transport},
    xml::Event,
};
use crate::{
    address,
    store::{Credentials, Store},
};

/// The namespace of the negotiation.
pub const NAMESPACE: &str = "urn:ietf:params:xml:ns:xmpp-sasl";
/// How often a client may try on one stream (RFC 6120 section 6.4.5 asks for two to five).
const TRIES: usize = 3;
/// The most characters of an anonymous client's trace (RFC 4505 section 2).
const MAX_TRACE: usize = 255;
/// How long it takes to find out about an account, whether there is one or not. The store is faster by far, and a little
/// faster still for names it does not know: a client could tell them apart by it.
const LOOKUP: Duration = Duration::from_millis(2);

/// Verifies who the users of a domain are.
pub struct Authenticator {
    domain: DomainPart,
    store: Store,
    decoys: Decoys,
    throttle: Throttle,
    /// Whether ANONYMOUS is offered.
    anonymous: AtomicBool,
}

/// As whom a client was let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identity {
    /// The user of this account.
    Account(BareJid),
    /// Somebody without an account (RFC 4505).
    Anonymous,
}

/// A client that proved who it is, and what it is told with the success.
struct Proven {
    identity: Identity,
    last_word: Option<String>,
}

impl Authenticator {
    /// An authenticator for the accounts of `store`, with its secret in the state folder, and for anybody else if
    /// `anonymous`.
    pub fn open(
        domain: DomainPart,
        store: Store,
        state: &Path,
        anonymous: bool,
    ) -> Result<Authenticator, PrivateFileError> {
        Ok(Authenticator {
            domain,
            store,
            decoys: Decoys::open(state)?,
            throttle: Throttle::default(),
            anonymous: anonymous.into(),
        })
    }

    /// Whether clients without an account are let in from now on. Those that are in stay.
    pub fn let_anybody_in(&self, anonymous: bool) {
        self.anonymous.store(anonymous, Relaxed);
    }

    fn lets_anybody_in(&self) -> bool {
        self.anonymous.load(Relaxed)
    }

    /// Forgets what is remembered of a user whose account is gone.
    pub fn forget(&self, user: &BareJid) {
        self.throttle.forget(user.as_str());
    }

    /// Runs the negotiation on a stream that TLS protects, up to the `<success/>`. `exporter` is the channel binding
    /// data of the connection. The JID comes from the verified name and nothing else.
    pub async fn authenticate<T: Transport>(
        &self,
        stream: &mut Stream<T>,
        address: IpAddr,
        exporter: Option<&[u8]>,
    ) -> Result<Identity, End> {
        stream.open(&mechanism::features(exporter.is_some(), self.lets_anybody_in()), None).await?;
        for _ in 0..TRIES {
            match self.attempt(stream, address, exporter).await {
                Ok(proven) => {
                    let last_word = proven.last_word.map(|word| BASE64.encode(word)).unwrap_or_default();
                    stream.write(format!("<success xmlns='{NAMESPACE}'>{last_word}</success>").as_bytes()).await?;
                    return Ok(proven.identity);
                }
                Err(Miss::Failure(failure)) => stream.write(failure.element().as_bytes()).await?,
                Err(Miss::End(end)) => return Err(end),
            }
        }
        Err(StreamError::PolicyViolation.into())
    }

    async fn attempt<T: Transport>(
        &self,
        stream: &mut Stream<T>,
        address: IpAddr,
        exporter: Option<&[u8]>,
    ) -> Result<Proven, Miss> {
        let auth = step(stream).await?;
        if !auth.is("auth", NAMESPACE) {
            // `<abort/>` and `<response/>` have their place inside an exchange.
            let failure = if auth.has_ns(NAMESPACE) { Failure::MalformedRequest } else { return not_authorized() };
            return Err(failure.into());
        }
        let mechanism = auth.attr("mechanism").and_then(Mechanism::parse).ok_or(Failure::InvalidMechanism)?;
        let message = match decode(&auth.text())? {
            Some(message) => message,
            // XEP-0175 section 2: what ANONYMOUS has to say may be left out.
            None if mechanism == Mechanism::Anonymous => String::new(),
            // The client wants to be asked (RFC 6120 section 6.4.3).
            None => challenge(stream, "").await?,
        };
        match mechanism {
            Mechanism::Anonymous => self.anonymous(&message),
            Mechanism::Plain => self.plain(&message, address).await,
            Mechanism::Scram { hash, plus } => self.scram(stream, hash, plus, &message, address, exporter).await,
        }
    }

    /// RFC 4505 section 2: the message is an address or a token, for the traces of the server, which keeps none.
    fn anonymous(&self, trace: &str) -> Result<Proven, Miss> {
        match (self.lets_anybody_in(), trace.chars().count() <= MAX_TRACE) {
            (false, _) => Err(Failure::InvalidMechanism.into()),
            (true, false) => Err(Failure::MalformedRequest.into()),
            (true, true) => Ok(Proven { identity: Identity::Anonymous, last_word: None }),
        }
    }

    async fn scram<T: Transport>(
        &self,
        stream: &mut Stream<T>,
        hash: Hash,
        plus: bool,
        message: &str,
        address: IpAddr,
        exporter: Option<&[u8]>,
    ) -> Result<Proven, Miss> {
        let first = ClientFirst::parse(message, plus)?;
        let user = user(&self.domain, &first.user, first.authorization.as_deref())?;
        let pair = Pair::new(user.as_str(), address);
        if self.throttle.is_exhausted(&pair) {
            return Err(Failure::Temporary.into());
        }
        let credentials = self.credentials(&user).await?;
        let keys = match hash {
            Hash::Sha1 => credentials.scram_sha_1,
            Hash::Sha256 => credentials.scram_sha_256,
        };
        let (exchange, question) = Exchange::begin(hash, first, keys, exporter)?;
        let answer = challenge(stream, &question).await?;
        if !self.throttle.take(&pair) {
            return Err(Failure::Temporary.into());
        }
        let last_word = exchange.finish(&answer)?;
        self.throttle.forgive(&pair);
        Ok(Proven { identity: Identity::Account(user), last_word: Some(last_word) })
    }

    async fn plain(&self, message: &str, address: IpAddr) -> Result<Proven, Miss> {
        let plain = Plain::parse(message)?;
        let user = user(&self.domain, plain.user, plain.authorization)?;
        let pair = Pair::new(user.as_str(), address);
        let keys = self.credentials(&user).await?.scram_sha_256;
        let password = plain.password.to_owned();
        let _turn = turn_to_hash().await;
        if !self.throttle.take(&pair) {
            return Err(Failure::Temporary.into());
        }
        let verified = spawn_blocking(move || password::verify(&password, &keys)).await;
        if !verified.map_err(|_| StreamError::InternalServerError)? {
            return Err(Failure::NotAuthorized.into());
        }
        self.throttle.forgive(&pair);
        Ok(Proven { identity: Identity::Account(user), last_word: None })
    }

    /// The credentials of an account, or of a decoy.
    async fn credentials(&self, user: &BareJid) -> Result<Credentials, Failure> {
        let (store, name) = (self.store.clone(), user.clone());
        let answer_at = Instant::now() + LOOKUP;
        let decoy = self.decoys.credentials(user.as_str());
        let found = spawn_blocking(move || store.credentials(name.as_str())).await;
        sleep_until(answer_at).await;
        match found {
            Ok(Ok(credentials)) => Ok(credentials.unwrap_or(decoy)),
            Ok(Err(error)) => {
                log::error!("{user} can't log in: {error}");
                Err(Failure::Temporary)
            }
            Err(_) => Err(Failure::Temporary),
        }
    }
}

/// A turn to hash a password, as slow as that is meant to be: no more have one at once than there are processors.
pub async fn turn_to_hash() -> SemaphorePermit<'static> {
    static TURNS: LazyLock<Semaphore> =
        LazyLock::new(|| Semaphore::new(std::thread::available_parallelism().map_or(1, usize::from)));
    TURNS.acquire().await.expect("the semaphore is never closed")
}

/// The account that a user name stands for (RFC 6120 section 6.3.8), given that the client wants to act as it. The name is
/// prepared as SASL wants it (RFC 4616 section 2, RFC 5802 section 5.1), then as a localpart.
fn user(domain: &DomainRef, name: &str, authorization: Option<&str>) -> Result<BareJid, Failure> {
    // A name that no account can have.
    let name = saslprep(name).map_err(|_| Failure::NotAuthorized)?;
    let node = address::localpart(&name).map_err(|_| Failure::NotAuthorized)?;
    let user = domain.with_node(&node);
    match authorization.map(address::bare_jid) {
        None => Ok(user),
        Some(Ok(authorization)) if authorization == user => Ok(user),
        Some(_) => Err(Failure::InvalidAuthzid),
    }
}

/// The next element of the negotiation.
async fn step<T: Transport>(stream: &mut Stream<T>) -> Result<Element, End> {
    match stream.next().await? {
        Event::Stanza(element) => Ok(element),
        Event::End => Err(End::Closed),
        Event::Header(_) => Err(StreamError::BadFormat.into()),
    }
}

/// Sends a challenge and waits for the response to it.
async fn challenge<T: Transport>(stream: &mut Stream<T>, message: &str) -> Result<String, Miss> {
    let message = BASE64.encode(message);
    stream.write(format!("<challenge xmlns='{NAMESPACE}'>{message}</challenge>").as_bytes()).await?;
    let response = step(stream).await?;
    if response.is("response", NAMESPACE) {
        Ok(decode(&response.text())?.unwrap_or_default())
    } else if response.is("abort", NAMESPACE) {
        Err(Failure::Aborted.into())
    } else if response.has_ns(NAMESPACE) {
        Err(Failure::MalformedRequest.into())
    } else {
        not_authorized()
    }
}

/// A stanza, or anything else, from somebody unknown (RFC 6120 section 4.9.3.12).
fn not_authorized<V>() -> Result<V, Miss> {
    Err(StreamError::NotAuthorized.into())
}

/// The message in the text of an element: `None` when it has none, empty when it is `=` (RFC 6120 section 6.4.2).
fn decode(text: &str) -> Result<Option<String>, Failure> {
    match text {
        "" => Ok(None),
        "=" => Ok(Some(String::new())),
        encoded => {
            let bytes = BASE64.decode(encoded).map_err(|_| Failure::IncorrectEncoding)?;
            String::from_utf8(bytes).map(Some).map_err(|_| Failure::MalformedRequest)
        }
    }
}
