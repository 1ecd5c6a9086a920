//! The server on which scripts are performed: ours, or any other as a second opinion.

use std::{
    net::SocketAddr,
    process::Command,
    sync::{PoisonError, RwLock, RwLockReadGuard},
};

use crate::{
    host::{DOMAIN, Host, password},
    http,
};

/// Where scripts are performed.
pub enum Server {
    /// `host-demo`, with the presence service, which shows everybody.
    Ours(Box<RwLock<Host>>),
    /// Another server.
    Other(Other),
}

/// How to use a server that is not ours.
#[derive(Clone, Debug)]
pub struct Other {
    /// Where clients connect.
    pub address: SocketAddr,
    /// The domain.
    pub domain: String,
    /// The command that adds an account, with `{user}` and `{password}` in it.
    pub add: String,
    /// The command that removes one, with `{user}` in it.
    pub remove: String,
}

impl Server {
    /// Starts one of ours.
    pub fn start() -> Server {
        let host = Host::with_presence();
        host.set("presence.visibility", "anyone");
        Server::Ours(Box::new(RwLock::new(host)))
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        match self {
            Server::Ours(host) => read(host).xmpp(),
            Server::Other(other) => other.address,
        }
    }

    /// The domain.
    pub fn domain(&self) -> &str {
        match self {
            Server::Ours(_) => DOMAIN,
            Server::Other(other) => &other.domain,
        }
    }

    /// Adds an account, whose password is [`password`] of the localpart.
    pub fn add_account(&self, user: &str) {
        match self {
            Server::Ours(host) => read(host).add_user(user),
            Server::Other(other) => run(&other.add, user),
        }
    }

    /// Removes an account.
    pub fn remove_account(&self, user: &str) {
        match self {
            Server::Ours(host) => drop(read(host).command(&["user", "remove", &format!("{user}@{DOMAIN}")]).succeeds()),
            Server::Other(other) => run(&other.remove, user),
        }
    }

    /// A client of its web server. Panics if it is not ours.
    pub fn http(&self) -> http::Client {
        read(self.ours()).http()
    }

    /// Sets a setting. Panics if it is not ours.
    pub fn set(&self, setting: &str, value: &str) {
        read(self.ours()).set(setting, value);
    }

    /// Restarts it. Panics if it is not ours.
    pub fn restart(&self, in_order: bool) {
        let mut host = self.ours().write().unwrap_or_else(PoisonError::into_inner);
        if !in_order {
            return host.crash_and_restart();
        }
        assert_eq!(host.terminate(), Some(0), "the server ends cleanly");
        host.run();
    }

    fn ours(&self) -> &RwLock<Host> {
        match self {
            Server::Ours(host) => host,
            Server::Other(other) => panic!("{} is not ours", other.address),
        }
    }
}

fn read(host: &RwLock<Host>) -> RwLockReadGuard<'_, Host> {
    host.read().unwrap_or_else(PoisonError::into_inner)
}

fn run(command: &str, user: &str) {
    let words: Vec<_> = command.split_whitespace().collect();
    let filled = words.iter().map(|word| word.replace("{user}", user).replace("{password}", &password(user)));
    let filled: Vec<_> = filled.collect();
    let (program, arguments) = filled.split_first().expect("there is a command");
    let output = Command::new(program).args(arguments).output();
    let output = output.unwrap_or_else(|cause| panic!("{program} can't be run: {cause}"));
    assert!(output.status.success(), "{filled:?}: {}", String::from_utf8_lossy(&output.stderr));
}
