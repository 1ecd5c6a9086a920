//! An XMPP server that loads native plugins from a folder while it runs.

mod plugin;
mod presence;
mod store;
mod xmpp;

fn main() {}
