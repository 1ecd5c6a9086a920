//! What becomes of messages that a session did not get before it ended.

use super::*;

fn chat(to: &str, body: impl std::fmt::Display) -> String {
    format!("<message type='chat' to='{to}'><body>{body}</body></message>")
}

async fn bodies(client: &mut Client) -> Vec<String> {
    let read = client.reads_xml().await;
    read.iter().filter_map(|stanza| stanza.get_child("body", ns::CLIENT)).map(Element::text).collect()
}

fn numbers(count: usize) -> Vec<String> {
    (0..count).map(|number| number.to_string()).collect()
}

/// The connection is lost, and its stream says so.
async fn loses_connection(client: Client) {
    client.session.finish().await;
}

#[tokio::test]
async fn what_overfills_a_session_waits_in_order_with_all_that_was_queued() {
    let server = Server::start().await;
    let (_deaf, mut bob) = (server.login("ann", "desk").await, server.login("bob", "phone").await);
    for number in 0..outbox::MAX_STANZAS + 50 {
        bob.sends(&chat("ann@here", number)).await;
    }
    assert_eq!(bob.reads().await, [""; 0]);
    let mut ann = server.connect("ann", "sofa").await;
    ann.sends("<presence/>").await;
    assert_eq!(bodies(&mut ann).await, numbers(outbox::MAX_STANZAS + 50));
}

#[tokio::test]
async fn what_a_lost_session_did_not_get_goes_where_it_would_have_gone_without_it() {
    let server = Server::start().await;
    let (desk, mut phone) = (server.login("ann", "desk").await, server.login("ann", "phone").await);
    let mut bob = server.login("bob", "home").await;
    bob.sends(&chat("ann@here/desk", "chat")).await;
    bob.sends("<message to='ann@here/desk'><body>normal</body></message>").await;
    bob.sends("<message type='headline' to='ann@here/desk'><body>headline</body></message>").await;
    bob.sends("<iq type='get' id='1' to='ann@here/desk'><q xmlns='x'/></iq>").await;
    bob.sends("<iq type='result' id='2' to='ann@here/desk'/>").await;
    phone.reads().await;
    loses_connection(desk).await;
    let read = phone.reads_xml().await;
    assert_eq!(read.len(), 2, "{read:?}");
    assert_eq!((read[0].attr("type"), read[0].attr("to")), (Some("chat"), Some("ann@here/desk")));
    assert_eq!(read[0].get_child("delay", ns::DELAY).and_then(|delay| delay.attr("from")), Some("here"));
    assert_eq!(summary(&read[1]), "presence:unavailable ann@here/desk");
    assert_eq!(bob.reads().await, ["message:error service-unavailable", "iq:error service-unavailable"]);
}

#[tokio::test]
async fn a_message_of_which_one_copy_arrived_does_not_come_back() {
    let server = Server::start().await;
    let (desk, mut phone) = (server.login("ann", "desk").await, server.login("ann", "phone").await);
    let mut bob = server.login("bob", "home").await;
    bob.sends(&chat("ann@here", "hi")).await;
    assert_eq!(bodies(&mut phone).await, ["hi"]);
    loses_connection(desk).await;
    assert_eq!(bodies(&mut phone).await, [""; 0]);
    assert!(!server.store.has_offline_messages(&account("ann")));
}

#[tokio::test]
async fn a_message_of_which_all_copies_are_lost_waits_once() {
    let server = Server::start().await;
    let (desk, phone) = (server.login("ann", "desk").await, server.login("ann", "phone").await);
    let mut bob = server.login("bob", "home").await;
    bob.sends(&chat("ann@here", "hi")).await;
    loses_connection(desk).await;
    assert!(!server.store.has_offline_messages(&account("ann")), "the phone may still get it");
    loses_connection(phone).await;
    assert_eq!(bodies(&mut server.login("ann", "sofa").await).await, [""; 0], "read at login");
    assert!(!server.store.has_offline_messages(&account("ann")), "and only once");
    assert_eq!(bob.reads().await, [""; 0]);
}

#[tokio::test]
async fn a_session_that_takes_the_name_of_another_takes_its_messages() {
    let server = Server::start().await;
    let (_older, mut bob) = (server.login("ann", "desk").await, server.login("bob", "home").await);
    bob.sends(&chat("ann@here/desk", "one")).await;
    bob.sends("<message to='ann@here/desk'><body>two</body></message>").await;
    let mut newer = server.connect("ann", "desk").await;
    assert_eq!(bodies(&mut newer).await, ["one", "two"]);
    assert_eq!(bob.reads().await, [""; 0]);
}

/// While it takes over, the older one ends and somebody else has its place.
#[tokio::test]
async fn what_a_session_took_over_that_does_not_come_about_is_delivered_otherwise() {
    let server = Server::start().await;
    let (desk, mut bob) = (server.login("ann", "desk").await, server.login("bob", "home").await);
    bob.sends(&chat("ann@here/desk", "hi")).await;
    let older = server.hub.registry.find(desk.session.jid()).unwrap();
    let turn = older.returning.lock().await;
    let mut others = Vec::new();
    let taking_over = async { server.try_connect("ann", Some("desk")).await.err() };
    let meanwhile = async {
        drop(desk);
        for number in 0..MAX_SESSIONS {
            others.push(server.login("ann", &number.to_string()).await);
        }
        drop(turn);
    };
    let (refused, ()) = tokio::join!(biased; taking_over, meanwhile);
    assert_eq!(refused, Some(BindError::TooManySessions));
    let mut read = Vec::new();
    for other in &mut others {
        read.extend(bodies(other).await);
    }
    assert_eq!(read, ["hi"; MAX_SESSIONS], "each gets a copy");
}

#[tokio::test]
async fn copies_for_other_clients_do_not_come_back() {
    let server = Server::start().await;
    let (mut desk, mut phone) = (server.login("ann", "desk").await, server.login("ann", "phone").await);
    let mut bob = server.login("bob", "home").await;
    phone.sends("<iq type='set' id='e'><enable xmlns='urn:xmpp:carbons:2'/></iq>").await;
    desk.sends(&chat("bob@here", "hi")).await;
    assert_eq!(bodies(&mut bob).await, ["hi"]);
    loses_connection(phone).await;
    assert_eq!(bodies(&mut desk).await, [""; 0]);
    assert!(!server.store.has_offline_messages(&account("ann")));
}

#[tokio::test]
async fn what_is_for_a_removed_account_comes_back() {
    let server = Server::start().await;
    let (ann, mut bob) = (server.login("ann", "desk").await, server.login("bob", "home").await);
    bob.sends(&chat("ann@here", "hi")).await;
    server.hub.remove_account(&account("ann")).await.unwrap();
    loses_connection(ann).await;
    assert_eq!(bob.reads().await, ["message:error service-unavailable"]);
}
