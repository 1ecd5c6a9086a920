//! Sessions without an account: what they may do, and that they leave no trace.

use super::*;
use crate::xmpp::hub::anonymous::MAX_ANONYMOUS;

fn guest(server: &Server) -> Result<Client, BindError> {
    let (outbox, outgoing) = outbox::outbox();
    let resource = ResourcePart::new("web").unwrap().into_owned();
    Ok(Client { session: server.hub.bind_anonymous(Some(&resource), outbox)?, outgoing })
}

#[tokio::test]
async fn an_anonymous_user_can_talk_to_a_user_and_be_answered() {
    let server = Server::start().await;
    let mut ann = server.login("ann", "desk").await;
    let mut guest = guest(&server).unwrap();
    let address = guest.session.jid().to_string();
    guest.sends("<presence to='ann@here'/>").await;
    guest.sends("<message to='ann@here' type='chat'><body>help</body></message>").await;
    let heard = ann.reads_xml().await;
    assert_eq!(heard.iter().map(Element::name).collect::<Vec<_>>(), ["presence", "message"]);
    assert!(heard.iter().all(|stanza| stanza.attr("from") == Some(&address)), "{heard:?}");
    ann.sends(&format!("<message to='{address}' type='chat'><body>yes?</body></message>")).await;
    assert_eq!(guest.reads_xml().await[0].attr("from"), Some("ann@here/desk"));
    drop(guest);
    let [gone] = &ann.reads_xml().await[..] else { panic!("the end of directed presence") };
    assert_eq!((gone.attr("type"), gone.attr("from")), (Some("unavailable"), Some(&*address)));
}

#[tokio::test]
async fn an_anonymous_user_is_in_no_table_and_answers_no_probe() {
    let server = Server::start().await;
    let mut ann = server.login("ann", "desk").await;
    let mut guest = guest(&server).unwrap();
    let address = guest.bare();
    guest.sends("<presence><status>here</status></presence>").await;
    assert_eq!((server.presence.read(address.as_str()), server.presence.online()), (None, 1));
    ann.sends(&format!("<presence type='probe' to='{address}'/>")).await;
    assert_eq!(ann.reads_xml().await[0].attr("type"), Some("unsubscribed"), "as of an unknown user");
    ann.sends(&format!("<iq type='get' id='d' to='{address}'><query xmlns='{}'/></iq>", ns::DISCO_INFO)).await;
    assert_eq!(ann.reads_xml().await[0].attr("type"), Some("error"));
    ann.sends(&format!("<presence type='subscribe' to='{address}'/>")).await;
    assert!(guest.reads_xml().await.iter().all(|stanza| stanza.attr("type") != Some("subscribe")));
    guest.sends("<presence type='unavailable'><status>bye</status></presence>").await;
    assert_eq!(server.presence.read(address.as_str()), None);
    assert_eq!(server.store.roster(&address).unwrap().items.len(), 0);
}

#[tokio::test]
async fn an_anonymous_user_has_nothing_that_is_stored() {
    let server = Server::start().await;
    let mut ann = server.login("ann", "desk").await;
    let mut guest = guest(&server).unwrap();
    guest.sends("<presence/>").await;
    guest.reads().await;
    for refused in [
        "<iq type='set' id='1'><query xmlns='jabber:iq:roster'><item jid='ann@here'/></query></iq>",
        "<iq type='set' id='2'><block xmlns='urn:xmpp:blocking'><item jid='ann@here'/></block></iq>",
        "<presence type='subscribe' to='ann@here'/>",
        "<presence type='subscribed' to='ann@here'/>",
        "<presence type='unsubscribe' to='ann@here'/>",
        "<presence type='unsubscribed' to='ann@here'/>",
    ] {
        guest.sends(refused).await;
        let [answer] = &guest.reads_xml().await[..] else { panic!("{refused} has one answer") };
        let error = answer.get_child("error", ns::CLIENT).expect(refused);
        assert!(error.has_child("not-allowed", ns::STANZAS), "{refused}: {answer:?}");
    }
    assert_eq!(ann.reads().await, [""; 0], "nobody is told");
    guest.sends("<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>").await;
    let roster = &guest.reads_xml().await[0];
    assert_eq!(roster.get_child("query", ns::ROSTER).map(|query| query.children().count()), Some(0), "{roster:?}");
    guest.sends("<iq type='set' id='s'><session xmlns='urn:ietf:params:xml:ns:xmpp-session'/></iq>").await;
    assert_eq!(guest.reads_xml().await[0].attr("type"), Some("result"));
}

#[tokio::test]
async fn there_are_only_so_many_anonymous_sessions() {
    let server = Server::start().await;
    let mut guests: Vec<_> = (0..MAX_ANONYMOUS).map(|_| guest(&server).unwrap()).collect();
    assert_eq!(guest(&server).err(), Some(BindError::TooManySessions));
    server.connect("ann", "desk").await;
    guests.pop();
    guest(&server).unwrap();
}
