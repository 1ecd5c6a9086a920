//! Tests of an outbox whose client acknowledges what it gets (XEP-0198).

use super::*;

const REQUEST: &str = "<r xmlns='urn:xmpp:sm:3'/>";

/// The two ends of a session that acknowledges.
fn acknowledging() -> (Outbox, Outgoing) {
    let (outbox, outgoing) = outbox();
    outgoing.begin_acknowledging();
    (outbox, outgoing)
}

/// As [`acknowledging`], with more written than may be before the client acknowledges it: two stanzas.
fn shut() -> (Outbox, Outgoing) {
    let (outbox, mut outgoing) = acknowledging();
    assert!(outbox.post(vec![b' '; MAX_BYTES].into()) && outgoing.next_now().is_some());
    assert!(outbox.post("<message/>".into()) && outgoing.next_now().is_some());
    (outbox, outgoing)
}

fn written<const N: usize>(pieces: [&'static str; N]) -> Option<Next> {
    Some(Next::Write(pieces.map(Bytes::from).to_vec()))
}

#[test]
fn who_has_acknowledged_a_part_is_asked_for_the_rest() {
    let (outbox, mut outgoing) = acknowledging();
    outbox.post("a".into());
    assert_eq!(outgoing.next_now(), written(["a", REQUEST]));
    outbox.post("b".into());
    assert_eq!(outgoing.next_now(), written(["b"]), "it was asked already");
    outgoing.acknowledge(1).unwrap();
    assert_eq!(outgoing.next_now(), written([REQUEST]));
    outgoing.acknowledge(1).unwrap();
    assert_eq!(outgoing.next_now(), None, "or else there would be no end of it");
    outgoing.acknowledge(2).unwrap();
    assert_eq!(outgoing.next_now(), None);
}

#[test]
fn what_is_asked_for_does_not_keep_an_acknowledgement_from_being_read() {
    let (outbox, mut outgoing) = shut();
    outbox.post_owed("<iq/>".into(), 1);
    assert_eq!(outgoing.next_now(), None);
    assert!(!outgoing.owes());
    outgoing.acknowledge(1).unwrap();
    assert!(outgoing.owes());
    assert_eq!(outgoing.next_now(), written(["<iq/>", REQUEST]));
    assert!(!outgoing.owes());
}

#[test]
fn a_request_is_answered_whatever_is_not_acknowledged() {
    let (outbox, mut outgoing) = shut();
    outbox.post("<message/>".into());
    outgoing.answer("<a/>".into());
    assert_eq!(outgoing.next_now(), written(["<a/>"]));
    assert_eq!(outgoing.next_now(), None);
    outgoing.acknowledge(1).unwrap();
    outgoing.answer("<a/>".into());
    assert_eq!(outgoing.next_now(), written(["<message/>", "<a/>", REQUEST]));
}

/// An answer of before tells the client of the new connection a number that is too small.
#[test]
fn an_answer_ends_with_its_connection() {
    let (outbox, mut outgoing) = acknowledging();
    outbox.post("a".into());
    assert!(outgoing.next_now().is_some());
    outgoing.answer("<a/>".into());
    outbox.post("b".into());
    outgoing.resend();
    assert_eq!(outgoing.next_now(), written(["a", "b", REQUEST]));
}

#[test]
fn what_is_written_again_takes_no_room() {
    let (outbox, mut outgoing) = acknowledging();
    outbox.post_presence("a presence that is long".into(), 1);
    assert!(outgoing.next_now().is_some());
    outgoing.resend();
    assert!(outbox.post_presence("short".into(), 1));
    assert_eq!(outgoing.next_now(), written(["a presence that is long", "short", REQUEST]));
    outgoing.resend();
    assert!(outbox.post(vec![b' '; MAX_BYTES].into()));
}
