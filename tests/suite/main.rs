//! The black-box suite: each test has a host of its own and speaks only the wire, the file system and the command line.

mod abuse;
mod command_line;
mod components;
mod console;
mod crashes;
mod data;
mod deploy;
mod evolution;
mod flows;
mod health;
mod login;
mod presence_http;
mod records;
mod refusals;
mod restart;
mod resumption;
mod roster;
mod rows;
mod slixmpp;
mod slow_machine;
mod timers;
mod trust;
