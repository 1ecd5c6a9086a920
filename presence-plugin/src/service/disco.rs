//! Service discovery (XEP-0030): what the service is and what it can do.

use super::{
    Condition, Element, PING, Reply,
    commands::{self, COMMANDS},
    forms, register,
};

/// The namespace of features.
pub const INFO: &str = "http://jabber.org/protocol/disco#info";
/// The namespace of items.
pub const ITEMS: &str = "http://jabber.org/protocol/disco#items";

/// The answer to a query about the service, whose address is `service`.
pub fn reply(query: &Element, service: &str) -> Reply {
    let node = query.attribute("node").filter(|node| !node.is_empty());
    let answer = Element::new("query", query.namespace()).with_some("node", node);
    let answer = match (query.namespace(), node) {
        (INFO, None) => answer.child(identity("component", "generic", "Presence on the web")).children_from(
            [INFO, ITEMS, commands::NAMESPACE, register::NAMESPACE, forms::NAMESPACE, PING].map(feature),
        ),
        (ITEMS, None) => answer,
        (INFO, Some(commands::NAMESPACE)) => answer.child(identity("automation", "command-list", "What you can do")),
        (ITEMS, Some(commands::NAMESPACE)) => answer.children_from(COMMANDS.iter().map(|command| {
            Element::new("item", ITEMS).with("jid", service).with("node", command.node).with("name", command.name)
        })),
        (INFO, Some(node)) => answer
            .child(identity("automation", "command-node", commands::named(node).ok_or(Condition::ITEM_NOT_FOUND)?.name))
            .children_from([commands::NAMESPACE, forms::NAMESPACE].map(feature)),
        (_, Some(node)) => {
            commands::named(node).ok_or(Condition::ITEM_NOT_FOUND)?;
            answer
        }
        _ => return Err(Condition::SERVICE_UNAVAILABLE),
    };
    Ok(Some(answer))
}

fn identity(category: &str, kind: &str, name: &str) -> Element {
    Element::new("identity", INFO).with("category", category).with("type", kind).with("name", name)
}

fn feature(namespace: &str) -> Element {
    Element::new("feature", INFO).with("var", namespace)
}
