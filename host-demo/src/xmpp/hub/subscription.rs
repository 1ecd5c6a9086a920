//! The states of a subscription and what moves them: the tables of RFC 6121 appendix A.
//!
//! Nothing here stores or sends. A row says whether the stanza goes on and which state the roster item is in afterwards;
//! [`super::handshake`] does the rest.

use crate::store::roster::Item;

/// A subscription seen from one of its two sides (RFC 6121 appendix A.1). "Out": the user asked the contact and waits.
/// "In": the contact asked the user and waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    None,
    NoneOut,
    NoneIn,
    NoneOutIn,
    To,
    ToIn,
    From,
    FromOut,
    Both,
}

/// The presence stanzas that manage subscriptions (RFC 6121 section 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Request {
    Subscribe,
    Subscribed,
    Unsubscribe,
    Unsubscribed,
}

/// A row of a table: does the stanza go on (routed to the contact, delivered to the user), and the state afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub passes: bool,
    pub next: State,
}

use Request::{Subscribe, Subscribed, Unsubscribe, Unsubscribed};
use State::{Both, From, FromOut, None, NoneIn, NoneOut, NoneOutIn, To, ToIn};

const fn passes(next: State) -> Row {
    Row { passes: true, next }
}

const fn stops(next: State) -> Row {
    Row { passes: false, next }
}

/// What the user's server does with a stanza that the user sends to a contact (appendix A.2).
pub(super) fn outbound(request: Request, state: State) -> Row {
    match (request, state) {
        (Subscribe, None | NoneOut) => passes(NoneOut),
        (Subscribe, NoneIn | NoneOutIn) => passes(NoneOutIn),
        (Subscribe, From | FromOut) => passes(FromOut),
        (Subscribe, To | ToIn | Both) => passes(state),

        (Unsubscribe, None | NoneOut | To) => passes(None),
        (Unsubscribe, NoneIn | NoneOutIn | ToIn) => passes(NoneIn),
        (Unsubscribe, From | FromOut | Both) => passes(From),

        (Subscribed, NoneIn) => passes(From),
        (Subscribed, NoneOutIn) => passes(FromOut),
        (Subscribed, ToIn) => passes(Both),
        (Subscribed, None | NoneOut | To | From | FromOut | Both) => stops(state),

        (Unsubscribed, NoneIn | From) => passes(None),
        (Unsubscribed, NoneOutIn | FromOut) => passes(NoneOut),
        (Unsubscribed, ToIn | Both) => passes(To),
        (Unsubscribed, None | NoneOut | To) => stops(state),
    }
}

/// What the user's server does with a stanza that comes from a contact (appendix A.3).
pub(super) fn inbound(request: Request, state: State) -> Row {
    match (request, state) {
        (Subscribe, None) => passes(NoneIn),
        (Subscribe, NoneOut) => passes(NoneOutIn),
        (Subscribe, To) => passes(ToIn),
        (Subscribe, NoneIn | NoneOutIn | ToIn | From | FromOut | Both) => stops(state),

        (Unsubscribe, NoneIn | From) => passes(None),
        (Unsubscribe, NoneOutIn | FromOut) => passes(NoneOut),
        (Unsubscribe, ToIn | Both) => passes(To),
        (Unsubscribe, None | NoneOut | To) => stops(state),

        (Subscribed, NoneOut) => passes(To),
        (Subscribed, NoneOutIn) => passes(ToIn),
        (Subscribed, FromOut) => passes(Both),
        (Subscribed, None | NoneIn | To | ToIn | From | Both) => stops(state),

        (Unsubscribed, NoneOut | To) => passes(None),
        (Unsubscribed, NoneOutIn | ToIn) => passes(NoneIn),
        (Unsubscribed, FromOut | Both) => passes(From),
        (Unsubscribed, None | NoneIn | From) => stops(state),
    }
}

impl State {
    /// The state of a roster item. A subscription that exists outweighs a request for it.
    pub fn of(item: &Item) -> State {
        match (item.to, item.from, item.ask, item.request.is_some()) {
            (true, true, _, _) => Both,
            (true, false, _, false) => To,
            (true, false, _, true) => ToIn,
            (false, true, false, _) => From,
            (false, true, true, _) => FromOut,
            (false, false, false, false) => None,
            (false, false, true, false) => NoneOut,
            (false, false, false, true) => NoneIn,
            (false, false, true, true) => NoneOutIn,
        }
    }

    /// Writes the state into a roster item. `request` is the stanza to keep if the state is the first with "Pending In".
    pub fn write(self, item: &mut Item, request: Option<&str>) {
        item.to = matches!(self, To | ToIn | Both);
        item.from = matches!(self, From | FromOut | Both);
        item.ask = matches!(self, NoneOut | NoneOutIn | FromOut);
        item.request = match self {
            NoneIn | NoneOutIn | ToIn => item.request.take().or_else(|| request.map(str::to_owned)),
            _ => Option::None,
        };
    }

    /// Whether a `subscribed` that is not an answer is kept as a pre-approval (RFC 6121 section 3.4.2, rule 3).
    pub fn takes_pre_approval(self) -> bool {
        matches!(self, None | NoneOut | To)
    }
}

impl Request {
    /// Reads the `type` of a presence stanza.
    pub fn parse(kind: &str) -> Option<Request> {
        [Subscribe, Subscribed, Unsubscribe, Unsubscribed].into_iter().find(|request| request.name() == kind)
    }

    /// The `type` of the presence stanza.
    pub fn name(self) -> &'static str {
        match self {
            Subscribe => "subscribe",
            Subscribed => "subscribed",
            Unsubscribe => "unsubscribe",
            Unsubscribed => "unsubscribed",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATES: [(&str, State); 9] = [
        ("None", None),
        ("None+PO", NoneOut),
        ("None+PI", NoneIn),
        ("None+PO+PI", NoneOutIn),
        ("To", To),
        ("To+PI", ToIn),
        ("From", From),
        ("From+PO", FromOut),
        ("Both", Both),
    ];

    /// The rows of an appendix table in its own order of states: `MUST` passes, `NOT` stops; `=` is "no state change".
    fn check(table: fn(Request, State) -> Row, request: Request, rows: [&str; 9]) {
        for ((name, state), row) in STATES.into_iter().zip(rows) {
            let (goes_on, next) = row.split_once(' ').unwrap();
            let next = STATES.iter().find(|known| known.0 == next).map_or(state, |known| known.1);
            let expected = Row { passes: goes_on == "MUST", next };
            assert_eq!(table(request, state), expected, "{request:?} in state {name}");
        }
    }

    #[test]
    fn a_2_1_outbound_subscribe() {
        let rows = [
            "MUST None+PO",
            "MUST =",
            "MUST None+PO+PI",
            "MUST =",
            "MUST =",
            "MUST =",
            "MUST From+PO",
            "MUST =",
            "MUST =",
        ];
        check(outbound, Subscribe, rows);
    }

    #[test]
    fn a_2_2_outbound_unsubscribe() {
        let rows = [
            "MUST =",
            "MUST None",
            "MUST =",
            "MUST None+PI",
            "MUST None",
            "MUST None+PI",
            "MUST =",
            "MUST From",
            "MUST From",
        ];
        check(outbound, Unsubscribe, rows);
    }

    #[test]
    fn a_2_3_outbound_subscribed() {
        let rows = ["NOT =", "NOT =", "MUST From", "MUST From+PO", "NOT =", "MUST Both", "NOT =", "NOT =", "NOT ="];
        check(outbound, Subscribed, rows);
    }

    #[test]
    fn a_2_4_outbound_unsubscribed() {
        let rows =
            ["NOT =", "NOT =", "MUST None", "MUST None+PO", "NOT =", "MUST To", "MUST None", "MUST None+PO", "MUST To"];
        check(outbound, Unsubscribed, rows);
    }

    #[test]
    fn a_3_1_inbound_subscribe() {
        let rows =
            ["MUST None+PI", "MUST None+PO+PI", "NOT =", "NOT =", "MUST To+PI", "NOT =", "NOT =", "NOT =", "NOT ="];
        check(inbound, Subscribe, rows);
    }

    #[test]
    fn a_3_2_inbound_unsubscribe() {
        let rows =
            ["NOT =", "NOT =", "MUST None", "MUST None+PO", "NOT =", "MUST To", "MUST None", "MUST None+PO", "MUST To"];
        check(inbound, Unsubscribe, rows);
    }

    #[test]
    fn a_3_3_inbound_subscribed() {
        let rows = ["NOT =", "MUST To", "NOT =", "MUST To+PI", "NOT =", "NOT =", "NOT =", "MUST Both", "NOT ="];
        check(inbound, Subscribed, rows);
    }

    #[test]
    fn a_3_4_inbound_unsubscribed() {
        let rows = [
            "NOT =",
            "MUST None",
            "NOT =",
            "MUST None+PI",
            "MUST None",
            "MUST None+PI",
            "NOT =",
            "MUST From",
            "MUST From",
        ];
        check(inbound, Unsubscribed, rows);
    }

    #[test]
    fn a_state_written_to_an_item_is_read_back() {
        for (name, state) in STATES {
            let mut item = Item::default();
            state.write(&mut item, Some("<presence/>"));
            assert_eq!(State::of(&item), state, "{name}");
        }
    }
}
