//! Flows of several clients as scripts that a person can read, performed by real clients on a real server.
//!
//! # Layout
//! ```text
//! script      scripts as data
//! reading     how they are read
//! cast        names of a script and addresses on the server
//! pattern     whether what arrived is what was expected
//! server      ours, or any other as a second opinion
//! performer   a client
//! stage       one performance
//! ```
//!
//! # The grammar
//! A script is a file `tests/flows/<area>/<rule>.flow`. It begins with the section that holds the rule, the rule in a
//! sentence, and an empty line. Then each line at the margin is a step; what belongs to it is indented below. Lines that
//! begin with `#` are comments. There are no other rules of layout but one: in a block of stanzas each begins at the
//! indentation of the first.
//!
//! ```text
//! RFC 6121 section 3.1.2
//! A request for a subscription shows in the roster of who makes it, and goes to the contact's bare JID.
//!
//! alice/desk logs in
//! bob/phone logs in
//!
//! alice/desk sends
//!     <presence type='subscribe' to='{bob/phone}'/>
//! alice/desk receives
//!     <iq type='set'>
//!         <query xmlns='jabber:iq:roster'><item jid='{bob}' subscription='none' ask='subscribe'/></query>
//!     </iq>
//! bob/phone receives
//!     <presence type='subscribe' from='{alice}' to='{bob}'/>
//! ```
//!
//! **Names.** A client is written as its JID will be, without the domain: `alice/desk` is the resource `desk` of the user
//! `alice`. Names are of small letters, digits and hyphens. In what is sent and expected, `{alice/desk}` is the full JID,
//! `{alice}` the bare one, and `{domain}` the server. Who has a client has an account.
//!
//! | users and the server | |
//! |---|---|
//! | `bob has an account` | though no client of his appears |
//! | `nobody has no account` | but an address, to be written to |
//! | `alice sees bob` | she is subscribed to his presence |
//! | `alice and bob are friends` | each to the other's. What their clients hear of it is dropped |
//! | `alice is removed` | by the administrator |
//! | `server restarts`, `server is killed and restarts` | all clients are gone |
//! | `server sets NAME to VALUE` | a setting |
//! | `GET TARGET` | by HTTP, once all is processed that was sent. The answer's body stands below, as text or XML |
//!
//! | clients | |
//! |---|---|
//! | `alice/desk connects` | binds its resource, and no more |
//! | `alice/new connects as desk` | binds another resource than the one of its name |
//! | `alice/desk logs in` | connects, asks for the roster, sends `<presence/>` or the presence below. What arrives of it is dropped |
//! | `alice/desk sends` | the stanzas below |
//! | `alice/desk receives` | next the stanzas below, in this order and no others among them |
//! | `alice/desk receives in any order` | next the stanzas below and no others, where the RFC leaves the order open |
//! | `alice/desk receives among others` | sooner or later the stanzas below, in this order. The others are dropped |
//! | `alice/desk does not receive` | any such stanza, among those not yet asked for |
//! | `alice/desk receives nothing` | more than was asked for |
//! | `alice/desk skips what arrived` | it is dropped |
//! | `alice/desk logs out` | closes its stream |
//! | `alice/desk loses the connection` | closes its socket without a word |
//! | `alice/desk is disconnected with conflict` | by the server, with this stream error; without `with`, in order |
//!
//! **Steps happen one after the other.** What a client has sent is processed before another one acts.
//!
//! **What is not foreseen is a fault**: at the end of the script nothing may have arrived that no line asks for. Whether
//! nothing came is decided after a round trip of every client with the server, never by waiting. The one thing for which
//! there is no round trip is a lost connection: let somebody receive what it leads to first.
//!
//! **Patterns.** A stanza is expected with the attributes and children that are written, these in order, and with no
//! others. Its `id`, `to` and `xml:lang` may be there unasked, and a `from` that is the reader's own account. `...` stands
//! for any text (`id='...'`, `from='{alice}/...'`) and, between children, for any of them; a `?` before a child says that
//! it may be missing. White space around text does not count. An attribute `ver='{$now}'` is remembered, and from then on
//! `{$now}` stands for it. The `ver` of a roster may be there unasked, too.
//!
//! Clients answer roster pushes by themselves.

mod cast;
mod pattern;
mod performer;
mod reading;
mod script;
mod server;
mod stage;

use std::{
    fs, io,
    panic::{self, AssertUnwindSafe},
    path::{Path, PathBuf},
    sync::{
        Mutex, OnceLock, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    thread,
};

pub use script::{Fault, Script};
pub use server::{Other, Server};
pub use stage::Failure;

/// How many scripts are performed at a time. They mostly wait for the server.
const SIDE_BY_SIDE: usize = 8;

/// The folder of the scripts.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("flows")
}

/// All scripts below a folder, in the order of their paths.
///
/// # Errors
/// Each file that can't be read.
pub fn read_all(folder: &Path) -> Result<Vec<Script>, Vec<Fault>> {
    let mut files = Vec::new();
    collect(folder, &mut files).unwrap_or_else(|cause| panic!("{}: {cause}", folder.display()));
    files.sort();
    let (scripts, faults): (Vec<_>, Vec<_>) = files.iter().map(|file| Script::read(file)).partition(Result::is_ok);
    if faults.is_empty() {
        Ok(scripts.into_iter().flatten().collect())
    } else {
        Err(faults.into_iter().filter_map(Result::err).collect())
    }
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "flow") {
            files.push(path);
        }
    }
    Ok(())
}

/// Performs scripts side by side, on one server with users of their own, and those that change it for everybody on servers
/// of their own. `other` is a server that is not ours.
///
/// Calls `tell` with each outcome as it comes.
pub fn perform_all(scripts: &[Script], other: Option<&Server>, tell: impl Fn(&Script, &Result<(), String>) + Sync) {
    let (next, shared) = (AtomicUsize::new(0), OnceLock::new());
    let next_script = || {
        let number = next.fetch_add(1, Relaxed);
        scripts.get(number).map(|script| (number, script))
    };
    let perform = |number, script: &Script| match other {
        Some(other) => stage::perform(script, other, number),
        None if script.needs_own_server() => stage::perform(script, &Server::start(), number),
        None => stage::perform(script, shared.get_or_init(Server::start), number),
    };
    let one_at_a_time = Mutex::new(());
    thread::scope(|scope| {
        for _ in 0..SIDE_BY_SIDE.min(scripts.len()) {
            scope.spawn(|| {
                while let Some((number, script)) = next_script() {
                    let outcome = panic::catch_unwind(AssertUnwindSafe(|| perform(number, script)));
                    let outcome = match outcome {
                        Ok(outcome) => outcome.map_err(|failure| failure.to_string()),
                        Err(_) => Err(format!("{}: the server could not be used: see above", script.path.display())),
                    };
                    let _telling = one_at_a_time.lock().unwrap_or_else(PoisonError::into_inner);
                    tell(script, &outcome);
                }
            });
        }
    });
}
