//! Service discovery (XEP-0030): what the server and its accounts can do. Each feature named here is answered in
//! [`super::iq`].

use minidom::Element;

use super::stanza::{Condition, element, ns};

/// XEP-0160 section 4: messages wait for users who are offline. No request belongs to it.
pub(super) const OFFLINE_MESSAGES: &str = "msgoffline";
const SERVER_FEATURES: [&str; 13] = [
    ns::DISCO_INFO,
    ns::DISCO_ITEMS,
    ns::VERSION,
    ns::PING,
    ns::ROSTER,
    ns::BLOCKING,
    ns::CARBONS,
    ns::CARBONS_RULES,
    ns::PRIVATE,
    ns::VCARD,
    ns::LAST,
    ns::REGISTER,
    OFFLINE_MESSAGES,
];
const ACCOUNT_FEATURES: [&str; 4] = [ns::DISCO_INFO, ns::DISCO_ITEMS, ns::VCARD, ns::LAST];

/// The server.
pub(super) fn server_info(query: &Element) -> Result<Element, Condition> {
    info(query, [("category", "server"), ("type", "im"), ("name", "host-demo")], &SERVER_FEATURES)
}

/// An account on it (section 8 of the XEP: seen by contacts with a subscription).
pub(super) fn account_info(query: &Element) -> Result<Element, Condition> {
    info(query, [("category", "account"), ("type", "registered")], &ACCOUNT_FEATURES)
}

/// What belongs to one of them: to the server its components, to an account nothing, as resources are learnt by presence.
pub(super) fn items(query: &Element, mut addresses: Vec<String>) -> Result<Element, Condition> {
    without_node(query)?;
    addresses.sort();
    let mut items = Element::bare("query", ns::DISCO_ITEMS);
    for address in addresses {
        items.append_child(element("item", ns::DISCO_ITEMS, [("jid", &address)]));
    }
    Ok(items)
}

fn info<const N: usize>(query: &Element, identity: [(&str, &str); N], features: &[&str]) -> Result<Element, Condition> {
    without_node(query)?;
    let mut info = Element::bare("query", ns::DISCO_INFO);
    info.append_child(element("identity", ns::DISCO_INFO, identity));
    for feature in features {
        info.append_child(element("feature", ns::DISCO_INFO, [("var", feature)]));
    }
    Ok(info)
}

fn without_node(query: &Element) -> Result<(), Condition> {
    if query.attr("node").is_none() { Ok(()) } else { Err(Condition::ItemNotFound) }
}
