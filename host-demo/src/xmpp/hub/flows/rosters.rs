//! Rosters (RFC 6121 section 2).

use super::*;

#[tokio::test]
async fn the_roster_is_pushed_to_those_who_asked_for_it() {
    let server = Server::start().await;
    let mut ann = server.login("ann", "desk").await;
    let (mut interested, mut other) = (server.login("ann", "sofa").await, server.connect("ann", "bot").await);
    let item = "<item jid='Bob@Here' name='Bob'><group>Work</group></item>";
    ann.reads().await;
    ann.sends(&format!("<iq type='set' id='1'><query xmlns='jabber:iq:roster'>{item}</query></iq>")).await;
    assert_eq!(ann.reads().await, ["push bob@here none", "iq:result"]);
    assert_eq!(interested.reads().await, ["push bob@here none"]);
    assert_eq!(other.reads().await, [""; 0]);

    other.sends("<iq type='get' id='2'><query xmlns='jabber:iq:roster'/></iq>").await;
    let read = other.reads_xml().await;
    let query = read[0].get_child("query", ns::ROSTER).unwrap();
    let item = query.children().next().unwrap();
    assert_eq!((item.attr("jid"), item.attr("name")), (Some("bob@here"), Some("Bob")));
    assert_eq!(item.get_child("group", ns::ROSTER).unwrap().text(), "Work");
}

#[tokio::test]
async fn a_roster_holds_a_thousand_contacts() {
    let server = Server::start().await;
    let mut ann = server.login("ann", "desk").await;
    let contact = |number: usize| RosterChange {
        user: account("ann"),
        contact: account(&format!("u{number}")),
        item: Some(Item { listed: true, ..Item::default() }),
        seen: true,
    };
    server.store.change_rosters((0..1_000).map(contact).collect()).await.unwrap();
    ann.sends("<iq type='set' id='1'><query xmlns='jabber:iq:roster'><item jid='more@here'/></query></iq>").await;
    ann.sends("<presence type='subscribe' to='bob@here'/>").await;
    ann.sends("<iq type='set' id='2'><query xmlns='jabber:iq:roster'><item jid='u1@here' name='One'/></query></iq>")
        .await;
    assert_eq!(
        ann.reads().await,
        ["iq:error resource-constraint", "presence:error resource-constraint", "push u1@here none", "iq:result"]
    );
    assert!(server.store.roster(&account("bob")).unwrap().items.is_empty());
}

#[tokio::test]
async fn the_largest_roster_reaches_its_user() {
    let server = Server::start().await;
    let mut ann = server.connect("ann", "desk").await;
    let groups: Vec<_> = (0..16).map(|number| format!("{number:x<1023}")).collect();
    let item = || Item { name: Some("n".repeat(1_023)), groups: groups.clone(), listed: true, ..Item::default() };
    let contact = |number: usize| RosterChange {
        user: account("ann"),
        contact: account(&format!("u{number}")),
        item: Some(item()),
        seen: true,
    };
    server.store.change_rosters((0..1_000).map(contact).collect()).await.unwrap();
    ann.sends("<iq type='get' id='1'><query xmlns='jabber:iq:roster'/></iq>").await;
    let read = ann.reads_xml().await;
    assert_eq!(read[0].get_child("query", ns::ROSTER).map(|query| query.children().count()), Some(1_000));
}
