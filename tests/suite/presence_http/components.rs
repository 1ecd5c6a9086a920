//! Components: "May be a component of this server: its presence is probed", and the row "component probe".

use std::{
    cell::RefCell,
    fs, thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tests::{
    artefacts::artefacts,
    host::{self, Host},
    http::{Answer, encode, events::EventSource},
    plugin_file::PluginFile,
    wait,
    xmpp::Component,
};

use super::{STATUS, ask, show};

const ECHO: &str = "echo.localhost";
const SECRET: &str = "sesame";
/// A component that has five seconds is heard out, and hardly longer.
const PATIENCE: Duration = Duration::from_secs(5);
/// One that is watched is asked so often.
const BEAT: Duration = Duration::from_secs(20);

fn start() -> (Host, Component) {
    let mut host = Host::prepare();
    host.allow_components(&[ECHO], SECRET);
    host.drop_plugin(&artefacts().presence, "presence.so");
    host.run();
    let echo = host.component(ECHO, SECRET);
    (host, echo)
}

/// What is answered to this query when the component answers its probe with this content, in a `<presence/>` of this type.
#[track_caller]
fn answered(host: &Host, echo: &mut Component, query: &str, said: (&str, &str)) -> String {
    let answer = when_it_says(echo, said, || ask(host, query));
    assert_eq!(answer.status, 200, "{answer:?}");
    String::from_utf8_lossy(&answer.body).into_owned()
}

/// What somebody is answered when the component answers its probe so.
#[track_caller]
fn when_it_says(echo: &mut Component, said: (&str, &str), asking: impl FnOnce() -> Answer + Send) -> Answer {
    thread::scope(|scope| {
        let asked = scope.spawn(asking);
        say(echo, said);
        asked.join().unwrap()
    })
}

/// Has the component answer its next probe with this content, in a `<presence/>` of this type.
#[track_caller]
fn say(echo: &mut Component, (kind, content): (&str, &str)) {
    let probe = echo.next_within(BEAT + host::PATIENCE).unwrap().expect("it is asked");
    let attributes = ["type", "from", "to"].map(|name| probe.attr(name));
    assert_eq!(attributes, [Some("probe"), Some("presence.localhost"), Some(ECHO)]);
    let kind = if kind.is_empty() { String::new() } else { format!("type='{kind}'") };
    echo.send(&format!("<presence from='{ECHO}' to='presence.localhost' {kind}>{content}</presence>")).unwrap();
}

const AWAY: (&str, &str) =
    ("", "<show>away</show><status>Lunch &amp; &lt;tea&gt;</status><priority>5</priority><x xmlns='caps'/>");

/// Under the default, `subscribed`, where no user is shown to strangers.
#[test]
fn a_component_is_shown_in_every_type_whatever_the_visibility() {
    let (host, mut echo) = start();
    let mut shown = |query: &str, said| answered(&host, &mut echo, query, said);
    assert_eq!(shown("type=text&jid=echo.localhost", AWAY), "Lunch & <tea>\n");
    let xml = "<presence from=\"echo.localhost\"><show>away</show><status>Lunch &amp; &lt;tea&gt;</status><priority>5</priority></presence>\n";
    assert_eq!(shown("type=xml&jid=ECHO.localhost/resource", AWAY), xml);
    let json = shown("type=json&jid=echo.localhost&req_jid=bob@else.where", AWAY);
    assert!(json.contains(r#""jid":"echo.localhost""#) && json.contains(r#""state":"away""#), "{json}");
    assert!(shown("type=svg&jid=echo.localhost", AWAY).contains("<svg"));
    let gif = shown("jid=echo.localhost", AWAY);
    assert!(gif.starts_with("GIF8"), "{gif:.20}");
    assert_eq!(shown("type=text&jid=echo.localhost", ("", "")), "Available\n");
}

#[test]
fn a_form_and_a_redirection_are_answered_when_the_component_has() {
    let (host, mut echo) = start();
    let answer = thread::scope(|scope| {
        let form = "jid=echo.localhost&away=http://icons.example/away.png";
        let asked = scope.spawn(|| host.http().post(STATUS, form));
        echo.expect_presence("probe").unwrap();
        echo.send(&format!("<presence from='{ECHO}' to='presence.localhost'><show>away</show></presence>")).unwrap();
        asked.join().unwrap()
    });
    assert_eq!((answer.status, answer.header("location")), (302, Some("http://icons.example/away.png")));
}

#[test]
fn who_is_unavailable_is_offline_and_an_error_shows_nothing() {
    let (host, mut echo) = start();
    let mut shown = |query: &str, said| answered(&host, &mut echo, query, said);
    assert_eq!(shown("type=text&jid=echo.localhost", ("unavailable", "<status>Gone</status>")), "Gone\n");
    let forbidden = "<presence type=\"error\" from=\"echo.localhost\"><error code=\"403\" type=\"auth\">\
                     <forbidden xmlns=\"urn:ietf:params:xml:ns:xmpp-stanzas\"/></error></presence>\n";
    let error = (
        "error",
        "<status>secret</status><error type='cancel'><gone xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>",
    );
    assert_eq!(shown("type=xml&jid=echo.localhost", error), forbidden);
}

/// A domain that is the server's own, or that nobody here answers for: at once, and alike.
#[test]
fn what_is_no_component_here_is_not_waited_for() {
    let (host, echo) = start();
    drop(echo);
    let started = Instant::now();
    for domain in ["localhost", "example.com", "nobody.localhost", "hello.localhost"] {
        assert_eq!(ask(&host, &format!("type=text&jid={domain}")).text(), "Unavailable\n", "{domain}");
        let json = ask(&host, &format!("type=json&jid={domain}")).text().to_owned();
        assert!(json.contains(r#""state":"forbidden","available":false"#), "{json}");
    }
    assert!(started.elapsed() < PATIENCE, "they were waited for: {:?}", started.elapsed());
}

#[test]
fn who_waits_for_a_component_that_goes_is_answered_at_once() {
    let (host, mut echo) = start();
    let gone = thread::scope(|scope| {
        let asked = scope.spawn(|| (ask(&host, "type=json&jid=echo.localhost"), Instant::now()));
        echo.expect_presence("probe").unwrap();
        let gone = Instant::now();
        drop(echo);
        let (answer, answered) = asked.join().unwrap();
        assert!(answer.text().contains(r#""state":"forbidden""#), "{answer:?}");
        answered - gone
    });
    assert!(gone < PATIENCE / 2, "{gone:?}");
    let mut echo = host.component(ECHO, SECRET);
    assert_eq!(answered(&host, &mut echo, "type=text&jid=echo.localhost", ("", "<status>Back</status>")), "Back\n");
}

/// The domain of a component is one domain, in the form of the wire and in that of the DNS (RFC 7622 section 3.2).
#[test]
fn a_component_is_the_same_in_both_forms_of_its_domain() {
    let mut host = Host::prepare();
    let [office, cafe] = [("büro.localhost", "xn--bro-hoa.localhost"), ("café.localhost", "xn--caf-dma.localhost")];
    host.allow_components(&[office.1, cafe.0], SECRET);
    host.drop_plugin(&artefacts().presence, "presence.so");
    host.run();
    for (name, own, asked) in [(office.0, office.0, office.1), (cafe.0, cafe.1, cafe.0)] {
        let mut component = host.component(own, SECRET);
        thread::scope(|scope| {
            let answer = scope.spawn(|| ask(&host, &format!("type=text&jid={}", encode(asked))));
            let probe = component.expect_presence("probe").unwrap();
            assert_eq!(probe.attr("to"), Some(name));
            component
                .send(&format!("<presence from='{own}' to='presence.localhost'><status>open</status></presence>"))
                .unwrap();
            assert_eq!(answer.join().unwrap().text(), "open\n");
        });
    }
}

/// A server answers a probe for each of its resources (RFC 6121 section 4.3.2), and so may a component.
#[test]
fn a_resource_of_a_component_speaks_for_it_and_a_user_of_it_does_not() {
    let (host, mut echo) = start();
    thread::scope(|scope| {
        let asked = scope.spawn(|| ask(&host, "type=text&jid=echo.localhost"));
        echo.expect_presence("probe").unwrap();
        for (from, status) in [("user@echo.localhost/res", "of a user"), ("echo.localhost/res", "of a resource")] {
            echo.send(&format!("<presence from='{from}' to='presence.localhost'><status>{status}</status></presence>"))
                .unwrap();
        }
        assert_eq!(asked.join().unwrap().text(), "of a resource\n");
    });
}

#[test]
fn who_asks_meanwhile_waits_for_the_same_probe() {
    const ASKED: usize = 20;
    let (host, mut echo) = start();
    thread::scope(|scope| {
        let asked: Vec<_> = (0..ASKED).map(|_| scope.spawn(|| ask(&host, "type=text&jid=echo.localhost"))).collect();
        echo.expect_presence("probe").unwrap();
        let all = format!("host_demo_http_requests_in_flight{{plugin=\"presence\"}} {ASKED}\n");
        wait::until(PATIENCE, "all wait", || host.console().get("/metrics").text().contains(&all).then_some(()));
        echo.send(&format!("<presence from='{ECHO}' to='presence.localhost'><status>Once</status></presence>"))
            .unwrap();
        for asked in asked {
            assert_eq!(asked.join().unwrap().text(), "Once\n");
        }
    });
    echo.settle("localhost").unwrap();
    assert_eq!(echo.next_within(Duration::from_millis(200)).unwrap(), None, "it was asked twice");
}

#[test]
fn a_component_that_is_mute_is_given_up_and_its_late_answer_dropped() {
    let (host, mut echo) = start();
    let started = Instant::now();
    assert_eq!(refusal(&host, "echo.localhost"), refusal(&host, "nobody@localhost"));
    let took = started.elapsed();
    assert!((PATIENCE..2 * PATIENCE).contains(&took), "given up after {took:?}");
    let probe = echo.expect_presence("probe").unwrap();
    let id = probe.attr("id").expect("an id to answer by");
    // It may well come when the next question is under way.
    let late = format!("<presence from='{ECHO}' to='presence.localhost' id='{id}'><status>Late</status></presence>");
    echo.send(&late).unwrap();
    echo.settle("localhost").unwrap();
    assert_eq!(answered(&host, &mut echo, "type=text&jid=echo.localhost", ("", "<status>Now</status>")), "Now\n");
}

/// What is answered about `jid`, in all types at once, without its name.
fn refusal(host: &Host, jid: &str) -> Vec<Answer> {
    let ask = |kind: &str| {
        let mut answer = ask(host, &format!("type={kind}&jid={jid}")).comparable();
        if ["xml", "json"].contains(&kind) {
            answer.body = answer.text().replace(jid, "JID").into_bytes();
            answer.headers.retain(|(name, _)| name != "etag" && name != "content-length");
        }
        answer
    };
    thread::scope(|scope| {
        let asked = ["image", "svg", "text", "xml", "json"].map(|kind| scope.spawn(move || ask(kind)));
        asked.into_iter().map(|asked| asked.join().unwrap()).collect()
    })
}

/// RFC 6120 section 8.1.3 has an answer name what it answers, and hardly any does.
#[test]
fn a_late_answer_without_an_id_is_the_latest_that_is_known() {
    let (host, mut echo) = start();
    let query = "type=text&jid=echo.localhost";
    assert_eq!(ask(&host, query).text(), "Unavailable\n");
    echo.expect_presence("probe").unwrap();
    assert_eq!(answered(&host, &mut echo, query, ("", "<status>Late</status>")), "Late\n");
    // The answer proper comes when nobody waits for it any more.
    echo.send(&format!("<presence from='{ECHO}' to='presence.localhost'><status>In time</status></presence>")).unwrap();
    echo.settle("localhost").unwrap();
    assert_eq!(answered(&host, &mut echo, query, ("", "<status>Now</status>")), "Now\n");
}

/// Begins to ask, has `change` made while the component has not answered yet, and returns what is answered when it has. `None`: the change took too
/// long for that.
#[track_caller]
fn answered_behind(host: &Host, echo: &mut Component, change: impl FnOnce()) -> Option<String> {
    let started = Instant::now();
    thread::scope(|scope| {
        let asked = scope.spawn(|| ask(host, "type=text&jid=echo.localhost"));
        echo.expect_presence("probe").unwrap();
        change();
        echo.send(&format!("<presence from='{ECHO}' to='presence.localhost'><status>Here</status></presence>"))
            .unwrap();
        echo.settle("localhost").unwrap();
        let in_time = started.elapsed() < PATIENCE;
        let answer = asked.join().unwrap();
        in_time.then(|| answer.text().to_owned())
    })
}

/// The address is another version's when the answer comes, or nobody's. On a machine that is slow for a moment, all of it once more.
#[test]
fn who_has_asked_is_answered_though_the_plugin_is_replaced_or_removed() {
    const TRIES: usize = 5;
    let (host, mut echo) = start();
    let versions = RefCell::new((1..).map(|number| format!("0.{}.{}", number / 10, number % 10)));
    let upgrade = || {
        let version = versions.borrow_mut().next().unwrap();
        PluginFile::read(&artefacts().presence).with_version(&version).write(&host.plugins(), "presence.so");
        host.until_version("presence", &version);
    };
    let replaced = (0..TRIES).find_map(|_| answered_behind(&host, &mut echo, upgrade));
    assert_eq!(replaced.as_deref(), Some("Here\n"));
    let twice = || {
        upgrade();
        upgrade();
    };
    let replaced = (0..TRIES).find_map(|_| answered_behind(&host, &mut echo, twice));
    assert_eq!(replaced.as_deref(), Some("Here\n"), "the one before the last has not ended");
    let remove = || {
        fs::remove_file(host.plugins().join("presence.so")).unwrap();
        wait::until(PATIENCE, "the service is gone", || (host.http().get(STATUS).status == 404).then_some(()));
    };
    let removed = (0..TRIES).find_map(|_| {
        upgrade();
        answered_behind(&host, &mut echo, remove)
    });
    assert_eq!(removed.as_deref(), Some("Here\n"));
}

/// A plugin is a component like any other, the service itself among them.
#[test]
fn a_plugin_is_asked_too() {
    let (host, _echo) = start();
    assert_eq!(ask(&host, "type=text&jid=presence.localhost").text(), "Write \"help\" to me.\n");
}

#[test]
fn a_component_is_shown_in_every_form_of_v1() {
    let (host, mut echo) = start();
    let mut get = |rest: &str| {
        let target = format!("/plugins/presence/v1/users/{rest}");
        let answer = when_it_says(&mut echo, AWAY, || host.http().get(&target));
        assert_eq!(answer.status, 200, "{rest}: {answer:?}");
        answer
    };
    for (rest, kind, word) in [
        ("echo.localhost", "application/json", "\"state\":\"away\""),
        ("ECHO.localhost%2Fdesk.json", "application/json", "\"jid\":\"echo.localhost\""),
        ("echo.localhost.xml", "text/xml; charset=utf-8", "<show>away</show>"),
        ("echo.localhost.txt", "text/plain; charset=utf-8", "Lunch & <tea>"),
        ("echo.localhost.svg", "image/svg+xml", "aria-label=\"away"),
        ("echo.localhost/icon.svg?size=48&theme=dark", "image/svg+xml", "width=\"48\""),
        ("echo.localhost/icon.png", "image/png", "PNG"),
        ("echo.localhost/icon.gif", "image/gif", "GIF8"),
        ("echo.localhost/badge.svg?label=Echo", "image/svg+xml", "Echo"),
        ("echo.localhost/badge.json", "application/json", "\"message\":\"away\""),
    ] {
        let answer = get(rest);
        assert_eq!(answer.header("content-type"), Some(kind), "{rest}");
        assert!(String::from_utf8_lossy(&answer.body).contains(word), "{rest}: {answer:?}");
        assert_eq!(answer.header("vary").is_some(), rest == "echo.localhost", "{rest}: {answer:?}");
    }
    let (etag, target) = (get("echo.localhost.json"), "/plugins/presence/v1/users/echo.localhost.json");
    let held = [("If-None-Match", etag.header("etag").expect("a tag"))];
    let again = when_it_says(&mut echo, AWAY, || host.http().request("GET", target, &held));
    assert_eq!(again.status, 304, "nothing has changed: {again:?}");
    for (rest, status) in [("echo.localhost/icon.png?size=7", 400), ("echo.localhost/icon.bmp", 404)] {
        assert_eq!(host.http().get(&format!("/plugins/presence/v1/users/{rest}")).status, status, "it is not asked");
    }
}

#[test]
fn a_batch_waits_for_its_components_and_asks_each_once() {
    let (host, mut echo) = start();
    let mut alice = host.new_user("alice");
    show(&mut alice, "dnd", "");
    host.set("presence.visibility", "anyone");
    let jids = ["alice@localhost", "echo.localhost", "nobody.localhost", "ECHO.localhost/desk", "localhost"];
    let states = |answer: Answer| -> Vec<Value> {
        assert_eq!(answer.status, 200, "{answer:?}");
        let object: Value = serde_json::from_str(answer.text()).expect("JSON");
        object["users"].as_array().expect("a list").iter().map(|user| user["state"].clone()).collect()
    };
    let by_get = format!("/plugins/presence/v1/presence?jid={}", jids.join("&jid="));
    let got = when_it_says(&mut echo, AWAY, || host.http().get(&by_get));
    assert_eq!(states(got), ["dnd", "away", "forbidden", "away", "forbidden"]);
    let (by_post, fields) = ("/plugins/presence/v1/presence/query", [("Content-Type", "application/json")]);
    let body = json!({ "jids": jids }).to_string();
    let posted = when_it_says(&mut echo, ("unavailable", ""), || host.http().send("POST", by_post, &fields, &body));
    assert_eq!(states(posted), ["dnd", "offline", "forbidden", "offline", "forbidden"]);
    echo.settle("localhost").unwrap();
    assert_eq!(echo.next_within(Duration::from_millis(200)).unwrap(), None, "it was asked twice");

    let started = Instant::now();
    assert_eq!(states(host.http().get(&by_get)), ["dnd", "forbidden", "forbidden", "forbidden", "forbidden"]);
    assert!((PATIENCE..2 * PATIENCE).contains(&started.elapsed()), "a mute one costs {:?}", started.elapsed());
}

/// There is no subscription to a component: it is asked, once for all who watch, when somebody comes and at each beat.
#[test]
fn a_stream_tells_what_a_component_answers() {
    let (host, mut echo) = start();
    let mut alice = host.new_user("alice");
    show(&mut alice, "dnd", "");
    host.set("presence.visibility", "anyone");
    let open = |query: &str| {
        let target = format!("/plugins/presence/v1/{query}");
        EventSource::open(host.process().ready().http, &target, "", BEAT + host::PATIENCE)
    };
    let mut stream = open("events?jid=echo.localhost&jid=alice@localhost");
    assert_eq!(stream.event().object()["jid"], "alice@localhost", "it waits for nobody");
    say(&mut echo, AWAY);
    let event = stream.event().object();
    assert_eq!((&event["jid"], &event["state"]), (&json!(ECHO), &json!("away")), "{event}");

    let mut another = open("users/echo.localhost/events");
    assert_eq!(another.state(), "away", "it was heard before");
    say(&mut echo, ("", "<show>chat</show>"));
    assert_eq!([stream.state(), another.state()], ["chat", "chat"]);

    let begun = Instant::now();
    say(&mut echo, ("unavailable", ""));
    assert_eq!([stream.state(), another.state()], ["offline", "offline"]);
    assert!(begun.elapsed() < BEAT + PATIENCE, "{:?}", begun.elapsed());
    drop((stream, another));
    assert_eq!(echo.next_within(BEAT + PATIENCE).unwrap(), None, "nobody watches any more");
}

#[test]
fn a_long_poll_hears_of_a_component() {
    let (host, mut echo) = start();
    let target = "/plugins/presence/v1/users/echo.localhost.json";
    let first = when_it_says(&mut echo, AWAY, || host.http().get(target));
    let held = [("If-None-Match", first.header("etag").expect("a tag"))];
    let poll = |seconds: u32| host.patient_http().request("GET", &format!("{target}?wait={seconds}"), &held);
    let changed = thread::scope(|scope| {
        let asked = scope.spawn(|| poll(60));
        (0..2).for_each(|_| say(&mut echo, AWAY));
        assert!(!asked.is_finished(), "nothing has changed");
        say(&mut echo, ("", "<show>chat</show>"));
        asked.join().unwrap()
    });
    assert!(changed.status == 200 && changed.text().contains("chat"), "{changed:?}");
    // Once it says the same, then nothing: that it is mute is not known before its time is over.
    let unchanged = when_it_says(&mut echo, AWAY, || poll(1));
    assert_eq!(unchanged.status, 304, "{unchanged:?}");
}
