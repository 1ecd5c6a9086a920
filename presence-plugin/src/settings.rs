//! What the administrator can set.

use std::{
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

use arc_swap::{ArcSwap, Guard};
use plugin_api::{Error, Result, Setting};

use crate::{
    limit::{Proxies, Rate},
    live::Bounds,
    redirect::Hosts,
    text,
    users::{FIRST_NUMBER, Trusted},
    visibility::Visibility,
};

const AVAILABLE: &str = "Available";
const UNAVAILABLE: &str = "Unavailable";

/// The values of the settings, read once and kept until they change.
#[derive(Debug, PartialEq, Eq)]
pub struct Settings {
    /// Who may see.
    pub visibility: Visibility,
    /// The text for an online user without a status, in one line.
    pub available_text: String,
    /// The text for an offline user without a status and for a refusal, in one line.
    pub unavailable_text: String,
    /// Where custom images may be.
    pub redirect_hosts: Hosts,
    /// For how many seconds a public answer may be used again without asking.
    pub max_age: u32,
    /// How often one client may ask.
    pub rate: Rate,
    /// Whose word for the client is taken.
    pub proxies: Proxies,
    /// How many clients may wait for changes.
    pub seats: Bounds,
    /// Whose word for the requester is taken.
    pub trusted: Trusted,
    /// Which keys sign tokens.
    pub token_key: u32,
    /// The number of these among all settings that have held so far.
    pub edition: u64,
}

/// The settings that hold at this moment. Every request reads them: a lock, or a count of who does, would be passed from core to core.
pub struct InForce {
    settings: ArcSwap<Settings>,
    turn: Mutex<()>,
}

impl InForce {
    /// These hold at first.
    pub fn new(settings: Settings) -> InForce {
        InForce { settings: ArcSwap::from_pointee(settings), turn: Mutex::default() }
    }

    /// Those that hold now.
    pub fn read(&self) -> Guard<Arc<Settings>> {
        self.settings.load()
    }

    /// Puts others in their place, which `read` reads. Of several threads that do, each waits for the one before: what was read first must not be in
    /// force last.
    ///
    /// # Errors
    /// They can't be read. Nothing changes.
    pub fn renew(&self, read: impl FnOnce() -> Result<Settings>) -> Result<()> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let (settings, edition) = (read()?, self.read().edition + 1);
        self.settings.store(Arc::new(Settings { edition, ..settings }));
        Ok(())
    }
}

impl Settings {
    /// The declarations, as the host shows them to the administrator.
    pub fn declared() -> Vec<Setting> {
        vec![
            Setting::choice("visibility", &Visibility::CHOICES, "subscribed").label("Who may see").help(
                "anyone: every user is visible to everybody. subscribed: a user is visible to those who hold a subscription to \
                 its presence. The requester is whoever the address says it is: nothing proves it, and whoever knows a \
                 subscriber's address can ask in its name. verified: as subscribed, but the requester has to prove who it is by a \
                 token, which every user can make. Whatever is set here, each user may choose otherwise for themselves.",
            ),
            Setting::text("available_text", AVAILABLE)
                .label("Available text")
                .help("Shown for a user who is online and has set no status. Empty restores the default."),
            Setting::text("unavailable_text", UNAVAILABLE)
                .label("Unavailable text")
                .help("Shown for a user who is offline or can't be seen. Empty restores the default."),
            Setting::hosts("redirect_hosts", "").label("Redirect hosts").help(
                "Host names, separated by commas, on which pages may keep images of their own. Empty allows any host.",
            ),
            Setting::integer("max_age", 0..=3600, 0).label("Seconds in caches").help(
                "For how many seconds browsers and proxies may use an answer again without asking, if it is the same for everybody. 0: they \
                 ask each time, and are told in a few bytes that nothing changed.",
            ),
            Setting::integer("rate", 0..=1_000_000, 200).label("Requests a second").help(
                "How often one client may ask, by its IPv4 address or IPv6 network (/64); more is answered by 429. This machine's own \
                 addresses may ask without limit. 0: everybody may.",
            ),
            Setting::integer("burst", 1..=1_000_000, 1_000)
                .label("Requests at once")
                .help("How many requests of one client may come at once before the limit holds."),
            Setting::addresses("proxies", "").label("Proxies").help(
                "IP addresses, separated by commas, of proxies in front of this server. The client is the one that they name in \
                 X-Forwarded-For; nobody else is believed.",
            ),
            Setting::integer("streams", 0..=100_000, 6_000).label("Streams").help(
                "How many clients may be told of changes as they happen, by event streams, and as many by long polls; more are asked to poll. Each \
                 takes a connection and some 12 KiB of memory. 0: none.",
            ),
            Setting::integer("streams_of_client", 1..=100_000, 100).label("Streams of one client").help(
                "The same for one client, by its IPv4 address or IPv6 network (/64). This machine's own addresses are not counted.",
            ),
            Setting::addresses("trusted", "").label("Trusted services").help(
                "IP addresses, separated by commas, of services whose req_jid is true, for instance because they know who is logged in. \
                 It is the address that connects which counts: never name a proxy here that passes on what anybody sends.",
            ),
            Setting::integer("token_key", 1..=1_000_000, FIRST_NUMBER.into()).label("Number of the token key").help(
                "Another number makes all tokens that users have worth nothing, for good, and has a new key sign those that they make from then on: \
                 for instance after a copy of the database came into wrong hands.",
            ),
        ]
    }

    /// Reads the settings by their names.
    pub fn read(value: impl Fn(&str) -> Result<String>) -> Result<Settings> {
        Ok(Settings {
            edition: 0,
            visibility: Visibility::parse(&value("visibility")?),
            available_text: line_or(&value("available_text")?, AVAILABLE),
            unavailable_text: line_or(&value("unavailable_text")?, UNAVAILABLE),
            redirect_hosts: Hosts::parse(&value("redirect_hosts")?),
            max_age: number(&value("max_age")?)?,
            rate: Rate { per_second: number(&value("rate")?)?, burst: number(&value("burst")?)? },
            proxies: Proxies::parse(&value("proxies")?),
            seats: Bounds { all: number(&value("streams")?)?, of_client: number(&value("streams_of_client")?)? },
            trusted: Trusted::parse(&value("trusted")?),
            token_key: number(&value("token_key")?)?,
        })
    }
}

fn number(value: &str) -> Result<u32> {
    value.parse().map_err(|_| Error::new(format!("not a whole number: {value:?}")))
}

fn line_or(value: &str, default: &str) -> String {
    let line = text::one_line(value);
    if line.is_empty() { default.to_owned() } else { line }
}

/// The addresses of a list. What is none has been refused by the host.
pub fn addresses(list: &str) -> Vec<IpAddr> {
    let addresses = list.split(',').filter_map(|entry| entry.trim().parse::<IpAddr>().ok());
    addresses.map(|address| address.to_canonical()).collect()
}

/// Row: "The two texts: an empty value restores the default".
#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::tests::settings;

    #[test]
    fn an_empty_text_restores_the_default() {
        let settings = settings("subscribed");
        assert_eq!(
            (settings.available_text.as_str(), settings.unavailable_text.as_str()),
            ("Available", "Unavailable")
        );
    }

    #[test]
    fn each_setting_is_read_by_its_name() {
        let read = |name: &str| {
            Ok(match name {
                "visibility" => "anyone",
                "available_text" => " Da\nund wach ",
                "unavailable_text" => "Weg",
                "redirect_hosts" => "a.example",
                "max_age" => "60",
                "rate" => "5",
                "burst" => "7",
                "proxies" => "192.0.2.1",
                "streams" => "9",
                "streams_of_client" => "3",
                "trusted" => "192.0.2.7",
                "token_key" => "4",
                other => panic!("{other} is not declared"),
            }
            .to_owned())
        };
        let expected = Settings {
            visibility: Visibility::Anyone,
            available_text: "Da und wach".into(),
            unavailable_text: "Weg".into(),
            redirect_hosts: Hosts::parse("a.example"),
            max_age: 60,
            rate: Rate { per_second: 5, burst: 7 },
            proxies: Proxies::parse("192.0.2.1"),
            seats: Bounds { all: 9, of_client: 3 },
            trusted: Trusted::parse("192.0.2.7"),
            token_key: 4,
            edition: 0,
        };
        assert_eq!(Settings::read(read).unwrap(), expected);
    }

    #[test]
    fn what_was_read_first_is_not_in_force_last() {
        let in_force = InForce::new(settings("anyone"));
        let [(reads, is_reading), (goes_on, may_go_on)] = [std::sync::mpsc::channel(), std::sync::mpsc::channel()];
        std::thread::scope(|scope| {
            let in_force = &in_force;
            scope.spawn(move || {
                in_force.renew(|| {
                    reads.send(()).unwrap();
                    may_go_on.recv().unwrap();
                    Ok(settings("subscribed"))
                })
            });
            is_reading.recv().unwrap();
            let last = scope.spawn(move || in_force.renew(|| Ok(settings("verified"))));
            // Were it not to wait, it would be done soon.
            let soon = std::time::Instant::now() + std::time::Duration::from_millis(200);
            while !last.is_finished() && std::time::Instant::now() < soon {
                std::thread::yield_now();
            }
            goes_on.send(()).unwrap();
        });
        assert_eq!((in_force.read().visibility, in_force.read().edition), (Visibility::Verified, 2));
        assert!(in_force.renew(|| Err(Error::new("gone"))).is_err());
        assert_eq!(in_force.read().edition, 2);
    }

    #[test]
    fn a_setting_that_cannot_be_read_is_an_error() {
        assert!(Settings::read(|_| Err(Error::new("gone"))).is_err());
    }
}
