//! Plugins: from a file in the drop folder to routes that answer, and back.
//!
//! # Layout
//! [`generation`] is one loaded version of a plugin: it opens the library, starts it, passes requests in and ends it. What it is
//! lent of the server stands in [`services`], given through the tables in [`callbacks`] and marked by its [`context`]. Answers
//! come back through [`exchange`]; [`threads`] and [`changes`] are the threads that the host makes for a generation.
//! [`route`] is the table by which HTTP finds the generation for a path.
//!
//! How a file gets there: [`watch`] looks at the [`folder`] and lets files [`settle`]; a [`journey`] takes each content the whole
//! way, through [`stage`], [`check`] (with [`elf`]), [`probe`] and [`budget`], or ends in a [`refusal`]; the [`registry`]
//! decides about all plugins by its [`books`], publishes them, and sends them into [`retire`]. [`deployer`] is the handle
//! on it, [`status`] what the administrator sees of it.

mod arrivals;
mod books;
mod budget;
#[allow(unsafe_code, reason = "a context that comes back from a plugin")]
mod callbacks;
mod changes;
pub mod check;
mod commands;
mod context;
pub mod deployer;
mod desk;
pub mod digest;
mod elf;
pub mod exchange;
mod folder;
#[allow(unsafe_code, reason = "opens a library and reads its root")]
pub mod generation;
mod journey;
mod probe;
pub mod refusal;
mod registry;
pub mod request;
mod retire;
pub mod route;
mod rows;
pub mod services;
mod settle;
mod stage;
pub mod status;
#[allow(unsafe_code, reason = "calls of the C library that no safe crate offers")]
mod sys;
mod threads;
mod trust;
pub mod verdict;
mod watch;
mod within;
