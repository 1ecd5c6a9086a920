//! One run of `host-demo serve`.

use std::{
    io::{BufRead, BufReader, Read},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        mpsc::{self, RecvTimeoutError},
    },
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

use super::{
    PATIENCE,
    census::{self, Census},
};
use crate::{artefacts::artefacts, wait};

/// How long the host may take until it is ready. Generous: the machine may be full of tests that start theirs.
const START_LIMIT: Duration = Duration::from_secs(60);

/// What the host says on standard output once it serves.
#[derive(Clone, Copy, Debug)]
pub struct Ready {
    /// Where XMPP clients connect.
    pub xmpp: SocketAddr,
    /// The public HTTP listener.
    pub http: SocketAddr,
    /// The console.
    pub console: SocketAddr,
    /// Where components connect, if they may.
    pub component: Option<SocketAddr>,
}

/// A running host. Dropping it kills it.
pub struct Process {
    child: Child,
    ready: Ready,
    log: Log,
}

/// How a run is started, beside what every run needs.
#[derive(Default)]
pub(super) struct Manner {
    /// More flags of `serve`.
    pub(super) flags: Vec<String>,
    /// Where the host listens for HTTP, if that is not left to the system.
    pub(super) http: Option<SocketAddr>,
    /// More environment.
    pub(super) environment: Vec<(String, String)>,
    /// A program, and its first arguments, that becomes the host.
    pub(super) through: Vec<String>,
}

/// What the host wrote to standard error so far, and who waits for more.
#[derive(Clone, Default)]
struct Log(Arc<(Mutex<String>, Condvar)>);

impl Process {
    /// Starts the host, on ports of the system's choice unless `manner` has one, and waits for its `ready` line.
    #[track_caller]
    pub(super) fn start(state: &Path, plugins: &Path, manner: &Manner) -> Process {
        let mut child = manner
            .command(&artefacts().host)
            .arg("serve")
            .args(["--xmpp", "127.0.0.1:0", "--console", "127.0.0.1:0", "--http"])
            .arg(manner.http.map_or("127.0.0.1:0".into(), |address| address.to_string()))
            .arg("--state")
            .arg(state)
            .arg("--plugins")
            .arg(plugins)
            .args(&manner.flags)
            // Asked for by whoever looks at the tests: a plugin that panics would keep what it reads for a trace, 30 MB and more.
            .env_remove("RUST_BACKTRACE")
            .envs(manner.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the host starts");
        let log = Log::default();
        log.collect(child.stderr.take().expect("standard error is piped"));
        let ready = first_line(child.stdout.take().expect("standard output is piped"));
        match ready.as_deref().map(Ready::parse) {
            Ok(Some(ready)) => Process { child, ready, log },
            failure => {
                let _ = child.kill();
                let _ = child.wait();
                panic!("no ready line but {failure:?} ({ready:?}); the log:\n{}", log.text());
            }
        }
    }

    /// The addresses it listens on.
    pub fn ready(&self) -> Ready {
        self.ready
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Everything written to standard error so far.
    pub fn log(&self) -> String {
        self.log.text()
    }

    /// How long the log is at this moment: what comes later is behind this mark.
    pub fn log_mark(&self) -> usize {
        self.log.lock().len()
    }

    /// Waits until a line of the log behind the mark fits, and returns it.
    #[track_caller]
    pub fn until_logged(&self, mark: usize, limit: Duration, fits: impl Fn(&str) -> bool) -> String {
        self.log.until(mark, limit, fits).unwrap_or_else(|| panic!("the log does not say what it should in {limit:?}"))
    }

    /// What it takes of the system at this moment.
    pub fn census(&self) -> Census {
        Census::of(self.id())
    }

    /// The processor time that it has taken so far, to a hundredth of a second.
    pub fn processor_time(&self) -> Duration {
        census::processor_time(self.id())
    }

    /// The most memory that it has had in use at a time since [`forget_peak`](Process::forget_peak).
    pub fn peak(&self) -> u64 {
        census::peak(self.id())
    }

    /// Counts the peak anew.
    pub fn forget_peak(&self) {
        census::forget_peak(self.id());
    }

    /// Ends it by SIGKILL.
    pub fn kill(mut self) {
        self.child.kill().expect("the host can be killed");
        self.child.wait().expect("the host is ours to wait for");
    }

    /// Ends it by SIGTERM and returns its exit code.
    #[track_caller]
    pub fn terminate(mut self) -> Option<i32> {
        self.signal(Signal::TERM);
        self.wait().code()
    }

    /// Waits until it ends by itself.
    #[track_caller]
    pub(super) fn end(mut self) -> ExitStatus {
        self.wait()
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).expect("a process id is a positive i32");
        kill_process(id, signal).expect("the host can be signalled");
    }

    #[track_caller]
    fn wait(&mut self) -> ExitStatus {
        wait::until(PATIENCE, "the host ends", || self.child.try_wait().expect("the host is ours to wait for"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("the log of host {}:\n{}", self.id(), self.log());
        }
    }
}

impl Ready {
    /// Reads `ready xmpp=ADDR:PORT http=ADDR:PORT console=ADDR:PORT`.
    fn parse(line: &str) -> Option<Ready> {
        let mut words = line.trim_end().split(' ');
        if words.next() != Some("ready") {
            return None;
        }
        let mut address = |name: &str| words.next()?.strip_prefix(name)?.parse().ok();
        let (xmpp, http, console) = (address("xmpp=")?, address("http=")?, address("console=")?);
        Some(Ready { xmpp, http, console, component: address("component=") })
    }
}

impl Manner {
    fn command(&self, host: &Path) -> Command {
        let Some((program, arguments)) = self.through.split_first() else { return Command::new(host) };
        let mut command = Command::new(program);
        command.args(arguments).arg(host);
        command
    }
}

impl Log {
    fn collect(&self, output: impl Read + Send + 'static) {
        let log = self.clone();
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                let mut text = log.lock();
                text.push_str(&line);
                text.push('\n');
                log.0.1.notify_all();
            }
        });
    }

    fn lock(&self) -> MutexGuard<'_, String> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn text(&self) -> String {
        self.lock().clone()
    }

    fn until(&self, mut mark: usize, limit: Duration, fits: impl Fn(&str) -> bool) -> Option<String> {
        let deadline = Instant::now() + limit;
        let mut text = self.lock();
        loop {
            if let Some(line) = text[mark..].lines().find(|line| fits(line)) {
                return Some(line.to_owned());
            }
            mark = text.len();
            let left = deadline.checked_duration_since(Instant::now())?;
            text = self.0.1.wait_timeout(text, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// The first line of `output`. The rest is read and dropped, so that the writer never blocks.
fn first_line(output: impl Read + Send + 'static) -> Result<String, RecvTimeoutError> {
    let (send, receive) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            let _ = send.send(line);
        }
    });
    receive.recv_timeout(START_LIMIT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ready_line_is_read_whole() {
        let ready = Ready::parse("ready xmpp=127.0.0.1:5222 http=127.0.0.1:9090 console=[::1]:9091\n").unwrap();
        assert_eq!((ready.xmpp.port(), ready.http.port(), ready.console.port()), (5222, 9090, 9091));
        assert!(Ready::parse("ready xmpp=127.0.0.1:5222").is_none());
        assert!(Ready::parse("error: no").is_none());
    }
}
