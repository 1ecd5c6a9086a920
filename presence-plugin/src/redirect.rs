//! Custom images: the address of a page's own picture, to which the request is sent on. The server never fetches it.
//!
//! A target is an absolute `http` or `https` URL without user information, control characters or backslashes, of at most
//! 2,048 bytes. Whatever else is asked for gets the built-in icon.

use std::{fmt::Write, net::Ipv6Addr};

use crate::query::Parameters;

const TOKEN: &str = "--IMAGE--";
const LONGEST: usize = 2048;

/// The hosts to which a request may be sent on, by the setting `redirect_hosts`.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Hosts(Vec<String>);

impl Hosts {
    /// Reads the setting: host names separated by commas. None at all allows every host.
    pub fn parse(setting: &str) -> Hosts {
        Hosts(setting.split(',').map(str::trim).filter(|host| !host.is_empty()).map(str::to_owned).collect())
    }

    /// The dot of the root is no part of a name (RFC 1034 section 3.1).
    fn allow(&self, host: &str) -> bool {
        let host = host.strip_suffix('.').unwrap_or(host);
        self.0.is_empty() || self.0.iter().any(|allowed| allowed.eq_ignore_ascii_case(host))
    }
}

/// Where to send a request for the picture of `state`, ready for a `Location` field. `None`: show the built-in icon.
///
/// The parameter named after the state beats `images`. An empty parameter counts as absent, since an empty field of an HTML
/// form is sent.
pub fn target(parameters: &Parameters<'_>, state: &str, hosts: &Hosts) -> Option<String> {
    let given = |name| parameters.first(name).filter(|url| !url.is_empty());
    let url = match given(state) {
        Some(url) => url.into_owned(),
        None => given("images").filter(|template| template.contains(TOKEN))?.replace(TOKEN, state),
    };
    let sound = !url.contains(is_forbidden) && hosts.allow(host(&url)?);
    sound.then(|| encode(&url)).filter(|location| location.len() <= LONGEST)
}

/// Browsers drop control characters and turn backslashes into slashes, which would make another URL than the one checked
/// here. U+FFFD stands for a byte that was no UTF-8.
fn is_forbidden(character: char) -> bool {
    character.is_control() || matches!(character, '\\' | char::REPLACEMENT_CHARACTER)
}

/// The host of an absolute `http` or `https` URL: a name in ASCII, an IPv4 address or an IPv6 address in brackets.
fn host(url: &str) -> Option<&str> {
    let (scheme, rest) = url.split_once("://")?;
    let web = scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https");
    let authority = rest.split(['/', '?', '#']).next()?;
    let end = match authority.rfind(']') {
        Some(bracket) => bracket + 1,
        None => authority.find(':').unwrap_or(authority.len()),
    };
    let (host, port) = authority.split_at(end);
    (web && is_host(host) && is_port(port)).then_some(host)
}

/// Strict on purpose: user information, percent-encoding and names that a browser would map to others have no place here.
fn is_host(host: &str) -> bool {
    match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(address) => address.parse::<Ipv6Addr>().is_ok(),
        None => !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte)),
    }
}

fn is_port(port: &str) -> bool {
    match port.strip_prefix(':') {
        Some(digits) => digits.bytes().all(|byte| byte.is_ascii_digit()) && digits.parse::<u16>().is_ok(),
        None => port.is_empty(),
    }
}

/// Percent-encodes what RFC 3986 does not allow in a URI, so that nothing but the URL can end up in the header.
fn encode(url: &str) -> String {
    let mut encoded = String::with_capacity(url.len());
    for byte in url.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~:/?#[]@!$&'()*+,;=%".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            write!(encoded, "%{byte:02X}").expect("a String takes all that is written to it");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The target for somebody who is away, of a query whose values are encoded here.
    fn away(parameters: &[(&str, &str)], hosts: &str) -> Option<String> {
        let encoded = |text: &str| text.bytes().map(|byte| format!("%{byte:02X}")).collect::<String>();
        let query: Vec<_> = parameters.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect();
        target(&Parameters::new(&query.join("&"), b""), "away", &Hosts::parse(hosts))
    }

    /// Row: `images`, "every token is replaced by the state name and the answer is a 302 to the result".
    #[test]
    fn every_token_is_replaced() {
        let template = ("images", "http://--IMAGE--.example.com/--IMAGE--/x--IMAGE--.gif?a=--IMAGE--&b=1#c");
        let expected = "http://away.example.com/away/xaway.gif?a=away&b=1#c";
        assert_eq!(away(&[template], "").as_deref(), Some(expected));
    }

    /// Row: "beats `images` when the current state matches".
    #[test]
    fn the_url_of_the_state_beats_the_template() {
        let template = ("images", "http://h/--IMAGE--");
        assert_eq!(away(&[template, ("away", "http://h/mine")], "").as_deref(), Some("http://h/mine"));
        assert_eq!(away(&[template, ("xa", "http://h/mine")], "").as_deref(), Some("http://h/away"));
        assert_eq!(away(&[template, ("away", "")], "").as_deref(), Some("http://h/away"));
        assert_eq!(away(&[template, ("away", "ftp://h/mine")], ""), None);
        assert_eq!(away(&[("xa", "http://h/mine")], ""), None);
    }

    /// Row: "absolute `http`/`https` URL, no user info, no control character", with abuse H2: all get the built-in icon.
    #[test]
    fn other_targets_are_refused() {
        let refused = "javascript:alert(1) data:image/gif;base64,R0 //evil/x \\\\evil\\x /x x.gif ftp://h/x file:///etc/passwd \
            http:/h/x http:h/x http:// http:///x https://?x http://#x http://:80/x http://u@h/x http://u:p@h/x http://h@ \
            http://@h http://h\\@x http://h/a\\b http://h%40x/ http://[::1/x http://[::1]x/ http://[h]/ http://::1/ \
            http://h:80:90/ http://h:x/ http://h:+80/ http://h:65536/ http://h:/ http://müller.example/ http://ｈ/x \
            gopher://h/x ws://h/x x-http://h/x javascript://h/%0aalert(1) \u{FFFD}http://h/x http://h/\u{FFFD}";
        for url in refused.split_whitespace() {
            assert_eq!(away(&[("away", url)], ""), None, "{url}");
        }
        for control in (0..=0x1Fu8).chain([0x7F]).map(char::from).chain(['\u{80}', '\u{85}', '\u{9F}']) {
            assert_eq!(away(&[("away", &format!("http://h/a{control}b"))], ""), None, "{control:?}");
            assert_eq!(away(&[("away", &format!("http://h{control}/"))], ""), None, "{control:?}");
        }
        assert_eq!(away(&[("away", " http://h/x")], ""), None);
        assert_eq!(away(&[("images", "http://h/x.gif")], ""), None, "no token");
        assert_eq!(away(&[("images", "--IMAGE--://h/x.gif")], ""), None, "no scheme");
    }

    #[test]
    fn ordinary_targets_are_taken_as_they_are() {
        let taken = "http://h https://h/ HTTP://H/x http://192.0.2.1:8080/x http://[2001:db8::1]:80/x http://[::1]?a \
            https://xn--mller-kva.example/a%20b;c=d?e=f&g=@:h#i http://a_b.c-d.example./~x/(y)/[z]";
        for url in taken.split_whitespace() {
            assert_eq!(away(&[("away", url)], "").as_deref(), Some(url));
        }
    }

    /// Row: "at most 2,048 bytes", counted in the result.
    #[test]
    fn a_target_has_2048_bytes_at_most() {
        let url = |length: usize| format!("http://h/{}", "x".repeat(length - 9));
        assert_eq!(away(&[("away", &url(2048))], ""), Some(url(2048)));
        assert_eq!(away(&[("away", &url(2049))], ""), None);
        assert_eq!(away(&[("away", &format!("http://h/{}", "é".repeat(600)))], ""), None, "2,048 bytes once encoded");
        let template = format!("http://h/{}", TOKEN.repeat(400));
        assert_eq!(away(&[("images", &template)], ""), Some(format!("http://h/{}", "away".repeat(400))));
    }

    /// Abuse H4: nothing but visible ASCII gets into the header, whatever byte is sent.
    #[test]
    fn the_location_is_visible_ascii() {
        for byte in 0..=255u8 {
            let query = format!("away=http://h/a%{byte:02X}b");
            if let Some(location) = target(&Parameters::new(&query, b""), "away", &Hosts::default()) {
                assert!(location.bytes().all(|byte| byte.is_ascii_graphic()), "{location:?}");
            }
        }
        assert_eq!(away(&[("away", "http://h/a b\"<é>")], "").as_deref(), Some("http://h/a%20b%22%3C%C3%A9%3E"));
    }

    /// Row: "*Redirect hosts*: host names separated by commas; empty allows any host".
    #[test]
    fn listed_hosts_only() {
        let hosts = " img.example.com,, CDN.example.net ,[::1]";
        for url in
            ["http://img.example.com/x", "https://IMG.example.com:8443/x", "http://cdn.example.net", "http://[::1]:1/"]
        {
            assert!(away(&[("away", url)], hosts).is_some(), "{url}");
        }
        for url in [
            "http://example.com/x",
            "http://img.example.com.evil/x",
            "http://x/img.example.com",
            "http://a.img.example.com",
        ] {
            assert_eq!(away(&[("away", url)], hosts), None, "{url}");
        }
        assert!(away(&[("away", "http://anywhere/x")], " , ").is_some());
        assert_eq!(away(&[("images", "http://--IMAGE--.example.com/x")], "img.example.com"), None);
    }
}
