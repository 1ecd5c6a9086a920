//! Performs the scripts of `tests/flows` one by one or all of them, on our server or on another.

use std::{
    net::SocketAddr,
    path::PathBuf,
    process::ExitCode,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    time::Instant,
};

use clap::Parser;
use tests::flows::{Other, Script, Server, folder, perform_all, read_all};

/// Performs flows of several clients.
#[derive(Parser)]
struct Arguments {
    /// Files, folders, or parts of their paths. All of them if none is named.
    scripts: Vec<String>,
    /// Another server than ours, at this address; scripts that only ours can perform are left out.
    #[arg(long, requires_all = ["add", "remove"])]
    server: Option<SocketAddr>,
    /// The domain of the other server.
    #[arg(long, default_value = "localhost")]
    domain: String,
    /// The command that adds an account to it, with {user} and {password}.
    #[arg(long)]
    add: Option<String>,
    /// The command that removes an account, with {user}.
    #[arg(long)]
    remove: Option<String>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let mut scripts = match read_all(&folder()) {
        Ok(scripts) => scripts,
        Err(faults) => {
            faults.iter().for_each(|fault| eprintln!("{fault}"));
            return ExitCode::from(2);
        }
    };
    let other = arguments.other();
    scripts.retain(|script| arguments.names(script) && (other.is_none() || script.is_for_any_server()));
    let (started, failed) = (Instant::now(), AtomicUsize::new(0));
    perform_all(&scripts, other.as_ref(), |script, outcome| match outcome {
        Ok(()) => println!("pass  {}", shown(script)),
        Err(why) => {
            failed.fetch_add(1, Relaxed);
            println!("FAIL  {}\n{why}", shown(script));
        }
    });
    let failed = failed.into_inner();
    println!("{} of {} flows hold; {:.1} s", scripts.len() - failed, scripts.len(), started.elapsed().as_secs_f64());
    if failed == 0 && !scripts.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

impl Arguments {
    fn names(&self, script: &Script) -> bool {
        let path = shown(script);
        self.scripts.is_empty() || self.scripts.iter().any(|part| path.contains(part.trim_start_matches("./")))
    }

    fn other(&self) -> Option<Server> {
        let (add, remove) = (self.add.clone()?, self.remove.clone()?);
        Some(Server::Other(Other { address: self.server?, domain: self.domain.clone(), add, remove }))
    }
}

fn shown(script: &Script) -> String {
    let path: PathBuf = script.path.strip_prefix(folder()).unwrap_or(&script.path).into();
    format!("tests/flows/{}", path.display())
}
