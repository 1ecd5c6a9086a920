//! `host-demo user`: accounts.

use clap::Subcommand;

use super::{Server, misunderstood, password, print};
use crate::{
    control::{Answer, Refusal, Request},
    store::Credentials,
    xmpp::sasl,
};

const EXAMPLES: &str = "\
Examples:
  host-demo user add alice                               asks for the password twice
  host-demo user add alice@example.com                   the first user also decides the domain
  host-demo user add bob --password-stdin < password.txt";

/// What is done with users.
#[derive(Subcommand)]
pub(super) enum User {
    /// Add a user
    #[command(after_help = EXAMPLES)]
    Add(WithPassword),
    /// Remove a user with roster and subscriptions; open sessions are closed
    Remove {
        /// The user: a name, or name@domain
        #[arg(value_name = "JID")]
        jid: String,
    },
    /// Give a user another password
    Password(WithPassword),
    /// List the users, one bare JID a line
    List,
}

#[derive(clap::Args)]
pub(super) struct WithPassword {
    /// The user: a name, or name@domain
    #[arg(value_name = "JID")]
    jid: String,
    /// Read the password from the first line of standard input
    #[arg(long)]
    password_stdin: bool,
}

pub(super) fn run(server: &Server, command: User) -> Result<(), Refusal> {
    match command {
        User::Add(user) => {
            let credentials = user.credentials()?;
            server.act(&Request::AddUser { jid: user.jid, credentials })
        }
        User::Remove { jid } => server.act(&Request::RemoveUser { jid }),
        User::Password(user) => {
            let credentials = user.credentials()?;
            server.act(&Request::SetPassword { jid: user.jid, credentials })
        }
        User::List => match server.ask(&Request::Users)? {
            Answer::Users(users) if users.is_empty() => Ok(()),
            Answer::Users(users) => print(&users.join("\n")),
            _ => Err(misunderstood()),
        },
    }
}

impl WithPassword {
    /// The password leaves this process only as keys.
    fn credentials(&self) -> Result<Credentials, Refusal> {
        let password = password::read(&format!("Password for {}", self.jid), self.password_stdin)?;
        sasl::derive(&password).map_err(|cause| Refusal::usage(format!("password: {cause}")))
    }
}
