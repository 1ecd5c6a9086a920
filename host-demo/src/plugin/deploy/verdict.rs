//! The child of a [`probe`](super::probe): what it does, and the line by which it tells what came of it.

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

use log::LevelFilter;
use rustix::process::{Resource, Rlimit, Signal, set_parent_process_death_signal, setrlimit};
use serde::{Deserialize, Serialize};

use super::{check, refusal::Refusal};
use crate::plugin::{context::Hold, generation::Loaded, services::Nobody, shown};

/// The child's answer, one line of JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Loaded, started, drained and stopped.
    Good {
        /// The full patterns of its routes.
        routes: Vec<String>,
    },
    /// The loader or the check of the interface refused it.
    Load(String),
    /// Its start failed or panicked.
    Start(String),
    /// One of its routes can't be mounted.
    Route(String),
}

/// The child's side: tries a staged file as this server would serve it, and writes the verdict to standard output.
///
/// # Errors
/// The verdict could not be written.
pub fn run_probe(staged: &Path) -> io::Result<()> {
    // The parent gone, nobody wants to know; and what crashes here is no accident worth a core file.
    let _ = set_parent_process_death_signal(Some(Signal::KILL));
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    // Nobody hears what the plugin logs here, but its logger is to run as it will in the server.
    log::set_max_level(LevelFilter::Trace);
    let verdict = try_out(staged).map_or_else(Verdict::of_refusal, |routes| Verdict::Good { routes });
    // In one write, so that a thread of the plugin's can't come in between.
    let line = format!("{}\n", serde_json::json!(verdict));
    let mut output = io::stdout().lock();
    output.write_all(line.as_bytes())?;
    output.flush()
}

fn try_out(staged: &Path) -> Result<Vec<String>, Refusal> {
    let bytes = fs::read(staged).map_err(|cause| Refusal::Load(cause.to_string()))?;
    let manifest = check::manifest(&bytes)?;
    let generation = Loaded::open(staged, manifest, 0, Nobody::new(data_folder(staged)))?.start(&Hold::default())?;
    let routes = generation.routes().iter().map(|route| route.pattern().to_owned()).collect();
    // Called by this host of itself, in any case: what takes it down had better do so here.
    generation.memory();
    generation.drain();
    generation.stop();
    Ok(routes)
}

/// Where a plugin on trial may keep its data until the trial is over.
pub fn data_folder(staged: &Path) -> PathBuf {
    staged.with_extension("trial")
}

impl Verdict {
    fn of_refusal(refusal: Refusal) -> Verdict {
        match refusal {
            Refusal::Start(cause) => Verdict::Start(cause),
            Refusal::Route(cause) => Verdict::Route(cause),
            Refusal::Load(cause) => Verdict::Load(cause),
            other => Verdict::Load(other.to_string()),
        }
    }

    /// The verdict in what the child wrote, once it is there.
    pub fn of(output: &[u8]) -> Option<Verdict> {
        // A plugin may write to standard output too: the verdict is the last line that is one.
        let whole = &output[..output.iter().rposition(|byte| *byte == b'\n')?];
        whole.split(|byte| *byte == b'\n').rev().find_map(|line| serde_json::from_slice(line).ok())
    }

    /// The verdict as the refusal that it may be.
    ///
    /// # Errors
    /// It is one.
    pub fn into_result(self) -> Result<(), Refusal> {
        match self {
            Verdict::Good { .. } => Ok(()),
            Verdict::Load(cause) => Err(Refusal::Load(shown::line(&cause))),
            Verdict::Start(cause) => Err(Refusal::Start(shown::line(&cause))),
            Verdict::Route(cause) => Err(Refusal::Route(shown::line(&cause))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_survives_the_way_through_the_line() {
        for refusal in [Refusal::Start("no".into()), Refusal::Load("no".into()), Refusal::Route("no".into())] {
            let line = format!("noise\n{}\n", serde_json::json!(Verdict::of_refusal(refusal.clone())));
            assert_eq!(Verdict::of(line.as_bytes()).unwrap().into_result(), Err(refusal));
        }
    }

    #[test]
    fn half_a_line_is_no_verdict() {
        let line = serde_json::json!(Verdict::Good { routes: Vec::new() }).to_string();
        assert_eq!(Verdict::of(line.as_bytes()), None);
        assert_eq!(Verdict::of(format!("{line}\nmore noise").as_bytes()), Some(Verdict::Good { routes: Vec::new() }));
        assert_eq!(Verdict::of(b"hello\n{\"other\":1}\n"), None);
    }
}
