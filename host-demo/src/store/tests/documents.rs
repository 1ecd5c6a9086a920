//! What users keep on the server.

use super::*;

fn documents(names: &[&str], content: &str) -> Vec<(String, String)> {
    names.iter().map(|name| ((*name).to_owned(), content.to_owned())).collect()
}

#[tokio::test]
async fn documents_stay_are_replaced_and_go_with_the_account() {
    let folder = tempfile::tempdir().unwrap();
    let store = with_users(folder.path(), &["ann@x", "bob@x"]).await;
    let ann = jid("ann@x");
    assert!(store.store_documents(&ann, documents(&["a", "b"], "<old/>")).await.unwrap());
    assert!(store.store_documents(&ann, documents(&["b"], "<new/>")).await.unwrap());
    store.close();
    drop(store);
    let store = Store::open(folder.path()).unwrap();
    assert_eq!(store.document(&ann, "a").unwrap().as_deref(), Some("<old/>"));
    assert_eq!(store.document(&ann, "b").unwrap().as_deref(), Some("<new/>"));
    assert_eq!(store.document(&jid("bob@x"), "a").unwrap(), None);
    store.remove_account(&ann).await.unwrap();
    store.add_account(&ann, &credentials(7)).await.unwrap();
    assert_eq!(store.document(&ann, "a").unwrap(), None, "a later owner of the name inherits nothing");
    let unknown = store.store_documents(&jid("tim@x"), documents(&["a"], "")).await;
    assert!(matches!(unknown, Err(StoreError::UnknownAccount(_))));
}

#[tokio::test]
async fn the_documents_of_a_user_are_bounded_in_number_and_size() {
    let folder = tempfile::tempdir().unwrap();
    let store = with_users(folder.path(), &["ann@x", "bob@x"]).await;
    let (ann, bob) = (jid("ann@x"), jid("bob@x"));
    let names: Vec<_> = (0..64).map(|number| number.to_string()).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    assert!(store.store_documents(&ann, documents(&names, "x")).await.unwrap());
    assert!(!store.store_documents(&ann, documents(&["0", "one more"], "y")).await.unwrap());
    assert_eq!(store.document(&ann, "0").unwrap().as_deref(), Some("x"), "all or nothing");
    assert!(store.store_documents(&ann, documents(&["0"], "y")).await.unwrap());
    let half = "x".repeat(256 << 10);
    assert!(store.store_documents(&bob, documents(&["a"], &half)).await.unwrap());
    assert!(!store.store_documents(&bob, documents(&["b"], &half)).await.unwrap());
    assert!(store.store_documents(&bob, documents(&["a"], &half)).await.unwrap(), "in the place of the older one");
}
