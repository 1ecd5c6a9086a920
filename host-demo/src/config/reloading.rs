//! What a configuration that is read again changes: in the running host, or at its next start.

use super::{Components, Config};

/// The keys of the file whose values differ, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Those that take effect at once.
    pub now: Vec<&'static str>,
    /// Those that need a restart.
    pub at_restart: Vec<&'static str>,
}

impl Config {
    /// Takes over from a configuration that was read again what can change while the host runs, and tells all that differs.
    pub fn renew(&mut self, new: Config) -> Changes {
        // Named one by one: a new key has to say which kind it is.
        #[rustfmt::skip]
        let Config {
            tls, front_page_users, log, domain, xmpp, http, console, state, plugins, anonymous, components, trust_everybody,
            plugin_memory, health_window, vouching, public_url,
        } = &*self;
        // Without a listener there is nobody to let in.
        let secrets = |components: &Option<Components>| {
            self.components.as_ref().and(components.as_ref()).map(|it| it.secrets.clone())
        };
        let listen = |components: &Option<Components>| components.as_ref().map(|components| components.listen);
        let now = [
            ("tls", *tls != new.tls),
            ("front_page_users", *front_page_users != new.front_page_users),
            ("log", *log != new.log),
            ("anonymous", *anonymous != new.anonymous),
            ("plugin_memory", *plugin_memory != new.plugin_memory),
            ("health_window", *health_window != new.health_window),
            ("the secrets of components", secrets(components) != secrets(&new.components)),
        ];
        let at_restart = [
            ("domain", *domain != new.domain),
            ("xmpp", *xmpp != new.xmpp),
            ("http", *http != new.http),
            ("console", *console != new.console),
            ("state", *state != new.state),
            ("plugins", *plugins != new.plugins),
            ("where components connect", listen(components) != listen(&new.components)),
            ("trust_everybody", *trust_everybody != new.trust_everybody),
            ("signatures or pins", *vouching != new.vouching),
            ("public_url", *public_url != new.public_url),
        ];
        let changes = Changes { now: differing(&now), at_restart: differing(&at_restart) };
        (self.tls, self.front_page_users, self.log) = (new.tls, new.front_page_users, new.log);
        (self.anonymous, self.plugin_memory, self.health_window) =
            (new.anonymous, new.plugin_memory, new.health_window);
        if let Some(components) = &mut self.components {
            components.secrets = new.components.map(|new| new.secrets).unwrap_or_default();
        }
        changes
    }
}

fn differing(keys: &[(&'static str, bool)]) -> Vec<&'static str> {
    keys.iter().filter(|(_, differs)| *differs).map(|(key, _)| *key).collect()
}

#[cfg(test)]
mod tests {
    use log::LevelFilter;

    use super::*;
    use crate::config::Flags;

    #[test]
    fn only_what_can_change_does() {
        let mut config = Config::load(Flags::default(), None).unwrap();
        let before = config.clone();
        assert_eq!(config.renew(before.clone()), Changes::default());
        let new = Config {
            log: LevelFilter::Debug,
            front_page_users: true,
            anonymous: true,
            trust_everybody: true,
            ..before.clone()
        };
        let changes =
            Changes { now: vec!["front_page_users", "log", "anonymous"], at_restart: vec!["trust_everybody"] };
        assert_eq!(config.renew(new.clone()), changes);
        assert_eq!(config, Config { log: LevelFilter::Debug, front_page_users: true, anonymous: true, ..before });
        let again = Changes { now: vec![], at_restart: vec!["trust_everybody"] };
        assert_eq!(config.renew(new), again, "what waits for a restart is told again");
    }
}
