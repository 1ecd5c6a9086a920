//! Conversations with the service, stanza by stanza; what users have is in memory. The suite has the same with the server and real clients.

use std::sync::Mutex;

use plugin_api::Result;

use super::*;
use crate::users::{
    Made, TooMany,
    addresses::Address,
    choice::{Choice, Details, Viewers},
    tokens::{Issued, Wish},
};

const ALICE: &str = "alice@example.com";

/// What alice, the only user, has.
#[derive(Default)]
struct Drawer(Mutex<Content>);

#[derive(Default)]
struct Content {
    choice: Option<Choice>,
    tokens: Vec<Issued>,
    addresses: Vec<Address>,
}

impl Drawer {
    fn has<R>(&self, look: impl FnOnce(&mut Content) -> R) -> R {
        look(&mut self.0.lock().unwrap())
    }
}

fn removed<T>(all: &mut Vec<T>, is_named: impl Fn(&T) -> bool) -> usize {
    let before = all.len();
    all.retain(|one| !is_named(one));
    before - all.len()
}

impl Desk for Drawer {
    fn has_account(&self, user: &str) -> bool {
        user == ALICE
    }
    fn jid(&self, text: &str) -> Option<String> {
        (!text.contains(' '))
            .then(|| if text.contains('@') { text.to_lowercase() } else { format!("{text}@example.com") })
    }
    fn choice(&self, _: &str) -> Result<Option<Choice>> {
        Ok(self.has(|content| content.choice))
    }
    fn choose(&self, _: &str, choice: Choice) -> Result<()> {
        self.has(|content| content.choice = Some(choice));
        Ok(())
    }
    fn forget(&self, _: &str) -> Result<()> {
        self.has(|content| *content = Content::default());
        Ok(())
    }
    fn mint(&self, _: &str, wish: &Wish) -> Result<Made<String>> {
        Ok(self.has(|content| {
            if content.tokens.len() >= 2 {
                return Err(TooMany(2));
            }
            let id = format!("{:016x}", content.tokens.len());
            let of = wish.of.clone().unwrap_or_default();
            content.tokens.push(Issued { id, of, what: wish.what, expires: wish.life, label: wish.label.clone() });
            Ok("p1.TOKEN".into())
        }))
    }
    fn tokens(&self, _: &str) -> Result<Vec<Issued>> {
        Ok(self.has(|content| content.tokens.clone()))
    }
    fn revoke_tokens(&self, _: &str, ids: &[String]) -> Result<usize> {
        Ok(self.has(|content| removed(&mut content.tokens, |token| ids.contains(&token.id))))
    }
    fn add_address(&self, _: &str, label: &str) -> Result<Made<String>> {
        self.has(|content| content.addresses.push(Address { id: "ADDRESS".into(), label: label.into() }));
        Ok(Ok("ADDRESS".into()))
    }
    fn addresses(&self, _: &str) -> Result<Vec<Address>> {
        Ok(self.has(|content| content.addresses.clone()))
    }
    fn revoke_addresses(&self, _: &str, ids: &[String]) -> Result<usize> {
        Ok(self.has(|content| removed(&mut content.addresses, |address| ids.contains(&address.id))))
    }
}

fn service() -> Service<Drawer> {
    Service::new(Drawer::default())
}

/// The answer to a request of alice's.
#[track_caller]
fn ask(service: &Service<Drawer>, kind: &str, payload: &str) -> Element {
    let iq = format!("<iq type='{kind}' id='7' from='{ALICE}/pc' to='presence.example.com'>{payload}</iq>");
    let answers = service.receive(&iq);
    assert_eq!(answers.len(), 1, "{iq}: {answers:?}");
    let answer = Element::read(&answers[0]).expect("well-formed");
    assert_eq!(answer.attribute("to"), Some("alice@example.com/pc"));
    assert_eq!((answer.attribute("from"), answer.attribute("id")), (Some("presence.example.com"), Some("7")));
    answer
}

/// The names of what stands in the error of an answer.
#[track_caller]
fn conditions(answer: &Element) -> Vec<&str> {
    assert_eq!(answer.attribute("type"), Some("error"), "{answer}");
    let error = answer.find("error", CLIENT).expect("an error");
    error.elements().map(Element::name).filter(|name| *name != "text").collect()
}

/// A step of a command: its attributes, and what is filled in.
#[track_caller]
fn step(service: &Service<Drawer>, attributes: &str, fields: &[(&str, &str)]) -> Element {
    let fields: String =
        fields.iter().map(|(name, value)| format!("<field var='{name}'><value>{value}</value></field>")).collect();
    let form = if fields.is_empty() { fields } else { format!("<x xmlns='jabber:x:data' type='submit'>{fields}</x>") };
    ask(service, "set", &format!("<command xmlns='{}' {attributes}>{form}</command>", commands::NAMESPACE))
}

fn command(answer: &Element) -> &Element {
    answer.find("command", commands::NAMESPACE).unwrap_or_else(|| panic!("{answer}"))
}

/// Status, and the actions that are offered.
#[track_caller]
fn state(answer: &Element) -> (&str, Vec<&str>) {
    let command = command(answer);
    let actions = command.find("actions", commands::NAMESPACE);
    let actions = actions.map(|actions| actions.elements().map(Element::name).collect()).unwrap_or_default();
    (command.attribute("status").expect("a status"), actions)
}

fn session(answer: &Element, node: &str) -> String {
    format!("node='{node}' sessionid='{}'", command(answer).attribute("sessionid").expect("a session"))
}

#[track_caller]
fn note(answer: &Element) -> String {
    assert_eq!(command(answer).attribute("status"), Some("completed"), "{answer}");
    command(answer).find("note", commands::NAMESPACE).expect("a note").own_text()
}

/// What the form of an answer holds in this field.
fn field(answer: &Element, name: &str) -> Vec<String> {
    let form = command(answer).find("x", forms::NAMESPACE).expect("a form");
    let field = form.elements().find(|field| field.attribute("var") == Some(name)).expect("the field");
    field.elements().filter(|value| value.name() == "value").map(Element::own_text).collect()
}

#[test]
fn a_choice_is_made_in_one_form() {
    let service = service();
    let shown = step(&service, "node='visibility' action='execute'", &[]);
    assert_eq!(state(&shown), ("executing", vec!["complete"]));
    assert_eq!((field(&shown, "who"), field(&shown, "what")), (vec!["default".into()], vec!["status".into()]));
    let session = session(&shown, "visibility");
    let refused = step(&service, &session, &[("who", "friends")]);
    assert_eq!(conditions(&refused), ["bad-request", "bad-payload"]);
    let done = step(&service, &format!("{session} action='complete'"), &[("who", "subscribers"), ("what", "state")]);
    assert!(note(&done).contains("your subscribers"), "{done}");
    let chosen = Choice { who: Viewers::Subscribers, what: Details::State };
    assert_eq!(service.desk.has(|content| content.choice), Some(chosen));
    assert_eq!(conditions(&step(&service, &session, &[])), ["bad-request", "bad-sessionid"], "it is over");
    assert_eq!(field(&step(&service, "node='visibility'", &[]), "who"), ["subscribers"]);
}

/// XEP-0050 sections 3.3 and 3.4: forth and back, what was filled in stays.
#[test]
fn a_token_takes_two_forms_and_can_go_back() {
    let service = service();
    let first = step(&service, "node='token'", &[]);
    assert_eq!(state(&first), ("executing", vec!["next"]));
    let session = session(&first, "token");
    let step_with =
        |action: &str, fields: &[(&str, &str)]| step(&service, &format!("{session} action='{action}'"), fields);
    assert_eq!(conditions(&step_with("complete", &[])), ["bad-request", "bad-action"]);
    assert_eq!(conditions(&step_with("prev", &[])), ["bad-request", "bad-action"]);
    assert_eq!(conditions(&step_with("jump", &[])), ["bad-request", "malformed-action"]);
    assert_eq!(conditions(&step_with("next", &[("of", "no body")])), ["bad-request", "bad-payload"]);
    let second = step_with("next", &[("of", "Bob@example.com"), ("what", "state")]);
    assert_eq!(state(&second), ("executing", vec!["prev", "complete"]));
    assert_eq!(conditions(&step_with("next", &[])), ["bad-request", "bad-action"]);
    let back = step_with("prev", &[("label", "Blog")]);
    assert_eq!((field(&back, "of"), field(&back, "what")), (vec!["Bob@example.com".into()], vec!["state".into()]));
    assert_eq!(field(&step_with("execute", &[]), "label"), ["Blog"]);
    for days in ["0", "367", "soon"] {
        assert_eq!(conditions(&step_with("complete", &[("days", days)])), ["bad-request", "bad-payload"], "{days}");
    }
    let done = step_with("execute", &[("days", "7")]);
    assert_eq!(field(&done, "token"), ["p1.TOKEN"]);
    let made = service.desk.has(|content| content.tokens[0].clone());
    assert_eq!((made.of.as_str(), made.what, made.label.as_str()), ("bob@example.com", Details::State, "Blog"));
    assert_eq!(made.expires, 7 * 86_400);
}

/// A step with an empty form of this type.
#[track_caller]
fn step_with_form(service: &Service<Drawer>, attributes: &str, kind: &str) -> Element {
    let form = format!("<x xmlns='jabber:x:data' type='{kind}'/>");
    ask(service, "set", &format!("<command xmlns='{}' {attributes}>{form}</command>", commands::NAMESPACE))
}

/// Whatever the step's action is: nothing that was cancelled is done.
#[test]
fn a_form_that_is_cancelled_cancels_its_command() {
    let service = service();
    let with_form = |session: &str, kind: &str| step_with_form(&service, session, kind);
    let choosing = session(&step(&service, "node='visibility'", &[]), "visibility");
    let minting = session(&step(&service, "node='token'", &[]), "token");
    step(&service, &minting, &[]);
    for (session, action) in [(choosing, "complete"), (minting, "execute")] {
        let session = format!("{session} action='{action}'");
        for other in ["form", "result"] {
            assert_eq!(conditions(&with_form(&session, other)), ["bad-request", "bad-payload"], "{other}");
        }
        assert_eq!(state(&with_form(&session, "cancel")).0, "canceled");
        assert_eq!(conditions(&with_form(&session, "submit")), ["bad-request", "bad-sessionid"], "it is over");
    }
    assert!(service.desk.has(|content| content.choice.is_none() && content.tokens.is_empty()));
}

/// Clients send along what they were shown when they leave it, which fills nothing in.
#[test]
fn whoever_goes_back_or_cancels_may_send_any_form_along() {
    let service = service();
    for shown in ["form", "result"] {
        let first = step(&service, "node='token'", &[]);
        let session = session(&first, "token");
        step(&service, &session, &[("of", "bob")]);
        let back = step_with_form(&service, &format!("{session} action='prev'"), shown);
        assert_eq!(field(&back, "of"), ["bob"], "{shown}");
        let canceled = step_with_form(&service, &format!("{session} action='cancel'"), shown);
        assert_eq!(state(&canceled), ("canceled", vec![]), "{shown}");
        assert_eq!(conditions(&step(&service, &session, &[])), ["bad-request", "bad-sessionid"], "it is over");
    }
}

/// A client that goes back and forth adds nothing to what is kept for it.
#[test]
fn only_so_much_can_be_filled_in() {
    let service = service();
    let session = session(&step(&service, "node='token'", &[]), "token");
    let long = "x".repeat(8_192);
    assert_eq!(
        state(&step(&service, &session, &[("more", &long)])).0,
        "executing",
        "what no form asks for is left out"
    );
    let refused = step(&service, &format!("{session} action='prev'"), &[("label", &long)]);
    assert_eq!(conditions(&refused), ["bad-request", "bad-payload"]);
    assert_eq!(field(&step(&service, &session, &[("days", "7")]), "token"), ["p1.TOKEN"], "it goes on");
}

#[test]
fn a_command_can_be_canceled() {
    let service = service();
    let session = session(&step(&service, "node='visibility'", &[]), "visibility");
    let canceled = step(&service, &format!("{session} action='cancel'"), &[("who", "anyone")]);
    assert_eq!(state(&canceled), ("canceled", vec![]));
    assert_eq!(service.desk.has(|content| content.choice), None);
    assert_eq!(conditions(&step(&service, &session, &[])), ["bad-request", "bad-sessionid"]);
}

#[test]
fn what_was_made_is_listed_and_revoked_after_a_second_look() {
    let service = service();
    assert_eq!(note(&step(&service, "node='tokens'", &[])), "You have no tokens.");
    assert_eq!(note(&step(&service, "node='addresses'", &[])), "You have no unlisted addresses.");
    let made = session(&step(&service, "node='address'", &[]), "address");
    let made = step(&service, &made, &[("label", "My\nblog")]);
    assert_eq!(field(&made, "address"), ["/plugins/presence/v1/u/ADDRESS"]);
    let first = step(&service, "node='addresses'", &[]);
    assert!(first.to_string().contains("<option label=\"My blog: /plugins/presence/v1/u/ADDRESS\">"), "{first}");
    let session = session(&first, "addresses");
    assert_eq!(conditions(&step(&service, &session, &[])), ["bad-request", "bad-payload"]);
    assert_eq!(conditions(&step(&service, &session, &[("revoke", "OTHER")])), ["bad-request", "bad-payload"]);
    let second = step(&service, &session, &[("revoke", "ADDRESS")]);
    assert_eq!(field(&second, "chosen").len(), 1, "{second}");
    assert_eq!(note(&step(&service, &session, &[])), "1 unlisted address was revoked.");
    assert!(service.desk.has(|content| content.addresses.is_empty()));
}

#[test]
fn who_has_too_many_is_told_to_revoke_one() {
    let service = service();
    (0..2).for_each(|_| drop(chat::answer(&service.desk, ALICE, "token")));
    let first = session(&step(&service, "node='token'", &[]), "token");
    step(&service, &first, &[("what", "state")]);
    let refused = step(&service, &first, &[("days", "1")]);
    assert_eq!(conditions(&refused), ["resource-constraint"]);
    assert!(refused.to_string().contains("revoke one first"), "{refused}");
}

/// XEP-0077.
#[test]
fn the_registration_is_the_same_choice() {
    let service = service();
    let get = || ask(&service, "get", "<query xmlns='jabber:iq:register'/>");
    let query = |answer: &Element| answer.find("query", register::NAMESPACE).expect("a query").clone();
    assert!(query(&get()).find("registered", register::NAMESPACE).is_none());
    let set = |payload: &str| ask(&service, "set", &format!("<query xmlns='jabber:iq:register'>{payload}</query>"));
    let filled = "<x xmlns='jabber:x:data' type='submit'><field var='who'><value>nobody</value></field></x>";
    assert_eq!(set(filled).attribute("type"), Some("result"));
    let chosen = Choice { who: Viewers::Nobody, what: Details::Status };
    assert_eq!(service.desk.has(|content| content.choice), Some(chosen));
    assert!(query(&get()).find("registered", register::NAMESPACE).is_some());
    assert_eq!(set("<x xmlns='jabber:x:data' type='cancel'/>").attribute("type"), Some("result"));
    for wrong in ["", "<username>alice</username>", "<x xmlns='jabber:x:data' type='form'/>"] {
        assert_eq!(conditions(&set(wrong)), ["bad-request"], "{wrong}");
    }
    let wrong = filled.replace("nobody", "friends");
    assert_eq!(conditions(&set(&wrong)), ["bad-request", "bad-payload"]);
    assert_eq!(set("<remove/>").attribute("type"), Some("result"));
    assert_eq!(service.desk.has(|content| content.choice), None);
}

/// XEP-0030, XEP-0199.
#[test]
fn the_service_says_what_it_is() {
    let service = service();
    let query =
        |namespace: &str, node: &str| ask(&service, "get", &format!("<query xmlns='{namespace}' {node}/>")).to_string();
    let info = query(disco::INFO, "");
    for feature in [commands::NAMESPACE, register::NAMESPACE, forms::NAMESPACE, PING, disco::ITEMS] {
        assert!(info.contains(&format!("<feature var=\"{feature}\"/>")), "{info}");
    }
    let commands = format!("node='{}'", commands::NAMESPACE);
    let items = query(disco::ITEMS, &commands);
    for node in ["visibility", "token", "tokens", "address", "addresses"] {
        assert!(items.contains(&format!("<item jid=\"presence.example.com\" node=\"{node}\"")), "{items}");
        assert!(query(disco::INFO, &format!("node='{node}'")).contains("type=\"command-node\""));
    }
    assert!(query(disco::INFO, &commands).contains("type=\"command-list\""));
    assert!(query(disco::ITEMS, "").contains("type=\"result\""));
    let unknown = ask(&service, "get", &format!("<query xmlns='{}' node='nothing'/>", disco::ITEMS));
    assert_eq!(conditions(&unknown), ["item-not-found"]);
    assert_eq!(ask(&service, "get", "<ping xmlns='urn:xmpp:ping'/>").attribute("type"), Some("result"));
}

/// RFC 6120 section 8.2.3: a request is always answered, an answer never.
#[test]
fn every_request_is_answered_and_nothing_else() {
    let service = service();
    for (payload, expected) in [
        ("", "bad-request"),
        ("<a xmlns='x'/><b xmlns='x'/>", "bad-request"),
        ("<vCard xmlns='vcard-temp'/>", "service-unavailable"),
        ("<query xmlns='jabber:iq:roster'/>", "service-unavailable"),
        ("<command xmlns='http://jabber.org/protocol/commands' node='reboot'/>", "item-not-found"),
        ("<command xmlns='http://jabber.org/protocol/commands'/>", "item-not-found"),
    ] {
        assert_eq!(conditions(&ask(&service, "set", payload))[0], expected, "{payload}");
    }
    let gone = step(&service, "node='token' action='next'", &[]);
    assert_eq!(conditions(&gone), ["bad-request", "bad-sessionid"]);
    let from = "from='alice@example.com/pc'";
    for silent in [
        format!("<iq type='result' id='1' {from} to='presence.example.com'/>"),
        format!("<iq type='error' id='1' {from} to='presence.example.com'><error/></iq>"),
        format!("<message type='error' {from} to='presence.example.com'><body>help</body></message>"),
        format!("<message type='headline' {from} to='presence.example.com'><body>help</body></message>"),
        format!("<message type='groupchat' {from} to='presence.example.com'><body>help</body></message>"),
        format!(
            "<message type='chat' {from} to='presence.example.com'><composing xmlns='http://jabber.org/protocol/chatstates'/></message>"
        ),
        format!("<presence {from} to='presence.example.com'/>"),
        "<presence type='subscribe'/>".into(),
        "<iq".into(),
    ] {
        assert_eq!(service.receive(&silent), [""; 0], "{silent}");
    }
    let below =
        format!("<iq type='get' id='1' {from} to='bot@presence.example.com'><ping xmlns='urn:xmpp:ping'/></iq>");
    assert!(service.receive(&below)[0].contains("service-unavailable"));
}

#[test]
fn only_users_of_this_server_are_served() {
    let service = service();
    let from = "from='eve@elsewhere.example/pc' to='presence.example.com'";
    let form = "<command xmlns='http://jabber.org/protocol/commands' node='visibility'/>";
    for (stanza, expected) in [
        (format!("<iq type='set' id='1' {from}>{form}</iq>"), "<forbidden "),
        (format!("<iq type='get' id='1' {from}><query xmlns='jabber:iq:register'/></iq>"), "<forbidden "),
        (
            format!("<iq type='set' id='1' {from}><query xmlns='jabber:iq:register'><remove/></query></iq>"),
            "<forbidden ",
        ),
        (format!("<message {from}><body>help</body></message>"), "<forbidden "),
        (format!("<presence type='subscribe' {from}/>"), "type=\"unsubscribed\""),
    ] {
        let answers = service.receive(&stanza);
        assert!(answers.len() == 1 && answers[0].contains(expected), "{stanza}: {answers:?}");
    }
    assert_eq!(service.receive(&format!("<presence type='probe' {from}/>")), [""; 0]);
}

/// RFC 6121 sections 3.1 and 3.3.
#[test]
fn a_subscription_is_granted_and_shows_the_service_available() {
    let service = service();
    let answers = service.receive("<presence type='subscribe' from='alice@example.com' to='presence.example.com'/>");
    let granted = "<presence from=\"presence.example.com\" to=\"alice@example.com\" type=\"subscribed\"/>";
    assert_eq!((answers.len(), answers[0].as_str()), (2, granted));
    let probed = service.receive("<presence type='probe' from='alice@example.com' to='presence.example.com'/>");
    assert!(
        probed[0].starts_with("<presence from=\"presence.example.com\" to=\"alice@example.com\"><status>"),
        "{probed:?}"
    );
    let by_itself = service.receive("<presence type='probe' from='presence.example.com' to='presence.example.com'/>");
    assert!(by_itself.len() == 1 && by_itself[0].contains("<status>"), "{by_itself:?}");
    let ended = service.receive("<presence type='unsubscribe' from='alice@example.com' to='presence.example.com'/>");
    let gone = "<presence from=\"presence.example.com\" to=\"alice@example.com\" type=\"unavailable\"/>";
    assert!(ended[0] == gone && ended[1].contains("unsubscribed"), "{ended:?}");
}

#[track_caller]
fn say(service: &Service<Drawer>, line: &str) -> String {
    let from = "from='alice@example.com/pc' to='presence.example.com'";
    let answers =
        service.receive(&format!("<message type='chat' {from}><body>{line}</body><thread>t</thread></message>"));
    let answer = Element::read(&answers[0]).expect("well-formed");
    assert_eq!((answer.attribute("type"), answer.attribute("to")), (Some("chat"), Some("alice@example.com/pc")));
    assert_eq!(answer.find("thread", CLIENT).map(Element::own_text).as_deref(), Some("t"));
    answer.find("body", CLIENT).expect("an answer").own_text()
}

#[test]
fn everything_can_be_said_in_words() {
    let service = service();
    let help = say(&service, " Help ");
    for word in ["show", "who", "what", "token", "tokens", "address", "addresses", "revoke", "forget"] {
        assert!(help.lines().any(|line| line.split(' ').next() == Some(word)), "{word}");
    }
    assert!(say(&service, "WHO Nobody").contains("nobody can see"));
    assert!(say(&service, "what state").contains("without the status text"));
    let chosen = Choice { who: Viewers::Nobody, what: Details::State };
    assert_eq!(service.desk.has(|content| content.choice), Some(chosen));
    assert_eq!(say(&service, "show"), "On the web, nobody can see your state, without the status text.");

    assert!(say(&service, "token of bob for 90 days state as Build lamp").starts_with("p1.TOKEN\n"));
    let made = service.desk.has(|content| content.tokens[0].clone());
    assert_eq!((made.of.as_str(), made.what, made.label.as_str()), ("bob@example.com", Details::State, "Build lamp"));
    assert_eq!(made.expires, 90 * 86_400);
    let listed = say(&service, "tokens");
    assert_eq!(listed, "0000000000000000 – Build lamp: state of bob@example.com, until 1970-04-01");
    assert!(say(&service, "address My blog").starts_with("/plugins/presence/v1/u/ADDRESS\n"));
    assert_eq!(say(&service, "addresses"), "ADDRESS – My blog: /plugins/presence/v1/u/ADDRESS");
    assert_eq!(say(&service, "revoke ADDRESS"), "1 unlisted address was revoked.");
    for whole in [
        "/plugins/presence/v1/u/ADDRESS",
        "http://x/plugins/presence/v1/u/ADDRESS/icon.svg?size=32",
        "/plugins/presence/v1/u/ADDRESS.json",
        "\"http://x/plugins/presence/v1/u/ADDRESS\"",
        "&lt;http://x/plugins/presence/v1/u/ADDRESS>",
        "/plugins/presence/v1/u/ADDRESS,",
        "»ADDRESS«",
        "ADDRESS.",
    ] {
        say(&service, "address");
        assert_eq!(say(&service, &format!("revoke {whole}")), "1 unlisted address was revoked.", "{whole}");
    }
    assert_eq!(say(&service, "revoke all"), "1 token was revoked.");
    assert_eq!(say(&service, "revoke all"), "Nothing was revoked.");
    assert!(say(&service, "forget").starts_with("Forgotten."));
    assert_eq!(service.desk.has(|content| content.choice), None);
}

/// RFC 6121 section 5.2.2: a message of no known type is like one of type `normal`.
#[test]
fn whatever_the_type_of_a_message_it_is_answered_in_kind() {
    let service = service();
    for (kind, expected) in [("", None), ("chat", Some("chat")), ("normal", None), ("Chat", None), ("odd", None)] {
        let kind = if kind.is_empty() { String::new() } else { format!("type='{kind}'") };
        let answers = service.receive(&format!(
            "<message {kind} from='{ALICE}/pc' to='presence.example.com'><body>show</body></message>"
        ));
        let answer = answers.first().and_then(|answer| Element::read(answer));
        let answer = answer.unwrap_or_else(|| panic!("no answer to {kind}"));
        assert_eq!(answer.attribute("type"), expected, "{kind}");
    }
}

/// Telephones begin a line with a capital, and the answers themselves put what is to be written into quotes.
#[test]
fn words_may_be_written_as_people_write_them() {
    let service = service();
    for help in ["&quot;help&quot;", "Help!", "/help", "HELP.", "?", "Hi!", "»help«"] {
        assert!(say(&service, help).starts_with("I decide with you"), "{help}");
    }
    assert!(say(&service, "Who: Nobody.").contains("nobody can see"));
    assert!(say(&service, "what \"state\"").contains("without the status text"));
    say(&service, "Token");
    assert_eq!(say(&service, "Revoke All"), "1 token was revoked.");
    assert!(say(&service, "Forget.").starts_with("Forgotten."));
}

/// Whoever asks what `forget` does has not said that it is to be done.
#[test]
fn a_question_is_answered_and_never_obeyed() {
    let service = service();
    for line in ["who nobody", "token", "address Who", "address Why!"] {
        say(&service, line);
    }
    let before = service.desk.has(|content| (content.choice, content.tokens.clone(), content.addresses.clone()));
    for (line, told) in [
        ("forget?", "forget – "),
        ("Forget ?", "forget – "),
        ("\"forget?\"", "forget – "),
        ("¿forget", "forget – "),
        ("forget？!", "forget – "),
        ("revoke all?", "revoke ID – "),
        ("revoke 0000000000000000?", "revoke ID – "),
        ("who anyone?", "who default|"),
        ("Who? Anyone!", "who default|"),
        ("what 'state?'", "what status|"),
        ("token for 9 days?", "token [of"),
        ("address?", "address [LABEL] – "),
        ("tokens?", "tokens – "),
        ("status?", "show – "),
    ] {
        let answer = say(&service, line);
        assert!(answer.starts_with(told) && answer.contains("nothing was done"), "{line}: {answer}");
    }
    for line in ["help?", "Hello?", "hi ?", "??", "Will it rain?"] {
        assert!(say(&service, line).starts_with("I decide with you"), "{line}");
    }
    let after = service.desk.has(|content| (content.choice, content.tokens.clone(), content.addresses.clone()));
    assert_eq!(before, after);
}

#[test]
fn what_was_said_wrong_is_explained_and_changes_nothing() {
    let service = service();
    for (line, told) in [
        ("who friends", "default, anyone, subscribers, nobody"),
        ("what mood", "status, state"),
        ("token for 0 days", "1 to 366"),
        ("token of", "followed by a user"),
        ("token forever", "token [of USER]"),
        (&format!("address {}", "x".repeat(65)), "64 characters"),
        ("who", "default, anyone, subscribers, nobody"),
        ("who but nobody", "default, anyone, subscribers, nobody"),
        ("what", "status, state"),
        ("revoke", "or by all"),
        ("revoke all tokens", "or by all"),
        ("", "help"),
        ("!", "help"),
        ("&lt;script&gt;", "help"),
    ] {
        assert!(say(&service, line).contains(told), "{line}");
    }
    assert!(
        service
            .desk
            .has(|content| content.choice.is_none() && content.tokens.is_empty() && content.addresses.is_empty())
    );
}

/// Whatever a stanza has in it: what is sent is well-formed and goes back to its sender, and a request gets one answer.
#[test]
fn odd_stanzas_are_answered_in_order() {
    let from = "from='alice@example.com/pc' to='presence.example.com'";
    let seeds = [
        format!(
            "<iq type='set' id='1' {from}><command xmlns='{}' node='token' action='next' sessionid='x'><x xmlns='jabber:x:data' type='submit'><field var='of'><value>bob</value></field></x></command></iq>",
            commands::NAMESPACE
        ),
        format!(
            "<iq type='set' id='2' {from}><query xmlns='jabber:iq:register'><x xmlns='jabber:x:data' type='submit'><field var='who'><value>anyone</value></field></x></query></iq>"
        ),
        format!("<iq type='get' id='3' {from}><query xmlns='{}' node='visibility'/></iq>", disco::INFO),
        format!("<message type='chat' id='4' {from}><body>token of bob for 9 days as &lt;&#x41;&gt;</body></message>"),
        format!("<presence type='subscribe' id='5' {from}/>"),
    ];
    let (service, mut random, mut answered) = (service(), 0x9E37_79B9_7F4A_7C15_u64, 0);
    let mut below = |bound: usize| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) as usize % bound
    };
    for _ in 0..20_000 {
        let mut stanza = seeds[below(seeds.len())].clone().into_bytes();
        for _ in 0..1 + below(3) {
            let (at, with) = (below(stanza.len()), b"<>/'&;= \n\xC3ax0:"[below(14)]);
            stanza[at] = with;
        }
        let stanza = String::from_utf8_lossy(&stanza);
        let answers = service.receive(&stanza);
        for answer in &answers {
            let answer = Element::read(answer).unwrap_or_else(|| panic!("{stanza}: {answer}"));
            let to = answer.attribute("to").map(bare);
            let sender =
                Element::read(&stanza).and_then(|stanza| stanza.attribute("from").map(|from| bare(from).to_owned()));
            assert_eq!(to, sender.as_deref(), "{stanza}");
        }
        let is_request =
            |stanza: &Element| stanza.is("iq", CLIENT) && matches!(stanza.attribute("type"), Some("get" | "set"));
        if Element::read(&stanza).is_some_and(|stanza| is_request(&stanza)) {
            assert_eq!(answers.len(), 1, "{stanza}");
            answered += 1;
        }
    }
    assert!(answered > 2_000, "{answered} requests are too few to tell");
}
