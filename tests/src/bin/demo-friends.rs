//! Subscribes the demo's users to each other, by the handshake that their own clients would do.

use std::{error::Error, io, net::SocketAddr};

use clap::Parser;
use tests::xmpp::{Session, befriend, login};

/// Subscribes users to each other's presence. Standard input names them, a bare JID and its password a line.
#[derive(Parser)]
struct Arguments {
    /// Where the server listens.
    #[arg(long, value_name = "ADDR:PORT")]
    xmpp: SocketAddr,
}

fn main() -> Result<(), Box<dyn Error>> {
    let address = Arguments::parse().xmpp;
    let mut others: Vec<Session> = Vec::new();
    for line in io::stdin().lines() {
        let line = line?;
        let (jid, password) = line.split_once(' ').ok_or_else(|| format!("{line:?} is not a JID and a password"))?;
        let mut user = login(address, jid, password)?;
        others.iter_mut().try_for_each(|other| befriend(other, &mut user))?;
        others.push(user);
    }
    Ok(())
}
