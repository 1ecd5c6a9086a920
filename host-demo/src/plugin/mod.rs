//! Plugins: from a file in the drop folder to routes that answer, and back.
//!
//! # Layout
//! [`deploy`] is the way of a file: from the drop folder into service, and out of it. It leads to a [`generation`], one loaded version of a
//! plugin: it opens the library, starts it, passes requests in and ends it. What it is lent of the server stands in [`services`], given
//! through the tables in [`callbacks`] and marked by its [`context`]. Answers come back through [`exchange`], streamed ones by a
//! [`stream_body`], [`calls`] counts them and how they went; [`threads`], [`changes`] and [`stanzas`] are the threads that the host makes
//! for a generation, [`changes`] for [`timers`] too; [`leaks`] looks at what it keeps. [`settings`] says which of those that are stored it
//! starts with. [`route`] is the table by which HTTP finds the generation for a path, by its [`pattern`]s; [`shown`] makes what plugins say
//! fit to be shown. [`mark`] is what a thread bears while it runs a plugin, [`crash`] what writes it down when the process dies of that,
//! and the [`watchdog`] tells of inline handlers that do not return.

#[allow(unsafe_code, reason = "a context that comes back from a plugin")]
mod callbacks;
mod calls;
mod changes;
mod context;
#[allow(unsafe_code, reason = "handlers of signals, and where libraries are mapped")]
mod crash;
pub mod deploy;
pub mod exchange;
pub mod generation;
pub mod leaks;
mod mark;
pub mod pattern;
pub mod request;
pub mod route;
pub mod services;
pub mod settings;
pub mod shown;
pub mod stanzas;
pub mod stream_body;
mod threads;
mod timers;
mod visit;
pub mod watchdog;
