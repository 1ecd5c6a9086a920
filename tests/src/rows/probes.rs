//! The presence of components, which the service asks for: a component that never answers, and answers that nobody asked for.

use std::{
    thread,
    time::{Duration, Instant},
};

use super::{Extent, Report};
use crate::{
    artefacts::artefacts,
    host::{DOMAIN, Host},
    http::load::{Load, Tally},
    xmpp::{Component, Session},
};

const SECRET: &str = "sesame";
/// How long a component has to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// The most requests that wait for components.
const MOST_WAITING: u64 = 100;

/// A host with the service and these components, and alice, who is away.
fn start(components: &[&str]) -> (Host, Session, Vec<Component>) {
    let mut host = Host::prepare();
    host.allow_components(components, SECRET);
    host.drop_plugin(&artefacts().presence, "presence.so");
    host.run();
    for (setting, value) in [("presence.visibility", "anyone"), ("presence.rate", "0")] {
        host.set(setting, value);
    }
    let mut alice = host.new_user("alice");
    alice.available("away", "Lunch").expect("alice is there");
    alice.settle().expect("alice is there");
    let components = components.iter().map(|domain| host.component(domain, SECRET)).collect();
    (host, alice, components)
}

fn status(about: &str) -> String {
    format!("/plugins/presence/status?type=text&jid={about}")
}

/// H26: many who ask for a component that never answers. They hold no worker, few of them wait, and others wait no longer for it.
pub fn mute(extent: Extent) -> Report {
    let (host, _alice, mut components) = start(&["mute.localhost"]);
    let requests = extent.of(1_500, 10_000);
    let (usual, _, _) = ask_beside(&host, &format!("nobody@{DOMAIN}"), requests);
    let (delayed, crowd, took) = ask_beside(&host, "mute.localhost", requests);
    let probes = probes_of(&mut components[0]);
    let slow: u64 = crowd.delays.range(PATIENCE.as_millis() as u64 * 10 - 1..).map(|(_, count)| count).sum();
    assert_eq!((usual.failures(), delayed.failures(), crowd.failures()), (0, 0, 0), "{delayed}; {crowd}");
    assert!(crowd.bodies.keys().eq([b"Unavailable\n"]), "{crowd:?}");
    let most = took.as_secs() / PATIENCE.as_secs() + 1;
    assert!((1..=most).contains(&probes), "{probes} probes in {took:?}");
    assert!((1..=MOST_WAITING * probes).contains(&slow), "{slow} waited for {probes} probes");
    let [before, after] = [&usual, &delayed].map(|tally| tally.delay(0.99));
    assert!(!extent.is_long() || after <= 2 * before, "others: p99 {before:?}, beside them {after:?}");
    Report::new(format!("{} requests for a component that is mute, {slow} waited, {probes} probes", crowd.requests()))
        .note(format!("others: p99 {before:?} beside as many for nobody, {after:?} beside these"))
}

/// Asks for alice now and then while a crowd asks so many times for somebody else. Returns what both saw, and how long it took.
fn ask_beside(host: &Host, about: &str, requests: u64) -> (Tally, Tally, Duration) {
    let address = host.process().ready().http;
    let started = Instant::now();
    let crowd = Load::start(address, &status(about), 128, Duration::from_millis(100));
    let others = Load::start(address, &status(&format!("alice@{DOMAIN}")), 4, Duration::from_millis(10));
    while crowd.answered() < requests {
        thread::sleep(Duration::from_millis(20));
    }
    let (others, crowd) = (others.stop(), crowd.stop());
    (others, crowd, started.elapsed())
}

fn probes_of(component: &mut Component) -> u64 {
    let mut probes = 0;
    while let Some(stanza) = component.next_within(Duration::from_millis(100)).expect("it is connected") {
        probes += u64::from(stanza.attr("type") == Some("probe"));
    }
    probes
}

/// X14: presence that others send to the service, in whatever name is theirs, is nobody else's; nor does it come in time for a later question.
pub fn forged(extent: Extent) -> Report {
    let (host, mut alice, mut components) = start(&["echo.localhost", "eve.localhost"]);
    let (mut eve, mut echo) = (components.remove(1), components.remove(0));
    let rounds = extent.of(10, 300);
    for round in 0..rounds {
        let answer = thread::scope(|scope| {
            let asked = scope.spawn(|| host.http().get(&status("echo.localhost")));
            let probe = echo.expect_presence("probe").expect("it is asked");
            assert_eq!(probe.attr("from"), Some("presence.localhost"));
            let forged = "<show>dnd</show><status>forged</status></presence>";
            for from in ["eve.localhost", "echo.localhost@eve.localhost", "echo@eve.localhost/echo.localhost"] {
                eve.send(&format!("<presence from='{from}' to='presence.localhost'>{forged}")).expect("eve may");
            }
            echo.send(&format!("<presence from='x@echo.localhost' to='presence.localhost'>{forged}")).expect("it may");
            alice.send(&format!("<presence to='presence.localhost'>{forged}")).expect("alice may");
            eve.settle(DOMAIN).and_then(|()| alice.settle()).expect("the host has them all");
            let true_answer = format!("<status>true {round}</status></presence>");
            echo.send(&format!("<presence from='echo.localhost' to='presence.localhost'>{true_answer}"))
                .expect("it may");
            // Too late for this question, too early for the next one.
            let id = probe.attr("id").expect("an id to answer by");
            echo.send(&format!("<presence id='{id}' from='echo.localhost' to='presence.localhost'>{forged}"))
                .expect("it may");
            echo.settle(DOMAIN).expect("the host has them all");
            asked.join().expect("it is answered")
        });
        assert_eq!(answer.text(), format!("true {round}\n"));
        assert_eq!(host.http().get(&status(&format!("alice@{DOMAIN}"))).text(), "Lunch\n");
    }
    Report::new(format!("{rounds} questions, 6 forged answers each: none was shown"))
}
