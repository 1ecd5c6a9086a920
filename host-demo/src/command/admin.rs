//! `host-demo admin`: the console's password.

use clap::Subcommand;
use sha2::Sha256;

use super::{Server, password};
use crate::{
    control::{Refusal, Request},
    store::PasswordHash,
};

/// Rounds of PBKDF2-HMAC-SHA-256, as the OWASP Password Storage Cheat Sheet asks for.
const ITERATIONS: u32 = 600_000;

/// What is done for the administrator.
#[derive(Subcommand)]
pub(super) enum Admin {
    /// Set the password for the console's login. That comes with a later release: until then the console can only be read,
    /// and asks for none
    Password {
        /// Read the password from the first line of standard input
        #[arg(long)]
        password_stdin: bool,
    },
}

pub(super) fn run(server: &Server, command: Admin) -> Result<(), Refusal> {
    let Admin::Password { password_stdin } = command;
    let password = password::read("Password for the console", password_stdin)?;
    server.act(&Request::SetAdminPassword { password: hash(&password)? })
}

fn hash(password: &str) -> Result<PasswordHash, Refusal> {
    let mut salt = vec![0; 16];
    getrandom::fill(&mut salt).map_err(|cause| Refusal::failed(format!("system: no random numbers: {cause}")))?;
    let hash = pbkdf2::pbkdf2_hmac_array::<Sha256, 32>(password.as_bytes(), &salt, ITERATIONS);
    Ok(PasswordHash { salt, iterations: ITERATIONS, hash: hash.into() })
}
