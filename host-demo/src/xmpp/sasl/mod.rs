//! Authentication (RFC 6120 section 6): SCRAM and, inside TLS, PLAIN.
//!
//! A client learns nothing about which accounts exist: for an unknown one a decoy goes through the same exchange at the
//! same cost.

mod hash;
mod mechanism;
mod password;
mod plain;
mod scram;
mod throttle;

use std::{net::IpAddr, path::Path, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use jid::{BareJid, DomainPart, NodePart};
use minidom::Element;
use tokio::{
    sync::Semaphore,
    task::spawn_blocking,
    time::{Instant, sleep_until},
};

use self::{
    hash::Hash,
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
use crate::store::{Credentials, Store};

pub use password::derive;

const NAMESPACE: &str = "urn:ietf:params:xml:ns:xmpp-sasl";
/// How often a client may try on one stream (RFC 6120 section 6.4.5 asks for two to five).
const TRIES: usize = 3;
/// How long it takes to find out about an account, whether there is one or not. The store is faster by far, and fastest
/// for names it does not know: a client could tell them apart by it.
const LOOKUP: Duration = Duration::from_millis(2);

/// Why a try failed (RFC 6120 section 6.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The client gave up.
    Aborted,
    /// Not base64.
    IncorrectEncoding,
    /// It wants to act as somebody else.
    InvalidAuthzid,
    /// A mechanism that is not offered.
    InvalidMechanism,
    /// The message breaks the rules of its mechanism.
    MalformedRequest,
    /// Wrong password, or no such account.
    NotAuthorized,
    /// Not now: too many failures, or the store failed.
    Temporary,
}

impl Failure {
    fn condition(self) -> &'static str {
        match self {
            Failure::Aborted => "aborted",
            Failure::IncorrectEncoding => "incorrect-encoding",
            Failure::InvalidAuthzid => "invalid-authzid",
            Failure::InvalidMechanism => "invalid-mechanism",
            Failure::MalformedRequest => "malformed-request",
            Failure::NotAuthorized => "not-authorized",
            Failure::Temporary => "temporary-auth-failure",
        }
    }
}

/// What a try comes to nothing by: its own failure, after which there may be another, or the end of the stream.
enum Miss {
    Failure(Failure),
    End(End),
}

impl From<Failure> for Miss {
    fn from(failure: Failure) -> Miss {
        Miss::Failure(failure)
    }
}

impl<E: Into<End>> From<E> for Miss {
    fn from(end: E) -> Miss {
        Miss::End(end.into())
    }
}

/// Verifies who the users of a domain are.
pub struct Authenticator {
    domain: DomainPart,
    store: Store,
    decoys: Decoys,
    throttle: Throttle,
    /// PLAIN hashes the password here: no more at once than there are processors.
    plain: Semaphore,
}

/// A client that proved who it is, and what it is told with the success.
struct Proven {
    user: BareJid,
    last_word: Option<String>,
}

impl Authenticator {
    /// An authenticator for the accounts of `store`, with its secret in the state folder.
    pub fn open(domain: DomainPart, store: Store, state: &Path) -> Result<Authenticator, PrivateFileError> {
        Ok(Authenticator {
            domain,
            store,
            decoys: Decoys::open(state)?,
            throttle: Throttle::default(),
            plain: Semaphore::new(std::thread::available_parallelism().map_or(1, usize::from)),
        })
    }

    /// Runs the negotiation on a stream that TLS protects, up to the `<success/>`. `exporter` is the channel binding
    /// data of the connection. The JID comes from the verified name and nothing else.
    pub async fn authenticate<T: Transport>(
        &self,
        stream: &mut Stream<T>,
        address: IpAddr,
        exporter: Option<&[u8]>,
    ) -> Result<BareJid, End> {
        stream.open(&mechanism::features(exporter.is_some())).await?;
        for _ in 0..TRIES {
            match self.attempt(stream, address, exporter).await {
                Ok(proven) => {
                    let last_word = proven.last_word.map(|word| BASE64.encode(word)).unwrap_or_default();
                    stream.write(format!("<success xmlns='{NAMESPACE}'>{last_word}</success>").as_bytes()).await?;
                    return Ok(proven.user);
                }
                Err(Miss::Failure(failure)) => {
                    let condition = failure.condition();
                    stream.write(format!("<failure xmlns='{NAMESPACE}'><{condition}/></failure>").as_bytes()).await?;
                }
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
        let message = match decode(&auth)? {
            Some(message) => message,
            // The client wants to be asked (RFC 6120 section 6.4.3).
            None => challenge(stream, "").await?,
        };
        match mechanism {
            Mechanism::Plain => self.plain(&message, address).await,
            Mechanism::Scram { hash, plus } => self.scram(stream, hash, plus, &message, address, exporter).await,
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
        let user = self.user(&first.user, first.authorization.as_deref())?;
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
        Ok(Proven { user, last_word: Some(last_word) })
    }

    async fn plain(&self, message: &str, address: IpAddr) -> Result<Proven, Miss> {
        let plain = Plain::parse(message)?;
        let user = self.user(plain.user, plain.authorization)?;
        let pair = Pair::new(user.as_str(), address);
        let keys = self.credentials(&user).await?.scram_sha_256;
        let password = plain.password.to_owned();
        let _turn = self.plain.acquire().await.expect("the semaphore is never closed");
        if !self.throttle.take(&pair) {
            return Err(Failure::Temporary.into());
        }
        let verified = spawn_blocking(move || password::verify(&password, &keys)).await;
        if !verified.map_err(|_| StreamError::InternalServerError)? {
            return Err(Failure::NotAuthorized.into());
        }
        self.throttle.forgive(&pair);
        Ok(Proven { user, last_word: None })
    }

    /// The account that a user name stands for (RFC 6120 section 6.3.8), given that the client wants to act as it.
    fn user(&self, name: &str, authorization: Option<&str>) -> Result<BareJid, Failure> {
        // A name that no account can have.
        let node = NodePart::new(name).map_err(|_| Failure::NotAuthorized)?;
        let user = self.domain.with_node(&node);
        match authorization.map(BareJid::new) {
            None => Ok(user),
            Some(Ok(authorization)) if authorization == user => Ok(user),
            Some(_) => Err(Failure::InvalidAuthzid),
        }
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
        Ok(decode(&response)?.unwrap_or_default())
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

/// The message in an element: `None` when it has none, empty when it is `=` (RFC 6120 section 6.4.2).
fn decode(element: &Element) -> Result<Option<String>, Failure> {
    match element.text().as_str() {
        "" => Ok(None),
        "=" => Ok(Some(String::new())),
        encoded => {
            let bytes = BASE64.decode(encoded).map_err(|_| Failure::IncorrectEncoding)?;
            String::from_utf8(bytes).map(Some).map_err(|_| Failure::MalformedRequest)
        }
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
        sync::watch,
        time::timeout,
    };

    use super::*;

    const EXPORTER: [u8; 32] = [7; 32];
    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    async fn authenticator() -> (TempDir, Authenticator) {
        let state = tempfile::tempdir().unwrap();
        let store = Store::open(state.path()).unwrap();
        store.add_account(&BareJid::new("ann@localhost").unwrap(), &derive("secret").unwrap()).await.unwrap();
        let authenticator = Authenticator::open("localhost".parse().unwrap(), store, state.path()).unwrap();
        (state, authenticator)
    }

    async fn hear(client: &mut DuplexStream, end: &str) -> String {
        let mut heard = String::new();
        while !heard.contains(end) {
            let mut chunk = [0; 1024];
            let read = timeout(Duration::from_secs(20), client.read(&mut chunk)).await.expect("an answer").unwrap();
            assert!(read > 0, "no {end} in {heard}");
            heard.push_str(std::str::from_utf8(&chunk[..read]).unwrap());
        }
        heard
    }

    /// Logs in by SCRAM. Gives the challenge and the last answer as they came, and whom the server takes the client for.
    async fn scram(
        authenticator: &Authenticator,
        mechanism: &str,
        user: &str,
        password: &str,
    ) -> (String, String, Option<BareJid>) {
        let (mut client, server) = duplex(4096);
        let (_down, shutdown) = watch::channel(false);
        let deadline = Instant::now() + Duration::from_secs(20);
        let mut stream = Stream::new(server, &authenticator.domain, deadline, shutdown);
        let hash = if mechanism.contains("256") { Hash::Sha256 } else { Hash::Sha1 };
        let (gs2, bound): (_, &[u8]) =
            if mechanism.ends_with("PLUS") { ("p=tls-exporter,,", &EXPORTER) } else { ("n,,", &[]) };
        let client = async move {
            let open = "<stream:stream xmlns='jabber:client' to='localhost' version='1.0' \
                        xmlns:stream='http://etherx.jabber.org/streams'>";
            client.write_all(open.as_bytes()).await.unwrap();
            assert!(hear(&mut client, "</stream:features>").await.contains(&format!(">{mechanism}<")));
            let bare = format!("n={user},r=abc");
            let first = BASE64.encode(format!("{gs2}{bare}"));
            let auth = format!("<auth xmlns='{NAMESPACE}' mechanism='{mechanism}'>{first}</auth>");
            client.write_all(auth.as_bytes()).await.unwrap();
            let heard = hear(&mut client, "</challenge>").await;
            let challenge = heard.split(['<', '>']).nth(2).unwrap();
            let challenge = String::from_utf8(BASE64.decode(challenge).unwrap()).unwrap();
            let last = scram::client::last(hash, password, &bare, &challenge, &[gs2.as_bytes(), bound].concat());
            let response = format!("<response xmlns='{NAMESPACE}'>{}</response>", BASE64.encode(last));
            client.write_all(response.as_bytes()).await.unwrap();
            (challenge, hear(&mut client, ">").await)
        };
        let server = authenticator.authenticate(&mut stream, HERE, Some(&EXPORTER));
        let ((challenge, answer), user) = tokio::join!(client, server);
        (challenge, answer, user.ok())
    }

    #[tokio::test]
    async fn every_scram_mechanism_logs_in() {
        let (_state, authenticator) = authenticator().await;
        for mechanism in ["SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "SCRAM-SHA-1-PLUS", "SCRAM-SHA-1"] {
            let (_, answer, user) = scram(&authenticator, mechanism, "Ann", "secret").await;
            assert!(answer.starts_with("<success"), "{mechanism}: {answer}");
            assert_eq!(user, Some(BareJid::new("ann@localhost").unwrap()));
        }
    }

    #[tokio::test]
    async fn an_unknown_user_is_refused_like_a_known_one() {
        let (_state, authenticator) = authenticator().await;
        let shape = |challenge: &str| {
            let (_, rest) = challenge.split_once(",s=").unwrap();
            let (salt, iterations) = rest.split_once(',').unwrap();
            (salt.len(), iterations.to_owned())
        };
        let (known, known_answer, _) = scram(&authenticator, "SCRAM-SHA-256", "ann", "wrong").await;
        let (unknown, unknown_answer, user) = scram(&authenticator, "SCRAM-SHA-256", "nobody", "secret").await;
        assert_eq!(shape(&known), shape(&unknown));
        assert_eq!(known_answer, unknown_answer);
        assert_eq!(user, None);
    }
}
