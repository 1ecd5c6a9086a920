//! Under which names the console may be asked (RFC 9110 section 7.2).
//!
//! A page on the web can make a browser ask this listener under a name of its own that resolves here (DNS rebinding), and then read the
//! answer, because for the browser it comes from the page's own site. Such a request always carries that name. An IP address
//! can't be rebound; the ones accepted are still only those that this listener can be reached by.

use std::net::IpAddr;

use actix_web::{
    dev::RequestHead,
    http::{Uri, Version, header::HOST},
};

/// The names and addresses of a listener.
pub struct Authorities {
    bound: IpAddr,
    names: Vec<String>,
}

impl Authorities {
    /// Those of a listener that is bound to this address, and what else it is called.
    pub fn new(bound: IpAddr, names: Vec<String>) -> Authorities {
        Authorities { bound, names }
    }

    /// Whether a request is for this listener. One of HTTP/1.0 may name no host: no browser sends such.
    pub fn accept(&self, head: &RequestHead) -> bool {
        let mut hosts = head.headers().get_all(HOST);
        let host = match (hosts.next(), hosts.next()) {
            (Some(host), None) => host.to_str().is_ok_and(|host| self.is_own(host)),
            (None, _) => head.version < Version::HTTP_11,
            (Some(_), Some(_)) => false,
        };
        host && self.is_target(&head.uri)
    }

    /// The absolute form of a target goes before Host (RFC 9112 section 3.2.2): both must be right.
    fn is_target(&self, uri: &Uri) -> bool {
        uri.authority().is_none_or(|authority| self.is_own(authority.as_str()))
    }

    fn is_own(&self, authority: &str) -> bool {
        let host = without_port(authority);
        match host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
            Ok(address) => self.is_own_address(address.to_canonical()),
            Err(_) => {
                let name = host.strip_suffix('.').unwrap_or(host);
                name.eq_ignore_ascii_case("localhost") || self.names.iter().any(|own| own.eq_ignore_ascii_case(name))
            }
        }
    }

    /// Bound to all addresses, the listener has more than it knows.
    fn is_own_address(&self, address: IpAddr) -> bool {
        self.bound.is_unspecified() || address == self.bound.to_canonical() || address.is_loopback()
    }
}

fn without_port(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port))
            if port.bytes().all(|byte| byte.is_ascii_digit()) && (!host.contains(':') || host.ends_with(']')) =>
        {
            host
        }
        _ => authority,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepts(bound: &str, authority: &str) -> bool {
        Authorities::new(bound.parse().unwrap(), vec!["console.example".into()]).is_own(authority)
    }

    #[test]
    fn its_own_names_and_addresses_are_accepted() {
        for own in [
            "localhost",
            "LOCALHOST:9091",
            "localhost.",
            "127.0.0.1",
            "127.0.0.1:9091",
            "[::1]:9091",
            "Console.Example:80",
        ] {
            assert!(accepts("127.0.0.1", own), "{own}");
        }
        assert!(accepts("192.0.2.7", "192.0.2.7:9091"));
        assert!(accepts("2001:db8::7", "[2001:db8::7]"));
        assert!(accepts("::", "192.0.2.9"), "bound to all addresses");
    }

    #[test]
    fn a_name_that_could_be_anybody_s_is_not() {
        for foreign in [
            "",
            ":",
            "evil.example",
            "evil.example:9091",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "evil.example:127.0.0.1",
            "localhost:9091@evil.example",
            "192.0.2.7",
            "[::2]",
            "localhost ",
            "127.0.0.1:",
            "0x7f.1",
            "2130706433",
        ] {
            assert_eq!(accepts("127.0.0.1", foreign), foreign == "127.0.0.1:", "{foreign:?}");
        }
        assert!(!accepts("0.0.0.0", "evil.example"), "a name is no address, whatever the listener is bound to");
    }
}
