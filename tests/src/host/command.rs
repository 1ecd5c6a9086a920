//! One run of a command of `host-demo`, to its end.

use std::{
    io::{Read, Write},
    process::{Child, Command, Stdio},
    thread::{self, JoinHandle},
    time::Duration,
};

use crate::{artefacts::artefacts, wait};

/// A command that waits for a plugin is answered within a minute, if only by the news that it goes on.
const LIMIT: Duration = Duration::from_secs(80);

/// How a command ended.
#[derive(Debug)]
pub struct Outcome {
    /// The exit code; `None` if a signal ended it.
    pub code: Option<i32>,
    /// What it wrote to standard output.
    pub output: String,
    /// What it wrote to standard error.
    pub errors: String,
    line: String,
}

impl Outcome {
    /// Runs `host-demo` with these arguments and this standard input. Panics if it does not end in time.
    #[track_caller]
    pub fn of(arguments: &[&str], input: &str) -> Outcome {
        let child = Command::new(&artefacts().host)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the command starts");
        let Running(child) = &mut Running(child);
        // A command that does not read its input may end first.
        let _ = child.stdin.take().expect("standard input is piped").write_all(input.as_bytes());
        let output = collect(child.stdout.take().expect("standard output is piped"));
        let errors = collect(child.stderr.take().expect("standard error is piped"));
        let line = format!("host-demo {}", arguments.join(" "));
        let status = wait::until(LIMIT, &line, || child.try_wait().expect("the command is ours to wait for"));
        let text = |reader: JoinHandle<String>| reader.join().expect("the reader does not panic");
        Outcome { code: status.code(), output: text(output), errors: text(errors), line }
    }

    /// The standard output of a command that must succeed.
    #[track_caller]
    pub fn succeeds(self) -> String {
        assert_eq!(self.code, Some(0), "{} failed: {}{}", self.line, self.output, self.errors);
        self.output
    }

    /// The standard error of a command that must fail with this exit code.
    #[track_caller]
    pub fn fails(self, code: i32) -> String {
        assert_eq!(self.code, Some(code), "{}: {}{}", self.line, self.output, self.errors);
        assert!(!self.errors.contains("panicked"), "{} panicked: {}", self.line, self.errors);
        self.errors
    }
}

/// A child that does not outlive the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn collect(mut output: impl Read + Send + 'static) -> JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = output.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    })
}
