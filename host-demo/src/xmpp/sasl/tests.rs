//! Logins over a pipe in memory, as a client sees them.

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
    let authenticator = Authenticator::open("localhost".parse().unwrap(), store, state.path(), false).unwrap();
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
) -> (String, String, Option<Identity>) {
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
        assert_eq!(user, Some(Identity::Account(BareJid::new("ann@localhost").unwrap())));
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
