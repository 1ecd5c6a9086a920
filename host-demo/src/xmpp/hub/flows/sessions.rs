//! Sessions: their resources, their number, their end.

use super::*;

#[tokio::test]
async fn a_resource_is_taken_from_its_older_session() {
    let server = Server::start().await;
    let mut old = server.login("ann", "desk").await;
    let mut new = server.connect("ann", "desk").await;
    assert_eq!(old.is_closed().await, Some(Some(StreamError::Conflict)));
    assert_eq!(server.seen("ann"), (vec![], None));

    new.sends("<presence/>").await;
    old.sends("<presence type='unavailable'/>").await;
    drop(old);
    assert_eq!(server.seen("ann"), (vec![("desk".into(), Show::Available)], None));
    new.sends("<message to='ann@here/desk'/>").await;
    assert_eq!(new.reads().await, ["presence:plain ann@here/desk", "message:plain ann@here/desk"]);
}

#[tokio::test]
async fn a_user_has_at_most_ten_sessions() {
    let server = Server::start().await;
    let mut sessions = Vec::new();
    for _ in 0..MAX_SESSIONS {
        sessions.push(server.try_connect("ann", None).await.unwrap());
    }
    assert_eq!(server.try_connect("ann", None).await.err(), Some(BindError::TooManySessions));
    let taken = sessions[0].session.jid().resource().to_string();
    assert!(server.try_connect("ann", Some(&taken)).await.is_ok());
    assert_eq!(server.try_connect("nobody", None).await.err(), Some(BindError::NoAccount));
}

/// Its requests were read at once, before the stream had a turn to write.
#[tokio::test]
async fn who_asks_for_much_at_once_gets_it() {
    let server = Server::start().await;
    let mut ann = server.connect("ann", "desk").await;
    let note = "x".repeat(100 << 10);
    ann.sends(&format!("<iq type='set' id='s'><vCard xmlns='vcard-temp'><NOTE>{note}</NOTE></vCard></iq>")).await;
    for _ in 0..20 {
        ann.sends("<iq type='get' id='g'><vCard xmlns='vcard-temp'/></iq>").await;
    }
    assert_eq!(ann.reads().await, ["iq:result"; 21]);
}

#[tokio::test]
async fn a_stanza_in_a_foreign_name_ends_the_stream() {
    let server = Server::start().await;
    let mut ann = server.login("ann", "desk").await;
    let forged = "<presence from='bob@here/phone'><show>dnd</show></presence>";
    assert_eq!(ann.tries(forged).await, Err(StreamError::InvalidFrom));
    assert_eq!(server.seen("bob"), (vec![], None));
}

#[tokio::test]
async fn a_removed_account_is_gone_for_its_contacts() {
    let server = Server::start().await;
    let (mut ann, mut bob) = (server.login("ann", "desk").await, server.login("bob", "phone").await);
    server.befriend(&mut ann, &mut bob).await;
    server.hub.remove_account(&account("ann")).await.unwrap();
    assert_eq!(ann.is_closed().await, Some(Some(StreamError::NotAuthorized)));
    assert_eq!(bob.reads().await, ["presence:unavailable ann@here/desk", "push ann@here none"]);
    assert!(server.presence.read("ann@here").is_none());
    assert_eq!(server.hub.sessions().len(), 1);
}
