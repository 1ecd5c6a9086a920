//! Message carbons (XEP-0280): copies of a user's conversations for those of the user's resources that take no part in them.
//!
//! What section 6.1 leaves to the server is decided narrowly: a conversation is what is of type `chat`, or of type `normal`
//! with something to read. What was refused is not copied, nor is the error about it: a copy says that a message was sent.

use std::sync::Arc;

use jid::Jid;
use minidom::Element;

use super::{
    ConnectedResource, Hub,
    stanza::{element, ns, serialise, set},
};

impl Hub {
    /// Copies a message of `from` to the other resources of its user that asked for it (section 8). `received`: those that
    /// were sent the message itself.
    pub(super) fn copy_sent(
        &self,
        from: &Arc<ConnectedResource>,
        message: &Element,
        received: &[Arc<ConnectedResource>],
    ) {
        let others = self.registry.taking_copies(from.user());
        let others = others.iter().filter(|other| !Arc::ptr_eq(other, from) && !contains(received, other));
        others.for_each(|other| other.post_copy("sent", message));
    }

    /// Copies a message for the user of `to` to the resources that asked for it and were not sent the message itself
    /// (section 7), unless sender and resource are kept apart (XEP-0191).
    pub(super) fn copy_received(&self, from: &Jid, to: &Jid, message: &Element, received: &[Arc<ConnectedResource>]) {
        // What goes to the sender's own account was sent there: one copy is enough.
        if to.to_bare() == from.to_bare() || is_of_a_room(message) {
            return;
        }
        let others = self.registry.taking_copies(&to.to_bare());
        let others = others.iter().filter(|other| !contains(received, other));
        others.filter(|other| !self.are_parted(from, other.jid())).for_each(|other| {
            other.post_copy("received", message);
        });
    }
}

impl ConnectedResource {
    fn post_copy(&self, direction: &str, message: &Element) {
        let mut copy = element("message", ns::CLIENT, [("from", self.user().as_str()), ("to", self.jid().as_str())]);
        if let Some(kind) = message.attr("type") {
            set(&mut copy, "type", kind);
        }
        let mut forwarded = Element::bare("forwarded", ns::FORWARD);
        forwarded.append_child(message.clone());
        let mut carbon = Element::bare(direction, ns::CARBONS);
        carbon.append_child(forwarded);
        copy.append_child(carbon);
        self.post(serialise(&copy));
    }
}

fn contains(resources: &[Arc<ConnectedResource>], one: &Arc<ConnectedResource>) -> bool {
    resources.iter().any(|resource| Arc::ptr_eq(resource, one))
}

/// Whether copies of a message may be made: it is part of a conversation, and its sender does not forbid it (section 9, and
/// section 5 of XEP-0334).
pub(super) fn may_be_copied(message: &Element) -> bool {
    let is_conversation = match message.attr("type") {
        Some("chat") => true,
        Some("groupchat" | "headline" | "error") => false,
        _ => message.has_child("body", ns::CLIENT),
    };
    is_conversation && !is_private(message) && !message.has_child("no-copy", ns::HINTS)
}

/// Whether a message bears the sender's word to the server that it is to be copied nowhere. The recipient has no use for it.
pub(super) fn is_private(message: &Element) -> bool {
    message.has_child("private", ns::CARBONS)
}

/// A private message in a room is for the one client that is there (section 6.1).
fn is_of_a_room(message: &Element) -> bool {
    message.has_child("x", ns::ROOM_USER)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn copied(attributes: &str, content: &str) -> bool {
        may_be_copied(&format!("<message xmlns='jabber:client' {attributes}>{content}</message>").parse().unwrap())
    }

    #[test]
    fn conversations_are_copied() {
        assert!(copied("type='chat'", "<body>hi</body>") && copied("type='chat'", ""));
        assert!(copied("", "<body>hi</body>") && copied("type='normal'", "<body>hi</body>"));
        assert!(copied("type='odd'", "<body>hi</body>"), "a type that is not defined counts as normal");
        assert!(!copied("", "<subject>hi</subject>"));
        for kind in ["groupchat", "headline", "error"] {
            assert!(!copied(&format!("type='{kind}'"), "<body>hi</body>"), "{kind}");
        }
    }

    #[test]
    fn a_sender_may_forbid_it() {
        for hint in ["<private xmlns='urn:xmpp:carbons:2'/>", "<no-copy xmlns='urn:xmpp:hints'/>"] {
            assert!(!copied("type='chat'", &format!("<body>hi</body>{hint}")), "{hint}");
        }
    }
}
