//! Trials on a machine that is too slow for a while: a time-out there says nothing of the plugin.

use std::{
    fs,
    io::{self, BufReader, ErrorKind, Read, Write},
    net::TcpStream,
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};

use tests::{
    artefacts::artefacts,
    host::{Host, PATIENCE},
    http::read_answer,
    plugin_file::PluginFile,
    wait,
};

const ONCE_MORE: &str = "made once more with nothing beside it";

/// Has every start of the fixture `starts_slowly` wait until the file is deleted.
fn busy(host: &Host) -> PathBuf {
    let busy = host.folder().join("busy");
    fs::write(&busy, "").unwrap();
    busy
}

/// A server that starts again is asked by those who poll it. They wait for its plugins, and are not told that there are none.
#[test]
fn whoever_asks_while_the_server_starts_waits_for_the_plugins() {
    let mut host = Host::prepare();
    host.drop_plugin(artefacts().fixture("hello"), "hello.so");
    host.drop_plugin(artefacts().fixture("starts_slowly"), "slow.so");
    let (busy, address) = (busy(&host), host.listen_for_http());
    let asking = thread::spawn(move || {
        let mut socket = wait::until(PATIENCE, "the host listens", || TcpStream::connect(address).ok());
        socket.write_all(b"GET /plugins/hello/version HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
        let early = socket.read(&mut [0; 1]).map_err(|error| error.kind());
        assert_eq!(early, Err(ErrorKind::WouldBlock), "an answer before the plugins are there");
        fs::remove_file(busy).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        read_answer(&mut BufReader::new(socket)).unwrap()
    });
    host.run();
    let answer = asking.join().unwrap();
    assert_eq!((answer.status, answer.text()), (200, "this is build 1.0.0\n"));
}

/// A process that does not outlive its test.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_server_that_is_stopped_while_it_starts_ends_in_order() {
    let mut host = Host::prepare();
    host.drop_plugin(artefacts().fixture("starts_slowly"), "slow.so");
    let (_busy, address) = (busy(&host), host.listen_for_http());
    let mut serve = Command::new(&artefacts().host);
    serve.args(["serve", "--xmpp=127.0.0.1:0", "--console=127.0.0.1:0"]).arg(format!("--http={address}"));
    serve.arg("--state").arg(host.state()).arg("--plugins").arg(host.plugins()).stderr(Stdio::piped());
    let mut serving = Killed(serve.spawn().unwrap());
    wait::until(PATIENCE, "the host listens", || TcpStream::connect(address).ok());
    kill_process(Pid::from_child(&serving.0), Signal::TERM).unwrap();
    let ended = wait::until(PATIENCE, "the host ends", || serving.0.try_wait().unwrap());
    let log = io::read_to_string(serving.0.stderr.take().unwrap()).unwrap();
    assert!(ended.success() && log.contains("] ended") && !log.contains("cut off"), "{ended}: {log}");
}

/// P23: what is on record as good is tried again, and never quarantined for its time.
#[test]
fn a_good_version_may_be_slow_once() {
    let mut host = Host::prepare();
    host.drop_plugin(artefacts().fixture("starts_slowly"), "slow.so");
    host.run();
    host.command(&["plugin", "disable", "starts-00"]).succeeds();
    let busy = busy(&host);
    let mark = host.process().log_mark();
    thread::scope(|scope| {
        let enabled = scope.spawn(|| host.command(&["plugin", "enable", "starts-00"]).succeeds());
        host.process().until_logged(mark, PATIENCE, |line| line.contains("starts-00") && line.contains(ONCE_MORE));
        fs::remove_file(busy).unwrap();
        enabled.join().unwrap();
    });
    host.until_version("starts-00", "1.0.0");
    assert!(!host.process().log().contains("REFUSED"), "{}", host.process().log());
}

/// P40: unknown contents too, where many were tried at once.
#[test]
fn trials_that_time_out_together_are_made_again_alone() {
    let host = Host::start();
    let processors = thread::available_parallelism().map_or(1, usize::from);
    let ids: Vec<_> = (1..=processors.min(16) + 2).map(|number| format!("starts-{number:02}")).collect();
    let (busy, mark) = (busy(&host), host.process().log_mark());
    let built = PluginFile::read(artefacts().fixture("starts_slowly"));
    for id in &ids {
        built.with_text("id=starts-00\n", &format!("id={id}\n")).write(&host.plugins(), &format!("{id}.so"));
    }
    host.process().until_logged(mark, PATIENCE, |line| line.contains(ONCE_MORE));
    fs::remove_file(busy).unwrap();
    for id in &ids {
        host.until_version(id, "1.0.0");
    }
}

/// A version that ran well and hangs from now on is tried less and less often, and keeps nobody else.
#[test]
fn a_good_version_that_goes_on_hanging_keeps_no_other_plugin() {
    let mut host = Host::prepare();
    host.drop_plugin(artefacts().fixture("starts_slowly"), "slow.so");
    host.run();
    host.command(&["plugin", "disable", "starts-00"]).succeeds();
    let (busy, mark) = (busy(&host), host.process().log_mark());
    let until = |mark, plugin: &str, words: &str| {
        let subject = format!("plugin {plugin} ");
        host.process().until_logged(mark, PATIENCE, |line| line.contains(&subject) && line.contains(words));
        host.process().log_mark()
    };
    thread::scope(|scope| {
        let enabled = scope.spawn(|| host.command(&["plugin", "enable", "starts-00"]));
        // Of the file in the folder, and from then on in the trial of the copy.
        let mark = until(mark, "starts-00", "it ran well before");
        PluginFile::hello("1.0.0").write(&host.plugins(), "hello.so");
        until(mark, "hello", "-> ACTIVE");
        until(mark, "starts-00", "it ran well before");
        let log = host.process().log();
        assert!(!log[mark..].contains(ONCE_MORE), "it had all the machine again: {log}");
        assert!(enabled.join().unwrap().fails(1).contains("it ran well before"));
    });
    fs::remove_file(busy).unwrap();
    host.until_version("starts-00", "1.0.0");
}

/// Whoever says `retry` while an older trial is under way is told of the new one.
#[test]
fn a_retry_during_a_trial_is_told_of_its_own() {
    let host = Host::start();
    let (busy, mark) = (busy(&host), host.process().log_mark());
    host.drop_plugin(artefacts().fixture("starts_slowly"), "slow.so");
    let until = |words: &str| host.process().until_logged(mark, PATIENCE, |line| line.contains(words));
    until("-> CHECKED");
    thread::scope(|scope| {
        let retried = scope.spawn(|| host.command(&["plugin", "retry", "starts-00"]));
        until("to be tried once more");
        fs::remove_file(busy).unwrap();
        retried.join().unwrap().succeeds();
    });
    host.until_version("starts-00", "1.0.0");
}
