//! The trial: a child process opens a staged file, checks the interface, starts the plugin against a host that offers
//! nothing, and stops it. What would take this server down takes the child down instead.
//!
//! The child is this program again, `host-demo probe FILE`, in a process group of its own. It answers with a
//! [`verdict`](super::verdict) on standard output; what it dies of, or five seconds without an answer, is one too.

use std::{
    ffi::OsString,
    io,
    os::{
        fd::{AsFd, BorrowedFd},
        unix::process::{CommandExt, ExitStatusExt},
    },
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, Signal, kill_process_group},
};

use super::{
    refusal::Refusal,
    rubbish::delete_folder,
    verdict::{Verdict, data_folder},
};
use crate::plugin::shown;

/// How long a trial may take.
pub const LIMIT: Duration = Duration::from_secs(5);
/// What the child keeps of our environment: how libraries are found, and how text and time are shown.
const KEPT_ENVIRONMENT: [&str; 5] = ["LD_LIBRARY_PATH", "PATH", "LANG", "LC_ALL", "TZ"];
/// How much is kept of what the child writes. More is read and thrown away.
const KEPT_OUTPUT: usize = 64 << 10;

/// Makes trials.
#[derive(Clone, Debug)]
pub struct Prober {
    program: PathBuf,
    arguments: Vec<OsString>,
    limit: Duration,
}

impl Prober {
    /// Has this very program make the trials, even if its file was replaced since it was started.
    pub fn this_program() -> Prober {
        Prober { program: "/proc/self/exe".into(), arguments: vec!["probe".into()], limit: LIMIT }
    }

    /// Tries a staged file. Blocks up to five seconds.
    ///
    /// # Errors
    /// Why the file must not be loaded here.
    pub fn probe(&self, staged: &Path) -> Result<(), Refusal> {
        let child = Trial::start(self, staged).map_err(|cause| Refusal::Host(format!("no trial process: {cause}")))?;
        let result = child.judge(Instant::now() + self.limit, self.limit);
        let left = data_folder(staged);
        if let Err(cause) = delete_folder(&left) {
            log::warn!("what a trial left behind, {}, can't be deleted: {cause}", left.display());
        }
        result
    }
}

/// A child at work. Dropping it kills its whole group.
struct Trial {
    child: Child,
    output: Captured<std::process::ChildStdout>,
    errors: Captured<std::process::ChildStderr>,
}

impl Trial {
    fn start(prober: &Prober, staged: &Path) -> io::Result<Trial> {
        let kept = KEPT_ENVIRONMENT.iter().filter_map(|name| Some((name, std::env::var_os(name)?)));
        let mut child = Command::new(&prober.program)
            .args(&prober.arguments)
            .arg(staged)
            .env_clear()
            .envs(kept)
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()?;
        let output = Captured::new(child.stdout.take());
        let errors = Captured::new(child.stderr.take());
        let trial = Trial { child, output, errors };
        trial.output.dont_block()?;
        trial.errors.dont_block()?;
        Ok(trial)
    }

    fn judge(mut self, deadline: Instant, limit: Duration) -> Result<(), Refusal> {
        loop {
            if let Some(verdict) = Verdict::of(&self.output.kept) {
                return verdict.into_result();
            }
            if self.output.ended {
                // Closed without a verdict: dead, or about to be, or it closed its output and lives on.
                return Err(match self.exit_by(deadline) {
                    Some(status) => self.crash(status),
                    None => Refusal::ProbeTimeout { seconds: limit.as_secs() },
                });
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Refusal::ProbeTimeout { seconds: limit.as_secs() });
            }
            self.read(left);
        }
    }

    /// Waits for either stream to say something and takes it in.
    fn read(&mut self, at_most: Duration) {
        let mut streams: Vec<_> = [self.output.descriptor(), self.errors.descriptor()]
            .into_iter()
            .flatten()
            .map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN))
            .collect();
        let timeout = Timespec::try_from(at_most).expect("a trial's limit is a few seconds");
        let _ = poll(&mut streams, Some(&timeout));
        self.output.read();
        self.errors.read();
    }

    fn exit_by(&mut self, deadline: Instant) -> Option<ExitStatus> {
        loop {
            match self.child.try_wait() {
                Ok(Some(status)) => return Some(status),
                Ok(None) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(5)),
                _ => return None,
            }
        }
    }

    fn crash(&mut self, status: ExitStatus) -> Refusal {
        self.errors.read();
        let how = match (status.signal(), status.code()) {
            (Some(signal), _) => format!("signal {signal} ({})", signal_name(signal)),
            (None, code) => format!("it ended with exit code {} and gave no answer", code.unwrap_or_default()),
        };
        Refusal::Crashed { how, last_words: self.errors.last_line() }
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        // The group lives as long as any process in it, so its number can't have been given to others: the child is
        // not yet waited for, or its own children are what is left.
        if let Some(group) = Pid::from_raw(self.child.id() as i32) {
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = self.child.wait();
    }
}

/// The end of what a stream said.
struct Captured<S> {
    stream: Option<S>,
    kept: Vec<u8>,
    ended: bool,
}

impl<S: io::Read + AsFd> Captured<S> {
    fn new(stream: Option<S>) -> Captured<S> {
        Captured { ended: stream.is_none(), stream, kept: Vec::new() }
    }

    fn dont_block(&self) -> io::Result<()> {
        match &self.stream {
            Some(stream) => Ok(rustix::io::ioctl_fionbio(stream, true)?),
            None => Ok(()),
        }
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.stream.as_ref().filter(|_| !self.ended).map(AsFd::as_fd)
    }

    fn read(&mut self) {
        let Some(stream) = self.stream.as_mut().filter(|_| !self.ended) else { return };
        let mut buffer = [0; 4_096];
        // A bounded number of pieces, so that a child that never stops talking does not outlive its limit.
        for _ in 0..64 {
            match stream.read(&mut buffer) {
                Ok(0) => self.ended = true,
                Ok(length) => {
                    self.kept.extend_from_slice(&buffer[..length]);
                    let surplus = self.kept.len().saturating_sub(KEPT_OUTPUT);
                    self.kept.drain(..surplus);
                    continue;
                }
                Err(cause) if cause.kind() == io::ErrorKind::WouldBlock => {}
                Err(cause) if cause.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => self.ended = true,
            }
            return;
        }
    }

    fn last_line(&self) -> Option<String> {
        let text = String::from_utf8_lossy(&self.kept);
        text.lines().rev().find(|line| !line.trim().is_empty()).map(shown::line)
    }
}

/// What a signal is called, and what it says of who died of it.
pub fn signal_name(signal: i32) -> &'static str {
    match signal {
        libc::SIGSEGV => "SIGSEGV, invalid memory access",
        libc::SIGBUS => "SIGBUS, memory without a file behind it",
        libc::SIGABRT => "SIGABRT, it aborted itself",
        libc::SIGILL => "SIGILL, invalid instruction",
        libc::SIGFPE => "SIGFPE, invalid arithmetic",
        libc::SIGKILL => "SIGKILL",
        libc::SIGTRAP => "SIGTRAP",
        libc::SIGXCPU => "SIGXCPU, too much processor time",
        _ => "see signal(7)",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn probe(script: &str, limit: Duration) -> Result<(), Refusal> {
        let arguments = vec!["-c".into(), script.into()];
        Prober { program: "/bin/sh".into(), arguments, limit }.probe(Path::new("/staged.so"))
    }

    fn patient(script: &str) -> Result<(), Refusal> {
        probe(script, Duration::from_secs(30))
    }

    #[test]
    fn a_good_verdict_passes_whatever_else_is_written() {
        assert_eq!(patient(r#"echo hello; echo '{"good":{"routes":["/plugins/x/a"]}}'; sleep 60"#), Ok(()));
    }

    #[test]
    fn refusals_come_through() {
        assert_eq!(patient(r#"echo '{"start":"no database"}'"#), Err(Refusal::Start("no database".into())));
        assert_eq!(
            patient(r#"echo '{"load":"undefined symbol: f"}'"#),
            Err(Refusal::Load("undefined symbol: f".into()))
        );
    }

    #[test]
    fn a_crash_is_named_with_its_last_words() {
        let refusal = patient("echo first >&2; echo 'the last words' >&2; kill -SEGV $$").unwrap_err();
        assert_eq!(
            refusal.to_string(),
            "crashed in its trial process: signal 11 (SIGSEGV, invalid memory access), after \"the last words\""
        );
        assert!(refusal.calls_for_quarantine());
    }

    #[test]
    fn an_exit_without_a_verdict_is_a_crash() {
        let refusal = patient("exit 0").unwrap_err();
        assert!(refusal.to_string().contains("exit code 0 and gave no answer"), "{refusal}");
    }

    #[test]
    fn a_hang_is_killed_with_its_children() {
        let folder = tempfile::tempdir().unwrap();
        let pid = folder.path().join("pid");
        let script = format!("sleep 600 & echo $! > {}; wait", pid.display());
        let refusal = probe(&script, Duration::from_secs(1)).unwrap_err();
        assert_eq!(refusal, Refusal::ProbeTimeout { seconds: 1 });
        let child: i32 = std::fs::read_to_string(pid).unwrap().trim().parse().unwrap();
        let deadline = Instant::now() + Duration::from_secs(10);
        while is_alive(child) {
            assert!(Instant::now() < deadline, "the grandchild is still there");
            std::thread::yield_now();
        }
    }

    /// A killed grandchild stays as a zombie where nobody collects orphans.
    fn is_alive(process: i32) -> bool {
        std::fs::read_to_string(format!("/proc/{process}/stat")).is_ok_and(|stat| !stat.contains(") Z"))
    }

    #[test]
    fn a_flood_of_output_is_bounded_and_ends_at_the_limit() {
        let started = Instant::now();
        assert!(matches!(probe("yes >&2", Duration::from_secs(1)), Err(Refusal::ProbeTimeout { .. })));
        assert!(matches!(probe("yes", Duration::from_secs(1)), Err(Refusal::ProbeTimeout { .. })));
        assert!(started.elapsed() < Duration::from_secs(20));
    }

    #[test]
    fn the_environment_is_cleaned() {
        // Cargo gives every test this variable.
        assert!(std::env::var_os("CARGO_PKG_NAME").is_some());
        let script = r#"test -z "$CARGO_PKG_NAME" && echo '{"good":{"routes":[]}}'"#;
        assert_eq!(patient(script), Ok(()));
    }
}
