//! A host under a steady load, with somebody logged in, counted before and after.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use super::report::Report;
use crate::{
    drop_style::DropStyle,
    host::{Census, Host, PATIENCE},
    http::load::{Load, Tally},
    plugin_file::PluginFile,
    wait, xmpp,
};

/// Where the fixture `hello` says which build it is.
pub const HELLO: &str = "/plugins/hello/version";
/// How many visitors there are.
const VISITORS: usize = 32;
/// How long each of them rests between two requests.
const REST: Duration = Duration::from_millis(20);

/// The build of the fixture `hello` with this number: each differs from all others. There is room for 46,656.
pub fn version(number: usize) -> String {
    let digit = |value: usize| char::from_digit((value % 36) as u32, 36).expect("the value is a digit");
    format!("{}.{}.{}", digit(number / 1_296), digit(number / 36), digit(number))
}

/// A running host with the first build of `hello` in its drop folder.
pub fn host_with_hello() -> Host {
    let mut host = Host::prepare();
    PluginFile::hello(&version(0)).write(&host.plugins(), "hello.so");
    host.run();
    host
}

/// The names in a folder.
#[track_caller]
pub fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let name = |entry: io::Result<fs::DirEntry>| entry.expect("the folder can be read").file_name();
    entries.map(|entry| name(entry).to_string_lossy().into_owned()).collect()
}

/// The names of the copies that a host keeps.
#[track_caller]
pub fn copies(host: &Host) -> Vec<String> {
    names(&host.visible(&host.state()).join("staging"))
}

/// A host that is being used while something happens to it.
pub struct Watched {
    /// The host.
    pub host: Host,
    user: xmpp::Session,
    load: Load,
    process: u32,
    /// What the host took when it began to be used.
    pub before: Census,
}

impl Watched {
    /// Begins to use a host: a user logs in, visitors ask for `target`.
    #[track_caller]
    pub fn new(host: Host, target: &str) -> Watched {
        let user = host.new_user("idle");
        let load = Load::start(host.process().ready().http, target, VISITORS, REST);
        wait::until(PATIENCE, "visitors are served", || (load.answered() > 10 * VISITORS as u64).then_some(()));
        let (process, before) = (host.process().id(), host.process().census());
        Watched { host, user, load, process, before }
    }

    /// A used host with the first build of `hello`, which visitors ask for.
    #[track_caller]
    pub fn with_hello() -> Watched {
        Watched::new(host_with_hello(), HELLO)
    }

    /// Writes a build of `hello` to a file beside the drop folder.
    #[track_caller]
    pub fn build(&self, number: usize) -> PathBuf {
        PluginFile::hello(&version(number)).write(self.host.folder(), "build.so")
    }

    /// Where `hello` lies in the drop folder.
    pub fn target(&self) -> PathBuf {
        self.host.plugins().join("hello.so")
    }

    /// Puts a build of `hello` into the drop folder and waits until it serves. Returns how long that took, from the
    /// moment when the file was whole.
    #[track_caller]
    pub fn upgrade(&self, number: usize, style: DropStyle) -> Duration {
        let file = self.build(number);
        style.drop(&file, &self.target());
        self.until_build(number)
    }

    /// Waits until a build of `hello` serves, and returns how long that took.
    #[track_caller]
    pub fn until_build(&self, number: usize) -> Duration {
        let started = Instant::now();
        let body = format!("this is build {}\n", version(number));
        wait::until(PATIENCE, &body, || (self.host.http().get(HELLO).body == body.as_bytes()).then_some(()));
        started.elapsed()
    }

    /// Puts a bad file in the place of `hello`, and returns the line of the log that refuses it with these words.
    #[track_caller]
    pub fn refuses(&self, bad: &PluginFile, words: &str) -> String {
        self.refuses_at(&self.target(), bad, words)
    }

    /// The same of another place in the drop folder.
    #[track_caller]
    pub fn refuses_at(&self, target: &Path, bad: &PluginFile, words: &str) -> String {
        let (mark, about) = (self.host.process().log_mark(), bad.about());
        DropStyle::Copy.drop(&bad.write(self.host.folder(), "bad.so"), target);
        let refused = |line: &str| line.contains(&about) && line.contains(" -> REFUSED ") && line.contains(words);
        self.host.process().until_logged(mark, PATIENCE, refused)
    }

    /// How many versions of a plugin came into service so far, by the log.
    pub fn loads(&self, id: &str) -> usize {
        let (subject, active) = (format!(" plugin {id} "), " -> ACTIVE ");
        let log = self.host.process().log();
        log.lines().filter(|line| line.contains(&subject) && line.contains(active)).count()
    }

    /// Ends the use, and panics if anybody noticed anything.
    #[track_caller]
    pub fn end(self, done: impl Into<String>) -> Report {
        self.end_with_tally(done).0
    }

    /// As [`end`](Watched::end), with what visitors saw.
    #[track_caller]
    pub fn end_with_tally(self, done: impl Into<String>) -> (Report, Tally) {
        let (report, tally, _) = self.end_with_all(done);
        (report, tally)
    }

    /// As [`end`](Watched::end), with the host, which goes on.
    #[track_caller]
    pub fn end_and_go_on(self, done: impl Into<String>) -> (Report, Host) {
        let (report, _, host) = self.end_with_all(done);
        (report, host)
    }

    #[track_caller]
    fn end_with_all(mut self, done: impl Into<String>) -> (Report, Tally, Host) {
        let after = self.host.process().census();
        let tally = self.load.stop();
        assert_eq!(tally.failures(), 0, "{tally}");
        assert_eq!(self.host.process().id(), self.process);
        let asked = Instant::now();
        self.user.settle().expect("the session lives on");
        assert!(asked.elapsed() < PATIENCE, "a ping took {:?}", asked.elapsed());
        (Report::new(done).requests(&tally).census(self.before, after), tally, self.host)
    }
}
