//! `host-demo backup`: a copy of the database.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use super::{Server, print, warn};
use crate::{control::Refusal, store};

/// How often a backup that takes its time tells how far it is.
const TELL: Duration = Duration::from_secs(1);

/// Makes the copy in this process: a host that runs is not held up.
pub(super) fn run(server: &Server, file: &Path) -> Result<(), Refusal> {
    let mut told = Instant::now();
    let backup = store::backup(&server.state, file, |percent| {
        if told.elapsed() >= TELL {
            told = Instant::now();
            warn(&format!("backup: {percent} %"));
        }
    })?;
    let (accounts, megabytes) = (backup.accounts, backup.bytes as f64 / 1e6);
    print(&format!("backed up {accounts} accounts into {}: {megabytes:.1} MB", file.display()))
}
