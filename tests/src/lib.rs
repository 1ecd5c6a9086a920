//! Black-box tests of the messaging server: a real process, real plugin files, real clients.
//!
//! # Layout
//! Nothing here knows the server's code: it speaks the wire and the command line of DESIGN.md.
//!
//! ```text
//! artefacts     builds the server, the presence service and the fixture plugins, and finds their files
//! author        somebody who signs plugins
//! browser       Chromium, driven from outside
//! host          starts the server in a temporary folder, runs its commands, kills and restarts it
//! other_times   plugins built against plugin-api as it was, as it may become, and as it is not: counting allocations
//! plugin_file   variants of a plugin file
//! records       what the presence service has stored, read and written without it
//! drop_style    the ways in which people copy files
//! foreign       libraries made from C
//! faulty_disk   a disk that fails, or is slow
//! flows         conversations of several clients as scripts, and who performs them
//! xmpp          a blocking client on a raw socket
//! http          a client, raw requests, and a load generator
//! skip          saying what is left out, and why
//! wait          waiting for an event, with a deadline
//! rows          the faults of deployment, each to be tried in short or at length
//! ```
//!
//! `suite/` holds the tests, `flows/` the scripts, `fixtures/` one tiny plugin a fault, `slixmpp/` scripts for a client that is not ours, and
//! `src/bin/` the clients that keep the demo of `make run` alive, and `soak`, which tries the rows at length.

pub mod artefacts;
pub mod author;
pub mod browser;
pub mod drop_style;
pub mod faulty_disk;
pub mod flows;
pub mod foreign;
pub mod host;
pub mod http;
pub mod other_times;
pub mod plugin_file;
pub mod records;
pub mod rows;
pub mod skip;
pub mod wait;
pub mod xmpp;
