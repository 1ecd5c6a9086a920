//! The certificate and the settings of TLS (RFC 6120 section 5, RFC 7590).

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        self, ProtocolVersion, ServerConfig, ServerConnection,
        crypto::ring,
        pki_types::{
            CertificateDer, PrivateKeyDer,
            pem::{self, PemObject},
        },
        server::NoServerSessionStorage,
    },
};

use super::private_file::{self, PrivateFileError};

/// TLS could not be set up.
#[derive(Debug)]
pub enum TlsError {
    /// The certificate could not be read as PEM.
    Certificate(PathBuf, pem::Error),
    /// The key could not be read as PEM.
    Key(PathBuf, pem::Error),
    /// Certificate and key were read, but can't be used together.
    Pair(PathBuf, PathBuf, rustls::Error),
    /// No certificate can be made for this domain.
    Domain(String, rcgen::Error),
    /// A file of the state folder failed.
    State(PrivateFileError),
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TlsError::Certificate(path, error) => write!(
                f,
                "can't read the certificate {}: {error}; it has to hold the chain in PEM form, the server's own first",
                path.display()
            ),
            TlsError::Key(path, error) => write!(
                f,
                "can't read the private key {}: {error}; it has to hold one key in PEM form without a passphrase",
                path.display()
            ),
            TlsError::Pair(certificate, key, error) => write!(
                f,
                "can't use the certificate {} with the private key {}: {error}; check that they belong together",
                certificate.display(),
                key.display()
            ),
            TlsError::Domain(domain, error) => write!(
                f,
                "can't make a certificate for the domain {domain}: {error}; name your own certificate and key in the \
                 configuration"
            ),
            TlsError::State(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for TlsError {}

impl From<PrivateFileError> for TlsError {
    fn from(error: PrivateFileError) -> TlsError {
        TlsError::State(error)
    }
}

/// Makes what accepts TLS connections for `domain`: with the administrator's `own` certificate and key, or else with a
/// self-signed pair in the state folder, made at the first start and used again afterwards.
///
/// # Errors
/// A file can't be read, written or used; the text says which one and what to do.
pub fn acceptor(state: &Path, domain: &str, own: Option<(&Path, &Path)>) -> Result<TlsAcceptor, TlsError> {
    let (certificate, key) = match own {
        Some((certificate, key)) => (certificate.to_owned(), key.to_owned()),
        None => self_signed(&state.join("tls"), domain)?,
    };
    let chain = CertificateDer::pem_file_iter(&certificate)
        .and_then(|chain| chain.collect::<Result<Vec<_>, _>>())
        .and_then(|chain| if chain.is_empty() { Err(pem::Error::NoItemsFound) } else { Ok(chain) })
        .map_err(|error| TlsError::Certificate(certificate.clone(), error))?;
    let secret = PrivateKeyDer::from_pem_file(&key).map_err(|error| TlsError::Key(key.clone(), error))?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring has the suites of TLS 1.2 and 1.3")
        .with_no_client_auth()
        .with_single_cert(chain, secret)
        .map_err(|error| TlsError::Pair(certificate, key, error))?;
    // XEP-0368: a client that comes by direct TLS names the protocol.
    config.alpn_protocols = vec![b"xmpp-client".to_vec()];
    // A session lasts for hours, so that resumption would save little; tickets cost memory and a write each.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// The `tls-exporter` channel binding of a connection (RFC 9266). With TLS 1.2 it would be safe only by extensions that
/// can't be seen from here (RFC 9266 section 4.2), so that it is offered with TLS 1.3 alone.
pub fn exporter(connection: &ServerConnection) -> Option<[u8; 32]> {
    if connection.protocol_version() != Some(ProtocolVersion::TLSv1_3) {
        return None;
    }
    connection.export_keying_material([0; 32], b"EXPORTER-Channel-Binding", None).ok()
}

/// Certificate and key for `domain` in the folder, made when one of them is missing. The files are named after the
/// domain: another domain gets its own pair.
fn self_signed(folder: &Path, domain: &str) -> Result<(PathBuf, PathBuf), TlsError> {
    let (certificate, key) = (folder.join(format!("{domain}.crt")), folder.join(format!("{domain}.key")));
    if certificate.exists() && key.exists() {
        return Ok((certificate, key));
    }
    let (certificate_pem, key_pem) = make(domain).map_err(|error| TlsError::Domain(domain.to_owned(), error))?;
    // The key first: a certificate that is there has its key.
    private_file::write(&key, key_pem.as_bytes())?;
    private_file::write(&certificate, certificate_pem.as_bytes())?;
    log::info!("made a self-signed certificate for {domain}: {}", certificate.display());
    Ok((certificate, key))
}

fn make(domain: &str) -> Result<(String, String), rcgen::Error> {
    let key = rcgen::KeyPair::generate()?;
    let mut parameters = rcgen::CertificateParams::new([domain.to_owned()])?;
    parameters.distinguished_name = rcgen::DistinguishedName::new();
    parameters.distinguished_name.push(rcgen::DnType::CommonName, domain);
    let certificate = parameters.self_signed(&key)?;
    Ok((certificate.pem(), key.serialize_pem()))
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use super::*;

    #[test]
    fn a_certificate_is_made_once_for_a_domain() {
        let state = tempfile::tempdir().unwrap();
        acceptor(state.path(), "example.com", None).unwrap();
        let key = state.path().join("tls/example.com.key");
        let made = fs::read(&key).unwrap();
        assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
        acceptor(state.path(), "example.com", None).unwrap();
        assert_eq!(fs::read(&key).unwrap(), made);
        acceptor(state.path(), "example.org", None).unwrap();
        assert!(state.path().join("tls/example.org.crt").exists());
    }

    #[tokio::test]
    async fn both_ends_of_a_connection_have_the_same_binding() {
        let state = tempfile::tempdir().unwrap();
        let acceptor = acceptor(state.path(), "example.com", None).unwrap();
        let mut roots = rustls::RootCertStore::empty();
        let certificate = CertificateDer::from_pem_file(state.path().join("tls/example.com.crt")).unwrap();
        roots.add(certificate).unwrap();
        for (version, bound) in [(&rustls::version::TLS13, true), (&rustls::version::TLS12, false)] {
            let config = rustls::ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
                .with_protocol_versions(&[version])
                .unwrap()
                .with_root_certificates(roots.clone())
                .with_no_client_auth();
            let (near, far) = tokio::io::duplex(4096);
            let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
            let name = "example.com".try_into().unwrap();
            let (client, server) = tokio::join!(connector.connect(name, near), acceptor.accept(far));
            let (client, server) = (client.unwrap(), server.unwrap());
            let exported = client.get_ref().1.export_keying_material([0; 32], b"EXPORTER-Channel-Binding", Some(b""));
            assert_eq!(exporter(server.get_ref().1), bound.then(|| exported.unwrap()));
        }
    }

    #[test]
    fn an_own_certificate_that_is_no_use_is_named() {
        let state = tempfile::tempdir().unwrap();
        let path = |name: &str| state.path().join(name);
        let (certificate, key) = make("example.com").unwrap();
        fs::write(path("good.crt"), certificate).unwrap();
        fs::write(path("good.key"), key).unwrap();
        fs::write(path("other.key"), make("example.com").unwrap().1).unwrap();
        fs::write(path("text"), "text").unwrap();
        let own = |certificate: &str, key: &str| {
            let result = acceptor(state.path(), "example.com", Some((&path(certificate), &path(key))));
            result.err().map(|error| error.to_string())
        };
        assert_eq!(own("good.crt", "good.key"), None);
        for (certificate, key, named) in [
            ("missing", "good.key", "certificate"),
            ("text", "good.key", "certificate"),
            ("good.crt", "missing", "private key"),
            ("good.crt", "text", "private key"),
            ("good.crt", "other.key", "belong together"),
        ] {
            let error = own(certificate, key).expect("it is refused");
            assert!(error.contains(named), "{error}");
        }
    }
}
