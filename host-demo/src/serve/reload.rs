//! SIGHUP: configuration and certificate are read again, and what can take effect does. No session is dropped.

use std::{
    path::Path,
    sync::{Arc, atomic::Ordering::Relaxed},
};

use super::{Host, logging};
use crate::{
    address::dns_name,
    config::{Changes, Config, ConfigError, Tls},
    xmpp::{component, connection::Server, tls},
};

/// What is renewed, and from where.
pub(super) struct Reload<'a> {
    /// What holds now.
    pub config: Config,
    /// Reads the configuration as at the start.
    pub read: &'a dyn Fn() -> Result<Config, ConfigError>,
    /// Where new connections get their certificate.
    pub xmpp: Arc<Server>,
    /// Who may answer for which domain, where components are let in.
    pub components: Option<Arc<component::Server>>,
    /// The rest of the server.
    pub host: Arc<Host>,
}

impl Reload<'_> {
    /// Reads all of it again. What can't be used leaves everything as it is, with the reason in the log.
    pub fn again(&mut self) {
        let new = match (self.read)() {
            Ok(new) => new,
            Err(error) => return log::error!("{error}: nothing is reloaded"),
        };
        // The file may name the same certificate, and that be a new one.
        match acceptor(&self.config, new.tls.as_ref()) {
            Ok(acceptor) => self.xmpp.tls.store(acceptor.into()),
            Err(error) => return log::error!("tls: {error}: nothing is reloaded"),
        }
        let changes = self.config.renew(new);
        if let (Some(server), Some(components)) = (&self.components, &self.config.components) {
            server.renew(&components.secrets);
        }
        self.host.front_page_users.store(self.config.front_page_users, Relaxed);
        self.host.authenticator.let_anybody_in(self.config.anonymous);
        self.host.plugins.set_limits(self.config.plugin_memory << 20, self.config.health_window);
        logging::set_level(self.config.log);
        self.host.routes.load().generations().for_each(|plugin| plugin.log_level_changed());
        log::info!("reloaded: {}", told(&changes));
    }
}

/// What accepts TLS with the configured certificate, or else with our own one.
pub(super) fn acceptor(config: &Config, own: Option<&Tls>) -> Result<tokio_rustls::TlsAcceptor, tls::TlsError> {
    let own = own.map(|Tls { certificate, key }| (Path::new(certificate), Path::new(key)));
    tls::acceptor(&config.state, &dns_name(config.domain.as_str()), own)
}

fn told(Changes { now, at_restart }: &Changes) -> String {
    let now = if now.is_empty() { "nothing else changed".into() } else { format!("{} changed", now.join(", ")) };
    let wait = match at_restart.is_empty() {
        true => String::new(),
        false => format!("; {} changed too, which takes a restart", at_restart.join(", ")),
    };
    format!("the certificate is read again for new connections, {now}{wait}")
}
