//! Many users in one answer.

use serde_json::{Value, json};
use tests::{
    browser::Browser,
    host::Host,
    http::{Answer, encode, exchange},
};

use super::{ask, open_host, problem, show};
use crate::presence_http::{widget::serve_page, without_browser};

const SOME: &str = "/plugins/presence/v1/presence";
const MANY: &str = "/plugins/presence/v1/presence/query";
const JSON: (&str, &str) = ("Content-Type", "application/json");

#[track_caller]
fn get(host: &Host, jids: &[&str], more: &str) -> Answer {
    let query: String = jids.iter().map(|jid| format!("jid={}&", encode(jid))).collect();
    host.http().get(&format!("{SOME}?{query}{more}"))
}

#[track_caller]
fn post(host: &Host, body: &Value) -> Answer {
    host.http().send("POST", MANY, &[JSON], &body.to_string())
}

#[track_caller]
fn users(answer: &Answer) -> Vec<Value> {
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")), "{answer:?}");
    let object: Value = serde_json::from_str(answer.text()).expect("JSON");
    assert!(object["asOf"].as_str().is_some_and(|moment| moment.ends_with('Z')), "{object}");
    object["users"].as_array().expect("a list").clone()
}

#[test]
fn users_come_in_the_order_asked_for_and_as_they_come_alone() {
    let host = open_host();
    let (mut alice, mut bob) = (host.new_user("alice"), host.new_user("bob"));
    show(&mut alice, "away", "Lunch");
    show(&mut bob, "", "");
    let jids = ["bob@localhost", "nobody@localhost", "@", "", "ALICE@localhost/desk", "bob@localhost"];
    let alone = |jid: &str| {
        let mut object: Value =
            serde_json::from_str(ask(&host, &format!("type=json&jid={}", encode(jid))).text()).unwrap();
        object.as_object_mut().unwrap().remove("asOf");
        object
    };
    let expected: Vec<_> = jids.iter().map(|jid| alone(jid)).collect();
    assert_eq!(expected[4]["status"], "Lunch");
    assert_eq!(users(&get(&host, &jids, "")), expected);
    assert_eq!(users(&post(&host, &json!({"jids": jids}))), expected);
    let odd = json!({"jids": [7, null, ["bob@localhost"], "bob@localhost", {"jid": 1}, "\u{0}"]});
    let nobody = json!({"state": "forbidden", "available": false});
    let expected = [&nobody, &nobody, &nobody, &expected[0], &nobody, &nobody];
    assert_eq!(users(&post(&host, &odd)).iter().collect::<Vec<_>>(), expected, "a bad one spoils nothing");
}

/// What no library would read: half a surrogate pair, numbers beyond all bounds, lists in lists, and a byte that is no UTF-8.
#[test]
fn one_that_can_not_be_read_spoils_nothing() {
    let host = open_host();
    let mut alice = host.new_user("alice");
    show(&mut alice, "away", "Lunch");
    let (digits, lists) = ("7".repeat(401), "[".repeat(200) + &"]".repeat(200));
    let odd = [&b"\"\\ud800\""[..], b"1e999", digits.as_bytes(), lists.as_bytes(), b"\"bob\xFF@localhost\""];
    for item in odd {
        let body = [&b"{\"jids\":[\"alice@localhost\","[..], item, b",\"alice@localhost\"]}"].concat();
        let head =
            format!("POST {MANY} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n");
        let request = [format!("{head}Content-Length: {}\r\n\r\n", body.len()).as_bytes(), &body].concat();
        let answer = exchange(host.process().ready().http, request).expect("an answer");
        let states: Vec<_> = users(&answer).iter().map(|user| user["state"].clone()).collect();
        assert_eq!(states, ["away", "forbidden", "away"], "{}", String::from_utf8_lossy(item));
    }
}

/// Row X15.
#[test]
fn hidden_and_unknown_are_the_same() {
    let host = Host::with_presence();
    let (mut alice, bob) = (host.new_user("alice"), host.new_user("bob"));
    show(&mut alice, "away", "Lunch");
    for more in ["", &format!("req_jid={}", bob.bare_jid())] {
        let [hidden, unknown] = ["alice@localhost", "zelda@localhost"].map(|jid| {
            let answer = get(&host, &["bob@localhost", jid], more);
            let answer = answer.comparable();
            let fields: Vec<_> = answer.headers.iter().filter(|(name, _)| name != "etag").cloned().collect();
            let text = answer.text().replace(jid, "");
            (fields, text.split(",\"asOf\"").next().unwrap().to_owned())
        });
        assert_eq!(hidden, unknown);
    }
    let by_herself = json!({"jids": ["alice@localhost", "bob@localhost"], "req_jid": "alice@localhost"});
    let answer = post(&host, &by_herself);
    assert_eq!(answer.header("cache-control"), Some("private, no-store"));
    let states: Vec<_> = users(&answer).iter().map(|user| user["state"].clone()).collect();
    assert_eq!(states, ["away", "forbidden"]);
}

#[test]
fn more_than_the_limit_is_413_with_the_limit() {
    let host = open_host();
    let jids = vec!["alice@localhost"; 501];
    assert_eq!(users(&get(&host, &jids[..50], "")).len(), 50);
    let too_many = problem(&get(&host, &jids[..51], ""), 413);
    assert_eq!((&too_many["limit"], &too_many["parameter"]), (&json!(50), &json!("jid")));
    assert_eq!(users(&post(&host, &json!({"jids": jids[..500]}))).len(), 500);
    let too_many = problem(&post(&host, &json!({"jids": jids})), 413);
    assert_eq!((&too_many["limit"], &too_many["parameter"]), (&json!(500), &json!("jids")));
    let too_long = problem(&post(&host, &json!({"jids": ["x".repeat(524_288)]})), 413);
    assert_eq!((&too_long["limit"], &too_long["parameter"]), (&json!(524_288), &json!("body")));
}

#[test]
fn what_names_nobody_is_told_so() {
    let host = open_host();
    assert_eq!(problem(&get(&host, &[], ""), 400)["parameter"], "jid");
    for body in ["", "[]", "{}", "{\"jids\":[]}", "{\"jids\":7}", "not JSON"] {
        let answer = host.http().send("POST", MANY, &[JSON], body);
        let parameter = if body.ends_with("[]}") { "jids" } else { "body" };
        assert_eq!(problem(&answer, 400)["parameter"], parameter, "{body}");
    }
    let told = |body| problem(&host.http().send("POST", MANY, &[JSON], body), 400)["detail"].to_string();
    assert!(told("{\"jids\":[\"a\",]}").contains("line 1 column 14"), "bad syntax, and where");
    assert!(told("{\"jids\":\"a\"}").contains("an object like"), "another shape");
    let form = host.http().post(MANY, "jid=alice@localhost");
    assert!(problem(&form, 415)["detail"].as_str().unwrap().contains("application/json"));
    let [plain, zipped] = ["identity", "gzip"].map(|coding| ("Content-Encoding", coding));
    for fields in [&[JSON, zipped][..], &[JSON, plain, zipped]] {
        let refused = host.http().send("POST", MANY, fields, "{\"jids\":[\"alice@localhost\"]}");
        assert!(problem(&refused, 415)["detail"].as_str().unwrap().contains("Content-Encoding"));
    }
}

#[test]
fn an_unchanged_batch_is_304_though_time_goes_on() {
    let host = open_host();
    let mut alice = host.new_user("alice");
    show(&mut alice, "away", "Lunch");
    let target = format!("{SOME}?jid=alice@localhost&jid=nobody@localhost");
    let first = host.http().get(&target);
    let etag = first.header("etag").expect("a tag").to_owned();
    let ask_if = || host.http().request("GET", &target, &[("If-None-Match", &etag)]);
    assert_eq!((ask_if().status, ask_if().body.len()), (304, 0));
    show(&mut alice, "dnd", "Lunch");
    assert_eq!(ask_if().status, 200);
    let head = host.http().request("HEAD", &target, &[]);
    assert_eq!((head.status, head.body.len()), (200, 0));
}

/// What is by far too long is refused before it is read, or as soon as it shows, and as everything else below v1.
#[test]
fn a_body_beyond_any_measure_is_refused_unread() {
    let host = open_host();
    let head = format!("POST {MANY} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n");
    let announced = format!("{head}Content-Length: {}\r\n\r\n", 1u64 << 40);
    let endless = format!("{head}Transfer-Encoding: chunked\r\n\r\n100000\r\n{}\r\n9", "x".repeat(1 << 20));
    for request in [announced, endless] {
        let answer = exchange(host.process().ready().http, request).expect("an answer");
        let too_long = problem(&answer, 413);
        assert_eq!((&too_long["limit"], &too_long["parameter"]), (&json!(524_288), &json!("body")));
        assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    }
}

/// Where no body is asked for its length tells nothing.
#[test]
fn a_body_that_nobody_asked_for_does_not_matter() {
    let host = open_host();
    let answer = |request: &str| {
        let head = format!("{request} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", 1 << 30);
        exchange(host.process().ready().http, head).expect("an answer")
    };
    assert_eq!(users(&answer(&format!("GET {SOME}?jid=alice@localhost"))).len(), 1);
    problem(&answer("POST /plugins/presence/v1/nothing"), 404);
    problem(&answer("PUT /plugins/presence/v1/users/alice@localhost"), 405);
}

/// What the page in the browser gets of the service: the status and the object, or 0 and the kind of the error.
fn fetch(browser: &mut Browser, service: &str, target: &str, options: &Value) -> Value {
    let fetch = format!("fetch({}, {options})", json!(format!("{service}{target}")));
    browser.value(&format!(
        "{fetch}.then(async (reply) => [reply.status, await reply.json()], (error) => [0, error.name])"
    ))
}

/// The same in a real browser, which asks first.
#[test]
fn a_page_of_another_origin_sends_json() {
    let host = open_host();
    let Some(mut browser) = Browser::start() else { return without_browser("a fetch from another origin") };
    let mut alice = host.new_user("alice");
    show(&mut alice, "away", "Lunch");
    let service = format!("http://{}", host.process().ready().http);
    let page = serve_page("", &format!("default-src 'none'; connect-src {service}"));
    browser.open(&format!("http://{page}/"));
    let mut fetched = |target: &str, options: &Value| fetch(&mut browser, &service, target, options);
    let post = |body: Value| json!({"method": "POST", "headers": {"Content-Type": "application/json"}, "body": body.to_string()});
    let answered = fetched(MANY, &post(json!({"jids": ["alice@localhost", "nobody@localhost"]})));
    assert_eq!((&answered[0], &answered[1]["users"][0]["status"]), (&json!(200), &json!("Lunch")), "{answered}");
    let refused = fetched(MANY, &post(json!({"jids": vec!["alice@localhost"; 501]})));
    assert_eq!((&refused[0], &refused[1]["limit"]), (&json!(413), &json!(500)), "{refused}");
    let unknown = fetched("/plugins/presence/v1/nothing", &json!({"method": "POST", "body": "x"}));
    assert_eq!((&unknown[0], &unknown[1]["title"]), (&json!(404), &json!("Not Found")), "{unknown}");
    let user = format!("{service}/plugins/presence/v1/users/alice@localhost");
    let ask_again = format!(
        "fetch('{user}').then((reply) => reply.headers.get('etag')).then((tag) => fetch('{user}', \
         {{cache: 'no-store', headers: {{'If-None-Match': tag}}}})).then((reply) => [reply.status, reply.headers.get('etag')])"
    );
    let again = browser.value(&format!("{ask_again}.catch((error) => [0, error.name])"));
    assert!(again[0] == 304 && again[1].as_str().is_some_and(|tag| tag.starts_with("\"j")), "{again}");
    let mut fetched = |target: &str, options: &Value| fetch(&mut browser, &service, target, options);
    let private = [
        fetched(MANY, &post(json!({"jids": ["alice@localhost"], "req_jid": "bob@localhost"}))),
        fetched("/plugins/presence/v1/users/alice@localhost", &json!({"headers": {"Authorization": "Bearer x"}})),
        fetched("/plugins/presence/v1/users/alice@localhost?token=x", &json!({})),
    ];
    assert!(private.iter().all(|answer| *answer == json!([0, "TypeError"])), "what depends on who asks: {private:?}");
}

/// A page of another origin may ask, as far as the answer is the same for everybody (row H11).
#[test]
fn other_origins_may_send_json() {
    let host = open_host();
    let fields = [
        ("Origin", "https://page.example"),
        ("Access-Control-Request-Method", "POST"),
        ("Access-Control-Request-Headers", "content-type"),
    ];
    let preflight = host.http().request("OPTIONS", MANY, &fields);
    assert_eq!((preflight.status, preflight.header("access-control-allow-origin")), (204, Some("*")), "{preflight:?}");
    assert_eq!(preflight.header("access-control-allow-methods"), Some("POST, OPTIONS"));
    assert_eq!(preflight.header("access-control-allow-headers"), Some("If-None-Match, Last-Event-ID, Content-Type"));
    let answer = post(&host, &json!({"jids": ["alice@localhost"]}));
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    let private = post(&host, &json!({"jids": ["alice@localhost"], "req_jid": "bob@localhost"}));
    assert_eq!(private.header("access-control-allow-origin"), None);
}
