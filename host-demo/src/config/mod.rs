//! What the host is told at its start: flags, then a TOML file, then defaults.

mod components;
mod reloading;
mod vouching;

use std::{
    fmt, fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use jid::DomainPart;
use log::LevelFilter;
use serde::{Deserialize, Deserializer, de::Error};

pub use self::{components::Components, reloading::Changes};
use crate::{
    address::domainpart,
    plugin::deploy::{probation::DEFAULT_WINDOW, vouch::Vouching},
};

/// How the host runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The domain whose users are served.
    pub domain: DomainPart,
    /// Where XMPP clients connect.
    pub xmpp: SocketAddr,
    /// Where web pages ask plugins.
    pub http: SocketAddr,
    /// Where the administrator looks.
    pub console: SocketAddr,
    /// The folder of all that survives a restart.
    pub state: PathBuf,
    /// The folder in which plugins are dropped.
    pub plugins: PathBuf,
    /// The administrator's own certificate; `None` for the self-signed one that the host makes.
    pub tls: Option<Tls>,
    /// Let in clients without an account (SASL ANONYMOUS).
    pub anonymous: bool,
    /// Let components in; `None`: there is no listener for them.
    pub components: Option<Components>,
    /// Take plugins whoever owns their files and whoever can write to them.
    pub trust_everybody: bool,
    /// The memory that one plugin should not pass, in MiB.
    pub plugin_memory: u64,
    /// How long a new version of a plugin has to prove itself before it counts as good; zero for not at all.
    pub health_window: Duration,
    /// Who must vouch for plugins.
    pub vouching: Vouching,
    /// Where visitors reach the HTTP listener, such as `https://chat.example.com`; `None` for its own address.
    pub public_url: Option<String>,
    /// Show this server's users on the public front page.
    pub front_page_users: bool,
    /// How much is logged.
    pub log: LevelFilter,
}

/// A certificate and its key, both PEM files.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// The certificate chain, the server's own first.
    pub certificate: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// What the command line says; each flag wins over the file.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Flags {
    /// Read this TOML file; without it no file is read
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The folder in which plugins are dropped [default: ./plugins]
    #[arg(long, value_name = "DIR")]
    pub plugins: Option<PathBuf>,
    /// The domain whose users are served [default: localhost]
    #[arg(long, value_name = "NAME", value_parser = parse_domain)]
    pub domain: Option<DomainPart>,
    /// Where XMPP clients connect; port 0 picks a free one [default: 127.0.0.1:5222]
    #[arg(long, value_name = "ADDR:PORT", value_parser = parse_address)]
    pub xmpp: Option<SocketAddr>,
    /// Where web pages ask plugins [default: 127.0.0.1:9090]
    #[arg(long, value_name = "ADDR:PORT", value_parser = parse_address)]
    pub http: Option<SocketAddr>,
    /// Where the administrator looks [default: 127.0.0.1:9091]
    #[arg(long, value_name = "ADDR:PORT", value_parser = parse_address)]
    pub console: Option<SocketAddr>,
}

/// Why the configuration can't be used. All of it is the administrator's to mend.
#[derive(Debug)]
pub struct ConfigError {
    file: PathBuf,
    line: Option<usize>,
    detail: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "config: {}: ", self.file.display())?;
        if let Some(line) = self.line {
            write!(f, "line {line}: ")?;
        }
        f.write_str(&self.detail)
    }
}

impl std::error::Error for ConfigError {}

/// The memory that one plugin should not pass while nothing else is said, in MiB.
const DEFAULT_PLUGIN_MEMORY: u64 = 256;

/// The file, as written.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct File {
    #[serde(deserialize_with = "domain")]
    domain: Option<DomainPart>,
    #[serde(deserialize_with = "address")]
    xmpp: Option<SocketAddr>,
    #[serde(deserialize_with = "address")]
    http: Option<SocketAddr>,
    #[serde(deserialize_with = "address")]
    console: Option<SocketAddr>,
    state: Option<PathBuf>,
    plugins: Option<PathBuf>,
    tls: Option<Tls>,
    anonymous: bool,
    components: Option<Components>,
    trust_everybody: bool,
    plugin_memory: Option<u32>,
    #[serde(deserialize_with = "duration")]
    health_window: Option<Duration>,
    signatures: vouching::Signatures,
    pins: vouching::Pins,
    #[serde(deserialize_with = "url")]
    public_url: Option<String>,
    front_page_users: bool,
    #[serde(deserialize_with = "level")]
    log: Option<LevelFilter>,
}

impl Config {
    /// Puts flags, file and defaults together. `state` is the flag that every command has.
    ///
    /// # Errors
    /// The file can't be read or holds what is not understood; the error names the line.
    pub fn load(flags: Flags, state: Option<PathBuf>) -> Result<Config, ConfigError> {
        let file = flags.config.as_deref().map(File::read).transpose()?.unwrap_or_default();
        Ok(Config {
            domain: flags.domain.or(file.domain).unwrap_or_else(default_domain),
            xmpp: flags.xmpp.or(file.xmpp).unwrap_or(loopback(5222)),
            http: flags.http.or(file.http).unwrap_or(loopback(9090)),
            console: flags.console.or(file.console).unwrap_or(loopback(9091)),
            state: state.or(file.state).unwrap_or_else(default_state),
            plugins: flags.plugins.or(file.plugins).unwrap_or_else(|| "plugins".into()),
            tls: file.tls,
            anonymous: file.anonymous,
            components: file.components,
            trust_everybody: file.trust_everybody,
            plugin_memory: file.plugin_memory.map_or(DEFAULT_PLUGIN_MEMORY, u64::from),
            health_window: file.health_window.unwrap_or(DEFAULT_WINDOW),
            vouching: vouching::of(file.signatures, file.pins),
            public_url: file.public_url,
            front_page_users: file.front_page_users,
            log: file.log.unwrap_or(LevelFilter::Info),
        })
    }
}

/// Where the state is while nothing else is said.
pub fn default_state() -> PathBuf {
    "state".into()
}

/// What is served while nothing else is said.
pub fn default_domain() -> DomainPart {
    DomainPart::new("localhost").expect("localhost is a valid domain").into_owned()
}

impl File {
    fn read(path: &Path) -> Result<File, ConfigError> {
        let error = |line, detail| ConfigError { file: path.into(), line, detail };
        let text = fs::read_to_string(path).map_err(|cause| error(None, cause.to_string()))?;
        let mut file: File = toml::from_str(&text).map_err(|cause| {
            let line = cause.span().map(|span| 1 + text[..span.start].matches('\n').count());
            error(line, cause.message().replace('\n', ", "))
        })?;
        let folder = path.parent().unwrap_or(Path::new(""));
        file.paths().for_each(|path| *path = folder.join(&path));
        Ok(file)
    }

    /// The paths in the file, which are relative to it: it means the same wherever the host is started.
    fn paths(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        let tls = self.tls.iter_mut().flat_map(|tls| [&mut tls.certificate, &mut tls.key]);
        self.state.iter_mut().chain(&mut self.plugins).chain(tls)
    }
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

fn parse_address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| format!("{text:?}: expected ADDRESS:PORT, such as 127.0.0.1:5222 or [::1]:5222"))
}

fn parse_domain(text: &str) -> Result<DomainPart, String> {
    domainpart(text).map_err(|cause| format!("{text:?}: {cause}: expected a domain, such as example.com"))
}

fn parse_level(text: &str) -> Result<LevelFilter, String> {
    text.parse().map_err(|_| format!("{text:?}: expected one of off, error, warn, info, debug, trace"))
}

fn parse_duration(text: &str) -> Result<Duration, String> {
    let span = text.parse::<jiff::SignedDuration>().ok().and_then(|span| Duration::try_from(span).ok());
    span.filter(|span| *span <= Duration::from_secs(3600))
        .ok_or_else(|| format!("{text:?}: expected a time of an hour at most, such as \"10s\" or \"500ms\""))
}

fn parse_url(text: &str) -> Result<String, String> {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let plain = |rest: &str| {
        !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"<>?#@".contains(&byte))
    };
    match rest {
        Some(rest) if plain(rest) => Ok(text.trim_end_matches('/').into()),
        _ => Err(format!("{text:?}: expected an address such as https://chat.example.com")),
    }
}

fn address<'de, D: Deserializer<'de>>(value: D) -> Result<Option<SocketAddr>, D::Error> {
    parsed(value, parse_address)
}

fn domain<'de, D: Deserializer<'de>>(value: D) -> Result<Option<DomainPart>, D::Error> {
    parsed(value, parse_domain)
}

fn url<'de, D: Deserializer<'de>>(value: D) -> Result<Option<String>, D::Error> {
    parsed(value, parse_url)
}

fn duration<'de, D: Deserializer<'de>>(value: D) -> Result<Option<Duration>, D::Error> {
    parsed(value, parse_duration)
}

fn level<'de, D: Deserializer<'de>>(value: D) -> Result<Option<LevelFilter>, D::Error> {
    parsed(value, parse_level)
}

fn parsed<'de, D: Deserializer<'de>, T>(
    value: D,
    parse: impl FnOnce(&str) -> Result<T, String>,
) -> Result<Option<T>, D::Error> {
    parse(&String::deserialize(value)?).map(Some).map_err(D::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::deploy::vouch::Policy;

    fn load(text: &str, flags: Flags) -> Result<Config, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("host.toml");
        fs::write(&path, text).unwrap();
        let name = path.display().to_string();
        Config::load(Flags { config: Some(path), ..flags }, None)
            .map_err(|error| error.to_string().replace(&name, "host.toml"))
    }

    #[test]
    fn without_file_and_flags_the_defaults_hold() {
        let config = Config::load(Flags::default(), None).unwrap();
        assert_eq!(config.domain.as_str(), "localhost");
        assert_eq!(config.http.to_string(), "127.0.0.1:9090");
        assert_eq!(config.state, Path::new("state"));
        assert_eq!(config.tls, None);
    }

    #[test]
    fn a_flag_wins_over_the_file() {
        let flags = Flags { xmpp: Some("[::1]:0".parse().unwrap()), ..Flags::default() };
        let config = load("xmpp = '0.0.0.0:5222'\nhttp = '0.0.0.0:80'\nlog = 'debug'", flags).unwrap();
        assert_eq!((config.xmpp.to_string(), config.http.to_string()), ("[::1]:0".into(), "0.0.0.0:80".into()));
        assert_eq!(config.log, LevelFilter::Debug);
        let config = load("health_window = '500ms'", Flags::default()).unwrap();
        assert_eq!(config.health_window, Duration::from_millis(500));
    }

    #[test]
    fn paths_in_the_file_start_at_the_file() {
        let config = load("state = 'data'\n[tls]\ncertificate = 'a.pem'\nkey = '/b.pem'", Flags::default()).unwrap();
        assert!(config.state.is_absolute() && config.state.ends_with("data"));
        let tls = config.tls.unwrap();
        assert!(tls.certificate.is_absolute() && tls.key == Path::new("/b.pem"));
    }

    #[test]
    fn what_is_not_understood_is_refused_with_its_line() {
        let cases = [
            ("domain = 'x'\nport = 1", "line 2", "expected one of `domain`"),
            ("\n\nxmpp = 'localhost'", "line 3", "expected ADDRESS:PORT"),
            ("log = 'loud'", "line 1", "expected one of off"),
            ("health_window = '-1s'", "line 1", "expected a time of an hour"),
            ("health_window = '10'", "line 1", "such as \"10s\""),
            ("public_url = 'chat.example.com'", "line 1", "expected an address"),
            ("domain = 'a b'", "line 1", "expected a domain"),
            ("state = 5", "line 1", "expected"),
            ("domain = ", "line 1", "host.toml"),
            ("[tls]\nkey = 'a'", "line 1", "certificate"),
            ("[signatures]\npolicy = 'maybe'", "line 2", "expected one of `off`, `warn`, `enforce`"),
            ("[signatures]\nkeys = [\n'RWQ']", "line 2", "\"RWQ\": expected a minisign public key"),
            ("\n[signatures]\npolicy = 'enforce'", "line 2", "keys names none"),
            ("[pins]\n\nhello = 'abc'", "line 3", "expected a SHA-256"),
            ("[pins]\nhello = []", "line 2", "expected at least one SHA-256"),
            ("[pins]\nhello = 5", "line 2", "expected a SHA-256"),
            ("[components]\nlisten = '0.0.0.0:5347'", "line 2", "expected a loopback address"),
            ("[components.secrets]\n'a b' = 'x'", "line 1", "expected a domain"),
            ("[components.secrets]\n'a' = ''", "line 1", "a: expected a secret"),
            ("[components.secrets]\n'a' = 31337", "line 1", "a: expected a secret: a text that is not empty"),
        ];
        for (text, line, expected) in cases {
            let error = load(text, Flags::default()).unwrap_err();
            let found = error.starts_with(&format!("config: host.toml: {line}: ")) && error.contains(expected);
            assert!(found, "{text:?}: {error}");
        }
    }

    #[test]
    fn who_vouches_is_read() {
        let key = "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3";
        let hash = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let text =
            format!("[signatures]\npolicy = 'warn'\nkeys = ['{key}']\n[pins]\na = '{hash}'\nb = ['{hash}', '{hash}']");
        let vouching = load(&text, Flags::default()).unwrap().vouching;
        assert_eq!((vouching.policy, vouching.keys.len()), (Policy::Warn, 1));
        assert_eq!(vouching.pins.values().map(Vec::len).collect::<Vec<_>>(), [1, 2]);
        assert!(!load("", Flags::default()).unwrap().vouching.asks());
    }

    #[test]
    fn who_is_let_in_is_read_and_no_secret_is_shown() {
        let text = "[components]\nlisten = '[::1]:0'\n[components.secrets]\n'Echo.Example.com' = 'hush'";
        let components = load(text, Flags::default()).unwrap().components.unwrap();
        assert_eq!(components.secrets.keys().map(|domain| domain.as_str()).collect::<Vec<_>>(), ["echo.example.com"]);
        assert!(components.listen.ip().is_loopback() && !format!("{components:?}").contains("hush"));
        let wrong = load("[components.secrets]\n'a' = 31337", Flags::default()).unwrap_err();
        assert!(!wrong.contains("31337"), "{wrong}");
        assert_eq!(load("[components]", Flags::default()).unwrap().components.unwrap().listen.port(), 5347);
        assert_eq!(load("", Flags::default()).unwrap().components, None);
    }

    #[test]
    fn the_example_file_is_valid_and_says_the_defaults() {
        let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("config.example.toml");
        let config = Config::load(Flags { config: Some(example), ..Flags::default() }, Some("state".into())).unwrap();
        let plugins = "plugins".into();
        assert_eq!(Config { plugins, ..config }, Config::load(Flags::default(), None).unwrap());
    }
}
