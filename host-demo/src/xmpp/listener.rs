//! Accepts connections until it is told to stop.

use std::{future::Future, io, net::IpAddr, pin::pin, sync::Arc, time::Duration};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    time::{sleep, timeout},
};

use super::{
    component,
    connection::{self, Server},
    stream::Shutdown,
};

/// The pause after a failure to accept: out of file descriptors, every further try would fail at once, for ever.
const PAUSE: Duration = Duration::from_millis(100);
/// How long the streams have to say goodbye.
const GRACE: Duration = Duration::from_secs(5);

/// Serves clients that come by `listener` until `shutdown` completes. Then every stream is closed with
/// `<system-shutdown/>`, and this returns once they are gone, or after five seconds.
pub async fn run(listener: TcpListener, server: Arc<Server>, shutdown: impl Future<Output = ()>) {
    let serve = |socket, peer, down| connection::serve(socket, peer, server.clone(), down);
    accept(listener, "XMPP clients", serve, shutdown).await;
}

/// As [`run`], for components.
pub async fn run_components(listener: TcpListener, server: Arc<component::Server>, shutdown: impl Future<Output = ()>) {
    let serve = |socket, peer, down| component::serve(socket, peer, server.clone(), down);
    accept(listener, "components", serve, shutdown).await;
}

async fn accept<S: Future<Output = ()> + Send + 'static>(
    listener: TcpListener,
    who: &str,
    serve: impl Fn(TcpStream, IpAddr, Shutdown) -> S,
    shutdown: impl Future<Output = ()>,
) {
    let (down, told) = watch::channel(false);
    let mut shutdown = pin!(shutdown);
    let mut failing = false;
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut shutdown => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((socket, peer)) => {
                failing = false;
                tokio::spawn(serve(socket, peer.ip(), told.clone()));
            }
            // The client gave up while it waited: nothing is wrong here.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                if !std::mem::replace(&mut failing, true) {
                    log::warn!("can't accept connections of {who} for now: {error}");
                }
                sleep(PAUSE).await;
            }
        }
    }
    drop((listener, told));
    down.send_replace(true);
    if timeout(GRACE, down.closed()).await.is_err() {
        log::warn!("some {who} did not say goodbye in time");
    }
}

#[cfg(test)]
mod tests {
    use std::{path::Path, time::Instant};

    use arc_swap::ArcSwap;
    use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
    use jid::{BareJid, DomainPart};
    use tempfile::TempDir;
    use tokio::{
        io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
        sync::oneshot,
        task::JoinHandle,
    };
    use tokio_rustls::{
        TlsConnector,
        client::TlsStream,
        rustls::{
            ClientConfig, RootCertStore,
            crypto::ring,
            pki_types::{CertificateDer, pem::PemObject},
        },
    };

    use super::*;
    use crate::{
        presence::Table,
        store::Store,
        xmpp::{
            hub::Hub,
            management::Detached,
            sasl::{Authenticator, derive},
            tls,
        },
    };

    const OPEN: &str = "<stream:stream xmlns='jabber:client' to='localhost' version='1.0' \
                        xmlns:stream='http://etherx.jabber.org/streams'>";
    const STARTTLS: &str = "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>";
    const SASL: &str = "urn:ietf:params:xml:ns:xmpp-sasl";

    /// A server with the account `ann`, whose password is `secret`.
    struct Running {
        port: u16,
        state: TempDir,
        stop: oneshot::Sender<()>,
        done: JoinHandle<()>,
    }

    async fn start() -> Running {
        start_with(Duration::from_secs(30)).await
    }

    /// A server that gives clients this long to log in.
    async fn start_with(patience: Duration) -> Running {
        let state = tempfile::tempdir().unwrap();
        let domain: DomainPart = "localhost".parse().unwrap();
        let store = Store::open(state.path()).unwrap();
        store.add_account(&BareJid::new("ann@localhost").unwrap(), &derive("secret").unwrap()).await.unwrap();
        let server = Server {
            hub: Hub::new(domain.clone(), store.clone(), Arc::new(Table::default())),
            authenticator: Arc::new(Authenticator::open(domain.clone(), store, state.path(), false).unwrap()),
            tls: ArcSwap::from_pointee(tls::acceptor(state.path(), "localhost", None).unwrap()),
            domain,
            patience,
            detached: Detached::default(),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (stop, stopped) = oneshot::channel();
        let done = tokio::spawn(run(listener, Arc::new(server), async { stopped.await.unwrap_or_default() }));
        Running { port, state, stop, done }
    }

    impl Running {
        async fn connect(&self) -> Client<TcpStream> {
            Client::new(TcpStream::connect(("127.0.0.1", self.port)).await.unwrap())
        }

        /// A client that came by direct TLS.
        async fn connect_tls(&self) -> Client<TlsStream<TcpStream>> {
            self.connect().await.encrypt(self.state.path()).await
        }

        /// A client that is logged in as `ann`, by STARTTLS and PLAIN.
        async fn log_in(&self, resource: &str) -> Client<TlsStream<TcpStream>> {
            let mut client = self.connect().await;
            client.say(OPEN).await.hear("</stream:features>").await;
            client.say(STARTTLS).await.hear("<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>").await;
            let mut client = client.encrypt(self.state.path()).await;
            client.say(OPEN).await.hear("</stream:features>").await;
            client.say(&plain("\0ann\0secret")).await.hear("<success").await;
            client.say(OPEN).await.hear("</stream:features>").await;
            let bind = format!("<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>{resource}</resource></bind>");
            client.say(&format!("<iq type='set' id='b1'>{bind}</iq>")).await;
            client.hear(&format!("<jid>ann@localhost/{resource}</jid>")).await;
            client
        }
    }

    fn plain(message: &str) -> String {
        format!("<auth xmlns='{SASL}' mechanism='PLAIN'>{}</auth>", BASE64.encode(message))
    }

    struct Client<T> {
        transport: T,
        heard: String,
    }

    impl Client<TcpStream> {
        async fn encrypt(self, state: &Path) -> Client<TlsStream<TcpStream>> {
            let mut roots = RootCertStore::empty();
            roots.add(CertificateDer::from_pem_file(state.join("tls/localhost.crt")).unwrap()).unwrap();
            let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_root_certificates(roots)
                .with_no_client_auth();
            let connector = TlsConnector::from(Arc::new(config));
            Client::new(connector.connect("localhost".try_into().unwrap(), self.transport).await.unwrap())
        }
    }

    impl<T: AsyncRead + AsyncWrite + Unpin> Client<T> {
        fn new(transport: T) -> Client<T> {
            Client { transport, heard: String::new() }
        }

        async fn say(&mut self, text: &str) -> &mut Client<T> {
            self.transport.write_all(text.as_bytes()).await.unwrap();
            self
        }

        /// Reads until `wanted` was heard, and forgets all up to it.
        async fn hear(&mut self, wanted: &str) -> String {
            loop {
                if let Some(at) = self.heard.find(wanted) {
                    return self.heard.drain(..at + wanted.len()).collect();
                }
                let mut chunk = [0; 4096];
                let read = timeout(Duration::from_secs(20), self.transport.read(&mut chunk)).await;
                match read.expect("the server answers in time").unwrap_or(0) {
                    0 => panic!("no {wanted} in {}", self.heard),
                    read => self.heard.push_str(std::str::from_utf8(&chunk[..read]).unwrap()),
                }
            }
        }

        /// Expects the stream to end with this error, after a header, and the connection to be closed.
        async fn hear_error(mut self, condition: &str) {
            let error =
                format!("<stream:error><{condition} xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>");
            self.hear(&format!("{error}</stream:stream>")).await;
            assert_eq!(self.transport.read(&mut [0]).await.unwrap_or(0), 0);
        }
    }

    #[tokio::test]
    async fn a_client_logs_in_and_talks_and_leaves() {
        let server = start().await;
        let mut ann = server.log_in("desk").await;
        ann.say("<iq type='get' id='p1' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>").await.hear("p1").await;
        ann.say("</stream:stream>").await.hear("</stream:stream>").await;
        assert_eq!(ann.transport.read(&mut [0]).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn every_stream_is_told_when_the_server_goes_down() {
        let server = start().await;
        let ann = server.log_in("desk").await;
        let silent = server.connect().await;
        // Accepted after the silent one, so that that one is served by now.
        let mut stranger = server.connect().await;
        stranger.say(OPEN).await.hear("</stream:features>").await;
        server.stop.send(()).unwrap();
        tokio::join!(
            ann.hear_error("system-shutdown"),
            stranger.hear_error("system-shutdown"),
            silent.hear_error("system-shutdown")
        );
        timeout(Duration::from_secs(20), server.done).await.expect("the listener ends").unwrap();
    }

    #[tokio::test]
    async fn a_fault_before_tls_ends_the_stream_with_its_error() {
        let server = start().await;
        let with = |from: &str, to: &str| OPEN.replace(from, to);
        for (said, condition) in [
            (with("'localhost'", "'example.com'"), "host-unknown"),
            (with("to='localhost'", "to='@'"), "improper-addressing"),
            (with("version", "from='@' version"), "invalid-from"),
            (with("version='1.0'", "version='0.9'"), "unsupported-version"),
            (with("to='localhost'", ""), "improper-addressing"),
            (with("version='1.0'", ""), "unsupported-version"),
            (with("jabber:client", "jabber:server"), "invalid-namespace"),
            (with("http://etherx", "https://etherx"), "invalid-namespace"),
            (format!("<!DOCTYPE x>{OPEN}"), "restricted-xml"),
            ("GET / HTTP/1.1\r\n\r\n".to_owned(), "not-well-formed"),
            (format!("{OPEN}<message to='ann@localhost'/>"), "not-authorized"),
            (format!("{OPEN}{STARTTLS}<presence/>"), "policy-violation"),
            (format!("{OPEN}<a b='{}", "x".repeat(10_000)), "policy-violation"),
        ] {
            let mut client = server.connect().await;
            client.say(&said).await.hear("<stream:stream").await;
            client.hear_error(condition).await;
        }
    }

    #[tokio::test]
    async fn a_login_in_the_clear_is_refused_and_tls_may_follow() {
        let server = start().await;
        let mut client = server.connect().await;
        client.say(OPEN).await.hear("</stream:features>").await;
        client.say(&plain("\0ann\0secret")).await;
        client.hear(&format!("<failure xmlns='{SASL}'><encryption-required/></failure>")).await;
        client.say(STARTTLS).await.hear("<proceed").await;
    }

    #[tokio::test]
    async fn a_user_who_has_authenticated_is_nobody_else() {
        let server = start().await;
        for (from, outcome) in [("Ann@localhost", "</stream:features>"), ("bob@localhost", "<invalid-from")] {
            let mut client = server.connect_tls().await;
            client.say(OPEN).await.hear("</stream:features>").await;
            client.say(&plain("\0ann\0secret")).await.hear("<success").await;
            client.say(&OPEN.replace("version", &format!("from='{from}' version"))).await.hear(outcome).await;
        }
    }

    #[tokio::test]
    async fn a_client_that_tells_of_an_error_has_closed_its_stream() {
        let server = start().await;
        let mut client = server.connect().await;
        client.say(OPEN).await.hear("</stream:features>").await;
        let error = "<stream:error><reset xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>";
        assert_eq!(client.say(error).await.hear("</stream:stream>").await, "</stream:stream>");
    }

    #[tokio::test]
    async fn a_stream_without_a_default_namespace_is_one() {
        let server = start().await;
        let mut client = server.connect().await;
        let open = "<stream xmlns='http://etherx.jabber.org/streams' to='localhost' version='1.0'>";
        client.say(open).await.hear("</stream:features>").await;
        client.say(STARTTLS).await.hear("<proceed").await;
    }

    #[tokio::test]
    async fn whoever_does_not_log_in_is_shown_out_in_time_whatever_they_send() {
        let patience = Duration::from_millis(700);
        let server = start_with(patience).await;
        let started = Instant::now();
        let silent = server.connect().await;
        let mut greeting = server.connect().await;
        greeting.say(OPEN).await.hear("</stream:features>").await;
        let mut proceeding = server.connect().await;
        proceeding.say(OPEN).await.hear("</stream:features>").await;
        proceeding.say(STARTTLS).await.hear("<proceed").await;
        let mut encrypted = server.connect_tls().await;
        encrypted.say(OPEN).await.hear("</stream:features>").await;
        let (mut trickling, mut writing) = server.connect().await.transport.into_split();
        let trickle = async {
            while started.elapsed() < Duration::from_secs(20) && writing.write_all(b" ").await.is_ok() {
                sleep(Duration::from_millis(20)).await;
            }
        };
        let told = async {
            silent.hear_error("connection-timeout").await;
            greeting.hear_error("connection-timeout").await;
            encrypted.hear_error("connection-timeout").await;
            // In the middle of a handshake nothing can be said.
            assert_eq!(proceeding.transport.read(&mut [0]).await.unwrap_or(0), 0);
            let mut all = Vec::new();
            let _ = trickling.read_to_end(&mut all).await;
            assert!(String::from_utf8(all).unwrap().contains("<connection-timeout"));
        };
        tokio::join!(trickle, told);
        assert!(started.elapsed() >= patience, "nobody is shown out early");
    }

    #[tokio::test]
    async fn the_header_answers_the_client() {
        let server = start().await;
        let mut client = server.connect().await;
        client.say(&OPEN.replace("version", "from='Ann@localhost/x&amp;y' version")).await;
        let header = client.hear("</stream:features>").await;
        for part in ["from='localhost'", "to='ann@localhost'", "version='1.0'", "xml:lang='en'", "<required/>", " id='"]
        {
            assert!(header.contains(part), "{part} in {header}");
        }
    }

    #[tokio::test]
    async fn a_failed_login_says_no_more_than_it_must() {
        let server = start().await;
        let auth = |mechanism: &str, text: &str| format!("<auth xmlns='{SASL}' mechanism='{mechanism}'>{text}</auth>");
        let cases = [
            (plain("\0ann\0wrong"), "not-authorized"),
            (plain("\0nobody\0wrong"), "not-authorized"),
            (plain("bob@localhost\0ann\0secret"), "invalid-authzid"),
            (plain("ann"), "malformed-request"),
            (auth("PLAIN", "#"), "incorrect-encoding"),
            (auth("PLAIN", "/w=="), "malformed-request"),
            (auth("EXTERNAL", "="), "invalid-mechanism"),
            (auth("SCRAM-SHA-1", "") + &format!("<abort xmlns='{SASL}'/>"), "aborted"),
        ];
        for tries in cases.chunks(2) {
            let mut client = server.connect_tls().await;
            client.say(OPEN).await.hear("</stream:features>").await;
            for (said, condition) in tries {
                client.say(said).await.hear(&format!("<failure xmlns='{SASL}'><{condition}/></failure>")).await;
            }
            client.say(&plain("\0ann\0wrong")).await.hear("</failure>").await;
            client.hear_error("policy-violation").await;
        }
    }

    #[tokio::test]
    async fn guessing_is_stopped_even_when_it_guesses_right() {
        let server = start().await;
        for _ in 0..5 {
            let mut client = server.connect_tls().await;
            client.say(OPEN).await.hear("</stream:features>").await;
            for _ in 0..2 {
                client.say(&plain("\0ann\0wrong")).await.hear("<not-authorized/>").await;
            }
        }
        let mut client = server.connect_tls().await;
        client.say(OPEN).await.hear("</stream:features>").await;
        client.say(&plain("\0ann\0secret")).await.hear("<temporary-auth-failure/>").await;
    }

    #[tokio::test]
    async fn what_is_no_stanza_ends_the_session() {
        let server = start().await;
        for (said, condition) in [
            ("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>", "unsupported-stanza-type"),
            ("<message from='bob@localhost'/>", "invalid-from"),
            ("<message><body>&lol;</body></message>", "restricted-xml"),
        ] {
            let mut ann = server.log_in("desk").await;
            ann.say(said).await;
            ann.hear_error(condition).await;
        }
    }

    #[tokio::test]
    async fn a_resource_is_taken_over_with_a_conflict() {
        let server = start().await;
        let older = server.log_in("desk").await;
        let _newer = server.log_in("desk").await;
        older.hear_error("conflict").await;
    }

    #[tokio::test]
    async fn a_resource_that_can_not_be_is_refused_and_another_made() {
        let server = start().await;
        let mut client = server.connect_tls().await;
        client.say(OPEN).await.hear("</stream:features>").await;
        client.say(&plain("\0ann\0secret")).await.hear("<success").await;
        client.say(OPEN).await.hear("</stream:features>").await;
        let bind = |content: &str| {
            format!("<iq type='set' id='1'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>{content}</bind></iq>")
        };
        client.say(&bind(&format!("<resource>{}</resource>", "x".repeat(1024)))).await.hear("<bad-request").await;
        client.say(&bind("")).await.hear("<jid>ann@localhost/").await;
    }
}
