//! The section of the configuration that lets components in (XEP-0114).

use std::{collections::BTreeMap, net::SocketAddr};

use jid::DomainPart;
use serde::{Deserialize, Deserializer, de::Error};

use super::{loopback, parse_address, parse_domain};
use crate::xmpp::component::{Secret, Secrets};

/// The section `[components]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Components {
    /// Where components connect.
    #[serde(default = "default_address", deserialize_with = "address")]
    pub listen: SocketAddr,
    /// Who may answer for which domain.
    #[serde(default, deserialize_with = "secrets")]
    pub secrets: Secrets,
}

fn default_address() -> SocketAddr {
    loopback(5347)
}

/// What is said on such a stream can be read on the way.
fn address<'de, D: Deserializer<'de>>(value: D) -> Result<SocketAddr, D::Error> {
    let text = String::deserialize(value)?;
    let address = parse_address(&text).map_err(D::Error::custom)?;
    if address.ip().is_loopback() {
        return Ok(address);
    }
    Err(D::Error::custom(format!(
        "{text:?}: components are not encrypted: expected a loopback address, such as 127.0.0.1:5347"
    )))
}

fn secrets<'de, D: Deserializer<'de>>(value: D) -> Result<Secrets, D::Error> {
    let written = BTreeMap::<String, Written>::deserialize(value)?;
    let secret = |(domain, secret): (String, Written)| -> Result<(DomainPart, Secret), String> {
        let secret = match secret {
            Written::Text(text) => Secret::new(&text),
            Written::Other(_) => None,
        };
        // Nothing of it is shown.
        let secret = secret.ok_or_else(|| format!("{domain}: expected a secret: a text that is not empty"))?;
        Ok((parse_domain(&domain)?, secret))
    };
    written.into_iter().map(secret).collect::<Result<_, _>>().map_err(D::Error::custom)
}

/// A value that is shown in no message, whatever it is.
#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Text(String),
    Other(serde::de::IgnoredAny),
}
